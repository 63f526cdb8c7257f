"""Any bytes: the machine gives a reading within limits, and nothing happens while it reads."""

from __future__ import annotations

import sys
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from safeload.core.blob import MemoryBlob
from safeload.core.construct import construct
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.graph import NOTHING, Acting, Dict, FrozenSet, List, Node, Reading, Set, Tuple
from safeload.core.limits import Limits
from safeload.core.machine import read_pickle
from safeload.core.names import Location
from safeload.core.opcodes import ACTIONS
from safeload.formats.plain import PLAIN
from safeload.rules.pickle_two_readings import ANOMALIES

HERE = Location("any", "data.pkl")
OPCODES = bytes(code for code in range(256) if ACTIONS[code] is not ACTIONS[0])
SMALL = Limits(opcodes=60, nodes=20, memo=10, depth=6, argument_bytes=40, number_bytes=8, text_bytes=40)

codes = st.sampled_from(OPCODES).map(lambda code: bytes((code,)))
pieces = st.one_of(
    codes,
    codes,
    codes,
    st.binary(max_size=3),
    st.sampled_from([b"cos\nsystem\n", b"S'id'\n", b"(", b")R", b"\x80\4", b"q\0h\0", b"\x8c\1a", b"I1\n", b"\x93"]),
)
streams = st.lists(pieces, max_size=60).map(b"".join)

_heard: list[str] = []
_listening = False


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _listening:
        _heard.append(event)


sys.addaudithook(_hook)


def listened(data: bytes, limits: Limits | None) -> tuple[Reading, list[str]]:
    """A reading, and every audit event that fired during it."""
    global _listening
    _heard.clear()
    blob = MemoryBlob(data)
    _listening = True
    try:
        reading = read_pickle(blob, location=HERE, limits=limits)
    finally:
        _listening = False
    return reading, list(_heard)


@given(streams, st.sampled_from([None, SMALL]))
@example(b"V\\u0041\n\x8c\1a\x93.", None)
@example(b"", None)
def test_any_bytes_give_a_reading(data: bytes, limits: Limits | None) -> None:
    """The machine returns for any bytes, within the bytes, with places that lie in them, and acts on nothing."""
    reading, heard = listened(data, limits)
    assert heard == []
    assert 0 <= reading.end <= len(data)
    assert reading.opcodes <= len(data) + 1
    assert (reading.value is NOTHING) == (reading.fault is not None)
    for offset in [node.offset for node in reading.trace] + [anomaly.offset for anomaly in reading.anomalies]:
        assert 0 <= offset <= len(data)
    assert [node.offset for node in reading.trace] == sorted(node.offset for node in reading.trace)
    assert all(anomaly.kind in ANOMALIES and anomaly.detail.isprintable() for anomaly in reading.anomalies)
    if reading.fault is not None:
        assert reading.fault.remedy and reading.fault.why.isprintable() and "@" in str(reading.fault.where)
    if isinstance(reading.fault, LimitExceeded):
        assert reading.fault.wanted > reading.fault.allowed


@given(streams)
def test_a_limit_never_hides_what_came_before_it(data: bytes) -> None:
    """With smaller limits a stream gives the same acts in the same places, or the first of them."""
    whole, part = (
        read_pickle(MemoryBlob(data), location=HERE),
        read_pickle(MemoryBlob(data), location=HERE, limits=SMALL),
    )
    acts = [(type(node), node.offset) for node in part.trace]
    assert acts == [(type(node), node.offset) for node in whole.trace][: len(acts)]
    if part.fault is None:
        assert whole.fault is None and part.end == whole.end


@given(streams, st.binary(max_size=20))
def test_what_follows_stop_changes_nothing(data: bytes, tail: bytes) -> None:
    """A stream that ends is read alike whatever stands behind it, unless a frame reached there."""
    reading = read_pickle(MemoryBlob(data), location=HERE)
    if reading.fault is not None or any(anomaly.kind.startswith("frame") for anomaly in reading.anomalies):
        return
    longer = read_pickle(MemoryBlob(data + tail), location=HERE)
    assert (longer.end, longer.opcodes, longer.anomalies) == (reading.end, reading.opcodes, reading.anomalies)


@given(streams)
@example(b"]q\0h\0a.")
@example(b"(]q\0}q\1h\1K\1h\0sh\0h\1at.")
def test_what_holds_no_nodes_says_so(data: bytes) -> None:
    """A container is one deep exactly if it holds constants alone, however it was filled: those are built in one go."""
    reading = read_pickle(MemoryBlob(data), location=HERE)
    waiting, seen = [reading.value, *reading.trace], set()
    while waiting:
        node = waiting.pop()
        if not isinstance(node, Node) or node in seen:
            continue
        seen.add(node)
        parts = [getattr(node, name) for name in ("items", "pairs", "states") if hasattr(node, name)]
        held = [item for part in parts for entry in part for item in (entry if type(entry) is tuple else (entry,))]
        if isinstance(node, List | Tuple | Set | FrozenSet | Dict):
            assert (node.depth == 1) == (not any(isinstance(item, Node) for item in held))
        waiting += [
            *held,
            *(getattr(node, name, None) for name in ("callee", "args", "kwargs", "target", "state", "id")),
        ]


@given(streams)
def test_any_reading_is_built_or_refused(data: bytes) -> None:
    """`construct` gives a value or an error of ours for whatever was read; it imports nothing, and raises no event that
    a guard would have to look at, not even that of `id`.
    """
    global _listening
    reading = read_pickle(MemoryBlob(data), location=HERE)
    _heard.clear()
    _listening = True
    try:
        construct(reading, PLAIN, location=HERE)
    except MalformedInput as error:
        assert error.where
    finally:
        _listening = False
    assert _heard == []
    assert all(isinstance(node, Acting) for node in reading.trace)
