"""What commands share: errors, notes and waiting, on standard error; colour only on a terminal."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from safeload.core.errors import SafeloadError
from safeload.core.names import escape

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
