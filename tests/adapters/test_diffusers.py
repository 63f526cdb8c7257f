"""diffusers through safeload: equal pipelines, and every known way to run code refused."""

from __future__ import annotations

import gc
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers as plain
import pytest
import torch
import transformers
from safetensors.torch import save_file

import safeload.diffusers as guarded
from safeload import PolicyDenied, SafeloadError, UsageError, admit
from tests.adapters import diffusion, payloads
from tests.adapters.diffusion import edit, same
from tests.adapters.noted import note_admissions
from tests.hubserver import Hub, hub

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
__all__ = ["hub"]


@pytest.fixture
def ddpm(tmp_path: Path) -> Path:
    return diffusion.build_ddpm(tmp_path / "model")


@pytest.fixture(scope="module")
def stable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return diffusion.build_stable(tmp_path_factory.mktemp("stable") / "model")


def files(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def evil_code(path: Path, marker: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(payloads.CODE.format(str(marker)) + "\nclass Evil: pass\n")


def state_equal(ours: Any, theirs: Any) -> bool:
    mine, wanted = ours.state_dict(), theirs.state_dict()
    return mine.keys() == wanted.keys() and all(torch.equal(mine[key], wanted[key]) for key in wanted)


# --- what comes back ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pickled", [False, True], ids=["safetensors", "bin"])
@pytest.mark.parametrize("name", diffusion.BUILDERS)
def test_a_pipeline_is_what_diffusers_makes_of_it(name: str, pickled: bool, tmp_path: Path) -> None:
    """Exactly the genuine classes, settings and weights of all components, from pickles as from safetensors."""
    path = diffusion.BUILDERS[name](tmp_path / "model")
    if pickled:
        diffusion.pickle_weights(path)
    ours, theirs = (module.DiffusionPipeline.from_pretrained(str(path)) for module in (guarded, plain))
    assert same(ours, theirs)
    for component, part in theirs.components.items():
        if hasattr(part, "config") and hasattr(part.config, "_name_or_path"):
            assert ours.components[component].config._name_or_path == part.config._name_or_path


def test_images_are_the_same(ddpm: Path) -> None:
    """The pipelines paint the same picture."""
    images = []
    for module in (guarded, plain):
        pipe = module.DDPMPipeline.from_pretrained(str(ddpm))
        pipe.set_progress_bar_config(disable=True)
        generator = torch.Generator().manual_seed(0)
        images.append(torch.from_numpy(pipe(generator=generator, num_inference_steps=2, output_type="np").images))
    assert torch.equal(*images)


def test_classes_of_their_own(stable: Path, tmp_path: Path) -> None:
    """A pipeline's own class, the class that chooses one, models, schedulers and tokenizers by folder."""
    path = str(stable)
    assert same(*(m.StableDiffusionPipeline.from_pretrained(path) for m in (guarded, plain)))
    assert same(*(m.AutoPipelineForText2Image.from_pretrained(path) for m in (guarded, plain)))
    pickled = str(diffusion.pickle_weights(Path(shutil.copytree(stable, tmp_path / "pickled"))))
    for name, folder in (("UNet2DConditionModel", "unet"), ("AutoencoderKL", "vae"), ("AutoModel", "unet")):
        for place in (path, pickled):
            ours, theirs = (getattr(m, name).from_pretrained(place, subfolder=folder) for m in (guarded, plain))
            assert type(ours) is type(theirs) and state_equal(ours, theirs)
    ours, theirs = (m.DDIMScheduler.from_pretrained(path, subfolder="scheduler") for m in (guarded, plain))
    assert type(ours) is type(theirs) and dict(ours.config) == dict(theirs.config)


def test_components_that_the_caller_brings(stable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are taken as they are, and what lies in their folder is not loaded."""
    scheduler = plain.DDPMScheduler(num_train_timesteps=5)
    brought = {"scheduler": scheduler, "safety_checker": None}
    views = note_admissions(monkeypatch)
    ours = guarded.StableDiffusionPipeline.from_pretrained(str(stable), **brought)
    assert ours.scheduler is scheduler and ours.safety_checker is None
    assert not (views[0] / "safety_checker").exists() and (views[0] / "unet").exists()
    assert same(ours, plain.StableDiffusionPipeline.from_pretrained(str(stable), **brought))


def test_a_variant(ddpm: Path) -> None:
    """`variant` chooses weights by their name."""
    source = ddpm / "unet" / "diffusion_pytorch_model.safetensors"
    source.rename(source.with_name("diffusion_pytorch_model.fp16.safetensors"))
    ours, theirs = (m.DDPMPipeline.from_pretrained(str(ddpm), variant="fp16") for m in (guarded, plain))
    assert same(ours, theirs)
    ours, theirs = (
        m.UNet2DModel.from_pretrained(str(ddpm), subfolder="unet", variant="fp16") for m in (guarded, plain)
    )
    assert state_equal(ours, theirs)


def test_a_hub_id(hub: Hub, ddpm: Path) -> None:
    """By id, and only what the pipeline is made of is fetched."""
    hub.add("org/ddpm", files(diffusion.pickle_weights(ddpm)) | {"unrelated.safetensors": b"x", "big/other.bin": b"x"})
    ours = guarded.DiffusionPipeline.from_pretrained("org/ddpm")
    assert ours.config._name_or_path == "org/ddpm" and ours.unet.config._name_or_path == "org/ddpm/unet"
    assert state_equal(ours.unet, diffusion.unet())
    assert not any("unrelated" in name or "big/" in name for name in hub.fetched)


def test_a_pipeline_of_another_s_components(ddpm: Path) -> None:
    """`from_pipe` shares them."""
    pipe = guarded.DDPMPipeline.from_pretrained(str(ddpm))
    assert guarded.DDIMPipeline.from_pipe(pipe).unet is pipe.unet


def test_the_directory_lives_as_long_as_any_part(ddpm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A component may outlive its pipeline."""
    views = note_admissions(monkeypatch)
    pipe = guarded.DDPMPipeline.from_pretrained(str(ddpm))
    network = pipe.unet
    del pipe
    gc.collect()
    assert views[0].is_dir()
    del network
    gc.collect()
    assert not views[0].exists()


def test_what_was_loaded_can_be_saved(stable: Path, tmp_path: Path) -> None:
    """Nothing of safeload's is written along."""
    guarded.DiffusionPipeline.from_pretrained(str(stable)).save_pretrained(tmp_path / "copy")
    assert not any(b"safeload" in data for name, data in files(tmp_path / "copy").items() if name.endswith(".json"))
    again = plain.DiffusionPipeline.from_pretrained(str(tmp_path / "copy"))
    theirs = plain.DiffusionPipeline.from_pretrained(str(stable))
    assert diffusion.weights(again).keys() == diffusion.weights(theirs).keys()


def test_an_admitted_directory_serves_the_plain_library(stable: Path, tmp_path: Path) -> None:
    """`safeload admit --into` writes all the parts."""
    admit(stable, into=tmp_path / "admitted")
    ours = plain.DiffusionPipeline.from_pretrained(str(tmp_path / "admitted"))
    theirs = plain.DiffusionPipeline.from_pretrained(str(stable))
    assert {key: value.sum() for key, value in diffusion.weights(ours).items()}.keys() == diffusion.weights(
        theirs
    ).keys()


# --- code -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trust", [None, True])
@pytest.mark.parametrize(
    "component",
    [
        ["subprocess", "Popen"],
        ["evil", "Evil"],
        ["os", "system"],
        ["tests.adapters.payloads", "Touch"],
        ["pathlib", "Path"],
    ],
    ids=lambda component: ".".join(component),
)
def test_a_component_of_another_library_is_refused(
    component: list[str], trust: bool | None, ddpm: Path, marker: Path
) -> None:
    """A library is diffusers, one of its pipelines or transformers: not whatever happens to be imported."""
    evil_code(ddpm / "unet" / "evil.py", marker)
    edit(ddpm / "model_index.json", unet=component)
    with pytest.raises(PolicyDenied):
        guarded.DiffusionPipeline.from_pretrained(str(ddpm), trust_remote_code=trust)


@pytest.mark.parametrize("trust", [None, True])
def test_a_pipeline_in_a_file_is_refused(trust: bool | None, ddpm: Path, marker: Path) -> None:
    """`_class_name` as a pair names a file of the model."""
    evil_code(ddpm / "pipeline.py", marker)
    edit(ddpm / "model_index.json", _class_name=["pipeline", "Evil"])
    with pytest.raises(PolicyDenied):
        guarded.DiffusionPipeline.from_pretrained(str(ddpm), trust_remote_code=trust)


def test_custom_pipelines_are_refused(ddpm: Path, tmp_path: Path, marker: Path) -> None:
    """By path, by id, and by the name of one in diffusers' own repository of them, as long as nobody approved them."""
    evil_code(tmp_path / "custom" / "pipeline.py", marker)
    for custom in (str(tmp_path / "custom"), str(tmp_path / "custom" / "pipeline.py"), "org/custom", "lpw"):
        for trust in (False, True):
            with pytest.raises(SafeloadError):
                guarded.DiffusionPipeline.from_pretrained(str(ddpm), custom_pipeline=custom, trust_remote_code=trust)
    evil_code(ddpm / "pipeline.py", marker)  # which diffusers takes only where it is told to
    assert guarded.DiffusionPipeline.from_pretrained(str(ddpm), trust_remote_code=True)


def test_a_model_s_own_code_is_not_taken(ddpm: Path, marker: Path) -> None:
    """`auto_map` in the config of a component."""
    evil_code(ddpm / "unet" / "evil.py", marker)
    edit(ddpm / "unet" / "config.json", auto_map={"AutoModel": "evil.Evil"})
    for trust in (None, True):
        load: Callable[[], Any] = lambda trust=trust: guarded.AutoModel.from_pretrained(  # noqa: E731
            str(ddpm), subfolder="unet", trust_remote_code=trust
        )
        try:
            assert type(load()) is plain.UNet2DModel
        except SafeloadError:
            continue


def test_programs_of_other_kinds_are_refused(ddpm: Path) -> None:
    """ONNX."""
    for name in ("OnnxStableDiffusionPipeline",):
        if hasattr(plain, name):
            try:
                facade = getattr(guarded, name)
            except (ImportError, AttributeError):
                continue
            with pytest.raises((UsageError, ImportError)):
                facade.from_pretrained(str(ddpm))


# --- pickles and paths ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", payloads.SNIPPETS)
def test_a_poisoned_network_is_refused(spelling: str, ddpm: Path, marker: Path) -> None:
    """However it is spelled, as a part of a pipeline and by itself, also where safetensors are asked for."""
    path = diffusion.pickle_weights(ddpm) / "unet" / "diffusion_pytorch_model.bin"
    payloads.poison_zip(path, payloads.SNIPPETS[spelling](marker))
    with pytest.raises(PolicyDenied):
        guarded.DiffusionPipeline.from_pretrained(str(ddpm))
    with pytest.raises(PolicyDenied):
        guarded.UNet2DModel.from_pretrained(str(ddpm), subfolder="unet")


@pytest.mark.parametrize("part", ["text_encoder", "safety_checker"])
def test_a_poisoned_model_of_transformers_is_refused(part: str, tmp_path: Path, marker: Path) -> None:
    """Components of the other library lie in folders as well."""
    path = diffusion.pickle_weights(diffusion.build_stable(tmp_path / "model"))
    payloads.poison_zip(path / part / "pytorch_model.bin", payloads.snippet(marker))
    with pytest.raises(PolicyDenied):
        guarded.StableDiffusionPipeline.from_pretrained(str(path))


@pytest.mark.parametrize("use_safetensors", [None, True])
def test_an_index_that_names_a_pickle(use_safetensors: bool | None, ddpm: Path, marker: Path) -> None:
    """A safetensors index that names a `.bin`, which diffusers unpickles even where safetensors were asked for."""
    folder = diffusion.pickle_weights(ddpm) / "unet"
    payloads.poison_zip(folder / "diffusion_pytorch_model.bin", payloads.snippet(marker))
    names = dict.fromkeys(diffusion.unet().state_dict(), "diffusion_pytorch_model.bin")
    index = {"metadata": {"total_size": 1}, "weight_map": names}
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(PolicyDenied):
        guarded.DiffusionPipeline.from_pretrained(str(ddpm), use_safetensors=use_safetensors)


@pytest.mark.parametrize("target", ["../../outside.safetensors", "/etc/passwd", "sub/x.safetensors"])
def test_an_index_stays_in_its_folder(target: str, ddpm: Path) -> None:
    """An index of shards names files beside it, and nothing above, below or elsewhere."""
    folder = ddpm / "unet"
    (folder / "diffusion_pytorch_model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": dict.fromkeys(diffusion.unet().state_dict(), target)}
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(SafeloadError):
        guarded.DiffusionPipeline.from_pretrained(str(ddpm))


@pytest.mark.parametrize("name", ["../outside", "/etc", "a:b", ".."])
def test_components_outside_the_model_are_refused(name: str, ddpm: Path) -> None:
    """The name of a component is a folder of the model, and no path to anywhere else."""
    edit(ddpm / "model_index.json", **{name: ["diffusers", "UNet2DModel"]})
    with pytest.raises(SafeloadError):
        guarded.DiffusionPipeline.from_pretrained(str(ddpm))


@pytest.mark.parametrize(
    "arguments",
    [
        {"custom_revision": "main"},
        {"load_connected_pipeline": True},
        {"use_onnx": True},
        {"use_flashpack": True},
        {"from_flax": True},
        {"weights_only": False},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_arguments_that_would_weaken_a_load_are_refused(arguments: dict[str, Any], ddpm: Path) -> None:
    """Each raises before anything is read, and none is dropped in silence."""
    with pytest.raises(UsageError):
        guarded.DiffusionPipeline.from_pretrained(str(ddpm), **arguments)


def test_nothing_is_downloaded_unjudged() -> None:
    """`download` fetches programs along with the rest."""
    with pytest.raises(UsageError, match="download"):
        guarded.DiffusionPipeline.download("org/name")


# --- single files ---------------------------------------------------------------------------------------------------


def single(path: Path, *, pickled: bool, wrapped: bool = False) -> Path:
    """An autoencoder as the programs that train them write it: diffusers' own names are taken as well."""
    torch.manual_seed(5)
    state: Any = plain.AutoencoderKL(**diffusion.VAE).state_dict()
    if pickled:
        torch.save({"state_dict": state, "global_step": 3} if wrapped else state, path)
    else:
        save_file(state, path)
    return path


@pytest.mark.parametrize(("name", "pickled", "wrapped"), [("v.safetensors", False, False), ("v.ckpt", True, False),
                                                          ("v.ckpt", True, True), ("v.pt", True, False)])  # fmt: skip
def test_a_single_file(name: str, pickled: bool, wrapped: bool, tmp_path: Path) -> None:
    """A checkpoint in one file, with the configs of a directory."""
    file = single(tmp_path / name, pickled=pickled, wrapped=wrapped)
    config = tmp_path / "config"
    plain.AutoencoderKL(**diffusion.VAE).save_config(config)
    ours, theirs = (m.AutoencoderKL.from_single_file(str(file), config=str(config)) for m in (guarded, plain))
    assert type(ours) is type(theirs) and state_equal(ours, theirs)


def test_a_single_file_on_the_hub(hub: Hub, tmp_path: Path) -> None:
    """By a link to the hub, or as `org/name/file`, and the configs by id."""
    file = single(tmp_path / "v.ckpt", pickled=True)
    plain.AutoencoderKL(**diffusion.VAE).save_config(tmp_path / "config")
    hub.add("org/single", {"sub/v.ckpt": file.read_bytes()})
    hub.add("org/configs", files(tmp_path / "config"))
    for link in ("https://huggingface.co/org/single/blob/main/sub/v.ckpt", "org/single/sub/v.ckpt"):
        ours = guarded.AutoencoderKL.from_single_file(link, config="org/configs")
        torch.manual_seed(5)
        assert state_equal(ours, plain.AutoencoderKL(**diffusion.VAE))


@pytest.mark.parametrize("spelling", payloads.SNIPPETS)
def test_a_poisoned_single_file_is_refused(spelling: str, tmp_path: Path, marker: Path) -> None:
    """By a model's class and by a pipeline's, however the call is spelled."""
    file = single(tmp_path / "v.ckpt", pickled=True)
    payloads.poison_zip(file, payloads.SNIPPETS[spelling](marker))
    for facade in (guarded.AutoencoderKL, guarded.StableDiffusionPipeline):
        with pytest.raises(PolicyDenied):
            facade.from_single_file(str(file))


@pytest.mark.parametrize("link", ["https://example.org/model.ckpt", "http://huggingface.co.evil/a/b/blob/main/c.ckpt",
                                  "nowhere.ckpt", "file:///etc/passwd"])  # fmt: skip
def test_links_that_lead_to_no_fixed_file_are_refused(link: str) -> None:
    """Neither an address outside of the hub nor a path to nothing is followed."""
    with pytest.raises(UsageError):
        guarded.StableDiffusionPipeline.from_single_file(link)


def test_settings_from_an_address_are_refused(tmp_path: Path) -> None:
    """`original_config` is fetched and parsed by the library."""
    file = single(tmp_path / "v.ckpt", pickled=True)
    with pytest.raises(UsageError, match="original_config"):
        guarded.AutoencoderKL.from_single_file(str(file), original_config="https://example.org/v1.yaml")


# --- afterwards -----------------------------------------------------------------------------------------------------


def embeddings(path: Path, *, pickled: bool) -> Path:
    torch.manual_seed(6)
    state = {"<cat>": torch.randn(16)}
    path.mkdir()
    if pickled:
        torch.save(state, path / "learned_embeds.bin")
    else:
        save_file(state, path / "learned_embeds.safetensors")
    return path


@pytest.mark.parametrize("by_file", [False, True])
@pytest.mark.parametrize("pickled", [False, True])
def test_textual_inversions(pickled: bool, by_file: bool, stable: Path, tmp_path: Path) -> None:
    """A word that was learned, as a directory or a file."""
    path = embeddings(tmp_path / "cat", pickled=pickled)
    given = str(next(path.iterdir()) if by_file else path)
    results = []
    for module in (guarded, plain):
        pipe = module.StableDiffusionPipeline.from_pretrained(str(stable), safety_checker=None)
        pipe.load_textual_inversion(given)
        results.append(pipe.text_encoder.get_input_embeddings().weight[-1])
        assert "<cat>" in pipe.tokenizer.get_vocab()
    assert torch.equal(*results)


def lora(path: Path, stable: Path, *, pickled: bool) -> Path:
    """LoRA weights for the network, as diffusers saves them."""
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    torch.manual_seed(7)
    network = plain.UNet2DConditionModel.from_pretrained(str(stable), subfolder="unet")
    network.add_adapter(LoraConfig(r=2, target_modules=["to_q"], init_lora_weights=False))
    layers = get_peft_model_state_dict(network)
    plain.StableDiffusionPipeline.save_lora_weights(path, unet_lora_layers=layers, safe_serialization=not pickled)
    return path


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("pickled", [False, True])
def test_lora_weights(pickled: bool, named: bool, stable: Path, tmp_path: Path) -> None:
    """Weights that are added to a pipeline, by the usual name or another one."""
    path = lora(tmp_path / "lora", stable, pickled=pickled)
    arguments = {}
    if named:
        file = next(path.glob("pytorch_lora_weights.*"))
        arguments["weight_name"] = file.rename(file.with_stem("other")).name
    results = []
    for module in (guarded, plain):
        pipe = module.StableDiffusionPipeline.from_pretrained(str(stable), safety_checker=None)
        pipe.load_lora_weights(str(path), **arguments)
        results.append(pipe)
    assert state_equal(results[0].unet, results[1].unet)
    assert any("lora" in name for name in results[0].unet.state_dict())
    mine, wanted = (m.StableDiffusionPipeline.lora_state_dict(str(path), **arguments) for m in (guarded, plain))
    assert mine[0].keys() == wanted[0].keys() and all(torch.equal(mine[0][key], wanted[0][key]) for key in wanted[0])


def test_poison_that_comes_later_is_refused(stable: Path, tmp_path: Path, marker: Path) -> None:
    """LoRA weights and embeddings as pickles, into a guarded pipeline; by directory, file and name."""
    pipe = guarded.StableDiffusionPipeline.from_pretrained(str(stable), safety_checker=None)
    weights, words = lora(tmp_path / "lora", stable, pickled=True), embeddings(tmp_path / "cat", pickled=True)
    for path in (weights / "pytorch_lora_weights.bin", words / "learned_embeds.bin"):
        payloads.poison_zip(path, payloads.snippet(marker))
    doors: list[Callable[[], Any]] = [
        lambda: pipe.load_lora_weights(str(weights)),
        lambda: pipe.load_lora_weights(str(weights), weight_name="pytorch_lora_weights.bin"),
        lambda: pipe.load_lora_weights(str(weights / "pytorch_lora_weights.bin")),
        lambda: pipe.unet.load_lora_adapter(str(weights)),
        lambda: guarded.StableDiffusionPipeline.lora_state_dict(str(weights)),
        lambda: pipe.load_textual_inversion(str(words)),
        lambda: pipe.load_textual_inversion(str(words / "learned_embeds.bin")),
        lambda: pipe.load_textual_inversion([str(words)]),
    ]
    for door in doors:
        with pytest.raises(PolicyDenied):
            door()


def test_an_ip_adapter_comes_without_its_encoder(stable: Path, tmp_path: Path) -> None:
    """The encoder is a model of its own; nothing is loaded that the call does not name."""
    pipe = guarded.StableDiffusionPipeline.from_pretrained(str(stable), safety_checker=None)
    with pytest.raises(UsageError, match="image_encoder_folder"):
        pipe.load_ip_adapter(str(tmp_path), subfolder="models", weight_name="ip.bin")


def test_a_plain_pipeline_notices_nothing(stable: Path, tmp_path: Path) -> None:
    """The doors are for what safeload loaded."""
    guarded.StableDiffusionPipeline.from_pretrained(str(stable), safety_checker=None)
    pipe = plain.StableDiffusionPipeline.from_pretrained(str(stable), safety_checker=None)
    pipe.load_textual_inversion(str(embeddings(tmp_path / "cat", pickled=True)))
    assert isinstance(pipe.text_encoder, transformers.CLIPTextModel)
