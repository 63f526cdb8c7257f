"""`safeload.pickle` against `pickle`: the same values for plain data, nothing run ever, nothing read too far."""

from __future__ import annotations

import argparse
import collections
import contextlib
import copyreg
import dataclasses
import datetime
import decimal
import enum
import fractions
import io
import os
import pathlib
import pickle as standard
import types
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from safeload import Limits, Options, PolicyDenied, UsageError, pickle
from safeload.core.construct import Record
from safeload.core.errors import LimitExceeded, MalformedInput, SafeloadError

PROTOCOLS = range(standard.HIGHEST_PROTOCOL + 1)


@dataclasses.dataclass
class Settings:
    name: str
    size: int = 3


class Colour(enum.Enum):
    RED = 1
    BLUE = "b"


class Stateful:
    def __setstate__(self, state: object) -> None:
        raise AssertionError("a method ran")


class Careless:
    """A class whose methods must not run, and that a file must not redefine."""

    kind = "careless"

    def __init__(self) -> None:
        self.value = 1

    @property
    def twice(self) -> int:
        return 2 * self.value

    def method(self) -> str:
        return "mine"


class Node:
    def __init__(self) -> None:
        self.children: tuple[Node, ...] = ()
        self.parent: Node | None = None


# ── laws ────────────────────────────────────────────────────────────────────────────────────────────────────────

_leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 200), 1 << 200)
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.text()
    | st.binary(max_size=70)
    | st.binary(max_size=9).map(bytearray)
    | st.dates()
    | st.times()
    | st.datetimes()
    | st.datetimes(timezones=st.just(datetime.timezone(datetime.timedelta(hours=2), "EET")))
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.uuids()
    | st.builds(range, st.integers(0, 9), st.integers(0, 99), st.integers(1, 7))
    | st.builds(slice, st.integers(0, 9), st.none())
)
_keys = st.integers() | st.text() | st.tuples(st.integers(), st.text()) | st.frozensets(st.integers(), max_size=3)


def _containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    mapping = st.dictionaries(_keys, inner, max_size=4)
    return (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=4).map(tuple)
        | mapping
        | mapping.map(collections.OrderedDict)
        | mapping.map(lambda one: collections.defaultdict(list, one))
        | st.lists(inner, max_size=4).map(lambda one: collections.deque(one, 9))
        | st.dictionaries(_keys, st.integers(), max_size=4).map(collections.Counter)
        | st.sets(_keys, max_size=4)
        | st.frozensets(_keys, max_size=4)
    )


plain = st.recursive(_leaves, _containers, max_leaves=20)


def shape(value: Any) -> list[tuple[object, ...]]:
    """The types of a value's parts, and which of them are one object: what `==` does not see."""
    numbers: dict[int, int] = {}
    keep: list[object] = []
    told: list[tuple[object, ...]] = []
    waiting = [value]
    while waiting:
        one = waiting.pop()
        mutable = isinstance(one, list | dict | set | bytearray | collections.deque)
        known = id(one) in numbers
        if mutable:
            numbers.setdefault(id(one), len(numbers))
        keep.append(one)
        told.append((type(one), numbers[id(one)] if mutable else -1))
        if known and mutable:
            continue
        if isinstance(one, dict):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple | collections.deque):
            waiting += one
    return told


def _loads(data: bytes) -> Any:
    """What is read; but for constants that happen to spell a pickle themselves, which are judged like one."""
    try:
        return pickle.loads(data)
    except PolicyDenied as refused:
        assume("nested" not in str(refused))
        raise


@given(plain, st.sampled_from(PROTOCOLS))
def test_plain_data_comes_back_as_it_was(value: object, protocol: int) -> None:
    """For plain data in every protocol, what is read equals what was written, and has its types."""
    got = _loads(standard.dumps(value, protocol))
    assert got == value
    assert shape(got) == shape(value)


@given(st.lists(plain, min_size=1, max_size=4), st.data(), st.sampled_from(PROTOCOLS))
def test_what_was_one_object_still_is(values: list[Any], data: st.DataObject, protocol: int) -> None:
    """Shared objects come back shared, and different ones different, also in objects that contain themselves."""
    shared: list[Any] = [*values]
    for _ in range(3):
        shared.append(data.draw(st.sampled_from([*shared, shared])))
    got = _loads(standard.dumps(shared, protocol))
    assert shape(got) == shape(standard.loads(standard.dumps(shared, protocol)))


