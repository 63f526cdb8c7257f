"""An unchanged model is recognised without being read; a changed one never is."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from safeload.core.errors import PolicyDenied, SafeloadError
from safeload.core.limits import Limits
from safeload.engine import held, tensorfile
from safeload.engine.admission import build, recall
from safeload.engine.admission.admitted import Admission
from safeload.engine.admit import admit
from safeload.engine.options import Options
from safeload.engine.request import Request
from safeload.sources.pinned import PinnedFile
from tests.adapters import payloads
from tests.engine.models import age, model, pickled, safe, sharded, write
from tests.engine.test_admit import SAVED, adapter, state_of


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path) -> None:
    """Nobody else can write here, as in a home directory."""
    tmp_path.chmod(0o700)


class Watch:
    """Counts what an admission reads: files inspected, files hashed, bytes written as tensors."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.inspected: list[str] = []
        self.hashed: list[str] = []
        self.read: list[str] = []
        self.converted = 0
        inspect, hashing, write = held.inspect, PinnedFile._hash, tensorfile.write
        read_at, read_into = PinnedFile.read_at, PinnedFile.read_into

        def inspected(blob: Any, path: str, *rest: Any, **named: Any) -> Any:
            self.inspected.append(path)
            return inspect(blob, path, *rest, **named)

        def hashed(file: PinnedFile, algorithms: list[str]) -> dict[str, str]:
            self.hashed.append(file.path)
            return hashing(file, algorithms)

        def converted(*args: Any) -> Any:
            self.converted += 1
            return write(*args)

        def reads_at(file: PinnedFile, offset: int, length: int) -> bytes:
            self.read.append(file.path)
            return read_at(file, offset, length)

        def reads_into(file: PinnedFile, buffer: memoryview, offset: int) -> int:
            self.read.append(file.path)
            return read_into(file, buffer, offset)

        monkeypatch.setattr(held, "inspect", inspected)
        monkeypatch.setattr(PinnedFile, "_hash", hashed)
        monkeypatch.setattr(tensorfile, "write", converted)
        monkeypatch.setattr(PinnedFile, "read_at", reads_at)
        monkeypatch.setattr(PinnedFile, "read_into", reads_into)

    @property
    def quiet(self) -> bool:
        return not (self.inspected or self.hashed or self.read or self.converted)


def admitted(path: Path, **options: Any) -> Admission:
    request = options.pop("request", None)
    return admit(path, request=request, options=Options(**options))


@pytest.mark.parametrize("build", [model, sharded])
@pytest.mark.parametrize("pickle", [False, True])
@pytest.mark.parametrize("integrity", ["auto", "private", "pinned"])
def test_the_second_admission_reads_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, build: Callable[..., Path], pickle: bool, integrity: Any
) -> None:
    """No file is inspected, hashed, converted or read at all; the directory and the report are the same."""
    folder = age(build(tmp_path / "m", pickle=pickle))
    with admitted(folder, integrity=integrity) as first:
        before = first.report, first.left_out, first.files, state_of(first.path)
    watch = Watch(monkeypatch)
    with admitted(folder, integrity=integrity) as second:
        assert watch.quiet
        assert (second.report, second.left_out, second.files, state_of(second.path)) == before
        assert before[3] == SAVED


def test_a_model_that_was_just_written_is_recognised_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Admission waits for the clock to move on, so that even a fresh download is read once only."""
    folder = model(tmp_path / "m")
    admit(folder).close()
    watch = Watch(monkeypatch)
    admit(folder).close()
    assert watch.quiet


def test_an_admission_in_use_is_recognised_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one load holds the model, another finds it."""
    folder = age(model(tmp_path / "m", pickle=True))
    with admit(folder):
        watch = Watch(monkeypatch)
        with admit(folder) as second:
            assert watch.quiet
            assert state_of(second.path) == SAVED


