"""Many files at once: every core has a process of its own that reads files and sends back reports.

1. This process opens the files, by the rules of their snapshot, and hands over open descriptors.
2. A worker is a fresh interpreter with the same program, nothing inherited but its two channels. Only JSON comes back,
   read strictly: a worker that was taken over by a file could lie about that file and those it gets later, no more.
3. No file is lost: one whose worker ends, hangs or answers nonsense is undecided, and the others go to a new worker.
4. Reports come in the order of the paths, whoever made them.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from safeload.core.errors import SafeloadError, SourceError, UsageError
from safeload.core.finding import FileReport, Status
from safeload.core.limits import Limits
from safeload.engine.carry import unpacked
from safeload.engine.looked import shown, unreadable
from safeload.engine.worker import BATCH, MESSAGE
from safeload.sources.base import Snapshot
from safeload.sources.failures import os_failure
from safeload.sources.pinned import PinnedFile

PATIENCE = 600.0
"""Seconds that one file may take."""
_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[3:]; from safeload.engine.worker import serve; "
    "serve(int(sys.argv[1]), int(sys.argv[2]))"
)
_CHUNK = 1 << 16
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
    """The report on each of these files, in their order. `done` is called after each, from one thread at a time;
    `opened` with each file before it is read, from any thread.

    Raises:
        UsageError: processes cannot be started from here.
    """
    if not sys.executable:
        raise UsageError(
            "workers were not started", why="nobody says where Python itself is", remedy="scan with one worker"
        )
    job = _Job(snapshot, paths, limits, digests, done, opened)
    with ThreadPoolExecutor(workers, thread_name_prefix="safeload-scan") as pool:
        try:
            for task in [pool.submit(job.work) for _ in range(workers)]:
                task.result()
        finally:
            job.stop()
    return tuple(job.reports[path] for path in paths)


class _Job:
    """What all threads share. Each of them has one worker, feeds it, and takes its answers."""

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
        self._lock = threading.Lock()
        self._workers: set[_Worker] = set()
        self._over = False
        bounds = {name: getattr(limits, name) for name in Limits.__annotations__}
        self._asked = json.dumps({"limits": bounds, "digests": None if digests is None else int(digests)})

    def work(self) -> None:
        while self._waiting and not self._over:
            self._with_one_worker()

    def stop(self) -> None:
        """End every worker, whatever it does."""
        self._over = True
        with self._lock:
            for worker in self._workers:
                worker.process.kill()

    def _with_one_worker(self) -> None:
        """Until there is nothing left to do, or the worker ends."""
        worker = _Worker()
        with self._lock:
            self._workers.add(worker)
        sent: deque[str] = deque()
        try:
            while not self._over:
                while len(sent) <= BATCH and self._send(worker, sent):
                    pass
                if not sent:
                    return
                report = worker.answer(sent[0])
                if isinstance(report, str):
                    self._add(unreadable(sent.popleft(), _lost(report)))
                    with self._lock:
                        self._waiting.extendleft(reversed(sent))
                    return
                sent.popleft()
                self._add(report)
        finally:
            with self._lock:
                self._workers.discard(worker)
            worker.close()

    def _send(self, worker: _Worker, sent: deque[str]) -> bool:
        """Open and hand over a batch of files; say whether there was one."""
        files: list[PinnedFile] = []
        rows: list[str] = []
        paths: list[str] = []
        length = 0
        try:
            while len(files) < BATCH and length < MESSAGE // 4:
                with self._lock:
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
                paths.append(path)
                rows.append(f"[{_text(path)}, {_text(shown(self.snapshot, path))}]")
                length += len(rows[-1])
            if not files:
                return False
            # What could not be sent is not answered: `answer` notices that the worker is gone.
            message = f'{{"files": [{", ".join(rows)}], "asked": {self._asked}}}'
            worker.send(message.encode(), [file.fileno() for file in files])
            sent.extend(paths)
        finally:
            for file in files:
                file.close()
        return True

    def _add(self, report: FileReport) -> None:
        with self._lock:
            self.reports[report.path] = report
            if self.done is not None:
                self.done()


class _Worker:
    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._answers, writing = os.pipe()
        self._link, self._buffer = ours, b""
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        path = [root, *(folder for folder in sys.path if folder and folder != root)]
        command = [sys.executable, "-I", "-S", "-c", _PROGRAM, str(theirs.fileno()), str(writing)]
        try:
            # A session of its own: an interrupt is for this process, which then ends the workers.
            self.process = subprocess.Popen(
                [*command, *path],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), writing),
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            os.close(self._answers)
            raise os_failure(error, "a worker could not be started", path=sys.executable) from error
        finally:
            theirs.close()
            os.close(writing)

    def send(self, data: bytes, descriptors: list[int]) -> None:
        try:
            socket.send_fds(self._link, [data], descriptors)
        except OSError:
            self.process.kill()

    def answer(self, path: str) -> FileReport | str:
        """The report on this file, or why there is none."""
        while b"\n" not in self._buffer:
            if not select.select([self._answers], [], [], PATIENCE)[0]:
                return f"the process that read it gave no answer for {PATIENCE:.0f} seconds"
            data = os.read(self._answers, _CHUNK)
            if not data:
                return f"the process that read it {_ended(self.process.wait())}"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            report = unpacked(_read(line.decode()))
        except (ValueError, RecursionError):
            return "the process that read it answered with something else than a report"
        return report if report.path == path else "the process that read it answered about another file"

    def close(self) -> None:
        self._link.close()
        os.close(self._answers)
        self.process.kill()
        self.process.wait()


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def _lost(why: str) -> SourceError:
    return SourceError("a file was not read", why=why, remedy="scan it alone: safeload scan --workers 1 FILE")
