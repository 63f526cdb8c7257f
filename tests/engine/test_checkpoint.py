"""Weights are found wherever training programs put them; what is no weight is named, never lost in silence."""

from __future__ import annotations

import argparse
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.limits import Limits
from safeload.engine.admission.checkpoint import leading_dtype
from tests.engine.checkpoints import PLACE, found, saved, weights

W, B = torch.zeros(3, 2), torch.zeros(3)
STATE = {"w": W, "b": B}
SHAPES = {"w": (3, 2), "b": (3,)}


class Net(torch.nn.Module):
    """A module with a parameter, buffers that are saved and not saved, and a module inside."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(2))
        self.register_buffer("mean", torch.ones(4))
        self.register_buffer("cache", torch.ones(9), persistent=False)
        self.body = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.BatchNorm1d(3))


MODULE = Net()
MODULE_SHAPES = {name: tuple(tensor.shape) for name, tensor in MODULE.state_dict().items()}


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (STATE, SHAPES),
        (OrderedDict(STATE), SHAPES),
        (MODULE.state_dict(), MODULE_SHAPES),
        (MODULE, MODULE_SHAPES),
        ({"w": torch.nn.Parameter(W), "b": B}, SHAPES),
        ({"state_dict": STATE, "epoch": 3, "optimizer": {"state": {0: {"exp_avg": W}}}}, SHAPES),
        ({"model_state_dict": STATE, "optimizer_state_dict": {"state": {}}}, SHAPES),
        ({"module": OrderedDict(STATE), "dp_world_size": 1}, SHAPES),
        ({"model": MODULE, "epoch": 1, "args": argparse.Namespace(lr=0.1)}, MODULE_SHAPES),
        ({"state_dict": STATE, "best_acc1": torch.tensor(76.1)}, SHAPES),
        ({"state_dict": {"weight": W}, "step": torch.tensor(3)}, {"weight": (3, 2)}),
        ({"model": {"state_dict": STATE, "config": {}}, "step": 5}, SHAPES),
        ({"state_dict": {f"model.{name}": tensor for name, tensor in STATE.items()}}, SHAPES),
        ({"state_dict": {f"model.module.{name}": tensor for name, tensor in STATE.items()}}, SHAPES),
        ({"model": {f"_orig_mod.{name}": tensor for name, tensor in STATE.items()}}, SHAPES),
    ],
    ids=[
        "flat", "ordered", "with metadata", "whole module", "parameters", "lightning", "by hand", "deepspeed",
        "module in a dict", "score beside", "step beside one weight", "nested", "prefix", "two prefixes", "compiled",
    ],
)  # fmt: skip
def test_where_weights_are_found(value: Any, expected: dict[str, tuple[int, ...]], options: dict[str, Any]) -> None:
    """Flat or wrapped, as a dictionary or a module, with other things beside it: the state dict is found."""
    assert found(value, **options) == expected


def test_prefixes_outside_of_wrappers_are_names() -> None:
    """A flat state dict is the model's own: `model.w` stays `model.w`, as plain transformers would load it."""
    state = {"model.w": W, "model.b": B}
    assert found(state) == {"model.w": (3, 2), "model.b": (3,)}


def test_a_prefix_that_only_some_names_have_stays() -> None:
    """`model.` is taken off only where it stands before every name, so that no name is another's."""
    state = {"model.w": W, "head.b": B}
    assert found({"state_dict": state}) == {"model.w": (3, 2), "head.b": (3,)}


def test_a_name_that_is_a_prefix_keeps_it() -> None:
    """No tensor ever gets the empty name."""
    assert found({"state_dict": {"model.": W, "model.model.": B}}) == {"model.": (3, 2), "model.model.": (3,)}


def test_a_hundred_thousand_prefixes_are_no_recursion() -> None:
    """A name made of prefixes alone costs a few steps."""
    assert len(found({"state_dict": {"model." * 100_000 + "w": W}})) == 1


def test_what_is_not_a_weight_is_named() -> None:
    """Everything beside the weights is listed, at each level, whatever its key is."""
    huge = 10**3000
    value = {"model": {"state_dict": STATE, "note": "x"}, "epoch": 1, huge: 2, ("a", 1): 3, None: 4}
    dropped = weights(saved(value)).dropped
    assert dropped == ("epoch", "<int>", "<tuple>", "None", "model.note")
    assert weights(saved(value)).wrapper == "model.state_dict"
    assert weights(saved({**STATE, "note": "x", 5: W})).dropped == ("note", "5")


