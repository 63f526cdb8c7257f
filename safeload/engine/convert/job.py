"""Conversion: from a checkpoint in any format that we read to safetensors, and an account of how it was made.

1. Find the files, open each once, read and judge them as for loading; the policy decides.
2. From that same reading: which tensors, under which names, in how many files. A preview ends here.
3. Write the files under temporary names, straight from the source, force them to disk and read them back
   (`making`, `conveyor`).
4. Compare the source with what it was when opened; write the provenance; give the files their names.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from safeload.core.errors import MalformedInput, UsageError
from safeload.core.finding import Report
from safeload.core.names import Location, escape
from safeload.engine.admission.record import LeftOut
from safeload.engine.convert.contents import other_values
from safeload.engine.convert.conversion import Conversion, ConvertedFile
from safeload.engine.convert.inputs import Inputs, Read, fetch, find_inputs, read
from safeload.engine.convert.judging import judge
from safeload.engine.convert.making import Plan, carry_out, listed
from safeload.engine.convert.order import Order, Progress, Target, target_of
from safeload.engine.convert.selection import Choice, Selection, Shared, choose
from safeload.engine.convert.shards import DEFAULT_SIZE, plan_files, size_in_bytes
from safeload.engine.held import Held
from safeload.engine.options import Options
from safeload.engine.request import Request

_SAFE = frozenset({"safetensors", "gguf"})
_NUMPY = frozenset({"npy", "npz", "joblib", "gzip", "bzip2", "xz", "lzma", "lz4", "zlib", "hdf5", "flax"})


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
    digest_tensors: bool = True,
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
        digest_tensors: hash every tensor by itself, too, for `ConvertedTensor.sha256`; that takes about a third of
            the time. Without it every byte of the output is compared all the same.
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
    order = Order(
        reference=os.fspath(source),
        into=os.fspath(into) if into is not None else None,
        selection=Selection(keys=keys, strip=strip, rename=rename or {}, shared=shared, views=views or {}),
        most=size_in_bytes(max_shard_size),
        keep_data=keep_data,
        dry_run=dry_run,
        force=force,
        digest_tensors=digest_tensors,
        request=request or Request(),
        options=options or Options(),
        progress=progress,
    )
    inputs = find_inputs(order.reference, order.request, order.options.limits)
    if inputs.repository and not order.to_file:
        return _repository(order)
    target = target_of(order, inputs)
    with Held(inputs.snapshot, order.options.limits) as held:
        files = fetch(held, inputs)
        report = judge(held, order)
        found = read(held, inputs, files)
        if found.formats and found.formats <= _SAFE and _is_idle(order, found):
            return _already_safe(order, found, report, inputs)
        return _convert(order, held, found, report, target, inputs.snapshot.notes)


def _repository(order: Order) -> Conversion:
    """A whole model: admitted, as for loading."""
    if order.into is None or order.asks_for_more:
        why = "nobody said where to write it" if order.into is None else "its configs go with the names it has"
        raise UsageError(
            "the whole model was not converted",
            where=Location(order.reference),
            why=f"it is a directory with configs, and {why}",
            remedy="--into DIR without options about tensors; or name the checkpoint file, or --into X.safetensors",
        )
    # Admission is a large part of the program, and a single checkpoint needs none of it.
    from safeload.engine.convert.repository import convert_model

    return convert_model(order.reference, order.into, order.request, order.options)


def _is_idle(order: Order, found: Read) -> bool:
    """Whether there is nothing to do for a file that is safe as it is."""
    asked = order.into is not None or order.selection.asks or order.keep_data
    if asked and "gguf" in found.formats:
        raise UsageError(
            "a GGUF file was not converted",
            where=Location(order.reference),
            why="it runs nothing, and its quantised tensors have no safetensors form",
            remedy=f"load it as it is: safeload admit {escape(order.reference)}",
        )
    return not asked


def _already_safe(order: Order, found: Read, report: Report, inputs: Inputs) -> Conversion:
    kind = "GGUF" if "gguf" in found.formats else "safetensors"
    note = f"{escape(order.reference)} is {kind}, which runs nothing: there is nothing to convert"
    return Conversion(
        source=order.reference,
        path=None,
        files=(),
        tensors=(),
        dropped=(),
        statement=None,
        report=report,
        notes=(*inputs.snapshot.notes, note),
        already_safe=True,
    )


def _convert(
    order: Order, held: Held, found: Read, report: Report, target: Target, notes: tuple[str, ...]
) -> Conversion:
    _refuse_without_data(order, found)
    choice = choose(found.contents.tensors, order.selection, found.paths[0])
    planned = plan_files(choice.tensors, target.stem, order.most, _metadata(order, found, choice))
    dropped = [*choice.dropped]
    if not order.keep_data:
        dropped += [
            LeftOut(path=path, reason="it is not a tensor; --keep-data writes it down")
            for value in found.contents.values
            for path in other_values(value)
        ]
    preview = Conversion(
        source=order.reference,
        path=None,
        files=tuple(ConvertedFile(path=file.name, size=file.size, sha256="") for file in planned),
        tensors=listed(choice.tensors, planned, {}),
        dropped=tuple(dropped),
        statement=None,
        report=report,
        notes=notes,
    )
    if order.dry_run:
        return preview
    plan = Plan(order=order, held=held, found=found, choice=choice, files=planned, target=target)
    return carry_out(plan, preview)


def _refuse_without_data(order: Order, found: Read) -> None:
    for name, kind in found.contents.without_data.items():
        if order.selection.output_name(name) is not None:
            raise MalformedInput(
                f"the tensor {escape(name)!r} cannot be converted",
                where=Location(found.paths[0], path=name),
                why=kind,
                remedy="leave it out with --keys, or ask the author for a checkpoint with data",
            )


def _metadata(order: Order, found: Read, choice: Choice) -> dict[str, str]:
    metadata = {"format": "np" if found.formats <= _NUMPY else "pt", **choice.stands_for}
    if order.selection.views:
        metadata["safeload.views"] = ",".join(f"{old}={new}" for old, new in sorted(order.selection.views.items()))
    return metadata
