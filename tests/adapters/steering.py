"""Builders of repositories that steer a loader elsewhere: redirects, code, kernels, adapters, templates.

The same form as in `repos.py`: `build_<name>(directory, marker=None) -> Path`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from tests.adapters import payloads
from tests.adapters.repos import (
    bert,
    bert_state,
    build_bin,
    build_llama,
    build_safetensors,
    build_sharded,
    rewrite,
    write_bin,
    write_config,
    write_index,
    write_safetensors,
    write_tokenizer,
)

# --- redirects ----------------------------------------------------------------------------------------------------


def build_index_naming(directory: Path, marker: Path | None = None, *, target: str = "../x.safetensors") -> Path:
    """A safetensors index whose every name points at `target`, which exists if it lies outside the repository."""
    write_config(directory)
    state = bert_state()
    where = directory / target
    if not where.exists() and (target.startswith(("/", "../"))):
        write_safetensors(where, state)
    return write_index(directory, dict.fromkeys(state, target))


def build_index_naming_bin(directory: Path, marker: Path | None = None) -> Path:
    """A safetensors index that names a pickle: plain transformers unpickles it even with `use_safetensors=True`."""
    write_config(directory)
    state = bert_state()
    write_bin(directory, state, "shard.bin")
    if marker is not None:
        payloads.poison_zip(directory / "shard.bin", payloads.snippet(marker))
    return write_index(directory, dict.fromkeys(state, "shard.bin"))


def build_index_missing_shard(directory: Path, marker: Path | None = None) -> Path:
    """An index that names a shard which is not there."""
    build_sharded(directory)
    (directory / "model-00002-of-00002.safetensors").unlink()
    return directory


def build_transformers_weights(directory: Path, marker: Path | None = None) -> Path:
    """`transformers_weights` in the config names another safetensors file than the usual one."""
    write_config(directory, transformers_weights="other.safetensors")
    write_safetensors(
        directory / "model.safetensors", {n: t + 1 for n, t in bert_state().items() if t.is_floating_point()}
    )
    write_safetensors(directory / "other.safetensors", bert_state())
    return directory


def build_transformers_weights_bin(directory: Path, marker: Path | None = None) -> Path:
    """`transformers_weights` names a pickle; with a marker, one that acts."""
    write_config(directory, transformers_weights="adapter_model.bin")
    write_bin(directory, bert_state(), "adapter_model.bin")
    if marker is not None:
        payloads.poison_zip(directory / "adapter_model.bin", payloads.snippet(marker))
    return directory


def build_configuration_files(directory: Path, marker: Path | None = None) -> Path:
    """`configuration_files` sends every version of transformers from 4 on to another config file."""
    build_safetensors(directory)
    other = json.loads((directory / "config.json").read_text()) | {"layer_norm_eps": 0.5}
    (directory / "config.4.0.0.json").write_text(json.dumps(other))
    rewrite(directory / "config.json", configuration_files=["config.4.0.0.json"])
    return directory


def build_fast_tokenizer_files(directory: Path, marker: Path | None = None) -> Path:
    """`fast_tokenizer_files` sends every version of transformers from 4 on to another tokenizer file."""
    build_safetensors(directory)
    shutil.copy(directory / "tokenizer.json", directory / "tokenizer.4.0.0.json")
    rewrite(directory / "tokenizer_config.json", fast_tokenizer_files=["tokenizer.4.0.0.json"])
    return directory


def build_nested_steering(directory: Path, marker: Path | None = None) -> Path:
    """The same redirects, a level down: in a nested config."""
    build_safetensors(directory)
    inner = {"transformers_weights": "../x.bin", "attn_implementation": "evil/kernel", "auto_map": {"AutoModel": "m.C"}}
    rewrite(directory / "config.json", text_config={"model_type": "bert", **inner})
    return directory


# --- code from the author -----------------------------------------------------------------------------------------


def write_code(path: Path, marker: Path | None, names: tuple[str, ...] = ("Model", "Config")) -> None:
    """A module that creates the marker when it is imported."""
    path.parent.mkdir(parents=True, exist_ok=True)
    act = payloads.CODE.format(str(marker)) if marker else "pass"
    path.write_text(f"{act}\n" + "".join(f"class {name}: pass\n" for name in names))


AUTO_MAP = {"AutoConfig": "custom.Config", "AutoModel": "custom.Model"}


def build_auto_map_native(directory: Path, marker: Path | None = None) -> Path:
    """Code that nobody needs: the model type is one that transformers has."""
    build_safetensors(directory)
    write_code(directory / "custom.py", marker)
    rewrite(directory / "config.json", auto_map=AUTO_MAP)
    rewrite(directory / "tokenizer_config.json", auto_map={"AutoTokenizer": ["custom.Model", None]})
    return directory


def build_auto_map_unknown(directory: Path, marker: Path | None = None) -> Path:
    """Code without which the model cannot load."""
    build_auto_map_native(directory, marker)
    rewrite(directory / "config.json", model_type="madeup")
    return directory


def build_auto_map_elsewhere(directory: Path, marker: Path | None = None) -> Path:
    """Code in another repository, which a pinned revision does not pin."""
    build_safetensors(directory)
    there = {key: f"other/repo--{value}" for key, value in AUTO_MAP.items()}
    rewrite(directory / "config.json", auto_map=there, model_type="madeup")
    return directory


def build_custom_generate(directory: Path, marker: Path | None = None) -> Path:
    """A native Llama with `custom_generate/generate.py`, which runs at load if the caller trusts remote code."""
    build_llama(directory)
    write_code(directory / "custom_generate" / "generate.py", marker, ())
    with (directory / "custom_generate" / "generate.py").open("a") as file:
        file.write("def generate(model, *args, **kwargs): return 'custom'\n")
    return directory


def build_custom_pipelines(directory: Path, marker: Path | None = None) -> Path:
    """A config that brings its own pipeline class."""
    build_safetensors(directory)
    write_code(directory / "pipe.py", marker, ("Pipe",))
    rewrite(directory / "config.json", custom_pipelines={"mine": {"impl": "pipe.Pipe", "pt": ["AutoModel"]}})
    return directory


# --- kernels and quantisers ---------------------------------------------------------------------------------------


def build_attention_kernel(directory: Path, marker: Path | None = None) -> Path:
    """A config that names a repository of native code as its attention."""
    build_safetensors(directory)
    rewrite(directory / "config.json", attn_implementation="evil-org/kernel")
    return directory


def build_experts_kernel(directory: Path, marker: Path | None = None) -> Path:
    """The same for the experts of a mixture."""
    build_safetensors(directory)
    rewrite(directory / "config.json", experts_implementation="evil-org/kernel")
    return directory


def build_unknown_quantiser(directory: Path, marker: Path | None = None) -> Path:
    """A quantisation method that nobody knows."""
    build_safetensors(directory)
    rewrite(directory / "config.json", quantization_config={"quant_method": "madeup"})
    return directory


# --- adapters -----------------------------------------------------------------------------------------------------


def build_adapter(directory: Path, marker: Path | None = None, *, base: Path, safe: bool = True) -> Path:
    """A LoRA adapter that points at `base`; as a pickle if not `safe`, one that acts if there is a marker."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    adapted = get_peft_model(bert(), LoraConfig(r=2, target_modules=["query", "value"], init_lora_weights=False))
    adapted.save_pretrained(directory)
    (directory / "README.md").unlink()
    if not safe:
        from safetensors.torch import load_file

        weights = load_file(directory / "adapter_model.safetensors")
        (directory / "adapter_model.safetensors").unlink()
        write_bin(directory, weights, "adapter_model.bin")
        if marker is not None:
            payloads.poison_zip(directory / "adapter_model.bin", payloads.snippet(marker))
    rewrite(directory / "adapter_config.json", base_model_name_or_path=str(base))
    return directory


