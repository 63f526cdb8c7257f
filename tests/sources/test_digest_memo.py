"""The memo saves a second look at unchanged files, and never anything else."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from safeload.core.errors import SourceError, VerificationFailed
from safeload.sources import digest_memo, ownership
from safeload.sources.base import Recorded
from safeload.sources.digest_memo import DigestMemo, digest_all
from safeload.sources.pinned import PinnedFile, pin_file
from tests.sources.helpers import age, git_sha1, sha256

OLD = b"as it was"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "model.bin"
    path.write_bytes(OLD)
    age(path)
    return path


@pytest.fixture
def memo(tmp_path: Path) -> DigestMemo:
    (tmp_path / "memo").mkdir()
    return DigestMemo(str(tmp_path / "memo"))


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The path of each file that was really hashed."""
    seen: list[str] = []
    real = PinnedFile._hash

    def count(self: PinnedFile, algorithms: list[str]) -> dict[str, str]:
        seen.append(self.path)
        return real(self, algorithms)

    monkeypatch.setattr(PinnedFile, "_hash", count)
    return seen


def entries(memo: DigestMemo) -> list[Path]:
    return [path for path in Path(memo._folder).rglob("*") if path.is_file()]


def digest(path: Path, memo: DigestMemo) -> str:
    with pin_file(path) as file:
        return file.sha256(memo)


