"""The store: whole entries or none, made once, safe from prune while in use."""

from __future__ import annotations

import errno
import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from safeload.core.errors import ConfigError, SourceError, UsageError
from safeload.sources import digest_memo, filelock, ownership, upkeep
from safeload.sources.pinned import PinnedFile, pin_file
from safeload.sources.store import Store, default_root
from tests.sources.helpers import sha256, spawn

KEY = "ab" * 32


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def make(store: Store, key: str = KEY, data: bytes = b"weights") -> None:
    with store.staging("converted", key) as stage:
        assert stage.entry is None
        Path(stage.path, "model.safetensors").write_bytes(data)
        stage.publish(about={"why": "test"}).close()


def leftovers(store: Store) -> list[str]:
    return [name for part in ("staging", "views") for name in os.listdir(store.folder(part))]


def restart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything that was bound to this boot count no more."""
    monkeypatch.setattr(digest_memo, "boot_id", lambda: "another")


# where it lies, and whose it is


def test_the_default_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`SAFELOAD_HOME`, else the cache directory of the user, as XDG says or below the home."""
    monkeypatch.setenv("SAFELOAD_HOME", str(tmp_path / "a"))
    assert default_root() == str(tmp_path / "a")
    monkeypatch.delenv("SAFELOAD_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    assert default_root() == str(tmp_path / "b" / "safeload")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "c"))
    assert default_root() == str(tmp_path / "c" / ".cache" / "safeload")


def test_it_is_made_private(tmp_path: Path) -> None:
    """A new store and its parts are readable by nobody else, whatever the umask."""
    old = os.umask(0)
    try:
        store = Store(tmp_path / "store")
    finally:
        os.umask(old)
    for path in (store.root, store.folder("converted"), store.folder("memo"), store.folder("views")):
        assert os.stat(path).st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o722, 0o703])
def test_a_store_that_others_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    """World-writable, sticky or not, is refused with a command that repairs it."""
    (tmp_path / "store").mkdir()
    os.chmod(tmp_path / "store", mode)
    with pytest.raises(ConfigError, match="others can write") as caught:
        Store(tmp_path / "store")
    assert "chmod go-w" in caught.value.remedy


def test_a_store_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that another user made first is not used."""
    (tmp_path / "store").mkdir()
    real = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: real + 1)
    with pytest.raises(ConfigError, match="belongs to user"):
        Store(tmp_path / "store")


def test_a_store_below_a_shared_directory_is_refused(tmp_path: Path) -> None:
    """Where others can rename the store away and put theirs, it is not used; a sticky directory is fine."""
    (tmp_path / "shared").mkdir()
    os.chmod(tmp_path / "shared", 0o777)
    with pytest.raises(ConfigError, match="above it"):
        Store(tmp_path / "shared" / "store")
    os.chmod(tmp_path / "shared", 0o1777)
    assert Store(tmp_path / "shared" / "store").root


def test_a_store_in_a_group_writable_place_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group with other members counts as others."""
    monkeypatch.setattr(ownership, "_is_private_group", lambda gid: False)
    (tmp_path / "store").mkdir()
    os.chmod(tmp_path / "store", 0o770)
    with pytest.raises(ConfigError):
        Store(tmp_path / "store")


def test_a_store_that_is_a_file_is_our_error(tmp_path: Path) -> None:
    """A file in its place is a `SourceError`, not a crash."""
    (tmp_path / "store").write_bytes(b"")
    with pytest.raises(SourceError):
        Store(tmp_path / "store")


@pytest.mark.parametrize("key", ["", "..", "a/b", ".hidden", "a\0b", "x" * 200, "-\n"])
def test_a_key_cannot_be_a_path(store: Store, key: str) -> None:
    """A key that could name anything but one directory is refused."""
    with pytest.raises(UsageError):
        store.open("converted", key)


# making


def test_what_is_published_can_be_opened(store: Store) -> None:
    """The entry has the files, their digests and the maker's words; the files are read-only."""
    make(store)
    with store.open("converted", KEY) or pytest.fail("no entry") as entry:
        assert os.listdir(entry.path) == ["model.safetensors"]
        assert entry.files["model.safetensors"].sha256 == sha256(b"weights")
        assert entry.about == {"why": "test"}
        assert os.stat(entry.file("model.safetensors")).st_mode & 0o777 == 0o400
    assert leftovers(store) == []


