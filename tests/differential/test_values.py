"""Values: what construct makes of a harmless pickle is what `pickle.loads` makes of it."""

from __future__ import annotations

import math
import pickle
import pickletools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from safeload.core.blob import MemoryBlob
from safeload.core.construct import construct
from safeload.core.machine import read_pickle
from safeload.core.names import Location
from safeload.formats.plain import PLAIN

HERE = Location("value")
characters = st.characters(codec=None)  # surrogates included
keys = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 200), 1 << 200),
    st.floats(),
    st.binary(max_size=300),
    st.text(characters, max_size=20),
)
hashable = st.recursive(
    keys,
    lambda inner: st.one_of(st.lists(inner, max_size=4).map(tuple), st.frozensets(inner, max_size=3)),
    max_leaves=5,
)
values = st.recursive(
    st.one_of(hashable, st.binary(max_size=9).map(bytearray), st.complex_numbers()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.lists(inner, max_size=5).map(tuple),
        st.dictionaries(hashable, inner, max_size=4),
        st.sets(hashable, max_size=4),
        inner.map(lambda shared: [shared, (shared,), {"again": shared}]),
    ),
    max_leaves=20,
)


def in_order(value: Any) -> str:
    """A hashable value as text, sets sorted on every level: where NaN stands in one differs between equal sets."""
    if isinstance(value, (set, frozenset)):
        return f"{type(value).__name__}({sorted(map(in_order, value))})"
    if isinstance(value, tuple):
        return f"({', '.join(map(in_order, value))})"
    return f"{type(value).__name__} {value!r}"


def same(one: Any, two: Any) -> bool:
    """Equal in type and value, NaN included, sharing included."""
    pairs = [(one, two)]
    seen: dict[int, int] = {}
    while pairs:
        a, b = pairs.pop()
        if type(a) is not type(b):
            return False
        if isinstance(a, (list, dict, set, tuple, bytearray)):
            if id(a) in seen and seen[id(a)] != id(b) and not isinstance(a, tuple):
                return False
            if id(a) in seen:
                continue
            seen[id(a)] = id(b)
        if isinstance(a, (list, tuple)):
            if len(a) != len(b):
                return False
            pairs.extend(zip(a, b, strict=True))
        elif isinstance(a, dict):
            if len(a) != len(b):
                return False
            pairs.extend(zip(a.items(), b.items(), strict=True))
        elif isinstance(a, float):
            if a != b and not (math.isnan(a) and math.isnan(b)):
                return False
        elif isinstance(a, complex):
            pairs.extend([(a.real, b.real), (a.imag, b.imag)])
        elif isinstance(a, (set, frozenset)):
            if in_order(a) != in_order(b):
                return False
        elif a != b:
            return False
    return True


@settings(max_examples=300, deadline=None)
@given(values, st.integers(0, 5), st.sampled_from([pickle.dumps, pickle._dumps]))  # type: ignore[attr-defined]
def test_values_equal_those_of_pickle(value: object, protocol: int, dumps: Any) -> None:
    """For both picklers and every protocol: same types, same values, same sharing, and nothing to note."""
    data = dumps(value, protocol)
    reading = read_pickle(MemoryBlob(data), location=HERE)
    assert reading.fault is None and reading.anomalies == () and reading.end == len(data)
    assert reading.opcodes == sum(1 for _ in pickletools.genops(data))
    assert same(construct(reading, PLAIN, location=HERE), pickle.loads(data))


@settings(max_examples=100, deadline=None)
@given(values, st.integers(0, 5))
def test_values_are_the_same_after_optimisation(value: object, protocol: int) -> None:
    """A pickle without unused memo entries holds the same value."""
    data = pickletools.optimize(pickle.dumps(value, protocol))
    reading = read_pickle(MemoryBlob(data), location=HERE)
    assert reading.fault is None and reading.anomalies == ()
    assert same(construct(reading, PLAIN, location=HERE), pickle.loads(data))


def test_cycles_equal_those_of_pickle() -> None:
    """A list, a dict and a tuple that hold themselves come out holding themselves."""
    for protocol in range(6):
        items: list[Any] = []
        table: dict[str, Any] = {"items": items}
        items.extend([table, (items,)])
        reading = read_pickle(MemoryBlob(pickle.dumps(items, protocol)), location=HERE)
        built: Any = construct(reading, PLAIN, location=HERE)
        assert built[0]["items"] is built and built[1][0] is built
