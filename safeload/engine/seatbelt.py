"""Tripwires around one call of a genuine library: what must not happen during a load does not happen.

The admitted directory is the wall; this is the belt. While a `Seatbelt` is worn, in its thread or task only:

1. nothing is unpickled by name, no code from a model or a module cache is executed or linked in;
2. no connection is opened, no name is looked up, no command is started, no question is put to the user;
3. functions named by the caller as traps (`torch.load`, loaders of remote code, kernels …) refuse.

Libraries catch broadly and try something else, so a refusal is remembered, and raised again when the belt comes off,
even if the library swallowed it and returned a model. Other threads, and the same thread outside a belt, notice nothing
but one comparison per audit event.

Not promised: code that already runs can take the belt off, native code raises no audit events, and threads that the
library starts are not followed. Nothing here is imported from outside the standard library, and only modules that are
loaded already are touched.
"""

from __future__ import annotations

import functools
import os
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass
from types import CodeType, FrameType, TracebackType
from typing import Any, NoReturn

from safeload.core.errors import PolicyDenied, UsageError
from safeload.core.finding import Report
from safeload.core.names import escape
from safeload.core.policy import Reason, Verdict
from safeload.engine.origin import origin

_worn: ContextVar[Seatbelt | None] = ContextVar("safeload_seatbelt", default=None)
_lock = threading.RLock()
_hooked = False


@dataclass(frozen=True, slots=True)
class Trap:
    """A function of a module that must not be called during a load."""

    module: str
    attribute: str
    act: str
    """What calling it would do, as a clause that follows "the library tried to"."""
    absence: type[Exception] | None = None
    """An error that the library takes for "not there", and goes on without. Then nothing is remembered: what would
    have been called is an extra, and the load is good without it."""
    judge: Callable[..., str] | None = None
    """Says what a call with these arguments would do, instead of `act`; nothing, if it is harmless and may be made."""


Answers = Mapping[tuple[str, str], Callable[..., Any]]
"""By module and attribute of a trap."""


