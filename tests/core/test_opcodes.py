"""Every opcode of protocols 0 to 5: what it reads, and what it refuses."""

from __future__ import annotations

import math
import pickle
import pickletools
import struct

import pytest

from safeload.core.blob import MemoryBlob
from safeload.core.graph import Build, Call, Extension, Global, How, Persistent
from safeload.core.limits import Limits
from safeload.core.machine import read_pickle
from safeload.core.names import Location
from safeload.core.opcodes import ACTIONS, MEMOIZE, WIDTHS, _unknown
from tests.core.reading import acts, calls, good, imports, kinds, read, shape, why

KNOWN = {MEMOIZE} | {code for code in range(256) if ACTIONS[code] is not _unknown}
VALUES: list[tuple[bytes, object]] = [
    # protocol 0
    (b"N.", None),
    (b"I01\n.", True),
    (b"I00\n.", False),
    (b"I7\n.", 7),
    (b"I-12345678901234567890\n.", -12345678901234567890),
    (b"L7L\n.", 7),
    (b"L-7\n.", -7),
    (b"F1.5\n.", 1.5),
    (b"F-inf\n.", -math.inf),
    (b"F1e-05\n.", 1e-05),
    (b"S'a'\n.", "a"),
    (b'S"a"\n.', "a"),
    (b"S'\\x41\\n\\'\\101\\777\\q'\n.", b"A\n'A\xff\\q"),
    (b"S'\xe9'\n.", b"\xe9"),
    (b"Va\\u00e9\n.", "aé"),
    (b"(NI1\nt.", (None, 1)),
    (b"(NI1\nl.", [None, 1]),
    (b"(NI1\nd.", {None: 1}),
    (b"(lp0\ng0\n.", []),
    (b"(lNa.", [None]),
    (b"(dNNs.", {None: None}),
    (b"N0I1\n.", 1),
    (b"(0I1\n.", 1),
    (b"(NN1I1\n.", 1),
    (b"N2\x86.", (None, None)),
    # protocol 1
    (b"K\xff.", 255),
    (b"M\xff\xff.", 65535),
    (b"J\xff\xff\xff\xff.", -1),
    (b"G?\xf8\0\0\0\0\0\0.", 1.5),
    (b"T\1\0\0\0a.", "a"),
    (b"T\1\0\0\0\xff.", b"\xff"),
    (b"U\1a.", "a"),
    (b"X\2\0\0\0\xc3\xa9.", "é"),
    (b"X\3\0\0\0\xed\xa0\x80.", "\ud800"),
    (b"].", []),
    (b"}.", {}),
    (b").", ()),
    (b"](NNe.", [None, None]),
    (b"}(NNK\1Nu.", {None: None, 1: None}),
    (b"]q\0h\0\x86.", ([], [])),
    (b"]r\0\1\0\0j\0\1\0\0\x86.", ([], [])),
    # protocol 2
    (b"\x80\2N.", None),
    (b"\x88\x89\x86.", (True, False)),
    (b"N\x85.", (None,)),
    (b"NNN\x87.", (None, None, None)),
    (b"\x8a\0.", 0),
    (b"\x8a\2\xff\x7f.", 32767),
    (b"\x8b\2\0\0\0\xff\xff.", -1),
    # protocols 3 and 4
    (b"B\1\0\0\0\xff.", b"\xff"),
    (b"C\1\xff.", b"\xff"),
    (b"\x8e\1\0\0\0\0\0\0\0\xff.", b"\xff"),
    (b"\x8c\1a.", "a"),
    (b"\x8d\1\0\0\0\0\0\0\0a.", "a"),
    (b"\x8f(NK\1\x90.", {None, 1}),
    (b"(NK\1\x91.", frozenset({None, 1})),
    (b"\x80\4\x95\2\0\0\0\0\0\0\0N..", None),
    (b"N\x94h\0\x86.", (None, None)),
    # protocol 5
    (b"\x96\2\0\0\0\0\0\0\0ab.", ("span", 9, 2, True)),
    (b"\x97\x97\x98\x86.", (("buffer", 0), ("buffer", 1))),
]


