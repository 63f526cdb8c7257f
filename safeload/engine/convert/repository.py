"""A whole model, converted by admitting it: configs as for loading, weights as safetensors, and the provenance."""

from __future__ import annotations

import hashlib
import os
import shutil
from math import prod
from pathlib import Path

from safeload import formats
from safeload.core.errors import UsageError
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.engine.admit import admit
from safeload.engine.convert import provenance
from safeload.engine.convert.conversion import Conversion, ConvertedFile, ConvertedTensor
from safeload.engine.convert.draft import write_small
from safeload.engine.options import Options
from safeload.engine.reach import reach
from safeload.engine.request import Request
from safeload.formats.base import TensorTable, TensorView
from safeload.formats.dtypes import WIDTHS
from safeload.sources.failures import os_failure
from safeload.sources.pinned import pin_file

_WINDOW = 1 << 20


def convert_model(reference: str, into: str, request: Request, options: Options) -> Conversion:
    """Admit a model into a directory, and write down what became of what.

    Raises what `admit` raises, and `UsageError` if the model has no weights that could be converted.
    """
    with admit(reference, request=request, options=options, into=into) as admission:
        folder = os.fspath(admission.path)
        try:
            names = [file.path for file in admission.files]
            if not any(name.endswith((".safetensors", ".gguf")) for name in names):
                raise UsageError(
                    "nothing was converted",
                    where=Location(reference),
                    why="the model has no weights under a name that loaders look for",
                    remedy=f"name the checkpoint file: safeload convert {escape(reference)}/FILE",
                )
            files: list[ConvertedFile] = []
            tensors: list[ConvertedTensor] = []
            for path in sorted(_files_below(folder)):
                file, held = _read_back(folder, path, options.limits)
                files.append(file)
                tensors += held
            sources = {file.source: file.sha256 for file in admission.files}
            snapshot = reach(reference, request.access, revision=request.revision, limits=options.limits)
            # A branch may have moved on meanwhile: then nobody can say which commit the files are of.
            origin = provenance.origin_of(snapshot) if snapshot.revision == admission.revision else ""
            said = provenance.statement(origin, sources, files, {"format": "safetensors", "whole": True})
            account = os.path.join(folder, provenance.NAME)
            write_small(account, said.dump())
        except OSError as error:
            shutil.rmtree(folder)
            raise os_failure(error, "the output could not be written", path=folder) from error
        except BaseException:
            shutil.rmtree(folder)
            raise
        return Conversion(
            source=reference,
            path=Path(folder),
            files=tuple(files),
            tensors=tuple(tensors),
            dropped=admission.left_out,
            statement=Path(account),
            report=admission.report,
            notes=admission.notes,
        )


def _files_below(folder: str) -> list[str]:
    return [os.path.relpath(os.path.join(top, name), folder) for top, _, names in os.walk(folder) for name in names]


def _read_back(folder: str, path: str, limits: Limits) -> tuple[ConvertedFile, list[ConvertedTensor]]:
    """The digest of one file of the output, and of each tensor in it."""
    with pin_file(os.path.join(folder, path)) as pinned:
        file = ConvertedFile(path=path, size=pinned.size, sha256=pinned.sha256())
        tensors: list[ConvertedTensor] = []
        if path.endswith(".safetensors"):
            for part in formats.read(pinned, Location(path), limits).parts:
                if isinstance(part, TensorTable):
                    tensors += [_described(name, view, path) for name, view in part.tensors.items()]
        return file, tensors


def _described(name: str, view: TensorView, path: str) -> ConvertedTensor:
    hasher = hashlib.sha256()
    storage = view.storage
    for start in range(0, storage.nbytes, _WINDOW):
        hasher.update(storage.blob.read_at(storage.offset + start, min(_WINDOW, storage.nbytes - start)))
    return ConvertedTensor(
        name=name,
        source=name,
        dtype=view.dtype,
        shape=view.shape,
        nbytes=prod(view.shape) * WIDTHS.get(view.dtype, 1),
        file=path,
        sha256=hasher.hexdigest(),
    )