@given(st.lists(plain, max_size=4), st.sampled_from(PROTOCOLS), st.binary(max_size=20))
def test_a_stream_stands_behind_each_pickle(values: list[Any], protocol: int, rest: bytes) -> None:
    """Pickles in a row are read in turn, and nothing of what follows is taken, from whatever kind of stream."""
    data = b"".join(standard.dumps(value, protocol) for value in values) + rest
    for stream in (io.BytesIO(data), _Pipe(data)):
        assert [pickle.load(stream) for _ in values] == values
        assert stream.read() == rest


@given(st.binary(max_size=300))
def test_any_bytes_give_a_value_or_our_error(data: bytes) -> None:
    """Whatever the bytes are, there is a value or an error of ours."""
    for read in (
        pickle.loads,
        lambda data: pickle.load(_Pipe(data)),
        lambda data: pickle.loads(data, encoding="bytes"),
    ):
        with contextlib.suppress(SafeloadError):
            read(data)


class _Pipe:
    """A stream that only goes forward, as sockets and pipes do."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, length: int = -1) -> bytes:
        return self._file.read(length)

    def readline(self) -> bytes:
        return self._file.readline()


# ── what comes back ─────────────────────────────────────────────────────────────────────────────────────────────


def test_files_are_read_in_turn_to_their_end(tmp_path: Path) -> None:
    """The loop that everybody writes: load until `EOFError`."""
    path = tmp_path / "log.pkl"
    with path.open("wb") as out:
        for number in range(5):
            standard.dump({"n": number, "a": numpy.arange(number * 10_000)}, out)
    seen = []
    with path.open("rb") as file, pytest.raises(EOFError) as ended:
        while True:
            seen.append(pickle.load(file))
    assert [one["n"] for one in seen] == list(range(5))
    assert isinstance(ended.value, MalformedInput)


def test_buffers_beside_the_stream_are_used_and_not_copied() -> None:
    """Protocol 5 hands arrays over beside the pickle; what may not be written to stays so."""
    one, two = numpy.arange(10.0), numpy.arange(6).reshape(2, 3).T
    two.flags.writeable = False
    buffers: list[Any] = []
    data = standard.dumps([one, one, two, standard.PickleBuffer(b"raw")], 5, buffer_callback=buffers.append)
    got = pickle.loads(data, buffers=buffers)
    expected = standard.loads(data, buffers=buffers)
    assert got[0] is got[1]
    assert numpy.shares_memory(got[0], one)
    assert got[0].flags.writeable
    assert not got[2].flags.writeable
    assert (got[2] == two).all()
    assert got[2].strides == expected[2].strides
    assert bytes(got[3]) == b"raw"


def test_too_few_buffers_are_an_error() -> None:
    """A buffer that was not given is not made up."""
    data = standard.dumps(numpy.arange(10.0), 5, buffer_callback=[].append)
    for buffers in ((), None):
        with pytest.raises(MalformedInput, match="buffers"):
            pickle.loads(data, buffers=buffers)


def test_a_buffer_of_another_size_is_an_error() -> None:
    """An array never reaches beyond the buffer it was given."""
    data = standard.dumps(numpy.arange(10.0), 5, buffer_callback=[].append)
    with pytest.raises(MalformedInput, match="size"):
        pickle.loads(data, buffers=[b"\0" * 79])


@pytest.mark.parametrize("encoding", ["latin1", "bytes", "utf-8", "koi8-r", "cp1252", "gbk"])
@pytest.mark.parametrize("data", [b"U\x02\xc3\xa9.", b"T\x02\0\0\0\xc3\xa9.", b"S'\\xc3\\xa9'\n."])
def test_strings_of_python_2_are_what_the_caller_says(encoding: str, data: bytes) -> None:
    """`encoding` means what it means to pickle."""
    assert pickle.loads(data, encoding=encoding) == standard.loads(data, encoding=encoding)


def test_bytes_of_python_2_also_where_they_are_ascii() -> None:
    """`encoding="bytes"`, as the CIFAR data wants it, gives bytes for every string."""
    data = b"}q\0(U\x04dataq\x01S'x'\nU\x01bT\x01\0\0\0cu."
    assert pickle.loads(data, encoding="bytes") == standard.loads(data, encoding="bytes") == {b"data": b"x", b"b": b"c"}


def test_other_strings_of_python_2_are_an_error_by_default() -> None:
    """Text that is not ASCII is not guessed."""
    with pytest.raises(MalformedInput, match="latin1"):
        pickle.loads(b"U\x02\xc3\xa9.")


def test_names_of_python_2_are_mapped_only_if_asked() -> None:
    """`fix_imports=False` takes names as they are written."""
    data = b"c__builtin__\nset\n((ltR."
    assert pickle.loads(data) == set()
    with pytest.raises(PolicyDenied, match="__builtin__"):
        pickle.loads(data, fix_imports=False)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_numpy_comes_back_as_it_was(protocol: int) -> None:
    """Arrays of every kind, types and numbers."""
    values = [
        numpy.arange(24.0).reshape(2, 3, 4).transpose(1, 2, 0),
        numpy.array(["a", "bcd"]),
        numpy.array([b"x"]),
        numpy.array([{"a": 1}, None, (2,)], dtype=object),
        numpy.array([(1, 2.0)], dtype=[("a", "i4"), ("b", ">f8")]),
        numpy.array(["2026-11-28"], dtype="M8[D]"),
        numpy.float32(3),
        numpy.zeros((0, 3)),
        numpy.asfortranarray(numpy.ones((2, 3))),
    ]
    for value, got in zip(values, pickle.loads(standard.dumps(values, protocol)), strict=True):
        assert type(got) is type(value)
        assert got.dtype == value.dtype
        assert got.shape == value.shape
        assert got.tolist() == value.tolist()


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_two_arrays_never_share_the_bytes_of_one_constant(protocol: int) -> None:
    """A file that gives one constant to two arrays, or to an array and itself, gets copies, as from pickle."""
    raw = bytes(100_000)
    state = (1, (100_000,), numpy.dtype("u1"), False, raw)

    class Array:
        def __reduce__(self) -> Any:
            return numpy.zeros(0).__reduce__()[0], (numpy.ndarray, (0,), b"b"), state

    one, other, constant = pickle.loads(standard.dumps([Array(), Array(), raw], protocol))
    assert constant == raw
    assert not numpy.shares_memory(one, other)
    assert one.flags.writeable
    one[:] = 7
    assert not other.any()


def test_the_rest_of_the_module_is_picklers_own() -> None:
    """A changed import keeps a program working that also writes, and catches pickle's errors."""
    assert pickle.dumps is standard.dumps
    assert pickle.HIGHEST_PROTOCOL == standard.HIGHEST_PROTOCOL
    assert pickle.UnpicklingError is standard.UnpicklingError
    assert set(standard.__all__) <= set(dir(pickle))
    for hidden in ("_Unpickler", "_load", "_loads", "_getattribute"):
        with pytest.raises(AttributeError):
            getattr(pickle, hidden)


