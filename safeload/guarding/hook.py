"""The tripwire beneath the doors: what the interpreter itself reports (PEP 578), whoever causes it.

While a guard is on, in every thread:

1. code that lies where libraries keep what they downloaded is neither executed nor linked in. Approved code is run by
   safeload from its own bytes, and does not lie there;
2. under `strict`, nothing is unpickled by a name that is not on the allowlists, by nobody;
3. under `strict`, no Python is started that would not be under guard, within this process neither.

During a load there is more: see `engine.seatbelt`. What is stopped is remembered. An audit hook cannot be removed, so
without a guard it costs one comparison per event.
"""

from __future__ import annotations

import os
import sys

from safeload.engine.origin import origin
from safeload.guarding.downloads import Folders
from safeload.guarding.state import LOCK, Settings, current, denied, remember

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

CodeType = type((lambda: None).__code__)  # `types` has it; so has every function
_hooked = False
_folders = Folders()


def install() -> None:
    """Add the hook to this process, once; and have it look at the environment anew."""
    global _hooked
    with LOCK:
        _folders.forget()
        if not _hooked:
            _hooked = True
            sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    # Tens of thousands of events come by while a large library is imported; nearly all are about something else.
    if event in _WIRES and (settings := current()) is not None:
        _WIRES[event](settings, arguments)


def _stop(what: str, why: str, remedy: str) -> None:
    error = denied(what, why=why, remedy=remedy)
    remember(error)
    raise error


def _on_exec(settings: Settings, arguments: tuple[Any, ...]) -> None:
    code = arguments[0]
    if not isinstance(code, CodeType):
        return
    # What dataclasses and named tuples are made of comes from no file, and is most of what is run.
    if (path := code.co_filename)[:1] != "<" and _downloaded(path):
        _stop_code(path, "executed")
    # A compiled file says of itself whatever it likes; who loads it knows where it lies.
    if (loaded := origin(sys._getframe(1).f_back)) and loaded != path and _downloaded(loaded):
        _stop_code(loaded, "executed")


def _on_run_file(settings: Settings, arguments: tuple[Any, ...]) -> None:
    """A process begins with this file, which no loader of Python's loads."""
    if _downloaded(path := os.fsdecode(arguments[0])):
        _stop_code(path, "executed")


def _on_import(settings: Settings, arguments: tuple[Any, ...]) -> None:
    if isinstance(arguments[1], str) and _downloaded(arguments[1]):  # given for extension modules only
        _stop_code(arguments[1], "linked in")


def _on_dlopen(settings: Settings, arguments: tuple[Any, ...]) -> None:
    path = arguments[0]
    if isinstance(path, str | bytes | os.PathLike) and os.sep in (name := os.fsdecode(path)) and _downloaded(name):
        _stop_code(name, "linked in")


def _stop_code(path: str, how: str) -> None:
    from safeload.core.names import escape

    _stop(
        f"{escape(path)} was not {how}",
        "it was downloaded with a model, and this process is under safeload.guard()",
        "safeload audit MODEL, then: safeload approve MODEL",
    )


def _on_find_class(settings: Settings, arguments: tuple[Any, ...]) -> None:
    if not settings.strict:
        return
    from safeload.core.names import GlobalName, escape
    from safeload.engine.allowlists import default_allowlist

    module, name = arguments
    if GlobalName(str(module), str(name)) not in default_allowlist():
        _stop(
            f"unpickling was stopped at the global {escape(f'{module}.{name}')}",
            "this process is under safeload.guard(strict=True), and the name is on no allowlist",
            "safeload.guard() without strict, if it is this program's own data",
        )


def _on_popen(settings: Settings, arguments: tuple[Any, ...]) -> None:
    executable, command, _, environment = arguments
    _check_child(settings, executable, command, environment)


def _on_spawn(settings: Settings, arguments: tuple[Any, ...]) -> None:
    path, command, environment = arguments
    _check_child(settings, path, command, environment)


def _check_child(settings: Settings, executable: Any, command: Any, environment: Any) -> None:
    if not settings.strict:
        return
    from safeload.guarding.children import would_be_guarded

    if not would_be_guarded(executable, command, environment):
        _stop(
            "a Python process was not started",
            "this process is under safeload.guard(strict=True), and that one would not be",
            "start it with this process's environment, without -I, -E or -S; or: safeload run",
        )


def _on_environment(settings: Settings, arguments: tuple[Any, ...]) -> None:
    _folders.will_change(os.fsdecode(arguments[0]))


def _downloaded(path: str) -> bool:
    """Whether a file lies where libraries keep what they downloaded."""
    if not os.path.isabs(path):  # `runpy`, and archives on the path, leave it at that
        path = os.path.abspath(path)
    return _folders.hold(path.rpartition(os.sep)[0])


def _on_interpreter(settings: Settings, arguments: tuple[Any, ...]) -> None:
    if not settings.strict:
        return
    from safeload.guarding.children import inner_would_be_guarded

    if not inner_would_be_guarded():
        _stop(
            "an interpreter within this process was not started",
            "this process is under safeload.guard(strict=True), and that one would not be",
            "safeload run --strict, which guards both",
        )


_WIRES: Mapping[str, Callable[[Settings, tuple[Any, ...]], None]] = {
    "exec": _on_exec,
    "cpython.run_file": _on_run_file,
    "import": _on_import,
    "ctypes.dlopen": _on_dlopen,
    "pickle.find_class": _on_find_class,
    "subprocess.Popen": _on_popen,
    "os.posix_spawn": _on_spawn,
    "os.exec": _on_spawn,
    "cpython.PyInterpreterState_New": _on_interpreter,
    "os.putenv": _on_environment,
    "os.unsetenv": _on_environment,
}
