"""Kinds of tensors beyond the plain one: what comes back live, what is checked first, and what stays a record."""

from __future__ import annotations

import io
import pickle
import warnings
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from safeload import torch as safe_torch  # noqa: E402
from safeload.core.construct import Record  # noqa: E402
from safeload.core.errors import MalformedInput, SafeloadError  # noqa: E402
from safeload.engine.scan import scan_stream  # noqa: E402
from safeload.formats.dtypes import WIDTHS  # noqa: E402


def _saved(value: Any) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(value, file)
    return file.getvalue()


def _ragged(*lengths: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts = [torch.arange(float(length * 2)).reshape(length, 2) for length in lengths]
        return torch.nested.nested_tensor(parts, layout=torch.jagged)


@pytest.mark.parametrize("lengths", [(1, 2), (3,), (0, 2, 1)])
def test_jagged_tensors_come_back(lengths: tuple[int, ...]) -> None:
    """Each component, and the layout."""
    value = _ragged(*lengths)
    data = _saved({"n": value})
    assert str(scan_stream(io.BytesIO(data)).files[0].status) == "safe"
    found = safe_torch.load(data, unknown="refuse")["n"]
    assert type(found) is type(value) and found.layout is torch.jagged
    assert all(map(torch.equal, found.unbind(), value.unbind()))


class _Njt:
    """Pickles as the call of torch's own helper."""

    def __init__(self, **parts: Any) -> None:
        self.parts = {"values": torch.zeros(4), "offsets": torch.tensor([0, 2, 4]), "lengths": None, **parts}

    def __reduce__(self) -> Any:
        from torch.nested._internal.nested_tensor import NestedTensor, _rebuild_njt

        return (torch._tensor._rebuild_from_type_v2, (_rebuild_njt, NestedTensor, (self.parts,), {}))


def test_the_same_by_hand_is_taken_where_it_fits() -> None:
    """The builder of these tests makes what torch would write."""
    assert len(safe_torch.load(_saved(_Njt())).unbind()) == 2
    assert len(safe_torch.load(_saved(_Njt(lengths=torch.tensor([1, 2])))).unbind()) == 2


@pytest.mark.parametrize(
    "parts",
    [
        {"offsets": torch.tensor([0, 2, 5])},
        {"offsets": torch.tensor([-1, 2, 4])},
        {"offsets": torch.tensor([0, 3, 2])},
        {"offsets": torch.tensor([], dtype=torch.int64)},
        {"offsets": torch.tensor([0.0, 2.0])},
        {"offsets": torch.tensor([[0, 2]])},
        {"offsets": None},
        {"lengths": torch.tensor([3, 2])},
        {"lengths": torch.tensor([-1, 2])},
        {"lengths": torch.tensor([1])},
        {"_ragged_idx": 2},
        {"_ragged_idx": 0},
        {"_ragged_idx": "1"},
        {"values": None},
        {"values": torch.eye(2).to_sparse()},
        {"device": "cuda"},
    ],
    ids=str,
)
def test_places_that_do_not_fit_are_refused(parts: dict[str, Any]) -> None:
    """torch's kernels would follow them."""
    with pytest.raises(MalformedInput):
        safe_torch.load(_saved(_Njt(**parts)))


@pytest.mark.parametrize("grad", [False, True])
def test_lazily_conjugated_and_negated_tensors_come_back(grad: bool) -> None:
    """Their values are their bytes conjugated or negated when they are read, and so is it here."""
    value = torch.tensor([1 + 2j, 3 - 4j], requires_grad=grad).detach().requires_grad_(grad)
    for lazy in (value.detach().conj(), value.detach().conj().imag, value.detach()):
        found = safe_torch.load(_saved(lazy))
        assert torch.equal(found, lazy) and found.dtype is lazy.dtype
        assert found.is_conj() is lazy.is_conj() and found.is_neg() is lazy.is_neg()


@pytest.mark.parametrize("marks", [{"conj": True}, {"other": True}, {"neg": 1}])
def test_other_marks_are_refused(marks: dict[str, Any]) -> None:
    """Real numbers have no conjugate, and torch writes no other marks."""

    class Marked:
        def __reduce__(self) -> Any:
            call, args = torch.ones(2).__reduce_ex__(2)
            return call, (*args[:6], marks)

    with pytest.raises(MalformedInput):
        safe_torch.load(_saved(Marked()))


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.nested.nested_tensor([]),
        lambda: torch.nn.UninitializedParameter(),
        lambda: torch.distributions.Normal(torch.zeros(2), torch.ones(2)),
        lambda: torch.masked.masked_tensor(torch.ones(2), torch.tensor([True, False])),
        lambda: torch.utils.data.TensorDataset(torch.ones(2)),
    ],
    ids=["empty nested", "uninitialised", "distribution", "masked", "data set"],
)
def test_what_stays_a_record(make: Any) -> None:
    """It loads, inert; its tensors are there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = make()
    assert isinstance(safe_torch.load(_saved([value]))[0], Record)


def test_a_record_says_what_it_is() -> None:
    """Who calls a method on a record is told why there is none, and where the data is."""
    found = safe_torch.load(_saved([torch.distributions.Normal(0.0, 1.0)]))[0]
    with pytest.raises(AttributeError, match=r"Normal> has no 'to', for its class was not imported"):
        found.to("cpu")
    assert not hasattr(found, "to")


def test_a_truncated_jagged_tensor_is_an_error_of_ours() -> None:
    """Whatever is missing of it."""
    data = _saved(_ragged(1, 2))
    for end in range(0, len(data), 97):
        with pytest.raises(SafeloadError):
            safe_torch.load(data[:end])


def test_pickles_of_records_are_themselves() -> None:
    """Copying and pickling look attributes up, and find none."""
    import copy

    found = safe_torch.load(_saved([torch.nn.UninitializedParameter()]))[0]
    assert repr(copy.deepcopy(found)) == repr(found) == repr(pickle.loads(pickle.dumps(found)))


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.tensor([[1.0, 3.0], [2.0, 0.0]]).max(0),
        lambda: torch.tensor([3.0, 1.0]).sort(),
        lambda: torch.tensor([3.0, 1.0]).topk(1),
        lambda: torch.linalg.svd(torch.eye(2)),
    ],
    ids=["max", "sort", "topk", "svd"],
)
def test_what_functions_of_torch_return_comes_back(make: Any) -> None:
    """Tuples with names, of tensors; a scan calls them safe."""
    value = make()
    data = _saved({"x": value})
    assert str(scan_stream(io.BytesIO(data)).files[0].status) == "safe"
    found = safe_torch.load(data, unknown="refuse")["x"]
    assert type(found) is type(value) and all(map(torch.equal, found, value))


class _Returned:
    def __init__(self, *args: Any) -> None:
        self.args = args

    def __reduce__(self) -> Any:
        return torch.return_types.max, self.args


@pytest.mark.parametrize(
    "args", [(), (1,), ((torch.ones(1),),), ((torch.ones(1),) * 3,), ([torch.ones(1)] * 2,)], ids=range(5)
)
def test_tuples_of_another_length_are_refused(args: Any) -> None:
    """torch would take more than there are names for."""
    with pytest.raises(SafeloadError):
        safe_torch.load(_saved([_Returned(*args)]))


# ── what the installed torch has, whichever it is ───────────────────────────────────────────────────────────────────

DTYPES = sorted({value for value in vars(torch).values() if isinstance(value, torch.dtype)}, key=str)
QUANTISED = {dtype for dtype in DTYPES if str(dtype).startswith(("torch.qint", "torch.quint"))}
"""They have scales, and are tested where those are."""
WRITTEN = sorted({*torch.storage._dtype_to_storage_type_map(), *torch.storage._new_dtypes()} - QUANTISED, key=str)
"""Those of which torch writes tensors."""


def _comes_back(value: object, zipped: bool = True) -> Any:
    """The value that `load` makes of what torch writes, which the scan calls safe."""
    written = io.BytesIO()
    torch.save(value, written, _use_new_zipfile_serialization=zipped)
    assert str(scan_stream(io.BytesIO(written.getvalue())).files[0].status) == "safe"
    return safe_torch.load(written.getvalue(), unknown="refuse")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_element_type_is_known(dtype: Any) -> None:
    """By name, and as wide as torch says."""
    assert _comes_back([dtype])[0] is dtype
    assert WIDTHS[str(dtype).removeprefix("torch.")] == dtype.itemsize


@pytest.mark.filterwarnings("ignore:.*Complex.*support")
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("dtype", WRITTEN, ids=str)
def test_tensors_of_every_element_type_come_back(dtype: Any, zipped: bool) -> None:
    """Bit for bit, in either format that torch writes."""
    value = torch.arange(12 * dtype.itemsize, dtype=torch.uint8).view(dtype).reshape(3, 4).t()
    found = _comes_back(value, zipped)
    assert found.dtype is dtype and found.stride() == value.stride()
    assert found.contiguous().view(torch.uint8).tolist() == value.contiguous().view(torch.uint8).tolist()


@pytest.mark.parametrize("name", [name for name, kind in vars(torch.return_types).items() if isinstance(kind, type)])
def test_every_tuple_with_names_comes_back(name: str) -> None:
    """What `torch.max` and its kin of the installed version return: listed by name, made of as many tensors."""
    kind = getattr(torch.return_types, name)
    if not issubclass(kind, tuple) or kind.__module__ != "torch.return_types":
        pytest.skip("a helper, not a result")
    value = kind(tuple(torch.tensor(float(at)) for at in range(kind.n_fields)))
    found = _comes_back(value)
    assert type(found) is kind and [one.item() for one in found] == [one.item() for one in value]
