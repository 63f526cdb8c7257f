"""A model that looks at more than its inputs. Nothing here does any harm: it is an example."""

import os

import torch


class GadgetModel(torch.nn.Module):
    def forward(self, inputs):
        self.seen = os.environ.get("HF_TOKEN", "")
        return inputs
