"""Models of parts with code of their own: approved it runs, by its name and from its bytes; else it does not."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import safeload.sentence_transformers as sentences_guarded
from safeload import PolicyDenied, UsageError
from safeload.engine.approved import PACKAGE
from tests.adapters import coded, coded_parts
from tests.adapters.sentences import edit
from tests.adapters.test_approved import approve, project  # noqa: F401  (a fixture)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

Build = Callable[[Path], Path]
SENTENCES: dict[str, Build] = {"module": coded_parts.build_module, "router": coded_parts.build_routed}
EACH = pytest.mark.parametrize("build", SENTENCES.values(), ids=SENTENCES)


def sentences(path: Path, trust: bool | None = True, **more: Any) -> Any:
    return sentences_guarded.SentenceTransformer(str(path), device="cpu", trust_remote_code=trust, **more)


def sevens(model: Any) -> bool:
    """Whether the author's module had the last word."""
    embed = getattr(model, "encode_document", model.encode)
    vectors = embed(["w1 w2"], convert_to_tensor=True)
    return bool(torch.all(vectors == vectors[0, 0]))


# --- sentence-transformers ------------------------------------------------------------------------------------------


@EACH
def test_a_module_without_an_approval_is_refused(build: Build, project: Path) -> None:  # noqa: F811
    """One reason names every file and the command that approves; nothing ran, whether or not trust is given."""
    path = build(project / "m")
    for trust in (True, None, False):
        with pytest.raises(PolicyDenied) as caught:
            sentences(path, trust)
        (reason,) = caught.value.verdict.denials()
        assert all(name in reason.message for name in coded_parts.SENTENCE_FILES)
        assert f"safeload approve {path}" in reason.remedy
    assert not coded.RAN


@EACH
def test_an_approved_module_runs(build: Build, project: Path) -> None:  # noqa: F811
    """The class is the author's own, of approved bytes; each file ran once, in two loads."""
    path = build(project / "m")
    approve(path)
    assert not coded.RAN
    for _ in range(2):
        model = sentences(path)
        assert sevens(model) and sevens(copy.deepcopy(model))
    own = [module for module in model.modules() if type(module).__name__ == "CustomModule"]
    assert own and all(type(module).__module__.startswith(f"{PACKAGE}.c") for module in own)
    assert sorted(coded.RAN) == sorted(coded_parts.SENTENCE_FILES)


@EACH
def test_one_byte_more_and_a_module_is_refused(build: Build, project: Path) -> None:  # noqa: F811
    """A change in any file of the closure."""
    path = build(project / "m")
    approve(path)
    for name in coded_parts.SENTENCE_FILES:
        before = (path / name).read_bytes()
        (path / name).write_bytes(before + b"\n")
        with pytest.raises(PolicyDenied, match=f"{name} changed since jo read it"):
            sentences(path)
        (path / name).write_bytes(before)
    assert not coded.RAN


@EACH
def test_an_approved_module_has_to_be_asked_for(build: Build, project: Path) -> None:  # noqa: F811
    """Without `trust_remote_code=True` no code runs, whoever approved it."""
    path = build(project / "m")
    approve(path)
    for trust in (None, False):
        with pytest.raises(UsageError, match="trust_remote_code=True"):
            sentences(path, trust)
    assert not coded.RAN


@pytest.mark.parametrize("kind", ["custom.inner.Own", "installed.Own", "installed.deep.Own"])
def test_what_is_installed_under_that_name_is_not_imported(
    kind: str,
    project: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The library would go on to import it, where a name is in no file of the model; beside approved code as well."""
    path = coded_parts.build_module(project / "m")
    for name in ("custom/__init__.py", "custom/inner.py", "installed/__init__.py", "installed/deep.py"):
        coded.write(project / "site", name, "class Own: ...\n")
    coded.write(path, "custom/inner.py", "class Own: ...\n")
    edit(path / "modules.json", lambda modules: modules[1].update(type=kind))
    monkeypatch.syspath_prepend(str(project / "site"))
    approve(path)
    with pytest.raises(PolicyDenied, match="no approval can cover"):
        sentences(path)
    assert not coded.RAN


def test_another_class_of_an_approved_module_is_refused(project: Path) -> None:  # noqa: F811
    """The approval names the classes; one that the configs name later is none of them."""
    path = coded_parts.build_module(project / "m")
    (path / "custom_st.py").write_text((path / "custom_st.py").read_text() + "class Other(CustomModule): ...\n")
    approve(path)
    edit(path / "modules.json", lambda modules: modules[3].update(type="custom_st.Other"))
    with pytest.raises(PolicyDenied, match=r"custom_st\.Other"):
        sentences(path)
    assert not coded.RAN


def test_a_tripwire_watches_a_module(project: Path, marker: Path) -> None:  # noqa: F811
    """What no policy lists does not happen while the code loads."""
    path = coded_parts.build_module(project / "m")
    (path / "custom_st.py").write_text(f"open({str(marker)!r}, 'w')\n{coded_parts.MODULE}")
    (project / "safeload.toml").write_text('version = 1\n[remote-code]\ncapabilities = ["none"]\n')
    approve(path)
    with pytest.raises(PolicyDenied, match="no policy lists, file-write"):
        sentences(path)
    assert not marker.exists()


def test_the_librarys_cache_of_modules_has_no_effect(
    project: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The library's own way to import is never taken: nothing is written where it keeps modules, nothing read."""
    from transformers import dynamic_module_utils

    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(project / "modules"))
    path = coded_parts.build_module(project / "m")
    approve(path)
    assert sevens(sentences(path)) and not (project / "modules").exists()
    assert not [name for name in sys.modules if name.startswith("transformers_modules") and "custom_st" in name]