@pytest.mark.parametrize(("data", "value"), VALUES)
def test_what_an_opcode_reads(data: bytes, value: object) -> None:
    """Each opcode that makes a value makes the one that C pickle makes."""
    reading = read(data)
    assert reading.fault is None, reading.fault
    got = shape(reading.value)
    assert got == value and type(got) is type(value)


def test_one_byte_chooses_a_memo_entry_within_the_limit() -> None:
    """Also the shortest way of putting something into the memo keeps to the highest index that is allowed."""
    within, beyond = (read(b"\x80\2]q" + bytes((index,)) + b".", limits=Limits(memo=9)) for index in (9, 10))
    assert within.fault is None
    assert beyond.fault is not None and "memo" in str(beyond.fault)


@pytest.mark.parametrize("longest", [3, 255, 256])
@pytest.mark.parametrize("text", ["abcd", "abc\xe9", "abc\ud800"])
def test_a_short_text_is_what_the_long_one_would_be(longest: int, text: str) -> None:
    """Whether a text of one length byte fits in the limit, and is ASCII or not, it is read as one of four is."""
    data = text.encode("utf-8", "surrogatepass")
    short = read(b"\x8c" + bytes((len(data),)) + data + b".", limits=Limits(text_bytes=longest))
    long = read(b"X" + struct.pack("<I", len(data)) + data + b".", limits=Limits(text_bytes=longest))
    assert short.value == long.value
    assert (short.fault is None) == (long.fault is None) == (longest > 3)


def test_every_opcode_is_known() -> None:
    """The table has an action for exactly the opcodes that `pickletools` lists."""
    assert {ord(opcode.code) for opcode in pickletools.opcodes} == KNOWN


def test_widths_agree_with_pickletools() -> None:
    """As many fixed argument bytes are made sure of as `pickletools` says an opcode has."""
    counted = {pickletools.TAKEN_FROM_ARGUMENT1: 1, pickletools.TAKEN_FROM_ARGUMENT4: 4,
               pickletools.TAKEN_FROM_ARGUMENT4U: 4, pickletools.TAKEN_FROM_ARGUMENT8U: 8}  # fmt: skip
    for opcode in pickletools.opcodes:
        size = 0 if opcode.arg is None or opcode.arg.n == pickletools.UP_TO_NEWLINE else opcode.arg.n
        assert WIDTHS[ord(opcode.code)] == counted.get(size, size), opcode.name


@pytest.mark.parametrize("code", sorted({*range(256)} - KNOWN))
def test_any_other_byte_is_refused(code: int) -> None:
    """A byte that is no opcode ends the reading where it stands."""
    reading = read(b"N" + bytes((code,)))
    assert reading.fault is not None and reading.end == 1
    assert reading.fault.why == f"byte {code:#04x} is not a pickle opcode"


REFUSED = [
    (b"\x80\6N.", "protocol 6 does not exist"),
    (b"I12x\n.", "'12x' is not a number"),
    (b"I\n.", "'' is not a number"),
    (b"L\n.", "'' is not a number"),
    (b"I0z\n.", "'0z' is not a number"),
    (b"F\n.", "'' is not a number"),
    (b"F1.5x\n.", "'1.5x' is not a number"),
    (b"\x8b\xff\xff\xff\xff.", "a number of -1 bytes cannot be"),
    (b"Sa\n.", "a STRING without its quotes"),
    (b"S'\n.", "a STRING without its quotes"),
    (b"S'a\"\n.", "a STRING without its quotes"),
    (b"S'\\x4'\n.", "a STRING with a broken escape"),
    (b"S'\\'\n.", "a STRING with a broken escape"),
    (b"V\\u12\n.", "text is not raw-unicode-escape: truncated \\uXXXX escape"),
    (b"X\1\0\0\0\xff.", "text is not utf-8: invalid start byte"),
    (b"\x8c\1\xff.", "text is not utf-8: invalid start byte"),
    (b"c\xff\nn\n.", "text is not utf-8: invalid start byte"),
    (b"P\xff\n.", "text is not ascii: ordinal not in range(128)"),
    (b"Np-1\n.", "memo entry -1 cannot be"),
    (b"g0\n.", "memo entry 0 is used before it is set"),
    (b"h\1.", "memo entry 1 is used before it is set"),
    (b"j\1\0\0\0.", "memo entry 1 is used before it is set"),
    (b"t.", "an opcode needs a MARK and there is none"),
    (b"0.", "an opcode needs a MARK and there is none"),
    (b"1.", "an opcode needs a MARK and there is none"),
    (b"(K\1d.", "a key without its value"),
    (b"}(K\1u.", "a key without its value"),
    (b"(o.", "OBJ without a class"),
    (b"N]\x93.", "STACK_GLOBAL needs two strings"),
    (b"\x82\0.", "extension code 0 cannot be"),
    (b"\x84\xff\xff\xff\xff.", "extension code -1 cannot be"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "reason"), REFUSED)
