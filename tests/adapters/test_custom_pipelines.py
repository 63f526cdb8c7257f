"""`custom_pipeline=` and `auto_map` of diffusers: approved the code runs, by its name and from its bytes; else not."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers as plain
import pytest

import safeload.diffusers as guarded
from safeload import PolicyDenied, UsageError
from safeload.cli.main import main
from safeload.core.errors import SafeloadError, SourceError
from safeload.engine.approved import PACKAGE
from tests.adapters import coded, coded_parts, diffusion
from tests.adapters.test_approved import approve, project  # noqa: F401  (a fixture)
from tests.hubserver import Hub, hub

__all__ = ["hub"]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

SOURCE = """from diffusers import DDPMPipeline
from .words import WORD
class Custom(DDPMPipeline):
    def origin(self):
        return WORD
"""


def write(folder: Path, name: str = "pipeline.py") -> Path:
    """A program of two files."""
    coded.write(folder, name, SOURCE, label="program")
    coded.write(folder, "words.py", 'WORD = "own"\n')
    return folder


def in_a_directory(project: Path) -> tuple[str, str]:  # noqa: F811
    return str(write(project / "program")), str(project / "program/pipeline.py")


def in_a_file(project: Path) -> tuple[str, str]:  # noqa: F811
    path = write(project / "program", "lpw.py") / "lpw.py"
    return str(path), str(path)


def in_a_file_here(project: Path) -> tuple[str, str]:  # noqa: F811
    """In the working directory, where `audits.toml` is as well."""
    write(project, "lpw.py")
    return "lpw.py", "lpw.py"


def in_the_model(project: Path) -> tuple[str, str]:  # noqa: F811
    write(project / "m")
    return "pipeline", str(project / "m/pipeline.py")


def of_another_name_in_the_model(project: Path) -> tuple[str, str]:  # noqa: F811
    write(project / "m", "second.py")
    return "second", str(project / "m/second.py")


WAYS: dict[str, Callable[[Path], tuple[str, str]]] = {
    "directory": in_a_directory,
    "file": in_a_file,
    "file-here": in_a_file_here,
    "in-model": in_the_model,
    "in-model-by-name": of_another_name_in_the_model,
}
EACH = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def load(path: Path, custom: str, trust: bool | None = True, owner: str = "DiffusionPipeline", **more: Any) -> Any:
    return getattr(guarded, owner).from_pretrained(str(path), custom_pipeline=custom, trust_remote_code=trust, **more)


@EACH
def test_without_an_approval_it_is_refused(way: Callable[[Path], tuple[str, str]], project: Path) -> None:  # noqa: F811
    """One reason names every file and the command that approves; nothing ran, whether or not trust is given."""
    path = diffusion.build_ddpm(project / "m")
    custom, program = way(project)
    for trust in (True, None, False):
        with pytest.raises(PolicyDenied) as caught:
            load(path, custom, trust)
        (reason,) = caught.value.verdict.denials()
        assert "words.py" in reason.message and Path(program).name in reason.message
        assert f"safeload approve {program} --criteria safe-to-run" in reason.remedy
    assert not coded.RAN


@EACH
def test_once_approved_it_runs(way: Callable[[Path], tuple[str, str]], project: Path) -> None:  # noqa: F811
    """The class is the author's own, the components are the library's; each file ran once, in three loads."""
    path = diffusion.build_ddpm(project / "m")
    custom, program = way(project)
    approve(program)
    assert not coded.RAN
    for owner in ("DiffusionPipeline", "DDPMPipeline", "DiffusionPipeline"):
        pipe = load(path, custom, owner=owner)
        assert pipe.origin() == "own" and type(pipe).__module__.startswith(f"{PACKAGE}.c")
        assert type(pipe.unet) is plain.UNet2DModel
        assert pipe(num_inference_steps=1, output_type="np").images.shape == (1, 8, 8, 3)
    assert sorted(coded.RAN) == ["program", "words.py"]
    assert pipe.config._name_or_path == str(path)


@EACH
def test_one_byte_more_and_it_is_refused(way: Callable[[Path], tuple[str, str]], project: Path) -> None:  # noqa: F811
    """A change in any file of the program."""
    path = diffusion.build_ddpm(project / "m")
    custom, program = way(project)
    approve(program)
    for file in (Path(program), Path(program).with_name("words.py")):
        before = file.read_bytes()
        file.write_bytes(before + b"\n")
        with pytest.raises(PolicyDenied, match=f"{file.name} changed since jo read it"):
            load(path, custom)
        file.write_bytes(before)
    assert not coded.RAN


@EACH
def test_approved_has_to_be_asked_for(way: Callable[[Path], tuple[str, str]], project: Path) -> None:  # noqa: F811
    """Without `trust_remote_code=True` no code runs, whoever approved it."""
    path = diffusion.build_ddpm(project / "m")
    custom, program = way(project)
    approve(program)
    for trust in (None, False):
        with pytest.raises(UsageError, match="trust_remote_code=True"):
            load(path, custom, trust)
    assert not coded.RAN


def test_a_repository_on_the_hub(hub: Hub, project: Path) -> None:  # noqa: F811
    """By its name, with a revision of its own: refused, approved, run, refused after a push."""
    path = diffusion.build_ddpm(project / "m")
    files = {file.name: file.read_bytes() for file in write(project / "program").iterdir()}
    first = hub.add("org/program", files)
    with pytest.raises(PolicyDenied, match=r"words\.py") as caught:
        load(path, "org/program")
    assert "safeload approve hf://org/program/pipeline.py" in str(caught.value)
    approve("hf://org/program/pipeline.py")
    assert load(path, "org/program").origin() == "own"
    hub.add("org/program", files | {"words.py": b'WORD = "other"\n'})
    with pytest.raises(PolicyDenied, match=r"words\.py changed"):
        load(path, "org/program")
    assert load(path, "org/program", custom_revision=first).origin() == "own"


def test_a_program_of_a_model_on_the_hub(hub: Hub, project: Path) -> None:  # noqa: F811
    """A file of the model, at the model's revision."""
    write(diffusion.build_ddpm(project / "m"), "second.py")
    commit = hub.add(
        "org/m",
        {
            str(file.relative_to(project / "m")): file.read_bytes()
            for file in (project / "m").rglob("*")
            if file.is_file()
        },
    )
    reference = f"hf://org/m/second.py@{commit}"
    with pytest.raises(PolicyDenied) as caught:
        guarded.DiffusionPipeline.from_pretrained("org/m", custom_pipeline="second", trust_remote_code=True)
    assert f"safeload approve {reference}" in str(caught.value)
    approve("hf://org/m/second.py")
    pipe = guarded.DiffusionPipeline.from_pretrained("org/m", custom_pipeline="second", trust_remote_code=True)
    assert pipe.origin() == "own"
    with pytest.raises(UsageError, match="at its revision"):
        guarded.DiffusionPipeline.from_pretrained(
            "org/m", custom_pipeline="second", custom_revision="main", trust_remote_code=True
        )


