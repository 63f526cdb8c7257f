"""Builders of tiny diffusers pipelines, made and saved by the library itself, and what is done to them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
    UNet2DModel,
)
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
from safetensors.torch import load_file
from transformers import CLIPConfig, CLIPImageProcessor, CLIPTextConfig, CLIPTextModel, CLIPTokenizer, CLIPVisionConfig

WORDS = ["<|startoftext|>", "<|endoftext|>", *"abcdefghijklmnopqrstuvwxyz", *(f"{c}</w>" for c in "abcdefghij")]
VAE = {"block_out_channels": (8,), "latent_channels": 4, "norm_num_groups": 4, "sample_size": 16}


def unet() -> UNet2DModel:
    torch.manual_seed(1)
    blocks = {"down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",), "layers_per_block": 1}
    return UNet2DModel(
        sample_size=8, in_channels=3, out_channels=3, block_out_channels=(8,), norm_num_groups=4, **blocks
    )


def build_ddpm(directory: Path) -> Path:
    """A network and a scheduler."""
    DDPMPipeline(unet(), DDIMScheduler(num_train_timesteps=10)).save_pretrained(directory)
    return directory


def _text(**changes: Any) -> dict[str, Any]:
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}
    return {**sizes, "vocab_size": len(WORDS), "max_position_embeddings": 8, "projection_dim": 8, **changes}


def tokenizer() -> CLIPTokenizer:
    return CLIPTokenizer(vocab={word: i for i, word in enumerate(WORDS)}, merges=[], model_max_length=8)


def build_stable(directory: Path) -> Path:
    """Text encoder, autoencoder, network, scheduler and safety checker: components of three libraries."""
    torch.manual_seed(2)
    vision = CLIPVisionConfig(**_text(image_size=16, patch_size=8) | {"num_hidden_layers": 1}).to_dict()
    checker = StableDiffusionSafetyChecker(CLIPConfig(text_config=_text(), vision_config=vision, projection_dim=8))
    blocks = {"down_block_types": ("CrossAttnDownBlock2D",), "up_block_types": ("CrossAttnUpBlock2D",)}
    StableDiffusionPipeline(
        vae=AutoencoderKL(**VAE),
        text_encoder=CLIPTextModel(CLIPTextConfig(**_text(eos_token_id=1, bos_token_id=0, pad_token_id=1))),
        tokenizer=tokenizer(),
        unet=UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(8,),
            layers_per_block=1,
            cross_attention_dim=16,
            norm_num_groups=4,
            attention_head_dim=4,
            mid_block_type="UNetMidBlock2DCrossAttn",
            **blocks,
        ),
        scheduler=DDIMScheduler(num_train_timesteps=10, steps_offset=1, clip_sample=False),
        safety_checker=checker,
        feature_extractor=CLIPImageProcessor(),
        requires_safety_checker=False,
    ).save_pretrained(directory)
    return directory


BUILDERS: dict[str, Callable[[Path], Path]] = {"ddpm": build_ddpm, "stable": build_stable}


def pickle_weights(directory: Path) -> Path:
    """Turn all weights into the pickles that old versions wrote."""
    for path in list(directory.rglob("*.safetensors")):
        stem = "pytorch_model" if path.stem == "model" else path.stem
        torch.save(load_file(path), path.with_name(f"{stem}.bin"))
        path.unlink()
    return directory


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def weights(pipeline: Any) -> dict[str, torch.Tensor]:
    """The weights of all components."""
    found = {}
    for name, part in pipeline.components.items():
        if isinstance(part, torch.nn.Module):
            found |= {f"{name}.{key}": value for key, value in part.state_dict().items()}
    return found


def same(ours: Any, theirs: Any) -> bool:
    """Whether two pipelines are equal in class, components, settings and weights."""
    mine, wanted = weights(ours), weights(theirs)
    types = {name: type(part) for name, part in ours.components.items()}
    return (
        type(ours) is type(theirs)
        and types == {name: type(part) for name, part in theirs.components.items()}
        and dict(ours.config) == dict(theirs.config)
        and mine.keys() == wanted.keys()
        and all(torch.equal(mine[key], wanted[key]) for key in wanted)
    )
