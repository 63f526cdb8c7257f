"""Verifying a model: who signed it, which files, what differs, and what it was made from."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from safeload.core.errors import MalformedInput, UsageError, VerificationFailed
from safeload.core.evidence import VerifiedSignature
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.engine.hashing import PinnedDigests, Progress
from safeload.engine.reach import reach
from safeload.engine.request import Access
from safeload.sources.base import Snapshot
from safeload.sources.store import Store
from safeload.trust.manifest import Manifest, Piece, read_manifest
from safeload.trust.signature_store import LARGEST, bundles_in, detached, is_bundle, read_file
from safeload.trust.signatures import SignatureFailure, SignatureReport, verify_signatures
from safeload.trust.signers import Signer
from safeload.trust.statement import PROVENANCE

CONVERSION = "conversion.intoto.json"
ORIGINAL = "conversion.original.sig"
"""The signature of the model that a conversion was made from, where it was kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What the files were made from, as a signed statement says."""

    builder: str
    """What made them. Escaped."""
    sources: tuple[str, ...]
    """The models they were made from, as package URLs, where the statement names them. Escaped."""
    inputs: Mapping[str, str]
    """sha256 of each input, by its name."""
    stated_by: tuple[str, ...]
    """Whose signature covers the statement."""
    signed_by: tuple[str, ...] = ()
    """Who signed the original, if its signature was kept or given and holds for every input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What became of verifying one model."""

    reference: str
    revision: str | None
    files: tuple[str, ...]
    """Every file of the model but the signatures."""
    report: SignatureReport
    origins: tuple[Origin, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether somebody who is trusted signed these files, and nothing differs from any good signature."""
        return bool(self.report.verified) and not self.report.mismatches

    @property
    def signatures(self) -> tuple[VerifiedSignature, ...]:
        """Those that held."""
        return self.report.verified

    @property
    def uncovered(self) -> tuple[str, ...]:
        """Files that no valid signature covers: left out by the signer, and nothing that one should load."""
        covered = frozenset().union(*(one.covers for one in self.report.verified))
        return tuple(path for path in self.files if path not in covered)

    def enforce(self) -> None:
        """Raise `VerificationFailed` with everything that differs, unless `ok`."""
        if self.ok:
            return
        failures = self.report.failures
        mismatches = {escape(one.path): f"{one.kind}: {one.reason}" for one in self.report.mismatches}
        raise VerificationFailed(
            f"{escape(self.reference)!r} is not as anybody who is trusted signed it",
            mismatches=mismatches or {escape(one.bundle): one.why for one in failures} or {"model.sig": "no signature"},
            where=Location(self.reference),
            remedy=next((one.remedy for one in failures if one.remedy), "ask its publisher for a signature"),
        )


def trusted_by_policy(chosen: str | None = None) -> tuple[list[Signer], dict[str, str]]:
    """The signers that the policy files name, under names that tell the files apart, and what they revoke.

    Raises `ConfigError` if one of the files cannot be used.
    """
    from safeload.trust.layers import policies
    from safeload.trust.rules import qualified, revocations

    files = policies(chosen)
    today = datetime.now(UTC).date()
    named = [
        replace(signer, name=qualified(file, signer.name))  # type: ignore[type-var]
        for file in files
        for signer in file.signers.values()
    ]
    return named, {mark: why for file in files for mark, why in revocations(file, today).revoked}


def verify(
    reference: str | os.PathLike[str],
    *,
    signers: Sequence[Signer],
    bundles: Sequence[str] = (),
    store: str | None = None,
    partial: bool = False,
    revision: str | None = None,
    access: Access | None = None,
    now: datetime | None = None,
) -> Verification:
    """Who signed a model; returns only if somebody who is trusted did, and nothing differs. See `examine`.

    Raises `VerificationFailed` listing every file that differs, or why no signature counts; else as `examine`.
    """
    found = examine(
        reference,
        signers=signers,
        bundles=bundles,
        store=store,
        partial=partial,
        revision=revision,
        access=access,
        now=now,
    )
    found.enforce()
    return found