def test_a_community_name_is_refused_with_the_way(project: Path) -> None:  # noqa: F811
    """The library would fetch whatever has that name today, without asking for trust; a file that was read may run."""
    path = diffusion.build_ddpm(project / "m")
    for trust in (True, None):
        with pytest.raises(UsageError, match="community pipeline") as caught:
            load(path, "lpw_stable_diffusion", trust)
        told = str(caught.value)
        assert (
            "hf download diffusers/community-pipelines-mirror main/lpw_stable_diffusion.py --repo-type dataset" in told
        )
        assert "safeload approve main/lpw_stable_diffusion.py" in told


@pytest.mark.parametrize("custom", ["gone.py", "no/such/place", "m/unet", "../..", 5, "", "https://x/y.py"])
def test_what_is_no_program_is_refused(custom: Any, project: Path) -> None:  # noqa: F811
    """Nothing that could be fetched or found elsewhere is taken instead."""
    path = diffusion.build_ddpm(project / "m")
    with pytest.raises(SafeloadError):
        load(path, custom)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"custom_revision": "main"}, "has no revisions"),
        ({"load_connected_pipeline": True}, "other models"),
        ({"use_onnx": True}, "ONNX"),
    ],
    ids=["revision", "connected", "onnx"],
)
def test_arguments_that_cannot_be_honoured(more: dict[str, Any], why: str, project: Path) -> None:  # noqa: F811
    """A revision of a local file, and what is refused anyway."""
    path = diffusion.build_ddpm(project / "m")
    approve(write(project / "program") / "pipeline.py")
    with pytest.raises(UsageError, match=why):
        load(path, str(project / "program"), **more)
    with pytest.raises(UsageError, match="custom_revision"):
        guarded.DiffusionPipeline.from_pretrained(str(path), custom_revision="main")


def test_the_librarys_switch_forbids_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """`DIFFUSERS_DISABLE_REMOTE_CODE`."""
    path = diffusion.build_ddpm(project / "m")
    approve(write(project / "program") / "pipeline.py")
    monkeypatch.setattr("diffusers.utils.dynamic_modules_utils.DIFFUSERS_DISABLE_REMOTE_CODE", True)
    with pytest.raises(UsageError, match="DIFFUSERS_DISABLE_REMOTE_CODE"):
        load(path, str(project / "program"))
    assert not coded.RAN


