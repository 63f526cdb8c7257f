"""Tensors that do not fit their bytes, and names that do not fit a model."""

from __future__ import annotations

import struct

import pytest

from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import PickleStream, Storage
from safeload.formats.tensors import persistent_storage
from safeload.formats.tree import named_tensors, tree
from tests.corpus.build import checkpoint, make_zip, named, number, numbers, state_dict, storage, tensor, text
from tests.formats.helpers import data, reading


def _stream(entries: dict[str, bytes], nbytes: int = 16) -> PickleStream:
    return data(reading(make_zip(checkpoint(state_dict(entries), {"0": bytes(nbytes)}))))


def _refused(entries: dict[str, bytes], nbytes: int = 16) -> MalformedInput:
    with pytest.raises(MalformedInput) as caught:
        tree(_stream(entries, nbytes))
    return caught.value


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [
        ((5,), (1,), 0),
        ((4,), (1,), 1),
        ((2, 2), (4, 1), 0),
        ((1,), (1,), 1 << 40),
        ((1 << 60, 1 << 60), (1, 1), 0),
    ],
)
def test_a_tensor_outside_of_its_storage_is_refused(shape: tuple, strides: tuple, offset: int) -> None:
    """Shape, strides and offset must stay within the storage's bytes; the error names the tensor and both sizes."""
    error = _refused({"fine": tensor(), "layer.weight": tensor(shape, strides, offset)})
    assert isinstance(error.where, Location) and error.where.path == "layer.weight"
    assert "16 available" in error.why


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [((-1,), (1,), 0), ((4,), (-1,), 3), ((4,), (1,), -1), ((1 << 80,), (0,), 0), ((4, 1), (1,), 0)],
)
def test_counts_that_are_no_counts_are_refused(shape: tuple, strides: tuple, offset: int) -> None:
    """Negative or enormous shapes, strides and offsets are refused before anything is computed from them."""
    assert _refused({"w": tensor(shape, strides, offset)}).where.path == "w"  # type: ignore[union-attr]


def test_a_small_storage_is_not_repeated_without_end() -> None:
    """A view with stride zero that would fill memory is beyond the limit on expansion."""
    assert isinstance(_refused({"w": tensor((1 << 40,), (0,))}), LimitExceeded)


def test_a_storage_larger_than_its_member_is_refused() -> None:
    """The pickle cannot claim more elements than the member holds."""
    error = _refused({"w": tensor(place=storage(count=5))})
    assert "20 bytes wanted, 16 available" in error.why


def test_a_storage_that_is_not_there_is_refused() -> None:
    """A key without a member is an error that names the key."""
    assert "storage 9 is not in the file" in _refused({"w": tensor(place=storage("9"))}).why


@pytest.mark.parametrize("kind", ["EvilStorage", "Tensor", "storage"])
def test_a_storage_of_an_unknown_class_is_refused(kind: str) -> None:
    """Only torch's storage classes have an element type."""
    assert "no known type" in _refused({"w": tensor(place=storage(kind=kind))}).why


def test_a_storage_class_of_another_module_is_refused() -> None:
    """The right class name in a wrong module is not torch's."""
    place = b"(" + text("storage") + named("os", "FloatStorage") + text("0") + text("cpu") + number(4) + b"tQ"
    assert "no known type" in _refused({"w": tensor(place=place)}).why


@pytest.mark.parametrize("opcodes", [b"K\x01Q", b"NQ", b")Q", text("storage") + b"Q", b"(" + text("storage") + b"tQ"])
def test_other_persistent_ids_are_refused(opcodes: bytes) -> None:
    """A zip checkpoint refers to storages and to nothing else."""
    _refused({"w": tensor(place=opcodes)})


def test_a_tensor_made_by_a_foreign_function_is_refused() -> None:
    """`_rebuild_from_type_v2` takes a function as data; it must be one of torch's own."""
    inner = named("os", "system") + named("torch", "Tensor") + b"(" + text("true") + b"tN"
    made = named("torch._tensor", "_rebuild_from_type_v2") + b"(" + inner + b"tR"
    assert "a function that torch does not use" in _refused({"w": made}).why


