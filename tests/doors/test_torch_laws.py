"""Laws of the makers of tensors: what torch writes comes back as torch reads it; what nobody writes never harms."""

from __future__ import annotations

import contextlib
import copy
import io
import struct
import zipfile
from collections import OrderedDict
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from safeload import UsageError
from safeload import torch as safe_torch
from safeload.core.blob import MemoryBlob
from safeload.core.construct import Record
from safeload.core.errors import MalformedInput, SafeloadError
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.engine.inspect import inspect
from safeload.engine.live import bring_to_life
from safeload.engine.live.plain import PLAIN_TABLE
from safeload.formats.base import PickleStream
from safeload.torch._memory import Memory
from safeload.torch._tensors import Tensors

pytestmark = pytest.mark.filterwarnings("ignore")

DTYPES = st.sampled_from([torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool])


class Call:
    """Pickles as a call of torch's own function, with whatever arguments."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.reduced = function, args

    def __reduce__(self) -> Any:
        return self.reduced


def saved(value: object, *, zipped: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


@st.composite
def views(draw: Any, base: torch.Tensor) -> torch.Tensor:
    """Any view of a row of numbers that lies within it."""
    dimensions = draw(st.integers(0, 3))
    offset = draw(st.integers(0, base.numel() - 1))
    left = base.numel() - 1 - offset
    shape, strides = [], []
    for _ in range(dimensions):
        stride = draw(st.integers(0, 5))
        length = draw(st.integers(0, min(4, left // stride + 1 if stride else 4)))
        left -= max(0, length - 1) * stride
        shape.append(length)
        strides.append(stride)
    return base.as_strided(shape, strides, offset)


@st.composite
def checkpoints(draw: Any) -> dict[str, torch.Tensor]:
    """Tensors over one to three storages, each with several views."""
    tensors: dict[str, torch.Tensor] = OrderedDict()
    for number in range(draw(st.integers(1, 3))):
        base = torch.arange(draw(st.integers(1, 30))).to(draw(DTYPES))
        for index in range(draw(st.integers(1, 4))):
            tensors[f"{number}.{index}"] = draw(views(base))
    return tensors


@given(checkpoints(), st.booleans(), st.booleans())
def test_any_views_come_back_as_torch_reads_them(
    state: dict[str, torch.Tensor], zipped: bool, parameters: bool
) -> None:
    """Shapes, strides, offsets, bytes, and which tensors share memory are those of `torch.load(weights_only=True)`."""
    if parameters:
        state = {name: torch.nn.Parameter(one, requires_grad=False) for name, one in state.items()}
    data = saved(state, zipped=zipped)
    ours, theirs = safe_torch.load(data), torch.load(io.BytesIO(data), weights_only=True)
    assert list(ours) == list(theirs)
    for name, one in ours.items():
        other = theirs[name]
        assert type(one) is type(other)
        assert (one.dtype, one.shape, one.stride(), one.storage_offset()) == (
            other.dtype,
            other.shape,
            other.stride(),
            other.storage_offset(),
        )
        assert bytes(one.untyped_storage()) == bytes(other.untyped_storage())
    groups = [[one.untyped_storage().data_ptr() for one in loaded.values()] for loaded in (ours, theirs)]
    for first in range(len(groups[0])):
        assert [a == groups[0][first] for a in groups[0]] == [a == groups[1][first] for a in groups[1]]


NUMBERS = st.one_of(
    st.integers(-3, 12),
    st.sampled_from([1 << 31, 1 << 62, (1 << 63) - 1, 1 << 63, 1 << 64, -(1 << 63), True, None, 1.0, "2"]),
)
LISTS = st.lists(NUMBERS, max_size=4).map(tuple)


def _within(tensor: torch.Tensor) -> None:
    """Fail unless every element of a tensor lies within its storage."""
    if tensor.numel():
        last = tensor.storage_offset() + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True))
        assert tensor.storage_offset() >= 0 and (last + 1) * tensor.itemsize <= tensor.untyped_storage().nbytes()
        assert tensor.sum() is not None


@given(NUMBERS, LISTS, LISTS)
def test_no_numbers_make_a_tensor_beyond_its_storage(offset: Any, shape: Any, strides: Any) -> None:
    """Whatever offset, shape and strides a file says: an error of ours, or a tensor within its bytes."""
    storage = torch.arange(8.0).storage()
    arguments = (storage, offset, shape, strides, False, OrderedDict())
    try:
        made = safe_torch.load(saved(Call(torch._utils._rebuild_tensor_v2, *arguments)))
    except SafeloadError:
        return
    _within(made)


INDEXES = st.lists(st.integers(-2, 5), min_size=4, max_size=4)


@given(INDEXES, st.lists(NUMBERS, min_size=1, max_size=3).map(tuple), st.booleans())
def test_no_numbers_make_a_sparse_tensor_beyond_its_shape(indexes: list[int], size: Any, coalesced: bool) -> None:
    """Whatever indices and shape a file says: an error of ours, or a tensor that can be made dense."""
    parts = (torch.tensor(indexes).view(2, 2), torch.ones(2), size, coalesced)
    try:
        made = safe_torch.load(saved(Call(torch._utils._rebuild_sparse_tensor, torch.sparse_coo, parts)))
    except SafeloadError:
        return
    assert int(made.coalesce().indices().min()) >= 0
    if made.numel() < 1000:
        assert made.to_dense().sum() == 2


COMPRESSED = st.sampled_from([torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc])


@given(COMPRESSED, INDEXES, INDEXES, st.lists(st.integers(0, 3), min_size=1, max_size=4), st.tuples(NUMBERS, NUMBERS))
def test_no_numbers_make_a_compressed_tensor_that_harms(
    layout: Any, outer: list[int], inner: list[int], blocks: list[int], size: Any
) -> None:
    """Whatever a file says of rows, columns and blocks: an error of ours, or a tensor; never the end of the process."""
    parts = (torch.tensor(outer[:3]), torch.tensor(inner[:2]), torch.ones(blocks), size)
    try:
        made = safe_torch.load(saved(Call(torch._utils._rebuild_sparse_tensor, layout, parts)))
    except SafeloadError:
        return
    if made.numel() < 1000:
        assert made.to_dense() is not None


@given(
    st.lists(NUMBERS, min_size=2, max_size=2), st.lists(NUMBERS, min_size=2, max_size=2), NUMBERS, st.integers(0, 12)
)
def test_no_numbers_make_a_nested_tensor_beyond_its_buffer(shape: Any, strides: Any, offset: Any, count: int) -> None:
    """Whatever a file says of components: an error of ours, or components within the buffer."""
    numbers = [*shape, *strides, offset]
    if not all(type(one) is int and abs(one) < 1 << 63 for one in numbers):
        return
    tensors = torch.tensor([shape]), torch.tensor([strides]), torch.tensor([offset])
    try:
        made = safe_torch.load(saved(Call(torch._utils._rebuild_nested_tensor, torch.arange(float(count)), *tensors)))
    except SafeloadError:
        return
    for one in made.unbind():
        _within(one)


# ── single attacks ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("layout", [torch.sparse_bsr, torch.sparse_bsc])
def test_blocks_without_size_do_not_end_the_process(layout: torch.layout) -> None:
    """torch 2.13 divides by the size of a block before it checks it, and the process dies of that."""
    parts = (torch.tensor([0, 1]), torch.tensor([0]), torch.ones(1, 2, 0), (2, 2))
    with pytest.raises(MalformedInput, match="blocks"):
        safe_torch.load(saved(Call(torch._utils._rebuild_sparse_tensor, layout, parts)))


def test_nested_tensors_are_torchs() -> None:
    """Components, types and shapes are those that torch reads; also of one that was turned."""
    nested = torch.nested.nested_tensor([torch.arange(6.0).view(2, 3), torch.arange(4.0).view(1, 4)])
    for value in (nested, nested.transpose(1, 2)):
        data = saved({"n": value})
        with torch.serialization.safe_globals([torch._utils._rebuild_nested_tensor]):  # since 2.15 it wants to be told
            theirs = torch.load(io.BytesIO(data), weights_only=True)["n"]
        ours = safe_torch.load(data)["n"]
        assert ours.is_nested and ours.dtype is theirs.dtype
        for one, other in zip(ours.unbind(), theirs.unbind(), strict=True):
            assert torch.equal(one, other)


def test_numbers_that_do_not_lie_in_row_order_mean_what_was_checked() -> None:
    """torch reads the sizes of components in row order, however they lie: turned ones would be other sizes."""
    sizes, strides = torch.tensor([[1, 2], [2, 3]]), torch.tensor([[2, 1], [3, 1]])
    turned = [one.t().contiguous().t() for one in (sizes, strides)]
    parts = (torch.arange(8.0), *turned, torch.tensor([0, 7, 2, 7])[::2])
    made = safe_torch.load(saved(Call(torch._utils._rebuild_nested_tensor, *parts)))
    assert [one.tolist() for one in made.unbind()] == [[[0.0, 1.0]], [[2.0, 3.0, 4.0], [5.0, 6.0, 7.0]]]


@pytest.mark.parametrize("empty", [(0, 2), (0, 0), (2, 0)])
def test_nested_tensors_without_components_stay_inert(empty: tuple[int, int]) -> None:
    """torch's operators crash on these, so they are records."""
    counts = torch.empty(empty, dtype=torch.int64)
    parts = (torch.empty(0), counts, counts, torch.empty(empty[0], dtype=torch.int64))
    assert isinstance(safe_torch.load(saved(Call(torch._utils._rebuild_nested_tensor, *parts))), Record)


