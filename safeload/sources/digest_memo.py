"""Digests that were computed before, so that an unchanged file is not hashed again.

An entry counts only while

1. the file's identity (device, inode, size, modification and change times) is the one that was hashed,
2. nobody but this user and root can write the file or rename anything on the way to it, and
3. if the entry says so, the machine has not been restarted since: a file that safeload wrote is not forced to
   disk, so after a crash its bytes are looked at again.

An entry that cannot be read is as good as none: the file is hashed again and the entry rewritten. A memo never
turns a mismatch into a match, it only saves the second look.
"""

from __future__ import annotations

import functools
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress

from safeload.core.errors import VerificationFailed
from safeload.core.names import escape
from safeload.sources.hashers import DIGITS, SHA256
from safeload.sources.pinned import Identity, PinnedFile

_DIGEST = {name: re.compile(rf"[0-9a-f]{{{digits}}}") for name, digits in DIGITS.items()}
_LONGEST = 4096
"""Bytes of an entry; ours have about 300."""
_TICK_NS = 20_000_000
_COARSE_TICK_NS = 2_100_000_000
_PARALLEL_FROM = 4 << 20
"""Bytes in all from which threads pay."""


@functools.lru_cache(maxsize=1)
def boot_id() -> str | None:
    """What tells this run of the machine from the one before, or `None` where nothing does."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
            return stream.read(64).strip() or None
    except OSError:
        return None


def settled(identity: Identity, now: int) -> bool:
    """Whether a write at that time is sure to change the file's times: its last change is older than a tick."""
    newest = max(identity.mtime_ns, identity.ctime_ns)
    tick = _TICK_NS if identity.ctime_ns % 1_000_000_000 else _COARSE_TICK_NS
    return now - newest > tick


class DigestMemo:
    """Remembers digests in `folder`, one small file per inode; with `None`, nothing.

    Concurrent processes may share a folder: entries are replaced whole. The folder must be this user's own;
    `Store.memo` sees to that.
    """

    __slots__ = ("_folder",)

    def __init__(self, folder: str | None) -> None:
        self._folder = folder

    def lookup(self, file: PinnedFile) -> dict[str, str]:
        """The digests known for `file` by algorithm; empty if none counts. Never raises for what it finds."""
        if not file.exclusive or self._folder is None:
            return {}
        try:
            descriptor = os.open(_entry(self._folder, file), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return {}
        try:
            return _parse(os.read(descriptor, _LONGEST), file)
        except OSError:
            return {}
        finally:
            os.close(descriptor)

    def settled(self, file: PinnedFile) -> bool:
        """See `settled`. Asked before hashing; a younger file is hashed all the same, and not remembered."""
        return settled(file.identity, time.time_ns())

    def record(self, file: PinnedFile, digests: Mapping[str, str], *, this_boot_only: bool = False) -> bool:
        """Remember `digests` of `file` as it was when opened; say whether that was possible.

        It is not if others can write the file, or the entry could not be written; nothing is lost but time.
        """
        boot = boot_id() if this_boot_only else None
        if not file.exclusive or self._folder is None or (this_boot_only and boot is None):
            return False
        entry = {"identity": list(file.identity), "digests": dict(digests), "boot": boot}
        path = _entry(self._folder, file)
        draft = f"{path}.{secrets.token_hex(6)}"
        try:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                os.write(descriptor, json.dumps(entry).encode())
            finally:
                os.close(descriptor)
            os.replace(draft, path)
        except OSError:
            # A full or read-only disk costs the next load a hash, and must not stop this one.
            with suppress(OSError):
                os.unlink(draft)
            return False
        return True


def _entry(folder: str, file: PinnedFile) -> str:
    return os.path.join(folder, f"{file.identity.ino & 0xFF:02x}", f"{file.identity.dev:x}-{file.identity.ino:x}")


def _parse(data: bytes, file: PinnedFile) -> dict[str, str]:
    try:
        entry = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(entry, dict) or entry.get("identity") != list(file.identity):
        return {}
    boot, digests = entry.get("boot"), entry.get("digests")
    if (boot is not None and boot != boot_id()) or not isinstance(digests, dict):
        return {}
    return {
        name: value
        for name, value in digests.items()
        if name in _DIGEST and isinstance(value, str) and _DIGEST[name].fullmatch(value)
    }


def digest_all(
    files: Collection[PinnedFile],
    memo: DigestMemo | None = None,
    *,
    progress: Callable[[PinnedFile], None] | None = None,
    check_recorded: bool = True,
) -> dict[str, str]:
    """The sha256 of every file by its `path`, on all cores, largest first.

    Each file whose origin recorded a digest is compared with it in the same pass. `progress` is called, from any
    thread, with each file that is done.

    Raises `VerificationFailed` listing every file that differs from its record or changed meanwhile, and
    `SourceError` if a file cannot be read.
    """
    found: dict[str, str] = {}
    mismatches: dict[str, str] = {}

    def one(file: PinnedFile) -> None:
        recorded = file.recorded if check_recorded else None
        algorithms = (SHA256, recorded.algorithm) if recorded and recorded.algorithm != SHA256 else (SHA256,)
        try:
            digests = file.digests(algorithms, memo)
        except VerificationFailed as error:
            mismatches.update(error.mismatches)
            return
        found[file.path] = digests[SHA256]
        if recorded is not None and digests[recorded.algorithm] != recorded.value:
            mismatches[escape(file.path)] = (
                f"its {recorded.algorithm} is {digests[recorded.algorithm]}, its origin recorded {recorded.value}"
            )
        if progress is not None:
            progress(file)

    _each(one, sorted(files, key=lambda file: file.size, reverse=True))
    if mismatches:
        raise VerificationFailed(
            f"{len(mismatches)} of {len(files)} files are not what their origin recorded, or changed meanwhile",
            mismatches=dict(sorted(mismatches.items())),
            remedy="remove the damaged copies and fetch them again: hf download --force-download <model> <file>",
        )
    return found


def _each(work: Callable[[PinnedFile], None], files: Iterable[PinnedFile]) -> None:
    ordered = list(files)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cores == 1 or len(ordered) < 2 or sum(file.size for file in ordered) < _PARALLEL_FROM:
        for file in ordered:
            work(file)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(cores, len(ordered)), thread_name_prefix="safeload-digest") as pool:
        tasks = [pool.submit(work, file) for file in ordered]
        try:
            for task in tasks:
                task.result()
        except BaseException:
            # Nobody will look at the rest: do not make the user wait for it.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
