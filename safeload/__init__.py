"""Load AI models without running anything that their files say.

The one-line change:

    from safeload.transformers import AutoModel   # was: from transformers import AutoModel

Importing this package imports nothing else: each name below is fetched from its module when it is first used.
What `dir(safeload)` lists is what we promise to keep.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as `typing` has it, which every program under guard would wait for
if TYPE_CHECKING:
    from safeload.core.errors import (
        ConfigError,
        LimitExceeded,
        MalformedInput,
        PolicyDenied,
        SafeloadError,
        SourceError,
        UsageError,
        VerificationFailed,
    )
    from safeload.core.evidence import Evidence
    from safeload.core.finding import Confidence, FileReport, Finding, Report, Severity, Status
    from safeload.core.limits import Limits
    from safeload.core.names import Location
    from safeload.core.policy import (
        DEFAULT_POLICY,
        AllOf,
        AnyOf,
        NothingWorseThan,
        OnlyApprovedCode,
        Policy,
        Reason,
        Verdict,
    )
    from safeload.engine.admission.admitted import Admission
    from safeload.engine.admit import admit
    from safeload.engine.audit.report import Audit, audit
    from safeload.engine.bom import Bill, bom
    from safeload.engine.convert.conversion import Conversion
    from safeload.engine.convert.job import convert
    from safeload.engine.diff import Change, diff
    from safeload.engine.explain_policy import Explanation, explain_policy
    from safeload.engine.lock import Locked, lock
    from safeload.engine.options import Options
    from safeload.engine.request import Access, Request
    from safeload.engine.scan import scan
    from safeload.engine.sign import Signed, sign
    from safeload.engine.verify import Verification, verify
    from safeload.guarding.guard import Guarded, guard

__version__ = "0.1.0.dev0"

_HOME = {
    # What one does.
    "admit": "safeload.engine.admit",
    "scan": "safeload.engine.scan",
    "convert": "safeload.engine.convert.job",
    "audit": "safeload.engine.audit.report",
    "lock": "safeload.engine.lock",
    "diff": "safeload.engine.diff",
    "explain_policy": "safeload.engine.explain_policy",
    "bom": "safeload.engine.bom",
    "sign": "safeload.engine.sign",
    "verify": "safeload.engine.verify",
    "guard": "safeload.guarding.guard",
    # What one says.
    "Options": "safeload.engine.options",
    "Request": "safeload.engine.request",
    "Access": "safeload.engine.request",
    "Limits": "safeload.core.limits",
    "Policy": "safeload.core.policy",
    "DEFAULT_POLICY": "safeload.core.policy",
    "AllOf": "safeload.core.policy",
    "AnyOf": "safeload.core.policy",
    "NothingWorseThan": "safeload.core.policy",
    "OnlyApprovedCode": "safeload.core.policy",
    # What one gets.
    "Admission": "safeload.engine.admission.admitted",
    "Audit": "safeload.engine.audit.report",
    "Conversion": "safeload.engine.convert.conversion",
    "Locked": "safeload.engine.lock",
    "Change": "safeload.engine.diff",
    "Explanation": "safeload.engine.explain_policy",
    "Bill": "safeload.engine.bom",
    "Signed": "safeload.engine.sign",
    "Verification": "safeload.engine.verify",
    "Guarded": "safeload.guarding.guard",
    "Report": "safeload.core.finding",
    "FileReport": "safeload.core.finding",
    "Finding": "safeload.core.finding",
    "Status": "safeload.core.finding",
    "Severity": "safeload.core.finding",
    "Confidence": "safeload.core.finding",
    "Location": "safeload.core.names",
    "Evidence": "safeload.core.evidence",
    "Verdict": "safeload.core.policy",
    "Reason": "safeload.core.policy",
    # What one catches.
    "SafeloadError": "safeload.core.errors",
    "UsageError": "safeload.core.errors",
    "ConfigError": "safeload.core.errors",
    "SourceError": "safeload.core.errors",
    "MalformedInput": "safeload.core.errors",
    "LimitExceeded": "safeload.core.errors",
    "VerificationFailed": "safeload.core.errors",
    "PolicyDenied": "safeload.core.errors",
}

__all__ = (
    "admit",
    "scan",
    "convert",
    "audit",
    "lock",
    "diff",
    "explain_policy",
    "bom",
    "sign",
    "verify",
    "guard",
    "Options",
    "Request",
    "Access",
    "Limits",
    "Policy",
    "DEFAULT_POLICY",
    "AllOf",
    "AnyOf",
    "NothingWorseThan",
    "OnlyApprovedCode",
    "Admission",
    "Audit",
    "Conversion",
    "Locked",
    "Change",
    "Explanation",
    "Bill",
    "Signed",
    "Verification",
    "Guarded",
    "Report",
    "FileReport",
    "Finding",
    "Status",
    "Severity",
    "Confidence",
    "Location",
    "Evidence",
    "Verdict",
    "Reason",
    "SafeloadError",
    "UsageError",
    "ConfigError",
    "SourceError",
    "MalformedInput",
    "LimitExceeded",
    "VerificationFailed",
    "PolicyDenied",
    "__version__",
)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'safeload' has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
