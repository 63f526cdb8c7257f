"""What each pickle opcode does to the inert machine: one function per opcode, in a table by its byte.

An action gets the machine and the position after the opcode's byte. It returns the position of the next opcode, and
0 for STOP. The machine has made sure that the argument bytes named by `WIDTHS` are in its buffer, and it catches the
`IndexError` of an empty stack.

Opcodes that readers treat differently, or that no pickler writes so, are noted as anomalies (`graph.ANOMALIES`).
"""

from __future__ import annotations

import math
import re
import struct
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from codecs import raw_unicode_escape_decode
from collections.abc import Callable
from typing import TYPE_CHECKING

from safeload.core.graph import (
    Build,
    Call,
    Dict,
    Extension,
    FrozenSet,
    Global,
    How,
    List,
    OutOfBand,
    Persistent,
    Set,
    Tuple,
    Value,
    depth_over,
)
from safeload.core.names import GlobalName, escape

if TYPE_CHECKING:
    from safeload.core.machine import Machine

Action = Callable[["Machine", int], int]


class Fault(Exception):
    """Reading cannot go on. Never leaves `read_pickle`, which makes it the error of the reading."""


class Truncated(Fault):
    """The bytes end before what they promise."""


class Limit(Fault):
    """A limit is exceeded: the name of the field, and what the bytes asked for."""

    def __init__(self, field: str, wanted: int) -> None:
        super().__init__(field)
        self.field = field
        self.wanted = wanted


def _unknown(m: Machine, position: int) -> int:
    raise Fault(f"byte {m.buffer[position - 1]:#04x} is not a pickle opcode")


ACTIONS: list[Action] = [_unknown] * 256
WIDTHS: list[int] = [0] * 256
"""How many bytes after the opcode's own always belong to it: a number, or the length of what follows."""


def _opcode(code: bytes, width: int = 0) -> Callable[[Action], Action]:
    def register(action: Action) -> Action:
        ACTIONS[code[0]] = action
        WIDTHS[code[0]] = width
        return action

    return register


_u2 = struct.Struct("<H").unpack_from
_u4 = struct.Struct("<I").unpack_from
_u8 = struct.Struct("<Q").unpack_from
_i4 = struct.Struct("<i").unpack_from
_f8 = struct.Struct(">d").unpack_from

_HIGHEST_PROTOCOL = 5
_LONG = 1 << 16
"""Byte strings longer than this are referenced in place."""


# ── the stream itself ───────────────────────────────────────────────────────────────────────────────────────────


@_opcode(b".")
def _stop(m: Machine, position: int) -> int:
    return 0


@_opcode(b"\x80", 1)
def _proto(m: Machine, position: int) -> int:
    protocol = m.buffer[position]
    if protocol > _HIGHEST_PROTOCOL:
        raise Fault(f"protocol {protocol} does not exist")
    if m.base + m.at != m.start:
        m.note("protocol-again")
    m.protocol = protocol
    return position + 1


@_opcode(b"\x95", 8)
def _frame(m: Machine, position: int) -> int:
    (length,) = _u8(m.buffer, position)
    position += 8
    m.leave_frame(position)
    m.begin_frame(position, length)
    return position


# ── the stack ───────────────────────────────────────────────────────────────────────────────────────────────────


@_opcode(b"(")
def _mark(m: Machine, position: int) -> int:
    if len(m.below) >= m.deepest:
        raise Limit("depth", len(m.below) + 1)
    m.below.append(m.stack)
    m.stack = []
    return position


def _pop_mark(m: Machine) -> list[Value]:
    if not m.below:
        raise Fault("an opcode needs a MARK and there is none")
    items, m.stack = m.stack, m.below.pop()
    return items


@_opcode(b"0")
def _pop(m: Machine, position: int) -> int:
    if m.stack:
        m.stack.pop()
    else:
        _pop_mark(m)
    return position


