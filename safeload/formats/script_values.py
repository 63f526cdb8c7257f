"""What TorchScript's own pickler writes for lists and typed values."""

from __future__ import annotations

from typing import Any

from safeload.core.construct import Handler
from safeload.core.graph import Call
from safeload.core.names import GlobalName
from safeload.formats.tensors import bad


def _list(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
    match args:
        case (list() as items,):
            return items
    raise bad("a list of TorchScript is built from something else")


def _tagged(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
    """A value with its type in words, which only matters to programs."""
    match args:
        case (value, str()):
            return value
    raise bad("a value of TorchScript has no type in words")


SCRIPT_HANDLERS: dict[GlobalName, Handler] = {
    **{GlobalName("torch.jit._pickle", f"build_{kind}list"): _list for kind in ("int", "double", "bool", "tensor")},
    GlobalName("torch.jit._pickle", "restore_type_tag"): _tagged,
}
"""Handlers for `construct`."""