def examine(
    reference: str | os.PathLike[str],
    *,
    signers: Sequence[Signer],
    bundles: Sequence[str] = (),
    store: str | None = None,
    partial: bool = False,
    revision: str | None = None,
    access: Access | None = None,
    original: str | None = None,
    revoked: Mapping[str, str] | None = None,
    progress: Callable[[Progress], None] | None = None,
    now: datetime | None = None,
    limits: Limits | None = None,
) -> Verification:
    """Verify the signatures of a directory, a file, or a model on the hub or in its cache.

    Promised: every file is read through one descriptor, links out of a cache are resolved as the cache means them,
    and whatever differs is listed at once. Not promised: that the files stay as they are afterwards; loading checks
    them again.

    Args:
        reference: what to verify.
        signers: who is trusted.
        bundles: files with signatures, instead of those beside the model.
        store: a directory of detached signatures, see `trust.signature_store`.
        partial: whether files that were signed may be missing, as in a cache that holds what was needed.
        revision: for models on the hub.
        access: how to reach the hub.
        original: the signature of what a conversion was made from, or a directory that holds it.
        revoked: marks (`key:…`, `cert-sha256:…`, `signer:…`, `file-sha256:…`) that make a signature worthless, with
            the reason of each.
        progress: called from any thread after each file that was digested.
        now: the time that counts; the clock's, if absent.

    Raises:
        UsageError: nobody is trusted, or a library that a signer needs is not installed.
        SourceError: the model or a signature cannot be read.
        VerificationFailed: a file changed meanwhile.
    """
    if not signers:
        raise UsageError(
            "nothing was verified",
            why="nobody is trusted to sign: no signer was given, and no policy names one",
            remedy="safeload verify MODEL --key PUBLIC.pem; or name signers in safeload.toml",
        )
    access, limits, now = access or Access(), limits or Limits(), now or datetime.now(UTC)
    snapshot = reach(reference, access, revision=revision, limits=limits)
    found = _bundles(snapshot, bundles, store)
    snapshot.fetch(snapshot.listing)
    files = tuple(path for path in snapshot.listing if path not in found and not is_bundle(path))
    sizes = {path: listed.size or 0 for path, listed in snapshot.listing.items()}
    source = PinnedDigests(snapshot.open, Store(needed=False).memo, close=True, sizes=sizes, progress=progress)
    report = verify_signatures(found, signers, source, snapshot.listing, now, files if partial else None)
    report = _without_revoked(report, revoked or {})
    origins = tuple(_origins(snapshot, report, signers, original, now))
    return Verification(
        reference=os.fspath(reference), revision=snapshot.revision, files=files, report=report, origins=origins
    )


def _bundles(snapshot: Snapshot, named: Sequence[str], store: str | None) -> dict[str, bytes]:
    """Those that were named; else those beside the model, and in the store of detached ones."""
    if named:
        return {path: read_file(path) for path in named}
    found: dict[str, bytes] = {}
    if snapshot.kind == "file":
        beside = [snapshot.root + suffix for suffix in (".sig", ".oms.sig", ".sigstore.json")]
        found.update({path: read_file(path) for path in beside if os.path.isfile(path)})
    else:
        names = bundles_in(snapshot.listing)
        snapshot.fetch(names)
        for name in names:
            with snapshot.open(name) as file:
                found[name] = file.read_at(0, min(file.size, LARGEST + 1))
    if store is not None and not os.path.isabs(snapshot.root):
        found.update(detached(store, snapshot.root, snapshot.revision))
    return found