@pytest.mark.parametrize(
    "parts",
    [
        (torch.arange(10.0).view(2, 5), torch.tensor([[2]]), torch.tensor([[1]]), torch.tensor([0])),
        (torch.arange(10.0), torch.tensor([[2.0]]), torch.tensor([[1.0]]), torch.tensor([0.0])),
        (torch.arange(10.0), torch.tensor([[2]]), torch.tensor([[1, 1]]), torch.tensor([0])),
        (torch.arange(10.0), torch.tensor([[2]]), torch.tensor([[1]]), torch.tensor([0, 0])),
        (torch.arange(10.0), torch.tensor([[6], [6]]), torch.tensor([[1], [1]]), torch.tensor([0, 0])),
        (torch.arange(10.0), torch.tensor([[5]]), torch.tensor([[0]]), torch.tensor([0])),
        (torch.arange(10.0)[::2], torch.tensor([[5]]), torch.tensor([[1]]), torch.tensor([0])),
        (torch.arange(10.0), torch.eye(2).to_sparse(), torch.tensor([[1]]), torch.tensor([0])),
        (torch.arange(10.0), [[2]], [[1]], [0]),
        (torch.arange(10.0),),
    ],
    ids=range(10),
)
def test_nested_tensors_that_lie_are_refused(parts: tuple[Any, ...]) -> None:
    """Parts of other types, that do not belong together, or that repeat elements."""
    with pytest.raises(MalformedInput):
        safe_torch.load(saved(Call(torch._utils._rebuild_nested_tensor, *parts)))


