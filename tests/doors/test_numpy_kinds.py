"""Arrays beyond rows of numbers: records with objects in them, characters, another byte order."""

from __future__ import annotations

import copyreg
import io
import pickle as standard
from pathlib import Path
from typing import Any

import pytest

numpy = pytest.importorskip("numpy")

from safeload import Options, scan  # noqa: E402
from safeload import joblib as safe_joblib  # noqa: E402
from safeload import pickle as safe_pickle  # noqa: E402
from safeload.core.construct import Record  # noqa: E402
from safeload.core.errors import MalformedInput, SafeloadError  # noqa: E402
from safeload.core.finding import Status  # noqa: E402

PROTOCOLS = range(6)
MIXED = numpy.dtype([("n", "i4"), ("o", "O"), ("t", "U3"), ("in", [("x", "f8"), ("y", "O")]), ("v", "f4", (2,))])
ROWS = [(1, [2], "abc", (0.5, {"a": 1}), [1, 2]), (2, None, "", (1.5, "x"), [3, 4])]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_records_with_objects_come_back(protocol: int) -> None:
    """As `DataFrame.to_records` makes them: numbers, text, records and arrays beside objects, which are shared."""
    value = numpy.array(ROWS, dtype=MIXED)
    value["o"][1] = value["o"][0]
    for one in (value, value.reshape(2, 1), value[:0], value.view(numpy.recarray)):
        found = safe_pickle.loads(standard.dumps(one, protocol))
        assert type(found) is type(one) and found.dtype == one.dtype and found.shape == one.shape
        assert repr(found) == repr(one)
    found = safe_pickle.loads(standard.dumps(value, protocol))
    assert found["o"][0] is found["o"][1]


def test_a_frame_as_records_comes_back() -> None:
    """What pandas gives for a frame with text in it."""
    pandas = pytest.importorskip("pandas")
    value = pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]}).to_records()
    assert repr(safe_pickle.loads(standard.dumps(value))) == repr(value)


class _Array:
    """Pickles as an array of this type with this state."""

    def __init__(self, kind: Any, data: object, shape: object = (2,)) -> None:
        self.state = (1, shape, kind, False, data)

    def __reduce__(self) -> Any:
        call, args, _ = numpy.zeros(1).__reduce__()
        return call, args, self.state


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    "data",
    [
        bytes(2 * MIXED.itemsize),
        bytearray(2 * MIXED.itemsize),
        numpy.zeros(2 * MIXED.itemsize, dtype="u1"),
        ROWS,
        [ROWS[0][:4], ROWS[1][:4]],
        [(1, [2], "abc", (0.5,), numpy.zeros(2, "f4"))] * 2,
        [(1, [2], "abc", 0.5, numpy.zeros(2, "f4"))] * 2,
        [([1], [2], "abc", (0.5, 1), numpy.zeros(2, "f4"))] * 2,
        [("x", [2], "abc", (0.5, 1), numpy.zeros(2, "f4"))] * 2,
        [(1 << 70, [2], "abc", (0.5, 1), numpy.zeros(2, "f4"))] * 2,
        [(1, [2], ["abc"], (0.5, 1), numpy.zeros(2, "f4"))] * 2,
        [(1, [2], "abc", (0.5, 1), numpy.zeros(3, "f4"))] * 2,
        [(1, [2], "abc", (0.5, 1), numpy.zeros(2, "f8"))] * 2,
        [(1, [2], "abc", (0.5, 1), numpy.zeros(2, "f4"))] * 3,
        [[1, [2], "abc", (0.5, 1), numpy.zeros(2, "f4")]] * 2,
        [None, None],
        "text",
    ],
    ids=range(17),
)
def test_records_that_do_not_fit_are_refused(data: object, protocol: int) -> None:
    """Above all bytes: each would be taken for the address of an object."""
    good = [(1, [2], "abc", (0.5, 1), numpy.zeros(2, "f4"))] * 2
    assert safe_pickle.loads(standard.dumps(_Array(MIXED, good), protocol)).shape == (2,)
    with pytest.raises(SafeloadError):
        safe_pickle.loads(standard.dumps(_Array(MIXED, data), protocol))


