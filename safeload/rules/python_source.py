"""There is Python code beside the weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.core.names import escape
from safeload.formats.base import Code, Part
from safeload.rules import samples
from safeload.rules.base import Context, Rule
from safeload.rules.program import PROGRAMS
from safeload.rules.python_summary import summary

_HERE = frozenset({"torchscript", "marshalled"})
"""Languages whose archive as a whole is reported, by the rule about programs."""


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if isinstance(part, Code) and part.language not in {*PROGRAMS, *_HERE}:
        message = f"{escape(part.language)} code; it runs only for who asks for it and approved it"
        does, imports = summary(part.source) if part.language == "python" else ([], [])
        if does:
            message += f". At a glance it {', '.join(does)}"
        evidence = (f"imports {escape(', '.join(imports))}",) if imports else ()
        severity = Severity.MEDIUM if does else rule.severity
        yield rule.finding(part.location, message, severity=severity, evidence=evidence)


def _bad() -> Iterable[Part]:
    yield samples.code("python", "modeling_custom.py")
    yield Code(location=samples.FILE, language="python", source=b"import os\nos.system('x')")
    yield samples.code("shell", "install.sh")


def _good() -> Iterable[Part]:
    yield samples.code("native", "kernel.so")


RULE = Rule(
    id="python-source",
    title="there is code beside the weights",
    why=(
        "Repositories carry their own model code, which `trust_remote_code=True` runs. safeload never runs it unless "
        "somebody approved exactly these bytes; a file of code is therefore unverified, and left out. What Python "
        "source reaches for is said in a few words, which is no audit. Cells of notebooks and scripts count as well."
    ),
    status=Status.UNVERIFIED,
    severity=Severity.NOTE,
    confidence=Confidence.CERTAIN,
    remedy="nothing to do if no load needs it; else: safeload audit REF, and once you read it: "
    "safeload approve REF --criteria safe-to-run --as YOU",
    taxonomy=("CWE-829",),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Code,),
)
