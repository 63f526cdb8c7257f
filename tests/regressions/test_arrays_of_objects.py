"""Arrays that hold objects although nothing says so plainly: numpy and joblib read a pickle in place of their bytes.

Each file was read by `joblib.load` (1.6) or `numpy.load(allow_pickle=True)` (numpy 2), which made the marker, while a
scan saw an array of numbers. Found by attacking safeload itself.
"""

from __future__ import annotations

import argparse
import gzip
import io
import struct
import zlib

import numpy
import pytest

from safeload.core.blob import MemoryBlob
from safeload.core.finding import Status
from safeload.core.limits import Limits
from safeload.engine.inspect import inspect
from tests.formats.joblib_files import joblib_dump

PAYLOAD = b"\x80\x02cposix\nsystem\nX\x0c\x00\x00\x00touch MARKER\x85R."


def status(data: bytes, name: str) -> Status:
    return inspect(MemoryBlob(data), name, Limits()).report.status


def text(value: str) -> bytes:
    return b"\x8c" + bytes((len(value),)) + value.encode()


def dtype(*args: bytes) -> bytes:
    return text("numpy") + text("dtype") + b"\x93(" + b"".join(args) + b"tR"


def made(maker: bytes, kind: bytes, shape: bytes, more: bytes = b"") -> bytes:
    """A wrapper of joblib, from the opcodes that make it, its element type, its shape and further attributes."""
    state = text("subclass") + text("numpy") + text("ndarray") + b"\x93" + text("shape") + shape
    return maker + b"(" + state + text("order") + text("C") + text("dtype") + kind + more + b"ub"


WRAPPER = text("joblib.numpy_pickle") + text("NumpyArrayWrapper") + b"\x93"
NEW = WRAPPER + b")\x81"
FIELD = text("a")
RECORD = dtype(text("V8"), b"\x89", b"\x88") + b"(K\x03" + text("|") + b"N" + FIELD + b"\x85}" + FIELD
RECORD += dtype(text("O8")) + b"K\x00\x86s" + b"K\x08K\x01K\x1btb"
NUMBERS = dtype(text("u1"))

# In a fresh memo, entries 0 and 1 are what is put there first; in the outer stream they are numbers, and the call of
# `posix.system` is an error that is made before anything is imported.
HIDDEN = b"\x80\x04" + text("posix") + b"\x94" + text("system") + b"\x9400h\x00h\x01\x93" + text("touch MARKER")
HIDDEN += b"\x85R."
OUTER = b"\x80\x04K\x05\x94K\x06\x9400("


def short(number: int) -> bytes:
    return b"K" + bytes((number,))


def stretched(length: int) -> bytes:
    """The hidden pickle, as long as so many records of eight bytes."""
    return HIDDEN.replace(text("touch MARKER"), text("touch MARKER" + " " * (length - len(HIDDEN))))


