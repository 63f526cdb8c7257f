"""What is in a file, for a person: tensors, other data, and every global. Nothing is loaded."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

from safeload.core.errors import MalformedInput, UsageError
from safeload.core.finding import FileReport, Status
from safeload.core.graph import Global
from safeload.core.limits import Limits
from safeload.core.names import GlobalName, Location
from safeload.engine.allowlists import default_allowlist
from safeload.engine.convert import data
from safeload.engine.convert.contents import Contents, contents_of
from safeload.engine.convert.selection import memory_of
from safeload.engine.held import Held
from safeload.engine.options import Options
from safeload.formats.base import Part, PickleStream, TensorView
from safeload.formats.dtypes import WIDTHS
from safeload.sources.local import local_snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorFact:
    """One tensor of a file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    """How many it takes written out; a view of a larger or smaller storage may lie in others."""
    same_as: str = ""
    """The first name of the same memory, if this is another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalFact:
    """One global that a file names."""

    module: str
    name: str
    library: str
    status: str
    """`listed` (known and harmless), `unlisted`, or `dangerous`."""
    uses: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What a file holds."""

    path: str
    report: FileReport
    tensors: tuple[TensorFact, ...]
    data: Any
    """What is not a tensor, as `checkpoint.json` would hold it."""
    globals: tuple[GlobalFact, ...]
    fault: str = ""
    """Why the tensors or the data could not be read."""

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors, each memory once."""
        return sum(tensor.nbytes for tensor in self.tensors if not tensor.same_as)


def inspect_file(path: str | os.PathLike[str], *, options: Options | None = None) -> Inspection:
    """Read one file and say what is in it. Total for any bytes: what cannot be read is said in `fault`.

    Raises:
        SourceError: there is no such file, or it cannot be opened.
        UsageError: it is a directory.
    """
    options = options or Options()
    snapshot = local_snapshot(path, limits=options.limits)
    if snapshot.kind != "file":
        raise _no_file(os.fspath(path))
    (name,) = snapshot.listing
    with Held(snapshot, options.limits) as held:
        inspected = held.inspect(name)
        fault = ""
        contents, document = Contents(), None
        try:
            contents = contents_of(inspected.parts, Location(name), options.limits)
            document = _data(contents, name, options.limits)
        except MalformedInput as error:
            fault = f"{error.what}: {error.why}" + (f" ({error.where})" if error.where else "")
        return Inspection(
            path=os.fspath(path),
            report=inspected.report,
            tensors=tuple(_tensors(contents)),
            data=document,
            globals=tuple(_globals(inspected.parts, inspected.report)),
            fault=fault,
        )


def _no_file(path: str) -> UsageError:
    return UsageError(
        "nothing was inspected",
        where=Location(path),
        why="it is a directory",
        remedy="name one file; for all of them: safeload scan",
    )


def _data(contents: Contents, name: str, limits: Limits) -> Any:
    names = {memory_of(view): key for key, view in reversed(contents.tensors.items())}
    return json.loads(data.document(contents.values, name, names, Location(name), limits))["data"]


def _tensors(contents: Contents) -> Iterable[TensorFact]:
    first: dict[tuple[object, ...], str] = {}
    for name, view in contents.tensors.items():
        known = first.setdefault(memory_of(view), name)
        yield TensorFact(
            name=name,
            dtype=view.dtype,
            shape=view.shape,
            nbytes=_nbytes(view),
            same_as="" if known == name else known,
        )


def _nbytes(view: TensorView) -> int:
    width = WIDTHS.get(view.dtype)
    return view.storage.nbytes if width is None else prod(view.shape) * width


def _globals(parts: Iterable[Part], report: FileReport) -> Iterable[GlobalFact]:
    counts: Counter[GlobalName] = Counter()
    for part in parts:
        if isinstance(part, PickleStream):
            counts.update(node.name for node in part.reading.trace if isinstance(node, Global))
    allowed = default_allowlist()
    said = [finding.message for finding in report.findings if finding.status is Status.DANGEROUS]
    for name, uses in sorted(counts.items()):
        # Text that a finding shows has been escaped, and so is a name when it is formatted.
        dangerous = any(str(name) in message for message in said)
        status = "listed" if name in allowed else "dangerous" if dangerous else "unlisted"
        yield GlobalFact(
            module=name.module, name=name.name, library=name.module.partition(".")[0], status=status, uses=uses
        )
