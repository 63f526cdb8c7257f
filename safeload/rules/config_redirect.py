"""A configuration redirects to another file or repository."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.core.names import escape
from safeload.formats.base import Part, Reference
from safeload.later import Later
from safeload.rules import samples
from safeload.rules.base import Context, Rule

_WORDS = {
    "weights": "takes its weights from",
    "config": "takes its configuration from",
    "tokenizer": "takes its tokenizer from",
    "repository": "takes a component from the repository",
    "base-model": "is an adapter of",
    "quantization": "asks for the quantiser",
}
_ELSEWHERE = frozenset({"repository"})
"""Kinds whose target is not part of this model, so that nobody has looked at it here."""
_STRANGE = Later(r"(?:^|[/\\])\.\.(?:[/\\]|\Z)|^\\\\|^[a-z][a-z0-9+.-]{1,20}://", re.IGNORECASE)
"""A base model that is neither a repository nor a folder of the machine that the adapter was trained on."""
_QUANTISERS = frozenset(
    {
        *("aqlm", "auto-round", "awq", "bitnet", "bitsandbytes", "bitsandbytes_4bit", "bitsandbytes_8bit", "eetq"),
        *("compressed-tensors", "fbgemm_fp8", "fp8", "fp_quant", "gptq", "higgs", "hqq", "mxfp4", "quanto", "quark"),
        *("spqr", "sinq", "torchao", "vptq", "finegrained_fp8", "metal", "nvfp4", "modelopt", "marlin", "gguf"),
    }
)


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if not isinstance(part, Reference) or part.kind not in _WORDS:
        return
    if part.kind == "quantization" and part.target.lower() in _QUANTISERS:
        return
    status = Status.UNVERIFIED if part.kind in {*_ELSEWHERE, "quantization"} else rule.status
    if part.kind == "base-model" and _STRANGE.search(part.target):
        status = Status.UNVERIFIED
    yield rule.finding(part.location, f"{_WORDS[part.kind]} {escape(part.target, 120)}", status=status)


def _bad() -> Iterable[Part]:
    yield samples.reference("weights", "other.safetensors", path="transformers_weights")
    yield samples.reference("repository", "org/tokenizer", "processor_config.json", "audio_tokenizer_name_or_path")
    yield samples.reference("base-model", "../../other", "adapter_config.json", "base_model_name_or_path")
    yield samples.reference("quantization", "my-method", path="quantization_config.quant_method")


def _good() -> Iterable[Part]:
    yield samples.reference("quantization", "gptq", path="quantization_config.quant_method")
    yield samples.reference("shard", "model-00001-of-00002.safetensors")


RULE = Rule(
    id="config-redirect",
    title="a configuration redirects to another file or repository",
    why=(
        "Which files a library reads can be changed by the configuration: other weights, another configuration, a "
        "component of another repository, a base model. safeload follows each pointer and judges what it leads to; "
        "a repository that is not part of this model was not looked at here."
    ),
    status=Status.SAFE,
    severity=Severity.NOTE,
    confidence=Confidence.CERTAIN,
    remedy="safeload admits what it points to by the same policy; to look at it by itself: safeload scan",
    taxonomy=("CWE-610",),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Reference,),
)
