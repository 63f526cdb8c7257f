"""Models of parts with code of their own: approved it runs, by its name and from its bytes; else it does not."""

from __future__ import annotations

import copy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentence_transformers as plain
import torch

import safeload.diffusers as diffusers_guarded
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
    coded.refused_after_one_byte(path, coded_parts.SENTENCE_FILES, lambda: sentences(path))
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


def test_a_module_that_fails_is_not_looked_for_elsewhere(
    project: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After an error the library tries what is installed under the same name."""
    path = coded_parts.build_module(project / "m")
    (path / "custom_st.py").write_text("raise ValueError('not today')\n")
    coded.write(project / "site", "custom_st.py", coded_parts.MODULE)
    monkeypatch.syspath_prepend(str(project / "site"))
    approve(path)
    with pytest.raises(PolicyDenied, match=r"import custom_st\.CustomModule"):
        sentences(path)
    assert not coded.RAN and "custom_st" not in sys.modules


def test_a_multi_vector_encoder_takes_an_approved_module(
    project: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It asks in another way what kind of class it is; what is installed under that name is not imported for it."""
    if not hasattr(plain, "MultiVectorEncoder"):
        pytest.skip("this version has none")
    path = coded_parts.build_module(project / "m")
    coded.write(project / "site", "custom_st.py", coded_parts.MODULE)
    monkeypatch.syspath_prepend(str(project / "site"))
    approve(path)
    model = sentences_guarded.MultiVectorEncoder(str(path), device="cpu", trust_remote_code=True)
    (own,) = (module for module in model if type(module).__name__ == "CustomModule")
    assert type(own).__module__.startswith(f"{PACKAGE}.c") and "custom_st" not in sys.modules
    assert sorted(coded.RAN) == sorted(coded_parts.SENTENCE_FILES)


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


@EACH
def test_what_is_saved_loads_without_another_approval(build: Build, project: Path) -> None:  # noqa: F811
    """All of the code is written where it was, and the configs name it as they did: the code is the same."""
    path = build(project / "m")
    approve(path)
    model = sentences(path)
    for save in (model.save_pretrained, model.save):
        shutil.rmtree(project / "saved", ignore_errors=True)
        save("saved")
        for name in coded_parts.SENTENCE_FILES:
            assert (project / "saved" / name).read_bytes() == (path / name).read_bytes()
        assert not any(PACKAGE in file.read_text() for file in (project / "saved").rglob("*.json"))
        assert sevens(sentences(project / "saved"))
    assert sorted(coded.RAN) == sorted(coded_parts.SENTENCE_FILES)


# --- diffusers ------------------------------------------------------------------------------------------------------

PIPELINES: dict[str, tuple[Build, tuple[str, ...]]] = {
    "pipeline": (coded_parts.build_pipeline, ("my_pipeline.py",)),
    "component": (coded_parts.build_component, ("unet/more.py", "unet/my_unet.py")),
    "both": (coded_parts.build_both, ("my_pipeline.py", "unet/more.py", "unet/my_unet.py")),
}
EACH_PIPELINE = pytest.mark.parametrize(("build", "files"), PIPELINES.values(), ids=PIPELINES)


def pipeline(path: Path, trust: bool | None = True, owner: str = "DiffusionPipeline") -> Any:
    return getattr(diffusers_guarded, owner).from_pretrained(str(path), trust_remote_code=trust)


@EACH_PIPELINE
def test_a_pipeline_without_an_approval_is_refused(
    build: Build,
    files: tuple[str, ...],
    project: Path,  # noqa: F811
) -> None:
    """One reason names every file and the command that approves; nothing ran, whether or not trust is given."""
    path = build(project / "m")
    for trust in (True, None, False):
        with pytest.raises(PolicyDenied) as caught:
            pipeline(path, trust)
        (reason,) = caught.value.verdict.denials()
        assert all(name in reason.message for name in files)
        assert f"safeload approve {path}" in reason.remedy
    assert not coded.RAN


@EACH_PIPELINE
def test_an_approved_pipeline_runs(build: Build, files: tuple[str, ...], project: Path) -> None:  # noqa: F811
    """What the approval names is the author's own, of approved bytes, all else the library's; each file ran once."""
    path = build(project / "m")
    approve(path)
    assert not coded.RAN
    for owner in ("DiffusionPipeline", "DDPMPipeline"):
        pipe = pipeline(path, owner=owner)
        for part, file in ((pipe, "my_pipeline.py"), (pipe.unet, "unet/my_unet.py")):
            own = file in files
            assert type(part).__module__.startswith(f"{PACKAGE}.c" if own else "diffusers.")
            assert not own or part.origin() == "own"
        assert pipe(num_inference_steps=1, output_type="np").images.shape == (1, 8, 8, 3)
    assert sorted(coded.RAN) == sorted(files)


@EACH_PIPELINE
def test_one_byte_more_and_a_pipeline_is_refused(
    build: Build,
    files: tuple[str, ...],
    project: Path,  # noqa: F811
) -> None:
    """A change in any file of the closure."""
    path = build(project / "m")
    approve(path)
    coded.refused_after_one_byte(path, files, lambda: pipeline(path))
    assert not coded.RAN


@EACH_PIPELINE
def test_an_approved_pipeline_has_to_be_asked_for(
    build: Build,
    files: tuple[str, ...],
    project: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without `trust_remote_code=True`, or where the library's own switch forbids code, none runs."""
    path = build(project / "m")
    approve(path)
    for trust in (None, False):
        with pytest.raises(UsageError, match="trust_remote_code=True"):
            pipeline(path, trust)
    monkeypatch.setattr("diffusers.utils.dynamic_modules_utils.DIFFUSERS_DISABLE_REMOTE_CODE", True)
    with pytest.raises(UsageError, match="DIFFUSERS_DISABLE_REMOTE_CODE"):
        pipeline(path)
    assert not coded.RAN


def test_a_class_that_is_no_pipeline_is_refused(project: Path) -> None:  # noqa: F811
    """Whatever the approved file holds under that name."""
    path = coded_parts.build_pipeline(project / "m")
    coded.write(
        path, "my_pipeline.py", "class MyPipeline:\n    @classmethod\n    def from_pretrained(*a, **k): 1 / 0\n"
    )
    approve(path)
    with pytest.raises(PolicyDenied, match="for a pipeline, which it is not"):
        pipeline(path)


def test_another_class_of_an_approved_component_is_refused(project: Path) -> None:  # noqa: F811
    """The approval names the classes; one that the index names later is none of them."""
    path = coded_parts.build_component(project / "m")
    approve(path)
    edit(path / "model_index.json", lambda index: index.update(unet=["my_unet", "UNet2DModel"]))
    with pytest.raises(PolicyDenied, match=r"unet\.my_unet\.UNet2DModel"):
        pipeline(path)


def test_an_approved_component_wins_over_a_module_of_that_name(project: Path) -> None:  # noqa: F811
    """diffusers has pipelines called `ddpm`; what was approved is what is loaded."""
    path = coded_parts.build_component(project / "m")
    (path / "unet/my_unet.py").rename(path / "unet/ddpm.py")
    edit(path / "model_index.json", lambda index: index.update(unet=["ddpm", "MyUNet"]))
    approve(path)
    assert pipeline(path).unet.origin() == "own"


def test_a_choosing_class_does_not_take_a_pipeline_of_its_own(project: Path) -> None:  # noqa: F811
    """`AutoPipeline…` knows those of diffusers only, and says what to call instead."""
    path = coded_parts.build_pipeline(project / "m")
    approve(path)
    with pytest.raises(UsageError, match="chooses among those of diffusers"):
        pipeline(path, owner="AutoPipelineForText2Image")
    assert not coded.RAN


def test_code_of_a_single_component(project: Path) -> None:  # noqa: F811
    """`auto_map` in the config of a network, loaded by itself: refused, approved, run."""
    path = coded_parts.build_component(project / "m")
    edit(path / "unet/config.json", lambda config: config.update(auto_map={"AutoModel": "my_unet.MyUNet"}))
    load = diffusers_guarded.AutoModel.from_pretrained
    with pytest.raises(PolicyDenied, match="nobody approved"):
        load(str(path), subfolder="unet", trust_remote_code=True)
    assert not coded.RAN
    approve(path)
    assert load(str(path), subfolder="unet", trust_remote_code=True).origin() == "own"


def test_a_tripwire_watches_a_pipeline(project: Path, marker: Path) -> None:  # noqa: F811
    """What no policy lists does not happen while the code loads."""
    path = coded_parts.build_pipeline(project / "m")
    (path / "my_pipeline.py").write_text(f"open({str(marker)!r}, 'w')\n{coded_parts.PIPELINE}")
    (project / "safeload.toml").write_text('version = 1\n[remote-code]\ncapabilities = ["none"]\n')
    approve(path)
    with pytest.raises(PolicyDenied, match="no policy lists, file-write"):
        pipeline(path)
    assert not marker.exists()
