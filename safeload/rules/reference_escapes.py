"""A file points outside of the model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.core.names import escape
from safeload.formats.base import Part, Reference
from safeload.later import Later
from safeload.rules import samples
from safeload.rules.base import Context, Rule

_FILES = frozenset({"shard", "weights", "config", "tokenizer", "external-data", "file"})
"""Kinds of references whose target is a file of the same model."""
_OUTSIDE = Later(
    r"(?:^|[/\\])\.\.(?:[/\\]|\Z)|^[/\\~]|^[A-Za-z]:|^[a-z][a-z0-9+.-]{1,20}://|\x00",
    re.IGNORECASE,
    needs=("..", "/", "\\", "~", ":", "\0"),
)


def leads_outside(target: str) -> bool:
    """Whether a loader that joins this name to the folder of a model reads something outside of it."""
    return _OUTSIDE.search(target) is not None


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if isinstance(part, Reference) and part.kind in _FILES and leads_outside(part.target):
        yield rule.finding(
            part.location, f"points to {escape(part.target, 120)!r}, outside of the model, as its {part.kind}"
        )


def _bad() -> Iterable[Part]:
    yield samples.reference("shard", "../other/model.safetensors", "model.safetensors.index.json", "weight_map.w")
    yield samples.reference("weights", "/etc/passwd", path="transformers_weights")
    yield samples.reference("external-data", "../../secrets.bin", "model.onnx", "graph.initializer")
    yield samples.reference("config", "https://example.org/config.json", path="configuration_files")
    yield samples.reference("file", "../../other", "modules.json", "[0].path")


def _good() -> Iterable[Part]:
    yield samples.reference("shard", "model-00001-of-00002.safetensors", "model.safetensors.index.json", "weight_map.w")
    yield samples.reference("external-data", "model.onnx.data", "model.onnx", "graph.initializer")
    yield samples.reference("config", "config.4.0.0.json", path="configuration_files")
    yield samples.reference("file", "1_Pooling", "modules.json", "[1].path")


RULE = Rule(
    id="reference-escapes",
    title="a file points outside of the model",
    why=(
        "Shard indexes, configurations and tensors kept elsewhere name files, and loaders join names to the directory "
        "without looking. A name with `..`, an absolute one or an address makes a loader read something else."
    ),
    status=Status.DANGEROUS,
    severity=Severity.HIGH,
    confidence=Confidence.CERTAIN,
    remedy="do not load it with anything else; tell its author, or correct {file}",
    taxonomy=("CWE-22", "CWE-73"),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Reference,),
)
