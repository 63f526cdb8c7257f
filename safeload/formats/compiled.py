"""Compiled programs: shared libraries, executables, Python bytecode."""

from __future__ import annotations

from collections.abc import Iterator

from safeload.core.blob import Blob
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Claims, Code, Format, Part
from safeload.formats.inside import called

_NATIVE = (
    b"\x7fELF",
    b"\xfe\xed\xfa\xce",
    b"\xfe\xed\xfa\xcf",
    b"\xce\xfa\xed\xfe",
    b"\xcf\xfa\xed\xfe",
    b"\xca\xfe\xba\xbe",
    b"!<arch>\n",
    b"\0asm",
    b"BC\xc0\xde",
)
_VERSIONS = range(3000, 4000)
"""The numbers with which bytecode of Python 3 begins."""


def _language(head: bytes, name: str) -> str | None:
    if head.startswith(_NATIVE):
        return "native"
    if head.startswith(b"MZ"):
        at = int.from_bytes(head[0x3C:0x40], "little")
        return "native" if head[at : at + 4] == b"PE\0\0" or name.lower().endswith((".dll", ".exe", ".pyd")) else None
    if len(head) >= 16 and head[2:4] == b"\r\n":
        number, flags = int.from_bytes(head[:2], "little"), int.from_bytes(head[4:8], "little")
        if name.lower().endswith((".pyc", ".pyo")) or (number in _VERSIONS and flags < 4):
            return "bytecode"
    return None


def _read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    language = _language(blob.read_at(0, 1 << 16), called(location)) or "native"
    yield Code(location=location, language=language)


FORMAT = Format(
    name="compiled",
    title="a compiled program",
    suffixes=(".so", ".dll", ".dylib", ".pyd", ".exe", ".pyc", ".pyo", ".o", ".a", ".wasm"),
    sniff=lambda head, tail, size, name: _language(head, name) is not None,
    read=_read,
    claims=Claims(begins=(*_NATIVE, b"MZ"), at=((2, b"\r\n"),)),
)
