"""What one load would read, worked out from the configs and indexes of a snapshot before anything is decided."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from safeload.core.errors import MalformedInput, UsageError
from safeload.core.evidence import CodeNeed
from safeload.core.names import Location, escape
from safeload.engine.admission import parts, select
from safeload.engine.held import Held
from safeload.engine.request import Request
from safeload.formats.base import Config
from safeload.formats.strict_json import walk_json
from safeload.sources.program import split


@dataclass(slots=True, kw_only=True)
class Plan:
    """The files of one load. Paths are those of the snapshot; names are those of the admitted directory."""

    small: dict[str, str] = field(default_factory=dict)
    """Path by name, of configs, templates and tokenizer files."""
    weights: dict[str, str] = field(default_factory=dict)
    """Path by name, of the model's own checkpoint files in loading order."""
    side: dict[str, str] = field(default_factory=dict)
    """Path by name, of further weights: an adapter's, a language adapter, an extra head."""
    index: str | None = None
    """Path of the index that lists the weights, if one does."""
    indexes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The indexes of further weights that are to be written, by name, each with the names that it lists."""
    lists: set[str] = field(default_factory=set)
    """Paths of the indexes that further weights were listed in."""
    config: Mapping[str, Any] = field(default_factory=dict)
    base: str | None = None
    """What the adapter's config names as its base model, where a loader would follow it."""
    code: tuple[CodeNeed, ...] = ()
    needs: list[CodeNeed] = field(default_factory=list)
    """The part of `code` that parts of the model need."""

    def used(self) -> set[str]:
        indexes = {self.index} | self.lists if self.index else self.lists
        return {*self.small.values(), *self.weights.values(), *self.side.values(), *indexes}


def make_plan(held: Held, request: Request) -> Plan:
    """Work out what the load reads; fetch and inspect that, and nothing else.

    Raises:
        MalformedInput: an index or a config names files that cannot be used.
        SourceError: a file cannot be had.
        UsageError: the request names a file that does not exist.
    """
    snapshot = held.snapshot
    if request.purpose == "code":
        name = split(snapshot.reference)[1]
        return Plan(code=(CodeNeed(files=(name,), why=escape(snapshot.reference)),))
    names = select.under(request.subfolder, snapshot.listing)
    if not names and request.subfolder:
        raise UsageError(
            f"the subfolder {escape(request.subfolder)!r} does not exist",
            where=Location(snapshot.reference),
            why="no file of the model lies in it",
            remedy=f"safeload scan {escape(snapshot.reference)}",
        )
    plan = Plan(small={name: names[name] for name in select.small_files(names, request)})
    config = select.CONFIG
    if snapshot.kind == "file":
        ((name, path),) = names.items()
        if not plan.small and not name.endswith(".json"):
            plan.weights = {_weights_name(name): path}
            return plan
        plan.small, config = {name: path}, name
    snapshot.fetch(plan.small.values())
    plan.config = _document(held, names, config)
    _follow_lists(plan, held, names)
    if request.wants_weights or request.purpose == "adapter":
        _plan_adapter(plan, held, names, request)
    if plan.base is None and (request.wants_weights or request.gguf_file):  # which holds config and tokenizer as well
        _plan_weights(plan, held, names, request)
    if request.purpose in ("everything", "parts", "layout"):
        parts.plan_parts(plan, held, names, request)
    plan.code = (*_code(plan, held, names, request, config), *plan.needs)
    return plan


def _weights_name(name: str) -> str:
    """The name under which a loader finds weights that came as one file. GGUF is asked for by its own."""
    return posixpath.basename(name) if name.lower().endswith(".gguf") else "model.safetensors"


def _document(held: Held, names: Mapping[str, str], name: str) -> Mapping[str, Any]:
    """The parsed JSON object of that name; empty if there is none or it is not an object."""
    if name not in names:
        return {}
    held.snapshot.fetch([names[name]])
    for part in held.inspect(names[name]).parts:
        if isinstance(part, Config) and isinstance(part.data, dict):
            return part.data
    return {}


def _follow_lists(plan: Plan, held: Held, names: Mapping[str, str]) -> None:
    """Add the versioned files that `configuration_files` and `fast_tokenizer_files` choose from."""
    for holder, key in ((select.CONFIG, "configuration_files"), ("tokenizer_config.json", "fast_tokenizer_files")):
        if holder in plan.small:
            listed = _document(held, names, holder).get(key)
            for name in listed if isinstance(listed, list) else ():
                if isinstance(name, str) and name in names and "/" not in name:
                    plan.small[name] = names[name]
    held.snapshot.fetch(plan.small.values())


def _plan_weights(plan: Plan, held: Held, names: Mapping[str, str], request: Request) -> None:
    if request.weights:
        if (asked := select.asked_weights(names, request)) is not None:
            parts.place(plan, held, names, asked)
            held.snapshot.fetch(plan.side.values())
        return
    entry = select.weights_entry(names, plan.config, request)
    if entry is None:
        if request.purpose == "everything" and held.snapshot.kind != "hub":
            # Whoever asks for everything may mean to load by GGUF name. From the hub, one of many has to be chosen.
            plan.side |= {name: names[name] for name in select.gguf_files(names)}
        return
    if entry not in names:
        _refuse_missing(entry, held, request)
    if select.is_index(entry):
        plan.index = names[entry]
        listed = select.shards(_document(held, names, entry), Location(names[entry]))
        parts.require_shards(listed, names, names[entry])
        count = len(listed)
        plan.weights = {_shard_name(i, count): names[name] for i, name in enumerate(listed, 1)}
    else:
        plan.weights = {posixpath.basename(entry) if request.gguf_file else "model.safetensors": names[entry]}
    also = next((name for name in request.also if name in names), None)
    for name in (*select.side_weights(names, fetched=held.snapshot.kind != "hub"), also):
        if name is not None and request.wants_weights:
            plan.side[f"{name.rsplit('.', 1)[0]}.safetensors"] = names[name]
    held.snapshot.fetch([*plan.weights.values(), *plan.side.values()])


