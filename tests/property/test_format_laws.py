"""Laws of reading and judging whole files, over files of every family that Hypothesis damages."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.targets import TARGETS, Target
from safeload.core.finding import Status
from safeload.formats import formats
from tests.regressions.files import report

Edit = Callable[[bytes], bytes]
MODELS = [target for target in TARGETS.values() if isinstance(target, Target)]


@functools.cache
def seeds(name: str) -> tuple[bytes, ...]:
    return tuple(TARGETS[name].seeds())


def _replaced(at: float, new: bytes) -> Edit:
    return lambda data: data[: (place := int(at * len(data)))] + new + data[place + len(new) :]


def _inserted(at: float, new: bytes) -> Edit:
    return lambda data: data[: (place := int(at * len(data)))] + new + data[place:]


def _cut(at: float, length: int) -> Edit:
    return lambda data: data[: (place := int(at * len(data)))] + data[place + length :]


def _doubled(at: float, length: int) -> Edit:
    return lambda data: data[: (place := int(at * len(data))) + length] + data[place:]


_place = st.floats(0, 1, exclude_max=True)
_edits = st.lists(
    st.one_of(
        st.builds(_replaced, _place, st.binary(min_size=1, max_size=8)),
        st.builds(_inserted, _place, st.binary(min_size=1, max_size=8)),
        st.builds(_cut, _place, st.integers(1, 40)),
        st.builds(_doubled, _place, st.integers(1, 40)),
    ),
    max_size=4,
)


def test_every_format_is_fuzzed_and_begins_from_a_file_of_its_own() -> None:
    """A new format has a target with nothing to be done for it, but a small file somewhere that it claims."""
    assert {target.name for target in MODELS} == {format.name for format in formats()}
    assert [target.name for target in MODELS if not seeds(target.name)] == []


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_a_damaged_file_is_read_judged_and_explained(target: Target) -> None:
    """Whatever was changed: no exception, no endless reading, and an explanation that agrees with the verdict."""

    @settings(max_examples=25)
    @given(st.sampled_from(range(len(seeds(target.name)))), _edits)
    def law(which: int, edits: list[Edit]) -> None:
        data = seeds(target.name)[which]
        for edit in edits:
            data = edit(data)
        target(data)

    law()


@pytest.mark.parametrize("target", MODELS, ids=lambda target: target.name)
def test_the_same_bytes_have_the_same_verdict(target: Target) -> None:
    """Reading has no memory: a second look says the same, finding by finding."""
    for data in seeds(target.name)[:10]:
        assert report(data, target.file) == report(data, target.file)


@settings(max_examples=150)
@given(st.binary(max_size=400), st.binary(max_size=60))
def test_what_stands_around_a_payload_never_makes_it_safe(before: bytes, after: bytes) -> None:
    """With anything behind it, it stays dangerous; with anything in front, nobody vouches for the file."""
    payload = b"\x80\x04cos\nsystem\n(X\x01\x00\x00\x00xtR."
    assert report(payload + after, "model.pkl").status is Status.DANGEROUS
    assert report(b"\x80\x04N." + before + payload, "model.pkl").status is not Status.SAFE
