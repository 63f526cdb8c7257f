"""Streams made to exhaust whoever reads them: time and memory stay proportional to the bytes."""

from __future__ import annotations

import functools
import struct
import tracemalloc
from collections.abc import Callable

import pytest

from safeload.core.errors import LimitExceeded
from tests.core.reading import read
from tests.effort import calls

MANY = 100_000
CLASS = b"cm\nC\n)R"
HOSTILE: dict[str, Callable[[int], bytes]] = {
    "nested tuples": lambda n: b")" + b"\x85" * n + b".",
    "nested lists": lambda n: b"]" * n + b"a" * (n - 1) + b".",
    "nested marks": lambda n: b"(" * n + b"t" * n + b".",
    "nested calls": lambda n: b"cm\nf\nq\0)" + b"\x850h\0)R" * n + b".",
    "lists nested behind the memo": lambda n: (
        b"".join(b"]r" + struct.pack("<I", i) + b"0" for i in range(n))
        + b"".join(b"j" + struct.pack("<I", i) + b"j" + struct.pack("<I", i + 1) + b"a0" for i in range(n - 1))
        + b"j\0\0\0\0."
    ),
    "states of one object": lambda n: CLASS + b"Nb" * n + b".",
    "items of one object": lambda n: CLASS + b"Na" * n + b".",
    "pairs of one object": lambda n: CLASS + b"NNs" * n + b".",
    "items of one list": lambda n: b"]" + b"Na" * n + b".",
    "imports": lambda n: b"cm\nn\n0" * n + b"N.",
    "numbers in odd text": lambda n: b"I 1\n0" * n + b"N.",
    "duplicates": lambda n: b"N" + b"2" * n + b"0" * n + b".",
    "the same list in a tuple, over and over": lambda n: b"]q\0" + b"h\0h\0h\0\x870" * n + b".",
    "empty frames": lambda n: b"N" + b"\x95" + b"\0" * 8 + (b"\x95" + b"\0" * 8) * (n // 4) + b".",
    "protocols": lambda n: b"\x80\4" * n + b"N.",
    "escapes": lambda n: b"S'" + b"\\x41" * n + b"'\n.",
    "a line without an end": lambda n: b"c" + b"a" * (n * 10),
    "a number of many digits": lambda n: b"I" + b"9" * n + b"\n.",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_work_is_proportional_to_the_bytes(name: str) -> None:
    """Twice as much of anything takes at most twice as many calls, and none takes more than ten for a byte."""
    few, many = (calls(functools.partial(read, HOSTILE[name](count))) for count in (4_000, 8_000))
    assert many < 2.1 * few + 1_000
    assert many < 10 * len(HOSTILE[name](8_000))
    read(HOSTILE[name](MANY))


@pytest.mark.parametrize("name", HOSTILE)
def test_memory_is_proportional_to_the_bytes(name: str) -> None:
    """No stream makes the machine take more than some hundred bytes per byte."""
    data = HOSTILE[name](10_000)
    tracemalloc.start()
    try:
        reading = read(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert reading.opcodes <= len(data)
    assert peak < 400 * len(data) + (1 << 20)


@pytest.mark.parametrize("name", ["nested tuples", "nested lists", "nested marks"])
def test_a_hundred_thousand_levels_are_refused(name: str) -> None:
    """Nesting beyond the limit is a `LimitExceeded` with the offset where it is exceeded."""
    fault = read(HOSTILE[name](MANY)).fault
    assert isinstance(fault, LimitExceeded) and fault.limit == "depth"
    assert "@" in str(fault.where)


def test_nesting_behind_the_memo_is_harmless() -> None:
    """Lists can be nested later than they are built, beyond what the limit sees; taking them apart recurses nowhere."""
    reading = read(HOSTILE["lists nested behind the memo"](MANY))
    assert reading.fault is None
    del reading


@pytest.mark.parametrize(
    "header",
    [b"B" + struct.pack("<I", (1 << 31) - 1), b"X" + struct.pack("<I", (1 << 32) - 1), b"\x8d" + b"\xff" * 8,
     b"\x8e" + struct.pack("<Q", 1 << 31), b"\x96" + struct.pack("<Q", 1 << 31), b"T" + struct.pack("<I", 1 << 31),
     b"\x8b" + struct.pack("<i", (1 << 31) - 1), b"r" + struct.pack("<I", 1 << 31), b"p2147483648\n",
     b"\x95" + struct.pack("<Q", 1 << 40)],
)  # fmt: skip
def test_a_large_length_in_a_small_file_costs_nothing(header: bytes) -> None:
    """A length of two gibibytes in a hundred bytes is refused before anything of that length is made."""
    data = b"N" + header + b"a" * 100
    tracemalloc.start()
    try:
        reading = read(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert reading.fault is not None and peak < 1 << 20
