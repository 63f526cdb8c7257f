"""Python processes that a guarded one starts: they are guarded before they run anything.

Python imports a module called `sitecustomize` when it starts. `start/` holds one, which reads `SAFELOAD_GUARD`, puts
the guard in force, steps off the path, and lets the user's own `sitecustomize` run. Both travel in the environment, so
a process that is given another environment, or told to ignore it (`-I`, `-E`, `-S`), is not reached.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Any

    from safeload.core.errors import UsageError
    from safeload.engine.options import Options
    from safeload.guarding.state import Settings

VARIABLE = "SAFELOAD_GUARD"
START = os.path.join(os.path.dirname(os.path.abspath(__file__)), "start")
_PATH = "PYTHONPATH"
_NOTHING = "{}"
_started = False
"""Whether this Python was under guard from its start."""
_FILES = ("policy", "lock", "audits", "store")


def environment(order: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment in which Python starts under a guard. `order` is the text of its settings: see `to_text`."""
    return {**environ, VARIABLE: order, _PATH: os.pathsep.join((START, *_others(environ)))}


def without(environ: Mapping[str, str]) -> dict[str, str]:
    """The same environment, in which Python starts without a guard."""
    found = {name: value for name, value in environ.items() if name != VARIABLE}
    if rest := _others(environ):
        return {**found, _PATH: os.pathsep.join(rest)}
    return {name: value for name, value in found.items() if name != _PATH}


def _others(environ: Mapping[str, str]) -> list[str]:
    """The user's own path. An empty entry in it means the working directory; an empty path means none."""
    path = environ.get(_PATH, "")
    return [entry for entry in path.split(os.pathsep) if entry != START] if path else []


def to_text(settings: Settings) -> str:
    """Settings as the variable holds them.

    Raises:
        UsageError: an option cannot be written down.
    """
    from safeload.core.errors import UsageError
    from safeload.engine.options import Options

    options = settings.options
    given: dict[str, Any] = {}
    for name in _FILES:
        value = getattr(options, name)
        if isinstance(value, str | os.PathLike):
            given[name] = os.path.abspath(os.fspath(value))
    if options != Options(**given, integrity=options.integrity):
        raise UsageError(
            "the processes that this one starts cannot be told of these options",
            why="a policy that is an object, limits, and what is unsafe do not travel in an environment",
            remedy="write the policy to a file: guard(policy='safeload.toml')",
        )
    if options.integrity != Options().integrity:
        given["integrity"] = options.integrity
    return order(given, strict=settings.strict, unsafe_pickles_of=settings.unsafe_pickles_of)


def order(files: Mapping[str, str], *, strict: bool, unsafe_pickles_of: Collection[str]) -> str:
    """The same from words of a command line: files by the name of their option."""
    given: dict[str, Any] = dict(files)
    if strict:
        given["strict"] = True
    if unsafe_pickles_of:
        given["unsafe_pickles_of"] = sorted(unsafe_pickles_of)
    if not given:
        return _NOTHING
    import json

    return json.dumps(given, sort_keys=True)


def from_text(text: str) -> Settings:
    """What the variable says.

    Raises:
        UsageError: it says nothing that can be honoured.
    """
    from safeload.guarding.state import Settings

    given = _read(text)
    if not isinstance(given, dict):
        raise _bad(text)
    strict, modules = given.pop("strict", False), given.pop("unsafe_pickles_of", [])
    known = all(name in (*_FILES, "integrity") and isinstance(value, str) for name, value in given.items())
    if not known or not isinstance(strict, bool) or not isinstance(modules, list):
        raise _bad(text)
    if not all(isinstance(module, str) for module in modules):
        raise _bad(text)
    if "integrity" in given:
        _options(given)  # raises, if there is no such integrity; the names of files need no check
    return Settings(options=lambda: _options(given), strict=strict, unsafe_pickles_of=frozenset(modules))


def _read(text: str) -> Any:
    if text in (_NOTHING, "1"):
        return {}
    import json

    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return {} if given in (1, True) else given


def _options(given: dict[str, str]) -> Options:
    from safeload.engine.options import Options

    return Options(**given)  # type: ignore[arg-type]  # `integrity` is checked where it is used


def _bad(text: str) -> UsageError:
    from safeload.core.errors import UsageError
    from safeload.core.names import escape

    return UsageError(
        f"{VARIABLE}={escape(text, 200)!r} is not understood",
        why="it is written by `safeload run`, as a JSON object",
        remedy=f"{VARIABLE}=1, or leave it to: safeload run",
    )


def start() -> None:
    """Put the guard of the environment in force: what the first module that Python runs calls."""
    from safeload.guarding.guard import enter
    from safeload.guarding.told import tell_at_the_end

    global _started
    enter(from_text(os.environ.get(VARIABLE, "1")))
    _started = True
    tell_at_the_end()


# --- others' processes ----------------------------------------------------------------------------------------------

_IGNORES = frozenset("IES")
_TAKES_VALUE = frozenset("cmWX")


def inner_would_be_guarded() -> bool:
    """Whether another interpreter within this process would be under guard: it starts as this one did."""
    return _started and VARIABLE in os.environ


_LISTS = "/sbin/ldconfig"
"""What `ctypes.util.find_library` asks, in an environment of two words; builds of torch for GPUs do when imported. It
prints a list, and starts nothing."""


def _only_speaks(environ: object) -> bool:
    """Whether an environment says the language alone, and no library to load first."""
    from collections.abc import Mapping

    return isinstance(environ, Mapping) and {_text(key) for key in environ} <= {"LC_ALL", "LANG"}


def would_be_guarded(executable: object, command: object, environ: object) -> bool:
    """Whether a process that is about to start is under this guard, if it is Python at all.

    A program that is not Python may start one: so an environment without the guard is none for it either.
    """
    words = [command] if isinstance(command, str | bytes | os.PathLike) else list(command)  # type: ignore[call-overload]
    program = _text(executable) if executable is not None else _text(words[0]) if words else ""
    if not _has_guard(environ):
        return program == _LISTS and list(map(_text, words)) == [_LISTS, "-p"] and _only_speaks(environ)
    name = os.path.basename(program)
    if not (name.startswith(("python", "pypy")) or (sys.executable and program == sys.executable)):
        return True
    for word in map(_text, words[1:]):
        if not word.startswith("-") or word == "-" or word.startswith("--"):
            break
        letters = word[1:]
        ends = next((index for index, letter in enumerate(letters) if letter in _TAKES_VALUE), len(letters))
        if _IGNORES & set(letters[:ends]):
            return False
        if letters[ends : ends + 1] in ("c", "m"):
            break
    return True


def _has_guard(environ: object) -> bool:
    from collections.abc import Mapping

    found = os.environ if environ is None else environ
    if not isinstance(found, Mapping):
        return False
    given = {_text(key): _text(value) for key, value in found.items()}
    return VARIABLE in given and START in given.get(_PATH, "").split(os.pathsep)


def _text(value: object) -> str:
    return os.fsdecode(value) if isinstance(value, str | bytes | os.PathLike) else ""
