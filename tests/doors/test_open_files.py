"""Files that a program opened itself: policy files and locks count for them as far as their name goes, and no less."""

from __future__ import annotations

import io
import os
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy
import pytest
import torch

import safeload
from safeload import joblib as safe_joblib
from safeload import numpy as safe_numpy
from safeload import pickle as safe_pickle
from safeload import torch as safe_torch
from safeload.core.errors import ConfigError, PolicyDenied, UsageError, VerificationFailed

LOADS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "pickle": (lambda file: pickle.dump({"a": [1]}, file), safe_pickle.load),
    "pickle of Python 2": (
        lambda file: pickle.dump({"a": [1]}, file, protocol=2),
        lambda file: safe_pickle.load(file, encoding="bytes"),
    ),
    "Unpickler": (lambda file: pickle.dump({"a": [1]}, file), lambda file: safe_pickle.Unpickler(file).load()),
    "torch": (lambda file: torch.save({"a": torch.ones(1)}, file), safe_torch.load),
    "numpy": (lambda file: numpy.save(file, numpy.ones(2)), safe_numpy.load),
    "npz": (lambda file: numpy.savez(file, a=numpy.ones(2)), lambda file: dict(safe_numpy.load(file))),
    "joblib": (lambda file: joblib.dump({"a": numpy.ones(2)}, file), safe_joblib.load),
}
OPENS: dict[str, Callable[[Path], Any]] = {
    "buffered": lambda path: path.open("rb"),
    "unbuffered": lambda path: path.open("rb", buffering=0),
    "for writing too": lambda path: path.open("r+b"),
    "by its descriptor": lambda path: os.fdopen(os.open(path, os.O_RDONLY), "rb"),
    "by a relative name": lambda path: open(os.path.relpath(path), "rb"),  # noqa: SIM115
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project to work in, whose models lie beside it."""
    for name in ("work", "models"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


@pytest.fixture(params=LOADS, ids=lambda name: name.replace(" ", "-"))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def written(project: Path, kind: str) -> tuple[Path, Callable[[Any], Any]]:
    path = project / "models/file"
    write, load = LOADS[kind]
    with path.open("wb") as file:
        write(file)
    return path, load


def policy(project: Path, text: str) -> None:
    (project / "work/safeload.toml").write_text("version = 1\n" + text)


@pytest.mark.parametrize("how", OPENS, ids=lambda name: name.replace(" ", "-"))
def test_a_rule_about_its_path_counts(how: str, kind: str, project: Path) -> None:
    """However it was opened; another file is none of the rule's, and the caller gets what it would have got."""
    path, load = written(project, kind)
    policy(project, f'[[rule]]\nmatch = ["path:{path}"]\nrequire = "locked"\n')
    with OPENS[how](path) as file, pytest.raises(PolicyDenied, match="in no lock"):
        load(file)
    policy(project, f'[[rule]]\nmatch = ["path:{path}x"]\nrequire = "locked"\n')
    with OPENS[how](path) as file:
        assert "a" in load(file) or kind == "numpy"


def test_a_rule_may_also_allow_it(kind: str, project: Path) -> None:
    """What everything else is refused for is allowed to the file that a rule names; only to that one."""
    path, load = written(project, kind)
    policy(project, f'[defaults]\nrequire = "locked"\n[[rule]]\nmatch = ["path:{path}"]\nrequire = "none"\n')
    with path.open("rb") as file:
        load(file)
    with pytest.raises(PolicyDenied, match="in no lock"):
        load(io.BytesIO(path.read_bytes()))


def test_a_lock_counts(kind: str, project: Path) -> None:
    """A file that a lock names loads as it is, and is refused when it is another one."""
    path, load = written(project, kind)
    file, _ = safeload.lock(str(path.parent))
    assert os.path.dirname(file) == os.getcwd()
    policy(project, '[defaults]\nrequire = "locked"\n')
    with path.open("rb") as opened:
        load(opened)
    data = path.read_bytes()
    path.write_bytes(data + b"\0" if kind != "npz" else data.replace(b"\x3f", b"\x40"))
    with path.open("rb") as opened, pytest.raises(PolicyDenied, match="file"):
        load(opened)


@pytest.mark.parametrize("after", ["another file", "nothing", "a link to itself"])
def test_a_file_does_not_get_away_from_its_name(after: str, kind: str, project: Path) -> None:
    """Whoever exchanges or removes the name once the file is open does not free it from what the name is asked."""
    path, load = written(project, kind)
    good = path.read_bytes()
    safeload.lock(str(path.parent))
    path.write_bytes(good + b"\0")
    with path.open("rb") as file:
        path.unlink()
        if after == "another file":
            path.write_bytes(good)
        elif after == "a link to itself":
            path.symlink_to(path)
        with pytest.raises(PolicyDenied, match="file"):
            load(file)


def test_a_name_that_leads_elsewhere_allows_nothing(kind: str, project: Path) -> None:
    """A rule that allows a file is not about one that only says that it has its name."""
    path, load = written(project, kind)
    other = project / "models/allowed"
    other.write_bytes(path.read_bytes())
    policy(project, f'[defaults]\nrequire = "locked"\n[[rule]]\nmatch = ["path:{other}"]\nrequire = "none"\n')
    with other.open("rb") as file:
        other.unlink()
        path.rename(other)
        with pytest.raises(PolicyDenied, match="in no lock"):
            load(file)


def test_a_file_that_was_moved_is_asked_for_both_names(kind: str, project: Path) -> None:
    """The one that it was opened by, and the one that the system knows; another file may have the first one now."""
    path, load = written(project, kind)
    data = path.read_bytes()
    for named in ("file", "moved"):
        path.write_bytes(data)
        policy(project, f'[[rule]]\nmatch = ["path:{path.with_name(named)}"]\nrequire = "locked"\n')
        with path.open("rb") as file:
            path.rename(path.with_name("moved"))
            path.write_bytes(data)
            with pytest.raises(PolicyDenied, match="in no lock"):
                load(file)


def test_a_relative_name_means_what_it_meant(kind: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that has gone to another directory since cannot leave a file's rules behind."""
    path, load = written(project, kind)
    policy(project, f'[[rule]]\nmatch = ["path:{path}"]\nrequire = "locked"\n')
    monkeypatch.chdir(path.parent)
    with open("file", "rb") as file:
        monkeypatch.chdir(project / "work")
        with pytest.raises(PolicyDenied, match="in no lock"):
            load(file)


def test_what_has_no_name_gets_what_everything_is_asked(kind: str, project: Path) -> None:
    """`[defaults]` counts for buffers and files without a name; a policy given in code, as ever."""
    path, load = written(project, kind)
    data = path.read_bytes()
    load(io.BytesIO(data))
    policy(project, '[defaults]\nformats = ["onnx"]\n')
    with pytest.raises(PolicyDenied, match="format"):
        load(io.BytesIO(data))
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        with pytest.raises(PolicyDenied, match="format"):
            load(file)


def test_a_policy_file_may_be_named(project: Path) -> None:
    """`Options(policy="…")` is honoured for buffers: it was an error before."""
    (project / "own.toml").write_text('version = 1\n[defaults]\nformats = ["onnx"]\n')
    options = safeload.Options(policy=project / "own.toml")
    with pytest.raises(PolicyDenied, match="format"):
        safe_pickle.loads(pickle.dumps([1]), safeload=options)


def test_what_was_not_written_yet_is_read(kind: str, project: Path) -> None:
    """A file that is open for both is read with what still waits in its buffer."""
    write, load = LOADS[kind]
    with (project / "models/file").open("w+b") as file:
        write(file)
        file.seek(0)
        assert "a" in load(file) or kind == "numpy"


def test_a_file_is_read_from_where_it_stands(project: Path) -> None:
    """Pickles that follow each other are loaded one after the other; each is judged with the whole file's digest."""
    path = project / "models/file"
    with path.open("wb") as file:
        for number in range(3):
            pickle.dump([number], file)
    safeload.lock(str(path.parent))
    policy(project, '[defaults]\nrequire = "locked"\n')
    for encoding in ("ASCII", "bytes"):
        with path.open("rb") as file:
            assert [safe_pickle.load(file, encoding=encoding) for _ in range(3)] == [[0], [1], [2]]
    path.write_bytes(path.read_bytes() + pickle.dumps([3]))
    with path.open("rb") as file, pytest.raises(PolicyDenied):
        safe_pickle.load(file)


def test_stale_bytes_are_no_part_of_the_file(project: Path) -> None:
    """What a buffer kept from before the file changed is not judged by the digest of what it is now."""
    path, _ = written(project, "pickle of Python 2")
    with path.open("rb") as file:
        file.peek()
        path.write_bytes(pickle.dumps({"a": [2]}, protocol=2))
        with pytest.raises(VerificationFailed):
            safe_pickle.load(file, encoding="bytes")


def test_in_a_directory_that_is_gone_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no project can be found, none of its rules are left out: the load is an error of ours."""
    (tmp_path / "gone").mkdir()
    (tmp_path / "file").write_bytes(pickle.dumps([1]))
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(ConfigError, match="working directory"):
        safe_pickle.loads(pickle.dumps([1]))
    with (tmp_path / "file").open("rb") as file, pytest.raises(ConfigError, match="working directory"):
        safe_pickle.load(file)
    monkeypatch.undo()
    assert safe_pickle.loads(pickle.dumps([1])) == [1]


def test_a_file_open_as_text_is_refused(project: Path) -> None:
    """As ever."""
    path, _ = written(project, "torch")
    with path.open("r", encoding="latin1") as file, pytest.raises(UsageError, match="text"):
        safe_torch.load(file)


def test_a_policy_of_the_callers_sees_the_digest(project: Path) -> None:
    """Evidence of an open file holds what the file's bytes are."""
    path, _ = written(project, "pickle")
    seen: list[Any] = []

    class Looks:
        def decide(self, evidence: Any) -> Any:
            seen.append(dict(evidence.digests))
            return safeload.DEFAULT_POLICY.decide(evidence)

    with path.open("rb") as file:
        safe_pickle.load(file, safeload=safeload.Options(policy=Looks()))
    import hashlib

    assert seen == [{"file": hashlib.sha256(path.read_bytes()).hexdigest()}]
