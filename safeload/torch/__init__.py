"""torch's loaders, without running anything that a file says.

    from safeload import torch as safe_torch
    state = safe_torch.load("model.ckpt")            # was: torch.load("model.ckpt")
    weights = safe_torch.state_dict_of("model.ckpt")  # the tensors alone, of any checkpoint that safeload reads

What `torch.load(weights_only=True)` can read comes back bit for bit the same, but for tensor subclasses; those, and
objects of other classes, come back as inert records that say what they stand for.

Guarded beside `load`: `safeload.torch.jit`, `.export`, `.hub` and `.distributed.checkpoint`. They have torch's names
and signatures for what loads files; what would run a program is refused, or gives the program's tensors without it.

Importing this imports nothing else; calling it takes torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import save

    from safeload.torch import distributed, export, hub, jit
    from safeload.torch._load import load
    from safeload.torch._state import StateDict, state_dict_of

__all__ = ("StateDict", "distributed", "export", "hub", "jit", "load", "save", "state_dict_of")

_HOME = {
    "load": "safeload.torch._load",
    "state_dict_of": "safeload.torch._state",
    "StateDict": "safeload.torch._state",
    "save": "torch",
}
_MODULES = ("distributed", "export", "hub", "jit")


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'safeload.torch' has no attribute {name!r}: it guards what loads files")
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"safeload.torch.{name}")
    value: object = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
