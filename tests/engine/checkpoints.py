"""Checkpoints as training programs write them, read the way the engine reads them."""

from __future__ import annotations

import io
from typing import Any

import torch

from safeload import formats
from safeload.core.blob import MemoryBlob
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.engine.admission.checkpoint import Weights, weights_of

PLACE = Location("pytorch_model.bin")


def saved(value: Any, **options: Any) -> bytes:
    """What `torch.save` makes of a value."""
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def weights(data: bytes, limits: Limits | None = None) -> Weights:
    """The weights in the bytes of a file."""
    limits = limits or Limits()
    return weights_of(formats.read(MemoryBlob(data), PLACE, limits).parts, PLACE, limits)


def found(value: Any, **options: Any) -> dict[str, tuple[int, ...]]:
    """The shape by name of the weights in a saved value."""
    return {name: view.shape for name, view in weights(saved(value, **options)).tensors.items()}
