"""`safeload run`: what runs is `python …`, under guard."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.guarding import programs

SHOW = """
    import json, os, sys
    import {extra}
    print(json.dumps([sys.argv, __name__, __file__, sys.path, __spec__ and __spec__.name, os.getcwd()]))
    print(sorted(name for name in globals() if name != "sitecustomize"))
    sys.stderr.write("to stderr\\n")
    print(sys.stdin.read())
    sys.exit(int(sys.argv[1]) if len(sys.argv) > 1 else None)
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A program that says what it sees, in a folder of its own."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "beside.py").write_text("")
    (folder / "package").mkdir()
    programs.write(folder / "package/__init__.py", "")
    programs.write(folder / "package/__main__.py", SHOW.format(extra="beside"))
    return programs.write(folder / "app.py", SHOW.format(extra="beside"))


@pytest.mark.parametrize(
    "words",
    [["project/app.py"], ["project/app.py", "7", "--policy", "x"], ["project/app.py", "0", "--", "-m"]],
    ids=["alone", "with-arguments", "with-dashes"],
)
def test_a_file_sees_what_it_sees_without(words: list[str], app: Path, tmp_path: Path) -> None:
    """Arguments, path, name, file, input, output and exit code are the same."""
    plain = programs.python(*words, cwd=tmp_path, text="input")
    under = programs.guarded(*words, cwd=tmp_path, text="input")
    assert (under.stdout, under.stderr, under.returncode) == (plain.stdout, plain.stderr, plain.returncode)


@pytest.mark.parametrize("words", [["package"], ["package", "3"]], ids=["alone", "with-arguments"])
def test_so_does_a_module(words: list[str], app: Path) -> None:
    """`-m` runs a package of the working directory."""
    plain = programs.python("-m", *words, cwd=app.parent)
    under = programs.guarded("-m", *words, cwd=app.parent)
    assert (under.stdout, under.stderr, under.returncode) == (plain.stdout, plain.stderr, plain.returncode)


def test_the_loads_are_guarded(tmp_path: Path) -> None:
    """From the first line on, in the program and in the Python processes that it starts."""
    look = "import pickle; print(hasattr(pickle.load, '_safeload_guarded'))"
    program = programs.write(
        tmp_path / "app.py",
        f"""
        import subprocess, sys, os
        exec({look!r})
        sys.stdout.flush()
        subprocess.run([sys.executable, "-c", {look!r}])
        os.system(f"{{sys.executable}} -c \\"{look}\\"")
        """,
    )
    assert programs.guarded(program).stdout.split() == ["True"] * 3
    assert programs.python(program).stdout.split() == ["False"] * 3


def test_the_policy_may_stand_before_or_behind(app: Path, tmp_path: Path) -> None:
    """`--policy FILE` right behind the program is safeload's; behind `--` it is the program's."""
    policy = tmp_path / "safeload.toml"
    policy.write_text("version = 1\n")
    look = programs.write(
        tmp_path / "look.py", "import os, sys; print(os.environ['SAFELOAD_GUARD']); print(sys.argv[1:])"
    )
    wanted = json.dumps({"policy": str(policy)})
    for words in (
        ["--policy", policy, look, "a"],
        [look, "--policy", policy, "a"],
        [look, f"--policy={policy}", "a"],
        [look, "--policy", policy, "--", "a"],
    ):
        assert programs.guarded(*words).stdout.splitlines() == [wanted, "['a']"]
    assert programs.guarded(look, "--", "--policy", "x").stdout.splitlines() == ["{}", "['--policy', 'x']"]
    assert programs.guarded(look, "a", "--policy", "x").stdout.splitlines() == ["{}", "['a', '--policy', 'x']"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no program was named"),
        (["-m"], "no program was named"),
        (["--policy", "nothing.toml", "app.py"], "no such policy file"),
        (["app.py", "--policy", "nothing.toml"], "no such policy file"),
        (["--policy", "a", "app.py", "--policy", "b"], "given twice"),
        (["nothing.py"], "can't open file"),
        (["--nothing", "app.py"], "unrecognized arguments"),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, list) else "",
)
def test_what_cannot_start_is_code_2(words: list[str], said: str, app: Path) -> None:
    """Nothing ran, and the reason is said."""
    result = programs.guarded(*words, cwd=app.parent)
    assert result.returncode == 2 and said in result.stderr and not result.stdout


