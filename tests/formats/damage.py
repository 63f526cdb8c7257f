"""Damage: a file cut, with bits turned, or with bytes replaced. What every reader must bear."""

from __future__ import annotations

from hypothesis import strategies as st

from safeload.core.errors import MalformedInput
from safeload.core.limits import Limits
from tests.formats.helpers import reading


@st.composite
def damaged(draw: st.DrawFn, files: list[bytes]) -> bytes:
    """One of the files with a few faults."""
    raw = bytearray(draw(st.sampled_from(files)))
    for _ in range(draw(st.integers(1, 4))):
        if not raw:
            break
        at = draw(st.integers(0, len(raw) - 1))
        how = draw(st.sampled_from(["turn", "set", "cut", "drop", "add"]))
        if how == "turn":
            raw[at] ^= 1 << draw(st.integers(0, 7))
        elif how == "set":
            raw[at] = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))
        elif how == "cut":
            del raw[at:]
        elif how == "drop":
            del raw[at : at + draw(st.integers(1, 16))]
        else:
            raw[at:at] = draw(st.binary(max_size=16))
    return bytes(raw)


def bears(raw: bytes, name: str) -> None:
    """Reading ends with parts, and at worst with our error."""
    result = reading(raw, name, Limits(nodes=100_000, members=1_000, tensors=10_000))
    assert result.formats and (result.fault is None or isinstance(result.fault, MalformedInput))
    assert result.parts or result.fault is not None or result.formats[0] not in ("opaque",)
