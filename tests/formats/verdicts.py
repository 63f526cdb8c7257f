"""What a file is, all in all: read and judged."""

from __future__ import annotations

from safeload.core.finding import Finding, Status
from safeload.core.names import Location
from safeload.engine.allowlists import default_allowlist
from safeload.rules import judge
from safeload.rules.base import Context
from tests.formats.helpers import reading


def findings(raw: bytes, name: str) -> tuple[Finding, ...]:
    result = reading(raw, name)
    context = Context(allowlist=default_allowlist(), parts=result.parts, claimed_by=result.formats)
    return judge(result.parts, context, fault=result.fault, location=Location(name))


def status(raw: bytes, name: str) -> Status:
    return max((one.status for one in findings(raw, name)), default=Status.SAFE)


def rules(raw: bytes, name: str) -> set[str]:
    return {one.rule for one in findings(raw, name)}
