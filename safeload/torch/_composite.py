"""Tensors made of several: sparse and nested ones, whose numbers say where other numbers belong; and tuples of them.

torch believes these numbers by default, and its kernels act on them without looking. All are checked here, on copies:
another tensor of the same file may lie over the same memory, and change them later.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Any

from safeload.core.names import GlobalName
from safeload.engine.live import Made
from safeload.formats.tensors import DIMENSIONS, StorageRef, bad, contiguous, counts

if TYPE_CHECKING:
    import torch


RAGGED = GlobalName("torch.nested._internal.nested_tensor", "_rebuild_njt")
RAGGED_TENSOR = GlobalName("torch.nested._internal.nested_tensor", "NestedTensor")
_PACKED = {"quint4x2": 2, "quint2x4": 4}
"""Elements in a byte."""


def fits_packed(ref: StorageRef, start: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether a tensor is of a type with several elements in a byte. Raises `MalformedInput` if it does not fit."""
    each = _PACKED.get(ref.dtype)
    if each is None:
        return False
    wanted = (prod(shape) + each - 1) // each
    if start or strides != contiguous(shape):
        raise bad("elements that share bytes do not follow each other")
    if wanted > ref.storage.nbytes:
        raise bad("it reaches outside of its storage", wanted=wanted, available=ref.storage.nbytes)
    return True


def sparse(args: tuple[Any, ...]) -> torch.Tensor:
    """The tensor of `(layout, parts)`, with all of torch's own checks.

    Raises:
        MalformedInput: the parts do not describe one.
        RuntimeError, ValueError, TypeError, OverflowError: torch says so.
    """
    import torch

    tensor = torch.Tensor
    match args:
        case (torch.sparse_coo, (tensor() as indices, tensor() as values, size, *rest)) if len(rest) <= 1:
            return torch.sparse_coo_tensor(
                _own(indices),
                values,
                counts(size, "shape"),
                check_invariants=True,
                is_coalesced=rest[0] if rest and isinstance(rest[0], bool) else None,
            )
        case (torch.layout() as layout, (tensor() as outer, tensor() as inner, tensor() as values, size)):
            if layout in (torch.sparse_bsr, torch.sparse_bsc):
                # torch divides by the sizes of blocks before it looks at them, which ends the process.
                blocks = values.shape[outer.dim() : outer.dim() + 2]
                if len(blocks) != 2 or 0 in blocks:
                    raise bad("the blocks of a sparse tensor have no size")
            return torch.sparse_compressed_tensor(
                _own(outer), _own(inner), values, counts(size, "shape"), layout=layout, check_invariants=True
            )
    raise bad("its sparse layout is not one of torch's")


def _own(numbers: torch.Tensor) -> torch.Tensor:
    """A copy that nothing else lies over, in row order: some kernels take that for granted."""
    import torch

    return numbers.clone(memory_format=torch.contiguous_format)


def nested(parts: tuple[Any, ...]) -> torch.Tensor | None:
    """The tensor of `(buffer, sizes, strides, offsets)`; `None` where its parts are not on the CPU, or there are none.

    Promised: each component lies within the buffer, repeats none of it, and all together have no more elements than
    it; later changes to other tensors of the file do not reach the numbers that say so.

    Raises:
        MalformedInput: the parts do not describe that.
    """
    import torch

    if len(parts) != 4 or not all(type(part) is torch.Tensor and part.layout is torch.strided for part in parts):
        raise bad("a nested tensor is not made of four plain tensors")
    buffer, sizes, strides, offsets = parts
    if not (sizes.dim() or strides.dim() or offsets.numel()):
        return None  # without components
    if any(part.device.type != "cpu" for part in (sizes, strides, offsets)):
        return None  # map_location moved what torch itself wants on the CPU
    if buffer.dim() != 1 or buffer.is_quantized or not buffer.is_contiguous() or buffer.requires_grad:
        raise bad("the buffer of a nested tensor is not a row of numbers")
    if sizes.dim() != 2 or sizes.shape != strides.shape or sizes.shape[:1] != offsets.shape:
        raise bad("the sizes, strides and offsets of a nested tensor do not belong together")
    if any(part.dtype is not torch.int64 for part in (sizes, strides, offsets)) or sizes.shape[1] >= DIMENSIONS:
        raise bad("the sizes, strides and offsets of a nested tensor are not counts")
    if not sizes.numel():
        return None  # without components, or without dimensions: operators of torch crash on these
    left = buffer.numel()
    for shape, steps, offset in zip(sizes.tolist(), strides.tolist(), offsets.tolist(), strict=True):
        count = prod(shape)
        if (
            min((offset, *shape, *steps)) < 0
            or max(shape) >> 31
            or any(n > 1 and not step for n, step in zip(shape, steps, strict=True))
        ):
            raise bad("a component of a nested tensor has sizes or strides that are no counts, or repeats elements")
        last = offset + sum((n - 1) * step for n, step in zip(shape, steps, strict=True))
        left -= count
        if (count and last >= buffer.numel()) or offset > buffer.numel() or left < 0:
            raise bad("a component of a nested tensor reaches outside of its buffer")
    made: torch.Tensor = torch._nested_view_from_buffer(buffer, _own(sizes), _own(strides), _own(offsets))
    return made