@pytest.mark.parametrize("shape", [(3,), (1 << 62,), (1 << 62, 1 << 62), (-2,), ("2",)], ids=str)
def test_shapes_that_do_not_fit_are_refused(shape: object) -> None:
    """A shape is as many as there are records."""
    good = [(1, [2], "abc", (0.5, 1), numpy.zeros(2, "f4"))] * 2
    with pytest.raises(SafeloadError):
        safe_pickle.loads(standard.dumps(_Array(MIXED, good, shape)))


def test_no_bytes_become_objects_by_another_way() -> None:
    """Through protocol 5, a single record, and what joblib writes behind a pickle."""
    plain = numpy.array([(1, 2)], dtype=[("a", "i8"), ("b", "i8")])
    mixed = numpy.dtype([("a", "i8"), ("b", "O")])
    call, args = plain.__reduce_ex__(5)[:2]
    for parts in ((args[0], mixed, *args[2:]), (bytes(16), mixed, *args[2:])):
        with pytest.raises(SafeloadError):
            safe_pickle.loads(standard.dumps(_Call(call, parts), 5))
    scalar, _ = plain[0].__reduce__()
    with pytest.raises(SafeloadError):
        safe_pickle.loads(standard.dumps(_Call(scalar, (mixed, bytes(16)))))
    joblib = pytest.importorskip("joblib")
    file = io.BytesIO()
    joblib.dump(plain, file)
    data = file.getvalue()
    number = standard.dumps(numpy.dtype("i8"))
    assert b"\x8c\x02i8\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01<" in data and number
    changed = data.replace(
        b"\x8c\x02i8\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01<\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t\x94b",
        b"\x8c\x02O8\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01|\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?t\x94b",
    )
    assert changed != data
    with pytest.raises(SafeloadError):
        safe_joblib.load(io.BytesIO(changed), unknown="record")


class _Call:
    def __init__(self, call: Any, args: Any) -> None:
        self.parts = call, args

    def __reduce__(self) -> Any:
        return self.parts


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", [">i4", ">f8", ">U3", ">c16", ">M8[s]", ">i2"])
def test_numbers_of_another_byte_order_are_as_numpy_has_them(kind: str, protocol: int) -> None:
    """The same numbers, and the same type as with numpy itself."""
    value = numpy.array([1, 2, 3]).astype(kind)
    for one in (value, value[:0], numpy.asfortranarray(value.reshape(3, 1))):
        data = standard.dumps(one, protocol)
        found, expected = safe_pickle.loads(data), standard.loads(data)
        assert found.dtype == expected.dtype and found.dtype.str == expected.dtype.str
        assert (found == expected).all() and found.flags.f_contiguous == expected.flags.f_contiguous


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_of_characters_come_back(protocol: int) -> None:
    """Of text and of bytes; of nothing else."""
    for value in (numpy.char.array(["a", "bc"]), numpy.char.array([b"a", b"bc"])):
        found = safe_pickle.loads(standard.dumps(value, protocol))
        assert type(found) is type(value) and found.dtype == value.dtype and list(found) == list(value)


def test_characters_that_are_numbers_are_refused() -> None:
    """numpy would raise an error of its own."""
    call, args, state = numpy.char.array(["a"]).__reduce__()
    _, _, other = numpy.zeros(1).__reduce__()
    assert state
    file = io.BytesIO()
    pickler = standard.Pickler(file, 4)
    pickler.dispatch_table = {**copyreg.dispatch_table, _Array: lambda value: (call, args, other)}
    pickler.dump(_Array(None, None))
    with pytest.raises(SafeloadError):
        safe_pickle.loads(file.getvalue())


