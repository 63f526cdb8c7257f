"""Which tensors of a checkpoint go into the output, under which names, and in which element type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal, get_args

from safeload.core.errors import MalformedInput, UsageError
from safeload.core.names import Location, escape
from safeload.engine.admission.record import LeftOut
from safeload.engine.tensorfile import CODES, RESERVED, is_text
from safeload.formats.base import TensorView
from safeload.formats.dtypes import WIDTHS
from safeload.formats.window import outermost

Shared = Literal["keep", "drop"]

VIEWS: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        "complex128": ("float64", 2),
        "complex64": ("float32", 2),
        "complex32": ("float16", 2),
        "bcomplex32": ("bfloat16", 2),
        "qint8": ("int8", 1),
        "quint8": ("uint8", 1),
        "qint32": ("int32", 1),
        "quint4x2": ("uint8", 1),
        "quint2x4": ("uint8", 1),
        "bits8": ("uint8", 1),
        "bits16": ("uint16", 1),
        "bits1x8": ("uint8", 1),
        "bits2x4": ("uint8", 1),
        "bits4x2": ("uint8", 1),
        **{f"{sign}int{bits}": ("uint8", 1) for sign in ("", "u") for bits in range(1, 8)},
    }
)
"""How the bytes of an element type can be seen as another: its name, and how many of it make one element. Two add a
last dimension: real and imaginary part."""

_QUANTISED = frozenset({"qint8", "quint8", "qint32", "quint4x2", "quint2x4"})
"""Stored as the integers they are: scale and zero point are components of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What to take, and what to call it.

    Raises:
        UsageError: a value is not one of those documented.
    """

    keys: str = ""
    """Only tensors whose names begin so; that beginning is taken off."""
    strip: str = ""
    """Taken off the beginning of every name that has it."""
    rename: Mapping[str, str] = field(default_factory=dict)
    """New names by old ones, after `keys` and `strip`; an old one that ends with a dot is the beginning of names."""
    shared: Shared = "keep"
    """`keep`: tensors that are the same memory are each written. `drop`: only the first name by the alphabet, and the
    file's metadata says which names it stands for."""
    views: Mapping[str, str] = field(default_factory=dict)
    """Element types to be written as another one of the same bytes: `{"complex128": "float64"}`."""

    def __post_init__(self) -> None:
        if self.shared not in get_args(Shared):
            raise UsageError(f"shared={self.shared!r} does not exist", why="it is keep or drop", remedy="--shared keep")
        for old, new in self.views.items():
            if old not in VIEWS or VIEWS[old][0] != new:
                listed = ", ".join(f"{name}={VIEWS[name][0]}" for name in list(VIEWS)[:13])
                raise UsageError(
                    f"{escape(old)} cannot be written as {escape(new)}", why=f"these can: {listed}, int4=uint8 …"
                )
        for old, new in self.rename.items():
            if not old or (old.endswith(".") and new and not new.endswith(".")):
                raise UsageError(
                    f"{escape(old)!r} cannot be renamed to {escape(new)!r}",
                    why="a beginning of names ends with a dot, and so does what replaces it" if old else "it is empty",
                    remedy="--rename 'encoder.=model.encoder.'",
                )

    @property
    def asks(self) -> bool:
        """Whether anything but the default was asked for."""
        return self != Selection()

    def output_name(self, name: str) -> str | None:
        """What a tensor will be called; `None` if it is not selected."""
        if not name.startswith(self.keys):
            return None
        name = name[len(self.keys) :]
        name = name.removeprefix(self.strip)
        if name in self.rename:
            return self.rename[name]
        for old, new in self.rename.items():
            if old.endswith(".") and name.startswith(old):
                return new + name[len(old) :]
        return name


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """One tensor of the output, before it is written."""

    name: str
    source: str
    view: TensorView


@dataclass(slots=True)
class Choice:
    """The tensors of the output in the checkpoint's order, and what was left out."""

    tensors: list[Chosen] = field(default_factory=list)
    dropped: list[LeftOut] = field(default_factory=list)
    stands_for: dict[str, str] = field(default_factory=dict)
    """The name that was kept, by each name that was dropped as the same memory."""


