"""One pickle and nothing else: the reader of doors that stop where a pickle stops."""

from __future__ import annotations

from safeload.core.blob import Blob
from safeload.core.finding import FileReport
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.engine.allowlists import default_allowlist
from safeload.engine.inspect import Inspected
from safeload.formats.pickle_stream import read_stream
from safeload.rules import judge
from safeload.rules.base import Context


def only_pickle(blob: Blob, path: str, limits: Limits) -> Inspected:
    """The pickle that the bytes begin with, judged. What follows it is not looked at, nor would `pickle` look at it."""
    location = Location(path)
    parts = tuple(read_stream(blob, 0, location, limits))
    context = Context(allowlist=default_allowlist(), parts=parts, claimed_by=("pickle",))
    findings = judge(parts, context, location=location)
    report = FileReport(path=path, format="pickle", size=blob.size, findings=findings)
    return Inspected(report=report, parts=parts, formats=("pickle",))
