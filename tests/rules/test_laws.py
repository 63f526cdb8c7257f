"""Laws of judging, over streams that Hypothesis makes up."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from safeload.core.finding import Status
from safeload.core.graph import Extension, Global
from safeload.core.names import GlobalName
from safeload.engine.allowlists import default_allowlist
from tests.rules.streams import CALLS, findings, status, stream, text

LISTED = sorted({entry.name for entry in default_allowlist()})
_word = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
_module = st.lists(_word, min_size=1, max_size=3).map(".".join)
_name = st.one_of(_word, st.lists(_word, min_size=2, max_size=3).map(".".join))
_how = st.sampled_from(sorted(CALLS))
_protocol = st.sampled_from([0, 1, 2, 3, 4, 5])


@given(module=_module, name=_name, how=_how, protocol=_protocol)
def test_a_call_outside_the_allowlist_is_never_safe(module: str, name: str, how: str, protocol: int) -> None:
    """Whatever is called, and however: outside the allowlist the file is not safe."""
    if how != "ext" and GlobalName(module, name) in default_allowlist():
        return
    assert status(CALLS[how](module, name, text("x", protocol), protocol)) is not Status.SAFE


@given(module=_module, name=_name)
def test_an_import_outside_the_allowlist_is_never_safe(module: str, name: str) -> None:
    """Also a name that nothing calls."""
    if GlobalName(module, name) not in default_allowlist():
        assert status(f"\x80\x03]c{module}\n{name}\na.".encode("latin-1")) is not Status.SAFE


@given(st.sampled_from(LISTED))
def test_what_follows_never_makes_a_stream_better(first: GlobalName) -> None:
    """What stands behind a bad call cannot make up for it."""
    bad = b"\x80\x03cos\nsystem\nX\x01\x00\x00\x00x\x85R0"
    good = f"c{first.module}\n{first.name}\n".encode() + b"."
    assert status(bad + good) is Status.DANGEROUS


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_any_bytes_are_judged(data: bytes) -> None:
    """Judging never raises; a stream that did not end is never safe; nor one that names what is not listed."""
    part = stream(data)
    found = findings(part)
    worst = max((finding.status for finding in found), default=Status.SAFE)
    if part.reading.fault is not None:
        assert worst is not Status.SAFE
    for node in part.reading.trace:
        if isinstance(node, Global) and node.name not in default_allowlist():
            assert worst is not Status.SAFE
        assert not isinstance(node, Extension) or worst is Status.DANGEROUS