@_opcode(b"1")
def _pop_to_mark(m: Machine, position: int) -> int:
    _pop_mark(m)
    return position


@_opcode(b"2")
def _dup(m: Machine, position: int) -> int:
    m.stack.append(m.stack[-1])
    return position


# ── the memo ────────────────────────────────────────────────────────────────────────────────────────────────────


@_opcode(b"q", 1)
def _binput(m: Machine, position: int) -> int:
    m.memo[m.buffer[position]] = m.stack[-1]
    return position + 1


@_opcode(b"r", 4)
def _long_binput(m: Machine, position: int) -> int:
    (index,) = _u4(m.buffer, position)
    if index > m.most_memo:
        raise Limit("memo", index)
    m.memo[index] = m.stack[-1]
    return position + 4


@_opcode(b"p")
def _put(m: Machine, position: int) -> int:
    data, position = m.line(position)
    index = _integer(m, data, 10)
    if index > m.most_memo:
        raise Limit("memo", index)
    if index < 0:
        raise Fault(f"memo entry {index} cannot be")
    m.memo[index] = m.stack[-1]
    return position


@_opcode(b"\x94")
def _memoize(m: Machine, position: int) -> int:
    memo = m.memo
    memo[len(memo)] = m.stack[-1]
    return position


@_opcode(b"h", 1)
def _binget(m: Machine, position: int) -> int:
    try:
        m.stack.append(m.memo[m.buffer[position]])
    except KeyError as index:
        raise Fault(f"memo entry {index} is used before it is set") from None
    return position + 1


@_opcode(b"j", 4)
def _long_binget(m: Machine, position: int) -> int:
    _recall(m, _u4(m.buffer, position)[0])
    return position + 4


@_opcode(b"g")
def _get(m: Machine, position: int) -> int:
    data, position = m.line(position)
    _recall(m, _integer(m, data, 10))
    return position


def _recall(m: Machine, index: int) -> None:
    try:
        m.stack.append(m.memo[index])
    except KeyError:
        raise Fault(f"memo entry {index} is used before it is set") from None


# ── constants ───────────────────────────────────────────────────────────────────────────────────────────────────


@_opcode(b"N")
def _none(m: Machine, position: int) -> int:
    m.stack.append(None)
    return position


@_opcode(b"\x88")
def _newtrue(m: Machine, position: int) -> int:
    m.stack.append(True)
    return position


@_opcode(b"\x89")
def _newfalse(m: Machine, position: int) -> int:
    m.stack.append(False)
    return position


@_opcode(b"K", 1)
def _binint1(m: Machine, position: int) -> int:
    m.stack.append(m.buffer[position])
    return position + 1


@_opcode(b"M", 2)
def _binint2(m: Machine, position: int) -> int:
    m.stack.append(_u2(m.buffer, position)[0])
    return position + 2


@_opcode(b"J", 4)
def _binint(m: Machine, position: int) -> int:
    m.stack.append(_i4(m.buffer, position)[0])
    return position + 4


def _binlong(m: Machine, position: int, length: int) -> int:
    m.fits(position, length, "number_bytes")
    m.stack.append(int.from_bytes(m.read(position, length), "little", signed=True))
    return position + length


@_opcode(b"\x8a", 1)
def _long1(m: Machine, position: int) -> int:
    return _binlong(m, position + 1, m.buffer[position])


@_opcode(b"\x8b", 4)
def _long4(m: Machine, position: int) -> int:
    length: int = _i4(m.buffer, position)[0]
    if length < 0:
        raise Fault(f"a number of {length} bytes cannot be")
    return _binlong(m, position + 4, length)


@_opcode(b"I")
def _int(m: Machine, position: int) -> int:
    data, position = m.line(position)
    m.stack.append(data == b"01" if data in (b"00", b"01") else _integer(m, data, 0))
    return position


@_opcode(b"L")
def _long(m: Machine, position: int) -> int:
    data, position = m.line(position)
    m.stack.append(_integer(m, data.removesuffix(b"L"), 0))
    return position


