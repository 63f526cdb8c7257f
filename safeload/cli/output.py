"""What commands share: errors, notes and waiting, on standard error; colour only on a terminal."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from safeload.core.errors import SafeloadError, UsageError
from safeload.core.names import escape

if TYPE_CHECKING:
    from rich.progress import Progress

_CLEAR = "\r\x1b[2K"


def coloured(stream: TextIO) -> bool:
    """Whether colour may be written there: a terminal, and nobody set `NO_COLOR` (no-color.org) or `TERM=dumb`."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def show_error(error: SafeloadError) -> None:
    """Write an error in its four parts: what was stopped, where, why, and what to do next."""
    bold, dim, end = ("\x1b[1;31m", "\x1b[2m", "\x1b[0m") if coloured(sys.stderr) else ("", "", "")
    print(f"safeload: {bold}{_clean(error.what)}{end}", file=sys.stderr)
    for label, text in (("where:", str(error.where)), ("why:", error.why), ("next:", error.remedy)):
        for index, line in enumerate(text.splitlines()):
            print(f"  {dim}{label if index == 0 else '':<6}{end} {_clean(line.strip())}", file=sys.stderr)


def _clean(text: str) -> str:
    return escape(text, limit=4_000)


def note(text: str) -> None:
    """Write one line that is not the command's result."""
    print(f"safeload: {escape(text, limit=2_000)}", file=sys.stderr)


@contextmanager
def waiting(what: str, *, after: float = 1.0) -> Iterator[Callable[[str], None]]:
    """On a terminal, say what takes so long, once it has taken a second; nothing remains of it afterwards.

    Yields a function that says how far it is.
    """
    how_far = [""]

    def tell(text: str) -> None:
        how_far[0] = text

    if not sys.stderr.isatty():
        yield tell
        return
    import threading

    done = threading.Event()

    def show() -> None:
        seconds = after
        if done.wait(after):
            return
        while not done.wait(0.2):
            seconds += 0.2
            sys.stderr.write(f"{_CLEAR}{escape(what)} … {escape(how_far[0])}{seconds:.0f} s")
            sys.stderr.flush()
        sys.stderr.write(_CLEAR)
        sys.stderr.flush()

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield tell
    finally:
        done.set()
        thread.join()


@contextmanager
def scanning(what: str, *, after: float = 1.0) -> Iterator[Callable[[int, int], None] | None]:
    """On a terminal, a bar over files, once it has taken a second; nothing remains of it. Yields what moves it."""
    if not sys.stderr.isatty():
        yield None
        return
    import threading

    bar = _Bar(what)
    if os.path.isdir(what):  # without a thread, so that workers can be copies of this process
        bar.due = time.monotonic() + after
        try:
            yield bar.move
        finally:
            bar.end()
        return
    timer = threading.Timer(after, bar.show)
    timer.daemon = True
    timer.start()
    try:
        yield bar.move
    finally:
        timer.cancel()
        bar.end()


class _Bar:
    """A bar that may be moved before it is shown, and ended without having been."""

    def __init__(self, what: str) -> None:
        import threading

        self._what = what
        self._lock = threading.Lock()
        self._at: tuple[int, int | None] = (0, None)
        self._over = False
        self._shown: Progress | None = None
        self.due: float | None = None
        """When moving it shows it, if nothing else does."""

    def move(self, done: int, total: int) -> None:
        if self.due is not None and time.monotonic() >= self.due:
            self.due = None
            self.show()
        with self._lock:
            self._at = (done, total)
            if self._shown is not None:
                self._shown.update(self._shown.task_ids[0], completed=done, total=total)

    def show(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        text = TextColumn(f"scanning {escape(self._what, 60)}", markup=False)
        columns = (text, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with self._lock:
            if not self._over:
                self._shown = Progress(*columns, console=Console(stderr=True), transient=True)
                self._shown.add_task("", completed=self._at[0], total=self._at[1])
                self._shown.start()

    def end(self) -> None:
        with self._lock:
            self._over = True
            if self._shown is not None:
                self._shown.stop()


@contextmanager
def replaced(path: str) -> Iterator[TextIO]:
    """A stream whose text is the file at `path` when the block ends, and of which nothing remains if it fails.

    Raises:
        UsageError: the file cannot be written there.
    """
    whole = os.path.realpath(path)
    if os.path.lexists(whole) and not os.path.isfile(whole):
        raise UsageError(
            f"{escape(path)} was not written", why="it is no regular file", remedy="name another file, or leave -o out"
        )
    draft = ""
    try:
        import tempfile

        descriptor, draft = tempfile.mkstemp(prefix=".safeload-", dir=os.path.dirname(whole))
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
            yield stream
            stream.flush()
            os.fsync(descriptor)
        os.chmod(draft, 0o666 & ~_umask())
        os.replace(draft, whole)
    except OSError as error:
        _remove(draft)
        raise UsageError(
            f"{escape(path)} was not written", why=error.strerror or str(error), remedy="name another file"
        ) from error
    except BaseException:
        _remove(draft)
        raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):  # it has its name by now, or why it was not written is what counts
        os.unlink(path)
