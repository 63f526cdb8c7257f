"""Bytes that nobody else can change: a reflink where the file system can, else a copy, or memory that is sealed."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets

from safeload.core.errors import VerificationFailed
from safeload.core.names import Location, escape
from safeload.sources.digest_memo import DigestMemo
from safeload.sources.entry import Entry
from safeload.sources.failures import os_failure
from safeload.sources.pinned import SHA256, WINDOW, PinnedFile
from safeload.sources.store import Store

_FICLONE = 0x40049409
_CANNOT = frozenset(
    {errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EBADF, errno.EPERM, errno.ETXTBSY}
)
_NAME = "data"


def reflink(source: int, target: int) -> bool:
    """Let the file `target` share the bytes of `source` until one of them changes; say whether that was possible.

    Raises `OSError` for a fault of the disk rather than of the file system's abilities.
    """
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno in _CANNOT:
            return False
        raise
    return True


def can_reflink(folder: str) -> bool:
    """Whether files in `folder` can be copied by reference. Tries it with two small files, which it removes.

    Raises `SourceError` if nothing can be written there.
    """
    paths = [os.path.join(folder, f".safeload-{secrets.token_hex(8)}") for _ in range(2)]
    opened: list[int] = []
    try:
        for path in paths:
            opened.append(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        os.write(opened[0], b"\0" * 4096)
        return reflink(opened[0], opened[1])
    except OSError as error:
        raise os_failure(error, "the directory could not be tried", path=folder) from error
    finally:
        for path, descriptor in zip(paths, opened, strict=False):
            os.close(descriptor)
            os.unlink(path)


def copy_to(source: PinnedFile, target: int, *, memo: DigestMemo | None = None) -> str:
    """Fill the empty file `target` with the bytes of `source`; return their sha256.

    The digest is of the bytes that were written: where they are cloned, it is a digest known for exactly this
    unchanged source, else it is computed from the clone.

    Raises `VerificationFailed` if the source changed meanwhile, `SourceError` if reading or writing fails.
    """
    try:
        if reflink(source.fileno(), target):
            known = memo.lookup(source) if memo is not None else {}
            source.verify_unchanged()
            return known.get(SHA256) or _digest_of(target, source.size)
        return _copy(source, target)
    except OSError as error:
        raise os_failure(error, f"{escape(source.path)!r} could not be copied", path=source.path) from error


def _copy(source: PinnedFile, target: int) -> str:
    hasher = hashlib.sha256()
    buffer = memoryview(bytearray(min(WINDOW, max(source.size, 1))))
    offset = 0
    while count := source.read_into(buffer, offset):
        hasher.update(buffer[:count])
        written = 0
        while written < count:
            written += os.pwrite(target, buffer[written:count], offset + written)
        offset += count
    source.verify_unchanged()
    return hasher.hexdigest()


def _digest_of(descriptor: int, size: int) -> str:
    with PinnedFile(os.dup(descriptor), path="clone") as clone:
        if clone.size != size:
            raise VerificationFailed(
                "a clone differs from its source", mismatches={"size": f"{clone.size} bytes instead of {size}"}
            )
        return clone.sha256()


def private_copy(store: Store, source: PinnedFile, sha256: str) -> Entry:
    """A private copy of `source` in the store, made once for each content; `private_file` names it.

    `sha256` is the digest that was judged. Raises `VerificationFailed` if the bytes copied are not those,
    `SourceError` if copying fails.
    """
    with store.staging("private", sha256) as stage:
        if stage.entry is None:
            path = os.path.join(stage.path, _NAME)
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise os_failure(error, "the store could not be written", path=path) from error
            try:
                found = copy_to(source, descriptor, memo=store.memo)
            finally:
                os.close(descriptor)
            _compare(source, found, sha256)
            stage.publish(digests={_NAME: found})
    assert stage.entry is not None
    return stage.entry


def private_file(entry: Entry) -> str:
    """The absolute path of the one file of a private copy."""
    return entry.file(_NAME)


def sealed_copy(source: PinnedFile, sha256: str) -> PinnedFile:
    """A copy in memory that the kernel lets nobody change, not even this process; it costs its size in memory.

    Use its `proc_path()`. The memory is free again when it is closed and no mapping is left.

    Raises `VerificationFailed` if the bytes copied are not those of `sha256`, `SourceError` if memory is short
    or this system has no sealed memory.
    """
    try:
        descriptor = os.memfd_create("safeload", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except (OSError, AttributeError) as error:
        cause = error if isinstance(error, OSError) else OSError(errno.ENOSYS, "this system has no sealed memory")
        raise os_failure(cause, f"{escape(source.path)!r} could not be copied to memory", path=source.path) from error
    try:
        # Sealed before hashing, so that what is hashed is what stays. A seal cannot be taken off.
        _fill(source, descriptor)
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        copy = PinnedFile(descriptor, path=source.path, recorded=source.recorded)
        _compare(source, copy.sha256(), sha256)
    except OSError as error:
        os.close(descriptor)
        raise os_failure(error, f"{escape(source.path)!r} could not be copied to memory", path=source.path) from error
    except BaseException:
        os.close(descriptor)
        raise
    return copy


def _fill(source: PinnedFile, target: int) -> None:
    done = 0
    while done < source.size:
        count = os.sendfile(target, source.fileno(), done, min(source.size - done, 1 << 30))
        if not count:
            break
        done += count
    source.verify_unchanged()


def _compare(source: PinnedFile, found: str, wanted: str) -> None:
    if found != wanted:
        raise VerificationFailed(
            f"{escape(source.path)!r} changed before it could be copied",
            mismatches={escape(source.path): f"its sha256 is {found}, and {wanted} was judged"},
            where=Location(source.path),
            remedy="find who writes it, then load again",
        )
