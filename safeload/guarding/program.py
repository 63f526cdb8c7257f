"""An unmodified program under guard: the interpreter is started anew, in an environment that guards it.

Nothing of safeload stands between Python and the program: `sys.argv`, `sys.path`, `__main__`, tracebacks, signals and
exit codes are those of `python app.py`, because that is what runs.
"""

from __future__ import annotations

import os
import sys

from safeload.guarding.children import environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn


def run(order: str, words: Sequence[str]) -> NoReturn:
    """Become the program, under the guard that `order` describes: `words` is what would follow `python`.

    Raises:
        UsageError: there is nothing to run, this interpreter ignores its environment, or it could not be started.
    """
    from safeload.core.errors import UsageError

    if not words:
        raise UsageError("there is nothing to run", why="no program was named", remedy="safeload run app.py")
    if ignores_environment():
        raise UsageError(
            "the program was not started",
            why="this Python was started with -I, -E or -S, so the one that it starts would not be guarded",
            remedy="start safeload without them",
        )
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        start(order, words)
    except OSError as error:
        raise UsageError(
            "the program was not started", why=error.strerror or str(error), remedy="safeload run app.py"
        ) from error


def start(order: str, words: Sequence[str]) -> NoReturn:
    """The same, where it is known that there is something to run and that it would be guarded. Raises `OSError`."""
    line = [sys.executable, *_flags(), *words]
    os.execve(line[0], line, environment(order, os.environ))


def ignores_environment() -> bool:
    """Whether this interpreter, and so the next one, was told to look neither at variables nor at `sitecustomize`."""
    return bool(sys.flags.ignore_environment or sys.flags.isolated or sys.flags.no_site)


def _flags() -> list[str]:
    """How this interpreter was started, as `multiprocessing` hands it on; mostly, as any other is."""
    no_bytecode = sys.flags.dont_write_bytecode and "PYTHONDONTWRITEBYTECODE" not in os.environ
    if not any((sys.flags.debug, no_bytecode, sys.flags.optimize, sys.flags.verbose,
                sys.flags.no_user_site, sys.flags.safe_path, sys.flags.bytes_warning, sys.flags.dev_mode,
                sys.flags.quiet, sys.warnoptions, sys._xoptions)):  # fmt: skip
        return []  # `subprocess` need not be imported for that
    import subprocess

    return subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined,no-any-return]
