"""From an inert graph to live objects: only what the table holds, and never anything foreign."""

from __future__ import annotations

import pickle
from collections import Counter, OrderedDict, defaultdict
from typing import Any

import pytest

from safeload.core.construct import Handler, Mapped, Named, Outside, Record, Stateful, construct
from safeload.core.errors import MalformedInput
from safeload.core.graph import NOTHING, Call, How, Persistent, Span
from safeload.core.names import GlobalName
from safeload.formats.plain import PLAIN
from tests.core.reading import HERE, read


def build(data: bytes, handlers: dict[tuple[str, str], Handler] | None = None, **hooks: Any) -> Any:
    table = {**PLAIN, **{GlobalName(*name): handler for name, handler in (handlers or {}).items()}}
    return construct(read(data), table, location=HERE, **hooks)


def refused(data: bytes, handlers: dict[tuple[str, str], Handler] | None = None) -> MalformedInput:
    with pytest.raises(MalformedInput) as caught:
        build(data, handlers)
    assert caught.value.where, "a refusal names its place"
    return caught.value


SHARED = [1]
VALUES: list[object] = [
    None, True, 1, -(1 << 70), 1.5, "é\ud800", b"x" * 300, b"y" * 70_000, bytearray(b"ab"), 1 + 2j,
    slice(1, None, 2), [1, [2, ()]], (1, (2,)), {"a": {1: (2,)}}, {1, 2}, frozenset({(1, 2)}), [SHARED, SHARED],
    set(), [set()],
    bytearray(),
]  # fmt: skip


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{type(value).__name__}")
def test_plain_data_is_what_pickle_gives(value: object, protocol: int) -> None:
    """Constants and containers of every protocol become Python's own, equal to what was pickled."""
    built = build(pickle.dumps(value, protocol))
    assert built == value and type(built) is type(value)


@pytest.mark.parametrize("protocol", range(6))
def test_collections_become_mappings(protocol: int) -> None:
    """OrderedDict, defaultdict and Counter keep their entries; their factories and attributes stay inert."""
    counted = Counter("aab")
    factory: defaultdict[str, list[int]] = defaultdict(list, a=[1])
    ordered = OrderedDict(b=1, a=2)
    ordered.note = "x"  # type: ignore[attr-defined]
    built = build(pickle.dumps([counted, factory, ordered], protocol))
    assert built == [dict(counted), dict(factory), dict(ordered)]
    assert all(isinstance(one, Mapped) for one in built)
    assert built[2].states == [{"note": "x"}] and list(built[2]) == ["b", "a"]


def test_sharing_and_cycles_are_preserved() -> None:
    """One node becomes one object, and a container may hold itself."""
    shared = build(pickle.dumps([SHARED, SHARED, {"k": SHARED}]))
    assert shared[0] is shared[1] is shared[2]["k"]
    for data in (b"]q\0h\0a.", b"}q\0Nh\0s.", b"]q\0h\0\x85a."):
        built = build(data)
        inner = built[0] if isinstance(built, list) else built[None]
        assert inner is built or inner[0] is built


def test_an_unknown_class_is_a_record() -> None:
    """A class outside the table becomes data: its name, arguments, state, items and pairs; nothing is imported."""
    record = build(b"\x80\4\x8c\1m\x8c\1C\x93K\1\x85R}\x8c\1aK\2sbK\3a\x8c\1kK\4s.")
    assert isinstance(record, Record) and record.name == ("m", "C") and record.how is How.REDUCE
    assert record.args == (1,) and record.states == [{"a": 2}] and record.items == [3] and record.pairs == [("k", 4)]
    assert record.attributes == {"a": 2} and repr(record) == "<inert m.C>"


def test_a_computed_class_is_a_record_without_a_name() -> None:
    """What is called need not be named; it is kept as the value it is."""
    record = build(b"cm\nf\n)R)R.")
    assert isinstance(record, Record) and record.name is None and isinstance(record.callee, Record)
    assert repr(record) == "<inert computed>"


def test_attributes_come_from_dicts_and_slots() -> None:
    """State that is a pair of dicts sets both; anything else sets no attribute."""
    record = Record(None, How.NEWOBJ, (), None, states=[({"a": 1}, {"b": 2, 3: 4}), 5, (6, 7)])
    assert record.attributes == {"a": 1, "b": 2}


def test_a_global_as_a_value_is_a_name() -> None:
    """A function that is not called stays a name, even if the table would handle a call of it."""
    assert build(b"cbuiltins\nset\n.") == Named(name=GlobalName("builtins", "set"))


def test_what_only_the_loader_could_supply_stays_outside() -> None:
    """Persistent ids, registry codes and buffers are kept as what they are, unless a hook makes something of them."""
    built = build(b"(K\1Q\x82\7\x97t.")
    assert [(one.kind, one.id) for one in built] == [("persistent", 1), ("extension", 7), ("buffer", 0)]
    assert all(isinstance(one, Outside) for one in built)
    id, node = build(b"K\1\x85Q.", persistent=lambda id, node: (id, node))
    assert id == (1,) and isinstance(node, Persistent)


