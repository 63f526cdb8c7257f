"""The bytes that were judged are the bytes that are used, in this process and in those it starts."""

from __future__ import annotations

import errno
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from safeload.core.errors import PolicyDenied, SafeloadError, SourceError, VerificationFailed
from safeload.core.policy import AllOf
from safeload.engine import tensorfile
from safeload.engine.admission import build, handover
from safeload.engine.admission.handover import Resources
from safeload.engine.admit import admit
from safeload.engine.options import Options
from safeload.engine.request import Request
from safeload.sources.pinned import PinnedFile
from tests.engine.models import age, files_below, index, model, sharded, write
from tests.engine.test_admit import SAVED, adapter, evil, state_of
from tests.engine.views import raw


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else can write here; and file systems that share by reference are treated like those that do not."""
    tmp_path.chmod(0o700)
    monkeypatch.setattr(handover, "_can_share", lambda store, file: False)


def how(path: Path, name: str = "model.safetensors") -> str:
    """What an entry of an admitted directory is: `pinned`, or the part of the store it lies in."""
    target = os.readlink(path / name)
    return "pinned" if target.startswith("/proc/") else target.split("/v1/")[1].split("/")[0]


def overwrite(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.seek(-8, os.SEEK_END)
        stream.write(b"\xff" * 8)


def test_a_file_of_ones_own_is_pinned(tmp_path: Path) -> None:
    """`auto` links to the very descriptor that was judged: replacing the name changes nothing."""
    folder = model(tmp_path / "m")
    with admit(folder) as admission:
        assert how(admission.path) == "pinned"
        write(tmp_path / "other", b"evil")
        (tmp_path / "other").replace(folder / "model.safetensors")
        assert state_of(admission.path) == SAVED
        (folder / "model.safetensors").unlink()
        assert state_of(admission.path) == SAVED


def test_a_pinned_file_that_is_overwritten_is_noticed_next_time(tmp_path: Path) -> None:
    """Writing into the same file shows through the pin, as documented; the next admission judges it anew."""
    folder = age(model(tmp_path / "m"))
    with admit(folder) as admission:
        overwrite(folder / "model.safetensors")
        assert state_of(admission.path) != SAVED
    with admit(folder) as again:
        assert {file.path: file.sha256 for file in again.files} != {file.path: file.sha256 for file in admission.files}


@pytest.mark.parametrize(
    "change", [overwrite, lambda path: os.truncate(path, 10), Path.unlink], ids=["over", "cut", "gone"]
)
def test_a_private_copy_does_not_change(tmp_path: Path, change: Callable[[Path], object]) -> None:
    """With `private`, overwriting, truncating or removing the original has no effect."""
    folder = model(tmp_path / "m")
    with admit(folder, options=Options(integrity="private")) as admission:
        assert how(admission.path) == "private"
        change(folder / "model.safetensors")
        assert state_of(admission.path) == SAVED


OPEN_TO_OTHERS: dict[str, Callable[[Path], object]] = {
    "file": lambda folder: (folder / "model.safetensors").chmod(0o666),
    "folder": lambda folder: folder.chmod(0o777),
    "folder above": lambda folder: folder.parent.chmod(0o777),
}


@pytest.mark.parametrize("place", OPEN_TO_OTHERS)
def test_what_others_can_write_is_copied(tmp_path: Path, place: str) -> None:
    """`auto` makes a private copy where somebody else could change the file; `pinned` says that it cannot."""
    folder = model(tmp_path / "m")
    OPEN_TO_OTHERS[place](folder)
    with admit(folder) as admission:
        assert how(admission.path) == "private"
        overwrite(folder / "model.safetensors")
        assert state_of(admission.path) == SAVED
    with pytest.raises(SourceError, match="others can write") as refused:
        admit(folder, options=Options(integrity="pinned"))
    assert "integrity='private'" in refused.value.remedy


def test_a_file_that_is_open_for_writing_is_copied(tmp_path: Path) -> None:
    """A program that still writes could do so later: `auto` copies, `pinned` refuses."""
    folder = age(model(tmp_path / "m"))
    with (folder / "model.safetensors").open("r+b"):
        with admit(folder) as admission:
            assert how(admission.path) == "private"
        with pytest.raises(SourceError, match="open for writing"):
            admit(folder, options=Options(integrity="pinned"))


def test_a_conversion_lies_in_the_store_in_any_case(tmp_path: Path) -> None:
    """What safeload wrote is handed over from where it wrote it."""
    folder = model(tmp_path / "m", pickle=True)
    for integrity in ("auto", "pinned", "private"):
        with admit(folder, options=Options(integrity=integrity)) as admission:  # type: ignore[arg-type]
            assert how(admission.path) == "converted"
            overwrite(folder / "pytorch_model.bin")
            assert state_of(admission.path) == SAVED
        folder = model(tmp_path / integrity, pickle=True)


def test_small_files_are_copies_in_any_case(tmp_path: Path) -> None:
    """A config or a vocabulary that is rewritten after the admission is not what the loader reads."""
    folder = model(tmp_path / "m")
    with admit(folder) as admission:
        write(folder / "config.json", {"auto_map": {"AutoModel": "evil.Model"}})
        write(folder / "vocab.txt", "evil")
        assert "auto_map" not in (admission.config or {})
        assert (admission.path / "vocab.txt").read_text() == "[PAD]\nw\n"


def test_a_file_that_changes_while_it_is_judged_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the verdict and the handing over, every descriptor is compared with what it was."""
    folder = age(model(tmp_path / "m"))
    genuine = build.build_small

    def meanwhile(*args: Any, **kwargs: Any) -> None:
        genuine(*args, **kwargs)
        overwrite(folder / "model.safetensors")

    monkeypatch.setattr(build, "build_small", meanwhile)
    with pytest.raises(VerificationFailed, match=r"model\.safetensors"):
        admit(folder)


