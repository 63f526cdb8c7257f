"""torch's loaders, without running anything that a file says.

    from safeload import torch as safe_torch
    state = safe_torch.load("model.ckpt")            # was: torch.load("model.ckpt")
    weights = safe_torch.state_dict_of("model.ckpt")  # the tensors alone, of any checkpoint that safeload reads

What `torch.load(weights_only=True)` can read comes back bit for bit the same, but for nested tensors and subclasses;
those, and objects of other classes, come back as inert records that say what they stand for. Not guarded here yet:
`torch.jit`, `torch.export`, `torch.hub` and `torch.distributed.checkpoint`; the tensors of what the first and the last
write are read by `state_dict_of`.

Importing this imports nothing else; calling it takes torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from safeload.torch._load import load
    from safeload.torch._state import StateDict, state_dict_of

__all__ = ("StateDict", "load", "state_dict_of")

_HOME = {"load": "_load", "state_dict_of": "_state", "StateDict": "_state"}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'safeload.torch' has no attribute {name!r}: it guards what loads files")
    from importlib import import_module

    value: object = getattr(import_module(f"safeload.torch.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
