"""`safeload.lock`: what is written is what is read, and one changed byte is an error."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from safeload.core.errors import ConfigError
from safeload.trust.lockfile import Lock, LockedFile, parse_lock, path_fault
from safeload.trust.locktext import dump
from tests.trust import locks

TEXT = dump(locks.lock())


def refused(data: bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_lock(data)
    assert caught.value.remedy and "safeload.lock" in str(caught.value.where)
    return str(caught.value)


def test_what_is_written_is_what_is_read() -> None:
    """A lock comes back equal, with everything that it can hold."""
    assert parse_lock(TEXT) == locks.lock()
    assert parse_lock(dump(Lock())) == Lock()


def test_equal_locks_give_equal_bytes() -> None:
    """The order in which models were locked does not show."""
    lock = locks.lock()
    assert dump(Lock(lock.models[::-1])) == TEXT


def test_one_file_is_one_line() -> None:
    """A changed file changes its own line, the tree and the digest of its entry, and nothing else."""
    first, second = (
        dump(Lock((locks.model(files=(LockedFile(path="a", size=n, sha256=d),)),)))
        for n, d in ((1, locks.A), (2, locks.B))
    )
    assert sum(a != b for a, b in zip(first.splitlines(), second.splitlines(), strict=True)) == 3


def test_an_entry_that_is_there_twice_is_an_error() -> None:
    """As after a merge that kept both sides: nobody can say which one counts."""
    one, other = locks.model(), locks.model(id="Acme/Demo", revision="f" * 40)
    assert "model[1].id" in refused(dump(Lock((one, one))))
    assert "there twice" in refused(dump(Lock((one, other))))
    assert len(parse_lock(dump(Lock((one, locks.model(requested="v2"))))).models) == 2


@given(st.integers(0, len(TEXT) - 1), st.integers(0, 255))
@settings(max_examples=300)
def test_one_changed_byte_anywhere_is_an_error(at: int, byte: int) -> None:
    """Whichever byte of a lock is changed to whichever other one, the lock is refused."""
    changed = TEXT[:at] + bytes([byte]) + TEXT[at + 1 :]
    if changed != TEXT:
        refused(changed)


@given(st.integers(0, len(TEXT) - 1), st.binary(max_size=3), st.integers(0, 3))
@settings(max_examples=200)
def test_bytes_that_come_or_go_are_an_error(at: int, new: bytes, gone: int) -> None:
    """A lock that was cut, or into which something was put, is refused."""
    changed = TEXT[:at] + new + TEXT[at + gone :]
    if changed != TEXT:
        refused(changed)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@example(b"x = " + b"[" * 100_000)
@example(b"version = " + b"9" * 5000)
@example(b"version = 1\nmodel = [1]")
@example(b"version = 1\nversion = 1")
@example(b"\xff")
def test_any_bytes_give_a_lock_or_our_error(data: bytes) -> None:
    """The parser ends in a lock or in `ConfigError`, for any bytes."""
    with contextlib.suppress(ConfigError):
        parse_lock(data)


_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "all", locks.A, "../x", "h1:"]),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)


@given(st.sampled_from(TEXT.decode().splitlines()), st.sampled_from(TEXT.decode().splitlines()), _VALUE)
@settings(max_examples=200)
def test_lines_in_other_places_are_an_error(line: str, other: str, value: object) -> None:
    """A line that is left out, moved or given another value is refused."""
    for text in (
        TEXT.decode().replace(line + "\n", "", 1),
        TEXT.decode() + line,
        f"{other.partition('=')[0]}= {value}",
    ):
        if text.encode() != TEXT:
            refused(text.encode())


def test_a_merge_conflict_is_named() -> None:
    """The marks that git leaves are told, with their line, and how to resolve them."""
    text = TEXT.decode().replace("\nid = ", "\n<<<<<<< HEAD\nid = ", 1)
    assert "merge conflict" in refused(text.encode()) and "line 6" in refused(text.encode())


def test_a_newer_version_is_refused() -> None:
    """What another version means is not guessed."""
    assert "newer safeload" in refused(TEXT.replace(b"version = 1", b"version = 2", 1))


def test_a_place_is_told() -> None:
    """The error names the model, the file and the field."""
    assert "model[0].files[2].sha256" in refused(TEXT.replace(locks.B.encode() + b'", git', b'x", git', 1))
    assert "model[0].tree" in refused(TEXT.replace(b'tree = "h1:', b'tree = "h1:A', 1))


@pytest.mark.parametrize("path", ["", "/a", "a//b", "../a", "a/..", "a/./b", "a\nb", "a\x7f", "\udc80", "x" * 5000])
def test_a_name_that_cannot_stand_in_a_lock(path: str) -> None:
    """A path that leaves the model, or cannot be written, is refused."""
    assert path_fault(path)


@given(st.text(st.characters(min_codepoint=0x20, exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_any_other_name_comes_back(name: str) -> None:
    """Quotes, backslashes and every script survive."""
    if not path_fault(name):
        lock = Lock((locks.model(files=(LockedFile(path=name, size=0, sha256=locks.A),)),), "safeload.lock")
        assert parse_lock(dump(lock)) == lock


def test_the_hub_does_not_tell_capitals_from_small_letters() -> None:
    """An entry is found under any spelling the hub would answer to; a directory only under its own."""
    lock = locks.lock()
    assert lock.of("ACME/Demo") and not lock.of("Models/mine") and lock.of("models/mine")
