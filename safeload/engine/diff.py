"""What differs between two models, or between two locks: file by file."""

from __future__ import annotations

import os
from dataclasses import dataclass

from safeload.core.errors import UsageError
from safeload.core.names import Location, escape
from safeload.engine.lockentry import describe
from safeload.engine.options import Options
from safeload.engine.reach import reach
from safeload.engine.request import Access
from safeload.trust import layers
from safeload.trust.lockfile import Lock, LockedFile, LockedModel


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs: `before` or `after` is empty where it is only on the other side."""

    model: str
    what: str
    """A path, or `revision`, `tree`, `signers`."""
    before: str
    after: str


def diff(
    before: str | os.PathLike[str],
    after: str | os.PathLike[str],
    *,
    options: Options | None = None,
    access: Access | None = None,
) -> tuple[Change, ...]:
    """What differs between two of: locks, directories, models on the hub (`org/name`, `hf://org/name@revision`).

    A lock and a model are compared in the model's entry. Of a model on the hub, no weights are fetched.

    Raises:
        UsageError: a lock is compared with a model that it does not name.
        ConfigError: a lock cannot be used.
        SourceError: a model cannot be found or fetched.
    """
    options, access = options or Options(), access or Access()
    first, second = _side(os.fspath(before), options, access), _side(os.fspath(after), options, access)
    if isinstance(first, Lock) and isinstance(second, Lock):
        return _locks(first, second)
    left = _entry(first, second) if isinstance(first, Lock) else first
    right = _entry(second, first) if isinstance(second, Lock) else second
    assert isinstance(left, LockedModel) and isinstance(right, LockedModel)
    return tuple(_models(left, right, signers=isinstance(first, Lock) and isinstance(second, Lock)))


def _side(reference: str, options: Options, access: Access) -> Lock | LockedModel:
    if os.path.isfile(reference):
        return layers.read_lock(reference)
    snapshot = reach(reference, access, limits=options.limits)
    return describe(snapshot, options, id=snapshot.root, entering=False)[0]


def _entry(lock: Lock, model: Lock | LockedModel) -> LockedModel:
    assert isinstance(model, LockedModel)
    folder = os.path.dirname(lock.path)
    for one in lock.models:
        here = one.id.lower() if one.hub else os.path.realpath(os.path.join(folder, one.id))
        if bool(one.hub) == bool(model.hub) and here == (model.id.lower() if model.hub else model.id):
            return one
    raise UsageError(
        "nothing was compared",
        where=Location(lock.path),
        why=f"it does not name {escape(model.id)}",
        remedy=f"safeload lock {escape(model.id)}",
    )


def _locks(before: Lock, after: Lock) -> tuple[Change, ...]:
    left = {(one.id, one.requested): one for one in before.models}
    right = {(one.id, one.requested): one for one in after.models}
    found: list[Change] = []
    for key in sorted(left.keys() | right.keys()):
        old, new = left.get(key), right.get(key)
        if old is None or new is None:
            gone, come = (old.tree if old else ""), (new.tree if new else "")
            found.append(Change(key[0], "model", gone, come))
        else:
            found += _models(old, new, signers=True)
    return tuple(found)


def _models(before: LockedModel, after: LockedModel, *, signers: bool) -> list[Change]:
    pairs = [("revision", before.revision, after.revision), ("tree", before.tree, after.tree)]
    if signers:
        pairs.append(("signers", _signers(before), _signers(after)))
    found = [Change(before.id, what, old, new) for what, old, new in pairs if old != new]
    left, right = {file.path: file for file in before.files}, {file.path: file for file in after.files}
    for path in sorted(left.keys() | right.keys()):
        old, new = _content(left.get(path)), _content(right.get(path))
        if old != new:
            found.append(Change(before.id, path, old, new))
    return found


def _signers(model: LockedModel) -> str:
    return ", ".join(sorted({f"{one.signer} ({one.identity})" for one in model.signatures}))


def _content(file: LockedFile | None) -> str:
    return f"sha256 {file.sha256}, {file.size:,} bytes" if file is not None else ""