# ── classes that the caller hands over ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_classes_that_are_handed_over_are_made(protocol: int) -> None:
    """Instances of a dataclass and members of an enumeration, in every protocol."""
    value = [Settings("x"), Colour.RED, Colour.BLUE, {"deep": Settings("y", 4)}]
    assert pickle.loads(standard.dumps(value, protocol), classes=[Settings, Colour]) == value


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_objects_may_refer_back_to_what_holds_them(protocol: int) -> None:
    """A tree whose nodes know their parents, through tuples as well."""
    root, child = Node(), Node()
    root.children, child.parent = (child,), root
    got = pickle.loads(standard.dumps(child, protocol), classes=[Node])
    assert got.parent.children[0] is got
    assert got.parent.parent is None


class Hashed:
    def __hash__(self) -> int:
        raise AssertionError("a method ran")


class Leaving:
    def __del__(self) -> None:
        Leaving.ran = True  # type: ignore[attr-defined]


@dataclasses.dataclass(frozen=True)
class Frozen:
    name: str


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_frozen_dataclasses_may_be_keys(protocol: int) -> None:
    """What the standard library wrote for them runs on their fields, which are there."""
    value = {Frozen("a"): 1, Frozen("b"): [Frozen("a")]}
    assert pickle.loads(standard.dumps(value, protocol), classes=[Frozen]) == value


@pytest.mark.parametrize("kind", [Stateful, Hashed, Leaving, list, int, 3, "Settings"])
def test_classes_that_need_their_methods_are_refused(kind: Any) -> None:
    """A class whose instances are more than attributes is refused before anything is read."""
    with pytest.raises(UsageError):
        pickle.loads(standard.dumps(1), classes=[kind])
    assert not hasattr(Leaving, "ran")


