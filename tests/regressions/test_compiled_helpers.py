"""Allowlisted helpers of numpy, torch and pandas that would take an address, or another's memory, from the stream.

Found by attacking safeload: each crashed an ordinary unpickler, or wrote where it should not, although every name in
the file is allowlisted. numpy and torch believe attributes and keywords that hold addresses.
"""

from __future__ import annotations

import collections
import io
import pickle
import struct

import numpy
import pytest
import torch

from safeload.core.blob import MemoryBlob
from safeload.core.finding import Status
from safeload.core.limits import Limits
from safeload.engine.inspect import inspect
from tests.rules.streams import status, text


def name(module: str, of: str) -> bytes:
    return text(module) + text(of) + b"\x93"


def number(value: int) -> bytes:
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def several(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def entries(**items: bytes) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def call(callee: bytes, *args: bytes) -> bytes:
    return callee + several(*args) + b"R"


def new(callee: bytes, *args: bytes, **kwargs: bytes) -> bytes:
    return callee + several(*args) + (entries(**kwargs) + b"\x92" if kwargs else b"\x81")


def whole(value: bytes) -> bytes:
    return b"\x80\x04" + value + b"."


ADDRESS = entries(
    data=several(number(0x41414141), b"\x89"), shape=several(number(4)), typestr=text("<f8"), version=number(3)
)
FLOAT, NAMESPACE = name("numpy", "float64"), name("types", "SimpleNamespace")
DTYPE, ARRAY = name("numpy", "dtype"), name("numpy", "ndarray")
RECONSTRUCT = name("numpy._core.multiarray", "_reconstruct")
HOLDERS = {
    "a namespace": call(NAMESPACE),
    "arguments": call(name("argparse", "Namespace")),
    "a dictionary": call(name("collections", "OrderedDict")),
    "a file in memory": new(name("_io", "BytesIO")),
    "a layer": new(name("torch.nn.modules.linear", "Identity")),
}
TAKERS = {
    "numpy.float64": lambda value: call(FLOAT, value),
    "a list of numbers": lambda value: call(FLOAT, b"]" + value + b"a"),
    "a made list": lambda value: call(FLOAT, call(name("builtins", "list"), b"]" + value + b"a")),
    "a filled list": lambda value: call(FLOAT, call(name("builtins", "list")) + value + b"a"),
    "a tuple of a list": lambda value: call(FLOAT, call(name("builtins", "tuple"), b"]" + value + b"a")),
    "a list of old protocols": lambda value: call(
        FLOAT,
        call(name("copyreg", "_reconstructor"), *(2 * [name("builtins", "list")]), b"]" + value + b"a"),
    ),
    "numpy.dtype": lambda value: call(DTYPE, value),
    "a masked array": lambda value: call(name("numpy.ma", "MaskedArray"), value),
    "torch.Tensor": lambda value: call(name("torch", "Tensor"), value),
    "a parameter": lambda value: call(name("torch._utils", "_rebuild_parameter"), value, b"\x88", b"N"),
    "an index": lambda value: call(
        name("pandas.core.indexes.base", "_new_Index"), name("pandas", "Index"), entries(data=value, name=b"N")
    ),
}


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize("holder", HOLDERS)
def test_objects_with_attributes_are_not_handed_to_compiled_helpers(holder: str, taker: str) -> None:
    """An attribute such as `__array_interface__` would be believed: it holds an address."""
    state = entries(__array_interface__=ADDRESS)
    made = HOLDERS[holder] + (b"N" + state + b"\x86" if "file" in holder else state) + b"b"
    assert status(whole(TAKERS[taker](made))) is Status.DANGEROUS
    hidden = entries(_buffers=entries(__array_interface__=ADDRESS))
    assert status(whole(TAKERS[taker](HOLDERS[holder] + hidden + b"b"))) is Status.DANGEROUS


@pytest.mark.parametrize("key", ["__array_interface__", "__array_struct__", "__cuda_array_interface__", "__array__"])
def test_such_an_attribute_is_dangerous_by_itself(key: str) -> None:
    """Whoever converts the object later would take the address; a computed name is no better."""
    made = call(NAMESPACE)
    assert status(whole(made + entries(**{key: ADDRESS}) + b"b")) is Status.DANGEROUS
    computed = call(name("builtins", "str"), b"C" + struct.pack("<B", len(key)) + key.encode(), text("ascii"))
    assert status(whole(made + b"}" + computed + ADDRESS + b"sb")) is Status.DANGEROUS
    pairs = call(name("builtins", "dict"), b"](" + text(key) + ADDRESS + b"\x86e")
    assert status(whole(made + pairs + b"b")) is Status.DANGEROUS


@pytest.mark.parametrize(
    "stream",
    [
        new(name("torch", "Tensor"), cdata=number(1)),
        new(name("torch.storage", "UntypedStorage"), number(8), allocator=number(1)),
        call(name("copyreg", "__newobj_ex__"), name("torch", "Tensor"), b")", entries(cdata=number(1))),
        new(ARRAY, shape=several(number(1)), dtype=text("O"), buffer=b"C\x08AAAAAAAA"),
        call(ARRAY, several(number(1)), text("O"), b"C\x08AAAAAAAA"),
    ],
)
def test_constructors_are_given_no_addresses(stream: bytes) -> None:
    """Keywords of torch's constructors are addresses, and an array of objects over bytes is one as well."""
    assert status(whole(stream)) is Status.DANGEROUS


def test_a_keyword_of_an_inert_object_is_not_safe() -> None:
    """No pickler writes keywords for what is allowlisted."""
    assert status(whole(new(NAMESPACE, a=number(1)))) is Status.UNVERIFIED


def array(shape: bytes = several(number(0))) -> bytes:
    return call(RECONSTRUCT, ARRAY, shape, b"C\x01b")


def filled(dtype: bytes) -> bytes:
    return several(number(1), several(number(1)), dtype, b"\x89", b"C\x08AAAAAAAA") + b"b"


def test_memory_is_not_given_back_under_what_stands_on_it() -> None:
    """A state replaces an array's memory, on which another array may stand by then."""
    eight = call(DTYPE, text("f8"), b"\x89", b"\x88")
    assert status(whole(array() + filled(eight))) is Status.SAFE
    assert status(whole(array(several(number(64))) + filled(eight))) is Status.DANGEROUS
    assert status(whole(array() + filled(eight) + filled(eight))) is Status.DANGEROUS
    view = call(
        name("numpy._core.numeric", "_frombuffer"), array() + filled(eight), eight, several(number(1)), text("C")
    )
    assert status(whole(view)) is Status.DANGEROUS
    same = call(name("torch.jit._pickle", "restore_type_tag"), array() + filled(eight), text("List[int]"))
    assert status(whole(same + filled(eight))) is Status.DANGEROUS


def test_an_element_type_does_not_change_under_its_array() -> None:
    """The state of a type comes before its first use: later it would make the elements longer than their memory."""
    made = call(DTYPE, text("V8"), b"\x89", b"\x88") + b"\x94"
    state = several(number(3), text("|"), b"N", b"N", b"N", number(4096), number(1), number(0)) + b"b"
    late = b"(" + made + array() + filled(b"h\x00") + b"h\x00" + state + b"t"
    assert status(whole(late)) is Status.DANGEROUS
    assert status(whole(b"(" + made + state + array() + filled(b"h\x00") + b"t")) is Status.SAFE


def test_containers_are_not_made_of_objects() -> None:
    """`dict` and its like call `keys` of what they are given."""
    keys = call(NAMESPACE) + entries(keys=name("builtins", "list")) + b"b"
    assert status(whole(call(name("builtins", "dict"), keys))) is Status.UNVERIFIED
    assert status(whole(call(name("collections", "OrderedDict"), keys))) is Status.UNVERIFIED


@pytest.mark.parametrize("protocol", range(6))
def test_what_the_libraries_write_stays_safe(protocol: int) -> None:
    """Arrays, scalars, records, masked arrays, generators and parameters as numpy, torch and pandas pickle them."""
    shared = numpy.array([{"a": collections.OrderedDict(x=1)}, None], dtype=object)
    record = numpy.zeros(2, dtype=[("a", "<f8"), ("b", "O"), ("c", "M8[D]"), ("d", "<f4", (2, 2))])
    values = [
        *(numpy.arange(6.0).reshape(2, 3), numpy.float64(1), numpy.datetime64("2026-01-01"), shared, [shared] * 2),
        *(record, record[0], numpy.ma.masked_array([1, 2], mask=[0, 1]), numpy.random.default_rng(0)),
        *(numpy.random.RandomState(0), numpy.asfortranarray(numpy.ones((2, 2)))),
    ]
    for value in values:
        assert status(pickle.dumps(value, protocol)) is Status.SAFE, value


def test_a_checkpoint_with_attributes_stays_safe() -> None:
    """Parameters with attributes of their own, and the attributes of state dictionaries."""
    layer = torch.nn.Linear(2, 2)
    layer.weight.note = collections.OrderedDict(a=1)  # type: ignore[assignment]
    out = io.BytesIO()
    torch.save({"layer": layer.state_dict(), "weight": layer.weight}, out)
    report = inspect(MemoryBlob(out.getvalue()), "pytorch_model.bin", Limits()).report
    assert report.status is Status.SAFE
