"""A file, or a part of it, could not be read to its end. Unreadable never counts as clean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.core.graph import Call
from safeload.core.names import Location
from safeload.formats.base import Part, PickleStream
from safeload.rules import samples
from safeload.rules.base import Context, Rule

_FORGED = "no model needs this; ask its author for a safetensors version"
_AGAIN = "fetch the file again; if it stays so, ask its author for a safetensors version"


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if not isinstance(part, PickleStream) or (part.reading.fault is None and not part.reading.trace):
        return  # what only holds data takes no time to judge
    from safeload.rules.deeds import studied  # files that hold no pickle need nothing of this

    if (unjudged := studied(part, context).unjudged) is not None:
        offset, why = unjudged
        message = f"a pickle is not judged to its end, because that would take too long: {why}"
        yield rule.finding(part.location.at(offset), message, remedy=_FORGED)
    if part.reading.fault is None:
        return
    reading, fault = part.reading, part.reading.fault
    acts = sum(isinstance(node, Call) for node in reading.trace)
    already = f", after {acts:,} calls that an ordinary unpickler would have made" if acts else ""
    yield rule.finding(
        part.location.at(reading.end),
        f"a pickle cannot be read to its end: {fault.why or fault.what}{already}",
        remedy=fault.remedy or _AGAIN,
    )


def from_error(error: MalformedInput, location: Location | None) -> Finding:
    """The finding for an error that ended the reading of a file."""
    where = error.where if isinstance(error.where, Location) else (location or Location(str(error.where) or "?"))
    limit = isinstance(error, LimitExceeded)
    message = f"{error.what}: {error.why}" if error.why else error.what
    return RULE.finding(where, message, remedy=error.remedy or (_AGAIN if not limit else ""))


def without_parts(location: Location | None) -> Finding:
    """The finding for a file in which no reader found anything."""
    return RULE.finding(location or Location("?"), "no reader found anything in the file", remedy="safeload doctor")


def _bad() -> Iterable[Part]:
    yield samples.pickled(b"\x80\x04]\x94(K\x01K")
    yield samples.pickled(b"\x80\x04\xff.")


def _good() -> Iterable[Part]:
    yield samples.pickled(b"\x80\x04]\x94(K\x01K\x02e.")


RULE = Rule(
    id="unreadable",
    title="the file could not be read to its end",
    why=(
        "Payloads are placed before a deliberate break, because tools that stop at the first error forget what they "
        "saw. What was read before the fault is judged as usual; the rest is unknown, so the file is undecided."
    ),
    status=Status.UNDECIDED,
    severity=Severity.MEDIUM,
    confidence=Confidence.CERTAIN,
    remedy=_AGAIN,
    taxonomy=("CWE-502", "AML.T0076"),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(PickleStream,),
)
