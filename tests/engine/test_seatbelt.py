"""The belt: what must not happen during a genuine call does not, and is not forgotten if the library swallows it."""

from __future__ import annotations

import builtins
import contextlib
import ctypes
import importlib
import os
import pickle
import py_compile
import runpy
import socket
import subprocess
import sys
import threading
import types
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from safeload.core.errors import PolicyDenied, SafeloadError, UsageError
from safeload.engine.seatbelt import Seatbelt, Trap, taken_off, worn
from tests import canary as canary_module


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model's directory that stands on the import path."""
    path = tmp_path / "model"
    path.mkdir()
    monkeypatch.syspath_prepend(str(path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return path


@pytest.fixture
def belt(folder: Path) -> Seatbelt:
    return Seatbelt("org/model", forbidden=[folder])


class Thing:
    """Anything that unpickling has to look up by name."""


def connect() -> None:
    with socket.socket() as client:
        client.connect(("127.0.0.1", 9))


def connect_v6() -> None:
    with socket.socket(socket.AF_INET6) as client:
        client.connect(("::1", 9))


ACTS: dict[str, Callable[[], object]] = {
    "unpickle": lambda: pickle.loads(pickle.dumps(Thing())),
    "unpickle_python": lambda: pickle._loads(pickle.dumps(Thing())),  # type: ignore[attr-defined]
    "system": lambda: os.system("true"),
    "popen": lambda: subprocess.run(["true"], check=False),
    "spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "connect": connect,
    "connect_v6": connect_v6,
    "lookup": lambda: socket.getaddrinfo("localhost", 80),
    "ask": lambda: builtins.input("trust this? "),
}


@pytest.mark.parametrize("act", ACTS)
def test_each_act_is_refused_within_and_only_within(act: str, belt: Seatbelt) -> None:
    """While the belt is on it raises; a moment later the same act is nobody's business."""
    with pytest.raises(PolicyDenied, match="org/model") as caught, belt:
        ACTS[act]()
    assert caught.value.verdict.policy == "seatbelt" and caught.value.remedy
    if act in ("unpickle", "system", "popen", "lookup"):
        ACTS[act]()


@pytest.mark.parametrize("act", ACTS)
def test_a_swallowed_refusal_is_raised_again(act: str, belt: Seatbelt) -> None:
    """Libraries catch everything and try something else: the outer call still fails."""
    with pytest.raises(PolicyDenied), belt:
        try:
            ACTS[act]()
        except Exception:  # noqa: BLE001 as libraries do
            returned = "a model all the same"
    assert returned


def test_every_refusal_is_a_reason(belt: Seatbelt) -> None:
    """Three different acts make three reasons, the same one twice makes one."""
    with pytest.raises(PolicyDenied) as caught, belt:
        for act in ("unpickle", "system", "connect", "system"):
            with contextlib.suppress(SafeloadError):
                ACTS[act]()
    assert len(caught.value.verdict.denials()) == 3


def test_another_error_of_the_library_does_not_hide_a_refusal(belt: Seatbelt) -> None:
    """If the library ends with its own error, the refusal is what the user sees, with that error as its cause."""
    with pytest.raises(PolicyDenied) as caught, belt:
        try:
            ACTS["system"]()
        except SafeloadError:
            raise OSError("unable to load weights") from None
    assert isinstance(caught.value.__cause__, OSError)


def test_without_a_refusal_errors_and_results_pass(belt: Seatbelt) -> None:
    """The belt adds nothing to a call that behaves."""
    with pytest.raises(KeyError), belt:
        raise KeyError("x")
    with belt:
        value = 1
    assert value == 1 and worn() is None


def test_an_interrupt_is_not_replaced(belt: Seatbelt) -> None:
    """Ctrl-C stays Ctrl-C, whatever was refused before."""
    with pytest.raises(KeyboardInterrupt), belt:
        try:
            ACTS["system"]()
        except SafeloadError:
            raise KeyboardInterrupt from None


# --- code ---------------------------------------------------------------------------------------------------------


def test_code_from_the_model_is_not_executed(folder: Path, belt: Seatbelt, marker: Path) -> None:
    """A module named like an optional dependency, in the model's directory, is not imported, nor is a package."""
    body = f"open({str(marker)!r}, 'w')"
    (folder / "optional_extra.py").write_text(body)
    (folder / "package_extra").mkdir()
    (folder / "package_extra" / "__init__.py").write_text(body)
    for name in ("optional_extra", "package_extra"):
        with pytest.raises(PolicyDenied, match="execute the code"), belt, contextlib.suppress(Exception):
            importlib.import_module(name)
        assert name not in sys.modules


def test_compiled_code_cannot_lie_about_where_it_is(folder: Path, belt: Seatbelt, marker: Path) -> None:
    """A `.pyc` carries any file name its author likes; the loader that reads it does not."""
    source = folder / "liar.py"
    source.write_text(f"open({str(marker)!r}, 'w')")
    py_compile.compile(str(source), cfile=str(folder / "liar.pyc"), dfile=os.__file__)
    source.unlink()
    with pytest.raises(PolicyDenied), belt:
        importlib.import_module("liar")


def test_neither_runpy_nor_an_archive_hides_where_compiled_code_is(folder: Path, belt: Seatbelt, marker: Path) -> None:
    """What is run as a program, or lies in an archive of the model, is the model's as well."""
    source = folder / "liar.py"
    source.write_text(f"open({str(marker)!r}, 'w')")
    py_compile.compile(str(source), cfile=str(folder / "liar.pyc"), dfile="<string>")
    source.unlink()
    with zipfile.ZipFile(folder / "code.zip", "w") as file:
        file.write(folder / "liar.pyc", "archived_liar.pyc")
    with pytest.raises(PolicyDenied, match="execute the code"), belt:
        runpy.run_path(str(folder / "liar.pyc"))
    sys.path.insert(0, str(folder / "code.zip"))
    try:
        with pytest.raises(PolicyDenied, match="execute the code"), belt:
            importlib.import_module("archived_liar")
    finally:
        sys.path.remove(str(folder / "code.zip"))


def test_a_link_to_the_model_s_directory_is_the_directory(folder: Path, tmp_path: Path, marker: Path) -> None:
    """A path through a symbolic link does not get around the belt."""
    (folder / "linked.py").write_text(f"open({str(marker)!r}, 'w')")
    (tmp_path / "link").symlink_to(folder)
    sys.path.insert(0, str(tmp_path / "link"))
    try:
        with pytest.raises(PolicyDenied), Seatbelt("m", forbidden=[folder]):
            importlib.import_module("linked")
    finally:
        sys.path.remove(str(tmp_path / "link"))


def test_a_library_in_the_model_is_not_linked(folder: Path, belt: Seatbelt) -> None:
    """Neither as an extension module nor by ctypes."""
    (folder / "native.so").write_bytes(b"\x7fELF")
    with pytest.raises(PolicyDenied, match="link in"), belt:
        ctypes.CDLL(str(folder / "native.so"))
    (folder / "extra_native.abi3.so").write_bytes(b"\x7fELF")
    with pytest.raises(PolicyDenied, match="link in"), belt:
        importlib.import_module("extra_native")


def test_installed_code_runs_though_the_model_surrounds_it() -> None:
    """A model's directory may hold the environment itself; what is installed may still be imported."""
    with Seatbelt("m", forbidden=["/", sys.prefix]):
        sys.modules.pop("this_is_not_there", None)
        for name in ("colorsys", "json.tool"):
            sys.modules.pop(name, None)
            assert importlib.import_module(name) is sys.modules[name]
        exec(compile("x = 1", "<string>", "exec"))


def test_a_command_that_an_import_starts_is_let_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed packages ask ldconfig or a compiler for its version while they are imported."""
    (tmp_path / "asks_version.py").write_text("import subprocess; subprocess.run(['true'], check=True)")
    monkeypatch.syspath_prepend(str(tmp_path))
    with Seatbelt("m", forbidden=[tmp_path / "model"]):
        assert importlib.import_module("asks_version").subprocess


def test_an_import_around_the_load_does_not_let_commands_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that loads its model at import time is as protected as any other."""
    body = """
import subprocess
from safeload.engine.seatbelt import Seatbelt
with Seatbelt("m", forbidden=[]):
    subprocess.run(["true"], check=True)
"""
    (tmp_path / "loads_at_import.py").write_text(body)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(PolicyDenied, match="start a program"):
        importlib.import_module("loads_at_import")


def test_unix_sockets_stay_open(belt: Seatbelt, tmp_path: Path) -> None:
    """They reach nobody outside this machine, and loggers use them."""
    with belt, socket.socket(socket.AF_UNIX) as client, pytest.raises(OSError):
        client.connect(str(tmp_path / "nobody"))


# --- traps --------------------------------------------------------------------------------------------------------


@pytest.fixture
def library() -> Iterator[types.ModuleType]:
    module = types.ModuleType("a_library")
    module.load = lambda x: x  # type: ignore[attr-defined]
    sys.modules["a_library"] = module
    yield module
    del sys.modules["a_library"]


TRAP = Trap("a_library", "load", "load something")


def test_a_trap_refuses_within_and_leaves_no_trace(library: types.ModuleType) -> None:
    """The function refuses while the belt is on, and is the very same function afterwards."""
    before = library.load
    with pytest.raises(PolicyDenied, match="load something"), Seatbelt("m", forbidden=[], traps=[TRAP]):
        library.load(1)
    assert library.load is before and library.load(1) == 1


def test_traps_are_counted(library: types.ModuleType) -> None:
    """Two belts at once share a trap; it is taken away with the last."""
    before = library.load
    with Seatbelt("a", forbidden=[], traps=[TRAP]):
        with Seatbelt("b", forbidden=[], traps=[TRAP]):
            assert library.load is not before
        assert library.load is not before
    assert library.load is before


def test_other_threads_notice_nothing(library: types.ModuleType, belt: Seatbelt) -> None:
    """A belt is worn by one thread: others may unpickle, connect and call what is trapped."""
    results: list[object] = []

    def work() -> None:
        results.append(library.load(1))
        results.append(type(pickle.loads(pickle.dumps(Thing()))))
        results.append(os.system("true"))

    with Seatbelt("m", forbidden=[], traps=[TRAP]):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert results == [1, Thing, 0]


def test_many_threads_with_belts_leave_the_library_as_it_was(library: types.ModuleType) -> None:
    """Trap counting holds under contention, and each thread gets its own refusals only."""
    before, refused = library.load, []

    def work(number: int) -> None:
        for _ in range(50):
            try:
                with Seatbelt(str(number), forbidden=[], traps=[TRAP]):
                    if number % 2:
                        library.load(1)
            except PolicyDenied as error:
                refused.append((number, error.what))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert library.load is before and len(refused) == 100 and all(str(n) in what for n, what in refused)


def test_a_trap_in_a_module_that_is_not_loaded_is_not_set() -> None:
    """The belt imports nothing."""
    with Seatbelt("m", forbidden=[], traps=[Trap("not_loaded_at_all", "load", "x")]):
        assert "not_loaded_at_all" not in sys.modules


def test_a_function_that_has_moved_is_an_error(library: types.ModuleType) -> None:
    """A guard that would silently guard nothing is refused, and the traps set before it are taken away."""
    before = library.load
    with (
        pytest.raises(UsageError, match="a_library"),
        Seatbelt("m", forbidden=[], traps=[TRAP, Trap("a_library", "gone", "x")]),
    ):
        raise AssertionError("the call was made")
    assert library.load is before and worn() is None


def test_a_trap_may_answer_that_nothing_is_there(library: types.ModuleType) -> None:
    """For extras, the library gets the error it takes for absence, and nothing is remembered."""
    trap = Trap("a_library", "load", "fetch a kernel", absence=FileNotFoundError)
    with Seatbelt("m", forbidden=[], traps=[trap]), pytest.raises(FileNotFoundError, match="kernel"):
        library.load(1)


def test_a_trap_may_look_at_what_it_is_called_with(library: types.ModuleType) -> None:
    """Harmless calls are made; of the others the refusal says what they would have done."""
    trap = Trap("a_library", "load", "load", judge=lambda number: f"load {number}" if number > 1 else "")
    with pytest.raises(PolicyDenied, match="load 2"), Seatbelt("m", forbidden=[], traps=[trap]):
        assert library.load(1) == 1
        library.load(2)
    assert library.load(2) == 2


def test_somebody_else_s_patch_survives(library: types.ModuleType) -> None:
    """If another program wraps our wrapper meanwhile, it keeps its wrapper, and ours does nothing in it."""
    with Seatbelt("m", forbidden=[], traps=[TRAP]):
        inner = library.load
        library.load = lambda x: (inner(x), "theirs")  # type: ignore[attr-defined]
    assert library.load(1) == (1, "theirs")


def test_the_belt_comes_off_for_our_own_work(belt: Seatbelt) -> None:
    """Within `taken_off` nothing is refused; afterwards the belt is on again."""
    with pytest.raises(PolicyDenied) as caught, belt:
        with taken_off():
            ACTS["system"]()
        assert worn() is belt
        ACTS["popen"]()
    assert len(caught.value.verdict.denials()) == 1


def test_a_denial_from_within_sticks(belt: Seatbelt) -> None:
    """What a nested load was refused for ends the outer load too."""
    other = Seatbelt("inner", forbidden=[])
    with pytest.raises(PolicyDenied, match="start a program"), belt:
        try:
            with other:
                ACTS["system"]()
        except PolicyDenied as error:
            belt.remember(error)


def test_nested_belts_are_each_their_own(belt: Seatbelt) -> None:
    """The inner belt's refusal is the inner call's; leaving it puts the outer one back on."""
    with belt:
        with pytest.raises(PolicyDenied), Seatbelt("inner", forbidden=[]):
            ACTS["system"]()
        assert worn() is belt


def test_the_canary_lets_the_belt_act(canary: canary_module.Canary) -> None:
    """The canary watches what reads; the belt is not one of those."""
    assert "safeload.engine.seatbelt" in canary_module.ACTS