def test_what_no_reader_reads_is_a_fault(data: bytes, reason: str) -> None:
    """A stream that every unpickler refuses ends with the reason, and without a value."""
    assert why(data) == reason
    with pytest.raises(Exception):  # noqa: B017 (readers raise anything)
        pickle.loads(data)


EMPTY = "an opcode needs a value and the stack is empty"


@pytest.mark.parametrize(
    "opcode",
    [b".", b"2", b"q\0", b"r\0\0\0\0", b"p0\n", b"\x94", b"\x85", b"\x86", b"\x87", b"a", b"(e", b"(\x90", b"s", b"(u",
     b"\x93", b"R", b"\x81", b"\x92", b"b", b"Q", b"\x98"],
)  # fmt: skip
@pytest.mark.parametrize("under", [b"", b"N("])
def test_an_empty_stack_is_a_fault(opcode: bytes, under: bytes) -> None:
    """An opcode that takes from the stack does not reach under a MARK, nor below the bottom."""
    assert why(under + opcode + b"..") == EMPTY


# ── imports and calls ───────────────────────────────────────────────────────────────────────────────────────────


def test_global_is_an_import() -> None:
    """GLOBAL is traced with its offset, and is a name that nothing resolves."""
    reading = read(b"\x80\3cos\nsystem\n.")
    assert acts(reading) == [(Global, 2)]
    assert isinstance(reading.value, Global)
    assert reading.value.name == ("os", "system") and reading.value.offset == 2


def test_python_2_names_are_mapped_below_protocol_3() -> None:
    """Names are those that `Unpickler(fix_imports=True)` imports; what was written is kept beside them."""
    assert imports(read(b"c__builtin__\nxrange\n.")) == [(0, "builtins.range")]
    assert imports(read(b"\x80\2cStringIO\nx\n.")) == [(2, "io.x")]
    assert imports(read(b"\x80\3c__builtin__\nxrange\n.")) == [(2, "__builtin__.xrange")]
    value = read(b"c__builtin__\nxrange\n.").value
    assert value.written == ("__builtin__", "xrange")


def test_protocol_in_the_middle_changes_the_mapping() -> None:
    """The names that are imported depend on the last PROTO, not on the first."""
    reading = read(b"\x80\4N0\x80\0c__builtin__\neval\n.")
    assert imports(reading) == [(6, "builtins.eval")]
    assert [anomaly.kind for anomaly in reading.anomalies] == ["protocol-again"]


def test_stack_global_takes_its_name_from_the_stack() -> None:
    """STACK_GLOBAL imports whatever two strings are there, however they got there."""
    assert imports(read(b"\x8c\2os\x8c\6system\x93.")) == [(12, "os.system")]
    assert imports(read(b"S'os'\nS'system'\n\x93.")) == [(16, "os.system")]
    assert imports(read(b"Vos\nVsystem\n\x93.")) == [(12, "os.system")]
    assert imports(read(b"\x8c\6system\x940\x8c\2osh\0\x93.")) == [(16, "os.system")]


def test_stack_global_of_a_python_2_string_is_read_as_torch_reads_it() -> None:
    """A STRING that is not ASCII is still a name to readers that decode it."""
    reading = read(b"S'm'\nS'\xc3\xa9'\n\x93.")
    assert imports(reading) == [(11, "m.é")]
    assert kinds(b"S'm'\nS'\xc3\xa9'\n\x93.") == ["name-odd"]


