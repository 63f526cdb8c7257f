"""A worker that is a copy of this process: it begins with everything loaded, and costs a few milliseconds.

A copy is only made of a process with a single thread: locks that others hold would never be given back in it. What the
copy could reach it lets go first: every descriptor but its two channels, the session, and handlers of signals. It never
returns into the program that it was copied from.
"""

from __future__ import annotations

import fcntl
import gc
import os
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress

from safeload.core.blob import MemoryBlob
from safeload.core.limits import Limits
from safeload.engine.inspect import inspect
from safeload.engine.scanning.worker import serve

_THREADS, _DESCRIPTORS = "/proc/self/task", "/proc/self/fd"
_PICKLE = b"\x80\x02ccollections\nOrderedDict\n)R."
_ARCHIVE = b"PK\5\6" + bytes(18)
_SAMPLES = {
    ".json": (b'{"model_type": "bert"}',),
    ".safetensors": (b"\2" + bytes(7) + b"{}",),
    **dict.fromkeys((".pkl", ".pickle", ".joblib"), (_PICKLE,)),
    **dict.fromkeys((".pt", ".pth", ".bin", ".ckpt"), (_PICKLE, _ARCHIVE)),
}
"""By suffix, files of ours that need what others of that suffix will need."""


def is_single() -> bool:
    """Whether this process has one thread, also of those that Python does not know. Linux says so; no other system."""
    try:
        return len(os.listdir(_THREADS)) == 1
    except OSError:
        return False


def prepare(paths: Iterable[str], limits: Limits) -> None:
    """Load what files with these names need, by reading ours: what is there when copies are made, no copy loads."""
    for suffix in {os.path.splitext(path)[1] for path in paths}:
        for data in _SAMPLES.get(suffix, ()):
            inspect(MemoryBlob(data), f"sample{suffix}", limits)


class Forked:
    """A copy of this process that serves these two descriptors, as `subprocess.Popen` would describe it."""

    def __init__(self, channel: int, answers: int) -> None:
        """Raises `OSError`: the system makes no more processes."""
        self.pid = os.fork()
        self._code: int | None = None
        if not self.pid:
            _serve(channel, answers)

    def kill(self) -> None:
        if self._code is None:
            os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Its exit code, negative for a signal; 0 if somebody else in this process was told."""
        if self._code is None:
            try:
                self._code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            except ChildProcessError:
                self._code = 0
        return self._code


def _serve(channel: int, answers: int) -> None:
    """All that the copy does. It ends here, whatever happens."""
    code = 1
    try:
        gc.freeze()  # what was there before is not searched for garbage: that would copy its memory
        os.setsid()  # an interrupt is for the process that it was copied from
        for asked in (signal.SIGINT, signal.SIGTERM):
            signal.signal(asked, signal.SIG_DFL)
        channel, answers = (fcntl.fcntl(one, fcntl.F_DUPFD, 3) for one in (channel, answers))
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1):
            os.dup2(nothing, standard)
        for number in map(int, os.listdir(_DESCRIPTORS)):
            if number > 2 and number not in (channel, answers):
                with suppress(OSError):  # that of the listing is closed already
                    os.close(number)
        serve(channel, answers)
        code = 0
    finally:
        if code:
            sys.excepthook(*sys.exc_info())
        os._exit(code)
