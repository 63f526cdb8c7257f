"""Constants that a source puts together: text in pieces, encoded, reversed, compressed. Computed here, within bounds.

Only what is listed is computed, on constants, by code of ours; everything else is `None`: not a constant.
"""

from __future__ import annotations

import ast
import base64
import binascii
import bz2
import lzma
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

Plain = str | bytes | int
_MOST = 1 << 18
"""Characters, bytes or bits of one constant."""

_PLAIN_FORMAT = re.compile(r"(?:[^%]|%[scdx%])*", re.DOTALL)
_OPERATIONS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = MappingProxyType(
    {
        ast.Add: lambda a, b: a + b,
        ast.Sub: lambda a, b: a - b,
        ast.BitXor: lambda a, b: a ^ b,
        ast.BitAnd: lambda a, b: a & b,
        ast.BitOr: lambda a, b: a | b,
        ast.FloorDiv: lambda a, b: a // b,
    }
)


def operate(operator: ast.operator, left: Plain, right: Plain) -> Plain | None:
    """A binary operation on two constants."""
    try:
        if isinstance(operator, ast.Mult):
            return _repeated(left, right)
        if isinstance(operator, ast.Mod):
            return left % right if isinstance(left, int) and isinstance(right, int) else formatted(left, (right,))
        if type(operator) in _OPERATIONS:
            return bounded(_OPERATIONS[type(operator)](left, right))
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        pass  # Python would raise, so there is no constant
    return None


def _repeated(left: Plain, right: Plain) -> Plain | None:
    size = len(left) if not isinstance(left, int) else left.bit_length()
    if isinstance(right, int) and (not isinstance(left, int) or right.bit_length() + size < _MOST):
        if isinstance(left, int) or right * size <= _MOST:
            return left * right
    elif isinstance(left, int) and not isinstance(right, int) and left * len(right) <= _MOST:
        return right * left
    return None


def formatted(template: Plain, values: Sequence[Plain]) -> Plain | None:
    """`%` with plain conversions only: a width could ask for any amount of memory."""
    if not isinstance(template, str) or not _PLAIN_FORMAT.fullmatch(template):
        return None
    try:
        return bounded(template % tuple(values))
    except (TypeError, ValueError, OverflowError):
        return None


def bounded(value: object) -> Plain | None:
    """The value if it is a constant of ours and not too large."""
    if isinstance(value, (bytearray, memoryview)):
        value = bytes(value)
    if isinstance(value, bool) or not isinstance(value, (str, bytes, int)):
        return None
    size = value.bit_length() if isinstance(value, int) else len(value)
    return value if size <= _MOST else None


def sliced(value: Plain, low: int | None, high: int | None, step: int | None) -> Plain | None:
    if isinstance(value, int) or step == 0:
        return None
    return value[slice(low, high, step)]


_METHODS = frozenset(
    {"lower", "upper", "swapcase", "title", "strip", "lstrip", "rstrip", "replace", "encode", "decode", "removeprefix"}
    | {"removesuffix", "hex", "casefold", "capitalize", "format"}
)
_CODECS = frozenset({"utf-8", "utf8", "utf_8", "ascii", "latin-1", "latin1", "utf-16", "utf-16-le", "utf-32"})


def method(value: Plain, name: str, arguments: Sequence[Plain]) -> Plain | None:
    """What a method of a constant gives."""
    if name not in _METHODS or isinstance(value, int):
        return None
    if name in ("encode", "decode"):
        return _transcoded(value, arguments)
    if name == "replace" and any(isinstance(a, int) or len(a) > 1_000 for a in arguments):
        return None
    if name == "format" and ("{" in value.replace("{}", "") if isinstance(value, str) else True):
        return None
    try:
        return bounded(getattr(value, name)(*arguments))  # `name` is one of `_METHODS`
    except (TypeError, ValueError, IndexError):
        return None


def _transcoded(value: Plain, arguments: Sequence[Plain]) -> Plain | None:
    encoding = arguments[0] if arguments else "utf-8"
    if not isinstance(encoding, str) or isinstance(value, int):
        return None
    encoding = encoding.lower()
    try:
        if encoding in ("hex", "base64", "rot13", "rot_13", "zlib", "bz2"):
            return decoded(encoding, value)
        if encoding not in _CODECS:
            return None
        return value.encode(encoding) if isinstance(value, str) else value.decode(encoding)
    except UnicodeError:
        return None


def decoded(encoding: str, value: Plain) -> Plain | None:
    """What a decoder of the standard library, by its full name, or a codec makes of a constant."""
    if isinstance(value, int):
        return None
    if encoding in ("rot13", "rot_13"):
        return value.translate(_ROT13) if isinstance(value, str) else None
    decoder = _DECODERS.get(encoding)
    data = value if isinstance(value, bytes) else value.encode("utf-8", "replace")
    try:
        return bounded(decoder(data)) if decoder is not None else None
    except (ValueError, binascii.Error, zlib.error, EOFError, OSError, lzma.LZMAError):
        return None


_ROT13 = str.maketrans(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "NOPQRSTUVWXYZABCDEFGHIJKLMnopqrstuvwxyzabcdefghijklm"
)


def _inflated(data: bytes) -> bytes | None:
    for wbits in (15, 31, -15):
        try:
            return zlib.decompressobj(wbits).decompress(data, _MOST)
        except zlib.error:
            continue  # perhaps with another header
    return None


_DECODERS: Mapping[str, Callable[[bytes], object]] = MappingProxyType(
    {
        "base64": base64.b64decode,
        "hex": binascii.unhexlify,
        "zlib": _inflated,
        "bz2": lambda data: bz2.BZ2Decompressor().decompress(data, _MOST),
        "base64.b64decode": base64.b64decode,
        "base64.standard_b64decode": base64.b64decode,
        "base64.urlsafe_b64decode": base64.urlsafe_b64decode,
        "base64.decodebytes": base64.b64decode,
        "base64.b32decode": base64.b32decode,
        "base64.b16decode": base64.b16decode,
        "base64.a85decode": base64.a85decode,
        "base64.b85decode": base64.b85decode,
        "binascii.a2b_base64": base64.b64decode,
        "binascii.unhexlify": binascii.unhexlify,
        "binascii.a2b_hex": binascii.unhexlify,
        "builtins.bytes.fromhex": lambda data: bytes.fromhex(data.decode("ascii")),
        "builtins.bytearray.fromhex": lambda data: bytes.fromhex(data.decode("ascii")),
        "zlib.decompress": _inflated,
        "gzip.decompress": _inflated,
        "bz2.decompress": lambda data: bz2.BZ2Decompressor().decompress(data, _MOST),
        "lzma.decompress": lambda data: lzma.LZMADecompressor(memlimit=1 << 26).decompress(data, _MOST),
    }
)
DECODERS = frozenset(_DECODERS) | {"codecs.decode"}


def character(value: Plain) -> str | None:
    """`chr`."""
    return chr(value) if isinstance(value, int) and 0 <= value < 0x110000 else None
