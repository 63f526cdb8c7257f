"""The pickle would set attributes on something that it did not make."""

from __future__ import annotations

from collections.abc import Iterable

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.formats.base import Part, PickleStream
from safeload.rules import samples
from safeload.rules.base import Context, Rule
from safeload.rules.deeds import LEAVE_IT, every
from safeload.rules.study import BUILD


def _check(rule: Rule, part: Part, context: Context) -> Iterable[Finding]:
    return every(rule, part, context, BUILD)


def _bad() -> Iterable[Part]:
    yield samples.pickled(b"\x80\x03ccollections\nOrderedDict\n}b.")
    yield samples.pickled(
        samples.call("transformers.trainer_utils", "SchedulerType", samples.text("linear"))[:-1] + b"}b."
    )
    yield samples.pickled(samples.new("argparse", "Namespace", b"}}" + samples.text("__class__") + b"Ns\x86"))


def _good() -> Iterable[Part]:
    yield samples.pickled(samples.new("argparse", "Namespace", b"}" + samples.text("lr") + b"K\x01s"))


RULE = Rule(
    id="pickle-build-on-foreign",
    title="unpickling would change something outside the file",
    why=(
        "BUILD sets attributes. On an object that the file made this is how picklers restore state; on a class, a "
        "module, a shared constant or an object that the program supplied it changes the whole process, and on "
        "`__class__` it turns an object into another kind."
    ),
    status=Status.DANGEROUS,
    severity=Severity.HIGH,
    confidence=Confidence.CERTAIN,
    remedy=LEAVE_IT,
    taxonomy=("CWE-502", "CWE-915"),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(PickleStream,),
)