def test_a_lazily_negated_tensor_is_refused() -> None:
    """Its bytes are not its values, so taking them would be wrong in silence."""
    hooks = named("collections", "OrderedDict") + b")R"
    marks = b"}" + text("neg") + b"\x88s"
    inner = storage() + number(0) + numbers((4,)) + numbers((1,)) + b"\x89" + hooks + marks
    made = named("torch._utils", "_rebuild_tensor_v2") + b"(" + inner + b"tR"
    assert "bytes are not its values" in _refused({"w": made}).why


def test_flat_keys_stay_as_they_are() -> None:
    """A state dict's keys are the tensors' names, dots and all."""
    assert list(named_tensors(tree(_stream({"a.b.c": tensor(), "d": tensor()})))) == ["a.b.c", "d"]


def test_nested_containers_join_their_keys() -> None:
    """Dictionaries, lists and integer keys make dotted names."""
    inner = b"](" + tensor() + tensor() + b"e"
    numbered = b"}" + number(7) + tensor() + b"s"
    assert list(named_tensors(tree(_stream({"a": inner, "b": numbered})))) == ["a.0", "a.1", "b.7"]


def test_two_tensors_with_one_name_are_refused() -> None:
    """A dotted key that meets a nested dictionary would lose one of two tensors."""
    nested = b"}" + text("b") + tensor((2,)) + b"s"
    with pytest.raises(MalformedInput, match="same name"):
        named_tensors(tree(_stream({"a.b": tensor(), "a": nested})))


def test_a_cycle_ends() -> None:
    """A dictionary that holds itself is walked once."""
    raw = b"\x80\x02}q\x00(" + text("w") + tensor() + text("self") + b"h\x00u."
    stream = data(reading(make_zip(checkpoint(raw, {"0": bytes(16)}))))
    assert list(named_tensors(tree(stream))) == ["w"]


def test_exponential_sharing_is_bounded() -> None:
    """Forty lists that each hold the next one twice are a million million paths to one tensor."""
    lists = b"".join(
        b"](h" + bytes((level,)) + b"h" + bytes((level,)) + b"eq" + bytes((level + 1,)) + b"0" for level in range(40)
    )
    raw = b"\x80\x02" + tensor() + b"q\x000" + lists + b"h\x28."
    stream = data(reading(make_zip(checkpoint(raw, {"0": bytes(16)}))))
    with pytest.raises(LimitExceeded):
        named_tensors(tree(stream), Limits(tensors=10_000))


def test_sharing_without_tensors_costs_nothing() -> None:
    """The same construction without a tensor in it has no names, and ends at once."""
    lists = b"".join(
        b"](h" + bytes((level,)) + b"h" + bytes((level,)) + b"eq" + bytes((level + 1,)) + b"0" for level in range(40)
    )
    stream = data(reading(b"\x80\x02]q\x000" + lists + b"h\x28.", "x.pkl"))
    assert named_tensors(tree(stream)) == {}


def test_deep_nesting_is_no_recursion() -> None:
    """Nine thousand nested lists around a tensor are walked without a recursion error."""
    raw = b"\x80\x02" + b"]" * 9000 + tensor() + b"a" * 9000 + b"."
    stream = data(reading(make_zip(checkpoint(raw, {"0": bytes(16)}))))
    assert len(named_tensors(tree(stream))) == 1


def test_persistent_storage_limits_a_view_to_its_part() -> None:
    """The legacy format's views are ranges of their root."""
    from safeload.core.blob import MemoryBlob
    from safeload.core.construct import Named
    from safeload.core.graph import Persistent
    from safeload.core.names import GlobalName

    load = persistent_storage({"0": Storage(blob=MemoryBlob(struct.pack("<4f", 1, 2, 3, 4)), offset=0, nbytes=16)})
    node = Persistent(None, 0, 1)
    kind = Named(name=GlobalName("torch", "FloatStorage"))
    ref = load(("storage", kind, "0", "cpu", 4, ("1", 2, 2)), node)
    assert (ref.storage.offset, ref.storage.nbytes) == (8, 8)  # type: ignore[attr-defined]
    with pytest.raises(MalformedInput):
        load(("storage", kind, "0", "cpu", 4, ("1", 3, 2)), node)