_DECIMAL = re.compile(rb"(?:0|-?[1-9][0-9]*)\Z")
_OCTAL = re.compile(rb"\s*[-+]?0[0-7]+\Z")


def _integer(m: Machine, data: bytes, base: int) -> int:
    """A number in text, as C reads it: up to a NUL, and base 0 knows `010` for eight."""
    if len(data) > m.limits.number_bytes:
        raise Limit("number_bytes", len(data))
    if not _DECIMAL.match(data):
        m.note("number-text", f"the number {escape(data.decode('latin-1'))!r} is not in plain decimal")
        data = data.partition(b"\0")[0]
        base = 8 if base == 0 and _OCTAL.match(data) else base
    try:
        return int(data, base)
    except ValueError:
        raise Fault(f"{escape(data.decode('latin-1'))!r} is not a number") from None


_PLAIN_FLOAT = re.compile(rb"-?(?:[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|inf|nan)\Z")


@_opcode(b"F")
def _float(m: Machine, position: int) -> int:
    data, position = m.line(position)
    if len(data) > m.limits.number_bytes:
        raise Limit("number_bytes", len(data))
    shown = escape(data.decode("latin-1"))
    try:
        value = float(data.partition(b"\0")[0])
    except ValueError:
        raise Fault(f"{shown!r} is not a number") from None
    if not _PLAIN_FLOAT.match(data) or (math.isinf(value) and not data.endswith(b"inf")):
        m.note("number-text", f"the number {shown!r} is not in plain form")
    m.stack.append(value)
    return position


@_opcode(b"G", 8)
def _binfloat(m: Machine, position: int) -> int:
    m.stack.append(_f8(m.buffer, position)[0])
    return position + 8


# ── text and bytes ──────────────────────────────────────────────────────────────────────────────────────────────


def _decode(data: bytes, encoding: str, errors: str = "strict") -> str:
    try:
        if encoding == "raw-unicode-escape":  # without looking the codec up: that would be an import
            return raw_unicode_escape_decode(data)[0]
        return data.decode(encoding, errors)
    except UnicodeDecodeError as error:
        raise Fault(f"text is not {encoding}: {error.reason}") from None


def _text(m: Machine, position: int, length: int) -> int:
    m.fits(position, length, "text_bytes")
    m.stack.append(_decode(m.read(position, length), "utf-8", "surrogatepass"))
    return position + length


@_opcode(b"X", 4)
def _binunicode(m: Machine, position: int) -> int:
    return _text(m, position + 4, _u4(m.buffer, position)[0])


@_opcode(b"\x8c", 1)
def _short_binunicode(m: Machine, position: int) -> int:
    return _text(m, position + 1, m.buffer[position])


@_opcode(b"\x8d", 8)
def _binunicode8(m: Machine, position: int) -> int:
    return _text(m, position + 8, _u8(m.buffer, position)[0])


@_opcode(b"V")
def _unicode(m: Machine, position: int) -> int:
    data, position = m.line(position)
    m.stack.append(_decode(data, "raw-unicode-escape"))
    return position


def _string(m: Machine, data: bytes) -> None:
    """A Python 2 `str`: text where it is ASCII, else the bytes it was."""
    m.stack.append(data.decode("ascii") if data.isascii() else data)


def _counted_string(m: Machine, position: int, length: int) -> int:
    m.fits(position, length, "text_bytes")
    _string(m, m.read(position, length))
    return position + length


@_opcode(b"T", 4)
def _binstring(m: Machine, position: int) -> int:
    (length,) = _u4(m.buffer, position)
    if length >= 1 << 31:
        m.note("length-negative")
    return _counted_string(m, position + 4, length)


@_opcode(b"U", 1)
def _short_binstring(m: Machine, position: int) -> int:
    return _counted_string(m, position + 1, m.buffer[position])


