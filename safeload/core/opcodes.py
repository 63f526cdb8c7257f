"""What each pickle opcode does to the inert machine: one small function per opcode, in a table by its byte.

An action gets the machine and the position after the opcode's byte. An opcode with an argument returns the position
after it, STOP returns 0, all others nothing. Before an action runs, the machine has made sure that the argument
bytes named by `WIDTHS` are in its buffer; it also catches the `IndexError` of an empty stack.

Opcodes that readers treat differently, or that no pickler writes so, are noted as anomalies.
"""

from __future__ import annotations

import math
import re
import struct
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from codecs import raw_unicode_escape_decode
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from safeload.core import graph
from safeload.core.graph import Call, Dict, Global, How, List, Node, Set, Tuple, Value, depth_over
from safeload.core.names import GlobalName, escape

if TYPE_CHECKING:
    from safeload.core.machine import Machine

Action = Callable[["Machine", int], "int | None"]
Taker = Callable[["Machine", int, int], int]
"""Gets the position after a fixed-size argument and its value, and returns the position of the next opcode."""


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


def _unknown(m: Machine, position: int) -> None:
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


def _fixed(forms: Mapping[bytes, str]) -> Callable[[Taker], Taker]:
    """Opcodes whose argument is a number, or begins with one: in the form that stands beside each."""

    def register(take: Taker) -> Taker:
        for code, form in forms.items():
            ACTIONS[code[0]], WIDTHS[code[0]] = _unpacked(struct.Struct(form), take), struct.calcsize(form)
        return take

    return register


def _unpacked(form: struct.Struct, take: Taker) -> Action:
    width, unpack = form.size, form.unpack_from
    return lambda m, position: take(m, position + width, unpack(m.buffer, position)[0])


def _line(code: bytes) -> Callable[[Callable[[Machine, bytes], None]], None]:
    """An opcode whose argument is one line of text."""

    def register(take: Callable[[Machine, bytes], None]) -> None:
        def action(m: Machine, position: int) -> int:
            data, position = m.line(position)
            take(m, data)
            return position

        _opcode(code)(action)

    return register


_HIGHEST_PROTOCOL = 5
_LONG = 1 << 16
"""Byte strings longer than this are referenced in place."""


# ── the stream itself ───────────────────────────────────────────────────────────────────────────────────────────


@_opcode(b".")
def _stop(m: Machine, position: int) -> int:
    return 0


@_fixed({b"\x80": "B"})
def _proto(m: Machine, position: int, protocol: int) -> int:
    if protocol > _HIGHEST_PROTOCOL:
        raise Fault(f"protocol {protocol} does not exist")
    if m.base + m.at != m.start:
        m.note("protocol-again")
    m.protocol = protocol
    return position


@_fixed({b"\x95": "<Q"})
def _frame(m: Machine, position: int, length: int) -> int:
    m.leave_frame(position)
    m.begin_frame(position, length)
    return position


# ── the stack ───────────────────────────────────────────────────────────────────────────────────────────────────


@_opcode(b"(")
def _mark(m: Machine, position: int) -> None:
    if len(m.below) >= m.deepest:
        raise Limit("depth", len(m.below) + 1)
    m.below.append(m.stack)
    m.stack = []


def _pop_mark(m: Machine) -> list[Value]:
    if not m.below:
        raise Fault("an opcode needs a MARK and there is none")
    items, m.stack = m.stack, m.below.pop()
    return items


@_opcode(b"0")
def _pop(m: Machine, position: int) -> None:
    if m.stack:
        m.stack.pop()
    else:
        _pop_mark(m)


@_opcode(b"1")
def _pop_to_mark(m: Machine, position: int) -> None:
    _pop_mark(m)


_opcode(b"2")(lambda m, position: m.stack.append(m.stack[-1]))


# ── the memo ────────────────────────────────────────────────────────────────────────────────────────────────────


class Memo(dict[int, Value]):
    def __missing__(self, index: int) -> Value:
        raise Fault(f"memo entry {index} is used before it is set")


