"""The file is a program for another runtime: TorchScript, an exported program, native code, bytecode."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.formats.base import Code, Opaque, Part
from safeload.rules import samples
from safeload.rules.base import Context, Rule

PROGRAMS = {
    "torchscript": "a TorchScript program: its operators run in native code, beyond any check in Python",
    "pt2": "an exported program: torch.export.load unpickles parts of it without restriction",
    "torch-package": "a torch.package archive: loading one imports the Python code in it",
    "executorch": "an ExecuTorch program: it runs in native code",
    "tensorrt": "a TensorRT engine: code for a graphics card, with plugins that run in the process which loads it",
    "native": "native code, which runs when a loader opens it",
    "bytecode": "Python bytecode, which runs when it is imported and which nobody here reads",
}
"""By `Opaque.what` and `Code.language`: what it is."""


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    kind = part.what if isinstance(part, Opaque) else part.language if isinstance(part, Code) else ""
    if kind in PROGRAMS and not (kind == "torchscript" and isinstance(part, Code)):
        yield rule.finding(part.location, PROGRAMS[kind])


def _bad() -> Iterable[Part]:
    yield samples.opaque("torchscript", "model.ts")
    yield samples.opaque("pt2", "model.pt2")
    yield samples.code("native", "kernel.so")
    yield samples.code("bytecode", "module.pyc")


def _good() -> Iterable[Part]:
    yield samples.code("python")
    yield samples.opaque("unknown")


RULE = Rule(
    id="program",
    title="the file is a program",
    why=(
        "Weights are data; these are not. Loading them runs what they say, in a runtime that offers files, processes "
        "or unrestricted unpickling. safeload never hands one over, and cannot say that one is harmless."
    ),
    status=Status.UNDECIDED,
    severity=Severity.MEDIUM,
    confidence=Confidence.CERTAIN,
    remedy="ask its author for the weights as safetensors; safeload leaves this file out of what it admits",
    taxonomy=("CWE-829", "AML.T0011.000"),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Opaque, Code),
    names=tuple(PROGRAMS),
)
