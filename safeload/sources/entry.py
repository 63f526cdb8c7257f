"""An entry of the store: a directory of regular files, and the record of what they were when it was made."""

from __future__ import annotations

import json
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from safeload.core.errors import UsageError, VerificationFailed
from safeload.core.names import Location, escape
from safeload.sources.digest_memo import DigestMemo, digest_all
from safeload.sources.filelock import FileLock
from safeload.sources.pinned import SHA256, PinnedFile, pin

Kind = Literal["admitted", "converted", "private"]
KINDS: tuple[Kind, ...] = get_args(Kind)
RECORD = "record.json"
_VERSION = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LONGEST_RECORD = 1 << 28


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One file of an entry."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What an entry is, and what it consists of."""

    kind: Kind
    key: str
    created: int
    """Seconds since 1970."""
    files: Mapping[str, Stored]
    about: Mapping[str, Any]
    """The maker's own JSON."""

    def check(self, files: str, memo: DigestMemo | None) -> None:
        """Compare the directory `files` with this record.

        Raises `VerificationFailed` listing every file that is missing, added or different, `SourceError` if a
        file cannot be read.
        """
        there = dict(_walk(files))
        mismatches = {escape(name): "it is not in the record" for name in there.keys() - self.files.keys()}
        pinned: list[PinnedFile] = []
        try:
            for name, stored in self.files.items():
                if name not in there:
                    mismatches[escape(name)] = "it is missing"
                elif there[name] != stored.size:
                    mismatches[escape(name)] = f"it has {there[name]} bytes, and had {stored.size}"
                else:
                    pinned.append(pin(files, name, name=name, allowed=lambda _: True))
            for name, digest in digest_all(pinned, memo).items():
                if digest != self.files[name].sha256:
                    mismatches[escape(name)] = f"its sha256 is {digest}, and was {self.files[name].sha256}"
        finally:
            for file in pinned:
                file.close()
        if mismatches:
            raise VerificationFailed(
                f"the store's {self.kind} entry {self.key} differs from its record",
                mismatches=mismatches,
                where=Location(files),
                remedy="safeload cache verify",
            )


class Entry:
    """An entry in use: `prune` leaves it alone until it is closed, or this process and its forks are gone.

    `path` is a directory with exactly the files of the record.
    """

    def __init__(self, path: str, record: Record, use: FileLock) -> None:
        self.path = path
        self.record = record
        self._use = use

    @property
    def about(self) -> Mapping[str, Any]:
        return self.record.about

    @property
    def files(self) -> Mapping[str, Stored]:
        return self.record.files

    def file(self, name: str) -> str:
        """The absolute path of one file."""
        return os.path.join(self.path, name)

    def close(self) -> None:
        """Say that it is no longer used. Twice is harmless."""
        self._use.release()

    def __enter__(self) -> Entry:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def record_of(
    files: str, kind: Kind, key: str, about: Mapping[str, Any], digests: Mapping[str, str], memo: DigestMemo
) -> Record:
    """Make every file below `files` read-only, and write down what is there.

    The digests are remembered until the machine restarts: nothing was forced to disk.
    """
    stored: dict[str, Stored] = {}
    for name, _ in _walk(files):
        os.chmod(os.path.join(files, name), 0o400)
        with pin(files, name, name=name, allowed=lambda _: True) as file:
            digest = digests.get(name) or file.sha256()
            memo.record(file, {SHA256: digest}, this_boot_only=True)
            stored[name] = Stored(size=file.size, sha256=digest)
    if missing := digests.keys() - stored.keys():
        raise UsageError(f"digests were given for files that are not there: {', '.join(map(escape, sorted(missing)))}")
    return Record(kind=kind, key=key, created=int(time.time()), files=stored, about=about)


def write_record(folder: str, record: Record) -> None:
    """Write `record.json` into `folder`. Raises `OSError`."""
    document = {
        "version": _VERSION,
        "kind": record.kind,
        "key": record.key,
        "created": record.created,
        "files": {name: {"size": file.size, "sha256": file.sha256} for name, file in record.files.items()},
        "about": record.about,
    }
    with open(os.path.join(folder, RECORD), "x", encoding="ascii") as stream:
        json.dump(document, stream)


def read_record(folder: str, kind: Kind, key: str) -> Record:
    """Read the record of the entry at `folder`.

    Raises `FileNotFoundError` if there is no entry, `VerificationFailed` if its record is missing or broken (the
    machine stopped before it reached the disk), another `OSError` if it cannot be read.
    """
    path = os.path.join(folder, RECORD)
    os.lstat(folder)
    try:
        with open(path, encoding="utf-8") as stream:
            data = json.loads(stream.read(_LONGEST_RECORD))
        files = {
            str(name): Stored(size=int(file["size"]), sha256=_digest(file["sha256"]))
            for name, file in data["files"].items()
        }
        if data["version"] != _VERSION or data["kind"] != kind or data["key"] != key:
            raise ValueError("it belongs to another entry")
        if not isinstance(data["about"], dict):
            raise ValueError("it is incomplete")
        return Record(kind=kind, key=key, created=int(data["created"]), files=files, about=data["about"])
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise VerificationFailed(
            f"the store's {kind} entry {key} has no usable record",
            mismatches={RECORD: escape(str(error))},
            where=Location(path),
            remedy="safeload cache verify",
        ) from error


def _digest(value: object) -> str:
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise ValueError("a digest is not one")
    return value


def _walk(top: str, prefix: str = "") -> Iterator[tuple[str, int]]:
    """Every regular file below `top` with its size; anything else does not belong into an entry."""
    pending = [prefix]
    while pending:
        folder = pending.pop()
        with os.scandir(os.path.join(top, folder)) as found:
            for item in found:
                name = f"{folder}{item.name}"
                info = item.stat(follow_symlinks=False)
                if stat.S_ISDIR(info.st_mode):
                    pending.append(name + "/")
                elif stat.S_ISREG(info.st_mode):
                    yield name, info.st_size
                else:
                    raise VerificationFailed(
                        "an entry of the store holds something other than files",
                        mismatches={escape(name): "it is not a regular file"},
                        where=Location(os.path.join(top, name)),
                        remedy="safeload cache verify",
                    )