def test_a_full_disk_stops_nothing_and_keeps_no_halves(
    path: Path, memo: DigestMemo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be written to its end does not stay to take up the rest of the disk."""

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    assert digest(path, memo) == sha256(OLD)
    assert entries(memo) == []


def test_an_unchanged_file_is_hashed_once(path: Path, memo: DigestMemo, hashed: list[str]) -> None:
    """The second time the digest comes from the memo."""
    assert digest(path, memo) == digest(path, memo) == sha256(OLD)
    assert len(hashed) == 1


@pytest.mark.parametrize("change", ["write", "same size and times", "replace", "touch"])
def test_a_change_is_hashed_again(path: Path, memo: DigestMemo, hashed: list[str], change: str) -> None:
    """Whatever changes the file's identity ends the entry, even a write that restores size and times."""
    digest(path, memo)
    before = os.stat(path)
    new = OLD
    if change == "write":
        path.write_bytes(new := b"something else")
    if change == "same size and times":
        path.write_bytes(new := OLD.upper())
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    if change == "replace":
        (path.parent / "new").write_bytes(new := OLD.upper())
        os.replace(path.parent / "new", path)
    if change == "touch":
        os.utime(path)
    assert digest(path, memo) == sha256(new)
    assert len(hashed) == 2


def _not_private(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "_is_private_group", lambda gid: False)
    os.chmod(path, 0o664)


def _world(path: Path, _: pytest.MonkeyPatch) -> None:
    os.chmod(path, 0o646)


def _folder(path: Path, _: pytest.MonkeyPatch) -> None:
    os.chmod(path.parent, 0o777)


def _foreign(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "is_ours", lambda uid: False)


@pytest.mark.parametrize("loosen", [_not_private, _world, _folder, _foreign])
def test_a_file_that_others_can_write_is_always_hashed(
    path: Path,
    memo: DigestMemo,
    hashed: list[str],
    monkeypatch: pytest.MonkeyPatch,
    loosen: Callable[[Path, pytest.MonkeyPatch], None],
) -> None:
    """Group-writable, world-writable, in a shared directory, or somebody else's: nothing is remembered or believed."""
    loosen(path, monkeypatch)
    age(path)
    digest(path, memo)
    digest(path, memo)
    assert len(hashed) == 2
    assert entries(memo) == []


def test_an_entry_made_before_others_could_write_counts_no_more(
    path: Path, memo: DigestMemo, hashed: list[str]
) -> None:
    """Loosening a directory after the digest was remembered ends the belief in it."""
    digest(path, memo)
    os.chmod(path.parent, 0o777)
    digest(path, memo)
    assert len(hashed) == 2


def test_a_group_of_ones_own_is_nobody_else(path: Path, memo: DigestMemo, hashed: list[str]) -> None:
    """A umask of 002 with a private group, the default of many systems, does not switch the memo off."""
    os.chmod(path, 0o664)
    os.chown(path, -1, os.getgid())
    expected = ownership._is_private_group(os.getgid())
    age(path)
    digest(path, memo)
    digest(path, memo)
    assert len(hashed) == (1 if expected else 2)


def test_a_file_written_just_now_is_not_remembered(path: Path, memo: DigestMemo) -> None:
    """Within one tick of the clock two writes could look alike, so the digest is not kept."""
    path.write_bytes(b"fresh")
    digest(path, memo)
    assert entries(memo) == []


CORRUPT = [
    b"", b"{", b"null", b"[]", b"[" * 5000, b'{"identity": 1}', b"\xff\xfe", b'{"digests": {"sha256": "00"}}',
]  # fmt: skip


@pytest.mark.parametrize("junk", CORRUPT)
def test_a_corrupt_entry_is_ignored_and_rewritten(path: Path, memo: DigestMemo, hashed: list[str], junk: bytes) -> None:
    """Junk in the memo costs a hash, and is not a verdict; afterwards the entry is whole again."""
    digest(path, memo)
    (entry,) = entries(memo)
    entry.write_bytes(junk)
    assert digest(path, memo) == sha256(OLD)
    assert digest(path, memo) == sha256(OLD)
    assert len(hashed) == 2


@pytest.mark.parametrize("value", ["", "0" * 63, "Z" * 64, 7, None, ["0" * 64]])
def test_an_entry_whose_digest_is_none_is_ignored(
    path: Path, memo: DigestMemo, hashed: list[str], value: object
) -> None:
    """An entry with the right identity and a value that is no digest does not become an answer."""
    digest(path, memo)
    (entry,) = entries(memo)
    document = json.loads(entry.read_bytes())
    document["digests"]["sha256"] = value
    entry.write_text(json.dumps(document))
    assert digest(path, memo) == sha256(OLD)
    assert len(hashed) == 2


def test_a_pipe_or_link_in_place_of_an_entry_is_ignored(path: Path, memo: DigestMemo) -> None:
    """Looking up never hangs and never follows a link."""
    digest(path, memo)
    (entry,) = entries(memo)
    kept = entry.read_bytes()
    entry.unlink()
    os.mkfifo(entry)
    with pin_file(path) as file:
        assert memo.lookup(file) == {}
    entry.unlink()
    (path.parent / "elsewhere").write_bytes(kept)
    entry.symlink_to(path.parent / "elsewhere")
    with pin_file(path) as file:
        assert memo.lookup(file) == {}


def test_entries_are_private(path: Path, memo: DigestMemo) -> None:
    """Entries are written with mode 0600."""
    digest(path, memo)
    assert [entry.stat().st_mode & 0o777 for entry in entries(memo)] == [0o600]


def test_an_entry_bound_to_this_boot_ends_with_it(
    path: Path, memo: DigestMemo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was never forced to disk is believed only until the machine restarts."""
    with pin_file(path) as file:
        assert memo.record(file, {"sha256": sha256(OLD)}, this_boot_only=True)
        assert memo.lookup(file) == {"sha256": sha256(OLD)}
        monkeypatch.setattr(digest_memo, "boot_id", lambda: "another")
        assert memo.lookup(file) == {}
        monkeypatch.setattr(digest_memo, "boot_id", lambda: None)
        assert memo.lookup(file) == {}
        assert not memo.record(file, {"sha256": sha256(OLD)}, this_boot_only=True)


def test_a_memo_that_cannot_be_written_costs_only_time(path: Path, tmp_path: Path) -> None:
    """Without room for entries, digests are right all the same."""
    (tmp_path / "file").write_bytes(b"")
    assert digest(path, DigestMemo(str(tmp_path / "file" / "memo"))) == sha256(OLD)


def test_a_lookup_reads_nothing_of_the_file(path: Path, memo: DigestMemo, monkeypatch: pytest.MonkeyPatch) -> None:
    """A remembered digest costs the same whatever the file's size: only its entry is read."""
    digest(path, memo)
    read_from: list[int] = []

    def spied(real: Callable[..., Any], descriptor: int, *rest: Any) -> Any:
        read_from.append(descriptor)
        return real(descriptor, *rest)

    for name in ("read", "pread", "preadv", "readv"):
        monkeypatch.setattr(os, name, partial(spied, getattr(os, name)))
    with pin_file(path) as file:
        assert memo.lookup(file) and read_from and file.fileno() not in read_from


def test_many_files_at_once(tmp_path: Path, memo: DigestMemo) -> None:
    """Every file gets its own digest, in whatever order the threads finish, and progress is told of each."""
    data = {f"f{i}": os.urandom(i * 300_000) for i in range(8)}
    for name, content in data.items():
        (tmp_path / name).write_bytes(content)
    files = [pin_file(tmp_path / name, name=name) for name in data]
    done: list[str] = []
    assert digest_all(files, memo, progress=lambda file: done.append(file.path)) == {
        name: sha256(content) for name, content in data.items()
    }
    assert sorted(done) == sorted(data)
    for file in files:
        file.close()


def _recorded(path: Path, name: str, recorded: Recorded) -> PinnedFile:
    file = pin_file(path / name, name=name)
    file.recorded = recorded
    return file


def test_recorded_digests_are_compared_and_every_mismatch_is_listed(tmp_path: Path, memo: DigestMemo) -> None:
    """Good files pass, and each bad one is named with both digests, of either algorithm."""
    for name in ("a", "b", "c", "d"):
        (tmp_path / name).write_bytes(name.encode())
    good = [
        _recorded(tmp_path, "a", Recorded(algorithm="sha256", value=sha256(b"a"))),
        _recorded(tmp_path, "b", Recorded(algorithm="git-sha1", value=git_sha1(b"b"))),
    ]
    bad = [
        _recorded(tmp_path, "c", Recorded(algorithm="sha256", value="0" * 64)),
        _recorded(tmp_path, "d", Recorded(algorithm="git-sha1", value="0" * 40)),
    ]
    assert digest_all(good, memo) == {"a": sha256(b"a"), "b": sha256(b"b")}
    with pytest.raises(VerificationFailed) as caught:
        digest_all(good + bad, memo)
    assert sorted(caught.value.mismatches) == ["c", "d"]
    assert git_sha1(b"d") in caught.value.mismatches["d"]
    assert digest_all(bad, memo, check_recorded=False) == {"c": sha256(b"c"), "d": sha256(b"d")}
    for file in good + bad:
        file.close()


def test_a_mismatch_stays_one_when_remembered(path: Path, memo: DigestMemo, hashed: list[str]) -> None:
    """The memo remembers what a file is, not that it was fine: the second comparison fails as the first did."""
    with pin_file(path) as file:
        file.recorded = Recorded(algorithm="sha256", value="0" * 64)
        for _ in range(2):
            with pytest.raises(VerificationFailed):
                digest_all([file], memo)
    assert len(hashed) == 1


def test_a_file_that_cannot_be_read_ends_all(tmp_path: Path) -> None:
    """A closed file among many raises `SourceError` rather than being left out."""
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(os.urandom(3 << 20))
    files = [pin_file(tmp_path / name, name=name) for name in ("a", "b")]
    files[0].close()
    with pytest.raises(SourceError):
        digest_all(files)
    files[1].close()