def _without_revoked(report: SignatureReport, revoked: Mapping[str, str]) -> SignatureReport:
    """Signatures by or over what is revoked become failures."""
    kept, failures = [], list(report.failures)
    for one in report.verified:
        files = report.manifests[one.bundle].digests.items()
        marks = [
            f"signer:{one.signer}",
            *(f"{kind}:{mark}" for kind in ("key", "cert-sha256") for mark in one.fingerprints),
        ]
        marks += [f"file-sha256:{digest}" for piece, digest in files if piece.algorithm == "sha256"]
        hit = next((mark for mark in marks if mark in revoked), None)
        if hit is None:
            kept.append(one)
            continue
        why = f"revoked: {escape(hit)}" + (f" ({escape(revoked[hit])})" if revoked[hit] else "")
        failures.append(SignatureFailure(bundle=one.bundle, why=why, remedy="ask its publisher for another revision"))
    return replace(report, verified=tuple(kept), failures=tuple(failures))


class _Inputs:
    """The digests of a conversion's inputs, which are known and not here."""

    def __init__(self, inputs: Mapping[str, str]) -> None:
        self._inputs = inputs

    def digests(self, pieces: Collection[Piece]) -> dict[Piece, str | None]:
        return {piece: self._inputs.get(piece.path) if piece == Piece(piece.path) else None for piece in pieces}

    def size(self, path: str) -> int:
        raise MalformedInput("the original's signature lists pieces of files", where=Location(path))


def _origins(
    snapshot: Snapshot, report: SignatureReport, signers: Sequence[Signer], original: str | None, now: datetime
) -> Iterable[Origin]:
    """What signed statements say the files were made from: those signed themselves, and those a signature covers."""
    stated: dict[str, tuple[Manifest, list[str]]] = {}
    for one in report.verified:
        manifest = report.manifests[one.bundle]
        who = one.signer or one.identity
        if manifest.predicate_type == PROVENANCE:
            stated.setdefault(one.bundle, (manifest, []))[1].append(who)
        elif CONVERSION in one.covers:
            statement = _statement(snapshot)
            if statement is not None and _says_the_same(statement, manifest):
                stated.setdefault(CONVERSION, (statement, []))[1].append(who)
    for manifest, by in stated.values():
        inputs = {resource.name: resource.sha256 for resource in manifest.inputs}
        sources = dict.fromkeys(escape(resource.uri.partition("#")[0]) for resource in manifest.inputs if resource.uri)
        yield Origin(
            builder=escape(manifest.builder),
            sources=tuple(sources),
            inputs=inputs,
            stated_by=tuple(by),
            signed_by=_original(snapshot, original, inputs, signers, now),
        )


def _statement(snapshot: Snapshot) -> Manifest | None:
    with snapshot.open(CONVERSION) as file:
        data = file.read_at(0, min(file.size, LARGEST))
    try:
        return read_manifest(data, Location(CONVERSION))
    except MalformedInput:  # signed all the same, as any file may be; it tells us nothing
        return None


def _says_the_same(statement: Manifest, signed: Manifest) -> bool:
    """Whether every file that the statement speaks of is the one that was signed."""
    return statement.predicate_type == PROVENANCE and all(
        signed.digests.get(piece) == digest for piece, digest in statement.digests.items()
    )


def _original(
    snapshot: Snapshot, original: str | None, inputs: Mapping[str, str], signers: Sequence[Signer], now: datetime
) -> tuple[str, ...]:
    """Who signed every input: by the original's signature, compared with the digests in the statement."""
    if original is not None:
        path = os.path.join(original, "model.sig") if os.path.isdir(original) else original
        data = read_file(path)
    elif ORIGINAL in snapshot.listing:
        with snapshot.open(ORIGINAL) as file:
            data = file.read_at(0, min(file.size, LARGEST))
    else:
        return ()
    try:
        report = verify_signatures({ORIGINAL: data}, signers, _Inputs(inputs), inputs, now, subset=inputs)
    except MalformedInput:
        return ()
    return tuple(one.signer or one.identity for one in report.verified if one.covers >= inputs.keys())
