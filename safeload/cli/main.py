"""From arguments to a command and its exit code: 0 nothing wrong, 1 findings or denied, 2 undecided or an error."""

from __future__ import annotations

import argparse
import errno
import gc
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from safeload.cli import COMMANDS
from safeload.core.errors import PolicyDenied, SafeloadError

DENIED = 1
ERROR = 2
INTERRUPTED = 130
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def run() -> NoReturn:
    """The program `safeload`. A defect of ours ends it with its traceback and code 2: 1 would say "findings"."""
    # A reading makes many objects that all live until its end: looking for garbage among them costs more than reading.
    gc.set_threshold(100_000, 50, 1_000)
    _open_streams()
    code = None
    try:
        code = main(sys.argv[1:])
    finally:
        if code is None:
            sys.excepthook(*sys.exc_info())
            sys.exit(ERROR)
    sys.exit(code)


def _open_streams() -> None:
    """See that standard input, output and error are there, and take any text.

    Where one of them was closed, the next file that is opened would get its number, and be written to by whatever
    writes there. What an encoding cannot say is escaped: a name must not cost the whole report.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - stays open
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code.

    Our errors are shown in their four parts, without a traceback. Anything else is a defect of safeload: it is not
    caught, so that it can be reported.
    """
    try:
        parsed = parser(arguments).parse_args(arguments)
    except SystemExit as end:  # argparse's way to say that help was shown (0) or that the arguments are wrong (2)
        return end.code if isinstance(end.code, int) else ERROR
    try:
        code: int = parsed.run(parsed)
        sys.stdout.flush()
    except SafeloadError as error:
        return _refuse(error, as_json=getattr(parsed, "json", False))
    except FileNotFoundError as error:
        if not _is_nowhere():
            raise
        return _refuse(_nowhere(error), as_json=getattr(parsed, "json", False))
    except KeyboardInterrupt:
        print("safeload: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ERROR
    except OSError as error:  # what names no file, and is told by none of our errors, came from a stream
        if error.errno not in _NO_ROOM or error.filename is not None:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _refuse(_unwritten(error), as_json=False)
    return code


def _unwritten(error: OSError) -> SafeloadError:
    from safeload.core.errors import UsageError

    why = error.strerror or type(error).__name__
    return UsageError("the output was not written", why=why, remedy="write it to another place")


def _is_nowhere() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def _nowhere(error: OSError) -> SafeloadError:
    from safeload.core.errors import UsageError

    found = UsageError(
        "nothing was done", why="the working directory is not there any more", remedy="cd to a directory that is there"
    )
    found.__cause__ = error
    return found


def parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The parser for these arguments. Only the command that they name is imported; if it comes first, it is alone,
    since nothing shows the others then."""
    top = argparse.ArgumentParser(
        prog="safeload",
        description="Load AI models without running anything that their files say.",
        epilog="Exit codes: 0 nothing wrong, 1 findings or denied, 2 undecided or an error.",
        allow_abbrev=False,
        formatter_class=_Formatter,
    )
    top.add_argument("--version", action=_Version)
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True, prog=top.prog)
    asked = next((argument for argument in arguments if not argument.startswith("-")), None)
    first = arguments[0] if arguments else ""
    for name, line in ({first: COMMANDS[first]} if first in COMMANDS else COMMANDS).items():
        words = line[0].upper() + line[1:] + "."
        command = commands.add_parser(
            name, help=line, description=words, allow_abbrev=False, formatter_class=_Formatter
        )
        if name == asked:
            module = import_module(f"safeload.cli.{name}")
            module.arguments(command)
            command.set_defaults(run=module.run)
    return top


class _Formatter(argparse.HelpFormatter):
    """The usual one, which is made for every argument there is, and would import `shutil` to ask for the width."""

    def __init__(self, prog: str, width: int | None = None) -> None:
        super().__init__(prog, width=_columns() - 2 if width is None else width)


def _columns() -> int:
    """What `shutil.get_terminal_size` says, without the compressors that it imports for archives."""
    asked = os.environ.get("COLUMNS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or 80  # type: ignore[union-attr]
    except (AttributeError, ValueError, OSError):  # closed, or no terminal
        return 80


class _Version(argparse.Action):
    """Prints the version, and the versions that matter when something is reported."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest=argparse.SUPPRESS, nargs=0, help="print the version and exit")

    def __call__(self, parser: argparse.ArgumentParser, *rest: object) -> None:
        from safeload import __version__

        print(f"safeload {__version__}")
        parser.exit()


def _refuse(error: SafeloadError, *, as_json: bool) -> int:
    if as_json:
        from safeload.reporters.json import dump, error_data

        dump(error_data(error), sys.stdout)
    else:
        from safeload.cli.output import show_error

        show_error(error)
    return DENIED if isinstance(error, PolicyDenied) else ERROR