def test_an_approval_of_the_model_is_none_of_the_program(project: Path) -> None:  # noqa: F811
    """Each is code of its own; a model with approved components takes an approved program as well."""
    path = coded_parts.build_component(project / "m")
    write(path, "second.py")
    approve(path)
    with pytest.raises(PolicyDenied, match=r"second\.py"):
        load(path, "second")
    approve(path / "second.py")
    pipe = load(path, "second")
    assert pipe.origin() == pipe.unet.origin() == "own"


def test_a_class_of_the_models_own_wins_over_a_foreign_program(project: Path) -> None:  # noqa: F811
    """As in diffusers, which would say nothing; a file of the model wins over the class."""
    path = coded_parts.build_pipeline(project / "m")
    approve(path)
    approve(write(project / "program") / "pipeline.py")
    with pytest.raises(UsageError, match="and not the one that custom_pipeline= names"):
        load(path, str(project / "program"))
    write(path, "second.py")
    approve(path / "second.py")
    assert type(load(path, "second")).__name__ == "Custom"


@pytest.mark.parametrize("source", ["class Custom: ...\n", "import diffusers\nCustom = diffusers.DDPMPipeline\n"])
def test_a_program_without_a_pipeline_is_refused(source: str, project: Path) -> None:  # noqa: F811
    """Whatever else the approved file holds."""
    path = diffusion.build_ddpm(project / "m")
    coded.write(project, "lpw.py", source)
    approve("lpw.py")
    with pytest.raises(PolicyDenied, match="holds no pipeline"):
        load(path, "lpw.py")


def test_another_pipeline_takes_over_components(project: Path) -> None:  # noqa: F811
    """`from_pipe` with a program, refused and approved; the components stay the same objects."""
    pipe = guarded.DiffusionPipeline.from_pretrained(str(diffusion.build_ddpm(project / "m")))
    write(project / "program")

    def again(**more: Any) -> Any:
        return guarded.DiffusionPipeline.from_pipe(pipe, custom_pipeline=str(project / "program"), **more)

    with pytest.raises(PolicyDenied, match=r"words\.py"):
        again(trust_remote_code=True)
    approve(project / "program/pipeline.py")
    with pytest.raises(UsageError, match="trust_remote_code=True"):
        again()
    assert again(trust_remote_code=True).origin() == "own" and again(trust_remote_code=True).unet is pipe.unet
    with pytest.raises(UsageError, match="no program"):
        guarded.DiffusionPipeline.from_pipe(pipe, trust_remote_code=True)


def test_what_lies_beside_is_not_run(project: Path, marker: Path) -> None:  # noqa: F811
    """Neither compiled files, nor the library's cache of modules, nor what changed after the approval was looked up."""
    from diffusers.utils import dynamic_modules_utils as dynamic

    path = diffusion.build_ddpm(project / "m")
    approve(write(project / "program") / "pipeline.py")
    evil = f"open({str(marker)!r}, 'w')\n"
    coded.write(Path(dynamic.HF_MODULES_CACHE) / "diffusers_modules/local", "pipeline.py", evil)
    coded.write(project / "program/__pycache__", "pipeline.cpython-311.pyc", "no code")
    coded.write(project / "program", "unrelated.py", evil)
    assert load(path, str(project / "program")).origin() == "own"
    assert not marker.exists()


def test_a_tripwire_watches_a_program(project: Path, marker: Path) -> None:  # noqa: F811
    """What no policy lists does not happen while the code loads."""
    path = diffusion.build_ddpm(project / "m")
    coded.write(project / "program", "pipeline.py", f"open({str(marker)!r}, 'w')\n" + coded_parts.PIPELINE)
    (project / "safeload.toml").write_text('version = 1\n[remote-code]\ncapabilities = ["none"]\n')
    approve(project / "program/pipeline.py")
    with pytest.raises(PolicyDenied, match="no policy lists, file-write"):
        load(path, str(project / "program"))
    assert not marker.exists()