def test_checked_numbers_cannot_be_changed_afterwards() -> None:
    """A tensor of the same file that lies over the indices of a sparse one does not reach them."""
    indices = torch.tensor([[0, 1], [0, 1]])
    rows, columns = torch.tensor([0, 1, 2]), torch.tensor([0, 1])
    counts = torch.tensor([[2, 2]])
    value = {
        "handles": [indices, rows, columns, counts],
        "coo": Call(torch._utils._rebuild_sparse_tensor, torch.sparse_coo, (indices, torch.ones(2), (2, 2))),
        "csr": Call(torch._utils._rebuild_sparse_tensor, torch.sparse_csr, (rows, columns, torch.ones(2), (2, 2))),
        "nested": Call(
            torch._utils._rebuild_nested_tensor, torch.arange(4.0), counts, torch.tensor([[2, 1]]), torch.tensor([0])
        ),
    }
    loaded = safe_torch.load(saved(value))
    for handle in loaded["handles"]:
        handle.fill_(1 << 40)
    assert torch.equal(loaded["coo"].to_dense(), torch.eye(2))
    assert torch.equal(loaded["csr"].to_dense(), torch.eye(2))
    assert loaded["nested"].unbind()[0].shape == (2, 2)


@pytest.mark.parametrize("dtype", [torch.quint4x2, torch.quint2x4])
def test_elements_that_share_bytes_come_back(dtype: torch.dtype) -> None:
    """Quantised types with several elements in a byte, as torch reads them; never more of them than there are bytes."""
    scales = torch.ones(4), torch.zeros(4)
    kind = torch.per_channel_affine_float_qparams
    try:
        tensor = torch.quantize_per_channel(torch.ones(4, 4), *scales, 0, dtype)
    except RuntimeError:
        pytest.skip("this torch does not quantise to that type")
    function, arguments = tensor.__reduce_ex__(2)
    data = saved(tensor)
    ours, theirs = safe_torch.load(data), torch.load(io.BytesIO(data), weights_only=True)
    assert bytes(ours.untyped_storage()) == bytes(theirs.untyped_storage())
    for shape, strides, offset in (((4, 8), (8, 1), 0), ((4, 4), (1, 4), 0), ((4, 2), (2, 1), 2)):
        lie = (arguments[0], offset, shape, strides, (kind, *scales, 0), False, OrderedDict())
        with pytest.raises(MalformedInput):
            safe_torch.load(saved(Call(function, *lie)))


