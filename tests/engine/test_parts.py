"""Models made of parts: what is read from which folder, and what counts as code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from safeload.core.errors import MalformedInput, SafeloadError
from safeload.engine.admission.plan import Plan
from safeload.engine.request import Request
from tests.engine.models import index, pickled, plan_of, safe, write_all

PARTS = Request(purpose="parts")
HOME = "sentence_transformers.models"


def sentences(folder: Path, *modules: tuple[str, str], **files: Any) -> Path:
    listed = [{"idx": i, "name": str(i), "path": path, "type": kind} for i, (kind, path) in enumerate(modules)]
    return write_all(folder, {"modules.json": listed, **files})


def pipeline(folder: Path, files: dict[str, Any], **components: Any) -> Path:
    return write_all(folder, {"model_index.json": {"_class_name": "DDPMPipeline", **components}, **files})


def needs(plan: Plan) -> list[tuple[str, ...]]:
    return [need.files for need in plan.code]


def test_each_folder_is_read_like_a_model(tmp_path: Path) -> None:
    """Safetensors, pickles and shards of a folder stand in that folder, under the names of safetensors."""
    names = ["a-1.safetensors", "a-2.safetensors"]
    path = sentences(
        tmp_path / "m",
        (f"{HOME}.Transformer", "0_Transformer"),
        (f"{HOME}.Dense", "1_Dense"),
        **{
            "0_Transformer/model.safetensors.index.json": index(x=names[0], y=names[1]),
            **{f"0_Transformer/{name}": safe() for name in names},
            "0_Transformer/vocab.txt": "w\n",
            "1_Dense/pytorch_model.bin": pickled(),
            "1_Dense/config.json": {},
            "2_Other/model.safetensors": safe(),
        },
    )
    plan = plan_of(path, PARTS)
    shards = tuple(f"0_Transformer/model-0000{i}-of-00002.safetensors" for i in (1, 2))
    assert plan.side == {
        **dict(zip(shards, (f"0_Transformer/{name}" for name in names), strict=True)),
        "1_Dense/model.safetensors": "1_Dense/pytorch_model.bin",
    }
    assert plan.indexes == {"0_Transformer/model.safetensors.index.json": shards}
    assert set(plan.small) == {"modules.json", "0_Transformer/vocab.txt", "1_Dense/config.json"}
    assert "0_Transformer/model.safetensors.index.json" in plan.used() and plan.code == ()


def test_whoever_asks_for_everything_gets_the_parts(tmp_path: Path) -> None:
    """`safeload admit` makes a directory that the library of the model can load."""
    path = sentences(tmp_path / "m", (f"{HOME}.Dense", "1"), **{"1/model.safetensors": safe()})
    assert plan_of(path, Request()).side == {"1/model.safetensors": "1/model.safetensors"}
    assert plan_of(path, Request(purpose="model")).side == {}


def test_a_variant_of_a_part_is_the_part_without_it(tmp_path: Path) -> None:
    """diffusers falls back to what there is; sentence-transformers does not."""
    files = {
        "unet/diffusion_pytorch_model.fp16.safetensors": safe(),
        "unet/diffusion_pytorch_model.safetensors": safe(),
        "vae/diffusion_pytorch_model.bin": pickled(),
    }
    path = pipeline(tmp_path / "m", files, unet=["diffusers", "UNet2DModel"], vae=["diffusers", "AutoencoderKL"])
    assert plan_of(path, Request(purpose="parts", variant="fp16")).side == {
        "unet/diffusion_pytorch_model.safetensors": "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.safetensors": "vae/diffusion_pytorch_model.bin",
    }
    assert plan_of(path, Request(purpose="parts", use_safetensors=True)).side == {
        "unet/diffusion_pytorch_model.safetensors": "unet/diffusion_pytorch_model.safetensors"
    }


@pytest.mark.parametrize("value", [[None, None], [], 7, "text", True, None, {"a": 1}, [1, 2]])
def test_what_is_no_component_is_left_alone(value: Any, tmp_path: Path) -> None:
    """`model_index.json` holds settings as well."""
    plan = plan_of(pipeline(tmp_path / "m", {"x/model.safetensors": safe()}, x=value), PARTS)
    assert plan.side == {} and plan.code == ()


@pytest.mark.parametrize(
    ("component", "files"),
    [
        (["subprocess", "Popen"], ("subprocess.Popen",)),
        (["builtins", "exec"], ("builtins.exec",)),
        (["my_unet", "MyUNet"], ("unet/my_unet.py",)),
        (["diffusers", "loaders.X"], ("diffusers.loaders.X",)),
        (["stable_diffusion", "__builtins__"], ("stable_diffusion.__builtins__",)),
        (["diffusers.utils", "os"], ("diffusers.utils.os",)),
        (["flux", "MyUNet"], ("unet/flux.py",)),
    ],
)
def test_a_component_of_another_library_is_code(component: list[str], files: tuple[str, ...], tmp_path: Path) -> None:
    """Only names of diffusers, of its pipelines and of transformers are the library's own; a file of the model wins."""
    code = {"unet/my_unet.py": "", "unet/flux.py": "" if component[0] == "flux" else "pass"}
    if component[0] != "flux":
        code.pop("unet/flux.py")
    plan = plan_of(pipeline(tmp_path / "m", code, unet=component), PARTS)
    assert needs(plan) == [files]


