"""An unmodified program under guard: the interpreter is started anew, in an environment that guards it.

Nothing of safeload stands between Python and the program: `sys.argv`, `sys.path`, `__main__`, tracebacks, signals and
exit codes are those of `python app.py`, because that is what runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from safeload.core.errors import UsageError
from safeload.guarding.children import environment
from safeload.guarding.state import Settings


def command(settings: Settings, words: Sequence[str], environ: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """The command and the environment that run a program: `words` is what would follow `python`.

    Raises:
        UsageError: there is nothing to run, or this interpreter ignores its environment.
    """
    if not words or words == ["-m"]:
        raise UsageError("there is nothing to run", why="no program was named", remedy="safeload run app.py")
    if sys.flags.ignore_environment or sys.flags.isolated or sys.flags.no_site:
        raise UsageError(
            "the program was not started",
            why="this Python was started with -I, -E or -S, so the one that it starts would not be guarded",
            remedy="start safeload without them",
        )
    policy = settings.options.policy
    if isinstance(policy, str | os.PathLike) and not os.path.isfile(policy):
        raise UsageError(
            "the program was not started",
            where=os.fspath(policy),
            why="there is no such policy file",
            remedy="safeload policy init",
        )
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # as multiprocessing does
    return [sys.executable, *flags, *words], environment(settings, environ)


def run(settings: Settings, words: Sequence[str]) -> NoReturn:
    """Become the program.

    Raises:
        UsageError: it could not be started.
    """
    line, environ = command(settings, words, os.environ)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execve(line[0], line, environ)
    except OSError as error:
        raise UsageError(
            "the program was not started", why=error.strerror or str(error), remedy="safeload run app.py"
        ) from error
