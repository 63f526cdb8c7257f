"""Modular pipelines: code of blocks and components runs once approved, and each component is admitted by itself."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import diffusers as plain
import pytest

import safeload.diffusers as guarded
from safeload import PolicyDenied, UsageError
from safeload.core.errors import SafeloadError
from safeload.engine.approved import PACKAGE
from tests.adapters import coded, coded_parts, diffusion, payloads
from tests.adapters.test_approved import approve, project  # noqa: F401  (a fixture)
from tests.hubserver import Hub, hub

__all__ = ["hub"]

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
    pytest.mark.skipif(not hasattr(plain, "ModularPipeline"), reason="this diffusers has none"),
]

BLOCK = """from diffusers import ModularPipelineBlocks, UNet2DModel
from diffusers.modular_pipelines.modular_pipeline_utils import ComponentSpec, InputParam, OutputParam
from .words import WORD
class Own(ModularPipelineBlocks):
    model_name = "own"
    @property
    def expected_components(self):
        return [ComponentSpec("unet", UNet2DModel)]
    @property
    def inputs(self):
        return [InputParam("number")]
    @property
    def intermediate_outputs(self):
        return [OutputParam("said")]
    def __call__(self, components, state):
        block = self.get_block_state(state)
        block.said = f"{WORD} {block.number} {type(components.unet).__name__}"
        self.set_block_state(state, block)
        return components, state
"""
FILES = ("block.py", "words.py")


def build(directory: Path, component: str | Path = "", kind: str | None = "UNet2DModel") -> Path:
    """Blocks of the author's own, and a network that `modular_model_index.json` names."""
    directory.mkdir(parents=True, exist_ok=True)
    coded.write(directory, "block.py", BLOCK)
    coded.write(directory, "words.py", 'WORD = "own"\n')
    if not component:
        diffusion.unet().save_pretrained(directory / "unet")
    hint = ["diffusers" if kind else None, kind]
    place = {"pretrained_model_name_or_path": str(component or directory), "subfolder": "unet", "type_hint": hint}
    index: dict[str, Any] = {
        "_class_name": "ModularPipeline",
        "_blocks_class_name": "Own",
        "_diffusers_version": "0.42.1",
    }
    index |= {"unet": [*hint, place | {"variant": None, "revision": None}]}
    settings = {
        "_class_name": "Own",
        "auto_map": {"ModularPipelineBlocks": "block.Own"},
        "_diffusers_version": "0.42.1",
    }
    (directory / "modular_model_index.json").write_text(json.dumps(index))
    (directory / "modular_config.json").write_text(json.dumps(settings))
    return directory


def load(path: Path | str, trust: bool | None = True) -> Any:
    return guarded.ModularPipeline.from_pretrained(str(path), trust_remote_code=trust)


def test_blocks_without_an_approval_are_refused(project: Path) -> None:  # noqa: F811
    """One reason names every file and the command; nothing ran, whether or not trust is given."""
    path = build(project / "m")
    for owner in ("ModularPipeline", "ModularPipelineBlocks"):
        for trust in (True, None, False):
            with pytest.raises(PolicyDenied) as caught:
                getattr(guarded, owner).from_pretrained(str(path), trust_remote_code=trust)
            (reason,) = caught.value.verdict.denials()
            assert all(name in reason.message for name in FILES) and f"safeload approve {path}" in reason.remedy
    assert not coded.RAN


def test_approved_blocks_run_and_load_their_components(project: Path) -> None:  # noqa: F811
    """From the approved bytes; the network is admitted when it is loaded, and lies where the user said."""
    path = build(project / "m")
    approve(path)
    assert not coded.RAN
    pipe = load(path)
    assert type(pipe).__name__ == "ModularPipeline" and type(pipe.blocks).__module__.startswith(f"{PACKAGE}.c")
    pipe.load_components()
    assert type(pipe.unet) is plain.UNet2DModel
    assert pipe(number=3, output="said") == "own 3 UNet2DModel"
    assert pipe._component_specs["unet"].pretrained_model_name_or_path == str(path)
    assert pipe._component_specs["unet"].type_hint is plain.UNet2DModel
    assert sorted(coded.RAN) == sorted(FILES)
    theirs = plain.UNet2DModel.from_pretrained(str(path / "unet"))
    assert all((pipe.unet.state_dict()[name] == value).all() for name, value in theirs.state_dict().items())


def test_one_byte_more_and_blocks_are_refused(project: Path) -> None:  # noqa: F811
    """A change in any file of the closure."""
    path = build(project / "m")
    approve(path)
    coded.refused_after_one_byte(path, FILES, lambda: load(path))
    assert not coded.RAN