@pytest.mark.parametrize(
    "state",
    [
        {"method": 1},
        {"twice": 1},
        {"__class__": 1},
        {"__dict__": {}},
        {"__reduce__": 1},
        {1: 2},
        [1],
        ({}, {"method": 1}),
        ({"value": 1}, {"__class__": int}),
        "value",
    ],
)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_state_redefines_a_class(state: object, protocol: int) -> None:
    """What would hide a method or property, or is no attribute, is refused."""

    file = io.BytesIO()
    pickler = standard.Pickler(file, protocol)
    pickler.dispatch_table = {Careless: lambda value: (copyreg.__newobj__, (Careless,), state)}
    pickler.dump(Careless())
    with pytest.raises(SafeloadError):
        pickle.loads(file.getvalue(), classes=[Careless])


def test_a_class_attribute_is_no_method() -> None:
    """What a class has as a default, an instance may have its own of."""
    value = Careless()
    value.kind = "other"
    got = pickle.loads(standard.dumps(value), classes=[Careless])
    assert (got.kind, got.method(), got.twice) == ("other", "mine", 2)


# ── refusals ────────────────────────────────────────────────────────────────────────────────────────────────────


class _Evil:
    def __init__(self, call: Callable[..., object], *args: object) -> None:
        self.call, self.args = call, args

    def __reduce__(self) -> Any:
        return self.call, self.args


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("unknown", ["record", "refuse"])
def test_payloads_are_refused(protocol: int, unknown: Any, marker: Path) -> None:
    """Calls that run something are refused, whatever is asked for."""
    for call, argument in ((os.system, f"touch {marker}"), (eval, f"open({str(marker)!r}, 'w')"), (__import__, "os")):
        with pytest.raises(PolicyDenied):
            pickle.loads(standard.dumps(_Evil(call, argument), protocol), unknown=unknown)


def test_all_unknown_names_are_told_at_once() -> None:
    """One refusal lists every class, says of what library each is, and how to let them pass."""
    with pytest.raises(PolicyDenied) as refused:
        pickle.loads(standard.dumps([Settings("a"), Colour.RED]))
    text = str(refused.value)
    module = Settings.__module__
    assert f"{module}.Settings" in text
    assert f"{module}.Colour" in text
    assert "unknown='record'" in text
    got = pickle.loads(standard.dumps([Settings("a"), Colour.RED]), inert=[f"{module}.Settings", f"{module}.Colour"])
    assert [type(one) for one in got] == [Record, Record]
    assert got[0].attributes == {"name": "a", "size": 3}


def test_a_refusal_says_how_to_have_ones_own_classes_made() -> None:
    """The call that it names is the one that works; and no command for a file that has no name."""
    data = standard.dumps([Settings("a")])
    with pytest.raises(PolicyDenied, match=r"classes=\[Settings\]") as caught:
        pickle.loads(data)
    assert "<stream>'" not in str(caught.value).partition("next:")[2]
    assert pickle.loads(data, classes=[Settings]) == [Settings("a")]
    with pytest.raises(PolicyDenied, match=r"safeload scan FILE --json"):
        pickle.loads(b"cos\nsystem\n.")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_objects_of_the_standard_library_may_hold_themselves(protocol: int) -> None:
    """A deque, and namespaces, which are filled when all that they hold is there."""
    line: Any = collections.deque([1], 5)
    line.append([line])
    space = types.SimpleNamespace(line=line)
    space.own = (space,)
    arguments = argparse.Namespace(space=space)
    arguments.own = {"a": arguments}
    found = pickle.loads(standard.dumps(arguments, protocol))
    assert found.own["a"] is found and found.space.own[0] is found.space
    assert found.space.line[1][0] is found.space.line and found.space.line.maxlen == 5


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("factory", [collections.Counter, collections.deque, collections.defaultdict, list, int])
def test_default_dictionaries_keep_their_factory(factory: Any, protocol: int) -> None:
    """Of the containers that the standard library has."""
    found = pickle.loads(standard.dumps(collections.defaultdict(factory, {1: 2}), protocol))
    assert found == {1: 2} and found.default_factory is factory and found["new"] == factory()


def test_records_are_only_given_to_who_asks() -> None:
    """With `unknown="record"` the data of foreign objects can be read, and nothing of them is live."""
    (got,) = pickle.loads(standard.dumps([Settings("a")]), unknown="record")
    assert isinstance(got, Record)


