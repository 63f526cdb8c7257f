"""Making the content of an admitted directory: small files copied or rewritten, pickled weights converted."""

from __future__ import annotations

import json
import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from math import prod
from typing import Any

from safeload import __version__
from safeload.core.digest import sha256
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.names import Location, escape
from safeload.engine import tensorfile
from safeload.engine.admission import select
from safeload.engine.admission.checkpoint import DEFAULT_DTYPES, leading_dtype, weights_of
from safeload.engine.admission.plan import Plan
from safeload.engine.admission.record import AdmittedFile, How, LeftOut, Record, to_json
from safeload.engine.admission.rewrite import rewrite
from safeload.engine.held import Held
from safeload.engine.inspect import Inspected
from safeload.engine.scanning.results import own_files
from safeload.formats.base import Config, Irregularity, TensorView
from safeload.formats.dtypes import bits_of
from safeload.sources.base import Snapshot
from safeload.sources.failures import os_failure
from safeload.sources.pinned import PinnedFile
from safeload.sources.store import Store

CONVERTER = f"1-{__version__}"
"""Changes whenever the same checkpoint would be written differently."""

ACCOUNT = "admission.json"
INDEX = "model.safetensors.index.json"
_NAMED = 100
_CONVERTED = "model.safetensors"
_AS_THEY_ARE = ("safetensors", "gguf")


@dataclass(slots=True)
class Built:
    """What was made, file by file."""

    files: list[AdmittedFile] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    attention_removed: bool = False
    tensors: dict[str, Mapping[str, TensorView]] = field(default_factory=dict)
    """The tensors of each weight file, by admitted name."""
    conversions: dict[str, str] = field(default_factory=dict)
    """Where in the store the conversion of a weight file lies, by admitted name."""


def is_converted(inspected: Inspected) -> bool:
    """Whether a weight file is handed over as a conversion rather than as it is."""
    return inspected.report.format not in _AS_THEY_ARE


def build_weights(held: Held, plan: Plan, store: Store) -> Built:
    """Convert every pickled weight file into the store, once for each; list the others as links.

    Raises:
        MalformedInput: a file holds no weights, or its pickle cannot be read to its end.
        SourceError: the store could not be written.
    """
    built = Built()
    jobs: list[tuple[str, PinnedFile, Mapping[str, TensorView]]] = []
    for name, path in {**plan.weights, **plan.side}.items():
        inspected = held.inspect(path)
        _refuse_misplaced(name, inspected)
        weights = weights_of(inspected.parts, Location(path), held.limits)
        built.tensors[name] = weights.tensors
        built.left_out.extend(_not_weights(path, weights.dropped))
        if is_converted(inspected):
            jobs.append((name, held.open(path), weights.tensors))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        keys = pool.map(lambda job: convert_into(store, job[1], job[2], settled=held.settled), jobs)
        for (name, _, _), key in zip(jobs, keys, strict=True):
            built.conversions[name] = f"{key}/{_CONVERTED}"
    return built


def _refuse_misplaced(name: str, inspected: Inspected) -> None:
    """A loader knows GGUF by the name it was asked for under; its quantised tensors have no other form."""
    if (inspected.report.format == "gguf") != name.lower().endswith(".gguf"):
        raise MalformedInput(
            f"{escape(inspected.path)!r} cannot be handed over",
            where=Location(inspected.path),
            why="it is a GGUF file, which has to be asked for"
            if inspected.report.format == "gguf"
            else "it was asked for as a GGUF file, and is none",
            remedy="pass gguf_file=… for a GGUF file, and for no other",
        )


def _not_weights(path: str, dropped: Sequence[str]) -> Iterator[LeftOut]:
    """What else a checkpoint held: each entry, up to a number that people read."""
    for item in dropped[:_NAMED]:
        yield LeftOut(path=path, reason=f"the entry {escape(item)!r} is not a weight")
    if dropped[_NAMED:]:
        yield LeftOut(path=path, reason=f"{len(dropped) - _NAMED:,} more entries are not weights")


def convert_into(store: Store, file: PinnedFile, tensors: Mapping[str, TensorView], *, settled: bool) -> str:
    """The key of the conversion of this checkpoint, made now if it is not in the store.

    A file that nobody else can write, and whose last change was over (`settled`) before it was read, is known by its
    identity, so that converting need not wait for its digest; any other by its content.
    """
    name = "-".join(map(str, file.identity)) if file.exclusive and settled else file.sha256(store.memo)
    with store.staging("converted", f"{CONVERTER}-{sha256(f'{name} {own_files()}'.encode())}") as stage:
        if stage.entry is None:
            path = os.path.join(stage.path, _CONVERTED)
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise os_failure(error, "the store could not be written", path=path) from error
            try:
                written = tensorfile.write(descriptor, tensors)
            finally:
                os.close(descriptor)
            file.verify_unchanged()
            stage.publish(digests={_CONVERTED: written.sha256})
        assert stage.entry is not None
        with stage.entry as entry:
            return entry.record.key


def list_weights(plan: Plan, built: Built, digests: Mapping[str, str]) -> None:
    """Add the weights to what was made, now that the digests of their sources are known."""
    for name, path in {**plan.weights, **plan.side}.items():
        entry = built.conversions.get(name, "")
        how: How = "converted" if entry else "link"
        built.files.append(AdmittedFile(path=name, source=path, sha256=digests[path], how=how, entry=entry))


def refuse_oversized(held: Held, plan: Plan) -> None:
    """Raise `LimitExceeded` if a config or tokenizer file is larger than any that a loader could want."""
    for path in plan.small.values():
        size, most = held.open(path).size, held.limits.text_bytes
        if size > most:
            raise LimitExceeded("text_bytes", allowed=most, wanted=size, where=Location(path))


