"""`safeload scan --watch DIR`: one line for each file that arrives, until interrupted. Nothing is ever executed.

Exit codes: that of the worst file seen, when it is interrupted by Ctrl-C or SIGTERM; 2 if the folder cannot be watched.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from safeload.cli.output import coloured, note
from safeload.core.errors import SafeloadError, UsageError
from safeload.core.finding import FileReport, Status
from safeload.core.names import escape

_EVERY = 0.5
"""Seconds between two looks."""
_COLOUR = {Status.SAFE: "32", Status.UNVERIFIED: "33", Status.UNDECIDED: "35", Status.DANGEROUS: "1;31"}
_MEANT = frozenset({"paths", "watch", "run"})
"""What has a meaning here. Any other option, also one that is yet to come, is refused."""


def watch(parsed: argparse.Namespace, *, wait: Callable[[float], None] = time.sleep, settle: float = 2.0) -> int:
    """Scan new and changed files of a folder until interrupted; return the exit code of the worst.

    Raises:
        UsageError: an option is given that has no meaning here.
        SourceError: the folder cannot be watched.
    """
    from safeload.engine.watch import Watcher

    for name, value in vars(parsed).items():
        if value and name not in _MEANT:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"--watch does not go with {option}", why="it prints lines", remedy="leave one out")
    if len(parsed.paths) != 1:
        raise UsageError("nothing is watched", why="it watches one folder", remedy="safeload scan --watch DIR")
    (folder,) = parsed.paths
    watcher = Watcher(folder, settle=settle)
    note(f"watching {folder}; {watcher.before:,} files are there already, which safeload scan looks at")
    worst, count = Status.SAFE, 0
    with _until_terminated():
        try:
            while True:
                for path in watcher.look(time.monotonic()):
                    worst, count = max(worst, _line(path, folder)), count + 1
                wait(_EVERY)
        except KeyboardInterrupt:
            note(f"{count:,} files scanned")
    return worst.exit_code


def _line(path: str, folder: str) -> Status:
    """Scan one file and print its line: the status, the name, and the worst that was found."""
    from safeload.engine.scan import scan

    name = os.path.relpath(path, folder)
    try:
        files = scan(path).files
    except SafeloadError as error:
        _print(Status.UNDECIDED, name, error.why or error.what)
        return Status.UNDECIDED
    if len(files) != 1:  # a folder took its place
        _print(Status.UNDECIDED, name, "it is no longer the file that arrived")
        return Status.UNDECIDED
    _print(files[0].status, name, _worst(files[0]))
    return files[0].status


def _worst(file: FileReport) -> str:
    if not file.findings:
        return file.format
    found = max(file.findings, key=lambda finding: (finding.status, finding.severity))
    return f"{found.message} [{found.rule}]"


def _print(status: Status, name: str, words: str) -> None:
    on, off = (f"\x1b[{_COLOUR[status]}m", "\x1b[0m") if coloured(sys.stdout) else ("", "")
    print(f"{on}{status!s:<10}{off} {escape(name, 1_000)}  {escape(words, 1_000)}", flush=True)


@contextmanager
def _until_terminated() -> Iterator[None]:
    """Make SIGTERM end the watch as Ctrl-C does, so that a service manager gets the exit code."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
