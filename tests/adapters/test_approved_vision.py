"""Image and video processors and backbones with code of their own, and processors in other processes."""

from __future__ import annotations

import multiprocessing
import pickle
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import safeload.transformers as guarded
from safeload import PolicyDenied
from safeload.engine.approved import PACKAGE
from tests.adapters import coded, coded_vision
from tests.adapters.test_approved import approve, project  # noqa: F401  (a fixture)
from tests.hubserver import Hub, hub

__all__ = ["hub"]

BUILDERS = {"pair": coded_vision.build_two, "by-backend": coded_vision.build_by_backend}
EACH = pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)


def images(path: Path | str, **more: Any) -> Any:
    return guarded.AutoImageProcessor.from_pretrained(str(path), trust_remote_code=True, **more)


@EACH
def test_of_two_image_processors_both_are_approved(build: Any, project: Path) -> None:  # noqa: F811
    """A slow and a fast one: the audit has both, whichever the library will choose; only the chosen one runs."""
    path = build(project / "m")
    with pytest.raises(PolicyDenied) as caught:
        images(path)
    assert all(name in str(caught.value) for name in coded_vision.TWO_FILES)
    approve(path)
    chosen = images(path, backend="pil")
    assert type(chosen).__name__ == "Slow" and chosen.origin() == "own"
    assert type(chosen).__module__.startswith(f"{PACKAGE}.c")
    assert sorted(coded.RAN) == ["imaging.py", "words.py"]
    assert chosen(images=[[[0]]])["pixel_values"].shape == (1, 3, 2, 2)
    if find_spec("torchvision") is not None:
        assert type(images(path, backend="torchvision")).__name__ == "Fast"
    coded.refused_after_one_byte(path, coded_vision.TWO_FILES, lambda: images(path))


def test_an_image_processor_is_saved_and_loads_again(project: Path) -> None:  # noqa: F811
    """Its code is written, and the approval holds."""
    approve(coded_vision.build_images(project / "m"))
    images("m").save_pretrained("saved")
    assert (project / "saved/words.py").read_bytes() == (project / "m/words.py").read_bytes()
    assert images("saved").origin() == "own"


def test_a_processor_takes_parts_of_the_models_own(project: Path) -> None:  # noqa: F811
    """A processor, its tokenizer and its image processor, all in files of the model, under one approval."""
    path = coded.build_tokenizer(coded_vision.build_images(project / "m"))
    source = """from transformers import ProcessorMixin
class Processor(ProcessorMixin):
    def __init__(self, image_processor=None, tokenizer=None, **kwargs):
        super().__init__(image_processor, tokenizer)
    def origin(self):
        return "own"
"""
    coded.write(path, "processing.py", source)
    (path / "processor_config.json").write_text(
        '{"auto_map": {"AutoProcessor": "processing.Processor"}, "processor_class": "Processor"}'
    )
    with pytest.raises(PolicyDenied, match=r"imaging\.py"):
        guarded.AutoProcessor.from_pretrained("m", trust_remote_code=True)
    approve(path)
    whole: Any = guarded.AutoProcessor.from_pretrained("m", trust_remote_code=True)
    assert whole.origin() == whole.image_processor.origin() == whole.tokenizer.origin() == "own"
    assert pickle.loads(pickle.dumps(whole)).image_processor.origin() == "own"


def test_a_feature_extractor_of_old_is_an_image_processor(project: Path) -> None:  # noqa: F811
    """Configs that name an `AutoFeatureExtractor` where the class is an image processor by now."""
    path = coded_vision.build_images(project / "m")
    (path / "imaging.py").write_text((path / "imaging.py").read_text().replace("Slow", "SlowImageProcessor"))
    (path / "preprocessor_config.json").write_text(
        '{"auto_map": {"AutoFeatureExtractor": "imaging.SlowImageProcessor"}, "size": 2}'
    )
    approve(path)
    assert images(path).origin() == "own"


def test_a_pipeline_takes_the_models_own_image_processor(project: Path) -> None:  # noqa: F811
    """`pipeline("image-feature-extraction", …)`: model of the library, processor of the model."""
    path = coded_vision.build_backbone(project / "m")
    config = transformers.ResNetConfig(embedding_size=4, hidden_sizes=[4, 4], depths=[1, 1])
    transformers.ResNetModel(config).save_pretrained(path)
    coded.write(path, "imaging.py", coded_vision.IMAGES.format(name="Slow").replace("(1, 3, 2, 2)", "(1, 3, 32, 32)"))
    (path / "preprocessor_config.json").write_text('{"auto_map": {"AutoImageProcessor": "imaging.Slow"}}')

    def made() -> Any:
        return guarded.pipeline("image-feature-extraction", model="m", trust_remote_code=True)

    with pytest.raises(PolicyDenied, match=r"imaging\.py"):
        made()
    approve(path)
    assert made().image_processor.origin() == "own"


# --- backbones ------------------------------------------------------------------------------------------------------


def test_a_backbone_loads_from_a_directory_and_by_id(hub: Hub, project: Path) -> None:  # noqa: F811
    """Also without code of its own, and the library's own question to the hub is not asked."""
    path = coded_vision.build_backbone(project / "m")
    hub.add("org/backbone", path)
    for reference in (str(path), "org/backbone"):
        assert type(guarded.AutoBackbone.from_pretrained(reference)) is transformers.ResNetBackbone
    approve("org/backbone")
    assert guarded.AutoBackbone.from_pretrained("org/backbone", trust_remote_code=True).origin() == "own"  # type: ignore[attr-defined]


# --- other processes ------------------------------------------------------------------------------------------------


def strip(path: Path) -> None:
    """Make the modules need nothing of these tests."""
    for file in path.glob("*.py"):
        file.write_text(file.read_text().partition("\n")[2].partition("\n")[2])


class Texts(torch.utils.data.Dataset[Any]):
    """A data set that carries a processor, as those do that tokenise in the workers."""

    def __init__(self, processor: Any) -> None:
        self.processor = processor

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> tuple[int, str, int]:
        ids = self.processor.tokenizer("w1 w2")["input_ids"]
        return len(ids), self.processor.origin(), multiprocessing.parent_process() is not None


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_a_data_loader_takes_a_processor_along(method: str, project: Path) -> None:  # noqa: F811
    """The processor and its tokenizer, both in files of the model, are unpickled and used in the workers."""
    path = coded.build_tokenizer(coded.build_processor(project / "m"))
    strip(path)
    approve(path)
    processor: Any = guarded.AutoProcessor.from_pretrained("m", trust_remote_code=True)
    assert type(processor.tokenizer).__module__.startswith(f"{PACKAGE}.c")
    loader = torch.utils.data.DataLoader(
        Texts(processor), num_workers=1, multiprocessing_context=method, batch_size=None
    )
    assert [*map(tuple, loader)] == [(4, "own", True), (4, "own", True)]
