"""A file sets up a program, or instructs an agent, that works in the folder of the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.formats.base import Part, Reference
from safeload.rules import samples
from safeload.rules.base import Context, Rule

_SAYS = {
    "settings": "settings of a program that works in this folder, which can make it run or fetch something",
    "instructions": "instructions for agents that work in this folder, which take them for their user's",
}


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if isinstance(part, Reference) and part.kind == "set-up":
        severity = Severity.LOW if part.target == "instructions" else rule.severity
        yield rule.finding(part.location, _SAYS.get(part.target, _SAYS["settings"]), severity=severity)


def _bad() -> Iterable[Part]:
    yield samples.reference("set-up", "settings", ".npmrc", "")
    yield samples.reference("set-up", "instructions", "AGENTS.md", "")


def _good() -> Iterable[Part]:
    yield samples.reference("dependency", "--extra-index-url https://download.pytorch.org/whl/cpu", "conda.yaml", "")


RULE = Rule(
    id="program-settings",
    title="a file sets up a program that works in the folder",
    why=(
        "Shells, editors, installers, version control and agents read files by their names: `.envrc`, `pip.conf`, "
        "`.vscode/`, `AGENTS.md`. Whoever works in the folder of a model follows them, mostly without being asked. "
        "They are no part of a model, and loaders do not read them; safeload never hands one over."
    ),
    status=Status.UNVERIFIED,
    severity=Severity.NOTE,
    confidence=Confidence.CERTAIN,
    remedy="read {file} before you open the folder with a shell, an editor or an agent; remove it if you need it not",
    taxonomy=("CWE-829", "CWE-427"),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Reference,),
)
