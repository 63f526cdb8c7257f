"""The inert machine: a pickle's bytes in, a graph that cannot act and an ordered trace out.

Rules it keeps (the pickle protocol is that of CPython's `Lib/pickle.py`, PEP 307 and PEP 574):

1. It imports nothing, calls nothing, and compares no foreign values.
2. It knows every opcode of protocols 0 to 5, with the argument decoding that the C implementation does.
3. It never recurses: nesting in the input never becomes nesting on the Python stack.
4. It is total: any bytes give a `Reading`. What was read before a fault is part of it.
5. Every length is checked against the bytes that exist before anything is made of that length.
6. Where C `pickle`, Python `pickle` and `pickletools` would part ways, it notes an `Anomaly`.
"""

from __future__ import annotations

import re
import struct
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from codecs import escape_decode
from collections.abc import Callable, Sequence

from safeload.core.blob import Blob
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.graph import (
    NOTHING,
    Act,
    Anomaly,
    Build,
    Call,
    Dict,
    Event,
    Extension,
    FrozenSet,
    Global,
    How,
    List,
    Node,
    OutOfBand,
    Persistent,
    Reading,
    Set,
    Span,
    Tuple,
    Value,
)
from safeload.core.limits import Limits
from safeload.core.names import GlobalName, Location, escape

InlineHook = Callable[[Call, Blob, int], int]
"""`(object, blob, position) -> length` of the raw bytes that follow an object's BUILD; 0 where there are none."""