class Seatbelt:
    """Context manager around one genuine call.

    Args:
        reference: what the user asked to load, for messages.
        forbidden: directories no code may come from: the model's, the admitted one, caches of modules.
        traps: functions that refuse. A trap whose module is not loaded is not set.
        answers: for some traps, what safeload does instead of refusing: it gives what was approved, or refuses.

    Raises:
        PolicyDenied: on leaving, if anything was refused within; every refusal is one of its reasons.
        UsageError: on entering, if a trap's module is loaded and has no such function.
    """

    def __init__(
        self,
        reference: str,
        *,
        forbidden: Iterable[str | os.PathLike[str]],
        traps: Iterable[Trap] = (),
        answers: Answers | None = None,
    ) -> None:
        self.reference = reference
        self.answers = answers or {}
        self._forbidden = tuple(os.path.realpath(root) for root in forbidden)
        self._traps = tuple(traps)
        self._refused: dict[Reason, None] = {}
        self._real: dict[str, str] = {}
        self._set: list[Trap] = []
        self._token: Token[Seatbelt | None] | None = None
        self._wearer: FrameType | None = None

    def __enter__(self) -> Seatbelt:
        _hook_once()
        try:
            for trap in self._traps:
                if _set_trap(trap):
                    self._set.append(trap)
        except UsageError:
            self._release()
            raise
        self._wearer = sys._getframe(1)
        self._token = _worn.set(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._token is not None:
            _worn.reset(self._token)
        self._token = self._wearer = None
        self._release()
        if isinstance(error, PolicyDenied) and self._refused.keys() <= set(error.verdict.denials()):
            return  # it says all that there is to say
        if self._refused and (error is None or isinstance(error, Exception)):
            raise self._denied(tuple(self._refused)) from error

    def _release(self) -> None:
        while self._set:
            _clear_trap(self._set.pop())

    def refuse(self, act: str, *, remedy: str = "") -> NoReturn:
        """Remember that `act` was tried, and raise.

        Raises:
            PolicyDenied: always.
        """
        next_step = remedy or f"safeload scan {escape(self.reference)}"
        reason = Reason(f"the library tried to {act}", next_step)
        self._refused[reason] = None
        raise self._denied((reason,))

    def remember(self, error: PolicyDenied) -> None:
        """Make a denial from within, such as that of a nested load, one of this belt's own."""
        self._refused.update(dict.fromkeys(error.verdict.denials()))

    def _denied(self, reasons: tuple[Reason, ...]) -> PolicyDenied:
        return PolicyDenied(
            f"loading {escape(self.reference)!r} was stopped half way",
            verdict=Verdict("seatbelt", allowed=False, reasons=reasons),
            report=Report(target=self.reference),
        )

    def _owns(self, path: str) -> bool:
        """Whether `path` lies in a forbidden directory, and not in a more specific installed one."""
        directory, name = os.path.split(os.path.abspath(path))
        if directory not in self._real:
            self._real[directory] = os.path.realpath(directory)
        place = os.path.join(self._real[directory], name)
        theirs = max((len(root) for root in self._forbidden if _inside(place, root)), default=0)
        return theirs > max((len(root) for root in installed() if _inside(place, root)), default=0)

    def _importing(self, frame: FrameType | None) -> bool:
        """Whether an import is under way within the call. What is forbidden to import is stopped by its own wire."""
        while frame is not None and frame is not self._wearer:
            if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
                return True
            frame = frame.f_back
        return False


def worn() -> Seatbelt | None:
    """The belt that this thread or task wears, if any."""
    return _worn.get()


@contextmanager
def taken_off() -> Iterator[None]:
    """Take the belt off for safeload's own work in the middle of a genuine call: admitting what a nested load names."""
    token = _worn.set(None)
    try:
        yield
    finally:
        _worn.reset(token)


# --- what the interpreter reports -----------------------------------------------------------------------------------


def _hook_once() -> None:
    global _hooked
    with _lock:
        if not _hooked:
            sys.addaudithook(_hook)
            _hooked = True


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    # An audit hook cannot be removed, so outside a belt it must cost nothing and see nothing.
    if event in _WIRES and (belt := _worn.get()) is not None:
        _WIRES[event](belt, arguments, sys._getframe(1))


def _on_find_class(belt: Seatbelt, arguments: tuple[Any, ...], frame: FrameType) -> None:
    module, name = arguments
    belt.refuse(f"unpickle: it looked for the global {escape(f'{module}.{name}')}")


def _on_exec(belt: Seatbelt, arguments: tuple[Any, ...], frame: FrameType) -> None:
    code = arguments[0]
    if isinstance(code, CodeType):
        for path in (code.co_filename, origin(frame)):
            if path and not path.startswith("<") and belt._owns(path):
                belt.refuse(f"execute the code in {escape(path)}")


def _on_import(belt: Seatbelt, arguments: tuple[Any, ...], frame: FrameType) -> None:
    path = arguments[1]  # given for extension modules only
    if isinstance(path, str) and belt._owns(path):
        belt.refuse(f"link in {escape(path)}")


def _on_dlopen(belt: Seatbelt, arguments: tuple[Any, ...], frame: FrameType) -> None:
    path = arguments[0]
    if isinstance(path, (str, bytes, os.PathLike)) and os.sep in (name := os.fsdecode(path)) and belt._owns(name):
        belt.refuse(f"link in {escape(name)}")


def _on_connect(belt: Seatbelt, arguments: tuple[Any, ...], frame: FrameType) -> None:
    address = arguments[1]
    if isinstance(address, tuple) and address and isinstance(address[0], str):
        belt.refuse(f"connect to {escape(address[0])}, port {escape(str(address[1]))}")


def _on_lookup(belt: Seatbelt, arguments: tuple[Any, ...], frame: FrameType) -> None:
    belt.refuse(f"look up the host {escape(str(arguments[0]))}")


def _on_input(belt: Seatbelt, arguments: tuple[Any, ...], frame: FrameType) -> None:
    belt.refuse("ask a question on the terminal")


def _on_command(belt: Seatbelt, arguments: tuple[Any, ...], frame: FrameType) -> None:
    # Installed packages (triton, bitsandbytes) ask ldconfig or a compiler for its version while they are imported.
    if not belt._importing(frame):
        belt.refuse(f"start a program: {escape(str(arguments[0]))}")


_WIRES: dict[str, Callable[[Seatbelt, tuple[Any, ...], FrameType], None]] = {
    "pickle.find_class": _on_find_class,
    "exec": _on_exec,
    "import": _on_import,
    "ctypes.dlopen": _on_dlopen,
    "socket.connect": _on_connect,
    "socket.getaddrinfo": _on_lookup,
    "socket.gethostbyname": _on_lookup,
    "builtins.input": _on_input,
    "subprocess.Popen": _on_command,
    "os.system": _on_command,
    "os.exec": _on_command,
    "os.posix_spawn": _on_command,
    "os.spawn": _on_command,
    "pty.spawn": _on_command,
}


@functools.cache
def installed() -> tuple[str, ...]:
    """Where installed code lives. A model's directory may contain it: a project folder with an environment in it."""
    places = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    places.add(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return tuple(os.path.realpath(place) for place in places if place)


def _inside(path: str, root: str) -> bool:
    return path.startswith(root.rstrip(os.sep) + os.sep)


# --- functions that refuse ------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Setting:
    original: Any
    wrapper: Any
    wearers: int


_settings: dict[tuple[str, str], _Setting] = {}


def _set_trap(trap: Trap) -> bool:
    """Put a wrapper in place, or count one more wearer of the one that is there. False if the module is not loaded."""
    with _lock:
        key = (trap.module, trap.attribute)
        if key in _settings:
            _settings[key].wearers += 1
            return True
        module = sys.modules.get(trap.module)
        if module is None:
            return False
        original = getattr(module, trap.attribute, None)
        if original is None:
            raise UsageError(
                f"this version of {trap.module.partition('.')[0]} is not known to safeload",
                where=f"{trap.module}.{trap.attribute}",
                why="a function that must be guarded during a load is not where it was",
                remedy="pip install --upgrade safeload",
            )
        wrapper = _wrap(original, trap)
        setattr(module, trap.attribute, wrapper)
        _settings[key] = _Setting(original, wrapper, 1)
        return True


def _clear_trap(trap: Trap) -> None:
    with _lock:
        key = (trap.module, trap.attribute)
        setting = _settings[key]
        setting.wearers -= 1
        if setting.wearers:
            return
        del _settings[key]
        module = sys.modules.get(trap.module)
        # Somebody may have wrapped our wrapper meanwhile. Then it stays within theirs, where it does nothing.
        if getattr(module, trap.attribute, None) is setting.wrapper:
            setattr(module, trap.attribute, setting.original)


def _wrap(original: Any, trap: Trap) -> Any:
    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        belt = _worn.get()
        if belt is not None and (answer := belt.answers.get((trap.module, trap.attribute))) is not None:
            return answer(*args, **kwargs)
        act = trap.act if trap.judge is None or belt is None else trap.judge(*args, **kwargs)
        if belt is None or not act:
            return original(*args, **kwargs)
        if trap.absence is not None:
            raise trap.absence(f"safeload does not let a load {act}")
        belt.refuse(act)

    return wrapper