def test_bytes_left_in_place_may_stay_there() -> None:
    """Long and mutable bytes are copied, or handed as spans to the hook."""
    data = b"\x96\2\0\0\0\0\0\0\0ab."
    assert build(data) == bytearray(b"ab")
    span = build(data, spans=lambda span: span)
    assert isinstance(span, Span) and span.mutable


def test_a_handler_gets_arguments_keywords_and_the_call() -> None:
    """A call of a table entry is its handler's, and what is put into the result goes through `Stateful`."""

    class Made(Stateful):
        def __init__(self) -> None:
            self.got: list[object] = []

        def set_state(self, state: object) -> None:
            self.got.append(("state", state))

        def extend(self, items: Any) -> None:
            self.got.append(("items", items))

        def update(self, pairs: Any) -> None:
            self.got.append(("pairs", pairs))

    def handler(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
        made = Made()
        made.got.append((args, kwargs, call.offset))
        return made

    built = build(b"cm\nC\nK\1\x85}\x8c\1kK\2s\x92K\3aK\4K\5sK\6bK\7b.", {("m", "C"): handler})
    assert built.got == [((1,), {"k": 2}, 15), ("items", [3]), ("pairs", [(4, 5)]), ("state", 6), ("state", 7)]


def plainly(kind: Any) -> Handler:
    return lambda args, kwargs, call: kind()


@pytest.mark.parametrize(
    ("target", "put"),
    [
        (Stateful, b"Na"),
        (Stateful, b"NNs"),
        (Stateful, b"Nb"),
        (list, b"NNs"),
        (list, b"Nb"),
        (int, b"Na"),
        (set, b"Nb"),
    ],
)
def test_nothing_is_put_into_what_does_not_take_it(target: Any, put: bytes) -> None:
    """Items, entries and state go only to objects that were made to take them."""
    error = refused(b"cm\nC\n)R" + put + b".", {("m", "C"): plainly(target)})
    assert target.__name__ == error.why and "@ 6" in str(error.where)


@pytest.mark.parametrize(
    ("target", "put", "result"), [(list, b"K\1a", [1]), (set, b"K\1a", {1}), (dict, b"K\1Ns", {1: None})]
)
def test_python_containers_take_items(target: Any, put: bytes, result: object) -> None:
    """What a handler makes as a list, set or dict is filled like one."""
    assert build(b"cm\nC\n)R" + put + b".", {("m", "C"): plainly(target)}) == result


def test_state_that_refers_back_is_set_at_the_end() -> None:
    """An object whose state, items or pairs hold itself is finished when everything is made."""
    record = build(b"cm\nC\n)\x81q\0]h\0ab.")
    assert record.states[0][0] is record
    record = build(b"cm\nC\n)\x81q\0h\0a.")
    assert record.items[0] is record
    within = build(b"\x8fq\0(cm\nC\nh\0\x85R\x90.")
    assert next(iter(within)).args[0] is within


REFUSED = [
    (b"h\0.", "cannot be read to its end"),  # the reading's own fault
    (b"}]Ns.", "as a key that cannot be one"),
    (b"\x8f(]\x90.", "as a key that cannot be one"),
    (b"(]\x91.", "as a key that cannot be one"),
    (b"]q\0h\0\x85q\1a(h\1\x91.", "as a key that cannot be one"),
    (b"cbuiltins\nset\n)}K\1Ns\x92.", "keyword arguments that are not keywords"),
    (b"cbuiltins\nset\n)]\x92.", "keyword arguments that are not keywords"),
    (b"cbuiltins\nset\nK\1\x85R.", "arguments that do not fit"),
    (b"cbuiltins\nset\n]]a\x85R.", "arguments that do not fit"),
    (b"cbuiltins\nfrozenset\n]]a\x85R.", "arguments that do not fit"),
    (b"cbuiltins\nbytearray\nK\1\x85R.", "arguments that do not fit"),
    (b"cbuiltins\nbytes\nK\1\x85R.", "arguments that do not fit"),
    (b"cbuiltins\ncomplex\nK\1\x85R.", "arguments that do not fit"),
    (b"cbuiltins\ncomplex\n\x8a\xff" + b"\x7f" * 255 + b"K\1\x86R.", "arguments that do not fit"),
    (b"cbuiltins\nslice\nK\1\x85R.", "arguments that do not fit"),
    (b"c_codecs\nencode\n\x8c\1aX\3\0\0\0zip\x86R.", "arguments that do not fit"),
    (b"c_codecs\nencode\nX\3\0\0\0\xe2\x82\xacX\6\0\0\0latin1\x86R.", "arguments that do not fit"),
    (b"ccollections\nOrderedDict\n]K\1a\x85R.", "arguments that do not fit"),
    (b"ccollections\nOrderedDict\n]]N\x86a\x85R.", "arguments that do not fit"),
    (b"ccollections\nCounter\nK\1\x85R.", "arguments that do not fit"),
    (b"ccopyreg\n_reconstructor\n)R.", "arguments that do not fit"),
]


@pytest.mark.parametrize(("data", "what"), REFUSED)
def test_what_does_not_fit_is_refused(data: bytes, what: str) -> None:
    """A graph that no table entry can build, or that no key can hold, is an error with a place."""
    assert what in refused(data).what


def test_a_handler_is_not_asked_where_arguments_are_no_tuple() -> None:
    """A call without a tuple stays a record: readers do not agree what its arguments are."""
    built = build(b"cbuiltins\nset\n]R.")
    assert isinstance(built, Record) and built.args == []


@pytest.mark.parametrize("container", [b"]q\0", b"}q\0", b"\x8fq\0"])
def test_a_container_that_holds_what_is_made_from_it(container: bytes) -> None:
    """A container among the arguments of an object that it holds is filled when the object is made."""
    put = {b"]": b"h\1a", b"}": b"Nh\1s", b"\x8f": b"(h\1\x90"}[container[:1]]
    record = build(b"cm\nf\n" + container + b"\x85Rq\1h\0" + put + b"0.")
    (held,) = record.args
    assert (held[None] if isinstance(held, dict) else next(iter(held))) is record


def test_a_state_that_holds_what_is_made_from_its_object() -> None:
    """The state of an object among the arguments of what the state holds is set when that is made."""
    record = build(b"cm\nf\ncm\nC\n)\x81q\0\x85Rq\1h\0h\1b0.")
    assert record.args[0].states == [record]


def test_a_tuple_that_contains_itself_through_a_tuple_is_refused() -> None:
    """Where no order of making things works, that is said."""
    assert "contains itself" in refused(b"]q\0\x85q\1h\0h\1\x85a0.").what


def test_a_reading_without_a_value_cannot_be_built() -> None:
    """A reading that ended early raises its own fault; one that holds nothing is refused."""
    assert refused(b"N").what == "a pickle cannot be read to its end"
    with pytest.raises(MalformedInput, match="holds no value"):
        construct(read(b"N.")._replace(value=NOTHING), PLAIN, location=HERE)


def test_running_out_of_recursion_is_an_error_of_ours() -> None:
    """Python compares equal keys by recursion; where that is too deep, or a handler is, the pickle is refused."""
    deep = b")" + b"\x85" * 9_000
    for data in (b"}(" + deep + b"N" + deep + b"Nu.", b"\x8f(" + deep + deep + b"\x90.", b"(" + deep + deep + b"\x91."):
        try:
            assert len(build(data)) == 1  # newer Pythons can
        except MalformedInput as error:
            assert error.what == "a pickle is nested too deeply to be built"

    def endless(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
        return endless(args, kwargs, call)

    assert refused(b"cm\nC\n)R.", {("m", "C"): endless}).what == "a pickle is nested too deeply to be built"


def test_deep_graphs_are_built_without_recursion() -> None:
    """Nesting of values is no nesting on the Python stack."""
    value = build(b")" + b"\x85" * 9_000 + b".")
    for _ in range(9_000):
        (value,) = value
    assert value == ()


PLAIN_CALLS = [
    (b"cbuiltins\nset\n)R.", set()),
    (b"cbuiltins\nset\n]K\1a\x85R.", {1}),
    (b"cbuiltins\nfrozenset\n]K\1a\x85R.", frozenset({1})),
    (b"cbuiltins\nbytearray\n)R.", bytearray()),
    (b"cbuiltins\nbytearray\nC\1a\x85R.", bytearray(b"a")),
    (b"cbuiltins\nbytearray\n\x8c\1aX\7\0\0\0latin-1\x86R.", bytearray(b"a")),
    (b"cbuiltins\nbytes\n)R.", b""),
    (b"cbuiltins\nbytes\nC\1a\x85R.", b"a"),
    (b"ccollections\nCounter\n)R.", {}),
    (b"ccollections\nOrderedDict\n]K\1K\2\x86a\x85R.", {1: 2}),
    (b"ccollections\ndefaultdict\ncos\nsystem\n\x85RK\1K\2s.", {1: 2}),
]


@pytest.mark.parametrize(("data", "value"), PLAIN_CALLS)
def test_plain_constructors(data: bytes, value: object) -> None:
    """The standard library's data types are built from plain arguments only."""
    assert build(data) == value


def test_objects_of_protocols_0_and_1() -> None:
    """`copyreg._reconstructor` makes a record of the class, with the base's state if there is any."""
    record = build(b"ccopyreg\n_reconstructor\n(cm\nC\nc__builtin__\nobject\nNtR}Vk\nNsb.")
    assert record.name == ("m", "C") and record.attributes == {"k": None}
    record = build(b"ccopyreg\n_reconstructor\n(cm\nC\nc__builtin__\ndict\n}Vk\nNstR.")
    assert record.states == [{"k": None}]


def test_an_inert_record_says_why_it_has_no_methods() -> None:
    """What its class would have had is an error that says so; what Python itself asks for is a plain one."""
    record = Record(Named(name=GlobalName("m", "C")), How.NEWOBJ, (), {})
    with pytest.raises(AttributeError, match="its class was not imported"):
        _ = record.predict
    with pytest.raises(AttributeError, match=r"^__deepcopy__$"):
        _ = record.__deepcopy__
