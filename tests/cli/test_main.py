"""The command line: its exit codes, its errors, and what it leaves alone."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

import safeload
from safeload.cli import COMMANDS, main, output
from safeload.core.errors import MalformedInput, SafeloadError, UsageError
from safeload.core.names import Location


def test_the_folder_is_the_list_of_commands() -> None:
    """Every command is one file of the folder, and every such file is a command."""
    files = {path.stem for path in Path(main.__file__).parent.glob("*.py")}
    assert files - {"__init__", "main", "start", "output", "watching", "explain", "audit_check"} == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`safeload COMMAND --help` is there, begins with its usage, and says what the command does."""
    assert main.main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: safeload {name}")
    assert COMMANDS[name].split()[0].capitalize() in text


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """`safeload --help` names all commands and the exit codes."""
    assert main.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)
    assert "Exit codes" in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`safeload --version` prints the version of the package."""
    assert main.main(["--version"]) == 0
    assert capsys.readouterr().out == f"safeload {safeload.__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["frobnicate"], ["scan"], ["scan", "x", "--frob"], ["cache"], ["sca", "x"]])
def test_wrong_arguments_are_an_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What the program does not know ends with code 2 and a usage line; nothing is abbreviated."""
    assert main.main(arguments) == 2
    assert "usage: safeload" in capsys.readouterr().err


def _raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    from safeload.cli import doctor

    def run(parsed: argparse.Namespace) -> int:
        raise error

    monkeypatch.setattr(doctor, "run", run)


def test_an_error_is_shown_in_its_four_parts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What, where, why, next: in that order, on standard error, without a traceback."""
    error = MalformedInput("reading stopped", where=Location("a.bin", offset=3), why="it ends", remedy="fetch it again")
    _raising(monkeypatch, error)
    assert main.main(["doctor"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "safeload: reading stopped",
        "  where: a.bin @ 3",
        "  why:   it ends",
        "  next:  fetch it again",
    ]


def test_an_error_cannot_steer_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Control characters in any part of an error are escaped."""
    _raising(monkeypatch, SafeloadError("\x1b[2J", where="\x1b]0;x\x07", why="a\u202eb", remedy="\x9b"))
    main.main(["doctor"])
    assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(capsys.readouterr().err)


def test_several_reasons_stay_several_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A denial with three reasons shows three lines."""
    _raising(monkeypatch, UsageError("no", why="one\n         two\n         three"))
    main.main(["doctor"])
    assert capsys.readouterr().err.splitlines()[1:] == ["  why:   one", "         two", "         three"]


def test_an_error_is_json_where_json_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With `--json` a program reads the error from standard output."""
    _raising(monkeypatch, UsageError("no"))
    assert main.main(["doctor", "--json"]) == 2
    captured = capsys.readouterr()
    assert '"what": "no"' in captured.out
    assert captured.err == ""


def test_a_defect_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that is not ours comes out as it is, so that it can be reported."""
    _raising(monkeypatch, ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        main.main(["doctor"])


def test_a_defect_is_never_mistaken_for_findings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The program shows the traceback and ends with 2, because 1 means that something was found."""
    _raising(monkeypatch, ZeroDivisionError())
    monkeypatch.setattr(sys, "argv", ["safeload", "doctor"])
    with pytest.raises(SystemExit) as end:
        main.run()
    assert end.value.code == 2
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_an_interrupt_ends_quietly(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Control-C ends with 130 and one line."""
    _raising(monkeypatch, KeyboardInterrupt())
    assert main.main(["doctor"]) == 130
    assert capsys.readouterr().err == "safeload: interrupted\n"


def test_a_closed_pipe_is_no_traceback() -> None:
    """`safeload doctor | head -0` says nothing about pipes."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        result = subprocess.run(
            [sys.executable, "-m", "safeload", "doctor", "--json"],
            stdout=closed,
            stderr=subprocess.PIPE,
            cwd=Path(safeload.__file__).parents[1],
            check=False,
        )
    assert result.stderr == b""


class Terminal:
    """Only what `coloured` asks."""

    def __init__(self, terminal: bool) -> None:
        self.isatty = lambda: terminal


@pytest.mark.parametrize(
    ("terminal", "environ", "colour"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
    ],
)
def test_colour_only_on_a_terminal_and_never_against_no_color(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, environ: dict[str, str], colour: bool
) -> None:
    """NO_COLOR counts if it is not empty, as its convention says."""
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert output.coloured(Terminal(terminal)) is colour  # type: ignore[arg-type]


@pytest.mark.parametrize("command", [["scan", "{}"], ["scan", "--explain", "{}"], ["policy", "init"], ["lock", "{}"]])
def test_a_working_directory_that_is_gone_is_an_error(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has its four parts and code 2, also for a path that needs none."""
    (tmp_path / "a.json").write_text("{}")
    monkeypatch.chdir(tmp_path)  # and back, at the end
    (tmp_path / "gone").mkdir()
    os.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert main.main([part.format(tmp_path / "a.json") for part in command]) == 2
    assert "working directory is not there" in capsys.readouterr().err


def test_a_file_that_is_missing_is_not_taken_for_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the working directory is there, what went wrong is a defect of ours, and is not hidden."""

    def broken(_: argparse.Namespace) -> int:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr("safeload.cli.scan.run", broken)
    with pytest.raises(FileNotFoundError):
        main.main(["scan", "x"])


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """What a line of a shell does, in which `safeload` is the program."""
    program = f"safeload() {{ {sys.executable} -c 'from safeload.cli.start import run; run()' \"$@\"; }}; {line}"
    env = os.environ | environment
    return subprocess.run(["/bin/sh", "-c", program], capture_output=True, env=env, timeout=100, check=False)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_is_no_defect(tmp_path: Path, closed: str) -> None:
    """Nothing else gets its number, and the exit code is as ever."""
    (tmp_path / "a.json").write_text("{}")
    done = shell(f"safeload scan {tmp_path}/a.json {closed}")
    assert done.returncode == 0 and b"Traceback" not in done.stderr
    done = shell(f"safeload scan - {closed} </dev/null" if closed != "<&-" else f"safeload scan - {closed}")
    assert done.returncode == 2 and b"Traceback" not in done.stderr
    assert (tmp_path / "a.json").read_text() == "{}"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no full device")
@pytest.mark.parametrize("options", ["", "--json", "--format html"])
def test_a_full_disk_behind_standard_output_is_an_error(tmp_path: Path, options: str) -> None:
    """Nobody takes half a report for a whole one: code 2, and why."""
    (tmp_path / "a.json").write_text("{}")
    done = shell(f"safeload scan {tmp_path}/a.json {options} >/dev/full")
    assert done.returncode == 2 and b"No space left" in done.stderr and b"Traceback" not in done.stderr


def test_an_encoding_that_lacks_a_character_costs_no_report(tmp_path: Path) -> None:
    """Where the output is ASCII, the rest of it is escaped."""
    (tmp_path / "caf\u00e9.json").write_text("{}")
    done = shell(f"safeload scan {tmp_path}", PYTHONIOENCODING="ascii", PYTHONUTF8="1")
    assert done.returncode == 0 and b"caf\\xe9.json" in done.stdout