@pytest.mark.parametrize(
    "wanted",
    [
        3,
        {"cpu": 3},
        {1: "cpu"},
        lambda storage, place: "x",
        lambda storage, place: torch.UntypedStorage(0),
        "nonsense",
        b"\xff",
    ],
    ids=range(7),
)
def test_map_locations_that_mean_nothing_are_refused(wanted: Any) -> None:
    """A device that is none, or a function that returns no storage with room, is the caller's mistake."""
    with pytest.raises(UsageError):
        safe_torch.load(saved(torch.ones(4)), wanted)


@given(st.binary(min_size=8, max_size=8), st.integers(0, 400))
def test_damaged_checkpoints_are_errors_of_ours(garbage: bytes, at: int) -> None:
    """Any eight bytes of the pickle replaced: a value or one of our errors."""
    state = {"a": torch.arange(6.0).view(2, 3), "s": torch.eye(2).to_sparse(), "q": torch.nn.Parameter(torch.ones(2))}
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved(state))) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith("/data.pkl"):
                content = content[: at % len(content)] + garbage + content[at % len(content) + 8 :]
            new.writestr(name, content)
    with contextlib.suppress(SafeloadError):
        safe_torch.load(out.getvalue())


def _shape_of(value: Any, seen: dict[int, int]) -> Any:
    """A reading's graph written out, with shared nodes by number."""
    if id(value) in seen:
        return seen[id(value)]
    fields = getattr(type(value), "__dataclass_fields__", None)
    if isinstance(value, list | tuple) and fields is None:
        return [_shape_of(item, seen) for item in value]
    if fields is None or not hasattr(value, "depth"):
        return repr(value)
    seen[id(value)] = len(seen)
    return type(value).__name__, [(name, _shape_of(getattr(value, name), seen)) for name in fields]


def test_a_reading_stays_as_it_is() -> None:
    """The same reading can be made into values twice, equal and apart, and says the same before and after."""
    value = {
        "w": torch.ones(2),
        "o": OrderedDict(a=[1, {2, 3}]),
        "k": torch.float32,
        "p": torch.nn.Parameter(torch.ones(1)),
    }
    value["self"] = [value["o"]]
    found = inspect(MemoryBlob(saved(value)), "m.pt", Limits())
    stream = next(part for part in found.parts if isinstance(part, PickleStream) and part.role == "data")
    before = copy.deepcopy(_shape_of(stream.reading.value, {}))
    made = []
    for _ in range(2):
        tensors = Tensors(stream, Memory(mapped=False, integrity="auto"), Limits(), None)
        table = PLAIN_TABLE | tensors.table()
        made.append(bring_to_life(stream.reading, table, location=Location("m.pt"), persistent=tensors.persistent))
    assert _shape_of(stream.reading.value, {}) == before
    first, second = made
    assert torch.equal(first["w"], second["w"]) and first["w"].data_ptr() != second["w"].data_ptr()
    assert first["o"] == second["o"] and first["self"][0] is first["o"]
    assert first["k"] is torch.float32


def test_sizes_of_storages_are_checked() -> None:
    """A storage that says to be larger than its member is refused, before torch asks for so much memory."""
    data = saved(torch.ones(2), zipped=False)
    huge = data.replace(b"K\x02N", b"\x8a\x06" + struct.pack("<q", 1 << 40)[:6] + b"N")
    assert huge != data
    with pytest.raises(SafeloadError):
        safe_torch.load(huge)