def test_an_adapter_and_its_base_are_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both by themselves: neither is read again."""
    folder = adapter(tmp_path / "a", model(tmp_path / "base", pickle=True), pickle=True)
    age(tmp_path)
    admit(folder).close()
    watch = Watch(monkeypatch)
    admit(folder).close()
    assert watch.read == [str(tmp_path / "base/config.json")]  # whether a model lies there, is asked every time
    watch.read.clear()
    assert watch.quiet


def rewrite_in_place(path: Path, at: int = -1) -> None:
    """Other bytes of the same size, with the old times put back: only the change time tells."""
    before = path.stat()
    data = path.read_bytes()
    with path.open("r+b") as stream:
        stream.write(data[:at] + bytes([data[at] ^ 1]) + data[len(data[:at]) + 1 :])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (before.st_size, before.st_mtime_ns, before.st_ino)


def replace_by_equal(path: Path) -> None:
    """The same bytes in another file, with the same times."""
    before = path.stat()
    copy = path.with_name("copy.tmp")
    shutil.copy2(path, copy)
    os.utime(copy, ns=(before.st_atime_ns, before.st_mtime_ns))
    copy.replace(path)


CHANGES: dict[str, Callable[[Path], object]] = {
    "weights rewritten": lambda m: rewrite_in_place(m / "model.safetensors"),
    "weights replaced": lambda m: replace_by_equal(m / "model.safetensors"),
    "config rewritten": lambda m: rewrite_in_place(m / "vocab.txt", at=1),
    "weights touched": lambda m: os.utime(m / "model.safetensors"),
    "file added": lambda m: write(m / "new.txt", "x"),
    "unused file added": lambda m: write(m / "new.log", "x"),
    "file removed": lambda m: (m / "vocab.txt").unlink(),
    "unused file rewritten": lambda m: rewrite_in_place(m / "notes.log"),
    "file renamed": lambda m: (m / "vocab.txt").rename(m / "vocab2.txt"),
    "group may write": lambda m: (m / "model.safetensors").chmod(0o664),
    "others may write": lambda m: (m / "vocab.txt").chmod(0o666),
    "others may write the folder": lambda m: m.chmod(0o777),
    "a hard link more": lambda m: os.link(m / "vocab.txt", m.parent / "other name"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_model_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    """Whatever differs since, in content, identity or who may write, everything is looked at anew."""
    folder = model(tmp_path / "m")
    write(folder / "notes.log", "hello")
    admit(age(folder)).close()
    CHANGES[change](folder)
    if change == "group may write":
        os.chown(folder / "model.safetensors", -1, 65533) if os.geteuid() == 0 else pytest.fail("needs root")
    watch = Watch(monkeypatch)
    admit(folder).close()
    assert set(watch.inspected) == {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_a_model_that_became_evil_is_refused(tmp_path: Path, marker: Path) -> None:
    """An admission of yesterday says nothing about today's bytes."""
    folder = model(tmp_path / "m", pickle=True)
    admit(age(folder)).close()
    payloads.poison_zip(folder / "pytorch_model.bin", payloads.snippet(marker))
    with pytest.raises(PolicyDenied):
        admit(folder)
    write(folder / "pytorch_model.bin", pickled())
    with admit(folder) as admission:
        assert state_of(admission.path) == SAVED


@pytest.mark.parametrize(
    ("request_", "options"),
    [
        (Request(purpose="model"), {}),
        (Request(subfolder="sub"), {}),
        (Request(variant="fp16"), {}),
        (Request(use_safetensors=False), {}),
        (Request(native_types=frozenset({"bert"})), {}),
        (None, {"limits": Limits(opcodes=1000)}),
        (None, {"unsafe_convert_dangerous": True}),
    ],
    ids=lambda value: str(value)[:60],
)
def test_another_question_has_another_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_: Request | None, options: dict[str, Any]
) -> None:
    """What decides which files are read, and how, is part of what is recalled."""
    folder = model(tmp_path / "m")
    model(folder / "sub")
    admit(age(folder)).close()
    watch = Watch(monkeypatch)
    admitted(folder, request=request_, **options).close()
    assert watch.inspected


def test_another_safeload_reads_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found by other rules, allowlists or readers does not count, nor what they converted."""
    folder = model(tmp_path / "m", pickle=True)
    admit(age(folder)).close()
    monkeypatch.setattr(recall, "own_files", lambda: (1,))
    monkeypatch.setattr(build, "own_files", lambda: (1,))
    watch = Watch(monkeypatch)
    admit(folder).close()
    assert watch.inspected and watch.converted == 1


def test_a_file_that_could_not_be_read_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe that has become a file of the same name does not go unseen."""
    folder = model(tmp_path / "m")
    os.mkfifo(folder / "optimizer.pt")
    admit(age(folder)).close()
    (folder / "optimizer.pt").unlink()
    write(folder / "optimizer.pt", pickled())
    watch = Watch(monkeypatch)
    with admit(folder) as admission:
        assert "optimizer.pt" in watch.inspected
        assert admission.report.file("optimizer.pt").status == 0


# ── the store ───────────────────────────────────────────────────────────────────────────────────────────────────


def entries(kind: str) -> list[Path]:
    return sorted((Path(os.environ["SAFELOAD_HOME"]) / "v1" / kind).iterdir())


