"""Signatures that are verified now, for one load: those in the model's directory, by the signers of every layer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from safeload.core.errors import LimitExceeded
from safeload.core.evidence import Difference, VerifiedSignature
from safeload.core.names import escape
from safeload.engine.hashing import PinnedDigests
from safeload.sources.base import Snapshot
from safeload.sources.pinned import PinnedFile
from safeload.trust.policy_file import PolicyFile
from safeload.trust.rules import qualified
from safeload.trust.signature_store import LARGEST, detached
from safeload.trust.signatures import verify_signatures
from safeload.trust.signers import Signer

if TYPE_CHECKING:
    from safeload.engine.enforce import Found, Guard
    from safeload.engine.held import Held


_MOST = 100
"""Bundles of one model."""


def signers_of(files: Iterable[PolicyFile]) -> list[Signer]:
    """Every signer of these policy files, under a name that tells the files apart: see `rules.qualified`."""
    return [
        dataclasses.replace(signer, name=qualified(file, signer.name))  # type: ignore[type-var]
        for file in {one.file: one for one in files}.values()
        for signer in file.signers.values()
    ]


def bundles_for(guard: Guard, apart: Iterable[str], held: Held) -> dict[str, bytes]:
    """Every signature there is for a model: beside its files, and in the stores that policies name.

    Raises:
        SourceError: one cannot be fetched or read.
        LimitExceeded: one is larger than any bundle.
    """
    found = read_bundles(held.snapshot, apart, held.open)
    if guard.snapshot.kind in ("hub", "cache"):
        name = guard.snapshot.answered or guard.snapshot.root
        for store in dict.fromkeys(one.policy.store for one in guard.applied if one.policy.store):
            found |= detached(store, name, guard.snapshot.revision)
    if len(found) > _MOST:
        raise LimitExceeded("members", allowed=_MOST, wanted=len(found), where=escape(guard.snapshot.reference))
    return found


def read_bundles(snapshot: Snapshot, paths: Iterable[str], read: Callable[[str], PinnedFile]) -> dict[str, bytes]:
    """The bytes of each bundle, by its path.

    Raises:
        SourceError: one cannot be fetched or read.
        LimitExceeded: one is larger than any bundle.
    """
    wanted = sorted(paths)
    snapshot.fetch(wanted)
    found: dict[str, bytes] = {}
    for path in wanted:
        file = read(path)
        if file.size > LARGEST:
            raise LimitExceeded("text_bytes", allowed=LARGEST, wanted=file.size, where=escape(path))
        found[path] = file.read_at(0, file.size)
    return found


def verify_live(guard: Guard, found: Found, digests: Mapping[str, str], apart: frozenset[str], held: Held) -> Found:
    """Verify every bundle of the model for what the load uses. Raises as `Guard.find` does."""
    signers = signers_of(one.policy for one in guard.applied)
    bundles = bundles_for(guard, apart, held)
    verified, failures, differing = verify(
        bundles, signers, digests, frozenset(guard.snapshot.listing) - apart, guard.now, held, subset=digests.keys()
    )
    return dataclasses.replace(
        found, signatures=verified, failures=failures, differences=(*found.differences, *differing)
    )


def verify(
    bundles: Mapping[str, bytes],
    signers: list[Signer],
    digests: Mapping[str, str],
    listing: Collection[str],
    now: datetime,
    held: Held,
    *,
    subset: Collection[str] | None,
) -> tuple[tuple[VerifiedSignature, ...], tuple[str, ...], tuple[Difference, ...]]:
    """What holds, why the rest does not, and what differs from what a good signature says."""
    if not bundles:
        return (), (), ()

    def opened(path: str) -> PinnedFile:
        held.snapshot.fetch([path])  # signatures may be about bytes that nobody has asked for yet
        return held.open(path)

    source = PinnedDigests(opened, held.memo, known=digests)
    report = verify_signatures(bundles, signers, source, listing, now, subset=subset)
    differing = tuple(
        Difference(
            kind="signature",
            message=f"{escape(failure.bundle)} does not fit: {escape(one.path)}: {one.kind}: {one.reason}",
            remedy=failure.remedy or "ask the publisher for the model that was signed, or for a new signature",
            file=one.path,
        )
        for failure in report.failures
        for one in failure.mismatches
    )
    return report.verified, tuple(f"{escape(one.bundle)}: {one.why}" for one in report.failures), differing
