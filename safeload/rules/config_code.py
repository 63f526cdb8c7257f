"""A configuration names code to import."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.core.names import escape
from safeload.formats.base import Part, Reference
from safeload.rules import samples
from safeload.rules.base import Context, Rule


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if isinstance(part, Reference) and part.kind == "trust":
        yield rule.finding(part.location, "asks to trust code from the model")
    if not isinstance(part, Reference) or part.kind != "code":
        return
    repository, separator, _ = part.target.partition("--")
    elsewhere = f", from another repository: {escape(repository, 80)}" if separator else ""
    yield rule.finding(part.location, f"names the code {escape(part.target, 120)}{elsewhere}")


def _bad() -> Iterable[Part]:
    yield samples.reference("code", "modeling_custom.CustomModel", path="auto_map.AutoModel")
    yield samples.reference("code", "other/repository--modeling.Model", path="auto_map.AutoModel")
    yield samples.reference("trust", "on", path="trust_remote_code")


def _good() -> Iterable[Part]:
    yield samples.reference("base-model", "org/base", "adapter_config.json", "base_model_name_or_path")


RULE = Rule(
    id="config-code-reference",
    title="a configuration names code to import",
    why=(
        "`auto_map`, `custom_pipelines` and their like make `trust_remote_code=True` import Python from this or from "
        "another repository, also where the model type is built in. safeload removes the reference from what it "
        "admits, or pins it to code that somebody approved."
    ),
    status=Status.UNVERIFIED,
    severity=Severity.NOTE,
    confidence=Confidence.CERTAIN,
    remedy="nothing to do for a built-in model type; for another: safeload audit REF, and once you read the code: "
    "safeload approve REF --criteria safe-to-run --as YOU",
    taxonomy=("CWE-829", "CWE-94"),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Reference,),
)
