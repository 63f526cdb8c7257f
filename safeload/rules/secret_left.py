"""A secret was left in a file: a key or token of a known form."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.core.names import escape
from safeload.formats.base import Code, Config, Part, Text
from safeload.rules import samples
from safeload.rules.base import Context, Rule

_FORMS = {
    "a private key": r"-----BEGIN (?:[A-Z]{2,10} ){0,3}PRIVATE KEY(?: BLOCK)?-----",
    "an AWS access key": r"(?<![A-Z0-9])(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Z0-9])",
    "a token of the Hugging Face Hub": r"(?<![\w-])hf_[A-Za-z]{34}(?!\w)",
    "a GitHub token": r"(?<![\w-])(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{82})(?!\w)",
    "a GitLab token": r"(?<![\w-])glpat-[\w-]{20}(?![\w-])",
    "a Slack token": r"(?<![\w-])xox[abeprs]-[0-9]{8,}-[\w-]{10,}",
    "a Google key": r"(?<![\w-])AIza[\w-]{35}(?![\w-])",
    "an OpenAI key": r"(?<![\w-])sk-(?:proj-)?[A-Za-z0-9_-]{20,}T3BlbkFJ[A-Za-z0-9_-]{20,}",
    "an Anthropic key": r"(?<![\w-])sk-ant-[\w-]{80,}",
    "a Stripe key": r"(?<![\w-])[sr]k_live_[A-Za-z0-9]{24,}",
    "a PyPI token": r"(?<![\w-])pypi-AgEIcHlwaS5vcmc[\w-]{50,}",
    "a Weights & Biases key": r"WANDB_API_KEY['\"]?\s*[:=]\s*['\"]?[0-9a-f]{40}(?![0-9a-f])",
}
_MARKS = {
    "a private key": ("PRIVATE KEY",),
    "an AWS access key": ("AKIA", "ASIA"),
    "a token of the Hugging Face Hub": ("hf_",),
    "a GitHub token": ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
    "a GitLab token": ("glpat-",),
    "a Slack token": ("xox",),
    "a Google key": ("AIza",),
    "an OpenAI key": ("T3BlbkFJ",),
    "an Anthropic key": ("sk-ant-",),
    "a Stripe key": ("k_live_",),
    "a PyPI token": ("pypi-AgEIcHlwaS5vcmc",),
    "a Weights & Biases key": ("WANDB_API_KEY",),
}
"""What every secret of a form holds: most texts hold none of it, and no pattern is tried on those."""
_NUMBERS = frozenset({int, float, bool, type(None)})
"""What documents hold most, and no text is in."""
_LONGEST = 1 << 22
_STRINGS = 20_000
_SHORTEST = 20
_MOST = 20


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    told = 0
    for path, text in _texts(part):
        for what, found in _secrets(text):
            told += 1
            if told > _MOST:
                return
            where = part.location if path else part.location.at(len(text[: found.start()].encode("utf-8", "replace")))
            # Enough to find it, too little to use it.
            yield rule.finding(where, f"holds {what}: {escape(found[0][:6])}… of {len(found[0])} characters")


def _secrets(text: str) -> Iterator[tuple[str, re.Match[str]]]:
    for what, marks in _MARKS.items():
        if any(mark in text for mark in marks):
            yield from ((what, found) for found in _pattern(what).finditer(text, 0, _LONGEST))


@functools.cache
def _pattern(what: str) -> re.Pattern[str]:
    """Compiled when it is needed, which takes longer than to look at a small file."""
    return re.compile(_FORMS[what])


def _texts(part: Part) -> Iterator[tuple[bool, str]]:
    """The texts of a part, and whether each is a value of a document."""
    if isinstance(part, Text):
        yield False, part.text
    elif isinstance(part, Code):
        yield False, part.source[:_LONGEST].decode("utf-8", "replace")
    elif isinstance(part, Config):
        waiting, count = [part.data], 0
        while waiting and count < _STRINGS:
            value = waiting.pop()
            if isinstance(value, dict):
                if not _NUMBERS.issuperset(map(type, value.values())):
                    waiting.extend(value.values())
            elif isinstance(value, list):
                if not _NUMBERS.issuperset(map(type, value)):
                    waiting.extend(value)
            elif isinstance(value, str):
                count += 1
                if len(value) >= _SHORTEST:
                    yield True, value


def _bad() -> Iterable[Part]:
    yield samples.config({"token": "hf_" + "abcdefghijklmnopqrstuvwxyzABCDEFGH"})
    yield Text(location=samples.FILE, text="-----BEGIN RSA " + "PRIVATE KEY-----", role="prose")


def _good() -> Iterable[Part]:
    yield samples.config({"model": "hf_model", "sha": "a" * 40})
    yield Text(location=samples.FILE, text="-----BEGIN PUBLIC KEY-----", role="prose")


RULE = Rule(
    id="secret-left",
    title="a secret was left in a file",
    why=(
        "Keys and tokens get into configurations, notebooks and logs, and from there to everybody who downloads the "
        "model. Only forms that nothing else has are looked for; a secret says nothing about what a file does, so it "
        "changes no status."
    ),
    status=Status.SAFE,
    severity=Severity.MEDIUM,
    confidence=Confidence.LIKELY,
    remedy="if it is yours: revoke it now, then remove it from the file and from its history",
    taxonomy=("CWE-798", "CWE-312"),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Text, Code, Config),
)