def test_what_is_not_there_is_none(store: Store) -> None:
    """An entry that nobody made is `None`, of any kind."""
    assert store.open("converted", KEY) is None
    assert store.open("admitted", KEY) is None


def test_leaving_without_publishing_leaves_nothing(store: Store) -> None:
    """An error while making removes what was written, and the next attempt starts afresh."""
    with pytest.raises(RuntimeError), store.staging("converted", KEY) as stage:
        Path(stage.path, "half").write_bytes(b"x" * 1000)
        raise RuntimeError
    assert store.open("converted", KEY) is None
    assert leftovers(store) == []
    make(store)


def test_a_digest_for_a_file_that_is_not_there_is_refused(store: Store) -> None:
    """A maker that is wrong about its own files publishes nothing."""
    with pytest.raises(UsageError), store.staging("converted", KEY) as stage:
        Path(stage.path, "a").write_bytes(b"")
        stage.publish(digests={"b": "0" * 64})
    assert store.open("converted", KEY) is None


def test_a_link_in_an_entry_is_refused(store: Store) -> None:
    """An entry holds files: a link in it could come to mean something else later."""
    with pytest.raises(Exception, match="something other than files"), store.staging("converted", KEY) as stage:
        Path(stage.path, "a").symlink_to("/etc/passwd")
        stage.publish()
    assert store.open("converted", KEY) is None


def test_a_full_disk_is_our_error_and_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC while publishing becomes a `SourceError` with a next step; nothing half-written stays."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(SourceError, match="No space left") as caught, store.staging("converted", KEY) as stage:
        Path(stage.path, "a").write_bytes(b"x")
        monkeypatch.setattr(os, "rename", full)
        stage.publish()
    monkeypatch.undo()
    assert "cache prune" in caught.value.remedy
    assert leftovers(store) == [] and store.open("converted", KEY) is None


def test_a_store_that_cannot_be_written_is_our_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read-only file system becomes a `SourceError` that says what to do."""

    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "mkdir", read_only)
    with pytest.raises(SourceError, match="Read-only") as caught, store.staging("converted", KEY) as stage:
        assert stage.path
    assert "SAFELOAD_HOME" in caught.value.remedy


def test_threads_make_an_entry_once(store: Store) -> None:
    """Of many threads that want the same entry, one makes it and the others get it."""
    made: list[int] = []

    def want() -> None:
        with store.staging("converted", KEY) as stage:
            if stage.entry is None:
                made.append(1)
                time.sleep(0.05)
                Path(stage.path, "f").write_bytes(b"x")
                stage.publish()
        assert stage.entry is not None
        stage.entry.close()

    threads = [threading.Thread(target=want) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]


WANT = """
import sys, time, os
from safeload.sources.store import Store
waited = []
with Store(sys.argv[1]).staging("converted", sys.argv[2], on_wait=lambda: waited.append(1)) as stage:
    if stage.entry is None:
        time.sleep(0.3)
        open(os.path.join(stage.path, "f"), "wb").write(b"x" * 1000)
        stage.publish()
        print("made")
    else:
        print("found", "waited" if waited else "")
assert stage.entry.files["f"].size == 1000
"""


def test_two_processes_make_an_entry_once(store: Store) -> None:
    """Of two processes that want the same entry, one makes it and the other waits and finds it."""
    processes = [spawn(WANT, store.root, KEY) for _ in range(2)]
    answers = sorted(process.communicate(timeout=60)[0].strip() for process in processes)
    assert [process.returncode for process in processes] == [0, 0]
    assert answers[0].startswith("found") and answers[1] == "made"


HALF = """
import sys, os, time
from safeload.sources.store import Store
store = Store(sys.argv[1])
view = store.view()
with store.staging("converted", sys.argv[2]) as stage:
    open(os.path.join(stage.path, "f"), "wb").write(b"x" * 100000)
    print("half", flush=True)
    time.sleep(60)
"""


def test_a_process_killed_half_way_leaves_only_what_prune_removes(store: Store) -> None:
    """After SIGKILL there is no entry, the next process is not kept waiting, and prune frees the rest."""
    process = spawn(HALF, store.root, KEY)
    assert process.stdout is not None and process.stdout.readline() == "half\n"
    assert upkeep.prune(store, everything=True).leftovers == 0, "a live process was disturbed"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert store.open("converted", KEY) is None
    make(store)
    done = upkeep.prune(store)
    assert done.leftovers == 2 and done.freed >= 100_000
    assert leftovers(store) == []
    entry = store.open("converted", KEY)
    assert entry is not None
    entry.close()


# use


def test_a_second_opening_hashes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was just made is known, although it never was forced to disk."""
    make(store)
    monkeypatch.setattr(PinnedFile, "_hash", lambda *_: pytest.fail("hashed again"))
    entry = store.open("converted", KEY)
    assert entry is not None
    entry.close()


