"""The registry of formats, and the one way to read a file: by every format that claims it.

Each module of this folder that defines `FORMAT` (or `FORMATS`) is a format; nothing else has to be told about it.
"""

from __future__ import annotations

import functools
import importlib
import itertools
import re
from collections.abc import Iterator
from typing import NamedTuple

from safeload.core.blob import Blob, Extent
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.frozen import replace
from safeload.core.limits import Limits
from safeload.core.machine import read_pickle
from safeload.core.names import Location
from safeload.formats.base import Claims, Format, Irregularity, Part, PickleStream
from safeload.formats.claiming import Table
from safeload.formats.inside import Inner, Overdrawn, account, called
from safeload.formats.nested import nested_streams
from safeload.formats.pickle_head import OPCODES, calls_something
from safeload.index import FORMATS
from safeload.later import Later
from safeload.registry import indexed, modules

_SNIFFED = 1 << 16
_CHECKED = (".safetensors", ".gguf", ".json")
"""Names that announce one format whose reader says best why a file is not of it."""
_STRONG = (*_CHECKED, ".npy", ".npz", ".onnx", ".h5", ".pt2")
"""Names that announce one format only."""
_ORDER = ("stand-in", "torch-zip", "torch-legacy", "torch-tar", "safetensors", "gguf", "json")
"""Of several formats that claim a file, these come first."""
_PICKLED = frozenset({"pickle", "joblib", "torch-legacy"})
"""Formats that begin with a pickle."""
_PROTOBUF: dict[str, frozenset[int]] = {
    "onnx": frozenset({7, 20, 25}),
    "tf-saved-model": frozenset({2}),
    "tf-meta-graph": frozenset({2, 7}),
    "tf-graph": frozenset({1, 2}),
    "keras-metadata": frozenset({1}),
    "coreml": frozenset(range(200, 3001)),
    "paddle": frozenset({1}),
}
"""Formats without a signature, whose readers pass over fields they do not know: one file can be several of them. With
each, the numbers of the fields that hold what it runs."""
_LIKE_PROTOBUF = _PROTOBUF.keys() | {"sentencepiece", "opaque"}
_ARCHIVE = r"zip|7z|rar|tar|t?gz|t?bz2|t?xz|zst"
_SPLIT = Later(
    rf"(?:\.(?:{_ARCHIVE})\.(?:[0-9]{{2,4}}|a[a-z])|\.[rz][0-9]{{2}}|-split-[a-z]"
    rf"|\.part[-_.]?(?:[0-9]{{1,4}}|a[a-z])(?:of[0-9]{{1,4}})?(?:\.(?:{_ARCHIVE}|exe))?)\Z",
    re.IGNORECASE,
)
"""Names of parts of a file that was cut in several: what it is shows only when they are joined."""
_PERSID = b"P"
_WORD = r"[A-Za-z_][\w.>/-]{1,200}"
_LONGEST_LINE = 1 << 24
"""Bytes of one text of a pickle that is looked for in a file of another format."""
_TEMPLATES = 10_000
"""Templates of a file that are judged; models have a few, and collections of prompts hundreds."""


class FileReading(NamedTuple):
    """Everything that the formats claiming a file found in it."""

    formats: tuple[str, ...]
    """Names of the formats that claimed it, best first; never empty."""
    parts: tuple[Part, ...]
    fault: MalformedInput | None = None
    """Why a reader stopped early: the file is then undecided, whatever the parts say."""


class _Known(NamedTuple):
    """A format as the index has it: all that decides whether it is needed."""

    module: str
    name: str
    suffixes: tuple[str, ...]
    fallback: bool
    claims: Claims | None

    def load(self) -> Format:
        return _loaded(self.module, self.name)

    @classmethod
    def of(cls, module: str, format: Format) -> _Known:
        return cls(module, format.name, format.suffixes, format.fallback, format.claims)


@functools.cache
def _defined(module: str) -> tuple[Format, ...]:
    loaded = importlib.import_module(f"{__name__}.{module}")
    return tuple(format for format in (getattr(loaded, "FORMAT", None), *getattr(loaded, "FORMATS", ())) if format)


@functools.cache
def _loaded(module: str, name: str) -> Format:
    return next(format for format in _defined(module) if format.name == name)


@functools.cache
def _known() -> tuple[_Known, ...]:
    """Every format of this folder, the preferred ones first. Imports only modules that the index does not name."""
    found: list[_Known] = []
    same: dict[str, Claims] = {}  # formats with the same claims share them, so that they are looked at once
    for module, size in modules(__path__).items():
        if (rows := indexed(FORMATS, module, size)) is None:
            found.extend(_Known.of(module, format) for format in _defined(module))
        else:
            found.extend(
                _Known(
                    module,
                    name,
                    suffixes,
                    fallback,
                    None if claims is None else same.setdefault(str(claims), Claims(**claims)),
                )
                for name, suffixes, fallback, claims in rows
            )
    rank = {name: index for index, name in enumerate(_ORDER)}
    found.sort(key=lambda known: (known.name == "opaque", known.fallback, rank.get(known.name, len(rank)), known.name))
    return tuple(found)