def test_approved_blocks_have_to_be_asked_for(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """Without trust, and where the library's switch forbids it."""
    path = build(project / "m")
    approve(path)
    for trust in (None, False):
        with pytest.raises(UsageError, match="trust_remote_code=True"):
            load(path, trust)
    monkeypatch.setattr("diffusers.utils.dynamic_modules_utils.DIFFUSERS_DISABLE_REMOTE_CODE", True)
    with pytest.raises(UsageError, match="DIFFUSERS_DISABLE_REMOTE_CODE"):
        load(path)
    assert not coded.RAN


def test_a_poisoned_component_is_refused(project: Path, marker: Path) -> None:  # noqa: F811
    """The library would log an error and go on without; here it is raised, and nothing ran."""
    path = build(project / "m")
    approve(path)
    pipe = load(path)
    weights = diffusion.pickle_weights(path) / "unet" / "diffusion_pytorch_model.bin"
    payloads.poison_zip(weights, payloads.snippet(marker))
    with pytest.raises(PolicyDenied):
        pipe.load_components()
    assert pipe.unet is None


def test_code_of_a_component_is_its_own(project: Path) -> None:  # noqa: F811
    """`trust_remote_code` goes to components of the same repository, as in the library; each is approved or refused."""
    path = build(project / "m", kind=None)
    (project / "m/unet").rename(project / "plain")
    coded_parts.build_mapped(path / "unet")
    with pytest.raises(PolicyDenied, match=r"my_unet\.py"):
        load(path)
    approve(path)
    pipe = load(path)
    pipe.load_components(trust_remote_code=True)
    assert pipe.unet.origin() == "own"
    (path / "unet/more.py").write_text('WORD = "other"\n')
    later = copy.copy(pipe)
    later.unet = None
    with pytest.raises(PolicyDenied, match=r"more\.py changed"):
        later.load_components("unet", trust_remote_code=True)


def test_components_of_other_repositories_are_admitted_by_themselves(hub: Hub, project: Path, marker: Path) -> None:  # noqa: F811
    """By id; a poisoned one is refused, and code of another repository is not trusted along."""
    honest, evil = build(project / "honest"), build(project / "evil")
    payloads.poison_zip(diffusion.pickle_weights(evil) / "unet/diffusion_pytorch_model.bin", payloads.snippet(marker))
    hub.add("org/honest", honest)
    hub.add("evil/one", evil)
    path = build(project / "m", component="org/honest")
    approve(path)
    pipe = load(path)
    pipe.load_components()
    assert type(pipe.unet) is plain.UNet2DModel
    path = build(project / "n", component="evil/one")
    approve(path)
    with pytest.raises(PolicyDenied):
        load(path).load_components()


@pytest.mark.parametrize(
    "kind",
    [["subprocess", "Popen"], ["os", "system"], ["peft", "PeftModel"], ["tests.adapters.payloads", "Touch"]],
    ids=lambda kind: ".".join(kind),
)
def test_a_component_of_another_library_is_refused(kind: list[str], project: Path, marker: Path) -> None:  # noqa: F811
    """The settings may name whatever happens to be imported; nothing of it is called."""
    path = build(project / "m")
    index = json.loads((path / "modular_model_index.json").read_text())
    index["unet"][2]["type_hint"] = kind
    (path / "modular_model_index.json").write_text(json.dumps(index))
    approve(path)
    with pytest.raises((UsageError, ValueError), match=r"no class of diffusers or transformers|is not defined|library"):
        load(path).load_components()


def test_blocks_make_a_pipeline(project: Path) -> None:  # noqa: F811
    """`init_pipeline` of approved blocks: the settings of a repository, or none, and components through the door."""
    path = build(project / "m")
    approve(path)
    blocks: Any = guarded.ModularPipelineBlocks.from_pretrained(str(path), trust_remote_code=True)
    pipe = blocks.init_pipeline(str(path))
    pipe.load_components()
    assert type(pipe.unet) is plain.UNet2DModel
    assert blocks.init_pipeline().unet is None


def test_pipelines_that_are_put_together_are_guarded(project: Path, marker: Path) -> None:  # noqa: F811
    """Blocks of the user's own; what they load is admitted, and a repository is not read in passing."""
    path = build(project / "m")
    payloads.poison_zip(diffusion.pickle_weights(path) / "unet/diffusion_pytorch_model.bin", payloads.snippet(marker))
    spec = guarded.ComponentSpec(
        name="unet", type_hint=plain.UNet2DModel, pretrained_model_name_or_path=str(path), subfolder="unet"
    )

    class Mine(guarded.ModularPipelineBlocks):
        model_name = "mine"

        @property
        def expected_components(self) -> list[Any]:
            return [spec]

    pipe: Any = Mine().init_pipeline()
    with pytest.raises(PolicyDenied):
        pipe.load_components("unet")
    with pytest.raises(UsageError, match="from_pretrained"):
        guarded.ModularPipeline(blocks=Mine(), pretrained_model_name_or_path=str(path))
    assert not coded.RAN


def test_components_beside_the_settings_are_preferred_in_a_directory_only(hub: Hub, project: Path) -> None:  # noqa: F811
    """As in the library: a copy of a repository uses what it has, and a repository on the hub what it names."""
    build(project / "other")
    hub.add("org/other", project / "other")
    path = build(project / "m", component="org/other")
    diffusion.unet().save_pretrained(path / "unet")
    hub.add("org/m", path)
    approve(path)
    here = "org/other" if plain.__version__.startswith("0.37.") else str(path)  # diffusers 0.37 did not look beside
    assert load(path)._component_specs["unet"].pretrained_model_name_or_path == here
    assert load("org/m")._component_specs["unet"].pretrained_model_name_or_path == "org/other"
    blocks: Any = guarded.ModularPipelineBlocks.from_pretrained("org/m", trust_remote_code=True)
    assert blocks.init_pipeline("org/m")._component_specs["unet"].pretrained_model_name_or_path == "org/other"


def test_a_pipeline_of_old_is_loaded_in_parts(project: Path) -> None:  # noqa: F811
    """A repository with a `model_index.json` alone, with blocks of diffusers."""
    names = [name for name in dir(plain) if name.endswith("ModularPipeline") and "XL" in name]
    assert names
    path = diffusion.build_stable(project / "m")
    diffusion.edit(path / "model_index.json", _class_name="StableDiffusionXLPipeline")
    pipe: Any = guarded.ModularPipeline.from_pretrained(str(path))
    assert type(pipe).__name__ in names
    pipe.load_components(["vae", "scheduler"])
    assert type(pipe.vae) is plain.AutoencoderKL and type(pipe.scheduler) is plain.DDIMScheduler
    assert pipe._component_specs["vae"].pretrained_model_name_or_path == str(path)


def test_arguments_that_would_read_what_was_not_admitted(project: Path) -> None:  # noqa: F811
    """Folders, and settings that the caller passes as they would be read."""
    path = build(project / "m")
    for name in ("subfolder", "local_dir", "modular_config_dict"):
        with pytest.raises(UsageError, match=name):
            guarded.ModularPipeline.from_pretrained(str(path), **{name: "x"})


def test_a_tripwire_watches_blocks(project: Path, marker: Path) -> None:  # noqa: F811
    """What no policy lists does not happen while the code loads."""
    path = build(project / "m")
    (path / "block.py").write_text(f"open({str(marker)!r}, 'w')\n{BLOCK}")
    (project / "safeload.toml").write_text('version = 1\n[remote-code]\ncapabilities = ["none"]\n')
    approve(path)
    with pytest.raises(PolicyDenied, match="no policy lists, file-write"):
        load(path)


def test_another_class_of_the_blocks_is_refused(project: Path) -> None:  # noqa: F811
    """The approval names the class."""
    path = build(project / "m")
    approve(path)
    diffusion.edit(path / "modular_config.json", auto_map={"ModularPipelineBlocks": "block.UNet2DModel"})
    with pytest.raises(SafeloadError, match=r"block\.UNet2DModel"):
        load(path)


def test_a_component_by_itself_is_guarded(project: Path, marker: Path) -> None:  # noqa: F811
    """`ComponentSpec(…).load()` admits what it loads, outside of any pipeline as well; so does a copy of one."""
    from diffusers.modular_pipelines.modular_pipeline_utils import ComponentSpec

    good, evil = build(project / "good"), build(project / "evil")
    diffusion.unet().save_pretrained(good / "unet")
    payloads.poison_zip(diffusion.pickle_weights(evil) / "unet/diffusion_pytorch_model.bin", payloads.snippet(marker))
    words: dict[str, Any] = {"name": "unet", "type_hint": plain.UNet2DModel, "subfolder": "unet"}
    loaded = guarded.ComponentSpec(**words, pretrained_model_name_or_path=str(good)).load()
    assert type(loaded) is plain.UNet2DModel
    again = guarded.ComponentSpec.from_component("unet", loaded)
    again.pretrained_model_name_or_path = str(evil)
    for spec in (
        again,
        guarded.ComponentSpec(**words, pretrained_model_name_or_path=str(evil)),
        copy.deepcopy(guarded.ComponentSpec(**words, pretrained_model_name_or_path=str(evil))),
    ):
        assert type(spec) is ComponentSpec
        with pytest.raises(PolicyDenied):
            spec.load(use_safetensors=False)
    with pytest.raises((UsageError, PolicyDenied)):
        guarded.ComponentSpec(name="unet", type_hint=dict, pretrained_model_name_or_path=str(good)).load()
    assert not coded.RAN and not marker.exists()
