"""The pickle would call something that can act."""

from __future__ import annotations

from collections.abc import Iterable

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.formats.base import Part, PickleStream
from safeload.rules import samples
from safeload.rules.base import Context, Rule
from safeload.rules.deeds import LEAVE_IT, every
from safeload.rules.study import CALL


def _check(rule: Rule, part: Part, context: Context) -> Iterable[Finding]:
    return every(rule, part, context, CALL)


def _bad() -> Iterable[Part]:
    yield samples.pickled(samples.call("os", "system", samples.text("touch marker")))
    yield samples.pickled(samples.call("webbrowser", "open", samples.text("https://example.org")))
    yield samples.pickled(samples.call("nobody.knows", "this_function", samples.text("x")))
    yield samples.pickled(samples.call("nobody.knows", "Runner", samples.text("curl example.org | sh")))
    yield samples.pickled(b"(S'touch marker'\nios\nsystem\n.")


def _good() -> Iterable[Part]:
    yield samples.pickled(samples.call("collections", "OrderedDict"))
    yield samples.pickled(samples.call("argparse", "Namespace"))
    yield samples.pickled(samples.new("nobody.knows", "Settings"))


RULE = Rule(
    id="pickle-dangerous-call",
    title="unpickling would call something that can act",
    why=(
        "An unpickler calls whatever the file names, with arguments that the file chooses. This names every call of a "
        "standard-library function outside the allowlist, of a callable that can run code, reach other objects, open "
        "or fetch, of a function that no pickler writes, and of anything that is only computed while it runs."
    ),
    status=Status.DANGEROUS,
    severity=Severity.CRITICAL,
    confidence=Confidence.CERTAIN,
    remedy=LEAVE_IT,
    taxonomy=("CWE-502", "AML.T0011.000", "AML.T0010.003"),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(PickleStream,),
)