@functools.cache
def _listed(*, fallback: bool) -> tuple[tuple[_Known, int], ...]:
    """The formats of one kind, each with the place of its claims among those of all."""
    places: dict[int, int] = {}
    return tuple(
        (known, places.setdefault(id(known.claims), len(places))) for known in _known() if known.fallback is fallback
    )


@functools.cache
def _table(first: int | None, *, fallback: bool) -> Table:
    claims = {place: known.claims for known, place in _listed(fallback=fallback)}
    return Table(claims.values(), first)


@functools.lru_cache(maxsize=512)
def _keeping(kept: int, *, fallback: bool) -> tuple[_Known, ...]:
    return tuple(known for known, place in _listed(fallback=fallback) if kept >> place & 1)


@functools.cache
def formats() -> tuple[Format, ...]:
    """Every format of this folder, the preferred ones first."""
    return tuple(known.load() for known in _known())


def identify(blob: Blob, name: str) -> tuple[Format, ...]:
    """The formats that claim a file by its content, best first; a fallback if there are none.

    Reads at most 64 KiB from each end.
    """
    head = blob.read_at(0, _SNIFFED)
    tail = blob.read_at(max(0, blob.size - _SNIFFED), _SNIFFED) if blob.size > _SNIFFED else head
    base = name.rpartition("/")[2]
    claims = tuple(_claiming(head, tail, blob.size, base, fallback=False))
    if claims:
        return claims
    if base.lower().endswith(_CHECKED):
        return tuple(known.load() for known in _known() if base.lower().endswith(known.suffixes))[:1]
    return (next(_claiming(head, tail, blob.size, base, fallback=True)),)


def _claiming(head: bytes, tail: bytes, size: int, base: str, *, fallback: bool) -> Iterator[Format]:
    kept = _table(head[0] if head else None, fallback=fallback).kept(head, tail, base.lower())
    for known in _keeping(kept, fallback=fallback):
        format = known.load()
        if format.sniff(head, tail, size, base):
            yield format


def read(blob: Blob, location: Location, limits: Limits | None = None) -> FileReading:
    """Read a file with every format that claims it. Total: never raises for any bytes.

    Beside the parts of each reader there is an `Irregularity` of kind `polyglot` where formats share a file, and of
    kind `name-disagrees` where its name announces another format than its content is.
    """
    limits = account(limits or Limits(), blob)
    base = called(location)
    claims = identify(blob, base)
    if len(claims) > 1:
        from safeload.formats.overlap import independent

        claims = independent(claims, blob, location, limits)
    parts: list[Part] = []
    fault: MalformedInput | None = None
    if len(claims) > 1:
        detail = "it is at once " + " and ".join(format.title for format in claims)
        parts.append(Irregularity(location=location, kind="polyglot", detail=detail, two_readings=True))
    names = {format.name for format in claims}
    if (announced := _announced(base)) and names.isdisjoint(announced):
        parts.extend(_disagreement(location, claims))
    for format in claims:
        try:
            for part in format.read(blob, location, limits):
                parts.append(part)
        except MalformedInput as error:
            fault = fault or error
    if names.isdisjoint(_PICKLED):
        try:
            parts.extend(_hidden_pickles(blob, location, limits, claims[0]))
        except MalformedInput as error:
            fault = fault or error
    if _may_be_cut(base) and _SPLIT.search(base):
        from safeload.formats.parts import Opaque

        parts = [part for part in parts if not isinstance(part, Opaque)]
        parts.append(Opaque(location=location, what="part", detail="a part of a file that was cut in several"))
    if not names.isdisjoint(_LIKE_PROTOBUF):
        start = 0
        if claims[0].name == "sentencepiece":
            from safeload.formats.sentencepiece import after_pieces

            start = after_pieces(blob)
        rest: Blob = Extent(blob, start, blob.size - start) if start else blob
        try:
            parts.extend(_hidden_graphs(rest, location, limits or Limits(), claims))
        except LimitExceeded as error:
            fault = fault or error
    if may_set_up(location.member or location.file) and (what := _set_up(blob, location)):
        from safeload.formats.parts import Reference

        parts.append(Reference(location=location, kind="set-up", target=what))
    if len(parts) > _TEMPLATES:
        try:
            _without_most_templates(parts, location)
        except LimitExceeded as error:
            fault = fault or error
    return FileReading(formats=tuple(format.name for format in claims), parts=tuple(parts), fault=fault)


def _without_most_templates(parts: list[Part], location: Location) -> None:
    """Take the templates of a file out of its parts, from where on they are too many. All else stays.

    Raises:
        LimitExceeded: they were.
    """
    from safeload.formats.base import Template

    numbered = itertools.count()
    kept = [part for part in parts if not isinstance(part, Template) or next(numbered) < _TEMPLATES]
    if len(kept) < len(parts):
        parts[:] = kept
        raise Overdrawn("text_bytes", "it has more templates than any collection of them", location)


