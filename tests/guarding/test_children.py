"""What travels to the processes that a guarded one starts, and which of them would not be reached."""

from __future__ import annotations

import ctypes.util
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import safeload
from safeload.core.errors import UsageError
from safeload.core.limits import Limits
from safeload.core.policy import AllOf
from safeload.guarding.children import START, VARIABLE, environment, from_text, to_text, without, would_be_guarded
from safeload.guarding.state import Settings
from tests.guarding import programs

PATHS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).map(lambda name: f"/{name}")


@given(PATHS, PATHS, st.booleans(), st.frozensets(st.text()), st.sampled_from(["auto", "pinned", "private"]))
def test_settings_survive_the_way(policy: str, lock: str, strict: bool, modules: Any, integrity: Any) -> None:
    """What the child reads is what the parent wrote."""
    options = safeload.Options(policy=os.path.abspath(policy), lock=os.path.abspath(lock), integrity=integrity)
    settings = Settings(options=options, strict=strict, unsafe_pickles_of=modules)
    assert from_text(to_text(settings)) == settings


@given(st.text() | st.recursive(st.none() | st.booleans() | st.text(), st.lists).map(str))
def test_any_text_is_settings_or_an_error_of_ours(text: str) -> None:
    """Nothing else comes out, whatever the variable says."""
    try:
        assert isinstance(from_text(text), Settings)
    except UsageError as error:
        assert VARIABLE in str(error)


@pytest.mark.parametrize(
    "options",
    [
        safeload.Options(policy=AllOf()),
        safeload.Options(limits=Limits(depth=5)),
        safeload.Options(unsafe_convert_dangerous=True),
    ],
    ids=["a-policy-object", "limits", "unsafe"],
)
def test_what_cannot_travel_is_an_error(options: safeload.Options) -> None:
    """A child that would be guarded otherwise than its parent is not announced as guarded."""
    with pytest.raises(UsageError, match="cannot be told"):
        to_text(Settings(options=options))


@pytest.mark.parametrize("path", [None, "", "/a", "/a:/b", ":/a", "/a::/b"])
def test_the_environment_is_the_users_with_ours_in_front(path: str | None) -> None:
    """Entries keep their order, the empty ones that mean the working directory included; twice adds nothing."""
    before = {"HOME": "/h"} | ({} if path is None else {"PYTHONPATH": path})
    once = environment("{}", before)
    assert once["PYTHONPATH"] == (f"{START}:{path}" if path else START) and once["HOME"] == "/h"
    assert environment("{}", once) == once
    assert without(once) == {"HOME": "/h"} | ({"PYTHONPATH": path} if path else {})


GUARDED = {VARIABLE: "{}", "PYTHONPATH": START}


@pytest.mark.parametrize(
    ("command", "environ", "reached"),
    [
        ([sys.executable, "app.py"], GUARDED, True),
        (["python3", "-c", "pass"], GUARDED, True),
        (["python3", "-O", "-m", "x", "-I"], GUARDED, True),
        (["python3", "-X", "dev", "app.py"], GUARDED, True),
        (["python3.11", "-I", "app.py"], GUARDED, False),
        (["python3", "-sE", "app.py"], GUARDED, False),
        (["/usr/bin/python", "-OS", "-c", "pass"], GUARDED, False),
        (["python3", "app.py"], {}, False),
        (["python3", "app.py"], {VARIABLE: "{}"}, False),
        (["python3", "app.py"], {b"PYTHONPATH": START.encode(), VARIABLE.encode(): b"{}"}, True),
        (["pypy3", "-E"], GUARDED, False),
        (["/bin/ls", "-I"], GUARDED, True),
        (["/bin/sh", "-c", "python3 app.py"], {}, False),
        (["torchrun", "app.py"], {"PATH": "/bin"}, False),
    ],
    ids=str,
)
def test_which_python_would_be_guarded(command: list[str], environ: Any, reached: bool) -> None:
    """One that ignores its environment, or gets another one, would not; nor would one that another program starts."""
    assert would_be_guarded(None, command, environ) is reached