def test_a_record_of_joblib_with_a_field_of_objects() -> None:
    """joblib reads a pickle where any field of the element type is an object, and none where all are numbers."""
    count = -(-len(HIDDEN) // 8)
    file = OUTER + made(NEW, RECORD, short(count) + b"\x85") + stretched(8 * count) + b"t."
    assert status(file, "model.joblib") is Status.DANGEROUS


@pytest.mark.parametrize("code", ["object", "object_", "i4,O", "2O", "(1,)O", "O,", "T", "i4,T"])
def test_objects_of_joblib_by_any_name_that_numpy_takes(code: str) -> None:
    """A type that is not written as numpy writes it may hold objects: what stands there is read as a pickle."""
    file = OUTER + made(NEW, dtype(text(code)), b"K\x01\x85") + HIDDEN + b"t."
    assert status(file, "model.joblib") is Status.DANGEROUS


@pytest.mark.parametrize(
    "kind",
    [
        dtype(text("numpy") + text("object_") + b"\x93"),
        dtype(b"]" + FIELD + text("O") + b"\x86a"),
        dtype(b"}" + text("names") + b"]" + FIELD + b"as" + text("formats") + b"]" + text("O") + b"as"),
        dtype(text("O") + b"K\x01\x86"),
        dtype(dtype(text("O"))),
    ],
)
def test_objects_of_joblib_by_anything_else_that_numpy_takes(kind: bytes) -> None:
    """Classes, lists of fields, tables of fields, types of types: none of them is written by joblib."""
    file = OUTER + made(NEW, kind, b"K\x01\x85") + HIDDEN + b"t."
    assert status(file, "model.joblib") is Status.DANGEROUS


LONGER = b"\x00" * 8
"""Zeros, which are no opcodes."""


@pytest.mark.parametrize(
    ("file", "why"),
    [
        (made(NEW, dtype(text("d")), b"K\x01\x85") + b"." + LONGER[:7], "d is eight bytes, whatever a digit would say"),
        (made(NEW, NUMBERS, b"]K\x08a") + b"." + LONGER[:7], "a list of lengths is a shape as well"),
        (made(NEW, NUMBERS, b"\x88K\x08\x86") + b"." + LONGER[:7], "True is a length"),
        (
            made(NEW, NUMBERS, b"K\x00\x85", text("numpy_array_alignment_bytes") + b"\x88") + b".." + LONGER,
            "True aligns",
        ),
        (
            made(
                NEW, dtype(text("V1"), b"\x89", b"\x88") + b"(K\x03" + text("|") + b"NNNK\x08K\x01K\x00tb", b"K\x01\x85"
            )
            + b"."
            + LONGER[:7],
            "the state says how long a record is",
        ),
        (
            made(text("copyreg") + text("__newobj__") + b"\x93" + WRAPPER + b"\x85R", NUMBERS, b"K\x08\x85") + b".",
            "copyreg makes one of its class as well",
        ),
    ],
)
@pytest.mark.parametrize("ending", [b".", b"\x80\x02]."])
def test_an_array_that_joblib_takes_for_longer_than_it_seems(file: bytes, why: str, ending: bytes) -> None:
    """Where joblib goes on behind an array is not guessed: a stream that ends within one is not read to its end."""
    assert status(b"\x80\x04" + file + ending, "model.joblib") >= Status.UNDECIDED, why


def test_records_that_joblib_writes_are_safe() -> None:
    """Honest records, with objects and without, of classes and of text, are read to the end."""
    kinds = [[("a", "f4"), ("b", "O")], [("a", "f4"), ("b", "i2", (3,))], [("a", [("b", "U3"), ("c", "M8[ns]")])]]
    values: list[numpy.ndarray] = [numpy.zeros(2, dtype=kind) for kind in kinds]
    values.append(numpy.rec.array([(1, 2.0)], dtype=[("x", "i4"), ("y", "f8")]).view(numpy.ndarray))
    assert status(joblib_dump({"values": values, "after": [1]}), "model.joblib") is Status.SAFE


# ── numpy ───────────────────────────────────────────────────────────────────────────────────────────────────────


def npy(descr: str, body: bytes) -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': (1,), }}".encode()
    header += b" " * (-(11 + len(header)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body


@pytest.mark.parametrize(
    "descr",
    [
        *("'object'", "'object_'", "'i4,O'", "'2O'", "'(1,)O'", "'O,'", "'T'", "'i4,T'", "('O', (1,))"),
        *("[('a', 'object')]", "[('a', [('b', 'object')])]", "(('object', (1,)), (1,))", "[('a', 'i4'), ('b', '1O')]"),
    ],
)
def test_objects_of_numpy_by_any_name_that_numpy_takes(descr: str) -> None:
    """numpy.load reads a pickle for every type with objects, not only for those that it writes itself."""
    assert status(npy(descr, PAYLOAD), "array.npy") is Status.DANGEROUS


def test_a_name_that_only_some_versions_know_is_not_safe() -> None:
    """What a type name means is numpy's to say, and that of other libraries which register types."""
    assert status(npy("'bfloat16'", b"\x00\x01"), "array.npy") is Status.UNDECIDED


@pytest.mark.parametrize("kind", [[("O", "<f4")], [("object", "<i8"), ("T", "U2")], "f8", "M8[ns]", "?", "c16", "V3"])
def test_numbers_of_numpy_are_numbers_whatever_their_fields_are_called(kind: object) -> None:
    """A field may be called like the type of objects."""
    file = io.BytesIO()
    numpy.save(file, numpy.zeros(3, dtype=kind))
    assert status(file.getvalue(), "array.npy") is Status.SAFE


# ── what joblib writes is not dangerous because pickle reads it otherwise ───────────────────────────────────────


OBJECTS = numpy.array(["a", None, 1], dtype=object)
NUMBERS_AND = {"x": OBJECTS, "y": [numpy.ones(3), OBJECTS], "z": "end"}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("value", [OBJECTS, NUMBERS_AND, [NUMBERS_AND, OBJECTS]], ids=["array", "dict", "list"])
def test_honest_arrays_of_objects_are_no_danger(value: object, protocol: int) -> None:
    """What `pickle` makes of joblib's files by mistake, it cannot import: that is no reason to call them dangerous."""
    assert status(joblib_dump(value, protocol), "model.joblib") <= Status.UNVERIFIED


@pytest.mark.parametrize("protocol", [4, 5])
@pytest.mark.parametrize("value", [OBJECTS, [OBJECTS, 1]], ids=["array", "list"])
def test_a_dictionary_of_arrays_of_objects_is_safe(value: object, protocol: int) -> None:
    """Where `pickle` would import what joblib calls its attributes, there is no such module."""
    assert status(joblib_dump({"values": value, "after": [1]}, protocol), "model.joblib") is Status.SAFE


def test_a_model_in_a_dictionary_with_arrays_of_objects_is_safe() -> None:
    """Where `pickle` would import a class of the file as if it were a module, there is none of that name."""
    model = argparse.Namespace(classes_=OBJECTS, n_iter_=3)
    assert status(joblib_dump({"model": model, "columns": ["a"]}), "model.joblib") is Status.SAFE


# In the outer stream, entries 0 and 1 are what is put there; the pickle of objects has its own, which are harmless.
TWICE = (
    b"\x80\x04" + text("numpy") + b"\x94" + text("dtype") + b"\x9400h\x00h\x01\x93" + text("touch MARKER") + b"\x85R."
)


@pytest.mark.parametrize("outer", [("posix", "system"), ("pip", "main"), ("torch", "load"), ("numpy", "load")])
def test_names_that_pickle_imports_within_an_array_of_objects(outer: tuple[str, str]) -> None:
    """The same bytes import one thing for joblib and another one for pickle."""
    first = b"\x80\x04" + text(outer[0]) + b"\x94" + text(outer[1]) + b"\x9400"
    file = first + made(NEW, dtype(text("O8")), b"K\x01\x85") + TWICE + b"."
    assert status(file, "model.joblib") >= (Status.DANGEROUS if outer[0] != "pip" else Status.UNVERIFIED)


@pytest.mark.parametrize("before", [("yaml", "load"), ("order", "Config"), ("shape", "x"), ("nobody.knows", "it")])
def test_a_name_that_may_fail_hides_nothing_behind_it(before: tuple[str, str]) -> None:
    """Whether `pickle` can import a name depends on what is installed: what it would do next is judged as well."""
    names = b"".join(text(name) + b"\x94" for name in (*before, "posix", "system"))
    first = b"\x80\x04" + names + b"0000"
    inner = b"\x80\x04" + b"".join(text(name) + b"\x94" for name in ("numpy", "dtype", "numpy", "ndarray")) + b"0000"
    inner += b"h\x00h\x01\x930h\x02h\x03\x93" + text("touch MARKER") + b"\x85R."
    file = first + made(NEW, dtype(text("O8")), b"K\x01\x85") + inner + b"."
    assert status(file, "model.joblib") is Status.DANGEROUS


@pytest.mark.parametrize("name", ["model.joblib", "model.sav", "model.model", "model.pkl"])
def test_a_joblib_file_without_arrays_has_no_wrong_name(name: str) -> None:
    """joblib writes an ordinary pickle where there is no array."""
    assert status(joblib_dump({"a": 1}), name) is Status.SAFE


# The outer stream remembers a harmless callable where the pickle of objects remembers another, and so reads to its end
# as `pickle` would read it; joblib has run the inner one before it gets there.
CLEAN = b"\x80\x04" + text("builtins") + b"\x94" + text("str") + b"\x9400("
CLEAN_INNER = HIDDEN[2:-1] + b"t."
SPELLED = b"S'\\x4eumpyArrayWrapper'\n"


@pytest.mark.parametrize("kind", ["O8", "object", "V8"])
@pytest.mark.parametrize("how", ["spelled", "late", "spelled-zlib", "late-gzip"])
@pytest.mark.parametrize("name", ["model.pkl", "model.joblib", "model.bin", "model"])
def test_the_name_of_joblibs_class_may_be_hidden_from_a_look_at_the_bytes(kind: str, how: str, name: str) -> None:
    """Whether a file is joblib's is known by the names that its pickle imports, however and wherever they stand."""
    array = made(NEW, RECORD if kind == "V8" else dtype(text(kind)), b"K\x01\x85") + CLEAN_INNER
    if how.startswith("spelled"):
        file = CLEAN + array.replace(text("NumpyArrayWrapper"), SPELLED)
    else:
        file = CLEAN + b"B" + struct.pack("<I", 200_000) + bytes(200_000) + b"0" + array
    packed = zlib.compress(file) if how.endswith("zlib") else gzip.compress(file) if how.endswith("gzip") else file
    assert status(packed, name) is Status.DANGEROUS


@pytest.mark.parametrize("first", [b"\x80\x04].", None])
def test_arrays_in_a_second_pickle_of_joblib_are_undecided(first: bytes | None) -> None:
    """A program may read an open file twice; where the arrays of the second pickle end is not followed."""
    file = joblib_dump([OBJECTS, 1]) if first is None else first
    again = CLEAN + made(NEW, dtype(text("O8")), b"K\x01\x85") + CLEAN_INNER
    assert status(file + again, "model.joblib") >= Status.UNDECIDED
