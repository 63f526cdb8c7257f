"""A configuration names an installed module, class or function."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.core.names import GlobalName, escape
from safeload.formats.base import Part, Reference
from safeload.rules import samples
from safeload.rules.base import Context, Rule
from safeload.rules.catalogue import ability, is_stdlib

_HOMES = ("sentence_transformers.", "transformers.", "diffusers.", "torch.nn.modules.", "onnxruntime.")
"""Packages whose classes a library of models looks up by name; importing those runs nobody else's code."""


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if not isinstance(part, Reference) or part.kind not in ("module", "callable"):
        return
    target = part.target
    if _is_plain(target) and "." not in target:
        return  # the name of a class within the library itself
    module, _, name = target.rpartition(".")
    if is_stdlib(target) or (part.kind == "callable" and ability(GlobalName(module, name))):
        yield rule.finding(
            part.location,
            f"names {escape(target, 120)}, which is no part of a model",
            status=Status.DANGEROUS,
            severity=Severity.HIGH,
        )
    elif not (_is_plain(target) and target.startswith(_HOMES) and not (part.kind == "callable" and name.islower())):
        yield rule.finding(part.location, f"names {escape(target, 120)}, which a library would import and may call")


def _is_plain(target: str) -> bool:
    return all(part.isidentifier() and not part.startswith("__") for part in target.split("."))


def _bad() -> Iterable[Part]:
    yield samples.reference("module", "my_package.models.Layer", "modules.json", "[0].type")
    yield samples.reference("callable", "torch.get_num_threads", path="sentence_transformers.activation_fn")
    yield samples.reference("module", "subprocess.Popen", "model_index.json", "unet")


def _good() -> Iterable[Part]:
    yield samples.reference("module", "sentence_transformers.models.Pooling", "modules.json", "[1].type")
    yield samples.reference("callable", "torch.nn.modules.linear.Identity", path="activation_fn")
    yield samples.reference("module", "diffusers.UNet2DConditionModel", "model_index.json", "unet")


RULE = Rule(
    id="config-module-reference",
    title="a configuration names a module to import",
    why=(
        "`modules.json`, `model_index.json`, `auto_mapping` and activation functions name classes by where to import "
        "them from. Names within the usual libraries are theirs to check; any other installed module can be imported "
        "this way, and a function that is named as an activation is called."
    ),
    status=Status.UNVERIFIED,
    severity=Severity.LOW,
    confidence=Confidence.LIKELY,
    remedy="safeload admits only names it knows; correct {file}, or ask its author what the name is for",
    taxonomy=("CWE-470", "CWE-829"),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Reference,),
)
