"""A tripwire for approved code: while it loads, what no policy lists is stopped, and remembered.

1. The interpreter reports what happens (PEP 578); an event counts if approved code caused it: its frame is met, going
   outward, before that of an import of anything else. What an installed library does while it is imported is its own.
2. Every thread is watched: code that starts a thread has its frames there.
3. What was stopped is remembered, and raised at the end even if the code caught the error.

Not promised: that it holds against code that wants to get out. Python in the same process can find the list of what is
allowed, or reach native code in ways that raise no event. It is there to notice what an auditor overlooked.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NoReturn, cast

from safeload.core.errors import PolicyDenied
from safeload.core.finding import Report
from safeload.core.names import escape
from safeload.core.policy import Reason, Verdict
from safeload.engine.approved import is_source
from safeload.engine.seatbelt import installed, worn

_EVENTS: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty",
            "os.startfile", "pty.spawn", "os.kill", "os.killpg", "signal.pthread_kill",
        ),
        "process",
    ),
    **dict.fromkeys(
        (
            "socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname",
            "socket.gethostbyaddr", "socket.sendto", "socket.sendmsg", "urllib.Request", "webbrowser.open",
            "ftplib.connect", "smtplib.connect", "http.client.connect", "imaplib.open", "poplib.connect",
        ),
        "network",
    ),
    **dict.fromkeys(
        (
            "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.chmod", "os.chown", "os.link", "os.symlink",
            "os.truncate", "os.utime", "os.setxattr", "os.removexattr", "shutil.copyfile", "shutil.copymode",
            "shutil.copytree", "shutil.move", "shutil.rmtree", "shutil.make_archive", "shutil.unpack_archive",
            "tempfile.mkstemp", "tempfile.mkdtemp", "sqlite3.connect",
        ),
        "file-write",
    ),
    **dict.fromkeys(("os.listdir", "os.scandir", "os.getxattr", "os.listxattr"), "file-read"),
    **dict.fromkeys(("os.putenv", "os.unsetenv"), "environment"),
    **dict.fromkeys(("ctypes.dlopen", "ctypes.dlsym", "ctypes.call_function", "ctypes.cdata"), "native"),
    **dict.fromkeys(("pickle.find_class", "marshal.loads", "marshal.load"), "deserialisation"),
}  # fmt: skip
_PATHS = (str, bytes, type(Path()))
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_lock = threading.Lock()
_set: tuple[Tripwire, ...] = ()
_hooked = False


class Tripwire(AbstractContextManager["Tripwire"]):
    """Context manager around the load of approved code.

    Args:
        reference: what the user asked to load, for messages.
        packages: the packages of the approved code, each with what it may do.
        readable: directories that it may read from: the admitted ones.

    Raises:
        PolicyDenied: on leaving, if anything was stopped; every act is one of its reasons.
    """

    def __init__(
        self, reference: str, packages: Mapping[str, frozenset[str]], readable: Iterable[str | os.PathLike[str]] = ()
    ) -> None:
        self.reference = reference
        self._packages = packages
        self._readable = tuple(os.path.abspath(root) for root in readable)
        self._stopped: dict[Reason, None] = {}

    def __enter__(self) -> Tripwire:
        global _set, _hooked
        with _lock:
            if not _hooked:
                sys.addaudithook(_hook)
                _hooked = True
            _set = (*_set, self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        global _set
        with _lock:
            _set = tuple(one for one in _set if one is not self)
        if isinstance(error, PolicyDenied) and self._stopped.keys() <= set(error.verdict.denials()):
            return
        if self._stopped and (error is None or isinstance(error, Exception)):
            raise self._denied(tuple(self._stopped)) from error

    def judge(self, event: str, arguments: tuple[Any, ...], frame: FrameType | None) -> None:
        """Stop an event, if approved code caused it and may not."""
        capability = _EVENTS.get(event) or (_of_open(arguments) if event == "open" else "")
        if not capability:
            return
        module = self._cause(frame)
        if module is None:
            return
        package = ".".join(module.split(".", 2)[:2])
        if capability in self._packages[package]:
            return
        if capability == "file-read" and self._may_read(arguments[0] if arguments else None):
            return
        first = arguments[0] if arguments else ""
        shown = escape(str(first), 80) if type(first) in (*_PATHS, int) else f"a {escape(type(first).__name__)}"
        self._stop(capability, f"{event}({shown})", module)

    def _cause(self, frame: FrameType | None) -> str | None:
        """The module of approved code that an event is the doing of."""
        while frame is not None:
            name = dict.get(frame.f_globals, "__name__")
            if type(name) is str and ".".join(name.split(".", 2)[:2]) in self._packages:
                return name
            if frame.f_code.co_filename.startswith("<frozen importlib._bootstrap"):
                return None
            frame = frame.f_back
        return None

    def _may_read(self, path: object) -> bool:
        if path is None or isinstance(path, int):
            return True  # the working directory, or what is open already
        if type(path) not in _PATHS:
            return False  # an object of the code's own may say one thing here and another one there
        given = os.path.abspath(os.fsdecode(cast("str", path)))
        if given == os.devnull or is_source(given):
            return True  # inspect, warnings and torch.jit look at the source
        if any(_within(given, root) for root in self._readable):
            return True  # what safeload wrote; its links are safeload's own
        real = os.path.realpath(given)
        # Packages are looked up by listing where they could be, and by reading what pip wrote of them.
        looked_up = real in {os.path.realpath(entry) for entry in sys.path}
        described = os.path.dirname(real).endswith((".dist-info", ".egg-info"))
        return looked_up or described or any(_within(real, root) for root in installed())

    def _stop(self, capability: str, act: str, module: str) -> NoReturn:
        reason = Reason(
            f"the approved code tried to do what no policy lists, {capability}: {act} in {escape(module)}",
            f"read it again; if it may: [remote-code] capabilities = [{capability!r}]",
        )
        self._stopped[reason] = None
        denial = self._denied((reason,))
        if (belt := worn()) is not None:
            belt.remember(denial)
        raise denial

    def _denied(self, reasons: tuple[Reason, ...]) -> PolicyDenied:
        return PolicyDenied(
            f"loading {escape(self.reference)!r} was stopped half way",
            verdict=Verdict("capabilities", allowed=False, reasons=reasons),
            report=Report(target=self.reference),
        )


def _within(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)


def _of_open(arguments: tuple[Any, ...]) -> str:
    path, mode, flags = (*arguments, None, None, None)[:3]
    if type(path) is int:
        return ""
    writes = any(letter in mode for letter in "wax+") if isinstance(mode, str) else bool(int(flags or 0) & _WRITES)
    if writes and type(path) in _PATHS and os.fsdecode(path) == os.devnull:
        return ""
    return "file-write" if writes else "file-read"


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    # It cannot be removed, so while no tripwire is set it must cost nothing and see nothing.
    if _set and (event == "open" or event in _EVENTS):
        for one in _set:
            one.judge(event, arguments, sys._getframe(1))
