"""Conversion: from a checkpoint in any format that we read to safetensors, and an account of how it was made.

1. Find the files, open each once, read and judge them as for loading; the policy decides.
2. From that same reading: which tensors, under which names, in how many files. A preview ends here.
3. Write the files under temporary names, straight from the source, hashing each tensor on the way; force them to disk
   and read them back.
4. Compare the source with what it was when opened; write the provenance; give the files their names.
"""

from __future__ import annotations

import dataclasses
import json
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safeload import __version__
from safeload.core.digest import sha256
from safeload.core.errors import MalformedInput, SafeloadError, UsageError
from safeload.core.evidence import Evidence
from safeload.core.finding import FileReport, Report, Status
from safeload.core.names import Location, escape
from safeload.core.policy import DEFAULT_POLICY, AllOf
from safeload.engine.convert import data, provenance, repository
from safeload.engine.convert.contents import other_values
from safeload.engine.convert.conversion import Conversion, ConvertedFile, ConvertedTensor
from safeload.engine.convert.draft import (
    Draft,
    drafting,
    make,
    publish,
    require_absent,
    require_space,
    write_small,
)
from safeload.engine.convert.inputs import Inputs, Read, fetch, find_inputs, read
from safeload.engine.convert.readback import Made, Planned
from safeload.engine.convert.selection import Choice, Chosen, Selection, Shared, choose, memory_of
from safeload.engine.convert.shards import (
    DEFAULT_SIZE,
    check_stem,
    index,
    index_name,
    nbytes,
    output_stem,
    plan_files,
    size_in_bytes,
)
from safeload.engine.held import Held
from safeload.engine.options import Options
from safeload.engine.record import LeftOut
from safeload.engine.request import Request
from safeload.sources.failures import os_failure

SAFETENSORS = ".safetensors"
_SAFE = frozenset({"safetensors", "gguf"})
_NUMPY = frozenset({"npy", "npz", "joblib", "gzip", "bzip2", "xz", "lzma", "zlib", "hdf5", "flax"})
_DATA = "checkpoint.json"

Progress = Callable[[int, int], None]
"""Told how many bytes are done, of how many; from several threads, one at a time."""