@pytest.mark.parametrize("name", [b"", b"a b", b"a\\x41", b"os\r", "é".encode(), b"\x7f"])
def test_odd_names_are_noted(name: bytes) -> None:
    """An empty name, and one with white space, a backslash, a control or a letter outside ASCII, is noted."""
    assert kinds(b"c" + name + b"\nn\n.") == ["name-odd"]
    assert kinds(b"cm\n" + name + b"\n.") == ["name-odd"]


def test_reduce_is_a_call() -> None:
    """REDUCE is traced with callee and arguments, and its result is the call itself."""
    reading = read(b"cos\nsystem\nS'id'\n\x85R.")
    assert calls(reading) == [(18, "<os.system>", ("id",))]
    assert acts(reading) == [(Global, 0), (Call, 18)]
    assert isinstance(reading.value, Call) and reading.value.how is How.REDUCE


def test_inst_and_obj_are_calls() -> None:
    """The protocol 0 ways to instantiate call a class with what lies above the MARK."""
    assert calls(read(b"(S'id'\nios\nsystem\n.")) == [(7, "<os.system>", ("id",))]
    assert calls(read(b"(cos\nsystem\nS'id'\no.")) == [(18, "<os.system>", ("id",))]
    assert read(b"(ios\nsystem\n.").value.how is How.INSTANCE


def test_newobj_is_a_call() -> None:
    """NEWOBJ and NEWOBJ_EX call `__new__` of a class, the latter with keywords."""
    reading = read(b"cm\nC\n)\x81.")
    assert calls(reading) == [(6, "<m.C>", ())] and reading.value.how is How.NEWOBJ and reading.value.kwargs is None
    reading = read(b"cm\nC\n)}\x8c\1kK\1s\x92.")
    assert calls(reading) == [(13, "<m.C>", ())] and shape(reading.value.kwargs) == {"k": 1}


def test_build_is_an_act() -> None:
    """BUILD is traced, and the object keeps every state in order."""
    reading = read(b"cm\nC\n)\x81K\1bK\2b.")
    assert acts(reading)[2:] == [(Build, 9), (Build, 12)]
    assert reading.value.states == [1, 2]
    node = reading.trace[2]
    assert isinstance(node, Build) and node.target is reading.value and node.state == 1


def test_a_persistent_load_is_an_act() -> None:
    """PERSID and BINPERSID are traced with the identifier."""
    assert acts(read(b"Pab\n.")) == [(Persistent, 0)]
    assert good(b"Pab\n.") == ("persistent", "ab")
    assert good(b"K\1\x85Q.") == ("persistent", (1,))


@pytest.mark.parametrize(
    ("data", "code"), [(b"\x82\xff.", 255), (b"\x83\xff\xff.", 65535), (b"\x84\xff\xff\xff\x7f.", 2**31 - 1)]
)
def test_an_extension_is_an_act(data: bytes, code: int) -> None:
    """EXT1, EXT2 and EXT4 stand for whatever the registry of the loading process says, so they are traced."""
    assert acts(read(data)) == [(Extension, 0)]
    assert good(data) == ("extension", code)


def test_objects_keep_what_is_put_into_them() -> None:
    """Items and pairs that go into the result of a call are kept apart from its arguments."""
    value = read(b"cm\nC\n)RNa(K\1K\2eK\3Ns(K\4Nu.").value
    assert value.items == [None, 1, 2] and value.pairs == [(3, None), (4, None)]
    assert read(b"cm\nC\n)R(K\1\x90.").value.items == [1]


# ── places where readers differ ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("text", [b"010", b" 1", b"1 ", b"+1", b"1_0", b"0x10", b"-0", b"1\0zz"])
def test_numbers_that_readers_read_differently(text: bytes) -> None:
    """A number that is not in plain decimal is read as C reads it, and noted."""
    value = {b"010": 8, b"1_0": 10, b"0x10": 16, b"-0": 0}.get(text, 1)
    for data in (b"I" + text + b"\n.", b"L" + text + b"L\n."):
        assert read(data).value == value
        assert kinds(data) == ["number-text"]


def test_memo_indexes_are_decimal() -> None:
    """PUT and GET read `010` as ten, and note it; there is no octal or hexadecimal index."""
    assert kinds(b"Np010\n0h\x0a.") == ["number-text"]
    assert why(b"Np0x1\n.") == "'0x1' is not a number"


