"""TorchScript programs: never handed over, and their tensors named as `state_dict()` names them."""

from __future__ import annotations

import io
import warnings

import pytest
import torch
from torch import nn

from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.limits import Limits
from safeload.formats.base import Opaque, PickleStream
from safeload.formats.dtypes import bits_of, width_of
from safeload.formats.tree import named_tensors, tree
from tests.corpus.build import Zipped, checkpoint, make_zip, payload, state_dict, tensor
from tests.formats.helpers import data, of, reading, runs_system, same, saved, value_of


class _Net(nn.Module):
    """Parameters, buffers, submodules, lists of tensors and constants."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 3)
        self.norm = nn.BatchNorm1d(3)
        self.blocks = nn.ModuleList([nn.Conv1d(1, 1, 1)])
        self.register_buffer("grid", torch.arange(4))
        self.sizes = [1, 2]
        self.extra = [torch.ones(1)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.first(x)) + torch.tensor([1.0, 2.0, 3.0]) * self.sizes[0] + self.extra[0]


def _saved(program: torch.jit.ScriptModule) -> bytes:
    out = io.BytesIO()
    torch.jit.save(program, out)
    return out.getvalue()


def _programs() -> dict[str, torch.jit.ScriptModule]:
    net = _Net().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(net)
        return {"scripted": scripted, "traced": torch.jit.trace(net, torch.ones(1, 2))}


@pytest.mark.parametrize("kind", ["scripted", "traced"])
def test_parameters_and_buffers_have_their_names(kind: str) -> None:
    """Every tensor of `state_dict()` under its name, bit for bit, and tensors in attributes beside them."""
    program = _programs()[kind]
    result = reading(_saved(program), "model.pt")
    named = named_tensors(tree(data(result)))
    assert result.formats == ("torchscript",) and result.fault is None and of(result, Opaque, what="torchscript")
    for name, wanted in program.state_dict().items():
        assert same(value_of(named[name]), wanted)
    assert set(named) - set(program.state_dict()) == ({"extra.0"} if kind == "scripted" else set())


def test_constants_are_a_list() -> None:
    """A frozen program keeps its weights as constants, which are tensors by their place."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.jit.freeze(torch.jit.script(_Net().eval()))
    result = reading(_saved(program), "model.pt")
    constants = tree(of(result, PickleStream, role="constants")[0])
    assert named_tensors(tree(data(result))) == {}
    shapes = [tuple(view.shape) for view in named_tensors(constants).values()]
    assert (3, 2) in shapes and (3,) in shapes


def test_constants_do_not_take_the_storages_of_the_data() -> None:
    """Each of the two pickles has a directory of storages of its own, with the same keys."""
    raw = make_zip(
        [
            *checkpoint(state_dict({"w": tensor()}), {"0": b"\1" * 16}),
            Zipped("archive/constants.pkl", state_dict({"c": tensor()})),
            Zipped("archive/constants/0", b"\2" * 16),
        ]
    )
    result = reading(raw, "model.pt")
    own = named_tensors(tree(data(result)))["w"].storage
    other = named_tensors(tree(of(result, PickleStream, role="constants")[0]))["c"].storage
    assert own.blob.read_at(own.offset, 1) == b"\1" and other.blob.read_at(other.offset, 1) == b"\2"


def test_a_call_in_constants_is_seen() -> None:
    """Constants are a pickle as any other."""
    raw = make_zip([*checkpoint(saved_value()), Zipped("archive/constants.pkl", payload())])
    assert runs_system(reading(raw, "model.pt"))


def saved_value() -> bytes:
    return b"\x80\x02}."


@pytest.mark.parametrize("arguments", [b")", b"(K\x01t", b"(]]t"])
def test_lists_of_other_things_are_refused(arguments: bytes) -> None:
    """The builders of typed lists take one list."""
    raw = b"\x80\x02ctorch.jit._pickle\nbuild_tensorlist\n" + arguments + b"R."
    stream = data(reading(make_zip([*checkpoint(raw), Zipped("archive/constants.pkl", b").")]), "m.pt"))
    with pytest.raises(MalformedInput):
        tree(stream)


def test_views_repeat_within_the_limits_of_the_caller() -> None:
    """A small storage that is expanded is bounded by the limits that are given, not by the defaults."""
    stream = data(reading(saved({"w": torch.ones(1).expand(40 << 20)})))
    with pytest.raises(LimitExceeded):
        tree(stream)
    assert named_tensors(tree(stream, Limits(expansion=1 << 30)))["w"].shape == (40 << 20,)


def test_types_without_whole_bytes_have_bits() -> None:
    """safetensors' six-bit types have bits and no width; asking for one is our error."""
    assert bits_of("F6_E2M3") == bits_of("F6_E3M2") == 6 and bits_of("bfloat16") == 16
    for name in ("F6_E2M3", "nonsense"):
        with pytest.raises(MalformedInput):
            width_of(name)