# ── other processes ─────────────────────────────────────────────────────────────────────────────────────────────


def read_state(path: str, queue: Any) -> None:
    queue.put({key: raw(tensor) for key, tensor in load_file(path).items()})


@pytest.mark.parametrize("integrity", ["auto", "private"])
@pytest.mark.parametrize("pickle", [False, True])
def test_a_spawned_worker_can_read_it(tmp_path: Path, pickle: bool, integrity: Any) -> None:
    """A process of a loader or a server opens the directory by its name, and finds the judged bytes."""
    with admit(model(tmp_path / "m", pickle=pickle), options=Options(integrity=integrity)) as admission:
        context = multiprocessing.get_context("spawn")
        queue = context.Queue()
        worker = context.Process(target=read_state, args=(str(admission.path / "model.safetensors"), queue))
        worker.start()
        assert queue.get(timeout=60) == SAVED
        worker.join()


def test_a_forked_child_can_read_it_and_leaves_it_there(tmp_path: Path) -> None:
    """A child that ends, closes its copy of the admission or runs its exit handlers removes nothing of its parent's."""
    with admit(model(tmp_path / "m")) as admission:
        weights = admission.path / "model.safetensors"
        child = os.fork()
        if not child:
            code = 1
            try:
                code = 0 if weights.stat().st_size > 100 and weights.open("rb").read(1) else 2
                admission.close()
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        assert state_of(admission.path) == SAVED


def test_the_directory_is_gone_when_the_process_is(tmp_path: Path) -> None:
    """Who forgets to close leaves nothing behind."""
    folder = model(tmp_path / "m")
    script = f"from safeload.engine.admit import admit; print(admit({str(folder)!r}).path)"
    path = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.strip()
    assert path and not os.path.exists(path)


