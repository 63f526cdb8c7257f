"""A Keras model names something that Keras does not bring along."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.formats.base import Component, Part
from safeload.rules import samples
from safeload.rules.base import Context, Rule
from safeload.rules.keras import known, shown


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if not isinstance(part, Component):
        return
    if not part.framework.startswith("keras"):
        yield rule.finding(part.location, f"the {shown(part)} is of a framework that nobody here knows")
        return
    found = known(part)
    if found.odd and not found.danger:
        yield rule.finding(part.location, f"the {shown(part)} {found.odd}")


def _bad() -> Iterable[Part]:
    yield samples.component("MyLayer", registered="my_package>MyLayer")
    yield samples.component("Lambda", config={"function": "normalise", "function_type": "function"})
    yield samples.component("GroupNormalization", "tensorflow_addons.layers")


def _good() -> Iterable[Part]:
    yield samples.component("Dense", "keras.layers", {"units": 1})
    yield samples.component("Functional", "keras.src.models.functional", registered="Functional")
    yield samples.component(
        "GPT2Backbone", "keras_hub.src.models.gpt2.gpt2_backbone", registered="keras_hub>GPT2Backbone"
    )


RULE = Rule(
    id="keras-unlisted",
    title="a Keras model names a class or function of somebody else",
    why=(
        "Custom layers and functions come from a program that must be imported before the model is loaded, or by "
        "loading it. What they do is not in the file, and nobody here knows it."
    ),
    status=Status.UNVERIFIED,
    severity=Severity.LOW,
    confidence=Confidence.CERTAIN,
    remedy="ask its author where the class is from, and what it does",
    taxonomy=("CWE-829", "CWE-470"),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Component,),
)