_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{2})|([abfnrtv\\'\"])|.?)", re.DOTALL)
_ESCAPED = {
    bytes((code,)): bytes((value,)) for code, value in zip(b"abfnrtv\\'\"", b"\a\b\f\n\r\t\v\\'\"", strict=True)
}


def _unescape(match: re.Match[bytes]) -> bytes:
    octal, hexadecimal, letter = match.groups()
    if octal is not None:
        return bytes((int(octal, 8) & 0xFF,))
    if hexadecimal is not None:
        return bytes((int(hexadecimal, 16),))
    if letter is not None:
        return _ESCAPED[letter]
    if match[0] in (b"\\", b"\\x"):
        raise Fault("a STRING with a broken escape")
    return match[0]  # unknown escapes stand for themselves


@_opcode(b"S")
def _quoted_string(m: Machine, position: int) -> int:
    data, position = m.line(position)
    if len(data) < 2 or data[0] != data[-1] or data[0] not in b"'\"":
        raise Fault("a STRING without its quotes")
    _string(m, _ESCAPE.sub(_unescape, data[1:-1]))
    return position


def _bytes(m: Machine, position: int, length: int) -> int:
    m.fits(position, length, "argument_bytes")
    if length <= _LONG:
        m.stack.append(m.read(position, length))
    else:
        m.make(m.span(position, length))
    return position + length


@_opcode(b"B", 4)
def _binbytes(m: Machine, position: int) -> int:
    return _bytes(m, position + 4, _u4(m.buffer, position)[0])


@_opcode(b"C", 1)
def _short_binbytes(m: Machine, position: int) -> int:
    return _bytes(m, position + 1, m.buffer[position])


@_opcode(b"\x8e", 8)
def _binbytes8(m: Machine, position: int) -> int:
    return _bytes(m, position + 8, _u8(m.buffer, position)[0])


@_opcode(b"\x96", 8)
def _bytearray8(m: Machine, position: int) -> int:
    length: int = _u8(m.buffer, position)[0]
    position += 8
    m.fits(position, length, "argument_bytes")
    m.make(m.span(position, length, mutable=True))
    return position + length


@_opcode(b"\x97")
def _next_buffer(m: Machine, position: int) -> int:
    m.make(OutOfBand(m.buffers))
    m.buffers += 1
    return position


@_opcode(b"\x98")
def _readonly_buffer(m: Machine, position: int) -> int:
    m.stack[-1]  # it must be there; nothing about it changes
    return position


# ── containers ──────────────────────────────────────────────────────────────────────────────────────────────────


@_opcode(b"]")
def _empty_list(m: Machine, position: int) -> int:
    m.make(List())
    return position


@_opcode(b"}")
def _empty_dict(m: Machine, position: int) -> int:
    m.make(Dict())
    return position


@_opcode(b"\x8f")
def _empty_set(m: Machine, position: int) -> int:
    m.make(Set())
    return position


@_opcode(b")")
def _empty_tuple(m: Machine, position: int) -> int:
    m.stack.append(_EMPTY)
    return position


_EMPTY = Tuple((), 1)


@_opcode(b"\x85")
def _tuple1(m: Machine, position: int) -> int:
    items = (m.stack.pop(),)
    m.make(Tuple(items, depth_over(items)))
    return position


@_opcode(b"\x86")
def _tuple2(m: Machine, position: int) -> int:
    second = m.stack.pop()
    items = (m.stack.pop(), second)
    m.make(Tuple(items, depth_over(items)))
    return position


@_opcode(b"\x87")
def _tuple3(m: Machine, position: int) -> int:
    third, second = m.stack.pop(), m.stack.pop()
    items = (m.stack.pop(), second, third)
    m.make(Tuple(items, depth_over(items)))
    return position


@_opcode(b"t")
def _tuple(m: Machine, position: int) -> int:
    items = _pop_mark(m)
    m.make(Tuple(items, depth_over(items)))
    return position


@_opcode(b"\x91")
def _frozenset(m: Machine, position: int) -> int:
    items = _pop_mark(m)
    m.make(FrozenSet(items, depth_over(items)))
    return position


@_opcode(b"l")
def _list(m: Machine, position: int) -> int:
    items = _pop_mark(m)
    m.make(List())
    _extend(m, List, items)
    return position


@_opcode(b"d")
def _dict(m: Machine, position: int) -> int:
    items = _pop_mark(m)
    m.make(Dict())
    _set_pairs(m, items)
    return position


@_opcode(b"a")
def _append(m: Machine, position: int) -> int:
    item = m.stack.pop()
    _extend(m, List, [item])
    return position


@_opcode(b"e")
def _appends(m: Machine, position: int) -> int:
    _extend(m, List, _pop_mark(m))
    return position


@_opcode(b"\x90")
def _additems(m: Machine, position: int) -> int:
    _extend(m, Set, _pop_mark(m))
    return position


def _extend(m: Machine, kind: type[List] | type[Set], items: list[Value]) -> None:
    target = m.stack[-1]
    if isinstance(target, kind) or (items and isinstance(target, Call)):
        if not target.items:
            target.items = items
        else:
            target.items.extend(items)
        m.deepen(target, items)
    else:  # for no items, C does not even look
        _note_target(m, target)


@_opcode(b"s")
def _setitem(m: Machine, position: int) -> int:
    value = m.stack.pop()
    _set_pairs(m, [m.stack.pop(), value])
    return position


@_opcode(b"u")
def _setitems(m: Machine, position: int) -> int:
    _set_pairs(m, _pop_mark(m))
    return position


def _set_pairs(m: Machine, items: list[Value]) -> None:
    target = m.stack[-1]
    if len(items) % 2:
        raise Fault("a key without its value")
    if isinstance(target, (Dict, Call)):
        if not target.pairs:
            target.pairs = []
        target.pairs.extend(zip(items[::2], items[1::2], strict=True))
        m.deepen(target, items)
    elif items:
        _note_target(m, target)


def _note_target(m: Machine, target: Value) -> None:
    """Somebody else's object is filled, or a container is used as another kind; the graph does not show it."""
    m.note("items-on-value", f"items are put into {target.name}" if isinstance(target, Global) else "")


# ── acts ────────────────────────────────────────────────────────────────────────────────────────────────────────


_ODD_NAME = re.compile(r"[^!-\[\]-~]")


def _import(m: Machine, module: str, name: str) -> Global:
    """What the stream imports here, with Python 2 names mapped as `Unpickler(fix_imports=True)` maps them."""
    if _ODD_NAME.search(module) or _ODD_NAME.search(name) or not module or not name:
        m.note("name-odd", f"the name {escape(module)!r} {escape(name)!r} is empty or holds an odd character")
    written = mapped = GlobalName(module, name)
    if m.protocol < 3:
        if written in NAME_MAPPING:
            mapped = GlobalName(*NAME_MAPPING[written])
        elif module in IMPORT_MAPPING:
            mapped = GlobalName(IMPORT_MAPPING[module], name)
    node = Global(mapped, written, m.base + m.at)
    m.trace.append(node)
    return node


@_opcode(b"c")
def _global(m: Machine, position: int) -> int:
    module, position = m.line(position)
    name, position = m.line(position)
    m.make(_import(m, _decode(module, "utf-8"), _decode(name, "utf-8")))
    return position


@_opcode(b"\x93")
def _stack_global(m: Machine, position: int) -> int:
    name = m.stack.pop()
    module = m.stack.pop()
    m.make(_import(m, _operand(module), _operand(name)))
    return position


def _operand(value: Value) -> str:
    """A name from the stack. A Python 2 `str` is text or bytes as the loading program says; torch says UTF-8."""
    if type(value) is bytes:
        return value.decode("utf-8", "backslashreplace")
    if type(value) is str:
        return value
    raise Fault("STACK_GLOBAL needs two strings")


def _call(m: Machine, callee: Value, args: Value, how: How, kwargs: Value = None) -> None:
    node = Call(callee, args, kwargs, how, m.base + m.at, depth_over((callee, args, kwargs)))
    m.trace.append(node)
    m.make(node)


@_opcode(b"R")
def _reduce(m: Machine, position: int) -> int:
    args = m.stack.pop()
    if not isinstance(args, Tuple):
        m.note("arguments-not-a-tuple")
    _call(m, m.stack.pop(), args, How.REDUCE)
    return position


def _new(m: Machine, args: Value, kwargs: Value = None, *, keywords: bool = True) -> None:
    callee = m.stack.pop()
    if not (keywords and isinstance(args, Tuple)):
        m.note("arguments-not-a-tuple")
    if not isinstance(callee, (Global, Extension)):
        m.note("new-of-value")
    _call(m, callee, args, How.NEWOBJ, kwargs)


@_opcode(b"\x81")
def _newobj(m: Machine, position: int) -> int:
    _new(m, m.stack.pop())
    return position


@_opcode(b"\x92")
def _newobj_ex(m: Machine, position: int) -> int:
    kwargs = m.stack.pop()
    _new(m, m.stack.pop(), kwargs, keywords=isinstance(kwargs, Dict))
    return position


@_opcode(b"i")
def _inst(m: Machine, position: int) -> int:
    module, position = m.line(position)
    name, position = m.line(position)
    callee = _import(m, _decode(module, "utf-8"), _decode(name, "utf-8"))
    if not m.below:
        m.note("mark-missing")
    items = _pop_mark(m)
    _call(m, callee, Tuple(items, depth_over(items)), How.INSTANCE)
    return position


@_opcode(b"o")
def _obj(m: Machine, position: int) -> int:
    items = _pop_mark(m)
    if not items:
        raise Fault("OBJ without a class")
    _call(m, items[0], Tuple(items[1:], depth_over(items)), How.INSTANCE)
    return position


@_opcode(b"b")
def _build(m: Machine, position: int) -> int:
    state = m.stack.pop()
    target = m.stack[-1]
    m.trace.append(Build(target, state, m.base + m.at))
    if not isinstance(target, Call):
        m.note("build-on-value")
        return position
    if not target.states:
        target.states = []
    target.states.append(state)
    m.deepen(target, (state,))
    if m.inline is None:
        return position
    length = m.inline(target, m.blob, m.base + position)
    if length:
        m.leave_frame(position)  # raw bytes stand between frames
        m.fits(position, length, "argument_bytes")
        target.inline = m.span(position, length)
    return position + length


def _persistent(m: Machine, id: Value) -> None:
    node = Persistent(id, m.base + m.at, depth_over((id,)))
    m.trace.append(node)
    m.make(node)


@_opcode(b"P")
def _persid(m: Machine, position: int) -> int:
    data, position = m.line(position)
    _persistent(m, _decode(data, "ascii"))
    return position


@_opcode(b"Q")
def _binpersid(m: Machine, position: int) -> int:
    _persistent(m, m.stack.pop())
    return position


def _extension(m: Machine, code: int) -> None:
    if code <= 0:
        raise Fault(f"extension code {code} cannot be")
    node = Extension(code, m.base + m.at)
    m.trace.append(node)
    m.make(node)


@_opcode(b"\x82", 1)
def _ext1(m: Machine, position: int) -> int:
    _extension(m, m.buffer[position])
    return position + 1


@_opcode(b"\x83", 2)
def _ext2(m: Machine, position: int) -> int:
    _extension(m, _u2(m.buffer, position)[0])
    return position + 2


@_opcode(b"\x84", 4)
def _ext4(m: Machine, position: int) -> int:
    _extension(m, _i4(m.buffer, position)[0])
    return position + 4
