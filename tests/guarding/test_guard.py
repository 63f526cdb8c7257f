"""`guard` in one process: what comes through a door, what goes on as before, and that it can be taken off."""

from __future__ import annotations

import copy
import functools
import io
import multiprocessing.connection
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import safeload
from safeload.core.errors import PolicyDenied, SafeloadError, UsageError
from safeload.guarding import state
from tests.guarding import programs

_GENUINE = id(pickle.loads)


def genuine(value: Any = None) -> bool:
    """Whether `pickle.loads`, or what somebody holds, is Python's own. (A name for it would be rebound as well.)"""
    return id(pickle.loads if value is None else value) == _GENUINE


class Own:
    """A class of this program."""

    def __init__(self, number: int) -> None:
        self.number = number


@pytest.fixture
def guard() -> Iterator[safeload.Guarded]:
    with safeload.guard() as found:
        yield found
    assert genuine() and state.current() is None


def evil(marker: Path, protocol: int = 2) -> bytes:
    class Touch:
        def __reduce__(self) -> Any:
            return exec, (f"__import__('pathlib').Path({str(marker)!r}).touch()",)

    buffer = io.BytesIO()
    pickle.Pickler(buffer, protocol).dump(Touch())  # not `dumps`, whose results this process may read back
    return buffer.getvalue()


DOORS: dict[str, Callable[[bytes], Any]] = {
    "loads": lambda data: pickle.loads(data),
    "load": lambda data: pickle.load(io.BytesIO(data)),
    "_loads": lambda data: pickle._loads(data),
    "_load": lambda data: pickle._load(io.BytesIO(data)),
    "C loads": lambda data: sys.modules["_pickle"].loads(data),
    "C Unpickler": lambda data: sys.modules["_pickle"].Unpickler(io.BytesIO(data)).load(),
    "Unpickler": lambda data: pickle.Unpickler(io.BytesIO(data)).load(),
    "Python Unpickler": lambda data: pickle._Unpickler(io.BytesIO(data)).load(),
    "a class of it": lambda data: type("Mine", (pickle.Unpickler,), {})(io.BytesIO(data)).load(),
    "one with find_class": lambda data: Renaming(io.BytesIO(data)).load(),
    "one in Python": lambda data: RenamingInPython(io.BytesIO(data)).load(),
    "one that calls what it is made of": lambda data: Calling(io.BytesIO(data)).load(),
    "bound before": lambda data: ELSEWHERE.load(data),
    "a partial": lambda data: PARTIAL(data),
}


class Renaming(pickle.Unpickler):
    """Made of the genuine class, long before any guard."""

    def find_class(self, module: str, name: str) -> Any:
        return super().find_class(module, name)


