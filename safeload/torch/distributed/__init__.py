"""The part of `torch.distributed` that reads files: `safeload.torch.distributed.checkpoint`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from safeload.torch.distributed import checkpoint

__all__ = ("checkpoint",)


def __getattr__(name: str) -> object:
    if name != "checkpoint":
        raise AttributeError(
            f"module 'safeload.torch.distributed' has no attribute {name!r}: it guards what loads files"
        )
    from importlib import import_module

    return import_module("safeload.torch.distributed.checkpoint")
