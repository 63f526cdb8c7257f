"""Which record is about the code that is most like the code at hand: the least there is to read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from safeload.trust.audit_records import Audit


def nearest(files: Mapping[str, str], audits: Iterable[Audit], sizes: Mapping[str, int] | None = None) -> Audit | None:
    """The record whose code leaves the least to read. `None` if none has a file of this name.

    Args:
        files: sha256 by name, of the code at hand.
        sizes: how long each of them is; without, each counts the same.
    """
    alike = [audit for audit in audits if audit.files.keys() & files.keys()]

    def effort(audit: Audit) -> tuple[int, int, str, str]:
        changed = differing(files, audit.files)
        size = sum((sizes or {}).get(name, 1 if name in files else 0) for name in changed)
        return size, len(changed), audit.closure, audit.who

    return min(alike, key=effort, default=None)


def differing(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """The names of the files that differ."""
    return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
