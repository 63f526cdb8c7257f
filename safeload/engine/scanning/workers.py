"""Many files at once: every core has a process of its own that reads files and sends back reports.

1. This process opens the files, by the rules of their snapshot, and hands over open descriptors.
2. A worker is a copy of this process (`forked`) or, where that cannot be made, a fresh interpreter with the same
   program. It has nothing open but its two channels. Only JSON comes back, read strictly: a worker that was taken over
   by a file could lie about that file and those it gets later, no more.
3. No file is lost: one whose worker ends, hangs or answers nonsense is undecided, and the others go to a new worker.
4. Reports come in the order of the paths, whoever made them. All is done in one thread, so that copies can be made.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from safeload.core.errors import SafeloadError, SourceError, UsageError
from safeload.core.finding import FileReport, Status
from safeload.core.limits import Limits
from safeload.engine.scanning.carry import unpacked
from safeload.engine.scanning.forked import Forked, is_single, prepare
from safeload.engine.scanning.looked import shown, unreadable
from safeload.engine.scanning.worker import BATCH, MESSAGE
from safeload.sources.base import Snapshot
from safeload.sources.failures import os_failure
from safeload.sources.pinned import PinnedFile

if TYPE_CHECKING:
    import subprocess

PATIENCE = 600.0
"""Seconds that one file may take."""
_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[3:]; from safeload.engine.scanning.worker import serve; "
    "serve(int(sys.argv[1]), int(sys.argv[2]))"
)
_CHUNK = 1 << 16
ROOM = MESSAGE // 2
"""Bytes on the way to one worker above which it gets no further message: the least socket holds two of the largest."""
_text = json.JSONEncoder().encode
_read = json.JSONDecoder().decode


def scan_in_parallel(
    snapshot: Snapshot,
    paths: Sequence[str],
    limits: Limits,
    *,
    workers: int,
    digests: Status | None = None,
    done: Callable[[], None] | None = None,
    opened: Callable[[str, PinnedFile], None] | None = None,
) -> tuple[FileReport, ...]:
    """The report on each of these files, in their order. `done` is called after each, `opened` with each file before it
    is read.

    Raises:
        SourceError: a process could not be started.
        UsageError: processes cannot be started from here.
    """
    job = _Job(snapshot, paths, limits, digests, done, opened)
    try:
        job.run(workers)
    finally:
        job.stop()
    return tuple(job.reports[path] for path in paths)


class _Job:
    """Every worker is fed, and its answers are taken, as soon as it has some."""

    def __init__(
        self,
        snapshot: Snapshot,
        paths: Sequence[str],
        limits: Limits,
        digests: Status | None,
        done: Callable[[], None] | None,
        opened: Callable[[str, PinnedFile], None] | None,
    ) -> None:
        self.snapshot, self.done, self.opened = snapshot, done, opened
        self.reports: dict[str, FileReport] = {}
        self._waiting = deque(paths)
        self._workers: set[_Worker] = set()
        bounds = {name: getattr(limits, name) for name in Limits.__annotations__}
        self._asked = json.dumps({"limits": bounds, "digests": None if digests is None else int(digests)})
        if is_single():
            prepare(paths, limits)

    def run(self, workers: int) -> None:
        for _ in range(workers):
            self._start()
        while self._workers:
            for worker in self._heard():
                self._take(worker)

    def stop(self) -> None:
        """End every worker, whatever it does."""
        while self._workers:
            self._workers.pop().close()

    def _start(self) -> None:
        """One more worker, if there is something left for it."""
        if self._waiting:
            worker = _Worker(copy=is_single())
            self._workers.add(worker)
            self._feed(worker)

    def _end(self, worker: _Worker) -> None:
        self._workers.discard(worker)
        worker.close()

    def _feed(self, worker: _Worker) -> None:
        """Give a worker enough to do; end it if there is nothing.

        Never more than its socket holds: whoever waits until there is room takes no answers, and so may wait for ever.
        """
        while len(worker.sent) <= BATCH and sum(size for _, size in worker.sent) < ROOM and self._send(worker):
            pass
        if not worker.sent:
            self._end(worker)

    def _heard(self) -> Iterator[_Worker]:
        """The workers that said something or ended, or of which nobody heard for too long."""
        first = min(worker.since for worker in self._workers)
        wait = max(0.0, first + PATIENCE - time.monotonic())
        ready, _, _ = select.select(self._workers, [], [], wait)
        now = time.monotonic()
        for worker in ready:
            worker.read(now)
        for worker in self._workers.difference(ready):
            if worker.since + PATIENCE <= now:
                worker.wrong = f"the process that read it gave no answer for {PATIENCE:.0f} seconds"
                ready.append(worker)
        yield from ready

    def _take(self, worker: _Worker) -> None:
        """Take the answers that are there. A worker with which something is wrong is replaced, and one file lost."""
        while worker.sent:
            report = worker.answer()
            if report is None:
                break
            worker.sent.popleft()
            self._add(report)
        if not worker.wrong or not worker.sent:
            self._feed(worker)
            return
        (lost, _), *rest = worker.sent
        self._add(unreadable(lost, _lost(worker.wrong)))
        self._waiting.extendleft(path for path, _ in reversed(rest))
        self._end(worker)
        self._start()

    def _send(self, worker: _Worker) -> bool:
        """Open and hand over a batch of files; say whether there was one."""
        files: list[PinnedFile] = []
        rows: list[str] = []
        sent: list[tuple[str, int]] = []
        length = 0
        try:
            while len(files) < BATCH and length < MESSAGE // 4:
                if not self._waiting:
                    break
                path = self._waiting.popleft()
                try:
                    files.append(self.snapshot.open(path))
                except SafeloadError as error:
                    self._add(unreadable(path, error))
                    continue
                if self.opened is not None:
                    self.opened(path, files[-1])
                rows.append(f"[{_text(path)}, {_text(shown(self.snapshot, path))}]")
                sent.append((path, len(rows[-1])))
                length += len(rows[-1])
            if not files:
                return False
            # What could not be sent is not answered: `answer` notices that the worker is gone.
            message = f'{{"files": [{", ".join(rows)}], "asked": {self._asked}}}'
            worker.send(message.encode(), [file.fileno() for file in files])
            worker.sent.extend(sent)
        finally:
            for file in files:
                file.close()
        return True

    def _add(self, report: FileReport) -> None:
        self.reports[report.path] = report
        if self.done is not None:
            self.done()


class _Worker:
    def __init__(self, *, copy: bool) -> None:
        if not copy and not sys.executable:
            raise UsageError(
                "workers were not started", why="nobody says where Python itself is", remedy="scan with one worker"
            )
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._answers, writing = os.pipe()
        self._link, self._buffer = ours, b""
        self.sent: deque[tuple[str, int]] = deque()
        """Files that it was given and did not answer yet, each with the bytes that its names take in a message."""
        self.since = time.monotonic()
        """When it was last heard of."""
        self.wrong = ""
        """Why the next file gets no answer."""
        ours.settimeout(PATIENCE)
        try:
            self.process = Forked(theirs.fileno(), writing) if copy else _fresh(theirs.fileno(), writing)
        except OSError as error:
            ours.close()
            os.close(self._answers)
            raise os_failure(error, "a worker could not be started", path=sys.executable) from error
        finally:
            theirs.close()
            os.close(writing)

    def fileno(self) -> int:
        return self._answers

    def send(self, data: bytes, descriptors: list[int]) -> None:
        try:
            socket.send_fds(self._link, [data], descriptors)
        except OSError:
            self.process.kill()

    def read(self, now: float) -> None:
        """Take what it wrote; it did, or ended."""
        self.since = now
        data = os.read(self._answers, _CHUNK)
        self._buffer += data
        if not data:
            self.wrong = f"the process that read it {_ended(self.process.wait())}"

    def answer(self) -> FileReport | None:
        """The report on the file that it was given first, if it is there and right."""
        line, end, rest = self._buffer.partition(b"\n")
        if not end:
            return None
        self._buffer = rest
        try:
            report = unpacked(_read(line.decode()))
        except (ValueError, RecursionError):
            self.wrong = "the process that read it answered with something else than a report"
            return None
        if report.path != self.sent[0][0]:
            self.wrong = "the process that read it answered about another file"
            return None
        return report

    def close(self) -> None:
        self._link.close()
        os.close(self._answers)
        self.process.kill()
        self.process.wait()


def _fresh(channel: int, answers: int) -> subprocess.Popen[bytes]:
    """A worker that shares nothing with this process. Raises `OSError` if it cannot be started."""
    import subprocess

    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    path = [root, *(folder for folder in sys.path if folder and folder != root)]
    # A session of its own: an interrupt is for this process, which then ends the workers.
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _PROGRAM, str(channel), str(answers), *path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=(channel, answers),
        start_new_session=True,
    )


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def _lost(why: str) -> SourceError:
    return SourceError("a file was not read", why=why, remedy="scan it alone: safeload scan --workers 1 FILE")
