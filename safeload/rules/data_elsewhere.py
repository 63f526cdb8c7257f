"""An HDF5 file has its data in another file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.core.names import escape
from safeload.formats.base import Part, Reference
from safeload.later import Later
from safeload.rules import samples
from safeload.rules.base import Context, Rule

_KINDS = {"hdf5-external": "links to", "hdf5-virtual": "is put together from"}
_OUTSIDE = Later(
    r"(?:^|[/\\])\.\.(?:[/\\]|\Z)|^[/\\~]|^[A-Za-z]:|://|\x00",
    needs=("..", "/", "\\", "~", ":", "\0"),
)
_ITSELF = "."


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if not isinstance(part, Reference) or part.kind not in _KINDS or part.target == _ITSELF:
        return
    message = f"{_KINDS[part.kind]} the file {escape(part.target, 120)!r}"
    if _OUTSIDE.search(part.target):
        message += ", outside of the model"
        yield rule.finding(part.location, message, status=Status.DANGEROUS, severity=Severity.HIGH)
    else:
        yield rule.finding(part.location, message)


def _bad() -> Iterable[Part]:
    yield samples.reference("hdf5-external", "/etc/passwd", "model.weights.h5", "/layers/dense/vars/0")
    yield samples.reference("hdf5-external", "other.h5", "model.weights.h5", "/layers/dense")
    yield samples.reference("hdf5-virtual", "../other.h5", "model.weights.h5", "/layers/dense/vars/0")


def _good() -> Iterable[Part]:
    yield samples.reference("hdf5-virtual", ".", "data.h5", "/view")


RULE = Rule(
    id="data-elsewhere",
    title="an HDF5 file has its data in another file",
    why=(
        "External links, external storage and virtual data sets make a library open another file whose name stands in "
        "this one, and hand its bytes out as weights (CVE-2026-1669). No framework writes models so. A name outside of "
        "the model makes the file dangerous; one beside it leaves it unverified."
    ),
    status=Status.UNVERIFIED,
    severity=Severity.MEDIUM,
    confidence=Confidence.CERTAIN,
    remedy="do not load it; ask its author for a file that holds its own data",
    taxonomy=("CWE-73", "CWE-22"),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Reference,),
)