def choose(tensors: Mapping[str, TensorView], selection: Selection, file: str) -> Choice:
    """Apply a selection to the tensors of a checkpoint.

    Raises:
        MalformedInput: two tensors would get one name, a name is reserved, or an element type has no safetensors form
            and no view of it was asked for; with the place of the tensor.
        UsageError: nothing is selected.
    """
    choice = Choice()
    taken: dict[str, Chosen] = {}
    for source, view in tensors.items():
        name = selection.output_name(source)
        if name is None:
            choice.dropped.append(LeftOut(path=source, reason=f"its name does not begin with {escape(selection.keys)}"))
            continue
        # A file that is one tensor has no name for it.
        name = name or ("tensor" if not source else "")
        chosen = Chosen(name=name, source=source, view=seen_as(name, view, selection))
        _check_name(chosen, taken)
        taken[name] = chosen
    if not taken:
        why = f"none of the {len(tensors):,} begins with {escape(selection.keys)!r}" if tensors else "there are none"
        raise UsageError(
            "no tensor was selected",
            where=Location(file),
            why=why + "".join(f"; the first is {escape(name, 80)!r}" for name in list(tensors)[:1]),
            remedy=f"safeload inspect {escape(file)}",
        )
    if selection.shared == "drop":
        _drop_shared(taken, choice)
    choice.tensors = list(taken.values())
    return choice


def _check_name(chosen: Chosen, taken: Mapping[str, Chosen]) -> None:
    name, why = chosen.name, ""
    if not name:
        why = "nothing is left of its name"
    elif name == RESERVED:
        why = "safetensors keeps that name for itself"
    elif not is_text(name):
        why = "its name is not Unicode text"
    elif name in taken:
        why = f"{escape(taken[name].source)!r} gets the same name"
    if why:
        raise MalformedInput(
            f"the tensor {escape(chosen.source)!r} cannot be stored as {escape(name)!r}",
            where=chosen.view.location,
            why=why,
            remedy=f"--rename '{escape(name or chosen.source)}=another.name', or select less with --keys",
        )


def seen_as(name: str, view: TensorView, selection: Selection) -> TensorView:
    """The tensor in an element type that safetensors has.

    Raises:
        MalformedInput: it has none, and no view was asked for.
    """
    wanted = selection.views.get(view.dtype) or (VIEWS[view.dtype][0] if view.dtype in _QUANTISED else None)
    if wanted is None:
        if view.dtype not in CODES:
            known = VIEWS.get(view.dtype)
            raise MalformedInput(
                f"the tensor {escape(name)!r} cannot be stored in safetensors",
                where=view.location,
                why=f"the format has no {escape(view.dtype)}",
                remedy=f"--view {view.dtype}={known[0]}" if known else "leave it out with --keys",
            )
        return view
    count = VIEWS[view.dtype][1]
    if count == 1:
        return replace(view, dtype=wanted)
    return replace(
        view,
        dtype=wanted,
        shape=(*view.shape, count),
        strides=(*(stride * count for stride in view.strides), 1),
        storage_offset=view.storage_offset * count,
    )


def memory_of(view: TensorView) -> tuple[object, ...]:
    """Equal for views of the same bytes in the same order. Empty tensors share nothing."""
    if 0 in view.shape:
        return (id(view),)
    blob, start = outermost(view.storage.blob, view.storage.offset + view.storage_offset * WIDTHS.get(view.dtype, 1))
    return (
        id(blob),
        start,
        view.dtype,
        view.shape,
        # A dimension of one has no stride to obey.
        tuple(stride for size, stride in zip(view.shape, view.strides, strict=True) if size != 1),
    )


def _drop_shared(taken: dict[str, Chosen], choice: Choice) -> None:
    groups: dict[tuple[object, ...], list[str]] = {}
    for name, chosen in taken.items():
        groups.setdefault(memory_of(chosen.view), []).append(name)
    for names in groups.values():
        kept, *rest = sorted(names)
        for name in rest:
            choice.stands_for[name] = kept
            choice.dropped.append(
                LeftOut(path=taken.pop(name).source, reason=f"it is the same memory as {escape(kept)}")
            )
