"""A YAML file has tags that make objects, call functions or import modules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.core.names import GlobalName, escape
from safeload.formats.base import Part, Reference
from safeload.later import Later
from safeload.rules import samples
from safeload.rules.base import Context, Rule
from safeload.rules.catalogue import ability, is_stdlib

_CORE = "tag:yaml.org,2002:"
_PYTHON = Later(re.escape(_CORE) + r"python/(object(?:/apply|/new)?|name|module)(?::(.*))?", re.DOTALL)
_OTHER = Later(re.escape(_CORE) + r"(?:java|javax|com|org|net|sun|ruby|perl|php|js|cs)[./:/]", re.IGNORECASE)
"""Tags by which the readers of other languages make any class."""
_LOCAL = Later(r"!(?:include|import|call|eval|exec|python|py|cmd|shell|env|obj|object|func|class)\b", re.IGNORECASE)
"""Tags that programs define for themselves, and that say what they do."""


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if not isinstance(part, Reference) or part.kind != "yaml-tag":
        return
    shown = escape(part.target.replace(_CORE, "!!"), 120)
    if python := _PYTHON.fullmatch(part.target):
        status, what = _python(python[1], python[2] or "", context)
        severity = rule.severity if status is Status.DANGEROUS else Severity.LOW
        yield rule.finding(part.location, f"the tag {shown} {what}", status=status, severity=severity)
    elif part.target.startswith(f"{_CORE}python/") and part.target.rpartition("/")[2] not in _PLAIN:
        yield rule.finding(part.location, f"the tag {shown} is Python's own, and unknown", status=Status.UNVERIFIED)
    elif _OTHER.match(part.target):
        yield rule.finding(part.location, f"the tag {shown} makes an object of any class, in readers that allow it")
    elif _LOCAL.match(part.target):
        what = f"the tag {shown} means whatever the program that reads it has defined"
        yield rule.finding(part.location, what, status=Status.UNVERIFIED, severity=Severity.LOW)


_PLAIN = frozenset(
    {"none", "bool", "str", "unicode", "bytes", "int", "long", "float", "complex", "list", "tuple", "dict"}
)


def _python(how: str, target: str, context: Context) -> tuple[Status, str]:
    module, _, name = target.rpartition(".")
    does = {"name": "imports a name", "module": "imports a module"}.get(how, "makes an object or calls a function")
    pair = GlobalName(module, name)
    if context.allowlist.get(pair) is not None:
        return Status.UNVERIFIED, f"{does}: plain data, for readers that allow it"
    plain = all(step.isidentifier() for step in target.split("."))
    function = how == "object/apply" and not name.lstrip("_")[:1].isupper()
    if not plain or is_stdlib(target) or ability(pair) or function:
        return Status.DANGEROUS, f"{does} that is no part of a model"
    return Status.UNVERIFIED, does


def _bad() -> Iterable[Part]:
    yield samples.reference("yaml-tag", f"{_CORE}python/object/apply:os.system", "config.yaml", "")
    yield samples.reference("yaml-tag", f"{_CORE}python/name:my_package.function", "config.yaml", "")
    yield samples.reference("yaml-tag", f"{_CORE}javax.script.ScriptEngineManager", "config.yaml", "")
    yield samples.reference("yaml-tag", "!include", "config.yaml", "")


def _good() -> Iterable[Part]:
    yield samples.reference("yaml-tag", f"{_CORE}python/tuple", "config.yaml", "")
    yield samples.reference("yaml-tag", f"{_CORE}float", "config.yaml", "")


RULE = Rule(
    id="config-yaml-tag",
    title="a YAML file makes objects or calls functions",
    why=(
        "`yaml.load` with an unsafe loader, and readers like it in other languages, make whatever a tag names: "
        "`!!python/object/apply:os.system` runs a command while the file is read. Tags are found in every way that "
        "YAML has to spell one: with declared handles, in full, with escapes."
    ),
    status=Status.DANGEROUS,
    severity=Severity.HIGH,
    confidence=Confidence.CERTAIN,
    remedy="read it with yaml.safe_load only; ask its author for plain YAML",
    taxonomy=("CWE-502", "CWE-470", "AML.T0011.000"),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Reference,),
)
