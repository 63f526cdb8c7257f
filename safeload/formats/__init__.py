"""The registry of formats, and the one way to read a file: by every format that claims it.

Each module of this folder that defines `FORMAT` (or `FORMATS`) is a format; nothing else has to be told about it.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from dataclasses import dataclass

from safeload.core.blob import Blob
from safeload.core.errors import MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Format, Irregularity, Part

_SNIFFED = 1 << 16
_CHECKED = (".safetensors", ".gguf", ".json")
"""Names that announce one format whose reader says best why a file is not of it."""
_STRONG = (*_CHECKED, ".npy", ".npz", ".onnx", ".h5", ".pt2")
"""Names that announce one format only."""
_ORDER = ("stand-in", "torch-zip", "torch-legacy", "torch-tar", "safetensors", "gguf", "json")
"""Of several formats that claim a file, these come first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReading:
    """Everything that the formats claiming a file found in it."""

    formats: tuple[str, ...]
    """Names of the formats that claimed it, best first; never empty."""
    parts: tuple[Part, ...]
    fault: MalformedInput | None = None
    """Why a reader stopped early: the file is then undecided, whatever the parts say."""


@functools.cache
def formats() -> tuple[Format, ...]:
    """Every format of this folder, the preferred ones first."""
    found: list[Format] = []
    for module in pkgutil.iter_modules(__path__):
        loaded = importlib.import_module(f"{__name__}.{module.name}")
        found.extend(format for format in (getattr(loaded, "FORMAT", None), *getattr(loaded, "FORMATS", ())) if format)
    rank = {name: index for index, name in enumerate(_ORDER)}
    found.sort(
        key=lambda format: (format.name == "opaque", format.fallback, rank.get(format.name, len(rank)), format.name)
    )
    return tuple(found)


def identify(blob: Blob, name: str) -> tuple[Format, ...]:
    """The formats that claim a file by its content, best first; a fallback if there are none.

    Reads at most 64 KiB from each end.
    """
    head = blob.read_at(0, _SNIFFED)
    tail = blob.read_at(max(0, blob.size - _SNIFFED), _SNIFFED)
    base = name.rpartition("/")[2]
    claims = tuple(format for format in formats() if not format.fallback and format.sniff(head, tail, blob.size, base))
    if claims:
        return claims
    if base.lower().endswith(_CHECKED):
        return tuple(format for format in formats() if base.lower().endswith(format.suffixes))[:1]
    return next((format,) for format in formats() if format.fallback and format.sniff(head, tail, blob.size, base))


def read(blob: Blob, location: Location, limits: Limits | None = None) -> FileReading:
    """Read a file with every format that claims it. Total: never raises for any bytes.

    Beside the parts of each reader there is an `Irregularity` of kind `polyglot` where formats share a file, and of
    kind `name-disagrees` where its name announces another format than its content is.
    """
    claims = identify(blob, location.file)
    parts: list[Part] = []
    fault: MalformedInput | None = None
    if len(claims) > 1:
        detail = "it is at once " + " and ".join(format.title for format in claims)
        parts.append(Irregularity(location=location, kind="polyglot", detail=detail, two_readings=True))
    if (announced := _announced(location.file)) and not {format.name for format in claims} & announced:
        parts.extend(_disagreement(location, claims))
    for format in claims:
        try:
            for part in format.read(blob, location, limits or Limits()):
                parts.append(part)
        except MalformedInput as error:
            fault = fault or error
    return FileReading(formats=tuple(format.name for format in claims), parts=tuple(parts), fault=fault)


def _announced(name: str) -> set[str]:
    lower = name.lower()
    return {format.name for format in formats() if format.suffixes and lower.endswith(format.suffixes)}


def _disagreement(location: Location, claims: tuple[Format, ...]) -> list[Part]:
    """Nothing for stand-ins, which say so themselves, nor for unknown content behind an ambiguous name."""
    best = claims[0]
    strong = location.file.lower().endswith(_STRONG)
    if best.name == "stand-in" or (best.fallback and not strong):
        return []
    detail = f"its content is {best.title}, its name announces something else"
    return [Irregularity(location=location, kind="name-disagrees", detail=detail)]