def test_an_interpreter_that_ignores_its_environment_starts_nothing(app: Path) -> None:
    """Under `-E` the program would not be guarded, so it does not run."""
    result = programs.python("-E", "-m", "safeload", "run", app, cwd=Path(__file__).parents[2])
    assert result.returncode == 2 and "-I, -E or -S" in result.stderr


def test_flags_of_the_interpreter_are_handed_on(tmp_path: Path) -> None:
    """`python -O -m safeload run` runs the program with `-O`."""
    look = programs.write(tmp_path / "look.py", "import sys; print(sys.flags.optimize, __debug__)")
    assert programs.python("-O", "-m", "safeload", "run", look).stdout == "1 False\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_signals_reach_the_program(number: signal.Signals, tmp_path: Path) -> None:
    """The process that was started is the program: there is no other one to forward anything."""
    app = programs.write(
        tmp_path / "app.py",
        """
        import signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs start with it ignored
        print("ready", flush=True)
        time.sleep(60)
        """,
    )
    line = [sys.executable, "-m", "safeload", "run", str(app)]
    with subprocess.Popen(line, env=programs.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        code = process.wait(30)
    assert code == {signal.SIGTERM: 5}.get(number, -number)


def test_a_refusal_ends_the_program_with_1(tmp_path: Path, marker: Path) -> None:
    """The traceback ends at the program's own line, and the reasons and the next command follow."""
    evil = tmp_path / "model.pt"
    evil.write_bytes(b"cos\nsystem\n(S'touch %s'\ntR." % bytes(marker))
    app = programs.write(tmp_path / "app.py", f"import torch\ntorch.load({str(evil)!r}, weights_only=False)\n")
    result = programs.guarded(app)
    assert result.returncode == 1
    assert "line 2" in result.stderr and "guarding" not in result.stderr
    assert "would call os.system" in result.stderr and "safeload scan" in result.stderr
    assert "safeload: 1 load refused in this process" in result.stderr


def test_a_refusal_that_was_swallowed_is_told(tmp_path: Path, marker: Path) -> None:
    """The program goes on and ends as it likes; what it swallowed is said at its end."""
    evil = tmp_path / "model.pt"
    evil.write_bytes(b"cos\nsystem\n(S'touch %s'\ntR." % bytes(marker))
    app = programs.write(
        tmp_path / "app.py",
        f"""
        import torch
        for flag in (True, False):
            try:
                torch.load({str(evil)!r}, weights_only=flag)
            except Exception:
                print("went on")
        """,
    )
    result = programs.guarded(app)
    assert (result.returncode, result.stdout) == (0, "went on\n" * 2)
    assert "safeload: 2 loads refused in this process" in result.stderr and "model.pt" in result.stderr


def test_the_users_own_start_module_runs(tmp_path: Path) -> None:
    """A `sitecustomize` of the user's comes after ours, and is what `sys.modules` holds."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("print('mine')\nMINE = True\n")
    app = programs.write(tmp_path / "app.py", "import sitecustomize, pickle; print(sitecustomize.MINE, pickle.load)")
    result = programs.guarded(app, more={"PYTHONPATH": f"{own}{os.pathsep}{Path(__file__).parents[2]}"})
    # twice: the first Python is `safeload run` itself
    assert result.stdout.splitlines()[:2] == ["mine", "mine"] and "True <function load" in result.stdout


def test_a_python_that_cannot_be_guarded_does_not_start(tmp_path: Path) -> None:
    """An order that is not understood, or a safeload that fails, ends the process before the program."""
    from safeload.guarding.children import START

    app = programs.write(tmp_path / "app.py", "print('ran')")
    for order in ("nonsense", '{"policy": 3}', '{"unknown": "x"}', "[" * 50_000):
        result = programs.python(app, more={"SAFELOAD_GUARD": order[:100_000], "PYTHONPATH": START})
        assert result.returncode == 2 and not result.stdout and "was not started" in result.stderr


def test_the_start_folder_alone_does_nothing(tmp_path: Path) -> None:
    """Without the order, a Python that finds the folder on its path starts as ever."""
    from safeload.guarding.children import START

    app = programs.write(tmp_path / "app.py", "import sys; print([m for m in sys.modules if m.startswith('safeload')])")
    assert programs.python(app, more={"PYTHONPATH": START}).stdout == "[]\n"


def test_a_program_is_started_as_the_parser_would(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most command lines are understood without `argparse`; what is then run is what `argparse` makes of them."""
    from safeload.cli.main import main
    from safeload.cli.run import straight
    from safeload.guarding import program

    started: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(program, "start", lambda order, words: started.append((order, list(words))))
    for text in ("a.py", "a.py x --y", "a.py -m x", "a.py -- --policy z", "a.py x --policy z", "a.py -- -- x", "-m a",
                 "-m a.b x -m y", "-m a -- x", "-m a -- --policy z", "a.py --strict", "- x"):  # fmt: skip
        started.clear()
        straight(text.split())
        main(["run", *text.split()])
        assert len(started) == (1 if text == "- x" else 2) and started[0] == started[-1], text


@pytest.mark.parametrize(
    "text", ["", "-m", "--strict a.py", "--help", "a.py --policy z", "-m a --policy=z", "-", "--", "-- a.py", "-m -x"]
)
def test_the_parser_has_the_rest(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an option of ours may be meant, nothing is started without it."""
    from safeload.cli.run import straight
    from safeload.guarding import program

    monkeypatch.setattr(program, "start", lambda order, words: pytest.fail("was started"))
    straight(text.split())


def test_an_empty_program_waits_for_next_to_nothing(tmp_path: Path) -> None:
    """No door is made before there is a library to put it in; what it takes to make one is not imported."""
    app = programs.write(
        tmp_path / "app.py",
        """
        import sys
        print(sorted(name for name in sys.modules if name.startswith("safeload")))
        print([name for name in ("typing", "re", "json", "dataclasses", "inspect", "pickle") if name in sys.modules])
        """,
    )
    ours, other = programs.guarded(app).stdout.splitlines()
    assert other == "[]"
    assert ours == str(
        ["safeload"]
        + [
            f"safeload.{name}"
            for name in ("engine", "engine.origin",
                         "guarding", "guarding.children", "guarding.downloads", "guarding.guard", "guarding.hook",
                         "guarding.imports", "guarding.install", "guarding.libraries", "guarding.state",
                         "guarding.told", "registry")
        ]
    )  # fmt: skip


def test_a_program_that_pickles_waits_for_little_more(tmp_path: Path) -> None:
    """The doors of `pickle` are put in without what makes classes of annotations: that takes longer than the doors."""
    app = programs.write(
        tmp_path / "app.py",
        """
        import pickle, sys
        print([name for name in ("typing", "dataclasses", "inspect", "threading") if name in sys.modules])
        print(pickle.loads.__module__, hasattr(pickle.loads, "__wrapped__"))
        """,
    )
    assert programs.guarded(app).stdout.splitlines() == ["[]", "_pickle True"]


def test_little_is_imported_for_it(tmp_path: Path) -> None:
    """A program that loads no model gets no third-party module, and none of safeload's readers."""
    app = programs.write(
        tmp_path / "app.py",
        """
        import sys
        foreign = {"torch", "numpy", "rich", "cryptography", "safetensors"}
        readers = ("safeload.formats", "safeload.rules", "safeload.trust", "safeload.sources")
        print([name for name in sys.modules if name.partition(".")[0] in foreign])
        print([name for name in sys.modules if name.startswith(readers)])
        """,
    )
    assert programs.guarded(app).stdout == "[]\n[]\n"


def test_the_program_is_the_process_that_was_started(tmp_path: Path) -> None:
    """No second process stays around it."""
    app = programs.write(tmp_path / "app.py", "import os; print(os.getpid())")
    line = [sys.executable, "-m", "safeload", "run", str(app)]
    with subprocess.Popen(line, env=programs.environment(), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert int(process.stdout.read()) == process.pid
