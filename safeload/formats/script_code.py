"""The operators that a program for torch's runtimes calls: TorchScript source, mobile bytecode, exported graphs.

Programs are never called safe, so this reads no grammar: it lists every name that could be an operator.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from safeload.core.names import Location
from safeload.formats.base import Operator
from safeload.formats.inside import Overdrawn

_GAP = rb"(?:\s|\\\n|#[^\n]{0,500}\n){0,20}"
_DOT = _GAP + rb"\." + _GAP
_CALL = re.compile(
    rb"\b(torch|ops|prim|aten|math)"
    + _GAP
    + rb"\."
    + _GAP
    + rb"(?:(\w{1,80})"
    + _GAP
    + rb"\."
    + _GAP
    + rb")?(\w{1,120})\b"
)
_QUALIFIED = re.compile(rb"\b([A-Za-z_]\w{0,80})::(\w{1,120})")
_EXPORTED = re.compile(rb"torch\.ops\.(\w{1,80})\.(\w{1,120})")
_CLASS = re.compile(rb"__torch__\.torch\.classes\.(\w{1,80})\.(\w{1,120})")
_MOST = 100_000

SOURCE, BYTECODE, EXPORTED = "source", "bytecode", "exported"


def script_operators(text: bytes, location: Location, kind: str) -> Iterator[Operator]:
    """Each operator that a program may call, once. Custom classes count as operators of their namespace."""
    counts: dict[tuple[str, str], list[int]] = {}
    for space, name, at in _found(text, kind):
        counts.setdefault((space.decode("latin-1"), name.decode("latin-1")), [0, at])[0] += 1
        if len(counts) >= _MOST:
            break
    for (namespace, operator), (count, offset) in counts.items():
        yield Operator(
            location=location.at(offset), framework="torchscript", name=operator, domain=namespace, count=count
        )
    if len(counts) >= _MOST:
        raise Overdrawn("nodes", f"it calls {_MOST:,} different operators, and maybe more", location)


def _found(text: bytes, kind: str) -> Iterator[tuple[bytes, bytes, int]]:
    if kind == SOURCE:
        for match in _CALL.finditer(text):
            root, middle, name = match.groups()
            if root == b"ops" or middle == b"ops":
                yield (middle or b"", name, match.start()) if root == b"ops" else (b"ops", name, match.start())
            elif root != b"math":
                yield b"aten" if root == b"torch" else root, middle or name, match.start()
                yield b"aten" if root == b"torch" else root, name, match.start()
    elif kind == BYTECODE:
        for match in _QUALIFIED.finditer(text):
            yield match[1], match[2], match.start()
    else:
        for match in _EXPORTED.finditer(text):
            yield match[1], match[2], match.start()
    for match in _CLASS.finditer(text):
        yield b"class " + match[1], match[2], match.start()
