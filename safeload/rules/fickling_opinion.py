"""What fickling, an analyser of its own, says about the same pickle: a second opinion, asked for only on request.

It adds findings and takes none away, so it never makes a file better. fickling reads bytes that were cut from the very
reading that was judged; it decompiles them and looks at the result, and runs nothing. Its own failures are findings
too: a stream that it cannot read, or that makes it stumble, has no second opinion, and the report says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.core.names import escape
from safeload.formats.base import Part, PickleStream
from safeload.rules import samples
from safeload.rules.base import Context, Rule

if TYPE_CHECKING:
    from safeload.rules.fickling import Opinion

MOST_BYTES = 1 << 20
"""Of one pickle that fickling is asked about: it takes a thousand times as long as we do."""
_WORDS = {
    "POSSIBLY_UNSAFE": (Status.SAFE, Severity.NOTE),
    "SUSPICIOUS": (Status.SAFE, Severity.NOTE),
    "LIKELY_UNSAFE": (Status.UNVERIFIED, Severity.LOW),
    "LIKELY_OVERTLY_MALICIOUS": (Status.UNVERIFIED, Severity.MEDIUM),
    "OVERTLY_MALICIOUS": (Status.DANGEROUS, Severity.HIGH),
}
"""What its levels make of a file: it calls ordinary checkpoints `LIKELY_UNSAFE`, so only its surest level decides."""
_MOST = 20


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if not context.second_opinion or not isinstance(part, PickleStream):
        return
    from safeload.rules.fickling import analyse

    reading = part.reading
    length = reading.end - reading.start
    if length > MOST_BYTES:
        why = f"fickling was not asked: the pickle has {length:,} bytes, and it is asked about {MOST_BYTES:,}"
        yield rule.finding(part.location, why, status=Status.UNDECIDED, severity=Severity.NOTE)
        return
    opinions = analyse(reading.blob.read_at(reading.start, length))
    for opinion in opinions[:_MOST]:
        yield _finding(rule, part, opinion)
    if rest := opinions[_MOST:]:
        worst = max(rest, key=lambda opinion: _WORDS.get(opinion.level, (Status.UNDECIDED, Severity.NOTE)))
        yield _finding(rule, part, worst, more=f", and {len(rest) - 1:,} results more")


def _finding(rule: Rule, part: PickleStream, opinion: Opinion, *, more: str = "") -> Finding:
    status, severity = _WORDS.get(opinion.level, (Status.UNDECIDED, Severity.NOTE))
    about = f": {escape(opinion.about, 200)}" if opinion.about else ""
    words = "fails" if opinion.level == "FAILED" else f"says {opinion.level.lower().replace('_', ' ')}"
    message = f"fickling {words} ({escape(opinion.analysis, 60)}){about}{more}"
    return rule.finding(part.location, message, status=status, severity=severity)


def _bad() -> Iterable[Part]:
    yield samples.pickled(samples.call("os", "system", samples.text("touch marker")))


def _good() -> Iterable[Part]:
    yield samples.pickled(b"\x80\x04]\x94(K\x01K\x02e.")


RULE = Rule(
    id="fickling-opinion",
    title="fickling has something to say about a pickle",
    why=(
        "A second analyser, of another origin, that decompiles the same bytes. It is asked on request only, and its "
        "results are added to the others: it never makes a file better. It calls many ordinary checkpoints likely "
        "unsafe, so that only what it is surest of makes a file dangerous; where it fails, the file is undecided."
    ),
    status=Status.UNVERIFIED,
    severity=Severity.MEDIUM,
    confidence=Confidence.POSSIBLE,
    remedy="compare it with what the file would do: safeload scan {file} --explain",
    taxonomy=("CWE-502",),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(PickleStream,),
)