def test_a_pipeline_class_in_a_file_is_code(tmp_path: Path) -> None:
    """A pair in place of the name means a file of the model."""
    path = pipeline(tmp_path / "m", {"pipeline.py": ""}, _class_name=["pipeline", "Mine"])
    assert needs(plan_of(path, PARTS)) == [("pipeline.py",)]


@pytest.mark.parametrize("component", [["diffusers"], ["a", "b", "c"], ["diffusers", 3], [None, "Scheduler"]])
def test_a_component_that_is_no_pair_is_refused(component: Any, tmp_path: Path) -> None:
    """A component is a library and a class, both of them text."""
    with pytest.raises(MalformedInput):
        plan_of(pipeline(tmp_path / "m", {}, unet=component), PARTS)


@pytest.mark.parametrize("folder", ["..", "../x", "/x", "a/../../x", "a:b", "nul", "x\\y"])
def test_folders_lie_within_the_model(folder: str, tmp_path: Path) -> None:
    """Of modules, of components and of routers."""
    with pytest.raises(SafeloadError):
        plan_of(sentences(tmp_path / "a", (f"{HOME}.Dense", folder)), PARTS)
    with pytest.raises(SafeloadError):
        plan_of(pipeline(tmp_path / "b", {}, **{folder: ["diffusers", "UNet2DModel"]}), PARTS)
    router = {"types": {folder: f"{HOME}.Dense"}}
    path = sentences(tmp_path / "c", (f"{HOME}.Router", "r"), **{"r/router_config.json": router})
    with pytest.raises(SafeloadError):
        plan_of(path, PARTS)


def test_routers_that_contain_each_other_end(tmp_path: Path) -> None:
    """However deep or wide a tree of routers is, reading it ends, with an error of ours beyond a limit."""
    wide = {"types": {f"m{i}": f"{HOME}.Dense" for i in range(300)}}
    path = sentences(tmp_path / "w", (f"{HOME}.Router", ""), **{"router_config.json": wide})
    with pytest.raises(MalformedInput, match="parts"):
        plan_of(path, PARTS)
    path = sentences(
        tmp_path / "d", (f"{HOME}.Router", ""), **{"router_config.json": {"types": {"": f"{HOME}.Router"}}}
    )
    with pytest.raises(MalformedInput):
        plan_of(path, PARTS)


def test_a_part_is_not_made_of_parts(tmp_path: Path) -> None:
    """A list within a folder is read by nobody here, so no loader gets it either."""
    inner = {"modules.json": [{"type": "evil.Evil", "path": ""}], "model_index.json": {"_class_name": ["evil", "Evil"]}}
    files = {f"1/{name}": content for name, content in inner.items()}
    assert set(plan_of(sentences(tmp_path / "s", (f"{HOME}.Dense", "1"), **files), PARTS).small) == {"modules.json"}
    files = {f"unet/{name}": content for name, content in inner.items()}
    path = pipeline(tmp_path / "d", files, unet=["diffusers", "DiffusionPipeline"])
    for request in (PARTS, Request()):
        assert set(plan_of(path, request).small) == {"model_index.json"}


def test_an_index_of_a_part_names_files_beside_it(tmp_path: Path) -> None:
    """The indexes of parts are held to what the model's own is."""
    for name in ("../a.safetensors", "/a.safetensors", "missing.safetensors"):
        files = {"1/model.safetensors.index.json": index(x=name), "a.safetensors": safe()}
        path = sentences(tmp_path / str(len(name)), (f"{HOME}.Dense", "1"), **files)
        with pytest.raises(MalformedInput):
            plan_of(path, PARTS)


def test_weights_by_other_names_keep_them(tmp_path: Path) -> None:
    """A request may say what the weights are called; pickles stand there as safetensors, without the variant."""
    path = write_all(tmp_path / "m", {"lora.fp16.bin": pickled(), "lora.safetensors": safe()})
    names = ("lora.safetensors", "lora.bin")
    assert plan_of(path, Request(purpose="model", weights=names)).side == {"lora.safetensors": "lora.safetensors"}
    asked = Request(purpose="model", weights=names, variant="fp16")
    assert plan_of(path, asked).side == {"lora.safetensors": "lora.fp16.bin"}
    assert plan_of(path, Request(purpose="model", weights=("other.bin",))).side == {}
