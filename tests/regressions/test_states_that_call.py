"""Objects that a pickle makes so that the unpickler itself calls what the pickle chose. Found by attacking safeload.

Each ran a command in C and Python `pickle` although the only thing outside the allowlist was a name, and was called
unverified. The function is named and never called by the stream: BUILD and APPENDS find it on the object.
"""

from __future__ import annotations

import pickle

import numpy
import pytest

from safeload.core.finding import Status
from tests.rules.streams import rules, status, text

RUN = b"cnobody.knows\nrun\n"
NAMESPACE = b"\x80\x04cargparse\nNamespace\n)\x81"


def sets(name: bytes) -> bytes:
    """A state that gives an attribute of that name to the object."""
    return b"}" + name + RUN + b"sb"


@pytest.mark.parametrize("name", [text("__setstate__"), b"cbuiltins\nstr\n" + text("__setstate__") + b"\x85R"])
def test_a_state_that_replaces_the_setter_of_states(name: bytes) -> None:
    """The second state of an object is handed to whatever the first one called `__setstate__`."""
    assert status(NAMESPACE + sets(name) + text("touch MARKER") + b"b.") is Status.DANGEROUS


@pytest.mark.parametrize(
    ("name", "items"),
    [("append", text("x") + b"a"), ("extend", b"(" + text("x") + b"e"), ("add", b"(" + text("x") + b"\x90")],
)
def test_a_state_that_replaces_the_taker_of_items(name: str, items: bytes) -> None:
    """Items are handed to whatever the object's state called `append`, `extend` or `add`."""
    assert status(NAMESPACE + sets(text(name)) + items + b".") is Status.DANGEROUS


def test_entries_after_a_state() -> None:
    """No pickler sets entries after the state, so that a reader cannot know what takes them."""
    data = b"\x80\x04ccollections\nOrderedDict\n)R}" + text("a") + b"K\x01sb" + text("k") + b"K\x02s."
    assert status(data) is Status.DANGEROUS


@pytest.mark.parametrize("key", [text("__setstate__"), b"cbuiltins\nstr\nC\x0c__setstate__" + text("ascii") + b"\x86R"])
def test_classes_that_answer_for_attributes_with_their_entries(key: bytes) -> None:
    """A dictionary with attribute access finds `__setstate__` among its entries."""
    made = b"\x80\x04clightning.fabric.utilities.data\nAttributeDict\n)\x81"
    assert status(made + key + RUN + b"s" + text("x") + b"b.") is Status.DANGEROUS


@pytest.mark.parametrize(("name", "put"), [("__setstate__", b"b"), ("append", b"a")])
@pytest.mark.parametrize("wrap", ["%s", "cbuiltins\ndict\n%s\x85R", "ccollections\nOrderedDict\n%s\x85R"])
def test_constructors_that_set_attributes(name: str, put: bytes, wrap: str) -> None:
    """What a constructor is given may become the attributes that the unpickler looks for."""
    given = wrap.encode("latin-1") % (b"}" + text(name) + RUN + b"s")
    assert status(b"\x80\x04ctypes\nSimpleNamespace\n" + given + b"\x85R" + text("x") + put + b".") is Status.DANGEROUS


def test_pairs_that_become_attributes() -> None:
    """The same from a list of pairs."""
    pairs = b"cbuiltins\ndict\n](" + text("__setstate__") + RUN + b"\x86e\x85R"
    assert status(b"\x80\x04ctypes\nSimpleNamespace\n" + pairs + b"\x85R" + text("x") + b"b.") is Status.DANGEROUS


@pytest.mark.parametrize(
    "same", ["numpy\nobject_", "numpy.core.multiarray\nscalar", "torch._utils\n_rebuild_parameter"]
)
def test_a_second_state_under_another_name(same: str) -> None:
    """What returns the object it was handed is no way to set a second state on it."""
    data = (
        NAMESPACE
        + b"\x94"
        + sets(text("__setstate__"))
        + b"0"
        + f"c{same}\nh\0\x85R".encode("latin-1")
        + text("x")
        + b"b."
    )
    assert status(data) is Status.DANGEROUS


@pytest.mark.parametrize("member", ["transformers.utils.generic\nExplicitEnum", "logging\ngetLogger"])
def test_enumerations_make_no_classes(member: str) -> None:
    """With a second argument an enumeration becomes a class with the methods that it is given."""
    members = b"](" + text("__init__") + RUN + b"\x86" + text("A") + text("x") + b"\x86e"
    assert status(f"\x80\x04c{member}\n".encode("latin-1") + text("X") + members + b"\x86R.") is Status.DANGEROUS


