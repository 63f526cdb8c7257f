"""A configuration asks for native code from a repository."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.core.names import escape
from safeload.formats.base import Part, Reference
from safeload.rules import samples
from safeload.rules.base import Context, Rule


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if isinstance(part, Reference) and part.kind == "kernel":
        what = (
            "asks for kernels from the hub"
            if part.target == "on"
            else f"asks for the kernel {escape(part.target, 120)}"
        )
        yield rule.finding(part.location, what)


def _bad() -> Iterable[Part]:
    yield samples.reference("kernel", "org/kernel@main:function", path="attn_implementation")
    yield samples.reference("kernel", "on", path="use_kernels")


def _good() -> Iterable[Part]:
    yield samples.reference("quantization", "gptq", path="quantization_config.quant_method")


RULE = Rule(
    id="config-kernel-reference",
    title="a configuration asks for native code from a repository",
    why=(
        "An attention or experts implementation that is written as `org/name` makes a library download that repository "
        "and import its native code (CVE-2026-4372). safeload removes the setting from what it admits."
    ),
    status=Status.UNVERIFIED,
    severity=Severity.HIGH,
    confidence=Confidence.CERTAIN,
    remedy="load with an implementation of your own choice, such as attn_implementation='sdpa'",
    taxonomy=("CWE-829", "CWE-494"),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Reference,),
)