_NO_TEXT = ("utf-7", "utf-16", "unicode_escape", "rot13", "cp037", "iso2022_jp", "idna", "no\0ne", "nowhere")
"""No encodings of text, or such in which ASCII is something else."""


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        *(({"encoding": name}, UsageError) for name in _NO_TEXT),
        ({"errors": "nonsense"}, UsageError),
        ({"unknown": "import"}, UsageError),
        ({"inert": "a.B"}, UsageError),
        ({"safeload": 1}, UsageError),
        ({"strict": True}, TypeError),
    ],
)
def test_arguments_that_cannot_be_honoured_are_refused(arguments: Any, error: type[Exception]) -> None:
    """Nothing is ignored."""
    with pytest.raises(error):
        pickle.loads(standard.dumps(1), **arguments)


def test_find_class_is_refused() -> None:
    """A program's own idea of what to import is not followed, neither by subclass nor by call."""
    with pytest.raises(UsageError, match="find_class"):
        type("Mine", (pickle.Unpickler,), {"find_class": lambda self, module, name: int})
    with pytest.raises(UsageError, match="not imported"):
        pickle.Unpickler(io.BytesIO(b"N.")).find_class("os", "system")


def test_persistent_ids_are_the_programs_or_an_error() -> None:
    """Objects of the program come from the program, by an id that is data; without it they are an error."""
    data = b"\x80\x02]q\0(U\x01aQK\x07Qe."

    class Mine(pickle.Unpickler):
        def persistent_load(self, id: object) -> object:
            return ("mine", id)

    assert Mine(io.BytesIO(data)).load() == [("mine", "a"), ("mine", 7)]
    with pytest.raises(MalformedInput, match="persistent"):
        pickle.loads(data)


def test_text_files_and_other_things_are_refused() -> None:
    """What is no stream of bytes is said to be none."""
    with pytest.raises(UsageError, match="text"):
        pickle.load(io.StringIO("N."))
    with pytest.raises(UsageError, match="text"):
        pickle.loads("N.")
    with pytest.raises(UsageError, match="bytes"):
        pickle.loads(1)
    with pytest.raises(AttributeError, match="read"):
        pickle.load(3)


def test_a_file_that_ends_early_is_no_end_of_file() -> None:
    """Only a stream with nothing left ends a loop; a pickle cut in two is an error, and no `EOFError`."""
    data = standard.dumps(list(range(100)))
    for cut in range(1, len(data), 7):
        for read in (lambda part: pickle.loads(part), lambda part: pickle.load(_Pipe(part))):
            with pytest.raises(SafeloadError) as error:
                read(data[:cut])
            assert not isinstance(error.value, EOFError)


def test_lengths_that_are_lies_cost_nothing() -> None:
    """A promise of gigabytes is checked against what is there, also on a stream that does not say its size."""
    for data in (
        b"\x80\x04\x8e\xff\xff\xff\xff\0\0\0\0abc",
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"r\xff\xff\xff\xff",
    ):
        for read in (pickle.loads, lambda data: pickle.load(_Pipe(data))):
            with pytest.raises(MalformedInput):
                read(data)
    with pytest.raises(LimitExceeded):
        pickle.load(_Pipe(b"\x80\x04" + b"N0" * 50 + b"N."), safeload=Options(limits=Limits(opcodes=20)))


def test_deep_nesting_and_doubling_are_stopped_or_read() -> None:
    """Neither a thousand lists in each other nor a key that doubles sixty times takes stack or time."""
    deep: Any = []
    for _ in range(5_000):
        deep = [deep]
    stream = b"\x80\x02" + b"]" * 5_000 + b"a" * 4_999 + b"."
    assert isinstance(pickle.loads(stream), list)
    with pytest.raises(MalformedInput):
        pickle.loads(b"\x80\x04" + b"]" * 20_000 + b"a" * 19_999 + b".")
    doubling = b"\x80\x04}K\x01" + b"2\x86" * 60 + b"Ns."
    with pytest.raises(MalformedInput, match="parts"):
        pickle.loads(doubling)


_SAME = [number * ((1 << 61) - 1) for number in range(1, 30_000)]
"""Numbers of one hash."""


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "data",
    [
        lambda: dict.fromkeys(range(3)) | {"a": _Crowd(dict)},
        lambda: _Crowd(set),
        lambda: _Crowd(frozenset),
        lambda: _Crowd(collections.OrderedDict),
        lambda: _Crowd(collections.Counter),
    ],
)
def test_keys_that_were_chosen_to_be_slow_are_refused(data: Callable[[], object], protocol: int) -> None:
    """Thirty thousand numbers of one hash would keep a dictionary busy for half a minute, and more for longer."""
    with pytest.raises(MalformedInput, match="slow"):
        pickle.loads(standard.dumps(data(), protocol))


