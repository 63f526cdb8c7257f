"""Everything a policy may look at, gathered before it decides.

`LockMatch`, `VerifiedSignature` and `VerifiedApproval` stand for checks that succeeded. Only the code that performs
such a check constructs one, so a policy cannot be handed a claim that nobody verified.
"""

from __future__ import annotations

from collections.abc import Mapping

from safeload.core.finding import Report
from safeload.core.frozen import Frozen, fresh


class VerifiedSignature(Frozen):
    """A signature over the snapshot's files holds."""

    signer: str
    """The policy's name for who signed."""
    identity: str
    """What was really verified: `key:<sha256>`, `cert:<sha256> <subject>` or `<issuer> <identity>`."""
    covers: frozenset[str]
    """Paths that the signature lists and whose content is what it says."""
    method: str = "key"
    """`key`, `certificate` or `keyless`."""
    fingerprints: frozenset[str] = frozenset()
    """Hexadecimal sha256 of the key (of its PEM text), and of each certificate of the chain (DER)."""
    bundle: str = ""
    bundle_sha256: str = ""
    root: str = ""
    """The digest of the statement's subject, such as `sha256:…`. It does not bind names; `covers` does."""
    statement: str = ""
    """The predicate type of what was signed."""


class LockMatch(Frozen):
    """The snapshot is the one that a lock names."""

    lock: str
    tree: str
    signatures: tuple[VerifiedSignature, ...] = ()
    """Those that held when the model entered the lock, as the lock recorded them."""


class Difference(Frozen):
    """The snapshot is not what a lock or a signature says it is."""

    kind: str
    """`changed`, `extra`, `missing`, `revision`, `moved`, `renamed`, `shadowed`, `downgrade` or `signature`."""
    message: str
    remedy: str
    file: str = ""


class VerifiedApproval(Frozen):
    """Someone whose word counts approved exactly this code."""

    closure: str
    criteria: str
    who: str


class CodeNeed(Frozen):
    """This load cannot work without running code from the model."""

    files: tuple[str, ...]
    """Each code file, as `path` or `repository--path`."""
    why: str
    """Which setting asks for it, such as `config.json » auto_map.AutoModel`."""
    closure: str = ""
    """Digest of the code, where it is known; an approval must name it."""


class Evidence(Frozen):
    """What is known about a model, for one load of it."""

    reference: str
    report: Report
    revision: str | None = None
    digests: Mapping[str, str] = fresh(factory=dict)
    """sha256 by path, of every file that this load uses."""
    lock: LockMatch | None = None
    signatures: tuple[VerifiedSignature, ...] = ()
    differences: tuple[Difference, ...] = ()
    marks: frozenset[str] = frozenset()
    """All that a revocation may name, as `kind:value`: `key`, `cert-sha256`, `signer`, `tree`, `file-sha256`. Apart
    from `signatures` and `lock`, so that taking those away hides nothing."""
    failures: tuple[str, ...] = ()
    """Why signatures that are there do not count, for people. Escaped."""
    approvals: tuple[VerifiedApproval, ...] = ()
    code: tuple[CodeNeed, ...] = ()
