"""Whether a snapshot is the one that a lock names: everything that differs, at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from safeload.core.evidence import Difference
from safeload.core.names import escape
from safeload.sources.base import Listed, Snapshot
from safeload.sources.pinned import SHA256
from safeload.trust.lockfile import LockedFile, LockedModel

_NAMED = 50
"""Differences that are told one by one."""
_KNOWS_ALL = ("directory", "hub")
"""Kinds of snapshots whose listing is that of the whole model. A cache holds what was asked for."""


def differences(
    entry: LockedModel,
    snapshot: Snapshot,
    digests: Mapping[str, str],
    *,
    asked: str | None,
    apart: frozenset[str],
    hides: bool,
    whole_tree: Callable[[], str],
) -> tuple[Difference, ...]:
    """All that differs.

    Of the files that the load uses, the bytes are compared; of the others the name, the size, and the digest that
    the origin recorded.

    Args:
        digests: sha256 of what the load uses.
        asked: the revision in the caller's words.
        apart: files that are no part of the model: its signatures.
        hides: files that the lock does not name are not used, rather than refused.
        whole_tree: gives the `h1:` digest of everything that is there; asked only if something differs.
    """
    found = list(_identity(entry, snapshot, asked))
    content = [*_content(entry, snapshot, digests, apart, hides)]
    if content and not found and entry.superseded and snapshot.kind == "directory" and whole_tree() in entry.superseded:
        found.append(_downgrade(entry, "its tree"))
    found += content[:_NAMED]
    if content[_NAMED:]:
        found.append(
            Difference(kind="changed", message=f"{len(content) - _NAMED:,} more differ", remedy=_relock(entry))
        )
    return tuple(found)


def _relock(entry: LockedModel) -> str:
    return f"look at what changed: safeload diff safeload.lock {escape(entry.id)}; to accept it: " + (
        f"safeload lock {escape(entry.id)} --upgrade"
    )


def _identity(entry: LockedModel, snapshot: Snapshot, asked: str | None) -> Iterator[Difference]:
    names = {entry.id.lower(), entry.answered.lower()}
    if entry.hub and snapshot.answered is not None and snapshot.answered.lower() not in names:
        yield Difference(
            kind="renamed",
            message=f"the hub answers for {escape(entry.id)} with {escape(snapshot.answered)}: no lock says so",
            remedy=f"find out whether the publisher renamed it; then: safeload lock {escape(entry.id)} --upgrade",
        )
    if not entry.hub or snapshot.revision is None or snapshot.revision == entry.revision:
        return
    if snapshot.revision in entry.superseded:
        yield _downgrade(entry, snapshot.revision)
    elif asked is not None and asked == entry.requested:
        yield Difference(
            kind="moved",
            message=f"{escape(asked)} is {snapshot.revision} now, and was {entry.revision} when it was locked",
            remedy=_relock(entry),
        )
    else:
        yield Difference(
            kind="revision",
            message=f"it is revision {snapshot.revision}, and locked is {entry.revision}",
            remedy=_relock(entry),
        )


def _downgrade(entry: LockedModel, what: str) -> Difference:
    return Difference(
        kind="downgrade",
        message=f"{what} is one that the lock has left behind, and locked is {entry.revision or entry.tree}",
        remedy=f"if you mean to go back: safeload lock {escape(entry.id)} --upgrade --downgrade",
    )


def _content(
    entry: LockedModel, snapshot: Snapshot, digests: Mapping[str, str], apart: frozenset[str], hides: bool
) -> Iterator[Difference]:
    locked = {file.path: file for file in entry.files}
    remedy = _relock(entry)
    for path in sorted({*snapshot.listing, *digests} - apart):
        file, listed = locked.get(path), snapshot.listing.get(path)
        if file is None:
            # What else a commit has is the publisher's, and this load does not read it; a directory is anybody's.
            known = hides or (snapshot.kind in ("hub", "cache") and snapshot.revision == entry.revision)
            if not known or path in digests:
                message = f"{escape(path)} is not in the lock"
                yield Difference(kind="extra", message=message, remedy=remedy, file=path)
        elif why := _changed(file, listed, digests.get(path)):
            yield Difference(kind="changed", message=f"{escape(path)}: {why}", remedy=remedy, file=path)
    if snapshot.kind in _KNOWS_ALL:
        for path in sorted(locked.keys() - snapshot.listing.keys()):
            message = f"{escape(path)} is in the lock, and not here"
            yield Difference(kind="missing", message=message, remedy=remedy, file=path)


def _changed(file: LockedFile, listed: Listed | None, digest: str | None) -> str:
    if digest is not None and digest != file.sha256:
        return f"its sha256 is {digest}, and locked is {file.sha256}"
    if listed is None or digest is not None:
        return ""
    if listed.size is not None and listed.size != file.size:
        return f"it has {listed.size:,} bytes, and locked are {file.size:,}"
    if listed.recorded is not None:
        known = file.sha256 if listed.recorded.algorithm == SHA256 else "" if file.lfs else file.git
        if known and listed.recorded.value != known:
            return f"its {listed.recorded.algorithm} is {listed.recorded.value}, and locked is {known}"
    return ""
