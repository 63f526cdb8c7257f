"""How the machine moves through bytes: frames, chunks, ends, spans, and raw bytes between opcodes."""

from __future__ import annotations

import pickle
import struct
from dataclasses import dataclass

import pytest

from safeload.core.blob import Blob, MemoryBlob
from safeload.core.errors import MalformedInput
from safeload.core.graph import NOTHING, Anomaly, Build, Call, Global, Persistent, Span
from safeload.core.machine import read_pickle
from tests.core.reading import HERE, acts, imports, kinds, read, shape


def frame(content: bytes, length: int | None = None) -> bytes:
    return b"\x95" + struct.pack("<Q", len(content) if length is None else length) + content


def test_a_reading_begins_where_it_is_told() -> None:
    """All offsets are those of the blob, wherever in it the pickle begins."""
    data = b"garbage" + b"\x80\4cos\nsystem\n." + b"more"
    reading = read_pickle(MemoryBlob(data), 7, location=HERE)
    assert (reading.start, reading.end) == (7, len(data) - 4)
    assert imports(reading) == [(9, "os.system")]
    assert reading.anomalies == () and reading.protocol == 4 and reading.opcodes == 3


@pytest.mark.parametrize("offset", [0, 3, 4])
def test_nothing_to_read_is_a_fault(offset: int) -> None:
    """An empty file, and an offset at or past the end, are truncated pickles."""
    reading = read_pickle(MemoryBlob(b"" if not offset else b"abc"), offset, location=HERE)
    assert reading.value is NOTHING and repr(NOTHING) == "NOTHING"
    assert reading.fault is not None and "truncated" in reading.fault.why


def test_a_fault_tells_what_where_why_and_next() -> None:
    """The fault of a reading carries the location of the opcode at fault and a remedy."""
    fault = read(b"\x80\4Nh\7.").fault
    assert isinstance(fault, MalformedInput)
    assert str(fault).splitlines() == [
        "a pickle cannot be read to its end",
        "  where: model.bin » data.pkl @ 3",
        "  why:   memo entry 7 is used before it is set",
        "  next:  fetch the file again; if it stays so, ask its author for a safetensors version",
    ]


def test_what_was_read_before_a_fault_is_kept() -> None:
    """A payload before a deliberate break is in the trace."""
    reading = read(b"cos\nsystem\nS'id'\n\x85R\xff")
    assert reading.fault is not None and reading.value is NOTHING
    assert len(acts(reading)) == 2 and reading.end == 19


@pytest.mark.parametrize("protocol", range(6))
def test_every_beginning_of_a_pickle_is_truncated(protocol: int) -> None:
    """No proper prefix of a pickle is read as a whole one, and each ends at the end of what is there."""
    data = pickle.dumps([{"a": (1, 2.5, "é" * 50)}, {3}, b"x" * 300, 1 << 70], protocol)
    for length in range(len(data)):
        reading = read(data[:length])
        assert reading.fault is not None
        if "truncated" in reading.fault.why:
            assert reading.end == length


@dataclass(frozen=True)
class Shrunk:
    """A blob that is shorter than it says."""

    data: bytes
    size: int

    def read_at(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]


@pytest.mark.parametrize("data", [b"N", b"X\x00\x00\x03\x00aaa", b"]" * 70000])
def test_a_file_that_shrinks_is_a_fault(data: bytes) -> None:
    """Bytes that vanish while a file is read end the reading."""
    blob: Blob = Shrunk(data, 300_000)
    fault = read_pickle(blob, location=HERE).fault
    assert fault is not None and fault.why == "the file became shorter while it was read"


CHUNK = 1 << 16
PIECES = [
    b"K\1",
    b"M\1\2",
    b"J\1\2\3\4",
    b"G?\xf8\0\0\0\0\0\0",
    b"X\3\0\0\0abc",
    b"C\3abc",
    b"I12345\n",
    b"cmodule\nname\n",
    b"q\1",
    b"\x8a\4abcd",
    b"\x95\1\0\0\0\0\0\0\0N",
    b"\x96\3\0\0\0\0\0\0\0abc",
]


