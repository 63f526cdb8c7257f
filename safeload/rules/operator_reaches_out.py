"""An operator of a graph touches more than tensors: files, processes, the network, Python, native code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.core.names import escape
from safeload.formats.base import Operator, Part
from safeload.rules import samples
from safeload.rules.base import Context, Rule
from safeload.rules.operators import known, shown


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if isinstance(part, Operator) and (reaches := known(part).reaches):
        evidence = tuple(escape(text, 120) for text in part.arguments[:10])
        yield rule.finding(part.location, f"the {shown(part)} {reaches}", evidence=evidence)


def _bad() -> Iterable[Part]:
    yield samples.operator("tensorflow", "WriteFile", "/home/user/.bashrc")
    yield samples.operator("tensorflow", "PyFunc", "pyfunc_0")
    yield samples.operator("tensorflow", "SaveV2", "/home/user/.ssh/authorized_keys")
    yield samples.operator("onnx", "PythonOp", domain="com.microsoft")


def _good() -> Iterable[Part]:
    yield samples.operator("tensorflow", "MatMul")
    yield samples.operator("tensorflow", "SaveV2", "<given by the caller>")
    yield samples.operator("onnx", "Conv")


RULE = Rule(
    id="operator-reaches-out",
    title="a graph does more than compute",
    why=(
        "Runtimes offer operators that read and write files, call Python or other programs, or connect. A graph with "
        "one of them is a program of its author's, which runs with the rights of whoever loads or calls it. Saving "
        "and restoring count only where the graph itself, and not its caller, chooses the file."
    ),
    status=Status.DANGEROUS,
    severity=Severity.HIGH,
    confidence=Confidence.CERTAIN,
    remedy="do not load it; ask its author for the weights as safetensors",
    taxonomy=("CWE-829", "CWE-73", "AML.T0011.000"),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Operator,),
)