ADMIT = """
import sys
from safeload.engine.admit import admit
with admit(sys.argv[1]) as admission:
    print(sorted(item.name for item in admission.path.iterdir()), flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("pickle", [False, True])
def test_several_processes_admit_one_model_at_once(tmp_path: Path, pickle: bool) -> None:
    """Each gets a whole directory; the conversion is made once."""
    folder = age(model(tmp_path / "m", pickle=pickle))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ADMIT, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    outputs = [process.communicate("")[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert set(outputs) == {"['admission.json', 'config.json', 'model.safetensors', 'vocab.txt']\n"}
    store = Path(os.environ["SAFELOAD_HOME"]) / "v1"
    assert len(list((store / "converted").iterdir())) == int(pickle)
    assert not list((store / "views").iterdir()) and not list((store / "staging").iterdir())


KILLED = """
import os, signal, sys
from safeload.engine import tensorfile
from safeload.engine.admission import build
from safeload.engine.admit import admit
def die(*args):
    os.kill(os.getpid(), signal.SIGKILL)
place = sys.argv[2]
if place == "converting":
    tensorfile._Output.copy = die
elif place == "writing":
    build.write_account = die
admission = admit(sys.argv[1])
die()
"""


@pytest.mark.parametrize("place", ["converting", "writing", "handed over"])
def test_a_process_that_was_killed_is_in_nobodys_way(tmp_path: Path, place: str) -> None:
    """Half a conversion, half an admission or a forgotten directory: the next load is whole, and pruning cleans up."""
    from safeload.engine.cache import pruned

    folder = age(model(tmp_path / "m", pickle=True))
    killed = subprocess.run([sys.executable, "-c", KILLED, str(folder), place], check=False)
    assert killed.returncode == -9
    with admit(folder) as admission:
        assert state_of(admission.path) == SAVED
        pruned(Options(), everything=True)
        assert state_of(admission.path) == SAVED
    store = Path(os.environ["SAFELOAD_HOME"]) / "v1"
    pruned(Options(), everything=True)
    assert not [item for part in ("staging", "views", "admitted", "converted") for item in (store / part).iterdir()]


def test_threads_admit_at_once(tmp_path: Path) -> None:
    """Many threads, a few models, one store: every one gets what it asked for."""
    folders = [age(model(tmp_path / f"m{i}", pickle=bool(i % 2))) for i in range(3)]
    barrier = threading.Barrier(8)

    def one(number: int) -> dict[str, bytes]:
        barrier.wait()
        with admit(folders[number % 3]) as admission:
            return state_of(admission.path)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(8))) == [SAVED] * 8


# ── nothing stays open ──────────────────────────────────────────────────────────────────────────────────────────


def descriptors() -> set[str]:
    return {
        os.readlink(f"/proc/self/fd/{name}")
        for name in os.listdir("/proc/self/fd")
        if os.path.islink(f"/proc/self/fd/{name}") and "/fd" not in os.readlink(f"/proc/self/fd/{name}")
    }


def malformed(folder: Path) -> Path:
    sharded(folder)
    write(folder / "model.safetensors.index.json", index(a="../x"))
    return folder


def unconvertible(folder: Path) -> Path:
    return model(folder, pickle=True, state={"note": "no weights here"})


ENDINGS: dict[str, Callable[[Path, Path], object]] = {
    "admitted": lambda path, marker: admit(model(path)).close(),
    "converted": lambda path, marker: admit(sharded(path, pickle=True)).close(),
    "private": lambda path, marker: admit(model(path), options=Options(integrity="private")).close(),
    "denied": lambda path, marker: admit(evil(path, marker)),
    "denied by the policy": lambda path, marker: admit(model(path), options=Options(policy=AllOf())),
    "malformed": lambda path, marker: admit(malformed(path)),
    "no weights": lambda path, marker: admit(unconvertible(path)),
    "base denied": lambda path, marker: admit(adapter(path, evil(path / "base", marker))),
    "base missing": lambda path, marker: admit(adapter(path, path / "none")),
    "adapter": lambda path, marker: admit(adapter(path, model(path / "base", pickle=True), pickle=True)).close(),
    "into": lambda path, marker: admit(model(path), into=path.with_name("out")).close(),
    "into, taken": lambda path, marker: admit(model(path), into=path),
    "into, with base": lambda path, marker: admit(
        adapter(path, model(path / "b")), into=path.with_name("out2")
    ).close(),
    "nothing there": lambda path, marker: admit(path),
}


@pytest.mark.parametrize("twice", [False, True], ids=["once", "again"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_no_descriptor_stays_open(tmp_path: Path, marker: Path, ending: str, twice: bool) -> None:
    """However an admission ends, and however often: everything that was opened is closed."""
    admit(model(tmp_path / "warm")).close()
    before = descriptors()
    for number in range(2 if twice else 1):
        try:
            ENDINGS[ending](tmp_path / f"m{number if ending.startswith('into') else ''}", marker)
        except SafeloadError:
            pass
        except FileExistsError:
            pass
        for name in ("out", "out2"):
            if (tmp_path / name).exists():
                (tmp_path / name).rename(tmp_path / f"{name}.{number}")
    assert descriptors() == before
    store = Path(os.environ["SAFELOAD_HOME"]) / "v1"
    assert not list((store / "views").iterdir()) and not list((store / "staging").iterdir())


FAILURES: dict[str, Callable[[pytest.MonkeyPatch], object]] = {
    "converting": lambda patch: patch.setattr(tensorfile._Output, "write", no_space),
    "writing configs": lambda patch: patch.setattr(build, "_write", no_space),
    "linking": lambda patch: patch.setattr(os, "symlink", no_space),
    "comparing": lambda patch: patch.setattr(PinnedFile, "verify_unchanged", changed),
    "asking for a lease": lambda patch: patch.setattr(PinnedFile, "lease", changed),
    "interrupted": lambda patch: patch.setattr(build, "build_small", interrupt),
}


def no_space(*args: Any, **named: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


def changed(*args: Any) -> Any:
    raise VerificationFailed("it changed", mismatches={"model": "it changed"})


def interrupt(*args: Any, **kwargs: Any) -> Any:
    raise KeyboardInterrupt


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_on_the_way_leaves_nothing_open_and_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    """A full disk, a changed file, a pressed key: one of our errors, every descriptor closed, no half directory."""
    folder = write(age(sharded(tmp_path / "m", pickle=failure == "converting")) / "x.txt", "x").parent
    before = descriptors()
    with monkeypatch.context() as patch:
        FAILURES[failure](patch)
        with pytest.raises(KeyboardInterrupt if failure == "interrupted" else (SourceError, VerificationFailed)):
            admit(folder)
    assert descriptors() == before
    store = Path(os.environ["SAFELOAD_HOME"]) / "v1"
    assert not list((store / "views").iterdir()) and not list((store / "staging").iterdir())
    with admit(folder) as admission:
        assert state_of(admission.path) == SAVED


def test_resources_are_closed_in_reverse_order_and_by_one_thread_each() -> None:
    """Who closes at the same time as another closes the rest; nothing is closed twice."""
    resources, closed = Resources(), []
    for number in range(1000):
        resources.add(lambda number=number: closed.append(number))  # type: ignore[misc]
    threads = [threading.Thread(target=resources.close) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(closed) == list(range(1000))
    resources.add(lambda: closed.append(-1))
    resources.add(lambda: closed.append(-2))
    resources.close()
    assert closed[-2:] == [-2, -1]


def test_an_admission_is_closed_when_its_block_fails(tmp_path: Path) -> None:
    """The context manager removes the directory on the way out of an exception too."""
    with pytest.raises(PolicyDenied), admit(model(tmp_path / "m")) as admission:
        admit(tmp_path / "m", request=Request(purpose="model"), options=Options(policy=AllOf()))
    assert not admission.path.exists()
    assert files_below(tmp_path / "m") == {"config.json", "vocab.txt", "model.safetensors"}
