"""Putting models into `safeload.lock`, and comparing them with it later.

1. From the hub, only small files are fetched: of a large one the hub states the sha256, and git's object id of the
   pointer, which depends on it, must agree. From the cache and from a directory, every file that is there is hashed.
2. Signatures are verified for the whole model, now. What a layer's policy asks of signers must hold for a model to
   enter; what it revokes stays out.
3. An entry changes only with `upgrade`, and goes back to what it was before only with `downgrade`.
4. The file is written whole or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from safeload.core.digest import sha256
from safeload.core.errors import MalformedInput, SourceError, UsageError, VerificationFailed
from safeload.core.evidence import Difference, Evidence, VerifiedSignature
from safeload.core.finding import Report
from safeload.core.names import Location, escape
from safeload.core.policy import AllOf, NothingDiffers
from safeload.engine import enforce
from safeload.engine.held import Held
from safeload.engine.lockcheck import differences
from safeload.engine.options import Options
from safeload.engine.reach import reach
from safeload.engine.request import Access
from safeload.engine.whole import write_whole
from safeload.sources import filelock
from safeload.sources.base import Snapshot
from safeload.sources.digest_memo import digest_all
from safeload.sources.pinned import SHA256
from safeload.sources.store import Store
from safeload.trust import layers, rules
from safeload.trust.lockfile import NAME, Lock, LockedFile, LockedModel, parse_lock, path_fault, pointer_oid
from safeload.trust.locktext import dump
from safeload.trust.manifest import NEVER_SIGNED

_HUB = "https://huggingface.co"


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """What became of one model."""

    model: LockedModel
    outcome: str
    """`added`, `unchanged`, `changed`, or, for a check, `differs`."""
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()


def lock(
    *references: str | os.PathLike[str],
    revision: str | None = None,
    upgrade: bool = False,
    downgrade: bool = False,
    check: bool = False,
    from_cache: bool = False,
    access: Access | None = None,
    options: Options | None = None,
) -> tuple[str, tuple[Locked, ...]]:
    """Lock models; or with `check`, only say whether they still are what the lock names.

    Promised: the file names every file with its size and sha256; equal models give equal bytes; it is replaced whole.
    Not promised: that what the hub, or a directory on this machine, says now is what the publisher meant. Only a
    signature says that, and only if the policy asks for one.

    Args:
        references: models on the hub, or directories; without any, each model that is in the lock already.
        revision: a branch, tag or commit on the hub.
        upgrade: entries may change, and follow the hub to what their branch or tag names now.
        downgrade: with `upgrade`, they may go back to what they were before.
        check: change nothing. What the lock's branches and tags name now is asked as well.
        from_cache: use what the hub's cache holds; connect to nothing.
        options: `lock` is the file to write, and `policy` decides who may enter it.

    Returns:
        The path of the lock, and what became of each model.

    Raises:
        PolicyDenied: the policy lets it not enter: it is not signed by those it names, or it is revoked.
        VerificationFailed: an entry would change, and `upgrade` was not given; or a digest is not what was recorded.
        SourceError: a model cannot be found or fetched, or the lock cannot be written.
        ConfigError: the lock or a policy file cannot be used.
        UsageError: arguments contradict each other.
    """
    options, access = options or Options(), access or Access()
    if (downgrade and not upgrade) or (check and upgrade):
        raise UsageError(
            "nothing was locked",
            why="downgrade goes with upgrade, and a check changes nothing",
            remedy="safeload lock REF --upgrade [--downgrade], or safeload lock REF --check",
        )
    job = _Job(options, access if not from_cache else replace(access, local_files_only=True), upgrade, downgrade, check)
    path = path_to_write(options)
    with filelock.exclusive(os.path.join(Store(options.store).folder("locks"), f"lock-{sha256(path.encode())[:32]}")):
        old = layers.read_lock(path) if os.path.lexists(path) else Lock(path=path)
        wanted = [(os.fspath(one), revision) for one in references] or [
            (reference_of(old, model), model.requested or None) for model in old.models
        ]
        new, done = old, list[Locked]()
        for reference, asked in wanted:
            done.append(job.one(new, reference, asked))
            if not check:
                new = _with(new, done[-1].model)
        if not check and new != old:
            _write(path, dump(new))
    return path, tuple(done)


def path_to_write(options: Options) -> str:
    """The lock that is in force, or where a new one belongs: at the root of the project."""
    if options.lock is not None:
        return os.path.abspath(options.lock)
    named = os.environ.get(layers.LOCK_VARIABLE)
    return os.path.abspath(named or layers.nearest(NAME) or os.path.join(layers.project_root(), NAME))


def describe(
    snapshot: Snapshot, options: Options, *, id: str, requested: str = "", entering: bool = True
) -> tuple[LockedModel, enforce.Found]:
    """The entry that a lock would have for a snapshot, and what was found out about its signatures.

    Raises as `lock` does.
    """
    guard = enforce.guard_for(snapshot, options, asked=None, locked=False)
    store = Store(options.store)
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


@dataclass(frozen=True, slots=True)
class _Job:
    options: Options
    access: Access
    upgrade: bool
    downgrade: bool
    check: bool

    def one(self, lock: Lock, reference: str, asked: str | None) -> Locked:
        probe = self._resolve(reference, asked)
        enforce.refuse_within(probe, lock.path)
        id, requested = _id(lock, probe), _requested(probe, asked)
        old = self._entry(lock, probe, id, requested)
        id, snapshot = old.id if old is not None else id, probe
        if old is not None and old.hub and not self.upgrade and not self.check:
            snapshot = self._resolve(f"hf://{old.id}", old.revision)
        model, _ = describe(snapshot, self.options, id=id, requested=requested, entering=not self.check)
        if old is None:
            if self.check:
                missing = Difference(
                    kind="missing", message="it is not in the lock", remedy=f"safeload lock {escape(id)}"
                )
                return Locked(model=model, outcome="differs", differences=(missing,), notes=snapshot.notes)
            return Locked(model=model, outcome="added", notes=snapshot.notes)
        differing = _compare(old, model, snapshot, requested)
        if self.check:
            outcome = "differs" if differing else "unchanged"
            return Locked(model=old, outcome=outcome, differences=differing, notes=snapshot.notes)
        if differing and not self.upgrade:
            raise _refusal(lock, old, differing)
        going_back = {model.tree, model.revision} & set(old.superseded)
        if going_back and not self.downgrade:
            raise _refusal(lock, old, tuple(one for one in differing if one.kind == "downgrade") or differing)
        before = [one for one in (*old.superseded, old.revision, old.tree) if one]
        now = {model.tree, model.revision}
        model = replace(
            model,
            superseded=tuple(dict.fromkeys(one for one in before if one not in now)),
            closure=old.closure if model.tree == old.tree else "",
            entry=old.entry if model.tree == old.tree else {},
        )
        return Locked(
            model=model,
            outcome="changed" if model != old else "unchanged",
            differences=differing,
            notes=snapshot.notes,
        )

    def _resolve(self, reference: str, revision: str | None) -> Snapshot:
        snapshot = reach(reference, self.access, revision=revision, limits=self.options.limits)
        if snapshot.kind == "file":
            raise UsageError(
                f"{escape(reference)} was not locked",
                where=Location(snapshot.root),
                why="it is a file, and a lock is about whole models",
                remedy=f"safeload lock {escape(os.path.dirname(reference) or '.')}",
            )
        return snapshot

    def _entry(self, lock: Lock, snapshot: Snapshot, id: str, requested: str) -> LockedModel | None:
        if snapshot.kind == "directory":
            return enforce.directory_entry(lock, snapshot.root)
        return next((model for model in lock.of(id) if model.requested == requested), None)


def _compare(old: LockedModel, new: LockedModel, snapshot: Snapshot, requested: str) -> tuple[Difference, ...]:
    return differences(
        old,
        snapshot,
        new.digests,
        asked=requested,
        apart=enforce.bundles_of(snapshot),
        hides=False,
        whole_tree=lambda: new.tree,
    )


def _refusal(lock: Lock, old: LockedModel, differing: Sequence[Difference]) -> VerificationFailed:
    kinds: Mapping[str, str] = {f"{one.kind} {one.file}".strip(): one.message for one in differing}
    return VerificationFailed(
        f"{escape(old.id)} is not what {escape(lock.path)} holds, which was left as it is",
        mismatches=kinds,
        where=Location(lock.path),
        remedy="\n         ".join(dict.fromkeys(one.remedy for one in differing)),
    )


def _id(lock: Lock, snapshot: Snapshot) -> str:
    if snapshot.kind in ("hub", "cache"):
        return snapshot.root
    folder = os.path.realpath(os.path.dirname(lock.path))
    inside = snapshot.root.startswith(folder.rstrip("/") + "/")
    return os.path.relpath(snapshot.root, folder) if inside else snapshot.root


def _requested(snapshot: Snapshot, asked: str | None) -> str:
    if snapshot.kind not in ("hub", "cache"):
        return ""
    return snapshot.reference.partition("@")[2] or asked or "main"


def reference_of(lock: Lock, model: LockedModel) -> str:
    """What a locked model is asked for by."""
    return f"hf://{model.id}" if model.hub else os.path.join(os.path.dirname(lock.path), model.id)


def _with(lock: Lock, model: LockedModel) -> Lock:
    others = (one for one in lock.models if (one.id, one.requested) != (model.id, model.requested))
    models = sorted((*others, model), key=lambda one: (one.id, one.requested))
    return Lock(tuple(models), lock.path)


def _write(path: str, data: bytes) -> None:
    """Replace the lock, whole or not at all; what is written is read back first.

    Raises:
        SourceError: it cannot be written; the old one is untouched.
    """
    parse_lock(data, file=path)
    write_whole(path, data, failed="the lock was not written")