def spoil_record(entry: Path, spoil: Callable[[dict[str, Any]], object]) -> None:
    path = entry / "record.json"
    document = json.loads(path.read_text())
    spoil(document)
    path.unlink()
    path.write_text(json.dumps(document))


SPOILS: dict[str, Callable[[Path], object]] = {
    "conversion pruned": lambda entry: shutil.rmtree(entries("converted")[0]),
    "conversion rewritten": lambda entry: spoil_file(next((entries("converted")[0] / "files").iterdir())),
    "admission pruned": lambda entry: shutil.rmtree(entry),
    "no record": lambda entry: (entry / "record.json").unlink(),
    "record is no JSON": lambda entry: (entry / "record.json").write_text("{"),
    "record is empty": lambda entry: (entry / "record.json").write_text(""),
    "another version": lambda entry: spoil_record(entry, lambda record: record["about"].pop("inputs")),
    "inputs of another shape": lambda entry: spoil_record(entry, lambda record: record["about"].update(inputs=[1])),
    "about of another shape": lambda entry: spoil_record(entry, lambda record: record.update(about={})),
    "file missing": lambda entry: (entry / "files" / "config.json").unlink(),
    "file added": lambda entry: write(entry / "files" / "evil.py", "x"),
    "file rewritten": lambda entry: spoil_file(entry / "files" / "config.json"),
    "file replaced by a link": lambda entry: link_file(entry / "files" / "config.json"),
}


def spoil_file(path: Path) -> None:
    data = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])


def link_file(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/hostname")


@pytest.mark.parametrize("spoil", SPOILS)
def test_a_damaged_store_is_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: str) -> None:
    """Whatever is missing, other or strange in the store: the model is made again, and is what it was."""
    folder = age(model(tmp_path / "m", pickle=True))
    admit(folder).close()
    (entry,) = entries("admitted")
    age(entry)
    SPOILS[spoil](entry)
    watch = Watch(monkeypatch)
    with admit(folder) as admission:
        assert watch.inspected
        assert state_of(admission.path) == SAVED
        assert (admission.config or {})["model_type"] == "bert"
        assert not list(admission.path.rglob("*.py"))
    watch.__init__(monkeypatch)  # type: ignore[misc]
    admit(folder).close()
    assert watch.quiet


def test_a_damaged_entry_in_use_is_our_error_or_mended(tmp_path: Path) -> None:
    """While another load uses a damaged entry it cannot be replaced; nothing of it is handed over."""
    folder = age(model(tmp_path / "m", pickle=True))
    with admit(folder):
        (entry,) = entries("admitted")
        spoil_file(entry / "files" / "config.json")
        try:
            with admit(folder) as admission:
                assert (admission.config or {})["model_type"] == "bert"
        except SafeloadError as error:
            assert error.remedy


def test_what_the_store_holds_cannot_be_written_by_accident(tmp_path: Path) -> None:
    """Files of admissions and conversions are read-only, in directories of this user alone."""
    admit(age(model(tmp_path / "m", pickle=True))).close()
    for path in (Path(os.environ["SAFELOAD_HOME"]) / "v1").rglob("files/*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o400
    for kind in ("admitted", "converted"):
        for entry in entries(kind):
            assert stat.S_IMODE(entry.stat().st_mode) == 0o700


def test_one_conversion_serves_every_copy_that_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two requests for one checkpoint convert it once."""
    folder = age(model(tmp_path / "m", pickle=True))
    admit(folder).close()
    watch = Watch(monkeypatch)
    with admit(folder, request=Request(purpose="model")) as admission:
        assert not watch.converted
        assert state_of(admission.path) == SAVED


def test_weights_that_others_can_write_are_known_by_content_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their identity proves nothing, so they are hashed each time; the conversion is found by the digest."""
    folder = age(model(tmp_path / "m", pickle=True))
    (folder / "pytorch_model.bin").chmod(0o666)
    admit(folder).close()
    watch = Watch(monkeypatch)
    admit(folder).close()
    assert "pytorch_model.bin" in watch.hashed and not watch.converted
    write(folder / "pytorch_model.bin", pickled({"embed.weight": __import__("torch").ones(1)}))
    with admit(folder) as admission:
        assert list(state_of(admission.path)) == ["embed.weight"]


def test_safe_bytes_for_a_pickle_of_the_same_name_are_not_mixed_up(tmp_path: Path) -> None:
    """A file that was converted and is now safetensors is handed over as it is."""
    folder = age(model(tmp_path / "m", pickle=True))
    admit(folder).close()
    write(folder / "pytorch_model.bin", safe())
    with admit(folder) as admission:
        assert [file.how for file in admission.files if file.path == "model.safetensors"] == ["link"]
        assert state_of(admission.path) == SAVED