def convert(
    source: str | os.PathLike[str],
    *,
    into: str | os.PathLike[str] | None = None,
    keys: str = "",
    strip: str = "",
    rename: Mapping[str, str] | None = None,
    views: Mapping[str, str] | None = None,
    max_shard_size: int | str = DEFAULT_SIZE,
    shared: Shared = "keep",
    keep_data: bool = False,
    dry_run: bool = False,
    force: bool = False,
    request: Request | None = None,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Conversion:
    """Convert a checkpoint, or a whole model, to safetensors. Nothing in it runs.

    Promised: every tensor is bit-equal to what the file holds, and was read back from the output; the output appears
    whole or not at all, with `conversion.intoto.json` beside it; the source is not touched. Not promised: that the
    weights do what their author says.

    Args:
        source: a checkpoint file, the index of several, a pattern such as `model-*.bin`, a directory, or a model on
            the hub.
        into: a file name that ends with `.safetensors`, or a directory. Without it, the output is beside the source:
            `pytorch_model.bin` gives `model.safetensors`, `x.ckpt` gives `x.safetensors`. A directory with configs
            and the hub need it; a directory for those gets the whole model, admitted as for loading.
        keys: take only tensors whose names begin so, and take that off.
        strip: taken off the beginning of names that have it, after `keys`.
        rename: new names by old ones; an old one that ends with a dot is the beginning of names.
        views: element types to write as another of the same bytes, such as `{"complex128": "float64"}`.
        max_shard_size: bytes, or text such as `5GB`: more are spread over several files with an index.
        shared: `keep` writes each name completely, so that the file loads everywhere; `drop` writes tensors that are
            the same memory once.
        keep_data: write what is not a tensor to `checkpoint.json`.
        dry_run: only say what would be written.
        force: replace output files that are there already.
        request: revision and access, for models on the hub.
        options: safeload's own options.
        progress: called with bytes done and bytes in all.

    Raises:
        PolicyDenied: the policy refused the file, as it would for loading.
        MalformedInput: the file cannot be read, or a tensor has no safetensors form; with the place.
        UsageError: options contradict each other, nothing is selected, or the output is there already.
        SourceError: the source could not be had, or the output could not be written.
        VerificationFailed: the source changed meanwhile, or what was read back is not what was written.
    """
    selection = Selection(keys=keys, strip=strip, rename=rename or {}, shared=shared, views=views or {})
    job = _Job(
        reference=os.fspath(source),
        into=os.fspath(into) if into is not None else None,
        selection=selection,
        most=size_in_bytes(max_shard_size),
        keep_data=keep_data,
        dry_run=dry_run,
        force=force,
        request=request or Request(),
        options=options or Options(),
        progress=progress,
    )
    return job.run()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    folder: str
    stem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    reference: str
    into: str | None
    selection: Selection
    most: int
    keep_data: bool
    dry_run: bool
    force: bool
    request: Request
    options: Options
    progress: Progress | None

    def run(self) -> Conversion:
        inputs = find_inputs(self.reference, self.request, self.options.limits)
        to_file = self.into is not None and self.into.endswith(SAFETENSORS)
        if inputs.repository and not to_file:
            return self._repository()
        target = self._target(inputs, to_file)
        with Held(inputs.snapshot, self.options.limits) as held:
            files = fetch(held, inputs)
            judged = tuple(held.inspected)
            digests = {} if self._judges_findings_alone else {path: held.open(path).sha256() for path in judged}
            report = self._judge(held, judged, digests)
            found = read(held, inputs, files)
            if found.formats and found.formats <= _SAFE and self._is_idle(found):
                return self._already_safe(found, report, inputs)
            return self._convert(held, inputs, found, report, target)

    # ── 1 ───────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _judges_findings_alone(self) -> bool:
        """Whether the verdict cannot depend on digests, so that it need not wait for them."""
        return type(self.options.policy) is AllOf and self.options.policy == DEFAULT_POLICY

    def _repository(self) -> Conversion:
        """A whole model: admitted, as for loading."""
        if self.into is None or self.selection.asks or self.keep_data or self.dry_run or self.force:
            why = "nobody said where to write it" if self.into is None else "its configs go with the names it has"
            raise UsageError(
                "the whole model was not converted",
                where=Location(self.reference),
                why=f"it is a directory with configs, and {why}",
                remedy="--into DIR without options about tensors; or name the checkpoint file, or --into X.safetensors",
            )
        return repository.convert_model(self.reference, self.into, self.request, self.options)

    def _target(self, inputs: Inputs, to_file: bool) -> _Target:
        if self.into is None:
            if not inputs.folder:
                raise UsageError(
                    "nothing was converted",
                    where=Location(self.reference),
                    why="a model on the hub has no place beside it to write to",
                    remedy=f"safeload convert {escape(self.reference)} --into DIR",
                )
            return _Target(folder=inputs.folder, stem=check_stem(output_stem(inputs.name)))
        whole = os.path.abspath(self.into)
        if to_file:
            folder, name = os.path.split(whole)
            return _Target(folder=folder, stem=check_stem(name.removesuffix(SAFETENSORS)))
        return _Target(folder=whole, stem=check_stem(output_stem(inputs.name)))

    def _judge(self, held: Held, files: tuple[str, ...], digests: Mapping[str, str]) -> Report:
        """Let the policy decide, as it would for loading."""
        reports = [held.inspect(path).report for path in files]
        if self.options.unsafe_convert_dangerous:
            reports = [dataclasses.replace(one, used=one.status is not Status.DANGEROUS) for one in reports]
        report = Report(target=self.reference, files=tuple(reports))
        evidence = Evidence(
            reference=self.reference,
            revision=held.snapshot.revision,
            report=Report(target=self.reference, files=tuple(map(_without_program, reports))),
            digests=dict(digests),
        )
        verdict = self.options.judge.decide(evidence)
        undecided = [one for one in evidence.report.findings if one.status is Status.UNDECIDED]
        if not verdict.allowed and undecided and all(one.status is not Status.DANGEROUS for one in reports):
            first = undecided[0]
            raise MalformedInput(
                f"{escape(first.location.file)!r} cannot be converted",
                where=first.location,
                why=first.message,
                remedy=first.remedy,
            )
        verdict.enforce(evidence)
        return report

    def _is_idle(self, found: Read) -> bool:
        """Whether there is nothing to do for a file that is safe as it is."""
        asked = self.into is not None or self.selection.asks or self.keep_data
        if asked and "gguf" in found.formats:
            raise UsageError(
                "a GGUF file was not converted",
                where=Location(self.reference),
                why="it runs nothing, and its quantised tensors have no safetensors form",
                remedy=f"load it as it is: safeload admit {escape(self.reference)}",
            )
        return not asked

    def _already_safe(self, found: Read, report: Report, inputs: Inputs) -> Conversion:
        kind = "GGUF" if "gguf" in found.formats else "safetensors"
        note = f"{escape(self.reference)} is {kind}, which runs nothing: there is nothing to convert"
        return Conversion(
            source=self.reference,
            path=None,
            files=(),
            tensors=(),
            dropped=(),
            statement=None,
            report=report,
            notes=(*inputs.snapshot.notes, note),
            already_safe=True,
        )

    # ── 2 ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _convert(self, held: Held, inputs: Inputs, found: Read, report: Report, target: _Target) -> Conversion:
        for name, kind in found.contents.without_data.items():
            if self.selection.output_name(name) is not None:
                raise MalformedInput(
                    f"the tensor {escape(name)!r} cannot be converted",
                    where=Location(found.paths[0], path=name),
                    why=kind,
                    remedy="leave it out with --keys, or ask the author for a checkpoint with data",
                )
        choice = choose(found.contents.tensors, self.selection, found.paths[0])
        planned = plan_files(choice.tensors, target.stem, self.most, self._metadata(found, choice))
        dropped = [*choice.dropped]
        if not self.keep_data:
            dropped += [
                LeftOut(path=path, reason="it is not a tensor; --keep-data writes it down")
                for value in found.contents.values
                for path in other_values(value)
            ]
        conversion = Conversion(
            source=self.reference,
            path=None,
            files=tuple(ConvertedFile(path=file.name, size=file.size, sha256="") for file in planned),
            tensors=_listed(choice.tensors, planned, {}),
            dropped=tuple(dropped),
            statement=None,
            report=report,
            notes=inputs.snapshot.notes,
        )
        if self.dry_run:
            return conversion
        return self._write(held, found, choice, planned, target, conversion)

    def _metadata(self, found: Read, choice: Choice) -> dict[str, str]:
        metadata = {"format": "np" if found.formats <= _NUMPY else "pt", **choice.stands_for}
        if self.selection.views:
            metadata["safeload.views"] = ",".join(f"{old}={new}" for old, new in sorted(self.selection.views.items()))
        return metadata

    # ── 3 and 4 ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _write(
        self,
        held: Held,
        found: Read,
        choice: Choice,
        planned: list[Planned],
        target: _Target,
        conversion: Conversion,
    ) -> Conversion:
        guarded = [file.name for file in planned] + ([index_name(target.stem)] if len(planned) > 1 else [])
        made_folder = _make_folder(target.folder)
        try:
            require_absent(target.folder, guarded, replace=self.force)
            plan = json.dumps(
                [__version__, sorted(held.identities.items()), self._parameters(), [file.name for file in planned]]
            ) + "".join(file.header.hex() for file in planned)
            with drafting(target.folder, target.stem, plan) as draft:
                require_space(target.folder, sum(file.size for file in planned) - draft.held())
                return self._fill(draft, held, found, choice, planned, target, conversion, guarded)
        except SafeloadError:
            for folder in made_folder:
                os.rmdir(folder)
            raise

    def _fill(
        self,
        draft: Draft,
        held: Held,
        found: Read,
        choice: Choice,
        planned: list[Planned],
        target: _Target,
        conversion: Conversion,
        guarded: list[str],
    ) -> Conversion:
        meter = _Meter(self.progress, 2 * sum(slot.nbytes for file in planned for slot in file.slots))
        with ThreadPoolExecutor(1) as hashing, ThreadPoolExecutor(max(1, os.cpu_count() or 1)) as writing:
            digests = hashing.submit(lambda: {path: held.open(path).sha256() for path in found.paths})
            made = list(writing.map(lambda file: make(draft, file, meter.add), planned))
            inputs = digests.result()
        held.verify_unchanged(held.files)
        files = [one.file for one in made]
        if len(planned) > 1:
            files.append(_small(draft, guarded[-1], index(planned)))
        notes: list[str] = []
        if self.keep_data:
            notes.append(self._data(draft, found, choice, target, files))
        names = {file.path for file in files}
        account = provenance.name_beside(
            target.folder,
            provenance.NAME,
            target.stem,
            lambda document: {subject["name"] for subject in document["subject"]} <= names,
        )
        said = provenance.statement(provenance.origin_of(held.snapshot), inputs, files, self._parameters())
        write_small(draft.place(account), said.dump())
        publish(draft, guarded, [*notes, account], replace=self.force)
        return dataclasses.replace(
            conversion,
            path=Path(target.folder, guarded[-1]),
            files=tuple(files),
            tensors=_listed(choice.tensors, planned, _digests(made)),
            statement=Path(target.folder, account),
        )

    def _data(self, draft: Draft, found: Read, choice: Choice, target: _Target, files: list[ConvertedFile]) -> str:
        """Write what is not a tensor; return the name of the file."""
        shown = os.path.basename(found.paths[0])
        name = provenance.name_beside(target.folder, _DATA, target.stem, lambda document: document["source"] == shown)
        names = {memory_of(chosen.view): chosen.name for chosen in reversed(choice.tensors)}
        # The tensors of the output may be seen as another type; the data refers to what the checkpoint holds.
        names |= {memory_of(found.contents.tensors[chosen.source]): chosen.name for chosen in reversed(choice.tensors)}
        location = Location(found.paths[0])
        text = data.document(found.contents.values, shown, names, location, self.options.limits)
        files.append(_small(draft, name, text))
        return name

    def _parameters(self) -> dict[str, Any]:
        """What the conversion was asked to do, for the provenance and to know an unfinished one again."""
        return {
            "format": "safetensors",
            "keys": self.selection.keys,
            "strip": self.selection.strip,
            "rename": dict(self.selection.rename),
            "views": dict(self.selection.views),
            "shared": self.selection.shared,
            "maxShardSize": self.most,
            "keepData": self.keep_data,
        }


def _without_program(report: FileReport) -> FileReport:
    """The report on what a conversion takes: of a TorchScript archive the tensors, never the program."""
    if report.format != "torchscript":
        return report
    return dataclasses.replace(report, findings=tuple(one for one in report.findings if one.rule != "program"))


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


def _digests(made: list[Made]) -> dict[str, str]:
    return {name: digest for one in made for name, digest in one.digests.items()}


def _listed(tensors: list[Chosen], planned: list[Planned], digests: Mapping[str, str]) -> tuple[ConvertedTensor, ...]:
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
