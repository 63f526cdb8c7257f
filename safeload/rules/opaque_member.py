"""A member of an archive is something that nobody here looks into."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.core.names import escape
from safeload.formats.base import Member, Part
from safeload.rules import samples
from safeload.rules.base import Context, Rule

_INERT = (
    *(".txt", ".md", ".rst", ".json", ".jsonl", ".yaml", ".yml", ".csv", ".tsv", ".toml", ".xml", ".vocab", ".npy"),
    *(".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".svg", ".wav", ".mp3", ".flac", ".ogg", ".mp4", ".pdf"),
    *(".safetensors", ".proto", ".license", ".ini", ".cfg", ".log"),
)
_CODE = (
    *(".py", ".pyc", ".so", ".dll", ".dylib", ".o", ".a", ".cubin", ".hsaco", ".fatbin", ".spv"),
    *(".cpp", ".cc", ".cu", ".c", ".h", ".hpp"),
)
"""Members that are reported as code."""


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if not isinstance(part, Member) or part.read:
        return
    base = part.name.lower().rpartition("/")[2]
    if base.endswith(_INERT) or base.endswith(_CODE) or ("." not in base and part.size == 0):
        return
    yield rule.finding(part.location, f"the member {escape(part.name, 120)} of {part.size:,} bytes was not looked into")


def _bad() -> Iterable[Part]:
    yield samples.member("inner.zip")
    yield samples.member("weights")


def _good() -> Iterable[Part]:
    yield samples.member("README.md")


RULE = Rule(
    id="opaque-member",
    title="a member of the archive was not looked into",
    why=(
        "An archive is as good as its worst member. Pickles, storages and code in it are read; other members are named "
        "here unless their kind is one that no loader executes."
    ),
    status=Status.UNDECIDED,
    severity=Severity.LOW,
    confidence=Confidence.CERTAIN,
    remedy="unpack the archive, then: safeload scan DIRECTORY",
    taxonomy=("CWE-829",),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Member,),
)