def test_a_file_of_python_can_be_audited(project: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    """`safeload audit FILE.py`, `--check`, and what is not there."""
    write(project, "lpw.py")
    assert main(["audit", "lpw.py"]) == 1 and "words.py" in capsys.readouterr().out
    assert main(["audit", "lpw.py", "--check"]) == 1
    approve("lpw.py")
    assert main(["audit", "lpw.py", "--check"]) == 0
    (project / "words.py").unlink()
    with pytest.raises(PolicyDenied, match=r"words\.py"):
        load(diffusion.build_ddpm(project / "m"), "lpw.py")


def test_a_file_that_a_repository_has_not(hub: Hub, project: Path) -> None:  # noqa: F811
    """A name on the hub without a `pipeline.py`."""
    hub.add("org/program", {"README.md": b"nothing"})
    with pytest.raises(SourceError, match="no such file"):
        load(diffusion.build_ddpm(project / "m"), "org/program")


def test_classes_that_choose_take_a_program(project: Path) -> None:  # noqa: F811
    """`AutoPipelineForText2Image` hands it on, as the library does."""
    path = diffusion.build_stable(project / "m")
    coded.write(
        project, "lpw.py", "from diffusers import StableDiffusionPipeline\nclass Own(StableDiffusionPipeline): ...\n"
    )
    with pytest.raises(PolicyDenied, match=r"lpw\.py"):
        load(path, "lpw.py", owner="AutoPipelineForText2Image")
    approve("lpw.py")
    assert type(load(path, "lpw.py", owner="AutoPipelineForText2Image")).__name__ == "Own"


def test_the_library_chooses_no_pipeline_of_a_models_own(project: Path) -> None:  # noqa: F811
    """Why `AutoPipeline…` refuses a class of the model's own: diffusers does not know one, trusted or not."""
    path = coded_parts.build_pipeline(project / "m")
    with pytest.raises((ValueError, TypeError, AttributeError)):
        plain.AutoPipelineForText2Image.from_pretrained(str(path), trust_remote_code=True)


# --- a single model -------------------------------------------------------------------------------------------------

FILES = ("more.py", "my_unet.py")


def model(path: Path, trust: bool | None = True, **more: Any) -> Any:
    return guarded.AutoModel.from_pretrained(str(path), trust_remote_code=trust, **more)


def test_a_models_own_code_is_refused_approved_and_refused_again(project: Path) -> None:  # noqa: F811
    """`auto_map` in the config of a single model: with the names of the files, and for one byte."""
    path = coded_parts.build_mapped(project / "m")
    with pytest.raises(PolicyDenied) as caught:
        model(path)
    (reason,) = caught.value.verdict.denials()
    assert all(name in reason.message for name in FILES) and f"safeload approve {path}" in reason.remedy
    approve(path)
    assert not coded.RAN
    own = model(path)
    assert own.origin() == "own" and type(own).__module__.startswith(f"{PACKAGE}.c")
    assert copy.deepcopy(own).origin() == pickle.loads(pickle.dumps(own)).origin() == "own"
    assert sorted(coded.RAN) == ["more.py", "my_unet.py"]
    coded.refused_after_one_byte(path, FILES, lambda: model(path))


def test_a_model_in_a_folder(project: Path) -> None:  # noqa: F811
    """`subfolder=`, with the code beside the config."""
    coded_parts.build_mapped(project / "m/unet")
    approve("m")
    assert model(project / "m", subfolder="unet").origin() == "own"


def test_a_models_own_code_has_to_be_asked_for(project: Path) -> None:  # noqa: F811
    """Else the library's class is loaded, or nothing; a class of diffusers takes no code at all."""
    path = coded_parts.build_mapped(project / "m")
    approve(path)
    for trust in (None, False):
        assert type(model(path, trust)) is plain.UNet2DModel
    with pytest.raises(UsageError, match="takes the code of no model"):
        guarded.UNet2DModel.from_pretrained(str(path), trust_remote_code=True)
    assert not coded.RAN


def test_another_class_of_the_approved_file_is_refused(project: Path) -> None:  # noqa: F811
    """The approval names the class; one that the config names later is none of it."""
    path = coded_parts.build_mapped(project / "m")
    approve(path)
    diffusion.edit(path / "config.json", auto_map={"AutoModel": "my_unet.UNet2DModel"})
    with pytest.raises(PolicyDenied, match=r"my_unet\.UNet2DModel"):
        model(path)


def test_a_model_is_made_of_a_config(project: Path) -> None:  # noqa: F811
    """`AutoModel.from_config` by reference: refused, approved, run; an object of settings brings no code along."""
    path = coded_parts.build_mapped(project / "m")
    make = guarded.AutoModel.from_config
    with pytest.raises(PolicyDenied, match=r"my_unet\.py"):
        make(str(path), trust_remote_code=True)
    approve(path)
    assert make(str(path), trust_remote_code=True).origin() == "own"
    settings = guarded.AutoModel.load_config(str(path)) | {"_name_or_path": str(path)}
    with pytest.raises(UsageError, match="can name any code"):
        make(settings, trust_remote_code=True)
    with pytest.raises(SafeloadError):
        make("org/nothing-here", trust_remote_code=True)
    plainly = {key: value for key, value in settings.items() if key != "auto_map"}
    assert type(make(plainly)) is plain.UNet2DModel