@pytest.mark.parametrize("text", [b"1e999", b" 1.5", b"1_0.5", b"+1.5", b"1.5\0x", b"INF", b".5", b"infinity"])
def test_floats_that_readers_read_differently(text: bytes) -> None:
    """A float in any other spelling than Python's is noted."""
    assert kinds(b"F" + text + b"\n.") == ["number-text"]


@pytest.mark.parametrize("call", [b"K\1R", b"}R", b"cm\nn\nR", b"N\x81", b"NN\x92", b")N\x92", b"N}\x92"])
def test_arguments_that_are_no_tuple(call: bytes) -> None:
    """Python pickle spreads any iterable where C insists on a tuple; the call is traced all the same."""
    reading = read(b"cm\nn\n" + call + b".")
    assert [anomaly.kind for anomaly in reading.anomalies] == ["arguments-not-a-tuple"]
    assert acts(reading)[-1][0] is Call


@pytest.mark.parametrize("opcode", [b")\x81", b")}\x92"])
def test_a_new_object_of_a_computed_class(opcode: bytes) -> None:
    """NEWOBJ of something that is not named as a class is where Python tries and C may refuse."""
    assert kinds(b"cm\nn\n)R" + opcode + b".") == ["new-of-value"]
    assert kinds(b"\x82\1" + opcode + b".") == []


def test_inst_without_a_mark_imports_first() -> None:
    """Python pickle imports the class of INST before it finds that the MARK is missing; so the import is traced."""
    reading = read(b"ios\nsystem\n.")
    assert imports(reading) == [(0, "os.system")] and reading.fault is not None
    assert [anomaly.kind for anomaly in reading.anomalies] == ["mark-missing"]


@pytest.mark.parametrize("target", [b"cm\nn\n", b"K\1", b"]", b"}", b")"])
def test_state_on_what_no_call_made(target: bytes) -> None:
    """BUILD on a class or a value is traced and noted: it would change somebody else's object."""
    reading = read(target + b"}b.")
    assert acts(reading)[-1][0] is Build
    assert [anomaly.kind for anomaly in reading.anomalies] == ["build-on-value"]


@pytest.mark.parametrize(
    "data",
    [b"cm\nn\nNa", b"cm\nn\n(Ne", b"cm\nn\nNNs", b"cm\nn\n(NNu", b"cm\nn\n(N\x90", b"K\1Na", b"}Na", b"]NNs",
     b"](N\x90", b"\x8f(Ne", b"K\1(e", b"K\1(\x90", b"cm\nn\n)R(e", b"\x96\0\0\0\0\0\0\0\0K\1a"],
)  # fmt: skip
def test_items_for_what_is_no_such_container(data: bytes) -> None:
    """Filling an imported object, a value, or a container of another kind is noted, and reading goes on."""
    reading = read(data + b".")
    assert reading.fault is None
    assert [anomaly.kind for anomaly in reading.anomalies] == ["items-on-value"]


def test_the_note_names_an_imported_target() -> None:
    """Appending to `sys.path` needs no call; the note says what is changed."""
    (anomaly,) = read(b"csys\npath\nS'x'\na.").anomalies
    assert anomaly.detail == "items are put into sys.path"


@pytest.mark.parametrize("data", [b"K\1(u.", b"](u.", b"](e.", b"\x8f(\x90.", b"}(u."])
def test_nothing_put_into_something(data: bytes) -> None:
    """Where nothing is put, nobody looks at the target."""
    assert kinds(data) == []


def test_a_string_of_two_gibibytes_and_more() -> None:
    """A BINSTRING length that is negative to Python is a large one to C."""
    reading = read(b"T" + struct.pack("<I", 1 << 31) + b"x")
    assert [anomaly.kind for anomaly in reading.anomalies] == ["length-negative"]
    assert reading.fault is not None