def build_adapter_inside(directory: Path, marker: Path | None = None) -> Path:
    """A complete model with an adapter in the same directory."""
    build_adapter(directory, base=directory)
    write_config(directory)
    write_safetensors(directory / "model.safetensors", bert_state())
    return directory


# --- templates and other text -------------------------------------------------------------------------------------

ESCAPE = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
LOOP = "{% for i in range(10**9) %}{% endfor %}"


def build_template(directory: Path, marker: Path | None = None, *, template: str = ESCAPE) -> Path:
    """A chat template of the author's choice."""
    build_safetensors(directory)
    (directory / "chat_template.jinja").write_text(template)
    return directory


def build_rag(directory: Path, marker: Path | None = None) -> Path:
    """A RAG config that asks for the legacy index, which is a pickle."""
    inner = {"model_type": "bert"}
    config: dict[str, Any] = {
        "model_type": "rag",
        "question_encoder": inner,
        "generator": {"model_type": "bart"},
        "index_name": "legacy",
        "index_path": str(directory),
    }
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config))
    for folder in ("question_encoder_tokenizer", "generator_tokenizer"):
        write_tokenizer(directory / folder)
    for name in ("psgs_w100.tsv.pkl", "hf_bert_base.hnswSQ8_correct_phi_128.c_index.index_meta.dpr"):
        body = payloads.poison(b"\x80\x02].", payloads.snippet(marker)) if marker else b"\x80\x02]."
        (directory / name).write_bytes(body)
    return directory


def build_planted_modules(directory: Path, marker: Path | None = None) -> Path:
    """A repository with Python modules named like optional dependencies, for who works inside it."""
    build_bin(directory)
    for name in ("kernels", "timm", "flash_attn"):
        write_code(directory / f"{name}.py", marker, ())
    return directory