def ragged(parts: dict[Any, Any]) -> torch.Tensor:
    """The nested tensor of jagged layout that these parts make. What torch remembers of it is computed again.

    Promised: its components follow each other within the values, none of them overlaps another, and later changes to
    other tensors of the file do not reach the numbers that say where.

    Raises:
        MalformedInput: the parts do not describe that.
    """
    import torch

    known = {"values", "offsets", "lengths", "_ragged_idx", "_metadata_cache", "requires_grad"}
    if set(parts) - known:
        raise bad("a nested tensor has parts that torch does not write")
    values, offsets, lengths = (parts.get(name) for name in ("values", "offsets", "lengths"))
    dimension = parts.get("_ragged_idx", 1)
    if type(values) is not torch.Tensor or values.layout is not torch.strided or type(dimension) is not int:
        raise bad("the values of a nested tensor are none")
    if not 1 <= dimension <= values.dim():
        raise bad("a nested tensor is ragged where it has no dimension")
    places = _counted(offsets)
    edges = places.tolist()
    if not edges or edges[0] < 0 or edges[-1] > values.shape[dimension - 1]:
        raise bad("a component of a nested tensor reaches outside of its values")
    if any(start > end for start, end in pairwise(edges)):
        raise bad("the components of a nested tensor are not in order")
    sizes = None if lengths is None else _counted(lengths)
    if sizes is not None:
        room = [end - start for start, end in pairwise(edges)]
        given = sizes.tolist()
        if len(given) != len(room) or any(not 0 <= size <= most for size, most in zip(given, room, strict=True)):
            raise bad("a component of a nested tensor is longer than its place")
    return torch.nested.nested_tensor_from_jagged(
        values, places.to(values.device), None if sizes is None else sizes.to(values.device), jagged_dim=dimension
    )


def _counted(numbers: object) -> torch.Tensor:
    import torch

    if type(numbers) is not torch.Tensor or numbers.dtype not in (torch.int64, torch.int32) or numbers.dim() != 1:
        raise bad("the places of a nested tensor are not counts")
    return _own(numbers).cpu()


@cache
def several_names() -> tuple[GlobalName, ...]:
    """The tuples with names that functions such as `torch.max` return."""
    import torch

    home = torch.return_types
    return tuple(
        GlobalName(home.__name__, name)
        for name, kind in vars(home).items()
        if isinstance(kind, type) and issubclass(kind, tuple) and kind.__module__ == home.__name__
    )


def several(made: Made) -> object:
    """A tuple with names, of tensors.

    Raises:
        MalformedInput: it has other parts than its function returns.
    """
    import torch

    kind: Any = getattr(torch.return_types, made.name.name)
    match made.args:
        case (tuple() as parts,) | (tuple() as parts, {}) if not made.states and not made.items and not made.kwargs:
            pass
        case _:
            raise bad("several tensors with names are not described")
    if len(parts) != kind.n_fields or (len(made.args) > 1 and made.args[1]):
        raise bad("several tensors with names are others than their function returns")
    return kind(parts) if all(isinstance(part, torch.Tensor) for part in parts) else made.record()
