"""Which of a checkpoint's contents are the model's weights."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from safeload.core.construct import Record
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.formats.base import Part, PickleStream, TensorTable, TensorView
from safeload.formats.tensors import Composite
from safeload.formats.tree import named_tensors, tree

DEFAULT_DTYPES = ("float16", "bfloat16", "float32", "float64")
"""What a whole module can be made in."""
_WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "net", "params", "weights", "generator")
"""Where training programs put the state dict inside a checkpoint, in the order they are tried."""
_PREFIXES = ("model.", "module.", "net.", "_orig_mod.")
"""What a training program's own attribute puts before every name."""
_DEEPEST = 4
"""How many wrappers may lie within each other, and how many prefixes before each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The named tensors of one checkpoint file, and what else it held."""

    tensors: Mapping[str, TensorView]
    wrapper: str = ""
    """The entry of the checkpoint that held them, if they were not at the top; with dots, if it lay deeper."""
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
            try:
                return _from_tree(tree(part, limits), location, limits)
            except MalformedInput as error:
                error.remedy = error.remedy or f"safeload scan {escape(location.file)}"
                raise
    raise MalformedInput(
        "no weights could be read",
        where=location,
        why="the file is not a checkpoint in a format that safeload reads",
        remedy=f"safeload scan {escape(location.file)}",
    )


def _from_tree(value: object, location: Location, limits: Limits) -> Weights:
    found = _search(value, _Place(location, limits), _DEEPEST)
    if found is not None:
        return found
    raise MalformedInput(
        "no weights could be found in a checkpoint",
        where=location,
        why=f"it holds {_describe(value)}, and none of that is a state dict" + _tensors_in(value, location, limits),
        remedy=f"safeload scan {escape(location.file)}",
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """What a search is about; `seen` holds the dictionaries it has been to, which may contain each other."""

    location: Location
    limits: Limits
    seen: set[int] = field(default_factory=set)


def _search(value: object, place: _Place, depth: int) -> Weights | None:
    """The weights in a value or in what training programs wrap around them, `depth` dictionaries deep."""
    if isinstance(value, Record):
        tensors = named_tensors(value, location=place.location, limits=place.limits)
        return Weights(tensors=tensors) if tensors else None
    if not isinstance(value, dict) or id(value) in place.seen or not depth:
        return None
    place.seen.add(id(value))
    direct = _direct(value)
    for wrapper in _WRAPPERS:
        found = _search(value.get(wrapper), place, depth - 1)
        # A score or a step kept as a tensor beside the state dict does not make the checkpoint one.
        if found is not None and len(found.tensors) >= len(direct):
            return Weights(
                tensors=_without_prefix(found.tensors),
                wrapper=f"{wrapper}.{found.wrapper}".rstrip("."),
                dropped=(
                    *(_spell(key) for key in value if key != wrapper),
                    *(f"{wrapper}.{key}" for key in found.dropped),
                ),
            )
    if not direct:
        return None
    _refuse_composites(value, place.location)
    return Weights(tensors=direct, dropped=tuple(_spell(key) for key in value if key not in direct))


def _direct(value: dict[object, object]) -> dict[str, TensorView]:
    return {key: item for key, item in value.items() if isinstance(key, str) and isinstance(item, TensorView)}


def _refuse_composites(value: dict[object, object], location: Location) -> None:
    """A weight that is no plain tensor must not get lost among what is no weight."""
    for key, item in value.items():
        if isinstance(item, Composite):
            raise MalformedInput(
                f"the tensor {escape(_spell(key))!r} cannot be converted",
                where=Location(location.file, location.member, None, _spell(key)),
                why=f"it is {'on the meta device, without data' if item.kind == 'meta' else item.kind}, and safetensors"
                " has no form for that",
                remedy="ask the author for a checkpoint with plain tensors",
            )


def _without_prefix(found: Mapping[str, TensorView]) -> Mapping[str, TensorView]:
    """The same tensors without the attributes under which a training program kept the model."""
    for _ in range(_DEEPEST):
        prefix = next((prefix for prefix in _PREFIXES if all(name.startswith(prefix) for name in found)), None)
        if prefix is None or prefix in found:
            break
        found = {name.removeprefix(prefix): view for name, view in found.items()}
    return found


def _describe(value: object) -> str:
    if isinstance(value, dict):
        names = [escape(_spell(key), 60) for key in itertools.islice(value, 12)]
        return f"a dictionary with {', '.join(names) or 'nothing'}" + (" …" if len(value) > 12 else "")
    if isinstance(value, Record):
        return f"an object of {value.name or 'a computed class'}"
    return "a tensor" if isinstance(value, TensorView) else f"a value of type {type(value).__name__}"


def _tensors_in(value: object, location: Location, limits: Limits) -> str:
    """The names of tensors that are there all the same, for people who know what they mean."""
    try:
        few = replace(limits, tensors=min(limits.tensors, 1000))
        names = [name for name in named_tensors(value, few, location=location) if name]
    except LimitExceeded:
        return "; its tensors are too many to name"
    if not names:
        return ""
    return f"; its tensors are {', '.join(escape(name, 60) for name in names[:12])}" + (" …" if names[12:] else "")


def _spell(key: object) -> str:
    """A dictionary key for people. Only short constants are written out: a number may have ten thousand digits."""
    if isinstance(key, str):
        return key
    if key is None or isinstance(key, bool | float) or (isinstance(key, int) and abs(key) < 1 << 64):
        return str(key)
    return f"<{type(key).__name__}>"


def leading_dtype(views: Iterable[TensorView]) -> str | None:
    """The dtype that transformers derives for a config without one: the first floating one a module can have.

    Weights without any (quantised ones, for instance) say nothing about it: `None`.
    """
    return next((view.dtype for view in views if view.dtype in DEFAULT_DTYPES), None)