def _refuse_missing(entry: str, held: Held, request: Request) -> NoReturn:
    if request.gguf_file:
        raise UsageError(
            f"the file {escape(entry)!r} does not exist",
            where=Location(held.snapshot.reference),
            why="the model has no file of that name",
            remedy=f"safeload scan {escape(held.snapshot.reference)}",
        )
    raise MalformedInput(
        f"the file {escape(entry)!r} is named and does not exist",
        where=Location(posixpath.join(request.subfolder, select.CONFIG), path="transformers_weights"),
        why="the model has no file of that name",
        remedy="fetch the missing file, or ask the author for a complete checkpoint",
    )


def _shard_name(number: int, count: int) -> str:
    return "model.safetensors" if count == 1 else f"model-{number:05}-of-{count:05}.safetensors"


def _plan_adapter(plan: Plan, held: Held, names: Mapping[str, str], request: Request) -> None:
    config = _document(held, names, select.ADAPTER_CONFIG)
    if not config:
        return
    entry = select.adapter_entry(names)
    if entry is not None:
        plan.side["adapter_model.safetensors"] = names[entry]
        held.snapshot.fetch([names[entry]])
    if request.purpose == "adapter":
        return
    # A local folder that holds a whole model beside the adapter is loaded as it is; from the hub the base wins.
    local = held.snapshot.kind in ("directory", "file")
    base = config.get("base_model_name_or_path")
    if request.adapter and request.subfolder and local and select.CONFIG in held.snapshot.listing:
        plan.base = held.snapshot.reference
    elif isinstance(base, str) and base and not (local and select.CONFIG in names):
        plan.base = base
    if plan.base is not None:
        # To a loader a directory with a config is a model of its own, which needs no base.
        plan.small.pop(select.CONFIG, None)
        plan.config = {}


def _code(plan: Plan, held: Held, names: Mapping[str, str], request: Request, config: str) -> Iterator[CodeNeed]:
    """Where this load cannot do without code from the model."""
    trusted = request.trust_remote_code is True
    model_type = plan.config.get("model_type")
    foreign = request.native_types is not None and not (
        isinstance(model_type, str) and model_type in request.native_types
    )
    for name in sorted(plan.small):
        if not name.endswith(".json") or "/" in name:
            continue
        for path, value in _auto_maps(_document(held, names, name)):
            decisive = trusted or (foreign and name == config) or (
                name != config and request.purpose == "processor" and not _native_processor(plan, held, names)
            )  # fmt: skip
            if decisive:
                yield CodeNeed(files=_files_of(value, name, names), why=f"{name} » {path}")
    custom = plan.config.get("custom_pipelines")
    chosen = trusted or request.task is None or (isinstance(custom, dict) and request.task in custom)
    if isinstance(custom, dict) and custom and request.purpose == "pipeline" and chosen:
        impls = [item.get("impl") if isinstance(item, dict) else item for item in custom.values()]
        files = tuple(dict.fromkeys(file for impl in impls for file in _files_of(impl, "", names)))
        yield CodeNeed(files=files, why="config.json » custom_pipelines")
    generate = "custom_generate/generate.py"
    if trusted and (request.wants_weights or request.purpose == "generate") and generate in names:
        yield CodeNeed(files=(names[generate],), why=generate)


def _native_processor(plan: Plan, held: Held, names: Mapping[str, str]) -> bool:
    """Whether some preprocessor config names a class, which the library looks up among its own."""
    keys = ("processor_class", "image_processor_type", "feature_extractor_type", "video_processor_type")
    files = [name for name in plan.small if name.endswith("processor_config.json")]
    return any(isinstance(_document(held, names, name).get(key), str) for name in files for key in keys)


def _auto_maps(document: Any) -> Iterator[tuple[str, Any]]:
    for path, _, value in walk_json(document, "auto_map".__eq__):
        if value:
            yield path, value


def _files_of(value: Any, holder: str, names: Mapping[str, str]) -> tuple[str, ...]:
    """Every Python file that these class references could import: those named, and all beside them."""
    found: dict[str, None] = {}
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            repository, _, reference = item.rpartition("--")
            module = reference.rpartition(".")[0].replace(".", "/") + ".py"
            path = posixpath.normpath(posixpath.join(posixpath.dirname(holder), module))
            found[f"{repository}--{module}" if repository else names.get(path, path)] = None
        elif isinstance(item, dict):
            pending.extend(item.values())
        elif isinstance(item, (list, tuple)):
            pending.extend(item)
    ours = [path for name, path in sorted(names.items()) if name.endswith(".py")]
    return tuple(dict.fromkeys([*sorted(found), *ours]))
