"""One test per way in which a pickle has hidden a call from those who looked for one.

Each test says what the machine's trace holds, and where. Above each stands the advisory or report it comes from;
abbreviated identifiers are GitHub advisories of the project named.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable

import pytest

from safeload.core.blob import MemoryBlob
from safeload.core.graph import Build, Call, Extension, Global, Reading, Tuple, Value
from safeload.core.machine import read_pickle
from safeload.core.names import Location

Payload = Callable[[], tuple[str, str, str]]


def read(data: bytes, offset: int = 0) -> Reading:
    return read_pickle(MemoryBlob(data), offset, location=Location("evil.pkl"))


def assert_called(
    reading: Reading, data: bytes, opcode: bytes, argument: str, name: tuple[str, str] = ("os", "system")
) -> None:
    """The trace imports `name`, then calls it with `argument`, at the offset of the given opcode."""
    imported = [node for node in reading.trace if isinstance(node, Global)]
    assert name in [node.name for node in imported if isinstance(node, Global)]
    (call,) = (
        node
        for node in reading.trace
        if isinstance(node, Call) and isinstance(node.callee, Global) and node.callee.name == name
    )
    assert data[call.offset : call.offset + len(opcode)] == opcode
    assert isinstance(call.args, Tuple) and argument in call.args.items


def text(value: str) -> bytes:
    return b"\x8c" + bytes((len(value),)) + value.encode()


# CVE-2025-1716 (GHSA-655q-fx9r-782v, picklescan): a callable that no list had.
def test_a_callable_that_no_list_names(marker: object) -> None:
    """The machine knows no dangerous names; it traces every call, so an unlisted one cannot be missed."""
    data = b"\x80\4" + text("pip") + text("main") + b"\x93](" + text("install") + text("evil") + b"e\x85R."
    reading = read(data)
    assert [node.name for node in reading.trace if isinstance(node, Global)] == [("pip", "main")]
    assert [node.offset for node in reading.trace] == [data.index(b"\x93"), data.index(b"R.")]


# GHSA-vvpj-8cmc-gx39 (picklescan): names that walk from object to object.
@pytest.mark.parametrize(("module", "name"), [("pathlib", "os.system"), ("logging", "os.system"), ("a.b", "c.d.e")])
def test_a_dotted_name_stays_a_pair(touch: Payload, module: str, name: str) -> None:
    """A dotted name is one name of one module, and never mistaken for a longer module."""
    argument = touch()[2]
    data = b"\x80\4" + text(module) + text(name) + b"\x93" + text(argument) + b"\x85R."
    assert_called(read(data), data, b"R", argument, (module, name))


# CVE-2025-10157 (GHSA-f7qq-56ww-84cr, picklescan): a submodule of a listed module.
def test_a_submodule_is_another_module(touch: Payload) -> None:
    """`asyncio.unix_events` is traced as such, not as `asyncio`."""
    argument = touch()[2]
    name = ("asyncio.unix_events", "_UnixSubprocessTransport._start")
    data = b"\x80\4" + text(name[0]) + text(name[1]) + b"\x93" + text(argument) + b"\x85R."
    assert_called(read(data), data, b"R", argument, name)


# GHSA-9gvj (picklescan): operands of STACK_GLOBAL that are not SHORT_BINUNICODE.
@pytest.mark.parametrize(
    "write",
    [
        lambda value: b"S'" + value.encode() + b"'\n",
        lambda value: b'S"' + value.encode() + b'"\n',
        lambda value: b"S'" + "".join(f"\\x{ord(c):02x}" for c in value).encode() + b"'\n",
        lambda value: b"V" + value.encode() + b"\n",
        lambda value: b"V" + "".join(f"\\u{ord(c):04x}" for c in value).encode() + b"\n",
        lambda value: b"U" + bytes((len(value),)) + value.encode(),
        lambda value: b"T" + struct.pack("<I", len(value)) + value.encode(),
        lambda value: b"X" + struct.pack("<I", len(value)) + value.encode(),
        lambda value: b"\x8d" + struct.pack("<Q", len(value)) + value.encode(),
    ],
    ids=[
        "STRING",
        "quoted",
        "escaped",
        "UNICODE",
        "raw-unicode-escape",
        "SHORT_BINSTRING",
        "BINSTRING",
        "BINUNICODE",
        "8",
    ],
)
def test_names_in_every_kind_of_string(touch: Payload, write: Callable[[str], bytes]) -> None:
    """STACK_GLOBAL imports what its operands spell, by whichever opcode they are written."""
    module, name, argument = touch()
    data = b"\x80\4" + write(module) + write(name) + b"\x93" + text(argument) + b"\x85R."
    assert_called(read(data), data, b"R", argument)


# picklescan issue 22: names and callables that come out of the memo.
@pytest.mark.parametrize(
    ("put", "get"), [(b"q\x07", b"h\x07"), (b"r\x07\0\1\0", b"j\x07\0\1\0"), (b"p7\n", b"g7\n"), (b"p07\n", b"g+7\n")]
)
def test_names_through_the_memo(touch: Payload, put: bytes, get: bytes) -> None:
    """A name that was put away, overwritten in between, or fetched much later is the name that is imported."""
    module, name, argument = touch()
    away = text("json") + put + text(name) + put.replace(b"7", b"8").replace(b"\x07", b"\x08") + b"00"
    again = text(module) + put + b"0" + get + get.replace(b"7", b"8").replace(b"\x07", b"\x08")
    data = b"\x80\4" + away + again + b"\x93" + text(argument) + b"\x85R."
    assert_called(read(data), data, b"R", argument)


# picklescan issue 22: MEMOIZE counts what is in the memo.
def test_memoize_after_a_gap(touch: Payload) -> None:
    """MEMOIZE stores under the number of entries, also when indexes were left out or overwritten."""
    module, name, argument = touch()
    data = b"\x80\4" + text(module) + b"q\5" + text("json") + b"\x940h\5" + text(name) + b"\x940h\2\x93"
    data += text(argument) + b"\x85R."
    assert_called(read(data), data, b"R", argument)


# fickling GHSA-mxhj: OBJ whose result is popped.
@pytest.mark.parametrize("hide", [b"0N", b"\x940N", b"(00N", b"(N10N"])
def test_a_call_whose_result_is_thrown_away(touch: Payload, hide: bytes) -> None:
    """A call is in the trace even if its result is in no value."""
    module, name, argument = touch()
    data = f"(c{module}\n{name}\nS'{argument}'\no".encode() + hide + b"."
    reading = read(data)
    assert reading.fault is None and reading.value is None
    assert_called(reading, data, b"o", argument)


# fickling GHSA-mxhj, and before it every scanner that looked for REDUCE only.
@pytest.mark.parametrize(
    ("stream", "opcode"),
    [
        ("(S'{2}'\ni{0}\n{1}\n.", b"i"),
        ("(c{0}\n{1}\nS'{2}'\no.", b"o"),
        ("c{0}\n{1}\n(S'{2}'\ntR.", b"R"),
        ("\x80\2c{0}\n{1}\n(S'{2}'\nt\x81.", b"\x81"),
        ("\x80\4c{0}\n{1}\n(S'{2}'\nt}}\x92.", b"\x92"),
    ],
    ids=["INST", "OBJ", "REDUCE", "NEWOBJ", "NEWOBJ_EX"],
)
def test_every_opcode_that_calls(touch: Payload, stream: str, opcode: bytes) -> None:
    """INST, OBJ, REDUCE, NEWOBJ and NEWOBJ_EX are calls alike."""
    module, name, argument = touch()
    data = stream.format(module, name, argument).encode("latin-1")
    assert_called(read(data), data, opcode, argument)


# fickling GHSA-mhc9: REDUCE and then BUILD, so that `__setstate__` or an attribute does the work.
def test_build_after_reduce() -> None:
    """What BUILD sets is an act of its own, with target, state and offset."""
    data = b"\x80\4" + text("types") + text("SimpleNamespace") + b"\x93)R}" + text("run") + b"cos\nsystem\nsb."
    reading = read(data)
    built = reading.trace[-1]
    assert isinstance(built, Build) and data[built.offset : built.offset + 2] == b"b."
    assert [type(node) for node in reading.trace] == [Global, Call, Global, Build]


# fickling GHSA-mhc9: BUILD on what was only imported changes a class for the whole process.
def test_build_on_an_imported_class() -> None:
    """State set on a class is an act, and noted as something no pickler writes."""
    data = b"cargparse\nNamespace\n}S'__reduce__'\ncos\nsystem\nsb."
    reading = read(data)
    assert isinstance(reading.trace[-1], Build)
    assert [(anomaly.kind, anomaly.offset) for anomaly in reading.anomalies] == [("build-on-value", len(data) - 2)]


# CVE-2026-24747 (GHSA-63cw-57p8-fm3p, torch): SETITEM on what is no dictionary.
@pytest.mark.parametrize("put", [b"NNs", b"(NNu", b"Na", b"(Ne", b"(N\x90"])
def test_items_put_into_an_imported_object(put: bytes) -> None:
    """Filling somebody else's object needs no call; the spot is noted with the object's name."""
    data = b"csys\nmodules\n" + put + b"."
    reading = read(data)
    assert [(type(node), node.offset) for node in reading.trace] == [(Global, 0)]
    (anomaly,) = reading.anomalies
    assert anomaly.kind == "items-on-value" and "sys.modules" in anomaly.detail
    assert anomaly.offset == len(data) - 2


# No advisory: the copyreg extension registry.
@pytest.mark.parametrize("opcode", [b"\x82\7", b"\x83\7\0", b"\x84\7\0\0\0"])
def test_a_call_of_a_registered_extension(touch: Payload, opcode: bytes) -> None:
    """EXT1, EXT2 and EXT4 import what the registry says; both that and the call are traced."""
    data = b"\x80\2" + opcode + b"S'" + touch()[2].encode() + b"'\n\x85R."
    reading = read(data)
    assert [(type(node), node.offset) for node in reading.trace] == [(Extension, 2), (Call, len(data) - 2)]


# No advisory: PROTO in the middle.
def test_a_protocol_in_the_middle(touch: Payload) -> None:
    """A second PROTO does not end or restart anything, but changes how names are mapped, and is noted."""
    argument = touch()[2]
    data = b"\x80\4N0\x80\2ccommands\ngetoutput\n" + text(argument) + b"\x85R."
    reading = read(data)
    assert_called(reading, data, b"R", argument, ("subprocess", "getoutput"))
    assert [(anomaly.kind, anomaly.offset) for anomaly in reading.anomalies] == [("protocol-again", 4)]


# No advisory: DUP and MARK.
def test_duplicates_and_marks(touch: Payload) -> None:
    """A callable that is doubled, with marks opened and closed around it, is still what is called."""
    module, name, argument = touch()
    data = b"(((" + f"c{module}\n{name}\n2".encode() + b"(10" + f"S'{argument}'\n\x85R".encode("latin-1") + b"110t."
    reading = read(data)
    assert_called(reading, data, b"R", argument)


# cpython issue 154848: C pickle reads other bytes after a frame that an opcode crosses.
def test_a_frame_that_hides_opcodes(touch: Payload) -> None:
    """A byte string over the end of its frame is noted where it stands; file readers would run what it holds."""
    module, name, argument = touch()
    hidden = f"c{module}\n{name}\nS'{argument}'\n\x85R.".encode("latin-1")
    data = b"\x80\4\x95" + struct.pack("<Q", 2) + b"B" + struct.pack("<I", 0x107) + hidden
    data += b"\0" * (0x107 - len(hidden)) + b"."
    reading = read(data)
    assert reading.fault is None and len(reading.trace) == 0
    assert ("frame-crossed", 11) in [(anomaly.kind, anomaly.offset) for anomaly in reading.anomalies]


# nullifAI (ReversingLabs, 2025): the stream breaks after the payload.
@pytest.mark.parametrize(
    "end", [b"", b"\xff", b"X\xff\xff\xff\xff", b"h\xff.", b"t.", b"\x95\xff", b"\x80\xff", b"cos\n\xff\n", b"0."]
)
@pytest.mark.parametrize("protocol", range(6))
def test_a_payload_before_a_broken_end(touch: Payload, end: bytes, protocol: int) -> None:
    """A stream that cannot be read to its end still shows everything before the fault."""

    class Evil:
        def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
            import os

            return os.system, (touch()[2],)

    data = pickle.dumps(Evil(), protocol)[:-1] + end
    reading = read(data)
    assert reading.fault is not None
    calls = [node for node in reading.trace if isinstance(node, Call)]
    assert len(calls) == 1 and data[calls[0].offset : calls[0].offset + 1] == b"R"
    assert isinstance(reading.trace[0], Global)


# No advisory: pickles behind pickles, with and without junk between them.
def test_a_payload_behind_a_harmless_pickle(touch: Payload) -> None:
    """A reading ends exactly after STOP, so that whoever goes on finds the next pickle with its own offsets."""
    module, name, argument = touch()
    first = pickle.dumps({"weights": [1, 2]}, 4)
    data = first + f"c{module}\n{name}\nS'{argument}'\n\x85R.".encode("latin-1")
    assert read(data).end == len(first) and len(read(data).trace) == 0
    assert_called(read(data, len(first)), data, b"R", argument)


# No advisory: a pickle within a pickle.
def test_a_nested_pickle_is_handed_on(touch: Payload) -> None:
    """`pickle.loads(b"…")` is a call whose argument is there in full, for whoever reads nested pickles."""
    module, name, argument = touch()
    inner = f"c{module}\n{name}\nS'{argument}'\n\x85R.".encode("latin-1")
    data = b"\x80\4" + text("pickle") + text("loads") + b"\x93C" + bytes((len(inner),)) + inner + b"\x85R."
    reading = read(data)
    call: Value = reading.value
    assert call.callee.name == ("pickle", "loads") and call.args.items == (inner,)
    assert_called(read(inner), inner, b"R", argument)


# fickling issue 111 and its kin: streams that exhaust who reads them are in tests/core/test_hostile.py.


# Only Python's own pickle takes a line that nothing ends; it drops the last byte and goes on.
def test_a_call_in_the_last_unfinished_line(touch: Payload) -> None:
    """An INST that the file ends in is called by Python's pickle, so it is traced, although C refuses it."""
    module, name, argument = touch()
    data = f"(S'{argument}'\ni{module}\n{name}!".encode()
    reading = read(data)
    assert_called(reading, data, b"i", argument)
    assert "line-unterminated" in [anomaly.kind for anomaly in reading.anomalies] and reading.fault is not None
