"""Builders of tiny models whose image and video processors, or backbones, are code of their own. As in `coded.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.adapters import coded
from tests.adapters.coded import Case, write
from tests.adapters.repos import build_safetensors, rewrite

IMAGES = """import numpy
from transformers.image_processing_utils import BaseImageProcessor, BatchFeature
from .words import WORD
class {name}(BaseImageProcessor):
    model_input_names = ["pixel_values"]
    def __init__(self, size=2, **kwargs):
        super().__init__(**kwargs)
        self.size = size
    def preprocess(self, images, **kwargs):
        return BatchFeature({{"pixel_values": numpy.zeros((1, 3, 2, 2))}})
    def origin(self):
        return WORD
"""
VIDEO = """from transformers import BaseVideoProcessor
from .words import WORD
class Videos(BaseVideoProcessor):
    model_input_names = ["pixel_values_videos"]
    def origin(self):
        return WORD
"""
BACKBONE = """from transformers import ResNetBackbone
from .words import WORD
class Backbone(ResNetBackbone):
    def origin(self):
        return WORD
"""
WORDS = 'WORD = "own"\n'
PREPROCESSOR = "preprocessor_config.json"


def _settings(directory: Path, name: str, **settings: Any) -> None:
    (directory / name).write_text(json.dumps(settings))


def build_images(directory: Path) -> Path:
    """An image processor named alone."""
    build_safetensors(directory)
    write(directory, "imaging.py", IMAGES.format(name="Slow"))
    write(directory, "words.py", WORDS)
    _settings(directory, PREPROCESSOR, auto_map={"AutoImageProcessor": "imaging.Slow"}, size=2)
    return directory


def build_two(directory: Path) -> Path:
    """Two of them, as a slow and a fast one, each in its file."""
    build_images(directory)
    write(directory, "fast.py", IMAGES.format(name="Fast"))
    auto_map = {"AutoImageProcessor": ["imaging.Slow", "fast.Fast"]}
    _settings(directory, PREPROCESSOR, auto_map=auto_map, size=2)
    return directory


def build_by_backend(directory: Path) -> Path:
    """Two of them, by the name of the backend."""
    build_two(directory)
    auto_map = {"AutoImageProcessor": {"pil": "imaging.Slow", "torchvision": "fast.Fast"}}
    _settings(directory, PREPROCESSOR, auto_map=auto_map, size=2)
    return directory


def build_of_a_model(directory: Path) -> Path:
    """Named by the config of the model."""
    build_images(directory)
    _settings(directory, PREPROCESSOR, size=2)
    rewrite(directory / "config.json", auto_map={"AutoImageProcessor": "imaging.Slow"})
    return directory


def build_video(directory: Path) -> Path:
    """A video processor."""
    build_safetensors(directory)
    write(directory, "video.py", VIDEO)
    write(directory, "words.py", WORDS)
    _settings(directory, "video_preprocessor_config.json", auto_map={"AutoVideoProcessor": "video.Videos"})
    return directory


def build_backbone(directory: Path) -> Path:
    """A backbone of a type that transformers has."""
    from transformers import ResNetBackbone, ResNetConfig

    sizes = {"embedding_size": 4, "hidden_sizes": [4, 4], "depths": [1, 1], "out_features": ["stage2"]}
    ResNetBackbone(ResNetConfig(**sizes)).save_pretrained(directory)
    write(directory, "backbone.py", BACKBONE)
    write(directory, "words.py", WORDS)
    rewrite(directory / "config.json", auto_map={"AutoBackbone": "backbone.Backbone"})
    return directory


def _image(guarded: Any, path: str) -> Any:
    return guarded.AutoImageProcessor.from_pretrained(path, trust_remote_code=True)


IMAGE_FILES = ("imaging.py", "words.py")
TWO_FILES = ("fast.py", "imaging.py", "words.py")
CASES = {
    "images": Case(build_images, _image, IMAGE_FILES),
    "images-of-a-model": Case(build_of_a_model, _image, IMAGE_FILES),
    "backbone": Case(
        build_backbone,
        lambda guarded, path: guarded.AutoBackbone.from_pretrained(path, trust_remote_code=True),
        ("backbone.py", "words.py"),
    ),
}
VIDEO_CASE = Case(
    build_video,
    lambda guarded, path: guarded.AutoVideoProcessor.from_pretrained(path, trust_remote_code=True),
    ("video.py", "words.py"),
)
assert coded.CASES.keys().isdisjoint(CASES)