@pytest.mark.parametrize(
    ("data", "traced"),
    [
        (b"cos\nsystemX", "os.system"),
        (b"cantigravityX", "antigravity."),
        (b"cos\n", "os."),
        (b"(ios\nsystem!", "os.system"),
    ],
)
def test_a_line_that_the_file_ends_in(data: bytes, traced: str) -> None:
    """Python pickle takes an unfinished line without its last byte, and imports; C refuses. It is traced and noted."""
    reading = read(data)
    assert [name for _, name in imports(reading)] == [traced]
    assert "line-unterminated" in [anomaly.kind for anomaly in reading.anomalies]
    assert reading.fault is not None and reading.end == len(data)


def test_an_unfinished_inst_is_a_call() -> None:
    """A file that ends in an INST makes Python pickle call it: the call is traced."""
    assert calls(read(b"(S'id'\nios\nsystem!")) == [(7, "<os.system>", ("id",))]


@pytest.mark.parametrize("data", [b"NN.", b"(N.", b"N(N.", b"NN(N."])
def test_leftovers_at_stop(data: bytes) -> None:
    """Values and marks under the result are noted: no pickler leaves any."""
    assert kinds(data) == ["stack-leftover"]


def test_no_more_of_a_line_is_searched_than_may_be_taken() -> None:
    """A gigabyte without a newline is refused at the limit, not at its end."""

    class Endless:
        size = 1 << 40
        read = 0

        def read_at(self, offset: int, length: int) -> bytes:
            self.read = offset + length
            return b"c" * length

    blob = Endless()
    fault = read_pickle(blob, location=Location("x"), limits=Limits(text_bytes=1 << 20)).fault
    assert getattr(fault, "limit", None) == "text_bytes"
    assert 1 << 20 <= blob.read < 2 << 20


def test_limits_name_their_field() -> None:
    """Each limit that a stream exceeds says which one it is."""
    small = Limits(opcodes=5, nodes=2, memo=3, depth=4, argument_bytes=6, number_bytes=3, text_bytes=6)
    for data, field in [
        (b"NNNNNN.", "opcodes"),
        (b"]]].", "nodes"),
        (b"Np4\n.", "memo"),
        (b"Nr\4\0\0\0.", "memo"),
        (b"(((((.", "depth"),
        (b"B\7\0\0\0aaaaaaa.", "argument_bytes"),
        (b"\x96\7\0\0\0\0\0\0\0aaaaaaa.", "argument_bytes"),
        (b"X\7\0\0\0aaaaaaa.", "text_bytes"),
        (b"T\7\0\0\0aaaaaaa.", "text_bytes"),
        (b"Vaaaaaaaaa\n.", "text_bytes"),
        (b"I1234\n.", "number_bytes"),
        (b"F1.25\n.", "number_bytes"),
        (b"\x8a\4aaaa.", "number_bytes"),
    ]:
        fault = read(data, limits=small).fault
        assert getattr(fault, "limit", None) == field, data


@pytest.mark.parametrize(
    "data",
    [
        b")\x85\x85\x85.",
        b"]]]]aaa.",
        b"cm\nn\n2)R\x85R.",
        b"cm\nn\n)R)\x85\x85\x85b.",
        b"])\x85\x85a.",
        b"}N)\x85\x85s.",
        b")\x85\x85Q.",
    ],
)
def test_depth_is_limited_as_it_is_built(data: bytes) -> None:
    """Nesting beyond the limit ends the reading, by whatever opcode it grows."""
    fault = read(data, limits=Limits(depth=3)).fault
    assert getattr(fault, "limit", None) == "depth"


@pytest.mark.parametrize("name", [b"X\x03\0\0\0a b", b"X\x02\0\0\0\xce\xb1", b"U\x02\xce\xb1", b"U\x02\xff\xfe"])
def test_a_name_that_is_used_again_is_looked_at_once(name: bytes) -> None:
    """The stack can hand over one of a megabyte a million times: what is odd about it is noted at its first place."""
    data = b"\x80\x04\x8c\x01mq\x000" + name + b"q\x010" + b"h\x00h\x01\x930" * 50 + b"N."
    reading = read_pickle(MemoryBlob(data), location=Location("x"))
    assert reading.fault is None and len(reading.trace) == 50
    assert len({node.name for node in reading.trace if isinstance(node, Global)}) == 1
    assert [anomaly.kind for anomaly in reading.anomalies] == ["name-odd"]
    assert reading.anomalies[0].detail.isprintable()
