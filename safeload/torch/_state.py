"""`state_dict_of`: the tensors of any checkpoint that `safeload convert` reads, made when they are asked for."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from safeload.core.evidence import Evidence
from safeload.core.finding import Report
from safeload.engine.convert.inputs import Inputs, fetch, find_inputs, read
from safeload.engine.convert.judging import judge
from safeload.engine.convert.order import Order
from safeload.engine.convert.selection import Selection
from safeload.engine.convert.shards import DEFAULT_SIZE, size_in_bytes
from safeload.engine.enforce import guard_for
from safeload.engine.held import Held
from safeload.engine.options import Integrity, Options
from safeload.engine.request import Request
from safeload.formats.base import TensorView
from safeload.formats.dtypes import width_of
from safeload.formats.tensors import StorageRef, bad
from safeload.torch._load import checked_options, require_torch
from safeload.torch._memory import Memory, dtypes

if TYPE_CHECKING:
    import torch


class Views:
    """Tensors of views, over storages that are made once."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._storages: dict[tuple[int, int, int, bool], tuple[StorageRef, torch.UntypedStorage]] = {}
        self._dtypes = dtypes()

    def tensor(self, view: TensorView) -> torch.Tensor:
        """A tensor. Raises `MalformedInput` if its bytes are not there, or torch has no such type."""
        import torch

        if view.dtype not in self._dtypes:
            raise bad(f"torch has no {view.dtype}")
        storage = view.storage
        key = id(storage.blob), storage.offset, storage.nbytes, storage.big_endian
        if key not in self._storages:
            made = self._memory.make(storage, view.dtype)
            self._storages[key] = StorageRef(view.dtype, view.storage_key, storage), made
        ref, untyped = self._storages[key]
        if storage.big_endian and width_of(ref.dtype) != width_of(view.dtype):
            raise bad("its elements are in another order than those of its storage")
        tensor = torch.empty((0,), dtype=self._dtypes[view.dtype], device=untyped.device)
        return tensor.set_(untyped, view.storage_offset, view.shape, view.strides)


class StateDict(Mapping[str, Any]):
    """Tensors by name. Each is made when it is first asked for, and then kept; iterating over names makes none.

    The files stay open as long as this lives; `close()` ends that earlier. Tensors that were made stay valid.
    """

    def __init__(self, held: Held, tensors: Mapping[str, TensorView], views: Views, report: Report) -> None:
        self._tensors = dict(tensors)
        self._views = views
        self._made: dict[str, torch.Tensor] = {}
        self._closing = weakref.finalize(self, held.close)
        self.report = report
        """What was found in the files."""

    def __getitem__(self, name: str) -> torch.Tensor:
        if name not in self._made:
            self._made[name] = self._views.tensor(self._tensors[name])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def __repr__(self) -> str:
        return f"<{len(self)} tensors, {len(self._made)} of them read>"

    def close(self) -> None:
        """Close the files. Tensors that were not asked for cannot be read any more."""
        self._closing()


def state_dict_of(
    path: str | os.PathLike[str],
    *,
    map_location: Any = None,
    mmap: bool = True,
    request: Request | None = None,
    safeload: Options | None = None,
) -> StateDict:
    """Just the tensors of a checkpoint, by the names that `state_dict()` or a dotted path gives them.

    Promised: nothing in the file runs; no tensor's bytes are read before it is asked for. Modules that were pickled
    whole give the tensors they would list. Not promised: anything of a checkpoint but its tensors.

    Args:
        path: whatever `safeload convert` takes: a file, an index, a directory, a pattern, a model on the hub.
        map_location: as for `torch.load`.
        mmap: map the tensors where that is possible, and nobody else can write the file.

    Raises:
        As `safeload.convert` does; `UsageError` if torch is not installed.
    """
    options, request = checked_options(safeload), request or Request()
    require_torch()
    with held_inputs(os.fspath(path), request, options) as held:
        memory = Memory(integrity=held.integrity, mapped=mmap, map_location=map_location)
        tensors = read(held.files, held.inputs, held.names).contents.tensors
        state = StateDict(held.files, tensors, Views(memory), held.report)
        held.keep()
        return state


@dataclass(slots=True, kw_only=True)
class HeldInputs:
    """The files of a checkpoint, open, judged and allowed."""

    files: Held
    inputs: Inputs
    names: tuple[str, ...]
    report: Report
    integrity: Integrity
    kept: bool = False

    def keep(self) -> None:
        """Leave the files open when the context ends: somebody else closes them."""
        self.kept = True


@contextmanager
def held_inputs(reference: str, request: Request, options: Options) -> Iterator[HeldInputs]:
    """Open the files of a checkpoint, and let the policy decide. Raises as `safeload.convert` does."""
    inputs = find_inputs(reference, request, options.limits)
    guard = guard_for(inputs.snapshot, options, asked=request.revision)
    held = Held(inputs.snapshot, options.limits)
    kept = False
    try:
        names = fetch(held, inputs)
        report = judge(held, _order(reference, request, options))
        if not guard.is_silent:
            digests = {name: held.open(name).sha256() for name in held.inspected}
            found = guard.find(digests, lambda: digests, held)
            evidence = found.into(
                Evidence(reference=reference, revision=inputs.snapshot.revision, report=report, digests=digests)
            )
            guard.policy.decide(evidence).enforce(evidence)
        opened = HeldInputs(files=held, inputs=inputs, names=names, report=report, integrity=guard.integrity)
        yield opened
        kept = opened.kept
    finally:
        if not kept:
            held.close()


def _order(reference: str, request: Request, options: Options) -> Order:
    """What `judge` wants to know: as for a conversion that writes nothing. Policy files have their say apart."""
    from dataclasses import replace

    from safeload.core.policy import DEFAULT_POLICY, Policy

    plain = options if isinstance(options.policy, Policy) else replace(options, policy=DEFAULT_POLICY)
    return Order(
        reference=reference,
        into=None,
        selection=Selection(),
        most=size_in_bytes(DEFAULT_SIZE),
        keep_data=False,
        dry_run=True,
        force=False,
        digest_tensors=False,
        request=request,
        options=plain,
        progress=None,
    )
