"""Everything a policy may look at, gathered before it decides.

`LockMatch`, `VerifiedSignature` and `VerifiedApproval` stand for checks that succeeded. Only the code that performs
such a check constructs one, so a policy cannot be handed a claim that nobody verified.
"""

from __future__ import annotations

from collections.abc import Mapping

from safeload.core.finding import Report
from safeload.values import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class LockMatch:
    """The snapshot is the one that a lock names."""

    lock: str
    tree: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedSignature:
    """A signature over the snapshot's files holds."""

    signer: str
    identity: str
    covers: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedApproval:
    """Someone whose word counts approved exactly this code."""

    closure: str
    criteria: str
    who: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeNeed:
    """This load cannot work without running code from the model."""

    files: tuple[str, ...]
    """Each code file, as `path` or `repository--path`."""
    why: str
    """Which setting asks for it, such as `config.json » auto_map.AutoModel`."""
    closure: str = ""
    """Digest of the code, where it is known; an approval must name it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known about a model, for one load of it."""

    reference: str
    report: Report
    revision: str | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    """sha256 by path, of every file that this load uses."""
    lock: LockMatch | None = None
    signatures: tuple[VerifiedSignature, ...] = ()
    approvals: tuple[VerifiedApproval, ...] = ()
    code: tuple[CodeNeed, ...] = ()