@_opcode(b"q", 1)
def _binput(m: Machine, position: int) -> int:
    if (index := m.buffer[position]) > m.most_memo:
        raise Limit("memo", index)
    m.memo[index] = m.stack[-1]
    return position + 1


@_fixed({b"r": "<I"})
def _remember(m: Machine, position: int, index: int) -> int:
    if index > m.most_memo:
        raise Limit("memo", index)
    m.memo[index] = m.stack[-1]
    return position


@_line(b"p")
def _put(m: Machine, data: bytes) -> None:
    index = _integer(m, data, 10)
    if index < 0:
        raise Fault(f"memo entry {index} cannot be")
    _remember(m, 0, index)


MEMOIZE = b"\x94"[0]
"""Takes no argument and puts the top of the stack into the memo; `Machine.run` does it without a call."""


@_fixed({b"j": "<I"})
def _recall(m: Machine, position: int, index: int) -> int:
    m.stack.append(m.memo[index])
    return position


@_opcode(b"h", 1)
def _binget(m: Machine, position: int) -> int:
    m.stack.append(m.memo[m.buffer[position]])
    return position + 1


@_line(b"g")
def _get(m: Machine, data: bytes) -> None:
    _recall(m, 0, _integer(m, data, 10))


# ── constants ───────────────────────────────────────────────────────────────────────────────────────────────────


_opcode(b"N")(lambda m, position: m.stack.append(None))
_opcode(b"\x88")(lambda m, position: m.stack.append(True))
_opcode(b"\x89")(lambda m, position: m.stack.append(False))


@_opcode(b"K", 1)
def _binint1(m: Machine, position: int) -> int:
    m.stack.append(m.buffer[position])
    return position + 1


def _number(code: bytes, form: str) -> None:
    width, unpack = struct.calcsize(form), struct.Struct(form).unpack_from

    @_opcode(code, width)
    def number(m: Machine, position: int) -> int:
        m.stack.append(unpack(m.buffer, position)[0])
        return position + width


for _code, _form in {b"M": "<H", b"J": "<i", b"G": ">d"}.items():
    _number(_code, _form)


@_fixed({b"\x8a": "B", b"\x8b": "<i"})
def _binlong(m: Machine, position: int, length: int) -> int:
    if length < 0:
        raise Fault(f"a number of {length} bytes cannot be")
    m.stack.append(int.from_bytes(m.take(position, length, "number_bytes"), "little", signed=True))
    return position + length


@_line(b"I")
def _int(m: Machine, data: bytes) -> None:
    m.stack.append(data == b"01" if data in (b"00", b"01") else _integer(m, data, 0))


@_line(b"L")
def _long(m: Machine, data: bytes) -> None:
    m.stack.append(_integer(m, data.removesuffix(b"L"), 0))


_DECIMAL = re.compile(rb"(?:0|-?[1-9][0-9]*)\Z")
_OCTAL = re.compile(rb"\s*[-+]?0[0-7]+\Z")
_DECIMAL_FLOAT = re.compile(rb"-?(?:[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|inf|nan)\Z")


def _integer(m: Machine, data: bytes, base: int) -> int:
    """A number in text, as C reads it: up to a NUL, and base 0 knows `010` for eight (until Python 3.14: ten there)."""
    text = _number_text(m, data)
    if not _DECIMAL.match(data):
        m.note("number-text", f"the number {_shown(data)} is not in plain decimal")
        base = 8 if base == 0 and _OCTAL.match(text) else base
    try:
        return int(text, base)
    except ValueError:
        raise Fault(f"{_shown(data)} is not a number") from None


@_line(b"F")
def _float(m: Machine, data: bytes) -> None:
    try:
        value = float(_number_text(m, data))
    except ValueError:
        raise Fault(f"{_shown(data)} is not a number") from None
    if not _DECIMAL_FLOAT.match(data) or (math.isinf(value) and not data.endswith(b"inf")):
        m.note("number-text", f"the number {_shown(data)} is not in plain decimal")
    m.stack.append(value)