@pytest.mark.parametrize("piece", PIECES)
def test_opcodes_across_the_edge_of_a_chunk(piece: bytes) -> None:
    """It makes no difference where in its buffer the machine finds an opcode."""
    for before in range(CHUNK - len(piece) - 18, CHUNK + 2):
        padding = b"N" + b"X" + struct.pack("<I", before) + b"a" * before + b"0"
        reading = read(padding + piece + b"\x85.")
        assert reading.fault is None
        assert acts(reading) == ([] if piece[:1] != b"c" else [(acts(reading)[0][0], len(padding))])
        expected = shape(read(b"N" + piece + b"\x85.").value)
        got = shape(reading.value)
        if piece[:1] == b"\x96":
            got, expected = got[0][2], expected[0][2]
        assert got == expected


@pytest.mark.parametrize("size", [1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7])
def test_arguments_of_every_size(size: int) -> None:
    """Text, lines and bytes are read whole, whether they fit into the buffer or not."""
    text = b"a" * size
    counted = struct.pack("<I", size)
    assert read(b"X" + counted + text + b".").value == text.decode()
    assert read(b"T" + counted + text + b".").value == text.decode()
    assert read(b"V" + text + b"\n.").value == text.decode()
    assert read(b"c" + text + b"\n" + text + b"\n.").value.name == (text.decode(), text.decode())
    reading = read(b"B" + counted + text + b".")
    assert reading.bytes_of(reading.value) == text
    assert isinstance(reading.value, bytes if size <= CHUNK else Span)
    reading = read(b"\x96" + counted + b"\0\0\0\0" + text + b".")
    assert isinstance(reading.value, Span) and reading.value.mutable and reading.bytes_of(reading.value) == text


def test_an_unfinished_line_longer_than_a_chunk() -> None:
    """A line without an end is looked for to the end of the file, in steps."""
    reading = read(b"V" + b"a" * (3 * CHUNK))
    assert reading.fault is not None and reading.end == 3 * CHUNK + 1
    assert [anomaly.kind for anomaly in reading.anomalies] == ["line-unterminated"]


# ── frames ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "data",
    [frame(b"N."), frame(b"N") + frame(b"."), frame(b"N") + b".", frame(b"") + b"N.", frame(b"N0" * 40000 + b"N.")],
)
def test_regular_frames_are_not_noted(data: bytes) -> None:
    """Frames that end between two opcodes, or with STOP, are what picklers write."""
    assert kinds(b"\x80\4" + data) == []


CROSSED = [
    frame(b"B", 1) + b"\1\0\0\0a.",
    frame(b"B\2\0\0\0a", 6) + b"a.",
    frame(b"B\7\1\0\0", 3) + b"a" * 0x107 + b".",
    frame(b"\x8c\2a", 3) + b"a.",
    frame(b"cos", 3) + b"\nsystem\n.",
    frame(b"cos\nsystem", 10) + b"\n.",
    frame(b"J\1", 2) + b"\0\0\0.",
    frame(b"\x96\1\0", 3) + b"\0\0\0\0\0\0a.",
]


@pytest.mark.parametrize("data", CROSSED)
def test_an_opcode_over_the_end_of_its_frame(data: bytes) -> None:
    """C `Unpickler(file)` drops the rest of the frame and reads other bytes: the noted spot has two readings."""
    reading = read(b"\x80\4" + data)
    assert reading.fault is None
    assert [anomaly.kind for anomaly in reading.anomalies] == ["frame-crossed"]


