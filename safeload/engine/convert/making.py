"""The output of a conversion: its files, written and read back, then the provenance, then their names."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from safeload import __version__
from safeload.core.digest import sha256
from safeload.core.errors import SafeloadError
from safeload.core.names import Location
from safeload.engine.convert import data, provenance
from safeload.engine.convert.conversion import Conversion, ConvertedFile, ConvertedTensor
from safeload.engine.convert.conveyor import Made, Planned
from safeload.engine.convert.draft import Draft, drafting, make, publish, require_absent, require_space, write_small
from safeload.engine.convert.inputs import Read
from safeload.engine.convert.order import Order, Progress, Target
from safeload.engine.convert.selection import Choice, Chosen, memory_of
from safeload.engine.convert.shards import index, index_name, nbytes
from safeload.engine.held import Held
from safeload.sources.failures import os_failure

_DATA = "checkpoint.json"
_FILES = 4
"""Files that are made at the same time, at most: each takes two threads, and up to 40 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that is known before the first byte is written."""

    order: Order
    held: Held
    found: Read
    choice: Choice
    files: list[Planned]
    target: Target

    @property
    def guarded(self) -> list[str]:
        """Names of the output that replace nothing unless asked to; the last one is what makes the others count."""
        return [file.name for file in self.files] + ([index_name(self.target.stem)] if len(self.files) > 1 else [])

    def text(self) -> str:
        """What tells this conversion from any other one to the same place."""
        names = [file.name for file in self.files]
        asked = [self.order.parameters(), self.order.digest_tensors]
        said = json.dumps([__version__, sorted(self.held.identities.items()), asked, names])
        return said + "".join(file.header.hex() for file in self.files)


def carry_out(plan: Plan, preview: Conversion) -> Conversion:
    """Write the output, whole or not at all; return the preview with what became of it.

    Raises:
        SourceError: the output could not be written.
        UsageError: it is there already, or another process writes it.
        VerificationFailed: the source changed meanwhile, or what was read back is not what was written.
        MalformedInput: the source became shorter.
    """
    folder = plan.target.folder
    made_folders = _make_folder(folder)
    try:
        require_absent(folder, plan.guarded, replace=plan.order.force)
        with drafting(folder, plan.target.stem, plan.text()) as draft:
            require_space(folder, sum(file.size for file in plan.files) - draft.held())
            return _fill(draft, plan, preview)
    except SafeloadError:
        for made in made_folders:
            os.rmdir(made)
        raise


def _fill(draft: Draft, plan: Plan, preview: Conversion) -> Conversion:
    order, target, held = plan.order, plan.target, plan.held
    made, inputs = _make_all(draft, plan)
    held.verify_unchanged(held.files)
    files = [one.file for one in made]
    if len(plan.files) > 1:
        files.append(_small(draft, plan.guarded[-1], index(plan.files)))
    notes = [_data(draft, plan, files)] if order.keep_data else []
    names = {file.path for file in files}
    account = provenance.name_beside(
        target.folder,
        provenance.NAME,
        target.stem,
        lambda document: {subject["name"] for subject in document["subject"]} <= names,
    )
    said = provenance.statement(provenance.origin_of(held.snapshot), inputs, files, order.parameters())
    write_small(draft.place(account), said.dump())
    publish(draft, plan.guarded, [*notes, account], replace=order.force)
    return dataclasses.replace(
        preview,
        path=Path(target.folder, plan.guarded[-1]),
        files=tuple(files),
        tensors=listed(
            plan.choice.tensors, plan.files, {name: said for one in made for name, said in one.digests.items()}
        ),
        statement=Path(target.folder, account),
    )


def _make_all(draft: Draft, plan: Plan) -> tuple[list[Made], dict[str, str]]:
    """Every file of the output, and the digest of every file of the source; all at the same time."""
    meter = _Meter(plan.order.progress, 2 * sum(file.size for file in plan.files))
    asked = {"each": plan.order.digest_tensors, "several": len(plan.files) > 1}
    workers = max(1, min(_FILES, os.cpu_count() or 1))
    with ThreadPoolExecutor(workers) as hashing, ThreadPoolExecutor(workers) as writing:
        paths = plan.found.paths
        digests = hashing.map(lambda path: plan.held.open(path).sha256(), paths)
        made = list(writing.map(lambda file: make(draft, file, meter.add, **asked), plan.files))
        return made, dict(zip(paths, digests, strict=True))


def _data(draft: Draft, plan: Plan, files: list[ConvertedFile]) -> str:
    """Write what is not a tensor; return the name of the file."""
    found, chosen = plan.found, list(reversed(plan.choice.tensors))
    shown = os.path.basename(found.paths[0])
    name = provenance.name_beside(
        plan.target.folder, _DATA, plan.target.stem, lambda document: document["source"] == shown
    )
    names = {memory_of(one.view): one.name for one in chosen}
    # The tensors of the output may be seen as another type; the data refers to what the checkpoint holds.
    names |= {memory_of(found.contents.tensors[one.source]): one.name for one in chosen}
    location = Location(found.paths[0])
    text = data.document(found.contents.values, shown, names, location, plan.order.options.limits)
    files.append(_small(draft, name, text))
    return name


class _Meter:
    """Adds up what several threads have done."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0
        self.lock = threading.Lock()

    def add(self, count: int) -> None:
        if self.progress is not None:
            with self.lock:
                self.done = min(self.total, self.done + count)
                self.progress(self.done, self.total)


def _make_folder(folder: str) -> list[str]:
    """Make a directory and those above it; return those that were made, the deepest first."""
    missing = []
    while not os.path.lexists(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    try:
        for path in reversed(missing):
            os.mkdir(path)
    except OSError as error:
        raise os_failure(error, "the output could not be written", path=path) from error
    return missing


def _small(draft: Draft, name: str, text: bytes) -> ConvertedFile:
    write_small(draft.place(name), text)
    return ConvertedFile(path=name, size=len(text), sha256=sha256(text))


def listed(tensors: list[Chosen], planned: list[Planned], digests: Mapping[str, str]) -> tuple[ConvertedTensor, ...]:
    """The tensors of the output for the caller."""
    files = {slot.name: file.name for file in planned for slot in file.slots}
    return tuple(
        ConvertedTensor(
            name=one.name,
            source=one.source,
            dtype=one.view.dtype,
            shape=one.view.shape,
            nbytes=nbytes(one),
            file=files[one.name],
            sha256=digests.get(one.name, ""),
        )
        for one in tensors
    )
