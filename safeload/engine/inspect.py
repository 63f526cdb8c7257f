"""One file, read once and judged: the step that scanning, converting and admitting share."""

from __future__ import annotations

import gc
from collections.abc import Container
from typing import TYPE_CHECKING, NamedTuple

from safeload import formats, rules
from safeload.core.blob import Blob
from safeload.core.finding import FileReport
from safeload.core.frozen import Frozen
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.engine.allowlists import default_allowlist
from safeload.formats.base import Part
from safeload.rules.base import Context

if TYPE_CHECKING:
    from safeload.engine.options import Options


_SELDOM = (100_000, 50, 1_000)
"""A reading makes many objects that all live until its end: looking for garbage among them costs more than reading."""


class Company(Frozen):
    """The other files that are there, for a file that names some of them: by their paths, as the file's own is."""

    scanned: Container[str]
    beside: Container[str] = ()
    """Those that are not scanned."""


class Inspected(NamedTuple):
    """A file's parts, exactly as they were judged, with the report on them."""

    report: FileReport
    parts: tuple[Part, ...]
    formats: tuple[str, ...]

    @property
    def path(self) -> str:
        return self.report.path


def inspect(
    blob: Blob,
    path: str,
    limits: Limits,
    *,
    shown: str = "",
    options: Options | None = None,
    company: Company | None = None,
    memo: dict[int, object] | None = None,
) -> Inspected:
    """Read a file in every format that claims it, and judge its parts. Never raises for what the file holds.

    `shown` is what remedies call the file, where that differs from its path in the target. Of `options`, those count
    that ask other analysers as well; a `UsageError` says if one is not installed. `company` is what else there is. What
    the rules work out is put into `memo`, for an explanation of the same parts.
    """
    before = gc.get_threshold()
    if not 0 < before[0] < _SELDOM[0]:  # our programs, another thread that is here already, or nobody looks at all
        return _inspected(blob, path, limits, shown, options, company, memo)
    gc.set_threshold(*_SELDOM)
    try:
        return _inspected(blob, path, limits, shown, options, company, memo)
    finally:
        if gc.get_threshold() == _SELDOM:
            gc.set_threshold(*before)


def _inspected(
    blob: Blob,
    path: str,
    limits: Limits,
    shown: str,
    options: Options | None,
    company: Company | None,
    memo: dict[int, object] | None,
) -> Inspected:
    location = Location(path)
    read = formats.read(blob, location, limits)
    context = Context(
        default_allowlist(),
        read.parts,
        shown,
        read.formats,
        second_opinion=options is not None and options.second_opinion,
        secret_opinion=options is not None and options.secret_opinion,
        scanned=company.scanned if company is not None else None,
        beside=company.beside if company is not None else (),
        memo=memo,
    )
    findings = rules.judge(read.parts, context, fault=read.fault, location=location)
    # Said in full and in order, or by position: there is one of each for every file.
    report = FileReport(path=path, format=read.formats[0], size=blob.size, findings=findings, sha256=None, used=True)
    return Inspected(report, read.parts, read.formats)
