"""A setting leads out of the model: to other files of the machine, to another machine, to an address."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.core.names import escape
from safeload.formats.base import Part, Reference
from safeload.later import Later
from safeload.rules import samples
from safeload.rules.base import Context, Rule

_ADDRESS = Later(r"https?://|ftp://|s3://|gs://", re.IGNORECASE)
_ENCRYPTED = Later(r"https://", re.IGNORECASE)
_RUNS = Later(
    r"\.(?:pkl|pickle|joblib|dill|so|dll|dylib|pyd|py|sh|exe|whl|jar|mar|nemo|dpr|pt|pth|ckpt|bin|npy)(?:[?#]\S*)?\Z",
    re.I,
)
"""Ends of names of what runs code, or may, where it is loaded."""
_CODE = Later(
    r"\.(?:pkl|pickle|joblib|dill|so|dll|dylib|pyd|py|sh|js|mjs|ts|exe|whl|jar|mar|nemo|dpr)(?:[?#]\S*)?\Z", re.I
)
"""The same, without the checkpoints that every training configuration fetches."""
_MACHINE = Later(r"\\\\|\$\{|(?:smb|rmi|ldaps?|gopher|jar|dict|jndi|ext):", re.IGNORECASE)


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if not isinstance(part, Reference) or part.kind not in ("outside", "aside"):
        return
    target, shown = part.target, escape(part.target, 160)
    if part.kind == "aside":
        message = f"names a place beside the model: {shown}"
        yield rule.finding(part.location, message, status=Status.SAFE, severity=Severity.NOTE)
    elif _MACHINE.match(target):
        message = f"names {shown}: whoever follows it talks to another machine"
        yield rule.finding(part.location, message, severity=Severity.HIGH)
    elif _ADDRESS.match(target):
        unsure = _CODE.search(target) is not None or not _ENCRYPTED.match(target)
        message = f"names an address that a program could load from: {shown}"
        yield rule.finding(part.location, message, status=rule.status if unsure else Status.SAFE, severity=Severity.LOW)
    else:
        severity = Severity.MEDIUM if _RUNS.search(target) else Severity.LOW
        yield rule.finding(part.location, f"names a place outside of the model: {shown}", severity=severity)


def _bad() -> Iterable[Part]:
    yield samples.reference("outside", "../../other/model.pkl", path="index_path")
    yield samples.reference("outside", "/etc/passwd", path="vocabulary")
    yield samples.reference("outside", "\\\\host\\share\\model.bin", path="weights")
    yield samples.reference("outside", "http://example.org/weights.pkl", path="pretrained")


def _good() -> Iterable[Part]:
    yield samples.reference("file", "1_Pooling", "modules.json", "[1].path")
    yield samples.reference("base-model", "org/base", "adapter_config.json", "base_model_name_or_path")


RULE = Rule(
    id="config-outside",
    title="a setting leads out of the model",
    why=(
        "A value with `..`, a path into the system, a share of another machine or an address makes whatever program "
        "follows the setting read something that nobody looked at here, whatever the setting is called. In files of "
        "settings that are read by their lines, which mostly describe a training run, a path to a folder beside the "
        "model is only noted, and so is the address of a checkpoint. Places that "
        "loaders are known to follow are judged by `reference-escapes`. Folders of a training run, caches and pages "
        "for people are left alone."
    ),
    status=Status.UNVERIFIED,
    severity=Severity.MEDIUM,
    confidence=Confidence.POSSIBLE,
    remedy="correct {file}, or ask its author what the setting is for; safeload admit removes what loaders follow",
    taxonomy=("CWE-73", "CWE-22", "CWE-610"),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Reference,),
)