def build_small(held: Held, plan: Plan, built: Built, folder: str, *, code: bool = False, late: bool = True) -> None:
    """Write the configs, indexes and tokenizer files of the plan into `folder`. With `code`, they may name code; with
    `late`, what their caller loads later.

    Raises:
        OSError: the folder could not be written.
    """
    available = {*plan.small, *plan.weights, *plan.side}
    for name, path in plan.small.items():
        inspected = held.inspect(path)
        data = held.open(path).read_at(0, inspected.report.size)
        config = next((part for part in inspected.parts if isinstance(part, Config)), None)
        if config is None and name.lower().endswith(".json"):
            built.left_out.append(LeftOut(path=path, reason="it could not be read as JSON"))
            continue
        changed = False
        if config is not None:
            filled = posixpath.basename(name) == select.CONFIG and _fill_dtype(held, config.data, plan, built, name)
            rewritten = rewrite(path, config.data, available.__contains__, code=code, late=late)
            built.attention_removed |= rewritten.attention_removed
            built.left_out.extend(LeftOut(path=path, reason=str(change)) for change in rewritten.changes)
            changed = filled or bool(rewritten.changes) or _read_two_ways(inspected)
        _write(folder, name, _dump(config.data, path) if config is not None and changed else data)
        how: How = "rewritten" if changed else "copy"
        built.files.append(AdmittedFile(path=name, source=path, sha256=sha256(data), how=how))
    indexes = {INDEX: tuple(plan.weights)} if len(plan.weights) > 1 else {}
    for name, listed in {**indexes, **plan.indexes}.items():
        _write(folder, name, _dump(_index(listed, plan, built), name))


def write_account(folder: str, snapshot: Snapshot, record: Record) -> None:
    """Write `admission.json`: what the directory holds, where each file came from, and what was left out.

    Raises:
        OSError: the folder could not be written.
    """
    told = {key: value for key, value in to_json(record).items() if key not in ("inputs", "listing")}
    account = {
        "schema": "safeload.admission/1",
        "safeload": __version__,
        "reference": snapshot.reference,
        "revision": snapshot.revision,
        **told,
    }
    _write(folder, ACCOUNT, _dump(account, ACCOUNT))


def _read_two_ways(inspected: Inspected) -> bool:
    """Whether another parser could read this JSON differently, so that only our own text of it may be handed over."""
    return any(isinstance(part, Irregularity) for part in inspected.parts)


def _dump(data: Any, path: str) -> bytes:
    try:
        return json.dumps(data, indent=2).encode()
    except RecursionError:
        raise MalformedInput(
            "a JSON file cannot be handed over",
            where=Location(path),
            why="it is nested too deep to be written again",
            remedy="ask the author for a flatter file",
        ) from None


def _write(folder: str, name: str, data: bytes) -> None:
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "xb") as stream:
        stream.write(data)


_OF_TRANSFORMERS = ("model_type", "architectures", "transformers_version")
"""What transformers writes into each config. The folder of a layer has one as well, whose entries are its arguments."""


def _fill_dtype(held: Held, document: Any, plan: Plan, built: Built, name: str) -> bool:
    """Say in the config which dtype the weights have, so that no loader opens a checkpoint to find out."""
    if not isinstance(document, dict) or any(document.get(key) for key in ("dtype", "torch_dtype")):
        return False
    if name == select.CONFIG and plan.weights and any(document.get(key) for key in _OF_TRANSFORMERS):
        dtype = _stated_dtype(held, plan) or _found_dtype(plan.weights, built)
    elif "model_type" in document:  # a part that is a model of transformers; others know no such entry
        stem = posixpath.join(posixpath.dirname(name), "model")
        ends = (f"{stem}.safetensors", f"{stem}-")
        dtype = _found_dtype((weights for weights in plan.side if weights.startswith(ends)), built)
    else:
        dtype = None
    if dtype is not None:
        document["dtype"] = dtype
    return dtype is not None


def _stated_dtype(held: Held, plan: Plan) -> str | None:
    """What the index of the shards says, which transformers believes before it looks."""
    for part in held.inspect(plan.index).parts if plan.index is not None else ():
        metadata = part.data.get("metadata") if isinstance(part, Config) and isinstance(part.data, dict) else None
        dtype = metadata.get("dtype") if isinstance(metadata, dict) else None
        return dtype if dtype in DEFAULT_DTYPES else None
    return None


def _found_dtype(weights: Iterable[str], built: Built) -> str | None:
    """That of the first floating tensor of the first file, in the order of its reader: safetensors' is by name."""
    for name in weights:
        if name.lower().endswith(".gguf"):
            return None
        views = built.tensors[name]
        return leading_dtype(views.values() if name in built.conversions else (views[key] for key in sorted(views)))
    return None


def _index(listed: Iterable[str], plan: Plan, built: Built) -> dict[str, Any]:
    """A shard index of the admitted directory, from the tensors that are really there.

    Raises:
        MalformedInput: two shards hold a tensor of the same name.
    """
    weight_map: dict[str, str] = {}
    size = 0
    paths = {**plan.weights, **plan.side}
    for name in listed:
        for tensor, view in built.tensors[name].items():
            if tensor in weight_map:
                raise MalformedInput(
                    "two shards hold a tensor of the same name",
                    where=Location(paths[name]),
                    why=f"{escape(tensor)!r} is also in {escape(paths[weight_map[tensor]])}",
                )
            weight_map[tensor] = name
            size += -(-prod(view.shape) * bits_of(view.dtype) // 8)
    return {"metadata": {"total_size": size}, "weight_map": weight_map}