def test_tied_weights_stay_two_names() -> None:
    """Two names for one tensor are both there; nobody has to guess which one a model wants."""
    assert found({"a": W, "b": W}) == {"a": (3, 2), "b": (3, 2)}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({}, "a dictionary with nothing"),
        ([], "a value of type list"),
        (None, "a value of type NoneType"),
        (W, "a tensor"),
        ([W, B], "its tensors are 0, 1"),
        ({"epoch": 1, "\x1b[2J": 2}, r"epoch, \\x1b\[2J"),
        ({"params_ema": STATE}, "its tensors are params_ema.w, params_ema.b"),
        ({f"n{i}": i for i in range(50)}, "n0, n1, n2, n3, n4, n5, n6, n7, n8, n9, n10, n11 …"),
        (torch.nn.ReLU(), "an object of torch.nn.modules.activation.ReLU"),
        ({"model": torch.nn.ReLU()}, "a dictionary with model"),
        ({"w": np.ones(3)}, "its tensors are w"),
    ],
    ids=[
        "empty",
        "list",
        "none",
        "tensor",
        "tensors",
        "escapes",
        "unknown wrapper",
        "many",
        "module",
        "inside",
        "numpy",
    ],
)
def test_no_weights_is_an_error_that_lists_what_is_there(value: Any, told: str) -> None:
    """Where nothing is a state dict, the message says what the file holds, escaped, and what to do next."""
    with pytest.raises(MalformedInput, match=told) as refused:
        weights(saved(value))
    assert refused.value.where == PLACE and refused.value.remedy
    assert "\x1b" not in str(refused.value)


@pytest.mark.parametrize("data", [b"", b"no checkpoint", b'{"a": 1}', bytes(100)])
def test_other_files_hold_no_weights(data: bytes) -> None:
    """A file in another format gives an error with a place."""
    with pytest.raises(MalformedInput, match=r"pytorch_model\.bin"):
        weights(data)


@pytest.mark.parametrize(
    ("tensor", "told"),
    [
        (lambda: W.to_sparse(), "sparse"),
        (lambda: torch.empty(2, device="meta"), "meta device"),
        (lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "quantised"),
    ],
    ids=["sparse", "meta", "quantised"],
)
@pytest.mark.filterwarnings("ignore:.*quantize_per_tensor")
def test_a_weight_that_cannot_be_converted_is_not_left_out(tensor: Callable[[], torch.Tensor], told: str) -> None:
    """A sparse, quantised or missing weight among others stops the conversion and names itself."""
    with pytest.raises(MalformedInput, match=told) as refused:
        weights(saved({"good": W, "layer.bad": tensor()}))
    assert "layer.bad" in str(refused.value)


def test_a_checkpoint_that_contains_itself_ends() -> None:
    """Wrappers that hold each other and themselves are looked at once each."""
    value: dict[str, Any] = {"epoch": 1}
    value |= dict.fromkeys(("state_dict", "model", "module", "net", "params", "weights", "generator"), value)
    with pytest.raises(MalformedInput, match="no weights could be found"):
        weights(saved(value))


def test_wrappers_are_followed_only_so_deep() -> None:
    """No training program wraps ten times; a file that does has an error, not a stack of calls."""
    with pytest.raises(MalformedInput):
        weights(nested(100_000))


def nested(depth: int) -> bytes:
    """A bare pickle of `{"model": {"model": … {}}}`."""
    return b"\x80\x02" + b"}X\x05\x00\x00\x00model" * depth + b"}" + b"s" * depth + b"."


def test_more_tensors_than_the_limit_are_refused() -> None:
    """`Limits.tensors` holds for whole modules, whose names are made here."""
    with pytest.raises(LimitExceeded, match="tensors"):
        weights(saved(MODULE), Limits(tensors=3))


@pytest.mark.parametrize(
    ("tensors", "expected"),
    [
        ([torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.float16), torch.zeros(1)], "float16"),
        ([torch.zeros(1).to(torch.float8_e4m3fn), torch.zeros(1, dtype=torch.bfloat16)], "bfloat16"),
        ([torch.zeros(1, dtype=torch.int8)], None),
        ([], None),
    ],
)
def test_the_leading_dtype_is_that_of_transformers(tensors: list[torch.Tensor], expected: str | None) -> None:
    """The first dtype that a whole module can have; eight-bit floats and integers are not."""
    state = {str(i): tensor for i, tensor in enumerate(tensors)}
    views = weights(saved(state)).tensors if state else {}
    assert leading_dtype(views.values()) == expected
