"""Strided tensors become the very bytes that torch makes of them, in bounded memory."""

from __future__ import annotations

import tracemalloc
from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safeload.core.blob import MemoryBlob
from safeload.core.errors import MalformedInput
from safeload.engine import gather
from safeload.engine.gather import gathered, is_contiguous, swapped
from tests.engine.views import CountingBlob, bare_view, raw, view_of

DTYPES = (torch.uint8, torch.float16, torch.float32, torch.float64, torch.complex64, torch.complex128)


def assert_gathers(tensor: torch.Tensor) -> None:
    made = b"".join(gathered(view_of(tensor, offset=24), tensor.element_size()))
    assert made == raw(tensor)


def numbers(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    values = torch.arange(prod(shape), dtype=torch.float64).reshape(shape)
    return values.to(dtype) if not dtype.is_complex else torch.complex(values, -values).to(dtype)


@st.composite
def strided(draw: st.DrawFn) -> torch.Tensor:
    """Any view that torch allows over a small storage: overlapping, repeated, with holes, empty."""
    shape = draw(st.lists(st.integers(0, 5), max_size=5))
    strides = draw(st.lists(st.integers(0, 40), min_size=len(shape), max_size=len(shape)))
    offset = draw(st.integers(0, 7))
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True) if size)
    dtype = draw(st.sampled_from(DTYPES))
    return numbers(last + 1 + draw(st.integers(0, 3)), dtype=dtype).as_strided(shape, strides, offset)


@given(strided())
def test_any_view_gives_the_bytes_of_torch(tensor: torch.Tensor) -> None:
    """Whatever shape, strides and offset: the blocks together are what `.contiguous()` holds."""
    assert_gathers(tensor)


@given(strided(), st.sampled_from((16, 64, 256)))
def test_any_view_gives_the_same_in_tiny_blocks(tensor: torch.Tensor, block: int) -> None:
    """Where a block ends does not matter: with blocks of a few elements, every way of cutting one is exercised."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gather, "_BLOCK", block)
        patch.setattr(gather, "_BUFFER", 2 * block)
        patch.setattr(gather, "_LISTED", 4)
        patch.setattr(gather, "_CALL", 8)
        blocks = list(gathered(view_of(tensor), tensor.element_size()))
    assert b"".join(blocks) == raw(tensor)
    assert all(len(piece) % tensor.element_size() == 0 for piece in blocks)


@given(strided())
def test_contiguity_is_what_torch_calls_contiguous(tensor: torch.Tensor) -> None:
    """A view is copied as it lies exactly where torch would do the same; an empty one holds nothing either way."""
    if tensor.numel():
        assert is_contiguous(view_of(tensor)) == tensor.is_contiguous()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_transposed_matrix_of_every_width(dtype: torch.dtype) -> None:
    """Elements of 1 to 16 bytes are moved whole."""
    assert_gathers(numbers(300, 70, dtype=dtype).t())


@pytest.mark.parametrize(
    "tensor",
    [
        numbers(7),
        numbers(1)[0],
        numbers(3, 0, 2),
        numbers(2_000, 2_100).t(),
        numbers(1_500, 2, 700).permute(2, 0, 1),
        numbers(3, 1_000_000).t(),
        numbers(1_000_000, 3)[:, 1],
        numbers(40, 50, 30, 20).permute(3, 1, 2, 0),
        numbers(1, 3_000).expand(2_000, 3_000),
        numbers(3_000, 1).expand(3_000, 2_000),
        numbers(1)[0].expand(3_000_000),
        numbers(1_000, 1, 4).expand(1_000, 700, 4),
        numbers(5_000).as_strided((2_000, 2_000), (1, 1)),
    ],
    ids=lambda tensor: f"{tuple(tensor.shape)}-{tensor.stride()}",
)
def test_views_larger_than_a_block(tensor: torch.Tensor) -> None:
    """Real sizes: transposed, sliced, permuted and expanded tensors of several megabytes."""
    assert_gathers(tensor)


def test_a_transposed_matrix_is_read_in_runs() -> None:
    """Sixteen million elements take some hundred thousand reads at most, and no byte is read thrice."""
    blob = CountingBlob(4096 * 4096 * 4)
    made = sum(map(len, gathered(bare_view(blob, shape=(4096, 4096), strides=(1, 4096)), 4)))
    assert made == 4096 * 4096 * 4
    assert blob.reads < 4096 * 64
    assert blob.total <= 2 * blob.size


def test_a_small_view_of_a_large_storage_reads_little() -> None:
    """Four elements at the corners of a gigabyte cost four small reads."""
    blob = CountingBlob(1 << 30)
    width = 1 << 14
    list(gathered(bare_view(blob, shape=(2, 2), strides=((width - 1) * width, width - 1)), 4))
    assert blob.total < 1 << 20


def test_a_sparse_column_reads_no_more_than_it_must_at_once() -> None:
    """One element of every page of a gigabyte never has more than a few megabytes in memory."""
    blob = CountingBlob(1 << 30)
    made = sum(map(len, gathered(bare_view(blob, shape=(1 << 18,), strides=(1 << 10,)), 4)))
    assert made == 1 << 20
    assert blob.largest <= 32 << 20


@pytest.mark.parametrize(
    ("shape", "strides"),
    [((1 << 29,), (0,)), ((1 << 28, 2), (0, 1)), ((1 << 27,), (2,)), ((1 << 14, 1 << 14), (1, 1 << 14))],
    ids=["expanded", "repeated", "every second", "transposed"],
)
def test_memory_is_bounded_whatever_the_result(shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
    """A result of a gigabyte and more comes in blocks: making the first ones takes a few megabytes."""
    blob = CountingBlob(1 << 30)
    tracemalloc.start()
    try:
        blocks = gathered(bare_view(blob, shape=shape, strides=strides), 4)
        assert all(len(next(blocks)) <= 16 << 20 for _ in range(3))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 << 20


def test_a_storage_that_ends_early_is_an_error() -> None:
    """Bytes that are missing are never made up."""
    view = bare_view(MemoryBlob(bytes(64)), shape=(4, 4), strides=(1, 5))
    with pytest.raises(MalformedInput, match="end early"):
        list(gathered(view, 4))


@settings(max_examples=50)
@given(st.sampled_from((torch.uint8, torch.int16, torch.float32, torch.float64)), st.binary(max_size=200))
def test_swapping_is_what_numpy_calls_byteswap(dtype: torch.dtype, data: bytes) -> None:
    """Every element is reversed, and nothing else moves."""
    width = dtype.itemsize
    data = data[: len(data) // width * width]
    expected = b"".join(data[i : i + width][::-1] for i in range(0, len(data), width))
    assert swapped(data, width) == expected
    assert swapped(bytearray(data), width) == expected
