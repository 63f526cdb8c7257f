"""Builders of tiny models of parts that bring their own code, for sentence-transformers and diffusers.

In the form of `coded.py`: each module notes in `coded.RAN` that it was imported.
"""

from __future__ import annotations

from pathlib import Path

from tests.adapters import coded, diffusion, sentences
from tests.adapters.sentences import edit

MODULE = """import torch
from sentence_transformers.models import Module
from .numbers_st import FACTOR
class CustomModule(Module):
    config_keys = []
    def forward(self, features, **kwargs):
        features["sentence_embedding"] = torch.full_like(features["sentence_embedding"], FACTOR)
        return features
    def save(self, output_path, *args, **kwargs):
        pass
    @classmethod
    def load(cls, *args, **kwargs):
        return cls()
"""
NUMBERS = "FACTOR = 7.0\n"
WORDS = """from sentence_transformers.models.tokenizer import WhitespaceTokenizer
class Tokenizer(WhitespaceTokenizer):
    pass
"""
PIPELINE = """from diffusers import DDPMPipeline
class MyPipeline(DDPMPipeline):
    def origin(self):
        return "own"
"""
NET = """from diffusers import UNet2DModel
from .more import WORD
class MyUNet(UNet2DModel):
    def origin(self):
        return WORD
"""
SENTENCE_FILES = ("custom_st.py", "numbers_st.py")


def custom(directory: Path) -> Path:
    """The files of a module of the author's own."""
    coded.write(directory, "custom_st.py", MODULE)
    coded.write(directory, "numbers_st.py", NUMBERS)
    return directory


def build_module(directory: Path) -> Path:
    """A last module of the author's own, which turns every number into seven."""
    custom(sentences.build_sentences(directory))
    edit(directory / "modules.json", lambda modules: modules[3].update(type="custom_st.CustomModule"))
    return directory


def build_routed(directory: Path) -> Path:
    """The same, as the last step of one way through a router."""
    custom(sentences.build_router(directory))
    edit(
        directory / "router_config.json",
        lambda router: router["types"].update(document_2_Dense="custom_st.CustomModule"),
    )
    return directory


def build_pipeline(directory: Path) -> Path:
    """A pipeline class of the author's own, at the top."""
    diffusion.build_ddpm(directory)
    coded.write(directory, "my_pipeline.py", PIPELINE)
    diffusion.edit(directory / "model_index.json", _class_name=["my_pipeline", "MyPipeline"])
    return directory


def build_component(directory: Path) -> Path:
    """A network of the author's own, in its folder, and what it imports."""
    diffusion.build_ddpm(directory)
    coded.write(directory, "unet/my_unet.py", NET, label="unet/my_unet.py")
    coded.write(directory, "unet/more.py", 'WORD = "own"\n')
    diffusion.edit(directory / "model_index.json", unet=["my_unet", "MyUNet"])
    return directory


def build_both(directory: Path) -> Path:
    """Both in one pipeline."""
    build_component(directory)
    coded.write(directory, "my_pipeline.py", PIPELINE)
    diffusion.edit(directory / "model_index.json", _class_name=["my_pipeline", "MyPipeline"])
    return directory


def build_mapped(directory: Path) -> Path:
    """A single network of the author's own, which `auto_map` of its config names."""
    diffusion.unet().save_pretrained(directory)
    coded.write(directory, "my_unet.py", NET)
    coded.write(directory, "more.py", 'WORD = "own"\n')
    diffusion.edit(directory / "config.json", auto_map={"AutoModel": "my_unet.MyUNet"})
    return directory
