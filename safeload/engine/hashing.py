"""Digests of many files at once: in parallel by file, the largest first, in windows of one megabyte.

What was digested before and cannot have changed is not read again; see `sources.digest_memo`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, nullcontext
from typing import NamedTuple

from safeload.core.errors import VerificationFailed
from safeload.sources.digest_memo import DigestMemo
from safeload.sources.hashers import new_hasher
from safeload.sources.pinned import WINDOW, PinnedFile
from safeload.trust.manifest import Piece

_PARALLEL_FROM = 4 << 20
"""Bytes in all from which threads pay."""


class Progress(NamedTuple):
    """How far a digest of many files is: bytes done, and bytes in all."""

    done: int
    total: int

    def __str__(self) -> str:
        return f"{self.done / self.total:.0%}" if self.total else "100%"


class PinnedDigests:
    """The digests of files that somebody opens: a `trust.signatures.DigestSource`.

    Args:
        read: opens a file by its path; it may give the same one again.
        memo: remembers digests of unchanged files.
        close: whether each file is closed once it was read, so that no more are open than threads.
        sizes: what sizes files are said to have, for the order of the work; those of the open files, if absent.
        known: sha256 of files that were digested already, by path.
        progress: called from any thread after each file.
    """

    def __init__(
        self,
        read: Callable[[str], PinnedFile],
        memo: DigestMemo | None = None,
        *,
        close: bool = False,
        sizes: Mapping[str, int] | None = None,
        known: Mapping[str, str] | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self._read = read
        self._memo = memo
        self._close = close
        self._sizes = sizes
        self._known = known or {}
        self._progress = progress

    def size(self, path: str) -> int:
        """The size of a file as it was opened."""
        with self._opened(path) as file:
            return file.size

    def _opened(self, path: str) -> AbstractContextManager[PinnedFile]:
        file = self._read(path)
        return closing(file) if self._close else nullcontext(file)

    def sha256(self, paths: Iterable[str]) -> dict[str, str]:
        """The sha256 of whole files, by path. Raises as `digests` does."""
        found = self.digests([Piece(path) for path in paths])
        return {piece.path: digest for piece, digest in found.items() if digest is not None}

    def digests(self, pieces: Collection[Piece]) -> dict[Piece, str | None]:
        """See `DigestSource.digests`. Every file is read once at most, whatever is asked about it.

        Raises:
            VerificationFailed: files changed while they were read; every one of them.
            SourceError: a file cannot be opened or read.
            UsageError: a library for an algorithm is not installed.
        """
        found: dict[Piece, str | None] = {}
        by_path: dict[str, list[Piece]] = {}
        for piece in pieces:
            if piece.end is None and piece.algorithm == "sha256" and piece.path in self._known:
                found[piece] = self._known[piece.path]
            else:
                by_path.setdefault(piece.path, []).append(piece)
        sizes = {path: self.size(path) if self._sizes is None else self._sizes.get(path, 0) for path in by_path}
        order = sorted(by_path, key=lambda path: sizes[path], reverse=True)
        total = sum(sizes.values())
        mismatches: dict[str, str] = {}
        done = 0

        def one(path: str) -> dict[Piece, str | None]:
            nonlocal done
            try:
                result = self._file(path, by_path[path])
            except VerificationFailed as error:
                mismatches.update(error.mismatches)
                return {}
            done += sizes[path]
            if self._progress is not None:
                self._progress(Progress(done, total))
            return result

        for result in _in_parallel(one, order, total):
            found.update(result)
        if mismatches:
            raise VerificationFailed(
                f"{len(mismatches)} files changed while they were read",
                mismatches=dict(sorted(mismatches.items())),
                remedy="find who writes them, then try again",
            )
        return found

    def _file(self, path: str, pieces: list[Piece]) -> dict[Piece, str | None]:
        with self._opened(path) as file:
            whole = tuple(dict.fromkeys(piece.algorithm for piece in pieces if piece.end is None))
            digests = file.digests(whole, self._memo) if whole else {}
            return {
                piece: digests[piece.algorithm] if piece.end is None else _range(file, piece, piece.end)
                for piece in pieces
            }


def _range(file: PinnedFile, piece: Piece, end: int) -> str | None:
    if end > file.size:
        return None
    hasher = new_hasher(piece.algorithm, end - piece.start)
    buffer = memoryview(bytearray(min(WINDOW, end - piece.start)))
    offset = piece.start
    while offset < end:
        count = file.read_into(buffer[: min(len(buffer), end - offset)], offset)
        hasher.update(buffer[:count])
        offset += count
    file.verify_unchanged()
    return hasher.hexdigest()


def _in_parallel(
    work: Callable[[str], dict[Piece, str | None]], order: list[str], total: int
) -> Iterable[dict[Piece, str | None]]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cores == 1 or len(order) < 2 or total < _PARALLEL_FROM:
        yield from map(work, order)
        return
    with ThreadPoolExecutor(min(cores, len(order)), thread_name_prefix="safeload-digest") as pool:
        try:
            yield from pool.map(work, order)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # nobody will look at the rest
            raise
