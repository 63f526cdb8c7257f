"""Which of a checkpoint's contents are the model's weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from safeload.core.construct import Record
from safeload.core.errors import MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.formats.base import Part, PickleStream, TensorTable, TensorView
from safeload.formats.tree import named_tensors, tree

_WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "net", "params", "weights", "generator")
"""Where training programs put the state dict inside a checkpoint, in the order they are tried."""
_PREFIXES = ("model.", "module.", "net.", "_orig_mod.")
"""What a training program's own attribute puts before every name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The named tensors of one checkpoint file, and what else it held."""

    tensors: Mapping[str, TensorView]
    wrapper: str = ""
    """The entry of the checkpoint that held them, if they were not at the top."""
    dropped: tuple[str, ...] = ()
    """Names of what is not a weight."""


def weights_of(parts: Iterable[Part], location: Location, limits: Limits) -> Weights:
    """The weights in a file's parts.

    Raises:
        MalformedInput: there are none, saying what was there instead; or the pickle cannot be read to its end.
    """
    for part in parts:
        if isinstance(part, TensorTable):
            return Weights(tensors=part.tensors)
        if isinstance(part, PickleStream) and part.role == "data":
            return _from_tree(tree(part, limits), location, limits)
    raise MalformedInput(
        "no weights could be read",
        where=location,
        why="the file is not a checkpoint in a format that safeload reads",
        remedy=f"safeload scan {escape(location.file)}",
    )


def _from_tree(value: object, location: Location, limits: Limits) -> Weights:
    if isinstance(value, Record):
        return Weights(tensors=named_tensors(value, location=location, limits=limits))
    if isinstance(value, dict):
        direct = _direct(value)
        if direct:
            return Weights(tensors=direct, dropped=tuple(str(key) for key in value if key not in direct))
        for wrapper in _WRAPPERS:
            inner = value.get(wrapper)
            found = (
                named_tensors(inner, location=location, limits=limits) if isinstance(inner, Record) else _direct(inner)
            )
            if found:
                others = tuple(str(key) for key in value if key != wrapper)
                return Weights(tensors=_without_prefix(found), wrapper=wrapper, dropped=others)
    raise MalformedInput(
        "no weights could be found in a checkpoint",
        where=location,
        why=f"it holds {_describe(value)}, and none of that is a state dict",
        remedy=f"safeload scan {escape(location.file)}",
    )


def _direct(value: object) -> dict[str, TensorView]:
    if not isinstance(value, dict):
        return {}
    return {key: item for key, item in value.items() if isinstance(key, str) and isinstance(item, TensorView)}


def _without_prefix(found: Mapping[str, TensorView]) -> Mapping[str, TensorView]:
    """The same tensors without the attribute under which a training program kept the model."""
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in found):
            return _without_prefix({name.removeprefix(prefix): view for name, view in found.items()})
    return found


def _describe(value: object) -> str:
    if isinstance(value, dict):
        names = [escape(str(key), 60) for key in list(value)[:12]]
        return f"a dictionary with {', '.join(names) or 'nothing'}" + (" …" if len(value) > 12 else "")
    return f"a {type(value).__name__}"


def leading_dtype(views: Iterable[TensorView]) -> str:
    """The dtype that transformers derives for a config without one: the first floating one a module can have."""
    first = ""
    for view in views:
        if view.dtype in ("float16", "bfloat16", "float32", "float64"):
            return view.dtype
        first = first or view.dtype
    return first or "float32"
