"""Does a file begin like a pickle? Cheap, by content, and without believing the name."""

from __future__ import annotations

import functools
from collections.abc import Iterable

from safeload.core.blob import Blob, MemoryBlob
from safeload.core.errors import LimitExceeded
from safeload.core.frozen import replace
from safeload.core.graph import Acting, Call, Global, Reading
from safeload.core.limits import Limits
from safeload.core.machine import read_pickle
from safeload.core.names import Location

OPCODES = frozenset(
    b"(.012FIJKLMNPQRSTUVXabcdeghijloprstu}]\x80\x81\x82\x83\x84\x85\x86\x87\x88\x89\x8a\x8bBC"
    b")q\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96\x97\x98G"
)
_PICKLES = (".pkl", ".pickle", ".bin", ".pt", ".pth", ".ckpt", ".p", ".pck", ".dill", ".joblib", ".metadata", ".dat")
_TEXTS = (".txt", ".md", ".json", ".jinja", ".j2", ".py", ".yaml", ".yml", ".csv", ".tsv", ".jsonl", ".html", ".toml")
_HEAD = 1 << 16
_FEW_BYTES = 1 << 12
_LINE = 1 << 12
JOBLIB = b"NumpyArrayWrapper"
"""What a joblib pickle with arrays holds in plain text near its beginning."""
LEGACY = b"\x80LI\x8a"
"""First bytes of torch's legacy format, whose first pickle is a number."""
_MAGIC = 0x1950A86A20F9469CFC6C
_MAGIC_BYTES = _MAGIC.to_bytes(10, "little")
_BEGIN = 512
_SMALL = 64
"""Beginnings up to this length are remembered: archives hold the same small files again and again."""
_PERSID = b"P"[0]
_FIRST = 20
"""Bytes in which most pickles have those few opcodes: before any that differ from one file to the next."""
_SOME = 4
"""Opcodes in a row that text does not spell by chance."""

_BOUNDS = Limits(opcodes=_HEAD, depth=_HEAD)
"""An opcode is at least a byte, so a beginning has no more."""
_BEGUN = Limits(opcodes=_SOME + 1, depth=_HEAD)
"""Where those few opcodes decide, whatever comes after them."""


def begins_with_protocol(head: bytes) -> bool:
    """Whether bytes begin with a PROTO opcode (protocols 2 to 5 always do) and another opcode after it."""
    return len(head) > 2 and head[0] == 0x80 and head[1] <= 5 and head[2] in OPCODES


def is_legacy(head: bytes) -> bool:
    """Whether the first pickle of a file is torch's magic number, in whatever protocol."""
    return bool(head) and head[0] in LEGACY and _is_magic(head[:_BEGIN])


@functools.lru_cache(maxsize=8)  # two formats ask this of every pickle
def _is_magic(begin: bytes) -> bool:
    # Opcodes compute nothing, so the number is there: as its bytes, or as text behind one of two opcodes.
    if _MAGIC_BYTES not in begin and b"L" not in begin and b"I" not in begin:
        return False
    value = trial(begin).value
    return type(value) is int and value == _MAGIC


def is_pickle(head: bytes, size: int, name: str = "") -> bool:
    """Whether a file with this beginning is read as a pickle by those who try.

    Protocols 0 and 1 have no signature and look like text, so the beginning is read by the machine: a call, or an
    import in a stream that ends well, makes a pickle; the name only decides about what acts on nothing.
    """
    if begins_with_protocol(head):
        if _goes_on(head[:_FIRST]):
            return True
        # Two right bytes may be chance (the length of a safetensors header): a few opcodes in a row are not.
        begun, cut = _try(head[:_FEW_BYTES], size, _BEGUN)
        return cut or begun.fault is None or bool(begun.trace) or begun.opcodes > _SOME
    if not head or head[0] not in OPCODES or (head[0] == _PERSID and _ends_at_once(head)):
        return False
    lower = name.lower()
    reading, cut = _try(head, size)
    ended = reading.fault is None
    called, imported = _called(reading), imports_something(reading.trace)
    if imported and (called or ended or lower.endswith(_PICKLES)):
        return True
    if lower.endswith(_TEXTS):
        return False
    if ended:
        return bool(reading.trace) or reading.end == size or lower.endswith(_PICKLES)
    return cut and reading.opcodes >= _SOME


def _ends_at_once(head: bytes) -> bool:
    """Whether no opcode follows the line of the first one, as in zip archives, which begin with a PERSID."""
    after = head.find(b"\n") + 1
    return 0 < after < len(head) and head[after] not in OPCODES


@functools.lru_cache(maxsize=256)
def _goes_on(begin: bytes) -> bool:
    """Whether those few opcodes, with all that belongs to them, are in the first bytes, which many pickles share."""
    reading = _trial(begin, _BEGUN)
    stopped = isinstance(reading.fault, LimitExceeded) and reading.fault.limit == "opcodes"
    return stopped and all(anomaly.kind != "line-unterminated" for anomaly in reading.anomalies)


def calls_something(reading: Reading) -> bool:
    """Whether something is called, and something imported that could be what is called."""
    return _called(reading) and imports_something(reading.trace)


def _called(reading: Reading) -> bool:
    return any(isinstance(node, Call) for node in reading.trace)


def imports_something(trace: Iterable[Acting]) -> bool:
    """Whether something is imported by a name that a module can have; prose and word lists spell others."""
    return any(
        isinstance(node, Global) and all(part.isidentifier() for name in node.written for part in name.split("."))
        for node in trace
    )


def mentions_arrays(trace: Iterable[Acting]) -> bool:
    """Whether something imports joblib's array wrapper, so that bytes may stand between the opcodes of a pickle."""
    return any(isinstance(node, Global) and node.name == ("joblib.numpy_pickle", "NumpyArrayWrapper") for node in trace)


def _try(head: bytes, size: int, limits: Limits = _BOUNDS) -> tuple[Reading, bool]:
    """The reading of a beginning, and whether it ended only because the rest was not there."""
    reading = trial(head, limits)
    if reading.fault is None or len(head) >= size:
        return reading, False
    # An opcode whose argument is a line faults in many ways when the line is cut.
    rest = head[reading.end :]
    return reading, not rest or (len(rest) <= _LINE and rest.count(b"\n") < 2)


def trial(head: bytes, limits: Limits = _BOUNDS) -> Reading:
    """Read the pickle at the beginning of `head`, as if nothing followed."""
    return _known_trial(head, limits) if len(head) <= _SMALL else _trial(head, limits)


def _trial(head: bytes, limits: Limits) -> Reading:
    if limits is _BOUNDS and len(head) > _HEAD:
        limits = replace(_BOUNDS, opcodes=len(head))
    return read_pickle(MemoryBlob(head), location=Location(""), limits=limits)


_known_trial = functools.lru_cache(maxsize=256)(_trial)


def head_of(blob: Blob) -> bytes:
    """As much of a blob as any sniffing may look at."""
    return blob.read_at(0, _HEAD)