_CHUNK = 1 << 16
_LONG = 1 << 16
"""Byte strings longer than this are referenced in place."""
_NO_FRAME = 1 << 63
_HIGHEST_PROTOCOL = 5
_DECIMAL = re.compile(rb"-?(?:0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(rb"-?(?:[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|inf|nan)\Z")


def read_pickle(
    blob: Blob,
    offset: int = 0,
    *,
    location: Location,
    limits: Limits | None = None,
    inline: InlineHook | None = None,
) -> Reading:
    """Read the pickle that begins at `offset`, up to and including its STOP.

    Promises: returns for any bytes; imports, calls and opens nothing; takes time and memory proportional to the
    bytes read. Does **not** promise that the value means anything: that is for whoever interprets the graph.

    Args:
        blob: the bytes; the reading refers to them, so they must stay available as long as it is used.
        offset: where the pickle begins.
        location: the file and member, for errors.
        limits: bounds; the defaults of `Limits` if absent.
        inline: tells how many raw bytes follow an object, for formats that interleave them.
    """
    return _Machine(blob, offset, location, limits or Limits(), inline).run()


class _Fault(Exception):
    """Reading cannot go on; carries our error. Never leaves this module."""

    def __init__(self, error: MalformedInput) -> None:
        self.error = error


class _Machine:
    def __init__(
        self, blob: Blob, offset: int, location: Location, limits: Limits, inline: InlineHook | None
    ) -> None:
        self.blob = blob
        self.start = offset
        self.location = location
        self.limits = limits
        self.inline = inline
        self.buffer = b""
        self.base = offset  # where the buffer begins in the blob
        self.position = 0  # within the buffer
        self.at = offset  # where the current opcode stands in the blob
        self.frame_end = _NO_FRAME
        self.stack: list[Value] = []
        self.below: list[list[Value]] = []  # the stacks under each MARK
        self.memo: dict[int, Value] = {}
        self.trace: list[Event] = []
        self.anomalies: list[Anomaly] = []
        self.protocol = 0
        self.nodes = 0
        self.most_nodes = self.limits.nodes
        self.deepest = self.limits.depth
        self.buffers = 0

    def run(self) -> Reading:
        count = 0
        actions = _ACTIONS
        value: Value = NOTHING
        fault: MalformedInput | None = None
        try:
            for count in range(1, self.limits.opcodes + 1):
                if self.position >= len(self.buffer):
                    self.refill(1)
                opcode = self.buffer[self.position]
                self.at = self.base + self.position
                self.position += 1
                if actions[opcode](self):
                    value = self.pop()
                    break
                if self.base + self.position >= self.frame_end:
                    self.leave_frame()
            else:
                raise self.too_much("opcodes", self.limits.opcodes + 1)
            if self.base + self.position < self.frame_end < _NO_FRAME:
                self.note("frame-unfinished", "STOP stands before the end of its frame")
        except _Fault as stopped:
            fault = stopped.error
        return Reading(
            blob=self.blob,
            start=self.start,
            end=self.base + self.position,
            value=value,
            trace=tuple(self.trace),
            anomalies=tuple(self.anomalies),
            protocol=self.protocol,
            opcodes=count,
            fault=fault,
        )

    # ── errors ──────────────────────────────────────────────────────────────────────────────────────────────

    def fault(self, why: str) -> _Fault:
        return _Fault(
            MalformedInput(
                "a pickle cannot be read to its end",
                where=self.location.at(self.at),
                why=why,
                remedy="fetch the file again; if it stays so, ask its author for a safetensors version",
            )
        )

    def too_much(self, limit: str, wanted: int) -> _Fault:
        allowed: int = getattr(self.limits, limit)  # `limit` is a literal of this module
        return _Fault(LimitExceeded(limit, allowed=allowed, wanted=wanted, where=self.location.at(self.at)))

    def unknown(self) -> None:
        raise self.fault(f"byte {self.buffer[self.position - 1]:#04x} is not a pickle opcode")

    def note(self, kind: str, detail: str) -> None:
        self.anomalies.append(Anomaly(kind, self.at, detail))

    # ── bytes ───────────────────────────────────────────────────────────────────────────────────────────────

    def refill(self, wanted: int) -> None:
        """Make at least `wanted` bytes available from the current position, or fault."""
        start = self.base + self.position
        if wanted > self.blob.size - start:
            raise self.fault(f"it ends {wanted - max(0, self.blob.size - start)} bytes early (truncated)")
        self.buffer = self.blob.read_at(start, max(wanted, _CHUNK))
        self.base, self.position = start, 0
        if len(self.buffer) < wanted:
            raise self.fault("the file became shorter while it was read")

    def take(self, length: int) -> bytes:
        end = self.position + length
        if end > len(self.buffer):
            self.refill(length)
            end = length
        data = self.buffer[self.position : end]
        self.position = end
        return data

    def line(self) -> bytes:
        """The bytes up to the next newline, which is consumed and not returned."""
        searched = self.position
        while (end := self.buffer.find(b"\n", searched)) < 0:
            have = len(self.buffer) - self.position
            if have > self.limits.argument_bytes:
                raise self.too_much("argument_bytes", have)
            self.refill(have + 1 if have < _CHUNK else min(2 * have, self.remaining()) or have + 1)
            searched = have
        data = self.buffer[self.position : end]
        self.position = end + 1
        return data

    def remaining(self) -> int:
        return self.blob.size - self.base - self.position

    def unsigned(self, width: int) -> int:
        return int.from_bytes(self.take(width), "little")

    def length(self, width: int) -> int:
        """Read a length and check it, before anything of that length is made."""
        length = self.unsigned(width)
        if length > self.limits.argument_bytes:
            raise self.too_much("argument_bytes", length)
        if length > self.remaining():
            raise self.fault(f"an argument of {length:,} bytes begins with only {self.remaining():,} left (truncated)")
        return length

    def span(self, length: int, *, mutable: bool = False) -> Span:
        """Refer to the next `length` bytes without reading them."""
        start = self.base + self.position
        if self.position + length <= len(self.buffer):
            self.position += length
        else:
            self.buffer, self.base, self.position = b"", start + length, 0
        return Span(start, length, mutable=mutable)

    def leave_frame(self) -> None:
        if self.base + self.position > self.frame_end:
            self.note("frame-crossed", "an opcode reaches over the end of its frame, where C and Python pickle differ")
        self.frame_end = _NO_FRAME

    # ── stack ───────────────────────────────────────────────────────────────────────────────────────────────

    def push(self, value: Value) -> None:
        self.stack.append(value)

    def make(self, node: Node) -> None:
        """Push a new node, within the limits."""
        self.nodes += 1
        if self.nodes > self.most_nodes:
            raise self.too_much("nodes", self.nodes)
        if node.depth > self.deepest:
            raise self.too_much("depth", node.depth)
        self.stack.append(node)

    def pop(self) -> Value:
        if not self.stack:
            raise self.fault("an opcode needs a value and the stack is empty")
        return self.stack.pop()

    def top(self) -> Value:
        if not self.stack:
            raise self.fault("an opcode needs a value and the stack is empty")
        return self.stack[-1]

    def pop_mark(self) -> list[Value]:
        if not self.below:
            raise self.fault("an opcode needs a MARK and there is none")
        items, self.stack = self.stack, self.below.pop()
        return items

    def remember(self, index: int) -> None:
        if not 0 <= index <= self.limits.memo:
            raise self.too_much("memo", index)
        self.memo[index] = self.top()

    def recall(self, index: int) -> None:
        if index not in self.memo:
            raise self.fault(f"memo entry {index} is used before it is set")
        self.stack.append(self.memo[index])

    # ── acts ────────────────────────────────────────────────────────────────────────────────────────────────

    def name(self, module: str, name: str) -> Global:
        """What the stream imports here, with Python 2 names mapped as `Unpickler(fix_imports=True)` maps them."""
        written = mapped = GlobalName(module, name)
        if self.protocol < 3:
            if (module, name) in NAME_MAPPING:
                mapped = GlobalName(*NAME_MAPPING[module, name])
            elif module in IMPORT_MAPPING:
                mapped = GlobalName(IMPORT_MAPPING[module], name)
        node = Global(mapped, written, self.at)
        self.trace.append(Event(Act.IMPORT, self.at, node))
        return node

    def call(self, callee: Value, args: Value, how: How, kwargs: Value = None) -> None:
        node = Call(callee, args, kwargs, how, self.at, _depth_over((callee, args, kwargs)))
        self.trace.append(Event(Act.CALL, self.at, node))
        self.make(node)

    def extend(self, items: Sequence[Value], opcode: str) -> None:
        target = self.top()
        if not isinstance(target, (List, Call) if opcode != "ADDITEMS" else (Set, Call)):
            raise self.fault(f"{opcode} on something that is not a container")
        if not target.items and isinstance(target, Call):
            target.items = []
        target.items.extend(items)
        self.deepen(target, items)

    def set_pairs(self, items: Sequence[Value]) -> None:
        target = self.top()
        if not isinstance(target, (Dict, Call)):
            raise self.fault("SETITEMS on something that is not a dictionary")
        if len(items) % 2:
            raise self.fault("SETITEMS with a key and no value")
        if not target.pairs and isinstance(target, Call):
            target.pairs = []
        target.pairs.extend(zip(items[::2], items[1::2], strict=True))
        self.deepen(target, items)

    def deepen(self, target: Node, items: Sequence[Value]) -> None:
        depth = _depth_over(items)
        if depth > target.depth:
            target.depth = depth
            if depth > self.limits.depth:
                raise self.too_much("depth", depth)

    def text(self, data: bytes, encoding: str, errors: str = "strict") -> str:
        try:
            return data.decode(encoding, errors)
        except UnicodeDecodeError as error:
            raise self.fault(f"text is not {encoding}: {error.reason}") from None

    def string(self, data: bytes) -> None:
        """A Python 2 `str`: text where it is ASCII, else the bytes it was."""
        self.stack.append(data.decode("ascii") if data.isascii() else data)

    def decimal(self, data: bytes) -> int:
        if len(data) > self.limits.number_bytes:
            raise self.too_much("number_bytes", len(data))
        if not _DECIMAL.match(data):
            self.note("number-text", f"the number {escape(data.decode('latin-1'))} is not in plain decimal")
        try:
            return int(data, 0)
        except ValueError:
            raise self.fault(f"not a number: {escape(data.decode('latin-1'))}") from None


def _depth_over(items: Sequence[Value]) -> int:
    """The depth of a container that holds `items`."""
    depth = 0
    for item in items:
        if isinstance(item, Node) and item.depth > depth:
            depth = item.depth
    return depth + 1


# ── the opcodes, one function each; a true result means STOP ────────────────────────────────────────────────────

_Action = Callable[[_Machine], "bool | None"]
_ACTIONS: list[_Action] = [lambda m: m.unknown()] * 256


def _opcode(*codes: bytes) -> Callable[[_Action], _Action]:
    def register(action: _Action) -> _Action:
        for code in codes:
            _ACTIONS[code[0]] = action
        return action

    return register


@_opcode(b".")
def _stop(m: _Machine) -> bool:
    return True


@_opcode(b"\x80")
def _proto(m: _Machine) -> None:
    protocol = m.take(1)[0]
    if protocol > _HIGHEST_PROTOCOL:
        raise m.fault(f"protocol {protocol} does not exist")
    if m.at != m.start:
        m.note("protocol-again", "PROTO stands in the middle of the stream")
    m.protocol = protocol


@_opcode(b"\x95")
def _frame(m: _Machine) -> None:
    length = m.unsigned(8)
    if m.frame_end != _NO_FRAME:
        m.note("frame-nested", "a frame begins before the last one ended")
    if length > m.remaining():
        m.note("frame-past-end", "a frame is longer than what is left of the stream")
    m.frame_end = m.base + m.position + length


@_opcode(b"(")
def _mark(m: _Machine) -> None:
    if len(m.below) >= m.limits.depth:
        raise m.too_much("depth", len(m.below) + 1)
    m.below.append(m.stack)
    m.stack = []


@_opcode(b"0")
def _pop(m: _Machine) -> None:
    if m.stack:
        m.stack.pop()
    else:
        m.pop_mark()


@_opcode(b"1")
def _pop_mark(m: _Machine) -> None:
    m.pop_mark()


@_opcode(b"2")
def _dup(m: _Machine) -> None:
    m.push(m.top())


# constants


@_opcode(b"N")
def _none(m: _Machine) -> None:
    m.push(None)


@_opcode(b"\x88")
def _newtrue(m: _Machine) -> None:
    m.push(True)


@_opcode(b"\x89")
def _newfalse(m: _Machine) -> None:
    m.push(False)


@_opcode(b"I")
def _int(m: _Machine) -> None:
    data = m.line()
    m.push(data == b"01" if data in (b"00", b"01") else m.decimal(data))


@_opcode(b"L")
def _long(m: _Machine) -> None:
    m.push(m.decimal(m.line().removesuffix(b"L")))


@_opcode(b"J")
def _binint(m: _Machine) -> None:
    m.push(int.from_bytes(m.take(4), "little", signed=True))


@_opcode(b"K")
def _binint1(m: _Machine) -> None:
    m.push(m.take(1)[0])


@_opcode(b"M")
def _binint2(m: _Machine) -> None:
    m.push(m.unsigned(2))


@_opcode(b"\x8a", b"\x8b")
def _binlong(m: _Machine) -> None:
    length = m.unsigned(1 if m.buffer[m.position - 1] == 0x8A else 4)
    if length > m.limits.number_bytes:
        raise m.too_much("number_bytes", length)
    m.push(int.from_bytes(m.take(length), "little", signed=True))


@_opcode(b"F")
def _float(m: _Machine) -> None:
    data = m.line()
    if len(data) > m.limits.number_bytes:
        raise m.too_much("number_bytes", len(data))
    if not _FLOAT.match(data):
        m.note("number-text", f"the number {escape(data.decode('latin-1'))} is not in plain form")
    try:
        m.push(float(data))
    except ValueError:
        raise m.fault(f"not a number: {escape(data.decode('latin-1'))}") from None


@_opcode(b"G")
def _binfloat(m: _Machine) -> None:
    m.push(struct.unpack(">d", m.take(8))[0])


@_opcode(b"S")
def _string(m: _Machine) -> None:
    data = m.line()
    if len(data) < 2 or data[0] != data[-1] or data[0] not in b"'\"":
        raise m.fault("a STRING without its quotes")
    try:
        m.string(escape_decode(data[1:-1])[0])
    except ValueError as error:
        raise m.fault(f"a STRING with a broken escape: {escape(str(error))}") from None


@_opcode(b"T")
def _binstring(m: _Machine) -> None:
    m.string(m.take(m.length(4)))


@_opcode(b"U")
def _short_binstring(m: _Machine) -> None:
    m.string(m.take(m.length(1)))


@_opcode(b"V")
def _unicode(m: _Machine) -> None:
    m.push(m.text(m.line(), "raw-unicode-escape"))


@_opcode(b"X")
def _binunicode(m: _Machine) -> None:
    m.push(m.text(m.take(m.length(4)), "utf-8", "surrogatepass"))


@_opcode(b"\x8c")
def _short_binunicode(m: _Machine) -> None:
    m.push(m.text(m.take(m.length(1)), "utf-8", "surrogatepass"))


@_opcode(b"\x8d")
def _binunicode8(m: _Machine) -> None:
    m.push(m.text(m.take(m.length(8)), "utf-8", "surrogatepass"))


def _bytes(m: _Machine, length: int) -> None:
    if length <= _LONG:
        m.push(m.take(length))
    else:
        m.make(m.span(length))


@_opcode(b"B")
def _binbytes(m: _Machine) -> None:
    _bytes(m, m.length(4))


@_opcode(b"C")
def _short_binbytes(m: _Machine) -> None:
    _bytes(m, m.length(1))


@_opcode(b"\x8e")
def _binbytes8(m: _Machine) -> None:
    _bytes(m, m.length(8))


@_opcode(b"\x96")
def _bytearray8(m: _Machine) -> None:
    m.make(m.span(m.length(8), mutable=True))


@_opcode(b"\x97")
def _next_buffer(m: _Machine) -> None:
    m.make(OutOfBand(m.buffers))
    m.buffers += 1


@_opcode(b"\x98")
def _readonly_buffer(m: _Machine) -> None:
    m.top()


# containers


@_opcode(b"]")
def _empty_list(m: _Machine) -> None:
    m.make(List())


@_opcode(b"}")
def _empty_dict(m: _Machine) -> None:
    m.make(Dict())


@_opcode(b"\x8f")
def _empty_set(m: _Machine) -> None:
    m.make(Set())


def _tuple_of(m: _Machine, items: Sequence[Value]) -> None:
    m.make(Tuple(items, _depth_over(items)))


@_opcode(b")")
def _empty_tuple(m: _Machine) -> None:
    _tuple_of(m, ())


@_opcode(b"\x85")
def _tuple1(m: _Machine) -> None:
    _tuple_of(m, (m.pop(),))


@_opcode(b"\x86")
def _tuple2(m: _Machine) -> None:
    second, first = m.pop(), m.pop()
    _tuple_of(m, (first, second))


@_opcode(b"\x87")
def _tuple3(m: _Machine) -> None:
    third, second, first = m.pop(), m.pop(), m.pop()
    _tuple_of(m, (first, second, third))


@_opcode(b"t")
def _tuple(m: _Machine) -> None:
    _tuple_of(m, m.pop_mark())


@_opcode(b"l")
def _list(m: _Machine) -> None:
    items = m.pop_mark()
    m.make(List())
    m.extend(items, "LIST")


@_opcode(b"d")
def _dict(m: _Machine) -> None:
    items = m.pop_mark()
    m.make(Dict())
    m.set_pairs(items)


@_opcode(b"\x91")
def _frozenset(m: _Machine) -> None:
    items = m.pop_mark()
    m.make(FrozenSet(items, _depth_over(items)))


@_opcode(b"a")
def _append(m: _Machine) -> None:
    item = m.pop()
    m.extend((item,), "APPEND")


@_opcode(b"e")
def _appends(m: _Machine) -> None:
    m.extend(m.pop_mark(), "APPENDS")


@_opcode(b"\x90")
def _additems(m: _Machine) -> None:
    m.extend(m.pop_mark(), "ADDITEMS")


@_opcode(b"s")
def _setitem(m: _Machine) -> None:
    value, key = m.pop(), m.pop()
    m.set_pairs((key, value))


@_opcode(b"u")
def _setitems(m: _Machine) -> None:
    m.set_pairs(m.pop_mark())


# memo


@_opcode(b"p")
def _put(m: _Machine) -> None:
    m.remember(m.decimal(m.line()))


@_opcode(b"q")
def _binput(m: _Machine) -> None:
    m.remember(m.take(1)[0])


@_opcode(b"r")
def _long_binput(m: _Machine) -> None:
    m.remember(m.unsigned(4))


@_opcode(b"\x94")
def _memoize(m: _Machine) -> None:
    m.remember(len(m.memo))


@_opcode(b"g")
def _get(m: _Machine) -> None:
    m.recall(m.decimal(m.line()))


@_opcode(b"h")
def _binget(m: _Machine) -> None:
    m.recall(m.take(1)[0])


@_opcode(b"j")
def _long_binget(m: _Machine) -> None:
    m.recall(m.unsigned(4))


# acts


@_opcode(b"c")
def _global(m: _Machine) -> None:
    module, name = m.text(m.line(), "utf-8"), m.text(m.line(), "utf-8")
    m.make(m.name(module, name))


@_opcode(b"\x93")
def _stack_global(m: _Machine) -> None:
    name, module = m.pop(), m.pop()
    if type(name) is not str or type(module) is not str:
        raise m.fault("STACK_GLOBAL needs two strings")
    m.make(m.name(module, name))


@_opcode(b"R")
def _reduce(m: _Machine) -> None:
    args, callee = m.pop(), m.pop()
    if not isinstance(args, Tuple):
        m.note("arguments-not-a-tuple", "REDUCE without a tuple: Python pickle calls, C pickle refuses")
    m.call(callee, args, How.REDUCE)


@_opcode(b"\x81")
def _newobj(m: _Machine) -> None:
    args, callee = m.pop(), m.pop()
    if not isinstance(args, Tuple):
        m.note("arguments-not-a-tuple", "NEWOBJ without a tuple: Python pickle calls, C pickle refuses")
    m.call(callee, args, How.NEWOBJ)


@_opcode(b"\x92")
def _newobj_ex(m: _Machine) -> None:
    kwargs, args, callee = m.pop(), m.pop(), m.pop()
    if not isinstance(args, Tuple) or not isinstance(kwargs, Dict):
        m.note("arguments-not-a-tuple", "NEWOBJ_EX without a tuple and a dictionary")
    m.call(callee, args, How.NEWOBJ, kwargs)


@_opcode(b"i")
def _inst(m: _Machine) -> None:
    module, name = m.text(m.line(), "utf-8"), m.text(m.line(), "utf-8")
    items = m.pop_mark()
    m.call(m.name(module, name), Tuple(items, _depth_over(items)), How.INSTANCE)


@_opcode(b"o")
def _obj(m: _Machine) -> None:
    items = m.pop_mark()
    if not items:
        raise m.fault("OBJ without a class")
    m.call(items[0], Tuple(items[1:], _depth_over(items)), How.INSTANCE)


@_opcode(b"b")
def _build(m: _Machine) -> None:
    state, target = m.pop(), m.top()
    m.trace.append(Event(Act.BUILD, m.at, Build(target, state)))
    if not isinstance(target, Call):
        m.note("build-on-value", "BUILD on something that no call made")
        return
    target.states += (state,)
    m.deepen(target, (state,))
    if m.inline is not None:
        start = m.base + m.position
        if length := m.inline(target, m.blob, start):
            if not 0 < length <= m.remaining():
                raise m.fault(f"{length:,} raw bytes should follow, {m.remaining():,} are left (truncated)")
            target.inline = m.span(length)


def _persistent(m: _Machine, id: Value) -> None:
    node = Persistent(id, m.at, _depth_over((id,)))
    m.trace.append(Event(Act.PERSISTENT, m.at, node))
    m.make(node)


@_opcode(b"P")
def _persid(m: _Machine) -> None:
    _persistent(m, m.text(m.line(), "ascii"))


@_opcode(b"Q")
def _binpersid(m: _Machine) -> None:
    _persistent(m, m.pop())


@_opcode(b"\x82", b"\x83", b"\x84")
def _ext(m: _Machine) -> None:
    code = int.from_bytes(m.take({0x82: 1, 0x83: 2, 0x84: 4}[m.buffer[m.position - 1]]), "little", signed=False)
    node = Extension(code, m.at)
    m.trace.append(Event(Act.EXTENSION, m.at, node))
    m.make(node)
