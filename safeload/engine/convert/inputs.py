"""From what a user names to the files that are read: one checkpoint, the shards of one, or several by a pattern."""

from __future__ import annotations

import os
import posixpath
import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from safeload.core.errors import MalformedInput, UsageError
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.core.paths import bare_name
from safeload.engine.admission import select
from safeload.engine.convert.contents import Contents
from safeload.engine.convert.keras import HDF5, file_contents, holds_hdf5
from safeload.engine.convert.mosaic import joined
from safeload.engine.held import Held
from safeload.engine.inspect import Inspected
from safeload.engine.reach import reach
from safeload.engine.request import Request
from safeload.formats import dcp
from safeload.formats.base import Config, PickleStream
from safeload.sources.base import Snapshot
from safeload.sources.local import local_snapshot
from safeload.sources.pinned import PinnedFile

_INDEX = ".index.json"
METADATA = ".metadata"
"""What lists the tensors of a distributed checkpoint."""
_SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})(\.[a-z]+)\Z")
_CHECKPOINTS = (
    ".bin", ".pt", ".pth", ".ckpt", ".safetensors", ".npz", ".npy", ".msgpack", ".h5", ".hdf5", ".keras", ".joblib",
    ".pkl",
)  # fmt: skip
_REPOSITORY = ("config.json", "adapter_config.json", "model_index.json", "tokenizer_config.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """The files of one checkpoint, in a snapshot."""

    snapshot: Snapshot
    name: str
    """What the output is called after."""
    folder: str
    """Where the output goes if nobody says: beside the source. Empty for models on the hub."""
    files: tuple[str, ...] = ()
    index: str | None = None
    repository: bool = False
    """A model's whole directory, with its configs: `files` are those of its checkpoint."""


def find_inputs(reference: str, request: Request, limits: Limits) -> Inputs:
    """The files that a path, a pattern of paths, or a model on the hub stands for.

    Raises:
        SourceError: there is no such thing.
        UsageError: a directory holds no checkpoint, or several.
    """
    if any(sign in reference for sign in "*?[") and not os.path.lexists(reference):
        return _by_pattern(reference, limits)
    if reference.endswith(_INDEX) and os.path.isfile(reference):
        folder, name = os.path.split(os.path.abspath(reference))
        snapshot: Snapshot = local_snapshot(folder, limits=limits)
        return Inputs(snapshot=snapshot, name=name.removesuffix(_INDEX), folder=folder, index=name)
    if os.path.basename(reference) == METADATA and os.path.isfile(reference):
        reference = os.path.dirname(os.path.abspath(reference))
    if os.path.isfile(reference):
        # A file that is named is that file: nobody means a model on the hub whose name is the same.
        snapshot = local_snapshot(reference, limits=limits)
        folder, name = os.path.split(os.path.abspath(reference))
        # Nothing is written into the hub's cache.
        beside = folder if snapshot.revision is None else ""
        return Inputs(snapshot=snapshot, name=name, folder=beside, files=tuple(snapshot.listing))
    snapshot = reach(reference, request.access, revision=request.revision, limits=limits)
    folder = os.path.abspath(reference) if snapshot.kind == "directory" else ""
    return _in_folder(snapshot, folder)


def _by_pattern(reference: str, limits: Limits) -> Inputs:
    folder, pattern = os.path.split(os.path.abspath(reference))
    snapshot = local_snapshot(folder, limits=limits)
    files = tuple(name for name in snapshot.listing if "/" not in name and fnmatchcase(name, pattern))
    if not files:
        raise UsageError(
            "nothing was converted", where=Location(reference), why="no file has such a name", remedy=f"ls {folder}"
        )
    _require_all_shards(files, folder)
    shard = _SHARD.match(files[0])
    name = f"{shard[1]}{shard[4]}" if shard else files[0]
    return Inputs(snapshot=snapshot, name=name, folder=folder, files=files)


def _require_all_shards(files: tuple[str, ...], folder: str) -> None:
    """Of files that count themselves, every one must be there."""
    found = [match for match in map(_SHARD.match, files) if match]
    numbers = sorted(int(match[2]) for match in found)
    if found and numbers != list(range(1, int(found[0][3]) + 1)):
        raise MalformedInput(
            "a checkpoint in several files is not complete",
            where=Location(folder),
            why=f"there should be {int(found[0][3])} files, and these are numbers {', '.join(map(str, numbers[:20]))}",
            remedy="fetch the missing files",
        )


def _in_folder(snapshot: Snapshot, folder: str) -> Inputs:
    """The checkpoint of a directory: by its index, as numbered shards, by its usual name, or the only one there is."""
    top = [name for name in snapshot.listing if "/" not in name]
    if METADATA in top:
        return Inputs(snapshot=snapshot, name="model", folder=folder, index=METADATA)
    repository = any(name in top for name in _REPOSITORY)
    indexes = [name for name in top if name.endswith(_INDEX)]
    usual = [name for name in ("pytorch_model.bin", "adapter_model.bin", "model.safetensors") if name in top]
    shards = tuple(name for name in top if _SHARD.match(name))
    single = [name for name in top if name.lower().endswith(_CHECKPOINTS)]
    if usual or len(indexes) == 1:
        if indexes and not usual:
            return Inputs(
                snapshot=snapshot,
                name=indexes[0].removesuffix(_INDEX),
                folder=folder,
                index=indexes[0],
                repository=repository,
            )
        return Inputs(snapshot=snapshot, name=usual[0], folder=folder, files=(usual[0],), repository=repository)
    if shards and len({_SHARD.sub(r"\1\4", name) for name in shards}) == 1:
        _require_all_shards(shards, folder or snapshot.root)
        name = _SHARD.sub(r"\1\4", shards[0])
        return Inputs(snapshot=snapshot, name=name, folder=folder, files=shards, repository=repository)
    if len(single) == 1 or repository:
        return Inputs(
            snapshot=snapshot,
            name=(single or ["model"])[0],
            folder=folder,
            files=tuple(single[:1]),
            repository=repository,
        )
    listed = ", ".join(escape(name, 60) for name in single[:10])
    raise UsageError(
        "nothing was converted",
        where=Location(snapshot.reference),
        why=f"the directory holds several checkpoints: {listed}" if single else "the directory holds no checkpoint",
        remedy="name the file",
    )


@dataclass(slots=True, kw_only=True)
class Read:
    """The contents of all files of a checkpoint together."""

    paths: tuple[str, ...]
    """Every file that was read, the index included."""
    contents: Contents = field(default_factory=Contents)
    formats: set[str] = field(default_factory=set)


def fetch(held: Held, inputs: Inputs) -> tuple[str, ...]:
    """Fetch and inspect the files; return their paths, without the index.

    Raises:
        MalformedInput: the index cannot be used, or names files that do not exist.
        SourceError: a file cannot be had.
    """
    files = inputs.files
    if inputs.index is not None:
        held.snapshot.fetch([inputs.index])
        distributed = inputs.index == METADATA
        files = (
            _parts(held) if distributed else tuple(select.shards(_document(held, inputs.index), Location(inputs.index)))
        )
        missing = [name for name in files if name not in held.snapshot.listing]
        if missing:
            raise MalformedInput(
                "an index names files that do not exist",
                where=Location(inputs.index, path=None if distributed else "weight_map"),
                why=", ".join(escape(name) for name in missing[:20]),
                remedy="fetch the missing files, or ask the author for a complete checkpoint",
            )
    held.snapshot.fetch(files)
    for path in files:
        held.inspect(path)
    return files


def _metadata(held: Held) -> PickleStream:
    """The pickle that lists the tensors of a distributed checkpoint."""
    inspected = held.inspect(METADATA)
    _refuse_unread(inspected)
    for part in inspected.parts:
        if isinstance(part, PickleStream) and part.role == "data" and dcp.is_metadata(part):
            return part
    raise MalformedInput(
        "a distributed checkpoint cannot be read",
        where=Location(METADATA),
        why="it does not list the tensors of one",
        remedy="name the checkpoint file",
    )


def _parts(held: Held) -> tuple[str, ...]:
    names = dcp.part_names(_metadata(held), held.limits)
    return tuple(bare_name(name, location=Location(METADATA)) for name in names)


def distributed_parts(held: Held, files: tuple[str, ...]) -> tuple[PickleStream, dict[str, PinnedFile]]:
    """What `formats.dcp` reads: the metadata of a distributed checkpoint and its parts, by name.

    Raises:
        MalformedInput: one of them cannot be read.
    """
    metadata = _metadata(held)
    for path in files:
        _refuse_unread(held.inspect(path))
    return metadata, {path: held.open(path) for path in files}


def _distributed(held: Held, files: tuple[str, ...]) -> Read:
    """The tensors of a distributed checkpoint, joined, and its other objects by name."""
    metadata, blobs = distributed_parts(held, files)
    tensors = dcp.join(metadata, blobs, held.limits)
    contents = Contents(tensors={name: joined(tensor, metadata.location) for name, tensor in tensors.items()})
    others = dcp.objects(metadata, blobs, held.limits)
    contents.values += [others] if others else []
    return Read(paths=(*files, METADATA), contents=contents, formats={"torch-distcp"})


def _document(held: Held, path: str) -> object:
    return next((part.data for part in held.inspect(path).parts if isinstance(part, Config)), None)


def read(held: Held, inputs: Inputs, files: tuple[str, ...]) -> Read:
    """What the files hold together.

    Raises:
        MalformedInput: one cannot be read; two hold a tensor of the same name; or the index says something else.
    """
    if inputs.index == METADATA:
        return _distributed(held, files)
    found = Read(paths=(*files, *([inputs.index] if inputs.index is not None else [])))
    holder: dict[str, str] = {}
    for path in files:
        inspected = held.inspect(path)
        _refuse_unread(inspected)
        found.formats.add(HDF5 if holds_hdf5(inspected) else inspected.report.format)
        contents = file_contents(inspected, held.open(path), held.limits)
        for name, view in contents.tensors.items():
            if name in holder:
                raise MalformedInput(
                    "two files of a checkpoint hold a tensor of the same name",
                    where=Location(path, path=name),
                    why=f"it is also in {escape(holder[name])}",
                    remedy="convert each file by itself",
                )
            holder[name] = path
            found.contents.tensors[name] = view
        found.contents.values += contents.values
        found.contents.metadata = {**found.contents.metadata, **contents.metadata}
        found.contents.without_data.update(contents.without_data)
    if inputs.index is not None:
        _compare_index(held, inputs.index, holder)
    return found


def _refuse_unread(inspected: Inspected) -> None:
    """Whatever a policy allows: of a file that could not be read to its end, tensors would be missing."""
    for finding in inspected.report.findings:
        if finding.rule == "unreadable":
            raise MalformedInput(
                f"{escape(inspected.path)!r} cannot be read",
                where=finding.location,
                why=finding.message,
                remedy="fetch the file again, or ask its author",
            )


def _compare_index(held: Held, index: str, holder: dict[str, str]) -> None:
    document = _document(held, index)
    listed = document["weight_map"] if isinstance(document, dict) else {}
    for name in sorted({*listed, *holder}):
        if listed.get(name) != holder.get(name):
            said = f"in {escape(str(listed[name]))}" if name in listed else "nowhere"
            real = f"in {escape(holder[name])}" if name in holder else "in none of the files"
            raise MalformedInput(
                "a shard index is wrong about a tensor",
                where=Location(index, path=f"weight_map.{posixpath.basename(name) if '/' in name else name}"),
                why=f"it says {said}, and the tensor is {real}",
                remedy="fetch the checkpoint again; to convert the files without their index, name them by a pattern",
            )