@pytest.mark.parametrize(
    "name",
    [
        "torch.distributed.elastic.multiprocessing.subprocess_handler.subprocess_handler\nSubprocessHandler",
        "torch.cuda.memory\nCUDAPluggableAllocator",
        "huggingface_hub.utils._subprocess\nrun_subprocess",
        "torch.multiprocessing.pool\nPool",
    ],
)
def test_constructors_that_start_programs(name: str) -> None:
    """A class of a part that is known to act is dangerous to call, whatever its arguments look like."""
    assert status(f"\x80\x04c{name}\n".encode("latin-1") + text("x") + b"\x85R.") is Status.DANGEROUS


def test_a_class_of_such_a_part_without_arguments_is_unverified() -> None:
    """Making an instance and setting its state is what picklers do with any class."""
    assert status(b"\x80\x04ctorch.multiprocessing.pool\nPool\n)\x81}b.") is Status.UNVERIFIED


# ── numpy believes what a state says about an element type ──────────────────────────────────────────────────────


def element_type(code: str, state: tuple[object, ...]) -> bytes:
    """A pickled dtype of that name and with that state."""
    return b"\x80\x04cnumpy\ndtype\n" + text(code) + b"\x89\x88\x87R" + pickle.dumps(state, 2)[2:-1] + b"b."


F4, OBJECT = numpy.dtype("f4"), numpy.dtype("O")


@pytest.mark.parametrize(
    ("code", "state"),
    [
        ("O8", (3, "|", None, None, None, -1, -1, 0)),
        ("O8", (3, "|", None, None, None, -1, -1, 27)),
        ("f4", (3, "<", None, None, None, -1, -1, 63)),
        ("V8", (3, "|", None, None, None, 8, 1, 3)),
        ("V8", (3, "|", None, None, None, -8, 1, 0)),
        ("V8", (3, "|", None, ("a",), {"a": (OBJECT, 0)}, 8, 1, 0)),
        ("V8", (3, "|", None, ("a",), {"a": (OBJECT, 4)}, 8, 1, 27)),
        ("V8", (3, "|", None, ("a",), {"a": (F4, -4)}, 8, 1, 0)),
        ("V8", (3, "|", None, ("a",), {"a": ("f4", 0)}, 8, 1, 0)),
        ("V8", (3, "|", None, ("a",), [1], 8, 1, 0)),
        ("V9", (3, "|", None, ("a", "b"), {"a": (OBJECT, 0), "b": (F4, 2)}, 9, 1, 27)),
        ("V9", (3, "|", None, ("a", "b"), {"a": (F4, 0), "b": (OBJECT, 1)}, 9, 1, 27)),
        ("V8", (3, "|", (OBJECT, (2,)), None, None, 8, 1, 27)),
        ("V8", (3, "|", (OBJECT, (-1,)), None, None, 8, 1, 27)),
        ("V8", (3, "|", 7, None, None, 8, 1, 0)),
        ("f8", (3, "|", None, ("a",), {"a": (F4, 0)}, 8, 1, 0)),
        ("(2,)f8", (3, "|", None, None, None, 8, 1, 3)),
        ("f4", (3,)),
    ],
)
def test_element_types_that_numpy_does_not_write(code: str, state: tuple[object, ...]) -> None:
    """Marks that contradict the type and fields outside of their record would let bytes be taken for objects."""
    data = element_type(code, state)
    assert status(data) is Status.DANGEROUS and "pickle-build-on-foreign" in rules(data)


def test_an_element_type_within_itself_is_refused() -> None:
    """A record whose field is the record itself has no size."""
    data = (
        b"\x80\x04cnumpy\ndtype\n" + text("V8") + b"\x89\x88\x87R\x94(K\x03" + text("|") + b"N" + text("a") + b"\x85}"
    )
    assert status(data + text("a") + b"h\0K\0\x86sK\x08K\x01K\0tb.") is Status.DANGEROUS


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_element_types_that_numpy_writes(protocol: int) -> None:
    """Every type comes out of numpy's own pickles as it is: numbers, texts, objects, records, titles, subarrays."""
    codes = "? b H i q e f d g F D G O M8[ns] m8[s] S0 S10 U0 U3 V7 >f4 >i8"
    kinds = [
        *map(numpy.dtype, codes.split()),
        numpy.dtype([("a", "f4"), ("b", "O")]),
        numpy.dtype([("a", "f4"), ("b", "i8")], align=True),
        numpy.dtype([("a", "f4", (2, 3)), ("b", "U5")]),
        numpy.dtype([("x", [("y", "O"), ("z", ">i2")]), ("w", "S4")]),
        numpy.dtype({"names": ["a", "b"], "formats": ["i4", "i4"], "offsets": [0, 2], "itemsize": 12}),
        numpy.dtype([(("title", "n"), "f8")]),
        numpy.dtype([(("title", "n"), "O")]),
        numpy.dtype([("a", "O", (2,))]),
        numpy.dtype([]),
    ]
    assert [kind for kind in kinds if status(pickle.dumps(kind, protocol)) is not Status.SAFE] == []