class _Crowd:
    """Pickles as a container of such keys, without making one."""

    def __init__(self, kind: type) -> None:
        self.kind = kind

    def __reduce__(self) -> Any:
        keys: list[Any] = [(number, "x") for number in _SAME]
        if self.kind in (set, frozenset):
            return self.kind, (_SAME,)
        if self.kind is dict:
            return self.kind, ([[key, 1] for key in keys],)
        return self.kind, (), None, None, iter([(key, 1) for key in keys])


def test_many_equal_or_ordinary_keys_are_no_crowd() -> None:
    """Only different keys of one hash are counted."""
    value = [dict.fromkeys(range(5_000)), set(range(5_000)), {float(n): n for n in range(3_000)}]
    assert pickle.loads(standard.dumps(value)) == value
    many = b"\x80\x04}(" + b"K\x01K\x02" * 5_000 + b"u."
    assert pickle.loads(many) == {1: 2}


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04\x8c\x08builtins\x8c\x05rangeK\x01K\x02K\0\x87R.",
        b"\x80\x04\x8c\x08builtins\x8c\x05range\x93(K\x01K\x02K\0tR.",
        b"\x80\x04\x8c\x0bcollections\x8c\x05deque\x93)RK\x01a}b.",
        b"\x80\x04\x8c\x07decimal\x8c\x07Decimal\x93\x8c\x01x\x85R.",
        b"\x80\x04\x8c\x09fractions\x8c\x08Fraction\x93K\x01K\0\x86R.",
        b"\x80\x04\x8c\x08datetime\x8c\x04date\x93C\x03abc\x85R.",
        b"\x80\x04\x8c\x04uuid\x8c\x04UUID\x93)\x81}\x8c\x03int\x8c\x01xsb.",
        b"\x80\x04\x8c\x0bcollections\x8c\x0bdefaultdict\x93\x8c\x08builtins\x8c\x05range\x93\x85R\x8c\x01a]s}b.",
        b"\x80\x04\x8c\x08builtins\x8c\x03set\x93]]a\x85R.",
        b"\x80\x04N}b.",
        b"\x80\x04K\x01)R.",
    ],
)
def test_arguments_that_do_not_fit_are_refused(data: bytes) -> None:
    """No type is made from what it is not made of."""
    with pytest.raises(SafeloadError):
        pickle.loads(data)


def test_an_object_made_whole_that_contains_itself_is_an_error_and_not_empty() -> None:
    """Where a part refers back to what is made from it, nothing is lost silently."""
    numbers = b"\x80\x04]\x940carray\narray\n\x8c\x01qh\x00\x86R\x94h\x00h\x01a0."  # the list gets the array, later
    with pytest.raises(MalformedInput, match="contains itself"):
        pickle.loads(numbers)


def test_a_deque_may_hold_itself() -> None:
    """It is there before it is filled."""
    value: collections.deque[Any] = collections.deque()
    value.append(value)
    found = pickle.loads(standard.dumps(value))
    assert type(found) is collections.deque and len(found) == 1 and found[0] is found


def test_a_file_that_changes_meanwhile_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes that were judged are those that are used, or there is an error."""
    path = tmp_path / "a.pkl"
    path.write_bytes(standard.dumps(b"x" * 100_000))
    from safeload.pickle import _read

    real = _read.value_of

    def meanwhile(*args: Any) -> object:
        path.write_bytes(standard.dumps(b"y" * 100_000))
        return real(*args)

    monkeypatch.setattr(_read, "value_of", meanwhile)
    with path.open("rb") as file, pytest.raises(SafeloadError, match="no longer"):
        pickle.load(file)


def test_paths_and_namespaces_are_plain() -> None:
    """A path is its text; what it names is not touched."""
    assert pickle.loads(standard.dumps(pathlib.Path("/a/b"))) == pathlib.PurePosixPath("/a/b")


def test_numbers_are_not_taken_for_others() -> None:
    """Types that are equal to each other stay apart."""
    values = [True, 1, 1.0, 1 + 0j, decimal.Decimal(1), fractions.Fraction(1), uuid.UUID(int=1)]
    assert [type(one) for one in pickle.loads(standard.dumps(values))] == [type(one) for one in values]
