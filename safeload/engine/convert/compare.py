"""Two checkpoints of any kind, compared tensor by tensor without loading either."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

from safeload.core.names import escape
from safeload.engine.convert.contents import Contents
from safeload.engine.convert.inputs import fetch, find_inputs, read
from safeload.engine.convert.numbers import blocks, distance, numbers, width
from safeload.engine.convert.selection import Selection, memory_of, seen_as
from safeload.engine.held import Held
from safeload.engine.options import Options
from safeload.engine.request import Request
from safeload.formats.base import TensorView

Outcome = Literal["equal", "differs", "missing"]
_COUNT = 1 << 17


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One tensor of one or both checkpoints."""

    name: str
    outcome: Outcome
    detail: str = ""
    differing: int | None = None
    """How many elements differ, where they are numbers; a complex one counts as two."""
    largest: float | None = None
    """The largest absolute difference, where elements are numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What `compare` found, in the order of the first checkpoint."""

    one: str
    other: str
    tensors: tuple[Compared, ...]

    @property
    def equal(self) -> bool:
        return all(tensor.outcome == "equal" for tensor in self.tensors)


def compare(
    one: str | os.PathLike[str],
    other: str | os.PathLike[str],
    *,
    keys: str = "",
    strip: str = "",
    rename: Mapping[str, str] | None = None,
    views: Mapping[str, str] | None = None,
    request: Request | None = None,
    options: Options | None = None,
) -> Comparison:
    """Compare the tensors of two checkpoints, each of any kind that `convert` reads. Nothing is loaded or run.

    `keys`, `strip`, `rename` and `views` apply to the first one, as `convert` applies them. A name that only one of
    them has counts as the same tensor where it is the same memory as a name that both have, or where the other's
    metadata says that it stands for it: that is how tied weights are stored once.

    Raises:
        MalformedInput: one of them cannot be read.
        SourceError: one of them could not be had.
        UsageError: an option is not one.
    """
    options, request = options or Options(), request or Request()
    selection = Selection(keys=keys, strip=strip, rename=rename or {}, views=views or {})
    with ExitStack() as stack:
        first = _open(stack, os.fspath(one), request, options)
        second = _open(stack, os.fspath(other), request, options)
        tensors: dict[str, TensorView] = {}
        for source, view in first.tensors.items():
            name = selection.output_name(source)
            if name is not None:
                wanted = view.dtype in selection.views
                tensors[name or ("" if source else "tensor")] = seen_as(name, view, selection) if wanted else view
        others = {name or "tensor": view for name, view in second.tensors.items()}
        found = list(_all(tensors, first.metadata, others, second.metadata))
    return Comparison(one=os.fspath(one), other=os.fspath(other), tensors=tuple(found))


def _open(stack: ExitStack, reference: str, request: Request, options: Options) -> Contents:
    inputs = find_inputs(reference, request, options.limits)
    held = stack.enter_context(Held(inputs.snapshot, options.limits))
    return read(held, inputs, fetch(held, inputs)).contents


def _all(
    one: Mapping[str, TensorView], said: Mapping[str, str], other: Mapping[str, TensorView], told: Mapping[str, str]
) -> Iterable[Compared]:
    twins, cousins = _by_memory(one, other), _by_memory(other, one)
    for name, view in one.items():
        alias = name if name in other else told.get(name) or twins.get(memory_of(view), "")
        yield _pair(name, view, other.get(alias), alias, "the second")
    for name, view in other.items():
        if name not in one:
            alias = said.get(name) or cousins.get(memory_of(view), "")
            yield _pair(name, one.get(alias), view, alias, "the first")


def _by_memory(one: Mapping[str, TensorView], other: Mapping[str, TensorView]) -> dict[tuple[object, ...], str]:
    """The names that both have, by their memory in the first."""
    return {memory_of(view): name for name, view in one.items() if name in other}


def _pair(name: str, one: TensorView | None, other: TensorView | None, alias: str, absent: str) -> Compared:
    if one is None or other is None:
        return Compared(name=name, outcome="missing", detail=f"{absent} has no tensor of that name")
    tied = "" if alias == name else f"stored as {escape(alias)}"
    if one.shape != other.shape:
        return Compared(name=name, outcome="differs", detail=f"shape {list(one.shape)} and {list(other.shape)}")
    if not width(one) or not width(other):
        same = one.dtype == other.dtype
        return Compared(
            name=name, outcome="differs", detail=f"{one.dtype} is not compared" if same else _types(one, other)
        )
    return _contents(name, one, other, tied)


def _types(one: TensorView, other: TensorView) -> str:
    return f"dtype {one.dtype} and {other.dtype}" if one.dtype != other.dtype else ""


def _contents(name: str, one: TensorView, other: TensorView, tied: str) -> Compared:
    """Compare window by window: bytes first, numbers only where those differ."""
    same_type = one.dtype == other.dtype
    identical, known = True, True
    differing, largest = 0, 0.0
    for left, right in zip(blocks(one, _COUNT), blocks(other, _COUNT), strict=True):
        if same_type and left == right:
            continue
        identical = False
        first, second = numbers(left, one.dtype), numbers(right, other.dtype)
        if first is None or second is None or len(first) != len(second):
            known = False
            continue
        count, away = distance(first, second)
        differing, largest = differing + count, max(largest, away)
    if same_type and identical:
        return Compared(name=name, outcome="equal", detail=tied, differing=0, largest=0.0)
    details = [_types(one, other), "the same numbers in other bits" if known and not differing else "", tied]
    return Compared(
        name=name,
        outcome="differs",
        detail="; ".join(detail for detail in details if detail),
        differing=differing if known else None,
        largest=largest if known else None,
    )
