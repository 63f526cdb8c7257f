"""`torch.distributed.checkpoint`, guarded: `load` reads with safeload's own reader, and unpickles nothing.

    from safeload.torch.distributed import checkpoint
    checkpoint.load(state_dict, checkpoint_id="checkpoint/1000")

The `.metadata` of such a checkpoint is a pickle, which torch's reader unpickles without restriction, as it does every
object that is no tensor. `save`, `async_save` and `FileSystemWriter` are torch's own, and so is `FileSystemReader`, of
which `load` takes the path alone. To get everything without a state dictionary: `safeload.torch.state_dict_of(…)`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from safeload.core.errors import MalformedInput, UsageError
from safeload.core.names import Location, escape
from safeload.engine.convert.inputs import METADATA, distributed_parts, read
from safeload.engine.options import Options
from safeload.engine.request import Request
from safeload.formats import dcp
from safeload.torch._load import checked_options, live_value, require_torch
from safeload.torch._memory import Memory
from safeload.torch._state import Views, held_inputs

if TYPE_CHECKING:
    from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
    from torch.distributed.checkpoint.state_dict_saver import async_save, save

__all__ = ("FileSystemReader", "FileSystemWriter", "async_save", "load", "save")

_TORCHS = ("FileSystemReader", "FileSystemWriter", "async_save", "save")
_SHOWN = 50


class _Slot(NamedTuple):
    """A place in the state dictionary, and the name of what belongs there."""

    name: str
    holder: Any
    key: Any
    value: Any


def load(
    state_dict: dict[str, Any],
    *,
    checkpoint_id: str | os.PathLike[str] | None = None,
    storage_reader: Any = None,
    planner: None = None,
    process_group: None = None,
    no_dist: bool = False,
    safeload: Options | None = None,
) -> None:
    """Fill a state dictionary from a distributed checkpoint, in this process.

    Promised: nothing in the checkpoint runs. Tensors are copied into those of `state_dict`, other entries replaced, as
    torch does; objects of foreign classes are inert records. Nothing is changed unless every entry is there and fits.
    Not promised: loading by several processes together; values that are spread over devices (`DTensor`,
    `ShardedTensor`) are refused.

    Args:
        state_dict: nested dictionaries and lists of tensors and other values, or objects with `state_dict` and
            `load_state_dict`, as for torch.
        checkpoint_id: the directory.
        storage_reader: a `FileSystemReader`, of which only the path is used.
        planner, process_group: only there to be refused.
        no_dist: as it is always here.

    Raises:
        PolicyDenied: a file of it is dangerous, or a policy refuses it.
        MalformedInput: it cannot be read, or lacks an entry, or has one of another shape; all such entries are named.
        UsageError: an argument or a value cannot be honoured.
        SourceError: there is no such checkpoint. VerificationFailed: it changed meanwhile.
    """
    options = checked_options(safeload)
    require_torch()
    folder = _folder(checkpoint_id, storage_reader)
    if planner is not None or process_group is not None:
        raise UsageError(
            "a planner or process group was not honoured",
            why="safeload's reader loads whole tensors into one process",
            remedy="leave planner and process_group out",
        )
    filled = {key: _state_of(state_dict[key]) for key in sorted(state_dict, key=str)}
    slots = list(_slots(filled))
    with held_inputs(folder, Request(), options) as held:
        if held.inputs.index != METADATA:
            raise UsageError(
                f"{escape(folder)!r} was not loaded",
                why="it is no distributed checkpoint",
                remedy="safeload.torch.state_dict_of(…) reads other checkpoints",
            )
        metadata, blobs = distributed_parts(held.files, held.names)
        views = Views(Memory(mapped=False, integrity=held.integrity))
        tensors = read(held.files, held.inputs, held.names).contents.tensors
        objects = dcp.object_streams(metadata, blobs, options.limits)
        _check(slots, tensors, objects, metadata.location)
        wanted = {slot.name for slot in slots}
        made = {
            name: live_value(stream, Memory(mapped=False, integrity=held.integrity), options.limits)
            for name, stream in objects.items()
            if name in wanted
        }
        for slot in slots:
            _fill(slot, views.tensor(tensors[slot.name]) if slot.name in tensors else made[slot.name])
        held.files.verify_unchanged(held.files.files)
    for key, value in filled.items():
        if _is_stateful(state_dict[key]):
            state_dict[key].load_state_dict(value)
        else:
            state_dict[key] = value


def _folder(checkpoint_id: Any, storage_reader: Any) -> str:
    if storage_reader is not None:
        from torch.distributed.checkpoint.filesystem import FileSystemReader

        if type(storage_reader) is not FileSystemReader:
            raise UsageError(
                "storage_reader was not used",
                why=f"a {type(storage_reader).__name__} reads the files itself, beyond any check",
                remedy="checkpoint_id='…', the directory of the checkpoint",
            )
        checkpoint_id = checkpoint_id if checkpoint_id is not None else storage_reader.path
    if not isinstance(checkpoint_id, str | os.PathLike) or "://" in os.fspath(checkpoint_id):
        raise UsageError(
            "nothing was loaded", why="checkpoint_id is not the path of a directory", remedy="checkpoint_id='…'"
        )
    return os.fspath(checkpoint_id)


# ── the caller's state dictionary, by torch's rules ─────────────────────────────────────────────────────────────


def _is_stateful(value: Any) -> bool:
    return callable(getattr(value, "state_dict", None)) and callable(getattr(value, "load_state_dict", None))


def _state_of(value: Any) -> Any:
    return value.state_dict() if _is_stateful(value) else value


def _slots(state: Mapping[Any, Any]) -> Iterator[_Slot]:
    """Every place that is filled. Lists are entered if there are tensors or dictionaries in them."""
    waiting: list[_Slot] = [_Slot(str(key), state, key, value) for key, value in reversed(list(state.items()))]
    while waiting:
        slot = waiting.pop()
        if isinstance(slot.value, Mapping):
            parts = list(slot.value.items())
        elif isinstance(slot.value, list) and _holds(slot.value):
            parts = list(enumerate(slot.value))
        else:
            yield slot
            continue
        waiting += [_Slot(f"{slot.name}.{key}", slot.value, key, value) for key, value in reversed(parts)]


def _holds(items: list[Any]) -> bool:
    import torch

    return any(isinstance(item, Mapping | torch.Tensor) or (isinstance(item, list) and _holds(item)) for item in items)


def _check(slots: list[_Slot], tensors: Mapping[str, Any], objects: Mapping[str, Any], where: Location) -> None:
    """Raise one error that names every entry that cannot be filled."""
    import torch

    wrong = []
    for slot in slots:
        name = escape(slot.name)
        if isinstance(slot.value, torch.Tensor):
            if type(slot.value) not in (torch.Tensor, torch.nn.Parameter):
                raise UsageError(
                    f"{name} was not loaded",
                    why=f"a {type(slot.value).__name__} is spread over devices, or has values of its own",
                    remedy="load into plain tensors, and distribute them afterwards",
                )
            if slot.name not in tensors:
                wrong.append(f"{name} is no tensor in the checkpoint" if slot.name in objects else f"{name} is missing")
            elif tuple(slot.value.shape) != tuple(tensors[slot.name].shape):
                wrong.append(f"{name} has shape {list(tensors[slot.name].shape)}, wanted {list(slot.value.shape)}")
        elif slot.name not in objects and slot.name not in tensors:
            wrong.append(f"{name} is missing")
    if wrong:
        more = [f"and {len(wrong) - _SHOWN:,} more"] if len(wrong) > _SHOWN else []
        raise MalformedInput(
            "a distributed checkpoint does not fit",
            where=where,
            why="; ".join([*wrong[:_SHOWN], *more]),
            remedy="safeload.torch.state_dict_of(…) gives what it has",
        )


def _fill(slot: _Slot, value: Any) -> None:
    import torch

    if isinstance(slot.value, torch.Tensor) and slot.value.device.type != "meta":
        with torch.no_grad():
            slot.value.copy_(value)
    else:
        slot.holder[slot.key] = value


def __getattr__(name: str) -> Any:
    if name in _TORCHS:
        import torch.distributed.checkpoint

        return getattr(torch.distributed.checkpoint, name)
    _refuse(name)


def _refuse(name: str) -> NoReturn:
    raise AttributeError(
        f"module 'safeload.torch.distributed.checkpoint' has no attribute {name!r}: it guards what loads files; "
        "to convert a checkpoint, use: safeload convert"
    )