@pytest.mark.parametrize(
    "data",
    [
        frame(b"V\\u12\nNQ", 2) + b".",  # text that is no text
        frame(b"\x8b\xff", 2) + b"\xff\xff\xff.",  # a negative length
        frame(b"B\xff", 2) + b"\xff\xff\xff.",  # a length beyond the end
        frame(b"j\7", 2) + b"\0\0\0.",  # an unknown memo entry
    ],
)
def test_a_crossed_frame_is_noted_although_the_opcode_is_at_fault(data: bytes) -> None:
    """The bytes that make us stop may be read differently from a file, so the spot is noted before stopping."""
    reading = read(b"\x80\4" + data)
    assert reading.fault is not None
    assert [anomaly.kind for anomaly in reading.anomalies] == ["frame-crossed"]


def test_irregular_frames_are_noted() -> None:
    """A frame in a frame, one past the end, and one that STOP does not end are noted."""
    assert kinds(b"\x80\4" + frame(frame(b"N") + b".")) == ["frame-nested"]
    assert kinds(b"\x80\4" + frame(b"N.", 100)) == ["frame-past-end", "frame-unfinished"]
    assert kinds(b"\x80\4" + frame(b"N.", (1 << 64) - 1)) == ["frame-past-end", "frame-unfinished"]
    assert kinds(b"\x80\4" + frame(b"N.", 4) + b"N.") == ["frame-unfinished"]


# ── raw bytes between opcodes ───────────────────────────────────────────────────────────────────────────────────


def after_state(call: Call, blob: Blob, position: int) -> int:
    """As many raw bytes as the state says, in every object."""
    assert blob.read_at(position, 1) in (b"r", b".", b"")
    return int(list(call.states)[-1])


def test_raw_bytes_after_an_object_are_skipped_and_remembered() -> None:
    """A format may say how many raw bytes follow a BUILD; the object knows where they are."""
    head = b"\x80\4cm\nC\n)\x81K\5b"
    reading = read(head + b"r.(\xff." + b".", inline=after_state)
    assert reading.fault is None and reading.anomalies == ()
    assert isinstance(reading.value.inline, Span) and reading.bytes_of(reading.value.inline) == b"r.(\xff."
    assert read(b"cm\nC\n)\x81K\0b.", inline=after_state).value.inline is None


def test_raw_bytes_stand_between_frames() -> None:
    """Joblib ends its frame before the raw bytes, so they do not cross it."""
    head = frame(b"cm\nC\n)\x81K\5b")
    reading = read(b"\x80\4" + head + b"rrrrr" + frame(b"."), inline=after_state)
    assert reading.fault is None and reading.anomalies == ()
    reading = read(b"\x80\4" + frame(b"cm\nC\n)\x81K\5b", 12) + b"rrrrr.", inline=after_state)
    assert [anomaly.kind for anomaly in reading.anomalies] == ["frame-crossed"]


@pytest.mark.parametrize("left", [0, 4])
def test_missing_raw_bytes_are_a_fault(left: int) -> None:
    """Raw bytes that are announced and not there are a truncation."""
    reading = read(b"cm\nC\n)\x81K\5b" + b"r" * left, inline=after_state)
    assert reading.fault is not None and "truncated" in reading.fault.why


def test_a_mistake_in_a_hook_is_not_taken_for_a_fault() -> None:
    """Only the empty stack is the stream's doing; an `IndexError` from elsewhere is raised."""

    def mistaken(call: Call, blob: Blob, position: int) -> int:
        nothing: list[int] = []
        return nothing[0]

    with pytest.raises(IndexError):
        read(b"cm\nC\n)\x81K\5b.", inline=mistaken)


# ── the trace ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_trace_holds_the_acts_in_order() -> None:
    """Each node of a trace says what it does and where."""
    trace = read(b"cm\nC\n)R}bNQ.").trace
    assert [type(node) for node in trace] == [Global, Call, Build, Persistent]
    assert [node.offset for node in trace] == [0, 6, 8, 10]


def test_an_anomaly_names_its_kind_and_place() -> None:
    """What a kind means in general is not repeated at each spot."""
    assert read(b"NN.").anomalies == (Anomaly("stack-leftover", 3),)