class RenamingInPython(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return super().find_class(module, name)


class Calling(pickle.Unpickler):
    def load(self) -> Any:
        return super().load()


class ELSEWHERE:
    load: Any = staticmethod(pickle.loads)


PARTIAL: Any = functools.partial(pickle.loads)


@pytest.mark.parametrize("door", DOORS, ids=lambda name: name.replace(" ", "-"))
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_no_door_unpickles(door: str, protocol: int, marker: Path, guard: safeload.Guarded) -> None:
    """Whichever way a program asks for it, a pickle that would act is refused, and remembered."""
    before = len(guard.refused)
    with pytest.raises(SafeloadError):
        DOORS[door](evil(marker, protocol))
    assert not programs.has("safeload.pickle") or len(guard.refused) > before


@pytest.mark.parametrize("door", ["loads", "Unpickler", "Python Unpickler"])
def test_without_a_counterpart_nothing_is_loaded(
    door: str, guard: safeload.Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where safeload has no form of a loader, even plain data is refused, and the message says why."""
    from safeload.guarding import doors, unpicklers

    monkeypatch.setattr(doors, "counterpart", lambda name: None)
    monkeypatch.setattr(unpicklers, "counterpart", lambda name: None)
    with pytest.raises(PolicyDenied, match=r"this version of safeload has no safeload\.pickle"):
        DOORS[door](b"\x80\x02K\x01.")
    assert "safeload.pickle" in str(guard.refused[-1])


def test_copies_go_on(guard: safeload.Guarded) -> None:
    """Reading back exactly what this process wrote is no load of anything foreign."""
    data = pickle.dumps(Own(3))
    assert pickle.loads(data).number == copy.deepcopy(Own(3)).number == 3
    with pytest.raises(SafeloadError):
        pickle.loads(data[:-1] + b"0N.")


def test_a_pickle_written_before_is_foreign() -> None:
    """Only what was written under this guard is known."""
    data = pickle.dumps(Own(3))
    with safeload.guard(), pytest.raises(SafeloadError):
        pickle.loads(data)


def test_processes_go_on_talking(guard: safeload.Guarded) -> None:
    """A pipe carries objects of any class."""
    left, right = multiprocessing.connection.Pipe()
    left.send(Own(7))
    assert right.recv().number == 7


def test_strictly_nobody_unpickles(marker: Path) -> None:
    """Under `strict` messages between processes and copies are refused as well."""
    left, right = multiprocessing.connection.Pipe()
    with safeload.guard(strict=True):
        left.send(Own(7))
        with pytest.raises(SafeloadError):
            right.recv()
        with pytest.raises(SafeloadError):
            pickle.loads(pickle.dumps(Own(3)))


def test_who_runs_what_others_pass_is_no_machinery(guard: safeload.Guarded, marker: Path) -> None:
    """A thread pool that is told to unpickle does it for the program, not for itself."""
    from concurrent.futures import ThreadPoolExecutor
    from multiprocessing.pool import ThreadPool

    with ThreadPoolExecutor(1) as executor, pytest.raises(SafeloadError):
        executor.submit(pickle.loads, evil(marker)).result()
    with ThreadPool(1) as pool, pytest.raises(SafeloadError):
        pool.map(pickle.loads, [evil(marker)])


def test_a_name_alone_does_not_make_machinery(guard: safeload.Guarded, marker: Path) -> None:
    """Code that only says that it is `multiprocessing.connection` is not that."""
    space = {"__name__": "multiprocessing.connection", "load": pickle.loads, "data": evil(marker)}
    with pytest.raises(SafeloadError):
        eval("load(data)", space)


def test_a_module_may_be_let_go_on(marker: Path) -> None:
    """`unsafe_pickles_of` names a module whose pickles are its own; others stay guarded."""
    data = pickle.dumps(Own(5))
    with safeload.guard(unsafe_pickles_of=[__name__]):
        assert pickle.loads(data).number == 5
    with safeload.guard(unsafe_pickles_of=["another.module"]), pytest.raises(SafeloadError):
        pickle.loads(data)


MESSAGES = """
    import pickle, sys
    class Mine:
        pass
    if len(sys.argv) > 2:
        import cache
        cache.read(sys.argv[1])
    else:
        with open(sys.argv[1], "wb") as file:
            pickle.dump(Mine(), file)
"""
READS = """
    import pickle
    def read(path):
        with open(path, "rb") as file:
            return {}
"""


@pytest.mark.parametrize("how", ["pickle.load(file)", "pickle.Unpickler(file).load()", "pickle.loads(file.read())"])
def test_the_message_names_the_module_to_let_go_on(how: str, tmp_path: Path) -> None:
    """A program that reads its own objects is told what to add, and what that means; with it, it runs."""
    path = tmp_path / "own.pkl"
    program = programs.write(tmp_path / "app.py", MESSAGES)
    programs.write(tmp_path / "cache.py", READS.format(how))
    programs.python(program, path)
    said = programs.guarded(program, path, "read").stderr
    assert "__main__.Mine" in said and "if cache reads only what this program itself wrote" in said
    assert "safeload run --unsafe-pickles-of cache …" in said and "unsafe_pickles_of=['cache']" in said
    result = programs.guarded("--unsafe-pickles-of", "cache", program, path, "read")
    assert (result.returncode, result.stderr) == (0, "")
    assert "unsafe-pickles-of" not in programs.guarded("--strict", program, path, "read").stderr


def test_the_program_itself_may_be_let_go_on(tmp_path: Path) -> None:
    """`__main__` is the name of what was started."""
    program = programs.write(
        tmp_path / "app.py",
        """
        import io, pickle, sys
        class Mine:
            pass
        buffer = io.BytesIO()
        pickle.dump(Mine(), buffer)
        buffer.seek(0)
        print(type(pickle.load(buffer)).__name__)
        """,
    )
    assert "safeload run --unsafe-pickles-of __main__" in programs.guarded(program).stderr
    assert programs.guarded("--unsafe-pickles-of", "__main__", program).stdout == "Mine\n"


def test_no_library_is_named_as_harmless(guard: safeload.Guarded, tmp_path: Path) -> None:
    """pandas reads whatever it is told to: letting it go on would let everybody in."""
    import pandas

    path = tmp_path / "own.pkl"
    with path.open("wb") as file:
        pickle.dump(Own(1), file)
    with pytest.raises(PolicyDenied) as caught:
        pandas.read_pickle(path)
    assert "Own" in str(caught.value) and "unsafe" not in str(caught.value) and "classes=[…]" in str(caught.value)


def test_a_file_that_acts_is_no_case_for_advice(guard: safeload.Guarded, marker: Path) -> None:
    """Nobody is told how to let a dangerous pickle in."""
    with pytest.raises(PolicyDenied) as caught:
        pickle.loads(evil(marker))
    assert "exec" in str(caught.value) and "pickles" not in str(caught.value)


def test_what_is_remembered_holds_nothing_alive(guard: safeload.Guarded, marker: Path) -> None:
    """A refusal is kept without its traceback: what a program had in hand when it was refused is freed."""
    import gc
    import weakref

    def load() -> Any:
        held = Own(1)
        try:
            pickle.loads(evil(marker))
        except PolicyDenied:
            return weakref.ref(held)

    gone = load()
    gc.collect()
    assert gone() is None and guard.refused[-1].__traceback__ is None and "exec" in str(guard.refused[-1])


def test_refusals_are_not_remembered_for_ever(guard: safeload.Guarded, marker: Path) -> None:
    """The last hundred, and each once."""
    data = evil(marker)
    for _ in range(state.KEPT + 20):
        with pytest.raises(SafeloadError):
            pickle.loads(data)
    assert len(guard.refused) == state.KEPT and state.count() >= state.KEPT + 20


# --- on and off -----------------------------------------------------------------------------------------------------


def test_undone_it_leaves_nothing() -> None:
    """Every attribute, class and name is what it was; what somebody kept of ours does what the genuine one does."""
    before = (pickle.load, pickle.loads, pickle.dumps, pickle.Unpickler, pickle._Unpickler.load, list(sys.meta_path))
    guard = safeload.guard()
    kept, kind, partial = pickle.loads, pickle.Unpickler, PARTIAL.func
    assert not genuine(kept) and partial is kept and ELSEWHERE.load is kept
    guard.undo()
    guard.undo()
    after = (pickle.load, pickle.loads, pickle.dumps, pickle.Unpickler, pickle._Unpickler.load, list(sys.meta_path))
    assert before == after and genuine(PARTIAL.func) and genuine(ELSEWHERE.load)
    assert "load" not in vars(Renaming) and kept(pickle.dumps(Own(1))).number == 1
    assert kind(io.BytesIO(pickle.dumps(Own(2)))).load().number == 2


def test_a_name_taken_under_guard_is_restored_too() -> None:
    """`from pickle import loads` while a guard is on gives back the genuine one when it ends."""
    space: dict[str, Any] = {}
    with safeload.guard():
        exec("from pickle import loads", space)
        assert not genuine(space["loads"])
    assert genuine(space["loads"])


def test_guards_nest() -> None:
    """The last one to go takes the doors along, in whatever order they go; an inner one may be stricter."""
    outer = safeload.guard()
    inner = safeload.guard(strict=True)
    assert state.current().strict  # type: ignore[union-attr]
    outer.undo()
    assert not genuine() and state.current().strict  # type: ignore[union-attr]
    inner.undo()
    assert genuine() and state.current() is None


@pytest.mark.parametrize(
    "words",
    [{"policy": "other.toml"}, {"options": safeload.Options(integrity="private")}, {"unsafe_pickles_of": ["a"]}],
    ids=lambda words: " ".join(words),
)
def test_an_inner_guard_cannot_change_the_outer_one(words: dict[str, Any], guard: safeload.Guarded) -> None:
    """Other options inside are an error, and the outer guard stays as it is."""
    with pytest.raises(UsageError, match="another guard"):
        safeload.guard(**words)
    assert state.current() == guard.settings and not genuine()


@pytest.mark.parametrize(
    "words",
    [
        {"policy": "a.toml", "options": safeload.Options()},
        {"strict": "false"},
        {"children": 1},
        {"unsafe_pickles_of": "a"},
        {"options": {}},
    ],
    ids=lambda words: " ".join(words),
)
def test_nonsense_is_refused(words: dict[str, Any]) -> None:
    """An argument that cannot be honoured raises, and no guard is on."""
    with pytest.raises(UsageError):
        safeload.guard(**words)
    assert state.current() is None and genuine()


def test_threads_see_it_come_and_go() -> None:
    """Guards of several threads come and go while others load; nobody is left with a door, and nobody loads."""
    wrong: list[str] = []

    def work() -> None:
        for _ in range(5):
            with safeload.guard():
                try:
                    pickle.loads(b"cos\nsystem\n(S'true'\ntR.")
                    wrong.append("loaded")
                except SafeloadError:
                    pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and genuine() and state.current() is None


def test_the_environment_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """`children=True` writes two variables, and puts them back."""
    import os

    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.delenv("SAFELOAD_GUARD", raising=False)
    with safeload.guard(children=True):
        assert os.environ["SAFELOAD_GUARD"] == "{}" and os.environ["PYTHONPATH"].endswith(":/somewhere")
    assert os.environ["PYTHONPATH"] == "/somewhere" and "SAFELOAD_GUARD" not in os.environ
