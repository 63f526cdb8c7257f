"""Random checkpoints, saved in every way torch can save, come back bit by bit."""

from __future__ import annotations

import io
import pickle
import tempfile
from pathlib import Path
from typing import Any

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safeload.engine.convert.compare import compare
from safeload.engine.convert.job import convert
from tests.engine import models
from tests.engine.test_convert import DTYPES, loaded, noise, same
from tests.engine.views import raw

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="."), min_size=1, max_size=8).filter(
    lambda name: name != "__metadata__"
)


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    """A tensor of any type and rank, often a view of a larger storage."""
    shape = draw(st.lists(st.integers(0, 5), max_size=4))
    tensor = noise(draw(st.sampled_from(DTYPES)), *shape)
    for _ in range(draw(st.integers(0, 3))):
        change = draw(st.sampled_from(["permute", "narrow", "expand", "step", "select", "parameter"]))
        if change == "parameter" and (tensor.is_floating_point() or tensor.is_complex()) and tensor.itemsize > 1:
            tensor = torch.nn.Parameter(tensor.detach(), requires_grad=draw(st.booleans()))
        if not tensor.dim():
            continue
        tensor, dim = tensor.detach(), draw(st.integers(0, tensor.dim() - 1))
        length = tensor.shape[dim]
        if change == "permute":
            tensor = tensor.permute(draw(st.permutations(range(tensor.dim()))))
        elif change == "narrow":
            start = draw(st.integers(0, length))
            tensor = tensor.narrow(dim, start, draw(st.integers(0, length - start)))
        elif change == "expand":
            tensor = tensor.unsqueeze(dim).expand(*tensor.shape[:dim], draw(st.integers(0, 3)), *tensor.shape[dim:])
        elif change == "step":
            tensor = tensor[tuple([slice(None)] * dim + [slice(None, None, draw(st.integers(1, 3)))])]
        elif change == "select" and length:
            tensor = tensor.select(dim, draw(st.integers(0, length - 1)))
    return tensor


@st.composite
def checkpoints(draw: st.DrawFn) -> dict[str, Any]:
    """Nested dictionaries and lists of tensors, some of which are there twice, and of other things."""
    pool = draw(st.lists(tensors(), min_size=1, max_size=5))
    leaf = st.one_of(st.sampled_from(range(len(pool))).map(pool.__getitem__), st.integers(), st.none(), st.text())
    tree = st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.dictionaries(NAMES, inner, max_size=4),
            st.lists(inner, max_size=3),
            st.lists(inner, max_size=3).map(tuple),
        ),
        max_leaves=12,
    )
    return {"first": pool[0], **draw(st.dictionaries(NAMES, tree, max_size=4))}


def flat(value: Any, path: str = "") -> dict[str, torch.Tensor]:
    """The tensors of a nested value by dotted path."""
    if isinstance(value, torch.Tensor):
        return {path: value.detach()}
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    return {k: v for key, item in pairs for k, v in flat(item, f"{path}.{key}" if path else str(key)).items()}


def dump(value: Any, how: str) -> bytes:
    """A value as torch, or Python's pickle, writes it."""
    buffer = io.BytesIO()
    if how == "pickle":
        pickle.dump(value, buffer)
    elif how.startswith("zip"):
        torch.save(value, buffer, pickle_protocol=int(how[-1]))
    else:
        torch.save(value, buffer, pickle_protocol=int(how[-1]), _use_new_zipfile_serialization=False)
    return buffer.getvalue()


WAYS = ["zip2", "zip3", "zip4", "zip5", "legacy2", "legacy4", "pickle"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(checkpoints(), st.sampled_from(WAYS), st.integers(1, 4000), st.booleans())
def test_what_was_saved_comes_back(value: dict[str, Any], how: str, most: int, drop: bool) -> None:
    """Every tensor of every nested value has the same type, shape and bits in the output, however it was saved, however
    many files it became; and comparing the two checkpoints says so."""
    with tempfile.TemporaryDirectory() as name:
        path = models.write(Path(name, "x.pt"), dump(value, how))
        conversion = convert(path, max_shard_size=most, shared="drop" if drop else "keep")
        found, wanted = loaded(conversion), flat(value)
        dropped = {item.path for item in conversion.dropped if "same memory" in item.reason}
        assert set(found) | dropped == set(wanted)
        assert drop or not dropped
        for key, tensor in wanted.items():
            if key in found:
                assert same(found[key], tensor), key
                assert len(raw(tensor)) == tensor.numel() * tensor.itemsize
        assert conversion.path is not None
        comparison = compare(path, conversion.path)
        assert comparison.equal, [one for one in comparison.tensors if one.outcome != "equal"]
