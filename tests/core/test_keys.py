"""Keys that would take forever to hash, or cannot be hashed, are refused; all others are keys."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from safeload.core.construct import checked_key, construct
from safeload.core.errors import MalformedInput
from safeload.formats.plain import PLAIN
from tests.core.reading import HERE, read

LAUGHING = b")" + b"2\x86" * 60
"""`x = (x, x)`, sixty times: a hundred and twenty bytes, a billion billion leaves."""

STREAMS = {
    "key": b"\x80\x02}" + LAUGHING + b"Ns.",
    "item": b"\x80\x04\x8f(" + LAUGHING + b"\x90.",
    "frozen item": b"\x80\x04(" + LAUGHING + b"\x91.",
    "key of an OrderedDict": b"\x80\x02ccollections\nOrderedDict\n)R" + LAUGHING + b"Ns.",
    "pair of an OrderedDict": b"\x80\x02ccollections\nOrderedDict\n]" + LAUGHING + b"N\x86a\x85R.",
    "argument of set": b"\x80\x02cbuiltins\nset\n]" + LAUGHING + b"a\x85R.",
    "argument of frozenset": b"\x80\x02cbuiltins\nfrozenset\n]" + LAUGHING + b"a\x85R.",
}


@pytest.mark.parametrize("place", STREAMS)
def test_a_key_of_a_billion_billion_leaves_is_refused(place: str) -> None:
    """Wherever a value would be hashed, one that grows by sharing is an error with a place, at once."""
    reading = read(STREAMS[place])
    assert reading.fault is None
    with pytest.raises(MalformedInput, match="too many parts") as refused:
        construct(reading, PLAIN, location=HERE)
    assert str(refused.value.where).startswith(str(HERE))


@pytest.mark.parametrize(
    "key", ["a", 1, 1.5, None, b"x", (), (1, ("a", (2,))), frozenset({(1, 2)}), tuple(range(9_000)), ("x" * 10**6,)]
)
def test_ordinary_keys_are_keys(key: Any) -> None:
    """Constants, tuples of thousands of parts and frozen sets come back as they are."""
    assert checked_key(key) is key
    assert construct(read(pickle.dumps({key: 1}, 4)), PLAIN, location=HERE) == {key: 1}


@pytest.mark.parametrize("key", [[], {}, set(), ([],), tuple(range(10_001)), ((((0,) * 6000),) * 2)])
def test_what_cannot_be_a_key_is_refused(key: Any) -> None:
    """Mutable values have no hash; very long and often repeated tuples take too long."""
    with pytest.raises(MalformedInput, match="key"):
        checked_key(key)
