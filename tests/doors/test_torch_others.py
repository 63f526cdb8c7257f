"""Packed sequences, random states, distributions and distributed tensors, as torch itself saves them."""

from __future__ import annotations

import copyreg
import io
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from safeload import scan
from safeload import torch as safe_torch
from safeload.core.construct import Record
from safeload.core.errors import MalformedInput, SafeloadError
from safeload.core.finding import Status

pytestmark = pytest.mark.filterwarnings("ignore")
ROWS = [torch.arange(count, dtype=torch.float32) for count in (2, 4, 3)]


def _saved(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


class Called(torch.nn.utils.rnn.PackedSequence):
    """Pickles as a call of `PackedSequence.__new__`, with whatever arguments."""

    parts: tuple[Any, ...]

    def __new__(cls, *parts: Any) -> Called:
        made = tuple.__new__(cls, ())
        made.parts = parts
        return made

    @property
    def __class__(self) -> Any:  # which pickle asks for before it writes such a call
        return torch.nn.utils.rnn.PackedSequence

    def __reduce_ex__(self, protocol: Any) -> Any:
        return copyreg.__newobj__, (torch.nn.utils.rnn.PackedSequence, *self.parts)


class Made:
    """Pickles as a call of anything, with a state where there is one."""

    def __init__(self, kind: Any, *args: Any, state: Any = None) -> None:
        self.reduced = (kind, args) if state is None else (kind, args, state)

    def __reduce__(self) -> Any:
        return self.reduced


def _packed(**options: Any) -> Any:
    return torch.nn.utils.rnn.pack_sequence(ROWS, enforce_sorted=False, **options)


@pytest.mark.parametrize("ordered", [True, False])
def test_a_packed_sequence_is_itself(ordered: bool, tmp_path: Path) -> None:
    """Sorted or not; what it is unpacked to is the same, and a scan calls it safe."""
    rows = sorted(ROWS, key=len, reverse=True) if ordered else ROWS
    made = torch.nn.utils.rnn.pack_sequence(rows, enforce_sorted=ordered)
    (tmp_path / "file.pt").write_bytes(data := _saved([made]))
    assert scan(tmp_path / "file.pt").files[0].status is Status.SAFE
    found = safe_torch.load(data, unknown="refuse")[0]
    assert type(found) is type(made)
    one, sizes = torch.nn.utils.rnn.pad_packed_sequence(found)
    other, wanted = torch.nn.utils.rnn.pad_packed_sequence(made)
    assert torch.equal(one, other) and torch.equal(sizes, wanted)


PACKED: dict[str, Callable[[Any], tuple[Any, ...]]] = {
    "more": lambda one: (one.data, one.batch_sizes + 1, *one[2:]),
    "fewer": lambda one: (one.data, one.batch_sizes[:-1], *one[2:]),
    "none": lambda one: (one.data, one.batch_sizes[:0], *one[2:]),
    "growing": lambda one: (one.data, one.batch_sizes.flip(0), *one[2:]),
    "negative": lambda one: (one.data, torch.tensor([10, -1]), *one[2:]),
    "zero": lambda one: (one.data, torch.cat([one.batch_sizes, torch.tensor([0])]), *one[2:]),
    "fractions": lambda one: (one.data, one.batch_sizes.double(), *one[2:]),
    "a-table": lambda one: (one.data, one.batch_sizes.reshape(2, 2), *one[2:]),
    "order-beyond": lambda one: (one.data, one.batch_sizes, one.sorted_indices + 1, one.unsorted_indices),
    "order-twice": lambda one: (one.data, one.batch_sizes, one.sorted_indices * 0, one.unsorted_indices),
    "order-of-more": lambda one: (one.data, one.batch_sizes, torch.arange(9), torch.arange(9)),
    "orders-differ": lambda one: (one.data, one.batch_sizes, torch.tensor([1, 2, 0]), torch.tensor([1, 2, 0])),
    "one-order": lambda one: (one.data, one.batch_sizes, one.sorted_indices, None),
}


@pytest.mark.parametrize("name", PACKED)
def test_sizes_that_do_not_fit_are_refused(name: str) -> None:
    """Recurrent layers follow them without looking."""
    made = _packed()
    with pytest.raises(MalformedInput):
        safe_torch.load(_saved(Called(*PACKED[name](made))))


def test_sizes_are_a_copy() -> None:
    """Another tensor of the file lies over the same memory: it may be written to, and changes nothing."""
    made = _packed()
    sizes = made.batch_sizes
    found, alias = safe_torch.load(_saved([Called(made.data, sizes, *made[2:]), sizes]))
    alias.fill_(1 << 40)
    assert torch.equal(found.batch_sizes, made.batch_sizes)


def test_a_packed_sequence_of_something_else_stays_inert() -> None:
    """Of data that is no tensor, or with a state."""
    kind = type(_packed())
    for odd in (Called([1], [1]), Called(torch.ones(1)), Made(kind, *_packed())):
        assert isinstance(safe_torch.load(_saved(odd)), Record)


def test_random_numbers_go_on_where_they_were(tmp_path: Path) -> None:
    """A generator of the CPU, with its state; a scan calls it safe."""
    made = torch.Generator().manual_seed(7)
    torch.randn(3, generator=made)
    (tmp_path / "file.pt").write_bytes(data := _saved({"generator": made}))
    assert scan(tmp_path / "file.pt").files[0].status is Status.SAFE
    found = safe_torch.load(data, unknown="refuse")["generator"]
    assert torch.equal(torch.randn(9, generator=found), torch.randn(9, generator=made))


@pytest.mark.parametrize(
    "state",
    [
        torch.zeros(5056, dtype=torch.uint8),
        torch.full((5056,), 255, dtype=torch.uint8),
        torch.zeros(5055, dtype=torch.uint8),
        torch.zeros(632, dtype=torch.int64),
        torch.zeros(1, 5056, dtype=torch.uint8),
    ],
)
def test_a_state_of_random_numbers_that_is_none_is_refused(state: Any) -> None:
    """By its size, its type, or by torch's own look at it."""
    odd = Made(torch.Generator, torch.device("cpu"), state=(1, None, state))
    with pytest.raises(MalformedInput):
        safe_torch.load(_saved(odd))


def test_no_state_of_random_numbers_crashes() -> None:
    """A thousand broken ones: refused, or numbers come of it."""
    chosen = random.Random(0)
    begun = bytearray(torch.Generator().get_state().numpy().tobytes())
    for _ in range(1_000):
        data = bytearray(begun)
        for _ in range(chosen.randrange(1, 4)):
            place = chosen.choice([chosen.randrange(24), chosen.randrange(5056), chosen.randrange(4990, 5056)])
            data[place] = chosen.randrange(256)
        odd = Made(torch.Generator, torch.device("cpu"), state=(1, None, torch.tensor(list(data), dtype=torch.uint8)))
        try:
            found = safe_torch.load(_saved(odd))
        except MalformedInput:
            continue
        assert torch.randn(700, generator=found).shape == (700,)


def test_a_generator_of_another_device_stays_inert() -> None:
    """Its state is there as a tensor."""
    state = torch.zeros(16, dtype=torch.uint8)
    found = safe_torch.load(_saved(Made(torch.Generator, torch.device("cuda", 0), state=(1, 2, state))))
    assert isinstance(found, Record) and torch.equal(found.states[0][2], state)


def _distributions() -> Iterator[Any]:
    of = torch.distributions
    two = torch.ones(2)
    yield from (of.Normal(two, two), of.Bernoulli(two / 2), of.Categorical(logits=two), of.Gamma(two, two))
    yield from (of.Independent(of.Laplace(two, two), 1), of.MultivariateNormal(two, torch.eye(2)), of.Beta(two, two))
    yield of.TransformedDistribution(of.Normal(two, two), [of.AffineTransform(two, 2.0), of.TanhTransform()])
    yield of.MixtureSameFamily(of.Categorical(two), of.Normal(two, two))
    yield of.LowRankMultivariateNormal(two, torch.ones(2, 1), two)
    yield of.constraints.interval(0.0, 1.0)


@pytest.mark.parametrize("made", [*_distributions()], ids=lambda one: type(one).__name__)
def test_distributions_are_safe_and_inert(made: Any, tmp_path: Path) -> None:
    """Nothing of theirs runs; their parameters are there."""
    (tmp_path / "file.pt").write_bytes(data := _saved([made]))
    assert scan(tmp_path / "file.pt").files[0].status is Status.SAFE
    found = safe_torch.load(data, unknown="refuse")[0]
    assert isinstance(found, Record) and set(found.attributes) == set(vars(made))


@pytest.fixture
def mesh() -> Iterator[Any]:
    """Two ranks that are not there: torch's own stand-in for a group of processes."""
    from torch import distributed
    from torch.distributed.tensor import init_device_mesh
    from torch.testing._internal.distributed.fake_pg import FakeStore

    distributed.init_process_group("fake", rank=0, world_size=2, store=FakeStore())
    yield init_device_mesh("cpu", (2,))
    distributed.destroy_process_group()


@pytest.mark.parametrize("how", ["shard", "replicate", "partial"])
def test_distributed_tensors_are_inert_and_hold_their_local_part(how: str, mesh: Any, tmp_path: Path) -> None:
    """No mesh is set up and no group is looked for: a record, whose tensor is what this rank had."""
    from torch.distributed.tensor import DTensor, Partial, Replicate, Shard

    place = {"shard": Shard(0), "replicate": Replicate(), "partial": Partial()}[how]
    local = torch.arange(6.0).reshape(2, 3)
    made = DTensor.from_local(local, mesh, [place])
    (tmp_path / "file.pt").write_bytes(data := _saved({"weight": made, "bias": torch.nn.Parameter(made)}))
    assert scan(tmp_path / "file.pt").files[0].status is Status.SAFE
    found = safe_torch.load(data, unknown="refuse")
    for name in ("weight", "bias"):
        record = found[name]
        assert isinstance(record, Record) and str(record.name) == "torch.distributed.tensor.DTensor"
        assert torch.equal(record.attributes["_local_tensor"].detach(), local)
    with safe_torch_state(tmp_path / "file.pt") as tensors:
        assert torch.equal(tensors["weight.state.1._local_tensor"], local)
        assert "weight" not in tensors


class safe_torch_state:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Any:
        self.state = safe_torch.state_dict_of(self.path)
        return self.state

    def __exit__(self, *error: object) -> None:
        self.state.close()


def test_lazy_values_are_named_with_what_gives_them(tmp_path: Path) -> None:
    """Bytes of a conjugated tensor are not its values: nothing is written as if they were."""
    (tmp_path / "file.pt").write_bytes(_saved({"z": torch.ones(2, dtype=torch.complex64).conj()}))
    with pytest.raises(SafeloadError, match=r"safeload\.torch\.load gives its values.*resolve_conj"):
        safe_torch.state_dict_of(tmp_path / "file.pt")