def _set_up(blob: Blob, location: Location) -> str:
    from safeload.formats.set_up import sets_up

    return sets_up(location.member or location.file, blob.read_at(0, _SNIFFED))


_USUAL = (
    *(".json", ".safetensors", ".bin", ".pt", ".pth", ".pkl", ".py", ".gguf", ".onnx", ".npy", ".ckpt"),
    *(".model", ".h5", ".npz", ".joblib", ".png", ".jpg", ".jinja", ".zip", ".tar", ".keras", ".ipynb", ".msgpack"),
)
"""Names of files that set nothing up, unless they lie in a folder of a program."""


def _may_be_cut(name: str) -> bool:
    """A first look at a name that `_SPLIT` could match, so that most files need no second."""
    return name[-2:-1] in "0123456789aA-" or ".part" in name.lower() or not name.isascii()


def may_set_up(path: str) -> bool:
    """A first look at a path, so that most files need no second."""
    return "/." in path or path.startswith(".") or not path.endswith(_USUAL)


def _hidden_graphs(blob: Blob, location: Location, limits: Limits, claims: tuple[Format, ...]) -> Iterator[Part]:
    """What the readers of other formats without a signature would find in a file, if they can read it to its end."""
    from safeload.formats.protobuf import Messages

    try:
        numbers = Messages(blob, location, limits).numbers()
    except LimitExceeded:
        raise
    except MalformedInput:
        return  # no parser of protocol buffers reads it
    claimed = {format.name for format in claims}
    for known in _known():
        if known.name in claimed or not _PROTOBUF.get(known.name, frozenset()) & numbers:
            continue
        format = known.load()
        try:
            found = [part for part in format.read(blob, location, limits) if _is_named(part)]
        except LimitExceeded:
            raise
        except MalformedInput:
            continue  # its own loader fails as well
        if found:
            if claims[0].name != "opaque":
                detail = f"it is at once {claims[0].title} and {format.title}"
                yield Irregularity(location=location, kind="polyglot", detail=detail, two_readings=True)
            yield from found


def _is_named(part: Part) -> bool:
    """Whether something has a name that a framework could know; noise has none."""
    from safeload.formats.base import Code, Component, Operator

    return isinstance(part, (Component, Code)) or (
        isinstance(part, Operator) and re.fullmatch(_WORD, part.name) is not None
    )


def _hidden_pickles(blob: Blob, location: Location, limits: Limits, claimed: Format) -> Iterator[Part]:
    """What unpicklers would do with a file of another format, if they get as far as a call.

    Sniffers see only the beginning, and a pickle may open with a text that is longer. Most files end this at their
    first byte. What begins with PERSID, as every zip archive does, gets no further in any ordinary unpickler.

    Raises:
        LimitExceeded: such a text is too long to be passed over. Not for safetensors: they may begin with any byte.
    """
    begin = blob.read_at(0, 1)
    if not begin or begin == _PERSID or begin[0] not in OPCODES:
        return
    bounds = replace(limits, text_bytes=min(limits.text_bytes, _LONGEST_LINE))
    readings = [read_pickle(blob, location=location, limits=bounds)]
    while (last := readings[-1]).fault is None and last.end < blob.size and len(readings) < limits.streams:
        readings.append(read_pickle(blob, last.end, location=location, limits=bounds))
    if isinstance(limits, Inner):
        limits.work.opcodes -= sum(reading.opcodes for reading in readings)
    if any(map(calls_something, readings)):
        detail = f"it is at once {claimed.title} and a pickle, which its beginning does not show"
        yield Irregularity(location=location, kind="polyglot", detail=detail, two_readings=True)
        for reading in readings:
            yield PickleStream(location=location.at(reading.start), reading=reading, role="member")
            yield from nested_streams(reading, location, limits)
        return
    fault = last.fault
    too_long = isinstance(fault, LimitExceeded) and fault.limit == "text_bytes" and fault.wanted < blob.size
    if fault is not None and too_long and claimed.name != "safetensors":
        raise fault


def _announced(name: str) -> frozenset[str]:
    """The formats that a name announces: by what stands behind its first dot, as all suffixes begin with one."""
    return _by_suffix(name.lower().partition(".")[2])


@functools.lru_cache(maxsize=256)
def _by_suffix(suffix: str) -> frozenset[str]:
    return frozenset(known.name for known in _known() if known.suffixes and f".{suffix}".endswith(known.suffixes))


def _disagreement(location: Location, claims: tuple[Format, ...]) -> list[Part]:
    """Nothing for stand-ins, which say so themselves, nor for unknown content behind an ambiguous name."""
    best = claims[0]
    strong = called(location).lower().endswith(_STRONG)
    if best.name == "stand-in" or (best.fallback and not strong):
        return []
    detail = f"its content is {best.title}, its name announces something else"
    return [Irregularity(location=location, kind="name-disagrees", detail=detail)]