@pytest.mark.skipif(not hasattr(numpy.dtypes, "StringDType"), reason="newer than the installed numpy")
def test_text_of_any_length_is_no_field() -> None:
    """numpy makes such a type by its parts, and does not support it."""
    text = numpy.dtypes.StringDType()
    call, args, state = numpy.dtype([("a", "O")]).__reduce__()

    class Type:
        def __init__(self, field: Any) -> None:
            self.field = field

        def __reduce__(self) -> Any:
            return call, ("V16", *args[1:]), (*state[:4], {"a": (self.field, 0)}, 16, 16, 27)

    insisting = Options(unsafe_convert_dangerous=True)
    assert safe_pickle.loads(standard.dumps(Type(numpy.dtype("V16"))), safeload=insisting).names == ("a",)
    with pytest.raises(MalformedInput, match="field"):
        safe_pickle.loads(standard.dumps(Type(text)), safeload=insisting)


# ── arrays that were mapped ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_array_that_was_mapped_comes_back(protocol: int, tmp_path: Path) -> None:
    """As `numpy.memmap`, over memory of its own; a scan calls it safe, for no file is opened."""
    value = numpy.memmap(tmp_path / "numbers", dtype="f4", mode="w+", shape=(3, 2))
    value[:] = 3
    (tmp_path / "numbers.pkl").write_bytes(standard.dumps([value, value[0]], protocol))
    assert scan(tmp_path / "numbers.pkl").files[0].status is Status.SAFE
    found, row = safe_pickle.loads((tmp_path / "numbers.pkl").read_bytes())
    assert type(found) is numpy.memmap and found.filename is None
    assert found.tolist() == value.tolist() and row.tolist() == [3, 3]


def test_an_array_that_was_mapped_comes_back_from_joblib(tmp_path: Path) -> None:
    """As a plain array, which joblib makes of it as well."""
    value = numpy.memmap(tmp_path / "numbers", dtype="f4", mode="w+", shape=(3,))
    joblib = pytest.importorskip("joblib")
    joblib.dump([value], tmp_path / "numbers.joblib")
    assert scan(tmp_path / "numbers.joblib").files[0].status is Status.SAFE
    assert type(safe_joblib.load(tmp_path / "numbers.joblib")[0]) is numpy.ndarray


_ARGUMENTS = ("/tmp/nowhere-at-all", "u1", "w+", 0, (3,))
_AGAIN, _, _STATE = numpy.zeros(1).__reduce__()


@pytest.mark.parametrize(
    "parts",
    [
        (numpy.memmap, _ARGUMENTS),
        (numpy.memmap, ()),
        (copyreg.__newobj__, (numpy.memmap, *_ARGUMENTS)),
        (list, ([numpy.memmap],)),
        (_AGAIN, (numpy.memmap, (0,), b"b"), (1, (1,), numpy.dtype(object), False, [numpy.memmap])),
        (_AGAIN, (numpy.memmap, numpy.memmap, b"b"), _STATE),
        (dict, ({"subclass": numpy.memmap},)),
    ],
)
def test_mapping_a_file_is_dangerous(parts: tuple[Any, ...], tmp_path: Path) -> None:
    """Called, or named anywhere but as the class of an array, it would open a file or could come to do so."""
    (tmp_path / "a.pkl").write_bytes(standard.dumps(_Parts(parts), 0))
    assert scan(tmp_path / "a.pkl").files[0].status is Status.DANGEROUS


class _Parts:
    def __init__(self, parts: tuple[Any, ...]) -> None:
        self.parts = parts

    def __reduce__(self) -> Any:
        return self.parts


def test_functions_of_numbers_are_values() -> None:
    """Those that estimators apply come back as themselves; what a call of one would give stays inert."""
    assert safe_pickle.loads(standard.dumps({"apply": numpy.log1p})) == {"apply": numpy.log1p}
    assert isinstance(safe_pickle.loads(standard.dumps(_Parts((numpy.log1p, (1.0,))))), Record)
    with pytest.raises(SafeloadError):
        safe_pickle.loads(standard.dumps(numpy.save))
