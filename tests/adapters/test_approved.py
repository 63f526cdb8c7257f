"""Code that was approved runs; code that was not does not: each way in, with the real library."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import safeload.transformers as guarded
from safeload import PolicyDenied, UsageError
from safeload.cli.main import main
from safeload.engine import approved
from safeload.trust import layers
from tests.adapters import coded, coded_vision

CASES = coded.CASES | coded_vision.CASES
if find_spec("torchvision") is not None:
    CASES |= {"video": coded_vision.VIDEO_CASE}
EACH = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, which is the working directory."""
    tmp_path.chmod(0o700)
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(layers, "SYSTEM", str(tmp_path / "etc/policy.toml"))
    coded.RAN.clear()
    # Nothing that an earlier test approved is remembered, as in a new process.
    monkeypatch.setattr(approved, "_modules", {})
    monkeypatch.setattr(approved, "_made", set())
    monkeypatch.delenv(approved.ENVIRONMENT, raising=False)
    for name in [name for name in sys.modules if name.startswith(approved.PACKAGE)]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


def approve(path: Path | str, *more: str) -> None:
    assert main(["approve", str(path), "--criteria", "safe-to-run", "--as", "jo", *more]) == 0


@EACH
def test_without_an_approval_it_is_refused(case: coded.Case, project: Path) -> None:
    """One reason names every file and the command that approves; nothing ran."""
    path = case.build(project / "m")
    with pytest.raises(PolicyDenied) as caught:
        case.load(guarded, str(path))
    (reason,) = caught.value.verdict.denials()
    assert all(name in reason.message for name in case.files)
    assert f"safeload approve {path}" in reason.remedy
    assert not coded.RAN


@EACH
def test_once_approved_it_runs(case: coded.Case, project: Path) -> None:
    """The class or function is the author's own, and each file ran once."""
    path = case.build(project / "m")
    approve(path)
    assert not coded.RAN
    for _ in range(2):
        assert case.origin(case.load(guarded, str(path))) == "own"
    assert sorted(coded.RAN) == sorted(case.files)


@EACH
def test_one_byte_more_and_it_is_refused(case: coded.Case, project: Path) -> None:
    """A change in any file of the closure, the smallest one too."""
    path = case.build(project / "m")
    approve(path)
    coded.refused_after_one_byte(path, case.files, lambda: case.load(guarded, str(path)))
    assert not coded.RAN


@EACH
def test_a_new_import_is_refused(case: coded.Case, project: Path) -> None:
    """Also where it would succeed."""
    path = case.build(project / "m")
    approve(path)
    file = path / case.files[-1]
    file.write_text("import numpy.linalg\n" + file.read_text())
    with pytest.raises(PolicyDenied, match="changed"):
        case.load(guarded, str(path))
    assert not coded.RAN


@EACH
def test_approved_is_not_asked_for(case: coded.Case, project: Path) -> None:
    """Without `trust_remote_code=True` no code runs, whoever approved it."""
    path = case.build(project / "m")
    approve(path)
    untrusting = _Untrusting()
    try:
        loaded = case.load(untrusting, str(path))
    except (UsageError, AttributeError, TypeError, ValueError) as error:
        assert any(word in str(error) for word in ("trust_remote_code", "generate", "Unrecognized image processor"))
    else:
        assert case.origin(loaded) != "own"
    assert not coded.RAN


class _Untrusting:
    """safeload.transformers for a caller who does not trust code."""

    def __getattr__(self, name: str) -> object:
        value = getattr(guarded, name)
        if name == "pipeline":
            return lambda *args, trust_remote_code, **kwargs: value(*args, **kwargs)

        class Stand:
            @staticmethod
            def from_pretrained(path: str, *, trust_remote_code: bool) -> object:
                return value.from_pretrained(path)

        return Stand
