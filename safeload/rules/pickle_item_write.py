"""The pickle would write items into a tensor or array while it is read."""

from __future__ import annotations

from collections.abc import Iterable

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.formats.base import Part, PickleStream
from safeload.rules import samples
from safeload.rules.base import Context, Rule
from safeload.rules.deeds import every
from safeload.rules.study import WRITE


def _check(rule: Rule, part: Part, context: Context) -> Iterable[Finding]:
    return every(rule, part, context, WRITE)


def _bad() -> Iterable[Part]:
    yield samples.pickled(samples.call("torch._utils", "_rebuild_tensor_v2")[:-1] + b"K\x00K\x01s.")


def _good() -> Iterable[Part]:
    yield samples.pickled(samples.call("collections", "OrderedDict")[:-1] + b"K\x00K\x01s.")


RULE = Rule(
    id="pickle-item-write",
    title="unpickling would write items into a tensor",
    why=(
        "Picklers write a tensor or an array as a whole. Storing single items in one while it is being rebuilt has "
        "been used to corrupt memory in loaders that allow only tensors (CVE-2026-24747)."
    ),
    status=Status.DANGEROUS,
    severity=Severity.HIGH,
    confidence=Confidence.LIKELY,
    remedy="do not load it with anything else; to see all of it: safeload scan {file} --json",
    taxonomy=("CWE-502", "CWE-787"),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(PickleStream,),
)