def test_after_a_restart_the_bytes_are_hashed_and_compared(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A conversion whose bytes did not reach the disk before a crash is dropped, said, and can be made again."""
    make(store)
    path = Path(store.entry_path("converted", KEY), "files", "model.safetensors")
    times = os.stat(path)
    os.chmod(path, 0o600)
    path.write_bytes(b"\0" * 7)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    restart(monkeypatch)
    assert store.open("converted", KEY) is None
    assert len(store.notes) == 1 and "damaged" in store.notes[0]
    make(store)


def test_after_a_restart_good_bytes_are_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry whose bytes did reach the disk is hashed once and then known again."""
    make(store)
    restart(monkeypatch)
    hashed: list[str] = []
    real = PinnedFile._hash

    def count(file: PinnedFile, names: list[str]) -> dict[str, str]:
        hashed.append(file.path)
        return real(file, names)

    monkeypatch.setattr(PinnedFile, "_hash", count)
    time.sleep(0.03)
    for _ in range(2):
        entry = store.open("converted", KEY)
        assert entry is not None
        entry.close()
    assert hashed == ["model.safetensors"]
    assert store.notes == []


@pytest.mark.parametrize("damage", ["change", "add", "remove", "record", "no record", "record of another", "link"])
def test_a_damaged_entry_is_dropped(store: Store, damage: str) -> None:
    """A file that changed, appeared, vanished, or a record that is not one: never handed over."""
    make(store)
    entry = Path(store.entry_path("converted", KEY))
    weights, record = entry / "files" / "model.safetensors", entry / "record.json"
    if damage == "change":
        os.chmod(weights, 0o600)
        weights.write_bytes(b"WEIGHTS")
    if damage == "add":
        (entry / "files" / "modeling.py").write_text("evil")
    if damage == "remove":
        weights.unlink()
    if damage == "record":
        record.write_bytes(b'{"version": 1, "files": [')
    if damage == "no record":
        record.unlink()
    if damage == "record of another":
        document = json.loads(record.read_text())
        record.write_text(json.dumps({**document, "key": "cd" * 32}))
    if damage == "link":
        weights.unlink()
        weights.symlink_to("/etc/passwd")
    assert store.open("converted", KEY) is None
    assert len(store.notes) == 1
    make(store)


def test_a_damaged_entry_in_use_elsewhere_is_our_error(store: Store) -> None:
    """While another user of the entry lives it cannot be replaced; that is said, and nothing is handed over."""
    make(store)
    entry = store.open("converted", KEY)
    assert entry is not None
    os.chmod(entry.file("model.safetensors"), 0o600)
    Path(entry.file("model.safetensors")).write_bytes(b"WEIGHTS")
    with pytest.raises(SourceError, match="another process uses it"):
        store.open("converted", KEY)
    entry.close()
    assert store.open("converted", KEY) is None


def test_views_live_as_long_as_their_process(store: Store) -> None:
    """A view goes when it is closed, at exit if it is not, and stays when a forked child exits."""
    with store.view() as view:
        assert os.path.isdir(view.path)
    assert not os.path.exists(view.path)
    program = """
import os, sys
from safeload.sources.store import Store
view = Store(sys.argv[1]).view()
open(os.path.join(view.path, "f"), "w").write("x")
if os.fork() == 0:
    sys.exit()
os.wait()
assert os.path.exists(os.path.join(view.path, "f"))
print(view.path)
"""
    process = spawn(program, store.root)
    path = process.communicate(timeout=60)[0].strip()
    assert process.returncode == 0 and path and not os.path.exists(path)
    assert leftovers(store) == []


# upkeep


def test_list_says_what_there_is(store: Store) -> None:
    """Each entry is listed with its size, whether it is in use, and its maker's words."""
    make(store)
    (item,) = upkeep.list_items(store)
    assert (item.kind, item.key, item.in_use, item.about) == ("converted", KEY, False, {"why": "test"})
    assert item.size >= 7
    with store.open("converted", KEY) or pytest.fail("no entry"):
        assert upkeep.list_items(store)[0].in_use


def test_verify_finds_what_differs(store: Store) -> None:
    """Verify hashes from the disk, whatever is remembered, and lists each difference; it removes nothing."""
    make(store)
    make(store, "cd" * 32)
    assert upkeep.verify(store) == ()
    path = Path(store.entry_path("converted", KEY), "files", "model.safetensors")
    os.chmod(path, 0o600)
    path.write_bytes(b"WEIGHTS")
    (found,) = upkeep.verify(store)
    assert (found.key, found.path) == (KEY, "model.safetensors") and "sha256" in found.reason
    assert len(upkeep.list_items(store)) == 2


def test_prune_without_conditions_keeps_entries(store: Store) -> None:
    """Only leftovers and damaged entries go when nothing was asked for."""
    make(store)
    assert upkeep.prune(store).removed == ()
    Path(store.entry_path("converted", KEY), "record.json").unlink()
    assert len(upkeep.prune(store).removed) == 1


def test_prune_by_age_and_size(store: Store) -> None:
    """Older than asked goes; over the size, the least recently used goes first."""
    for at, key in enumerate(("11", "22", "33")):
        make(store, key, b"x" * 100_000)
        os.utime(os.path.join(store.entry_path("converted", key), "record.json"), (1000 + at, 1000 + at))
    os.utime(os.path.join(store.entry_path("converted", "33"), "record.json"))
    assert [item.key for item in upkeep.prune(store, max_size=250_000).removed] == ["11"]
    assert [item.key for item in upkeep.prune(store, older_than=3600).removed] == ["22"]
    assert [item.key for item in upkeep.list_items(store)] == ["33"]
    assert [item.key for item in upkeep.prune(store, everything=True).removed] == ["33"]


def test_prune_leaves_alone_what_is_in_use(store: Store) -> None:
    """An entry that a live process holds and the view it made stay, also with `everything`."""
    program = """
import sys
from safeload.sources.store import Store
store = Store(sys.argv[1])
entry, view = store.open("converted", sys.argv[2]), store.view()
print(view.path, flush=True)
sys.stdin.read()
"""
    make(store)
    process = spawn(program, store.root, KEY)
    assert process.stdout is not None
    view = process.stdout.readline().strip()
    done = upkeep.prune(store, everything=True)
    assert [item.key for item in done.kept_in_use] == [KEY] and done.removed == ()
    assert os.path.isdir(view)
    process.communicate("")
    done = upkeep.prune(store, everything=True)
    assert [item.key for item in done.removed] == [KEY]
    assert not os.path.exists(view)


# where nothing can be written


@pytest.fixture
def unwritable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which no directory can be made, as root would see it as well."""
    genuine = os.mkdir

    def mkdir(path: str, *args: Any, **named: Any) -> None:
        if os.fspath(path).startswith(str(tmp_path / "home")):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        genuine(path, *args, **named)

    monkeypatch.setattr(os, "mkdir", mkdir)
    monkeypatch.setenv("SAFELOAD_HOME", str(tmp_path / "home" / "safeload"))
    return tmp_path / "home"


def test_who_only_reads_needs_no_store(unwritable: Path, tmp_path: Path) -> None:
    """Where none can be made it has no entries, and digests are computed and not remembered."""
    store = Store(needed=False)
    assert upkeep.list_items(store) == ()
    (tmp_path / "file").write_bytes(b"data")
    with pin_file(str(tmp_path / "file")) as file:
        assert digest_memo.digest_all([file], store.memo) == {file.path: sha256(b"data")}
        assert not store.memo.record(file, {"sha256": sha256(b"data")}) and store.memo.lookup(file) == {}
    assert not unwritable.exists()


def test_who_needs_a_store_is_told_where_to_put_it(unwritable: Path) -> None:
    """The message names the variable, for every way of making one that is needed."""
    with pytest.raises(SourceError, match="SAFELOAD_HOME"):
        Store()


def test_a_store_of_others_is_not_read_either(tmp_path: Path) -> None:
    """What others can write to is no memory of digests, for whoever only reads as well."""
    (tmp_path / "store").mkdir()
    os.chmod(tmp_path / "store", 0o777)
    with pytest.raises(ConfigError):
        Store(tmp_path / "store", needed=False)


def test_asking_whether_an_entry_is_used_makes_no_file(tmp_path: Path) -> None:
    """So a list can be had of a store that cannot be written."""
    path = str(tmp_path / "lock")
    assert not filelock.is_held(path) and not os.path.exists(path)
    with filelock.shared(path):
        assert filelock.is_held(path)
    assert not filelock.is_held(path)