TALKS = """
    import multiprocessing, pickle, sys

    class Row:
        def __init__(self, number):
            self.number = number

    def work(queue, data, row):
        try:
            pickle.loads(data)
        except Exception as error:
            queue.put((type(error).__name__, row, Row(4)))
        else:
            queue.put(("loaded", row, row))

    if __name__ == "__main__":
        {guard}
        data = b"cos\\nsystem\\n(S'touch " + sys.argv[1].encode() + b"'\\ntR."
        for kind in ("fork", "spawn", "forkserver"):
            context = multiprocessing.get_context(kind)
            queue = context.Queue()
            process = context.Process(target=work, args=(queue, data, Row(3)))
            process.start()
            name, given, made = queue.get(timeout=120)
            process.join()
            print(kind, name, given.number, made.number)
"""


@pytest.mark.parametrize("how", ["run", "guard"])
def test_children_of_every_kind_are_guarded(how: str, tmp_path: Path, marker: Path) -> None:
    """Forked, spawned, and from a fork server: they talk with objects of the program, and load nothing foreign."""
    guard = "import safeload; safeload.guard(children=True)" if how == "guard" else "pass"
    program = programs.write(tmp_path / "app.py", TALKS.replace("{guard}", guard))
    result = (programs.guarded if how == "run" else programs.python)(program, marker)
    assert result.stdout.splitlines() == [f"{kind} PolicyDenied 3 4" for kind in ("fork", "spawn", "forkserver")]


INNER = """
    import sys
    {guard}
    try:
        import _xxsubinterpreters as interpreters
    except ImportError:
        import _interpreters as interpreters
    try:
        made = interpreters.create()
    except Exception:  # Python has an error of its own for it
        print("stopped" if guard.refused else "failed")
    else:
        interpreters.run_string(made, "import pickle; print(hasattr(pickle.loads, '_safeload_guarded'), flush=True)")
"""


@pytest.mark.parametrize(
    ("how", "guarded"),
    [("run", "True"), ("run --strict", "True"), ("guard", "False"), ("strict guard", "stopped")],
)
def test_an_interpreter_within_the_process(how: str, guarded: str, tmp_path: Path) -> None:
    """`safeload run` guards it as it starts. A guard that came on later does not; a strict one stops it."""
    guard = (
        f"import safeload; guard = safeload.guard(strict={how.startswith('strict')})" if how.endswith("guard") else ""
    )
    program = programs.write(tmp_path / "app.py", INNER.replace("{guard}", guard))
    words = how.split()[1:] if how.startswith("run") else []
    result = programs.guarded(*words, program) if how.startswith("run") else programs.python(program)
    assert result.stdout.split() == [guarded], result.stderr


def test_strictly_libraries_are_found() -> None:
    """`ctypes.util.find_library` asks the system for its list; that program, in that way, and no other, may start."""
    found = ctypes.util.find_library("c")
    with safeload.guard(strict=True) as guard:
        assert ctypes.util.find_library("c") == found
    assert not guard.refused
    quiet = {"LC_ALL": "C", "LANG": "C"}
    assert would_be_guarded("/sbin/ldconfig", ["/sbin/ldconfig", "-p"], quiet)
    for program, command, environ in (
        ("/sbin/ldconfig", ["/sbin/ldconfig", "-C", "a"], quiet),
        ("/sbin/ldconfig", ["/sbin/ldconfig", "-p"], quiet | {"LD_PRELOAD": "/tmp/a.so"}),
        ("/tmp/sbin/ldconfig", ["/sbin/ldconfig", "-p"], quiet),
        ("sbin/ldconfig", ["sbin/ldconfig", "-p"], quiet),
        ("/bin/sh", ["/sbin/ldconfig", "-p"], quiet),
        ("/sbin/ldconfig", "/sbin/ldconfig -p", quiet),
    ):
        assert not would_be_guarded(program, command, environ)


def test_strictly_such_a_python_is_not_started() -> None:
    """And without `strict` it is: programs have their reasons."""
    import subprocess

    line = [sys.executable, "-I", "-c", "print('ran')"]
    with safeload.guard():
        assert subprocess.run(line, capture_output=True, check=True).stdout == b"ran\n"
    with safeload.guard(strict=True), pytest.raises(safeload.PolicyDenied, match="was not started"):
        subprocess.run(line, check=False)
