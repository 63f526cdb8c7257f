"""LZ4 frames unpack to what was packed, as the genuine library has it; whatever is wrong with one is an error."""

from __future__ import annotations

import contextlib
import itertools

import lz4.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.formats.lz4_frame import Lz4Decompressor, unpack_block, xxhash32

CONTENT = b"".join(bytes((number % 251,)) * (number % 37) for number in range(3_000)) + bytes(40_000)


def unpacked(data: bytes, step: int = 1 << 16, most: int = 1 << 14) -> bytes:
    """All of the first frame, given in pieces and taken in pieces."""
    engine, made, at = Lz4Decompressor(), bytearray(), 0
    while not engine.eof and (at < len(data) or not engine.needs_input):
        piece = data[at : at + step] if engine.needs_input else b""
        at += len(piece)
        made += engine.decompress(piece, most)
    while piece := engine.decompress(b"", most):
        made += piece
    return bytes(made)


OPTIONS = [
    dict(zip(("block_linked", "content_checksum", "block_checksum", "store_size", "block_size"), values, strict=True))
    for values in itertools.product((True, False), (True, False), (True, False), (True, False), (4, 5, 7))
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(str(int(v)) for v in options.values()))
def test_every_kind_of_frame_is_unpacked(options: dict[str, int]) -> None:
    """Linked and independent blocks, with and without each checksum, of every size."""
    packed = lz4.frame.compress(CONTENT, **options)
    assert unpacked(packed) == CONTENT
    assert unpacked(packed, 700, 1100) == CONTENT


@given(st.lists(st.binary(max_size=300), max_size=30), st.integers(0, 12), st.booleans())
def test_what_was_packed_comes_back(pieces: list[bytes], level: int, linked: bool) -> None:
    """Repetitions near and far, at every level of effort."""
    content = b"".join(pieces + pieces)
    assert unpacked(lz4.frame.compress(content, compression_level=level, block_linked=linked), 13, 17) == content


@given(st.binary(max_size=400), st.binary(max_size=100))
def test_any_bytes_as_a_block_are_unpacked_within_bounds_or_refused(data: bytes, history: bytes) -> None:
    """Never more than was allowed, and no other error than ours."""
    with contextlib.suppress(OSError):
        assert len(unpack_block(data, history, 1000)) <= 1000


def test_one_flipped_bit_never_gives_what_the_library_refuses() -> None:
    """With every checksum on, any change is noticed."""
    packed = lz4.frame.compress(b"some content " * 9, content_checksum=True, block_checksum=True, store_size=True)
    for place in range(len(packed)):
        for bit in range(8):
            changed = packed[:place] + bytes([packed[place] ^ 1 << bit]) + packed[place + 1 :]
            with pytest.raises(OSError):
                unpacked(changed + bytes(1 << 16))
            with pytest.raises(RuntimeError):
                lz4.frame.decompress(changed)


def test_a_cut_frame_does_not_end() -> None:
    """Whatever is missing, the decompressor asks for more and never says that it is done."""
    packed = lz4.frame.compress(CONTENT[:3000], content_checksum=True)
    for length in range(len(packed)):
        engine = Lz4Decompressor()
        engine.decompress(packed[:length], 1 << 20)
        assert not engine.eof


@pytest.mark.parametrize(("data", "checksum"), [(b"", 0x02CC5D05), (b"a", 0x550D7456), (b"abc", 0x32D153FF)])
def test_checksums_are_those_of_xxhash(data: bytes, checksum: int) -> None:
    """The published values."""
    assert xxhash32(data) == checksum
