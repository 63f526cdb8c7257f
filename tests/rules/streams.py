"""Pickles written opcode by opcode, so that one call can be spelled in every way the protocol has."""

from __future__ import annotations

import struct
from collections.abc import Callable

from safeload.core.blob import MemoryBlob
from safeload.core.finding import Finding, Status
from safeload.core.machine import read_pickle
from safeload.core.names import Location
from safeload.engine.allowlists import default_allowlist
from safeload.formats.base import Part, PickleStream
from safeload.rules import judge
from safeload.rules.base import Context

HERE = Location("model.bin", "data.pkl")


def stream(data: bytes, role: str = "data") -> PickleStream:
    return PickleStream(location=HERE, reading=read_pickle(MemoryBlob(data), location=HERE), role=role)


def findings(*parts: Part) -> tuple[Finding, ...]:
    return judge(parts, Context(allowlist=default_allowlist(), parts=parts))


def status(data: bytes) -> Status:
    """What a bare pickle is."""
    return max((finding.status for finding in findings(stream(data))), default=Status.SAFE)


def rules(data: bytes) -> set[str]:
    return {finding.rule for finding in findings(stream(data))}


def text(value: str, protocol: int = 4) -> bytes:
    data = value.encode()
    if protocol == 0:
        return b"V" + value.encode("raw_unicode_escape") + b"\n"
    return b"X" + struct.pack("<I", len(data)) + data


def _begin(protocol: int) -> bytes:
    return b"\x80" + bytes((protocol,)) if protocol >= 2 else b""


def _global(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def _reduce(module: str, name: str, args: bytes, protocol: int) -> bytes:
    return _begin(protocol) + _global(module, name) + b"(" + args + b"tR."


def _stack_reduce(module: str, name: str, args: bytes, protocol: int) -> bytes:
    return _begin(protocol) + text(module) + text(name) + b"\x93(" + args + b"tR."


def _memo_reduce(module: str, name: str, args: bytes, protocol: int) -> bytes:
    """The two strings are put into the memo, dropped, and fetched again."""
    kept = text(module) + b"q\x01" + b"0" + text(name) + b"q\x02" + b"0"
    return _begin(protocol) + kept + b"h\x01h\x02\x93(" + args + b"tR."


def _string_reduce(module: str, name: str, args: bytes, protocol: int) -> bytes:
    """The two strings are Python 2 strings."""
    return _begin(protocol) + f"S'{module}'\nS'{name}'\n".encode() + b"\x93(" + args + b"tR."


def _inst(module: str, name: str, args: bytes, protocol: int) -> bytes:
    return _begin(protocol) + b"(" + args + f"i{module}\n{name}\n.".encode()


def _obj(module: str, name: str, args: bytes, protocol: int) -> bytes:
    return _begin(protocol) + b"(" + _global(module, name) + args + b"o."


def _newobj(module: str, name: str, args: bytes, protocol: int) -> bytes:
    return _begin(protocol) + _global(module, name) + b"(" + args + b"t\x81."


def _newobj_ex(module: str, name: str, args: bytes, protocol: int) -> bytes:
    return _begin(protocol) + _global(module, name) + b"(" + args + b"t}\x92."


def _popped(module: str, name: str, args: bytes, protocol: int) -> bytes:
    """The result is thrown away and a harmless value takes its place."""
    return _reduce(module, name, args, protocol)[:-1] + b"0]."


def _broken(module: str, name: str, args: bytes, protocol: int) -> bytes:
    """The stream breaks right after the call."""
    return _reduce(module, name, args, protocol)[:-1] + b"\xff"


def _ext(module: str, name: str, args: bytes, protocol: int) -> bytes:
    return _begin(protocol) + b"\x82\x07(" + args + b"tR."


Writer = Callable[[str, str, bytes, int], bytes]
CALLS: dict[str, Writer] = {
    "reduce": _reduce,
    "stack-global": _stack_reduce,
    "memo": _memo_reduce,
    "string-operands": _string_reduce,
    "inst": _inst,
    "obj": _obj,
    "newobj": _newobj,
    "newobj-ex": _newobj_ex,
    "popped": _popped,
    "broken": _broken,
    "ext": _ext,
}
"""Every way to make a call, by name."""
