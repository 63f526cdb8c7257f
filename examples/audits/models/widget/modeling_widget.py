"""Somebody else's model, whose code the people of ACME have read."""

import torch


class WidgetModel(torch.nn.Module):
    def forward(self, inputs):
        return inputs * 2
