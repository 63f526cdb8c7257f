"""The inert machine: a pickle's bytes in, a graph that cannot act and an ordered trace out.

Rules it keeps (the pickle protocol is that of CPython's `Lib/pickle.py`, PEP 307 and PEP 574):

1. It imports nothing, calls nothing, and compares no foreign values.
2. It knows every opcode of protocols 0 to 5, with the argument decoding that the C implementation does.
3. It never recurses: nesting in the input never becomes nesting on the Python stack.
4. It is total: any bytes give a `Reading`. What was read before a fault is part of it.
5. Every length is checked against the bytes that exist before anything is made of that length.
6. Where C `pickle`, Python `pickle` and `pickletools` would part ways, it notes an `Anomaly`.
7. Within its limits it goes on wherever any of them goes on: what it did not read, none of them ran.

This module moves through the bytes; `opcodes` says what each opcode does.
"""

from __future__ import annotations

from collections.abc import Callable

from safeload.core.blob import Blob
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.graph import NOTHING, Acting, Anomaly, Call, Fillable, Node, Reading, Span, Value, depth_over
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.core.opcodes import ACTIONS, MEMOIZE, WIDTHS, Fault, Limit, Memo, Truncated

InlineHook = Callable[[Call, Blob, int], int]
"""`(object, blob, position) -> length` of the raw bytes that follow an object's BUILD; 0 where there are none."""

_CHUNK = 1 << 16
_WIDEST = 1 + max(WIDTHS)
_NO_FRAME = 1 << 65


