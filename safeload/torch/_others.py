"""Objects of torch that are tensors and a rule about them: packed sequences, and the state of random numbers.

Kernels follow the numbers of a packed sequence without looking, so each is looked at here, on a copy that no other
tensor of the file lies over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from safeload.core.graph import How
from safeload.core.names import GlobalName
from safeload.engine.live import Made, Maker
from safeload.formats.tensors import bad

if TYPE_CHECKING:
    import torch

_STATE = 5056
"""Bytes that torch writes for the Mersenne twister and the half of a pair of normal numbers."""


def packed(made: Made) -> object:
    """A `PackedSequence`: as many rows as its steps count, never more at a later step, and orders that are such.

    Raises:
        MalformedInput: its parts do not describe that.
    """
    import torch
    from torch.nn.utils.rnn import PackedSequence

    if made.call.how is not How.NEWOBJ or made.kwargs or made.items or made.states or not 2 <= len(made.args) <= 4:
        return made.record()
    data, sizes, *orders = made.args
    if type(data) is not torch.Tensor or data.layout is not torch.strided or not data.dim():
        return made.record()
    steps = _row(sizes, "the sizes of a packed sequence")
    counts = steps.tolist()
    if not counts or min(counts) < 1 or sum(counts) != len(data) or sorted(counts, reverse=True) != counts:
        raise bad("the sizes of a packed sequence do not count its rows")
    places = [None if one is None else _order(one, counts[0]) for one in (*orders, None, None)[:2]]
    first, last = places
    if (first is None) is not (last is None) or (
        first is not None and last is not None and first[last].tolist() != list(range(counts[0]))
    ):
        raise bad("the orders of a packed sequence do not undo each other")
    moved = [one if one is None else one.to(data.device) for one in places]
    value: Any = PackedSequence(data, steps, *moved)
    return value


def _row(numbers: object, what: str) -> torch.Tensor:
    """A copy of whole numbers, on the CPU, where torch wants them."""
    import torch

    if type(numbers) is not torch.Tensor or numbers.dtype is not torch.int64 or numbers.dim() != 1:
        raise bad(f"{what} are no counts")
    return numbers.clone(memory_format=torch.contiguous_format).cpu()


def _order(numbers: object, count: int) -> torch.Tensor:
    places = _row(numbers, "the orders of a packed sequence")
    if sorted(places.tolist()) != list(range(count)):
        raise bad("an order of a packed sequence is none of its sequences")
    return places


def generator(made: Made) -> object:
    """A `torch.Generator` of the CPU with its state, which torch checks; of another device an inert record.

    Raises:
        MalformedInput: its state is none.
    """
    import torch

    match made.args, made.states:
        case (torch.device(type="cpu"),), ((int() as seed, None, torch.Tensor() as state),):
            pass
        case _:
            return made.record()
    if made.kwargs or made.items or type(seed) is not int:
        return made.record()
    if type(state) is not torch.Tensor or state.dtype is not torch.uint8 or tuple(state.shape) != (_STATE,):
        raise bad("the state of random numbers is none")
    found = torch.Generator()
    try:
        found.set_state(state.clone(memory_format=torch.contiguous_format).cpu())
    except RuntimeError:
        raise bad("the state of random numbers is none") from None
    return found


OTHERS: dict[GlobalName, Maker] = {
    GlobalName("torch.nn.utils.rnn", "PackedSequence"): packed,
    GlobalName("torch._C", "Generator"): generator,
}
