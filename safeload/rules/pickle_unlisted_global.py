"""The pickle names code outside the allowlist."""

from __future__ import annotations

from collections.abc import Iterable

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.formats.base import Part, PickleStream
from safeload.rules import samples
from safeload.rules.base import Context, Rule
from safeload.rules.deeds import once
from safeload.rules.study import UNLISTED


def _check(rule: Rule, part: Part, context: Context) -> Iterable[Finding]:
    return once(rule, part, context, UNLISTED)


def _bad() -> Iterable[Part]:
    yield samples.pickled(samples.new("nobody.knows", "Settings"))
    yield samples.pickled(b"\x80\x03cmath\nsqrt\n.")
    yield samples.pickled(samples.call("accelerate.state", "PartialState", samples.text("gloo")))


def _good() -> Iterable[Part]:
    yield samples.pickled(samples.new("transformers.training_args", "TrainingArguments"))
    yield samples.pickled(samples.call("transformers.trainer_utils", "SchedulerType", samples.text("linear")))


RULE = Rule(
    id="pickle-unlisted-global",
    title="the pickle names code outside the allowlist",
    why=(
        "An ordinary unpickler imports the module and may run what it names. Nobody vouched for these names, or for "
        "this use of them, so the file is unverified; nothing in it is known to be harmful. safeload imports none of "
        "them: such objects stay inert records, and the tensors beside them can be read."
    ),
    status=Status.UNVERIFIED,
    severity=Severity.LOW,
    confidence=Confidence.CERTAIN,
    remedy="safeload keeps it as an inert record; for a file that any reader can load: safeload convert {file}",
    taxonomy=("CWE-502",),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(PickleStream,),
)
