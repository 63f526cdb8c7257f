"""The tripwire beneath the doors: what the interpreter itself reports (PEP 578), whoever causes it.

While a guard is on, in every thread:

1. code that lies where libraries keep what they downloaded is neither executed nor linked in. Approved code is run by
   safeload from its own bytes, and does not lie there;
2. under `strict`, nothing is unpickled by a name that is not on the allowlists, by nobody;
3. under `strict`, no Python is started that would not be under guard.

During a load there is more: see `engine.seatbelt`. What is stopped is remembered. An audit hook cannot be removed, so
without a guard it costs one comparison per event.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from types import CodeType
from typing import Any

from safeload.core.names import GlobalName, escape
from safeload.guarding.state import LOCK, Settings, current, denied, remember

_hooked = False
_roots: tuple[str, ...] | None = None


def install() -> None:
    """Add the hook to this process, once."""
    global _hooked, _roots
    with LOCK:
        _roots = None
        if not _hooked:
            _hooked = True
            sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    settings = current()
    if settings is not None and (wire := _WIRES.get(event)) is not None:
        wire(settings, arguments)


def _stop(what: str, why: str, remedy: str) -> None:
    error = denied(what, why=why, remedy=remedy)
    remember(error)
    raise error


def _on_exec(settings: Settings, arguments: tuple[Any, ...]) -> None:
    code = arguments[0]
    if isinstance(code, CodeType) and not code.co_filename.startswith("<") and _downloaded(code.co_filename):
        _stop_code(code.co_filename, "executed")


def _on_import(settings: Settings, arguments: tuple[Any, ...]) -> None:
    if isinstance(arguments[1], str) and _downloaded(arguments[1]):  # given for extension modules only
        _stop_code(arguments[1], "linked in")


def _on_dlopen(settings: Settings, arguments: tuple[Any, ...]) -> None:
    path = arguments[0]
    if isinstance(path, str | bytes | os.PathLike) and os.sep in (name := os.fsdecode(path)) and _downloaded(name):
        _stop_code(name, "linked in")


def _stop_code(path: str, how: str) -> None:
    _stop(
        f"{escape(path)} was not {how}",
        "it was downloaded with a model, and this process is under safeload.guard()",
        "safeload audit MODEL, then: safeload approve MODEL",
    )


def _on_find_class(settings: Settings, arguments: tuple[Any, ...]) -> None:
    if not settings.strict:
        return
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


_WIRES: Mapping[str, Callable[[Settings, tuple[Any, ...]], None]] = {
    "exec": _on_exec,
    "import": _on_import,
    "ctypes.dlopen": _on_dlopen,
    "pickle.find_class": _on_find_class,
    "subprocess.Popen": _on_popen,
    "os.posix_spawn": _on_spawn,
    "os.exec": _on_spawn,
}


def _downloaded(path: str) -> bool:
    """Whether a file lies where libraries keep what they downloaded."""
    roots = _download_folders()
    if not roots:
        return False
    if path.startswith(roots):
        return True
    return os.path.islink(os.path.dirname(path)) and os.path.realpath(path).startswith(roots)


def _download_folders() -> tuple[str, ...]:
    """The folders, each as it is written and as it is, with a separator at its end."""
    global _roots
    if _roots is None:
        environ = os.environ
        cache = environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        home = environ.get("HF_HOME") or os.path.join(cache, "huggingface")
        hub = environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE") or os.path.join(home, "hub")
        torch_home = environ.get("TORCH_HOME") or os.path.join(cache, "torch")
        folders = (
            environ.get("HF_MODULES_CACHE") or os.path.join(home, "modules"),
            hub,
            environ.get("HF_XET_CACHE") or os.path.join(home, "xet"),
            os.path.join(torch_home, "hub"),
            environ.get("KERNELS_CACHE") or hub,
        )
        whole = {os.path.abspath(os.path.expanduser(folder)) for folder in folders}
        _roots = tuple(sorted({place + os.sep for path in whole for place in (path, os.path.realpath(path))}))
    return _roots
