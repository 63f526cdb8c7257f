"""Putting models into `safeload.lock`, and comparing them with it later.

1. What a model is, is said by `lockentry`, which also asks the policy whether it may enter.
2. An entry changes only with `upgrade`, and goes back to what it was before only with `downgrade`.
3. The file is written whole or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from safeload.core.digest import sha256
from safeload.core.errors import UsageError, VerificationFailed
from safeload.core.evidence import Difference
from safeload.core.names import Location, escape
from safeload.engine import enforce
from safeload.engine.identity import directory_entry
from safeload.engine.lockcheck import differences
from safeload.engine.lockentry import describe
from safeload.engine.options import Options
from safeload.engine.reach import reach
from safeload.engine.request import Access
from safeload.engine.whole import write_whole
from safeload.sources import filelock
from safeload.sources.base import Snapshot
from safeload.sources.store import Store
from safeload.trust import layers
from safeload.trust.file_names import LOCK as NAME
from safeload.trust.lockfile import Lock, LockedModel, parse_lock
from safeload.trust.locktext import dump


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
        check: change nothing. What the lock's branches and tags name now is asked as well; of each lock that counts.
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
    if check:
        return path, tuple(_checked(job, path, [os.fspath(one) for one in references], revision))
    with filelock.exclusive(os.path.join(Store(options.store).folder("locks"), f"lock-{sha256(path.encode())[:32]}")):
        old = layers.read_lock(path) if os.path.lexists(path) else Lock(path=path)
        new, done = old, list[Locked]()
        for reference, asked in _wanted(old, [os.fspath(one) for one in references], revision):
            done.append(job.one(new, reference, asked))
            new = _with(new, done[-1].model)
        if new != old:
            _write(path, dump(new))
    return path, tuple(done)


def _wanted(lock: Lock, references: Sequence[str], revision: str | None) -> list[tuple[str, str | None]]:
    """What was named, with the revision in the caller's words; else every model of the lock."""
    named: list[tuple[str, str | None]] = [(one, revision) for one in references]
    return named or [(reference_of(lock, model), model.requested or None) for model in lock.models]


def _checked(job: _Job, path: str, references: Sequence[str], revision: str | None) -> Iterator[Locked]:
    """Compare with every lock that a load would be compared with: none of them takes another one away."""
    locks = layers.locks(None if job.options.lock is None else os.fspath(job.options.lock))
    if not locks and not references:
        raise UsageError(
            "nothing was checked", where=Location(path), why="there is no lock", remedy="safeload lock REF"
        )
    if not references:
        yield from (job.one(lock, one, asked) for lock in locks for one, asked in _wanted(lock, (), revision))
    for reference in references:
        found = [job.one(lock, reference, revision) for lock in locks or (Lock(path=path),)]
        # A lock that does not name a model says nothing of it; if none does, that is what there is to say.
        yield from [one for one in found if one.differences != _unlocked(one.model.id)] or found[:1]


def path_to_write(options: Options) -> str:
    """The lock that is in force, or where a new one belongs: at the root of the project."""
    if options.lock is not None:
        return os.path.abspath(options.lock)
    named = os.environ.get(layers.LOCK_VARIABLE)
    return os.path.abspath(named or layers.nearest(NAME) or os.path.join(layers.project_root(), NAME))


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
                return Locked(model=model, outcome="differs", differences=_unlocked(id), notes=snapshot.notes)
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
            return directory_entry(lock, snapshot.root)
        return next((model for model in lock.of(id) if model.requested == requested), None)


def _unlocked(id: str) -> tuple[Difference, ...]:
    return (Difference(kind="missing", message="it is not in the lock", remedy=f"safeload lock {escape(id)}"),)


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
