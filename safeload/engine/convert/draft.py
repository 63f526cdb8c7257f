"""Files that appear whole or not at all: written under a temporary name, forced to disk, read back, then renamed.

Several output files are made in a hidden directory beside where they will stand. Each finished one has a note of its
digests there, so that a conversion that was killed goes on with the next; after an error nothing remains.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import replace

from safeload.core.errors import SafeloadError, UsageError, VerificationFailed
from safeload.core.names import Location, escape
from safeload.engine.convert.conversion import ConvertedFile
from safeload.engine.convert.conveyor import Carried, Made, Planned, Progress, carry, digest_of
from safeload.sources.failures import os_failure

_NOTE = ".digests.json"


class Draft:
    """A hidden directory in `folder`, for this user and one process only.

    Args:
        folder: where the files will stand; it exists.
        stem: what the output is called, so that the next attempt finds the same directory.
        plan: what is made, as text: files of another plan are not reused.
    """

    def __init__(self, folder: str, stem: str, plan: str) -> None:
        self.folder = folder
        self.path = os.path.join(folder, f".{stem}.safeload-part")
        self.plan = hashlib.sha256(plan.encode()).hexdigest()
        self._descriptor = -1

    def open(self) -> None:
        try:
            with contextlib.suppress(FileExistsError):  # whose it is, is looked at next
                os.mkdir(self.path, 0o700)
            found = os.lstat(self.path)
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o77:
                raise UsageError(
                    "nothing was converted",
                    where=Location(self.path),
                    why="this is where unfinished conversions lie, and others may write to it",
                    remedy="remove it, or convert to another directory",
                )
            self._descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._forget_other_plans()
        except BlockingIOError:
            os.close(self._descriptor)
            raise UsageError(
                "nothing was converted",
                where=Location(self.path),
                why="another process converts to the same place",
                remedy="wait for it to end",
            ) from None
        except OSError as error:
            self.leave()
            raise os_failure(error, "the output could not be written", path=self.folder) from error

    def _forget_other_plans(self) -> None:
        """Remove all but finished files of this plan. Somebody may have put anything under this name."""
        with os.scandir(self.path) as found:
            for item in list(found):
                if item.is_dir(follow_symlinks=False):
                    shutil.rmtree(item.path)
                elif not item.name.startswith(f"{self.plan[:16]}-") or item.name.endswith(".part"):
                    os.unlink(item.path)

    def place(self, name: str) -> str:
        """Where a file of this plan lies until it is published."""
        return os.path.join(self.path, f"{self.plan[:16]}-{name}")

    def discard(self) -> None:
        """Remove the directory and what is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.leave()

    def held(self) -> int:
        """Bytes of the files that an earlier attempt finished."""
        return sum(os.lstat(os.path.join(self.path, name)).st_size for name in os.listdir(self.path))

    def leave(self) -> None:
        """Keep what is finished for the next attempt."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


@contextlib.contextmanager
def drafting(folder: str, stem: str, plan: str) -> Iterator[Draft]:
    """A draft that is gone afterwards, except after an interruption: then its finished files stay.

    Raises:
        SourceError: the directory cannot be written.
        UsageError: another process converts to the same place.
    """
    draft = Draft(folder, stem, plan)
    draft.open()
    try:
        yield draft
    except (SafeloadError, OSError) as error:
        draft.discard()
        if isinstance(error, OSError):
            raise os_failure(error, "the output could not be written", path=folder) from error
        raise
    except BaseException:
        draft.leave()
        raise
    draft.discard()


def require_space(folder: str, wanted: int) -> None:
    """Raise `SourceError` unless `folder` has room for so many bytes."""
    try:
        found = os.statvfs(folder)
    except OSError as error:
        raise os_failure(error, "the output could not be written", path=folder) from error
    free = found.f_bavail * found.f_frsize
    if free < wanted:
        full = OSError(errno.ENOSPC, f"{wanted:,} bytes are needed and {free:,} are free")
        raise os_failure(full, "nothing was converted", path=os.path.join(folder, ""))


def make(
    draft: Draft, planned: Planned, progress: Progress | None = None, *, each: bool = True, several: bool = True
) -> Made:
    """Write one tensor file into the draft, force it to disk and read it back; or find that this was done before.

    `each` asks for the digest of every tensor. `several` says that other files follow, so that this one is worth a
    note for the next attempt.

    Raises:
        SourceError: the file system refused.
        VerificationFailed: what was read back is not what was written.
        MalformedInput: the source became shorter.
    """
    path = draft.place(planned.name)
    note = _note(path, planned, each)
    carried = _again(path, planned, note, progress) if note is not None else _write(path, planned, progress, each)
    if carried.wrong:
        raise VerificationFailed(
            f"{escape(planned.name)!r} was not converted: what was read back differs from what was written",
            mismatches={escape(name): "its bytes differ" for name in carried.wrong},
            where=Location(path),
            remedy="check the disk, then try again",
        )
    if several:
        write_small(path + _NOTE, json.dumps([carried.sha256, carried.digests]).encode())
    file = ConvertedFile(path=planned.name, size=planned.size, sha256=carried.sha256)
    return Made(file=file, digests=carried.digests)


def _note(path: str, planned: Planned, each: bool) -> Carried | None:
    """What an earlier attempt said about the file that it finished, if it did."""
    try:
        with open(path + _NOTE, encoding="utf-8") as stream:
            whole, digests = json.load(stream)
        wanted = {slot.name for slot in planned.slots} if each else set()
        if os.path.getsize(path) == planned.size and set(digests) == wanted:
            return Carried(whole, digests, [])
    except (FileNotFoundError, ValueError, TypeError):
        return None  # no attempt got that far, or it broke off while it wrote: the file is made anew
    return None


def _again(path: str, planned: Planned, note: Carried, progress: Progress | None) -> Carried:
    """A file of an earlier attempt, if it is still what its note says."""
    same = digest_of(path, progress) == note.sha256
    return note if same else replace(note, wrong=[planned.name])


def _write(path: str, planned: Planned, progress: Progress | None, each: bool) -> Carried:
    part = path + ".part"
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        carried = carry(descriptor, planned, each=each, progress=progress)
    finally:
        os.close(descriptor)
    os.rename(part, path)
    return carried


def write_small(path: str, data: bytes) -> None:
    """Write a small file whole, or not at all."""
    part = f"{path}.part"
    with open(part, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    os.rename(part, path)


def publish(draft: Draft, guarded: Sequence[str], notes: Sequence[str], *, replace: bool) -> None:
    """Give the finished files their names: first the `notes` about the output, which may replace older ones, then the
    `guarded` files in their order, the last of which is what makes the others count.

    Raises:
        UsageError: a guarded one is there already, and `replace` is false; then none was published.
        SourceError: the file system refused; then none was published, and what was to be replaced is there again.
    """
    require_absent(draft.folder, guarded, replace=replace)
    published: list[tuple[str, str]] = []
    try:
        for name in [*notes, *guarded]:
            target, older = os.path.join(draft.folder, name), f"{draft.place(name)}.older.part"
            with contextlib.suppress(OSError):  # there is none, or this file system has no second names
                os.link(target, older, follow_symlinks=False)
            _rename(draft.place(name), target, replace=replace or name in notes)
            published.append((target, older))
        descriptor = os.open(draft.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        for target, older in published:
            os.rename(older, target) if os.path.lexists(older) else os.unlink(target)
        raise os_failure(error, "the output could not be written", path=draft.folder) from error


def _rename(source: str, target: str, *, replace: bool) -> None:
    """Give a file its final name. Where nothing may be replaced, a file that appeared meanwhile stays."""
    if not replace:
        try:
            os.link(source, target)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
                raise
        else:
            os.unlink(source)
            return
    os.rename(source, target)


def require_absent(folder: str, names: Sequence[str], *, replace: bool) -> None:
    """Raise `UsageError` if one of these files is there already."""
    there = [] if replace else [name for name in names if os.path.lexists(os.path.join(folder, name))]
    if there:
        raise UsageError(
            f"{escape(there[0])!r} is there already",
            where=Location(os.path.join(folder, there[0])),
            why="a conversion replaces nothing unless it is asked to",
            remedy="--into another place, or --force to replace it",
        )
