"""The pickle reads differently in different unpicklers, or is not as any pickler writes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.core.graph import Anomaly, Reading
from safeload.formats.base import Part, PickleStream
from safeload.rules import samples
from safeload.rules.base import Context, Rule
from safeload.rules.truncated import cut_line, cut_short

ANOMALIES = {
    "arguments-not-a-tuple": "arguments that are no tuple: Python pickle makes the call, C pickle refuses",
    "build-on-value": "state is set on something that no call made",
    "frame-crossed": "an opcode reaches over the end of its frame: C pickle reads other bytes from a file",
    "frame-nested": "a frame begins before the last one ended: C pickle reads it, Python pickle refuses",
    "frame-past-end": "a frame is longer than what is left: Python pickle reads it, C pickle refuses",
    "frame-unfinished": "STOP stands before the end of its frame: what follows begins elsewhere in a file",
    "items-on-value": "items are put into something that is no container of that kind",
    "length-negative": "a length that C pickle takes for large is negative to Python pickle",
    "line-unterminated": "the file ends in a line: Python pickle takes it without its last byte, C pickle refuses",
    "mark-missing": "INST without a MARK: Python pickle imports before it refuses, C pickle does not",
    "name-odd": "a name to import is empty, or holds white space, a backslash or what is not ASCII",
    "new-of-value": "an object is made from what may be no class: Python pickle tries, C pickle refuses",
    "number-text": "a number in text that C pickle, Python pickle and pickletools do not all read alike",
    "protocol-again": "PROTO stands in the middle of the stream",
    "state-not-last": "an object is filled, or given state again, after its state was set, as no pickler does",
    "stack-leftover": "values or marks are left at STOP",
}
"""Every kind of `Anomaly`, and what it says."""

_ODD = frozenset({"name-odd", "protocol-again", "stack-leftover"})
"""Kinds that every unpickler reads alike, and that no pickler writes."""
_CUT = frozenset({"line-unterminated"})
"""Kinds that an interrupted download makes as well."""
_CUT_SHORT = frozenset({"frame-past-end"})
"""Kinds that it makes only where the pickle has no end: with one, Python pickle returns what C pickle refuses."""
_ELSEWHERE = frozenset({"build-on-value", "new-of-value"})
"""Kinds that the rules about calls and states report, with what they do."""


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if not isinstance(part, PickleStream) or not part.reading.anomalies:
        return
    firsts = {anomaly.kind: anomaly for anomaly in reversed(part.reading.anomalies)}
    for anomaly in sorted(firsts.values(), key=lambda one: one.offset):
        if anomaly.kind in _ELSEWHERE:
            continue
        status, severity = Status.DANGEROUS, rule.severity
        if anomaly.kind in _ODD:
            status, severity = Status.UNVERIFIED, Severity.LOW
        elif _interrupted(anomaly, part.reading):
            status, severity = Status.UNDECIDED, Severity.MEDIUM
        detail = anomaly.detail or ANOMALIES[anomaly.kind]
        yield rule.finding(
            part.location.at(anomaly.offset), f"{anomaly.kind}: {detail}", status=status, severity=severity
        )


def _interrupted(anomaly: Anomaly, reading: Reading) -> bool:
    """Whether an interrupted download explains it: then nothing is returned by either reader."""
    if anomaly.kind in _CUT or (anomaly.kind in _CUT_SHORT and cut_short(reading)):
        return True
    return anomaly.kind == "number-text" and anomaly.offset == cut_line(reading)


def _bad() -> Iterable[Part]:
    yield samples.pickled(b"\x80\x04\x95\x02\x00\x00\x00\x00\x00\x00\x00\x8c\x04name\x94.")
    yield samples.pickled(b"\x80\x03ccollections\nOrderedDict\n]R.")
    yield samples.pickled(b"\x80\x02\x80\x03].")


def _good() -> Iterable[Part]:
    yield samples.pickled(b"\x80\x04\x95\x08\x00\x00\x00\x00\x00\x00\x00\x8c\x04name\x94.")


RULE = Rule(
    id="pickle-two-readings",
    title="unpicklers disagree about these bytes",
    why=(
        "A scanner that reads a pickle in one way protects nobody who loads it in another. This names every spot "
        "where C pickle, Python pickle and pickletools are known to part ways: opcodes that cross a frame, arguments "
        "that are no tuple, numbers in odd spellings. What they read alike, but no pickler writes, counts less."
    ),
    status=Status.DANGEROUS,
    severity=Severity.HIGH,
    confidence=Confidence.LIKELY,
    remedy="do not load it with anything else; ask its author for a safetensors version",
    taxonomy=("CWE-436", "CWE-502"),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(PickleStream,),
    names=tuple(ANOMALIES),
)
