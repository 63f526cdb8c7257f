"""The entry that a lock would have for a model: every file with its digest, and who signed it.

1. From the hub, only small files are fetched: of a large one the hub states the sha256, and git's object id of the
   pointer, which depends on it, must agree. From the cache and from a directory, every file that is there is hashed.
2. Signatures are verified for the whole model, now. What a layer's policy asks of signers must hold for a model to
   enter; what it revokes stays out.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from safeload.core.errors import MalformedInput, SourceError, VerificationFailed
from safeload.core.evidence import Evidence, VerifiedSignature
from safeload.core.finding import Report
from safeload.core.names import Location, escape
from safeload.core.policy import AllOf, NothingDiffers
from safeload.engine import enforce
from safeload.engine.held import Held
from safeload.engine.options import Options
from safeload.sources.base import Snapshot
from safeload.sources.digest_memo import digest_all
from safeload.sources.pinned import SHA256
from safeload.sources.store import Store
from safeload.trust import rules
from safeload.trust.lockfile import Lock, LockedFile, LockedModel, path_fault, pointer_oid
from safeload.trust.manifest import NEVER_SIGNED

_HUB = "https://huggingface.co"


def describe(
    snapshot: Snapshot, options: Options, *, id: str, requested: str = "", entering: bool = True
) -> tuple[LockedModel, enforce.Found]:
    """The entry that a lock would have for a snapshot, and what was found out about its signatures.

    Raises as `lock` does.
    """
    guard = enforce.guard_for(snapshot, options, asked=None, locked=False)
    store = Store(options.store, needed=False)
    with Held(snapshot, options.limits, store.memo) as held:
        apart = enforce.bundles_of(snapshot)
        files = _files(snapshot, held, store, apart)
        if not files:
            raise SourceError(
                f"{escape(snapshot.reference)} was not locked",
                where=Location(snapshot.root),
                why="it has no files",
                remedy=f"safeload scan {escape(snapshot.reference)}",
            )
        model = LockedModel(
            id=id,
            files=files,
            hub=_endpoint() if snapshot.kind in ("hub", "cache") else "",
            answered=snapshot.answered or "",
            requested=requested,
            revision=snapshot.revision or "" if snapshot.kind in ("hub", "cache") else "",
            converted_from=_converted_from(held, files),
        )
        found = _signatures(guard, model, held, apart)
    if entering:
        _let_enter(guard, model, found)
    return replace(model, signatures=_in_order(found)), found


def _in_order(found: enforce.Found) -> tuple[VerifiedSignature, ...]:
    return tuple(sorted(found.signatures, key=lambda one: (one.bundle, one.signer, one.identity)))


def _files(snapshot: Snapshot, held: Held, store: Store, apart: frozenset[str]) -> tuple[LockedFile, ...]:
    for path in snapshot.listing:
        if why := path_fault(path):
            raise MalformedInput(
                f"{escape(snapshot.reference)} was not locked", where=Location(path), why=why, remedy="rename the file"
            )
    rows = {path: one for path, one in snapshot.listing.items() if path not in apart}
    stated = {
        path: one
        for path, one in rows.items()
        if snapshot.kind == "hub" and one.recorded is not None and one.recorded.algorithm == SHA256
    }
    read = sorted(rows.keys() - stated.keys())
    snapshot.fetch(read)
    digests = digest_all([held.open(path) for path in read], store.memo)
    files = []
    for path in sorted(rows):
        one = rows[path]
        if path in stated:
            assert one.recorded is not None
            size, digest = one.size, one.recorded.value
        else:
            size, digest = held.open(path).size, digests[path]
        assert size is not None
        lfs = bool(one.git) and one.git == pointer_oid(digest, size)
        if path in stated and one.git and not lfs:
            raise VerificationFailed(
                f"{escape(snapshot.reference)} was not locked",
                mismatches={escape(path): f"git's object {one.git} is not the pointer to sha256 {digest}"},
                where=Location(path),
                remedy="check HF_ENDPOINT; whatever answers there contradicts itself",
            )
        files.append(LockedFile(path=path, size=size, sha256=digest, git=one.git, lfs=lfs, xet=one.xet))
    return tuple(files)


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or _HUB


def _converted_from(held: Held, files: Sequence[LockedFile]) -> tuple[str, ...]:
    """Where the inputs of a conversion came from, as its provenance says: a note for people, which nothing trusts."""
    from safeload.engine.convert.provenance import NAME as PROVENANCE
    from safeload.engine.convert.provenance import inputs_of

    if not any(file.path == PROVENANCE for file in files):
        return ()
    file = held.open(PROVENANCE)
    return inputs_of(file.read_at(0, min(file.size, held.limits.text_bytes)))


def _signatures(guard: enforce.Guard, model: LockedModel, held: Held, apart: frozenset[str]) -> enforce.Found:
    """Verify every signature for the whole model."""
    from safeload.engine.enforce_signatures import bundles_for, signers_of, verify

    signers = signers_of(one.policy for one in guard.applied)
    found = enforce.Found()
    if signers:
        bundles = bundles_for(guard, apart, held)
        verified, failures, differing = verify(
            bundles, signers, model.digests, model.digests.keys(), guard.now, held, subset=None
        )
        found = enforce.Found(signatures=verified, failures=failures, differences=differing)
    # A signature that covers nothing would stand in the lock for nothing.
    kept = tuple(replace(one, bundle=os.path.basename(one.bundle)) for one in found.signatures if one.covers)
    entry = replace(model, signatures=kept)
    marks = replace(guard, entries=((Lock(), entry),)).marks(replace(found, signatures=kept), model.digests)
    return replace(found, signatures=kept, marks=marks)


def signable(model: LockedModel) -> dict[str, str]:
    """Digests of what a signature of the model can be about: notes of git are never signed, and never loaded."""
    return {path: one for path, one in model.digests.items() if path.partition("/")[0] not in NEVER_SIGNED}


def _let_enter(guard: enforce.Guard, model: LockedModel, found: enforce.Found) -> None:
    """Raise `PolicyDenied` unless every layer lets the model into the lock."""
    evidence = found.into(
        Evidence(
            reference=guard.snapshot.reference,
            report=Report(target=guard.snapshot.reference),
            revision=guard.snapshot.revision,
            digests=signable(model),
        )
    )
    decisions = (rules.decision(one, guard.now.date(), entering=True) for one in guard.applied)
    AllOf((NothingDiffers(), *decisions)).decide(evidence).enforce(evidence)