def _number_text(m: Machine, data: bytes) -> bytes:
    if len(data) > m.limits.number_bytes:
        raise Limit("number_bytes", len(data))
    return data.partition(b"\0")[0]


def _shown(data: bytes) -> str:
    return f"{escape(data.decode('latin-1'))!r}"


# ── text and bytes ──────────────────────────────────────────────────────────────────────────────────────────────


def _decode(data: bytes, encoding: str, errors: str = "strict") -> str:
    try:
        if encoding == "raw-unicode-escape":  # without looking the codec up: that would be an import
            return raw_unicode_escape_decode(data)[0]
        return data.decode(encoding, errors)
    except UnicodeDecodeError as error:
        raise Fault(f"text is not {encoding}: {error.reason}") from None


@_fixed({b"X": "<I", b"\x8d": "<Q"})
def _text(m: Machine, position: int, length: int) -> int:
    m.stack.append(_decode(m.take(position, length, "text_bytes"), "utf-8", "surrogatepass"))
    return position + length


@_opcode(b"\x8c", 1)
def _short_text(m: Machine, position: int) -> int:
    end = position + 1 + m.buffer[position]
    if end > m.pause or m.most_text < 0x100 or not (data := m.buffer[position + 1 : end]).isascii():
        return _text(m, position + 1, m.buffer[position])
    m.stack.append(data.decode())
    return end


@_line(b"V")
def _unicode(m: Machine, data: bytes) -> None:
    m.stack.append(_decode(data, "raw-unicode-escape"))


@_fixed({b"T": "<I", b"U": "B"})
def _counted_string(m: Machine, position: int, length: int) -> int:
    if length >= 1 << 31:
        m.note("length-negative")
    _string(m, m.take(position, length, "text_bytes"))
    return position + length


def _string(m: Machine, data: bytes) -> None:
    """A Python 2 `str`: text where it is ASCII, else the bytes it was."""
    m.stack.append(data.decode("ascii") if data.isascii() else data)


@_line(b"S")
def _quoted_string(m: Machine, data: bytes) -> None:
    if len(data) < 2 or data[0] != data[-1] or data[0] not in b"'\"":
        raise Fault("a STRING without its quotes")
    _string(m, _ESCAPE.sub(_unescape, data[1:-1]))


