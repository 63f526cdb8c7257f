"""A Keras model names something that can run code, open files or connect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.formats.base import Component, Part
from safeload.rules import samples
from safeload.rules.base import Context, Rule
from safeload.rules.keras import known, shown


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if isinstance(part, Component) and part.framework.startswith("keras") and (danger := known(part).danger):
        yield rule.finding(part.location, f"the {shown(part)} {danger}")


def _bad() -> Iterable[Part]:
    yield samples.component("system", "os", function=True)
    yield samples.component("get_file", "keras.utils", {"origin": "https://example.org/x"})
    yield samples.component("enable_unsafe_deserialization", "keras.config", function=True)
    yield samples.component("TorchModuleWrapper", "keras.layers", {"module": "gAJ9"})
    yield samples.component("StringLookup", "keras.layers", {"vocabulary": "/etc/passwd"})
    yield samples.component("TFSMLayer", "keras.layers", {"filepath": "/tmp/other"})
    yield samples.component("TFOpLambda", config={"function": "io.write_file"})
    yield samples.component("Lambda", config={"function": ["4wEAAA", None, None], "function_type": "lambda"})


def _good() -> Iterable[Part]:
    yield samples.component("Dense", "keras.layers", {"units": 1})
    yield samples.component("relu", "builtins", function=True)
    yield samples.component("StringLookup", "keras.layers", {"vocabulary": ["a", "b"]})
    yield samples.component("TFOpLambda", config={"function": "math.multiply"})


RULE = Rule(
    id="keras-reaches-out",
    title="a Keras model would do more than compute",
    why=(
        "A Keras configuration names classes and functions, and Keras looks them up and calls them. Versions that "
        "import any module, functions that download or switch safe mode off, layers that unpickle or read files have "
        "all been used to run code. The modules and classes that models are built from are listed; the standard "
        "library, other parts of Keras, and files outside of the model are none of them."
    ),
    status=Status.DANGEROUS,
    severity=Severity.CRITICAL,
    confidence=Confidence.CERTAIN,
    remedy="do not load it, also not in safe mode; ask its author for the weights as safetensors",
    taxonomy=("CWE-502", "CWE-470", "AML.T0011.000"),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Component,),
)
