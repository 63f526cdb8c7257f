"""The pickle would import something that can act, without calling it yet."""

from __future__ import annotations

from collections.abc import Iterable

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.formats.base import Part, PickleStream
from safeload.rules import samples
from safeload.rules.base import Context, Rule
from safeload.rules.deeds import LEAVE_IT, once
from safeload.rules.study import IMPORT


def _check(rule: Rule, part: Part, context: Context) -> Iterable[Finding]:
    return once(rule, part, context, IMPORT)


def _bad() -> Iterable[Part]:
    yield samples.pickled(samples.new("argparse", "Namespace", b"}" + samples.text("run") + b"cos\nsystem\ns"))
    yield samples.pickled(b"\x80\x03cpathlib\nos.system\n.")
    yield samples.pickled(b"\x80\x03cnobody.knows\nos\n.")
    yield samples.pickled(b"\x80\x02\x82\x01.")


def _good() -> Iterable[Part]:
    yield samples.pickled(b"\x80\x03ctorch\nfloat32\n.")
    yield samples.pickled(b"\x80\x03cnobody.knows\nOuter.Inner\n.")


RULE = Rule(
    id="pickle-dangerous-import",
    title="unpickling would import something that can act",
    why=(
        "A function that is only named can be put into an object and called later: as a hook, a factory, a method. "
        "This names imports of callables that can run code, reach other objects, open or fetch; names that reach "
        "through an object with a dot; and codes of the extension registry, which can stand for any function."
    ),
    status=Status.DANGEROUS,
    severity=Severity.HIGH,
    confidence=Confidence.CERTAIN,
    remedy=LEAVE_IT,
    taxonomy=("CWE-502", "AML.T0011.000"),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(PickleStream,),
)
