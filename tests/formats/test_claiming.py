"""The table of all claims: one look at a file answers as each claim by itself would."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from safeload.formats import formats
from safeload.formats.base import Claims
from safeload.formats.claiming import Table
from tests.corpus import benign

LISTED = list({str(format.claims): format.claims for format in formats()}.values())
SHORT = st.binary(max_size=3)
CLAIMS = st.builds(
    Claims,
    begins=st.lists(SHORT, max_size=2).map(tuple),
    first=SHORT,
    at=st.lists(st.tuples(st.integers(0, 6), st.binary(min_size=1, max_size=2)), max_size=3).map(tuple),
    holds=st.lists(st.binary(min_size=1, max_size=3), max_size=2).map(tuple),
    named=st.lists(st.sampled_from(["a", ".a", ".json", "b.a"]), max_size=2).map(tuple),
    empty=st.booleans(),
)
NAMES = st.sampled_from(["x", "A", "b.A", "x.json", "X.PY", "model.pmml", "MLmodel", "a.d-00000-of-00001", ".a"])
FEW = st.binary(max_size=8) | st.lists(st.sampled_from([b"a", b"b", b"\0", b"PK"]), max_size=6).map(b"".join)


def alike(listed: list[Claims | None], head: bytes, tail: bytes, name: str) -> None:
    kept = Table(listed, head[0] if head else None).kept(head, tail, name.lower())
    expected = [claims is None or claims.allow(head, tail, name) for claims in listed]
    assert [bool(kept >> place & 1) for place in range(len(listed))] == expected


@given(st.lists(CLAIMS | st.none(), max_size=6), FEW, FEW, NAMES)
def test_a_table_keeps_what_each_claim_allows(listed: list[Claims | None], head: bytes, tail: bytes, name: str) -> None:
    """For any claims, any bytes and any name: neither one more nor one less."""
    alike(listed, head, head, name)
    alike(listed, head, tail, name)


@given(st.binary(max_size=200), NAMES)
def test_the_formats_claims_are_kept_as_they_are(data: bytes, name: str) -> None:
    """So it is with the claims that the formats make."""
    alike(LISTED, data, data, name)


def test_what_libraries_write_keeps_its_claims() -> None:
    """And with files that real libraries write, however long, and however they are cut."""
    for maker in benign.MAKERS.values():
        for name, data in maker():
            head, tail = data[: 1 << 16], data[-(1 << 16) :]
            alike(LISTED, head, head if len(data) <= 1 << 16 else tail, name.rpartition("/")[2])
            alike(LISTED, b"\x80" + head, tail[:-3], name.rpartition("/")[2])
