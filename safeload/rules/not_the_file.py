"""What is here only stands in for the real file: a pointer, an error page, half a download, nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.formats.base import Opaque, Part
from safeload.rules import samples
from safeload.rules.base import Context, Rule

_AGAIN = "fetch the file again, and compare its size with the one its page shows"
STANDINS = {
    "git-lfs-pointer": ("this is a Git LFS pointer, not the file itself", "git lfs install && git lfs pull"),
    "xet-pointer": ("this is a Xet pointer, not the file itself", "git xet install && git lfs pull"),
    "html-page": ("this is a web page, such as an error or a login, not the file", _AGAIN),
    "xml-page": ("this is an error document of a web server, not the file", _AGAIN),
    "json-error": ("this is an error message of a web server, not the file", _AGAIN),
    "truncated": ("this is only the beginning of the file", _AGAIN),
    "sparse": ("this is a file of zeros, such as an interrupted download leaves", _AGAIN),
    "zeros": ("this is a file of zeros, such as an interrupted download leaves", _AGAIN),
    "empty": ("the file is empty", _AGAIN),
}
"""By `Opaque.what`: what it is, and what to do."""

_MAY_BE_EMPTY = (".txt", ".md", ".py", ".csv", ".tsv", ".gitkeep", ".gitignore", ".gitattributes", ".lock", ".jsonl")


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if not isinstance(part, Opaque) or part.what not in STANDINS:
        return
    if part.what == "empty" and (part.location.member or part.location.file).lower().endswith(_MAY_BE_EMPTY):
        return
    what, remedy = STANDINS[part.what]
    yield rule.finding(part.location, what, remedy=remedy)


def _bad() -> Iterable[Part]:
    yield samples.opaque("git-lfs-pointer", "model.safetensors")
    yield samples.opaque("empty", "pytorch_model.bin")


def _good() -> Iterable[Part]:
    yield samples.opaque("empty", "package/__init__.py")


RULE = Rule(
    id="not-the-file",
    title="what is here only stands in for the file",
    why=(
        "A clone without Git LFS, a login page saved under the model's name, a download that broke off: loaders "
        "fail on these with errors about pickles or headers, and people then switch checks off. The file is not here."
    ),
    status=Status.UNDECIDED,
    severity=Severity.LOW,
    confidence=Confidence.CERTAIN,
    remedy=_AGAIN,
    taxonomy=("CWE-354",),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Opaque,),
    names=tuple(STANDINS),
)