def read_pickle(
    blob: Blob, offset: int = 0, *, location: Location, limits: Limits | None = None, inline: InlineHook | None = None
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
    return Machine(blob, offset, limits or Limits(), inline).run(location)


class Machine:
    """The state of one reading. Positions count from `base`, where `buffer` begins in the blob.

    An action (see `opcodes`) returns the position after its argument, which may lie beyond the buffer. Only `turn`,
    between two opcodes, changes the buffer.
    """

    def __init__(self, blob: Blob, offset: int, limits: Limits, inline: InlineHook | None) -> None:
        self.blob, self.limits, self.inline = blob, limits, inline
        self.start = self.base = offset
        self.buffer = b""
        # `at` is the current opcode; at `pause`, the end of the frame or of the buffer, `turn` must look.
        self.at = self.pause = self.protocol = self.nodes = self.buffers = 0
        self.frame_end = _NO_FRAME  # counted from the beginning of the blob
        self.stack: list[Value] = []
        self.below: list[list[Value]] = []  # the stacks under each MARK
        self.memo = Memo()
        self.trace: list[Acting] = []
        self.anomalies: list[Anomaly] = []
        self.names: dict[Value, str] = {}  # what was imported, as it was given
        self.most_nodes, self.most_memo = limits.nodes, limits.memo
        self.most_text, self.deepest = limits.text_bytes, limits.depth

    def run(self, location: Location) -> Reading:
        value: Value = NOTHING
        fault: MalformedInput | None = None
        count = position = 0
        actions, memo, buffer = ACTIONS, self.memo, self.buffer
        try:
            for count in range(1, self.limits.opcodes + 1):  # noqa: B007 (used after the loop)
                if position >= self.pause:
                    position, buffer = self.turn(position), self.buffer  # which only a turn changes
                self.at = position
                if (code := buffer[position]) == MEMOIZE:  # a third of what is written today: without a call
                    memo[len(memo)] = self.stack[-1]
                    position += 1
                    continue
                after = actions[code](self, position + 1)
                position = position + 1 if after is None else after
                if not position:  # STOP
                    value = self.stack.pop()
                    break
            else:
                raise Limit("opcodes", self.limits.opcodes + 1)
            self.at += 1
            if self.stack or self.below:
                self.note("stack-leftover")
            if self.base + self.at < self.frame_end < _NO_FRAME:
                self.note("frame-unfinished")
        except (Fault, IndexError) as stopped:
            if isinstance(stopped, IndexError) and self.stack:
                raise  # only the empty stack is indexed by what the stream chose
            if self.at < len(self.buffer):
                self.leave_frame(self.at + 1 + WIDTHS[self.buffer[self.at]])
            fault = self.error(stopped, location)
            if isinstance(stopped, Truncated):
                self.at = self.blob.size - self.base
        end, odd = self.base + self.at, tuple(self.anomalies)
        return Reading(self.blob, self.start, end, value, self.trace, odd, self.protocol, count, fault)

    # ── faults and anomalies ────────────────────────────────────────────────────────────────────────────────

    def error(self, stopped: Fault | IndexError, location: Location) -> MalformedInput:
        where = location.at(self.base + self.at)
        if isinstance(stopped, Limit):
            allowed: int = getattr(self.limits, stopped.field)  # a literal of this module or of `opcodes`
            return LimitExceeded(stopped.field, allowed=allowed, wanted=stopped.wanted, where=where)
        return MalformedInput(
            "a pickle cannot be read to its end",
            where=where,
            why=str(stopped) if isinstance(stopped, Fault) else "an opcode needs a value and the stack is empty",
            remedy="fetch the file again; if it stays so, ask its author for a safetensors version",
        )

    def note(self, kind: str, detail: str = "") -> None:
        self.anomalies.append(Anomaly(kind, self.base + self.at, detail))

    # ── bytes ───────────────────────────────────────────────────────────────────────────────────────────────

    def turn(self, position: int) -> int:
        """Leave the frame that ended, bring in the next bytes, and make sure that one whole opcode is there.

        Returns the position in the new buffer. After it, a fixed-size argument never reaches out of the buffer.
        """
        self.leave_frame(position)
        remaining = self.blob.size - self.base - position
        if position > len(self.buffer) - min(_WIDEST, remaining):
            self.base, self.buffer, position = self.base + position, b"", 0
            self.buffer = self.read(0, max(0, min(remaining, _CHUNK)))
        self.at = position
        if remaining <= 0:
            raise Truncated(f"it ends {1 - remaining} bytes early (truncated)")
        if (short := 1 + WIDTHS[self.buffer[position]] - remaining) > 0:
            raise Truncated(f"it ends {short} bytes early (truncated)")
        self.set_pause()
        return position

    def set_pause(self) -> None:
        self.pause = min(len(self.buffer) - _WIDEST + 1, self.frame_end - self.base)

    def leave_frame(self, position: int) -> None:
        """Forget the current frame if it ends at or before `position`."""
        if self.base + position >= self.frame_end:
            if self.base + position > self.frame_end:
                self.note("frame-crossed")
            self.frame_end = _NO_FRAME

    def begin_frame(self, position: int, length: int) -> None:
        if self.frame_end != _NO_FRAME:
            self.note("frame-nested")
        if length > self.blob.size - self.base - position:
            self.note("frame-past-end")
        self.frame_end = self.base + position + length
        self.set_pause()

    def read(self, position: int, length: int) -> bytes:
        """Bytes wherever they are; fewer than `length` exist only if somebody changes the file."""
        end = position + length
        if end <= len(self.buffer):
            return self.buffer[position:end]
        data = self.blob.read_at(self.base + position, length)
        if len(data) != length:
            raise Fault("the file became shorter while it was read")
        return data

    def fits(self, position: int, length: int, limit: str) -> None:
        """Check the length of an argument, before anything of that length is made."""
        if self.base + position + length > self.frame_end:
            self.leave_frame(position + length)
        if length > getattr(self.limits, limit):  # `limit` is a literal of `opcodes`
            raise Limit(limit, length)
        remaining = self.blob.size - self.base - position
        if length > remaining:
            raise Truncated(f"an argument of {length:,} bytes begins with only {remaining:,} left (truncated)")

    def take(self, position: int, length: int, limit: str) -> bytes:
        """The bytes of an argument. Most are short, and in the buffer and the frame: then nothing else can be wrong."""
        end = position + length
        if end <= self.pause and length <= getattr(self.limits, limit):  # `limit` is a literal of `opcodes`
            return self.buffer[position:end]
        self.fits(position, length, limit)
        return self.read(position, length)

    def line(self, position: int, limit: str = "text_bytes") -> tuple[bytes, int]:
        """The bytes up to the next newline, and the position after it.

        At the end of the file Python's `pickle` takes what is there for a line and cuts off its last byte.
        """
        end = self.buffer.find(b"\n", position)
        searched = max(position, len(self.buffer))
        while end < 0:
            self.fits(position, searched - position, limit)  # so that no more is searched than may be taken
            remaining = self.blob.size - self.base - searched
            if remaining <= 0:
                self.note("line-unterminated")
                return self.read(position, searched - position)[:-1], searched
            window = self.read(searched, min(remaining, _CHUNK))
            if (found := window.find(b"\n")) >= 0:
                end = searched + found
            searched += len(window)
        self.fits(position, end + 1 - position, limit)
        return self.read(position, end - position), end + 1

    def span(self, position: int, length: int, *, mutable: bool = False) -> Span:
        """Refer to bytes without reading them."""
        return Span(self.base + position, length, mutable)

    # ── nodes ───────────────────────────────────────────────────────────────────────────────────────────────

    def make(self, node: Node) -> None:
        """Push a new node, within the limits."""
        self.nodes += 1
        if self.nodes > self.most_nodes:
            raise Limit("nodes", self.nodes)
        if node.depth > self.deepest:
            raise Limit("depth", node.depth)
        self.stack.append(node)

    def deepen(self, target: Fillable, items: list[Value] | tuple[Value, ...]) -> None:
        """Account for what is put into an object that exists already.

        Nothing may follow a state: the attributes it sets may be what an unpickler calls to put it there.
        """
        if isinstance(target, Call) and target.states:
            self.note("state-not-last")
        depth = depth_over(items)
        if depth > target.depth:
            target.depth = depth
            if depth > self.deepest:
                raise Limit("depth", depth)