_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{2})|([abfnrtv\\'\"])|.?)", re.DOTALL)
_ESCAPED = bytes.maketrans(b"abfnrtv", b"\a\b\f\n\r\t\v")


def _unescape(match: re.Match[bytes]) -> bytes:
    octal, hexadecimal, letter = match.groups()
    if octal is not None:
        return bytes((int(octal, 8) & 0xFF,))
    if hexadecimal is not None:
        return bytes((int(hexadecimal, 16),))
    if letter is not None:
        return letter.translate(_ESCAPED)
    if match[0] in (b"\\", b"\\x"):
        raise Fault("a STRING with a broken escape")
    return match[0]  # unknown escapes stand for themselves


@_fixed({b"B": "<I", b"C": "B", b"\x8e": "<Q"})
def _bytes(m: Machine, position: int, length: int) -> int:
    m.fits(position, length, "argument_bytes")
    if length <= _LONG:
        m.stack.append(m.read(position, length))
    else:
        m.make(m.span(position, length))
    return position + length


@_fixed({b"\x96": "<Q"})
def _bytearray(m: Machine, position: int, length: int) -> int:
    m.fits(position, length, "argument_bytes")
    m.make(m.span(position, length, mutable=True))
    return position + length


@_opcode(b"\x97")
def _next_buffer(m: Machine, position: int) -> None:
    m.make(graph.OutOfBand(m.buffers))
    m.buffers += 1


@_opcode(b"\x98")
def _readonly_buffer(m: Machine, position: int) -> None:
    m.stack[-1]  # it must be there; nothing about it changes


# ── containers ──────────────────────────────────────────────────────────────────────────────────────────────────

_EMPTY = Tuple((), 1)

_opcode(b")")(lambda m, position: m.stack.append(_EMPTY))
_opcode(b"]")(lambda m, position: m.make(List()))
_opcode(b"}")(lambda m, position: m.make(Dict()))
_opcode(b"\x8f")(lambda m, position: m.make(Set()))


def _made(kind: type[Tuple] | type[graph.FrozenSet], items: list[Value] | tuple[Value, ...]) -> Node:
    return kind(tuple(items), depth_over(items))


_opcode(b"\x85")(lambda m, position: m.make(_made(Tuple, (m.stack.pop(),))))


@_opcode(b"\x86")
def _tuple2(m: Machine, position: int) -> None:
    second = m.stack.pop()
    m.make(_made(Tuple, (m.stack.pop(), second)))


@_opcode(b"\x87")
def _tuple3(m: Machine, position: int) -> None:
    third, second = m.stack.pop(), m.stack.pop()
    m.make(_made(Tuple, (m.stack.pop(), second, third)))


_opcode(b"t")(lambda m, position: m.make(_made(Tuple, _pop_mark(m))))
_opcode(b"\x91")(lambda m, position: m.make(_made(graph.FrozenSet, _pop_mark(m))))


@_opcode(b"l")
def _list(m: Machine, position: int) -> None:
    items = _pop_mark(m)
    m.make(List())
    _extend(m, List, items)


@_opcode(b"d")
def _dict(m: Machine, position: int) -> None:
    items = _pop_mark(m)
    m.make(Dict())
    _set_pairs(m, items)


_opcode(b"a")(lambda m, position: _extend(m, List, [m.stack.pop()]))
_opcode(b"e")(lambda m, position: _extend(m, List, _pop_mark(m)))
_opcode(b"\x90")(lambda m, position: _extend(m, Set, _pop_mark(m)))


def _extend(m: Machine, kind: type[List] | type[Set], items: list[Value]) -> None:
    target = m.stack[-1]
    if isinstance(target, kind) or (items and isinstance(target, Call)):
        target.items = target.items or []
        target.items.extend(items)
        m.deepen(target, items)
    else:  # for no items, C does not even look
        _note_target(m, target)


_opcode(b"s")(lambda m, position: _set_pairs(m, [m.stack.pop(), m.stack.pop()][::-1]))
_opcode(b"u")(lambda m, position: _set_pairs(m, _pop_mark(m)))


def _set_pairs(m: Machine, items: list[Value]) -> None:
    target = m.stack[-1]
    if len(items) % 2:
        raise Fault("a key without its value")
    if isinstance(target, (Dict, Call)):
        m.deepen(target, items)
        half = iter(items)
        target.pairs = target.pairs or []
        target.pairs.extend(zip(half, half))  # noqa: B905 (they are even)
    elif items:
        _note_target(m, target)


def _note_target(m: Machine, target: Value) -> None:
    """Somebody else's object is filled, or a container is used as another kind; the graph does not show it."""
    m.note("items-on-value", f"items are put into {target.name}" if isinstance(target, Global) else "")


# ── acts ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _act(m: Machine, node: graph.Acting) -> None:
    m.trace.append(node)
    m.make(node)


def _named(m: Machine, value: Value) -> str:
    """A module or a name. A Python 2 `str` is text or bytes as the loading program says; torch says UTF-8.

    Each is looked at once: the stack may hand over one of a megabyte a million times.
    """
    if value not in m.names:
        if not isinstance(value, str | bytes):
            raise Fault("STACK_GLOBAL needs two strings")
        text = value if isinstance(value, str) else value.decode("utf-8", "backslashreplace")
        if not (text.isascii() and text.isprintable() and text) or " " in text or "\\" in text:
            m.note("name-odd", f"the name {escape(text)!r} is empty or holds an odd character")
        m.names[value] = text
    return m.names[value]


def _import(m: Machine, module: Value, name: Value) -> Global:
    """What the stream imports here, with Python 2 names mapped as `Unpickler(fix_imports=True)` maps them."""
    written = mapped = GlobalName(_named(m, module), _named(m, name))
    if m.protocol < 3:
        if written in NAME_MAPPING:
            mapped = GlobalName(*NAME_MAPPING[written])
        elif written.module in IMPORT_MAPPING:
            mapped = GlobalName(IMPORT_MAPPING[written.module], written.name)
    return Global(mapped, written, m.base + m.at)


def _two_lines(m: Machine, position: int) -> tuple[Global, int]:
    module, position = m.line(position)
    name, position = m.line(position)
    return _import(m, _decode(module, "utf-8"), _decode(name, "utf-8")), position


@_opcode(b"c")
def _global(m: Machine, position: int) -> int:
    node, position = _two_lines(m, position)
    _act(m, node)
    return position


@_opcode(b"\x93")
def _stack_global(m: Machine, position: int) -> None:
    name, module = m.stack.pop(), m.stack.pop()
    _act(m, _import(m, module, name))


def _call(m: Machine, callee: Value, args: Value, how: How, kwargs: Value = None) -> None:
    _act(m, Call(callee, args, kwargs, how, m.base + m.at, depth_over((callee, args, kwargs))))


@_opcode(b"R")
def _reduce(m: Machine, position: int) -> None:
    args = m.stack.pop()
    if not isinstance(args, Tuple):
        m.note("arguments-not-a-tuple")
    _call(m, m.stack.pop(), args, How.REDUCE)


def _new(m: Machine, args: Value, kwargs: Value = None, *, keywords: bool = True) -> None:
    callee = m.stack.pop()
    if not (keywords and isinstance(args, Tuple)):
        m.note("arguments-not-a-tuple")
    if not isinstance(callee, (Global, graph.Extension)):
        m.note("new-of-value")
    _call(m, callee, args, How.NEWOBJ, kwargs)


_opcode(b"\x81")(lambda m, position: _new(m, m.stack.pop()))


@_opcode(b"\x92")
def _newobj_ex(m: Machine, position: int) -> None:
    kwargs = m.stack.pop()
    _new(m, m.stack.pop(), kwargs, keywords=isinstance(kwargs, Dict))


@_opcode(b"i")
def _inst(m: Machine, position: int) -> int:
    callee, position = _two_lines(m, position)
    m.trace.append(callee)
    if not m.below:
        m.note("mark-missing")
    _call(m, callee, _made(Tuple, _pop_mark(m)), How.INSTANCE)
    return position


@_opcode(b"o")
def _obj(m: Machine, position: int) -> None:
    items = _pop_mark(m)
    if not items:
        raise Fault("OBJ without a class")
    _call(m, items[0], _made(Tuple, items[1:]), How.INSTANCE)


@_opcode(b"b")
def _build(m: Machine, position: int) -> int:
    state = m.stack.pop()
    target = m.stack[-1]
    m.trace.append(graph.Build(target, state, m.base + m.at))
    if not isinstance(target, Call):
        m.note("build-on-value")
        return position
    m.deepen(target, (state,))
    target.states = target.states or []
    target.states.append(state)
    length = m.inline(target, m.blob, m.base + position) if m.inline is not None else 0
    if length:
        m.leave_frame(position)  # raw bytes stand between frames
        m.fits(position, length, "argument_bytes")
        target.inline = m.span(position, length)
    return position + length


def _persistent(m: Machine, id: Value) -> None:
    _act(m, graph.Persistent(id, m.base + m.at, depth_over((id,))))


_opcode(b"Q")(lambda m, position: _persistent(m, m.stack.pop()))
_line(b"P")(lambda m, data: _persistent(m, _decode(data, "ascii")))


@_fixed({b"\x82": "B", b"\x83": "<H", b"\x84": "<i"})
def _extension(m: Machine, position: int, code: int) -> int:
    if code <= 0:
        raise Fault(f"extension code {code} cannot be")
    _act(m, graph.Extension(code, m.base + m.at))
    return position
