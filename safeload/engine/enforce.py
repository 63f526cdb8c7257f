"""What locks and policy files say of one model: found, compared with what is there, and made into evidence.

1. Policy files and locks are found, read, and refused if they lie in the model itself: what is to be judged must not
   bring its own judge, nor its own lock.
2. A model on the hub that is named without a revision is the one that its lock names.
3. The rule of each layer is chosen by the model's name after resolution. A hub that answers with another name than
   was asked for is refused, unless a lock names it, wherever there is a policy file or a lock names the model.
4. Digests are compared with the lock; signatures are verified where a layer wants them now, or no lock vouches.
5. The verdict is that of the caller's policy (the default, if none), of every layer, and of all that differs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from safeload.core.errors import ConfigError
from safeload.core.evidence import Difference, Evidence, LockMatch, VerifiedSignature
from safeload.core.names import Location, escape
from safeload.core.policy import DEFAULT_POLICY, AllOf, NothingDiffers, Policy, Verdict
from safeload.engine.held import Held
from safeload.engine.identity import by_link, entry_for, targets
from safeload.engine.options import Integrity, Options
from safeload.engine.restricted import Restricted
from safeload.sources.base import Snapshot
from safeload.sources.hfcache import in_cache
from safeload.trust import layers
from safeload.trust.signature_store import bundles_in

if TYPE_CHECKING:  # where no file says anything, nothing is needed that knows what files may say
    from safeload.trust.lockfile import Lock, LockedModel
    from safeload.trust.policy_file import PolicyFile
    from safeload.trust.rules import Applied

INTEGRITIES: tuple[Integrity, ...] = ("auto", "pinned", "private")
"""From the least to the most."""
Digester = Callable[[], Mapping[str, str]]
"""Gives the sha256 of every file of the snapshot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Everything that was found out about a model beside its files."""

    lock: LockMatch | None = None
    signatures: tuple[VerifiedSignature, ...] = ()
    differences: tuple[Difference, ...] = ()
    marks: frozenset[str] = frozenset()
    failures: tuple[str, ...] = ()

    def into(self, evidence: Evidence) -> Evidence:
        if self is NOTHING:
            return evidence
        return replace(
            evidence,
            lock=self.lock,
            signatures=self.signatures,
            differences=self.differences,
            marks=self.marks,
            failures=self.failures,
        )


NOTHING = Found()
"""What is found where neither a policy file nor a lock has anything to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """The policy files and locks that are about one model."""

    options: Options
    snapshot: Snapshot
    asked: str | None
    now: datetime
    applied: tuple[Applied, ...]
    entries: tuple[tuple[Lock, LockedModel | None], ...]

    @property
    def is_silent(self) -> bool:
        """Whether neither a policy file nor a lock has anything to say."""
        if not self.entries:
            return not self.applied
        return not self.applied and all(entry is None for _, entry in self.entries) and not any(self._shadowed())

    @property
    def judges_findings_alone(self) -> bool:
        """Whether the verdict cannot depend on digests, so that a denial need not wait for them."""
        policy = self.options.policy
        return self.is_silent and type(policy) is AllOf and policy == DEFAULT_POLICY

    @property
    def hides(self) -> bool:
        """Whether files that no lock names are to be as if they were not there."""
        wanted = any(one.settings.extra_files == "hide" for one in self.applied)
        return wanted and any(entry is not None for _, entry in self.entries)

    @property
    def integrity(self) -> Integrity:
        """The strictest that anybody asks for."""
        asked = [self.options.integrity, *(one.settings.integrity for one in self.applied)]
        return max(asked, key=lambda word: INTEGRITIES.index(word))  # type: ignore[arg-type]

    @property
    def capabilities(self) -> frozenset[str] | None:
        """What approved code may do while it loads: what every layer lists that lists any; `None` if none does."""
        listed = [one.policy.capabilities for one in self.applied if one.policy.capabilities is not None]
        return frozenset.intersection(*listed) if listed else None

    @property
    def policy(self) -> Policy:
        own = self.options.policy if isinstance(self.options.policy, AllOf | Policy) else DEFAULT_POLICY
        if self.is_silent:
            return own
        from safeload.trust import rules

        return AllOf((own, NothingDiffers(), *(rules.decision(one, self.now.date()) for one in self.applied)))

    def restricted(self) -> Snapshot:
        """The snapshot, without what is hidden."""
        if not self.hides:
            return self.snapshot
        named = [{file.path for file in entry.files} for _, entry in self.entries if entry is not None]
        keep = set.intersection(*named) | bundles_of(self.snapshot)
        return Restricted(self.snapshot, {p: one for p, one in self.snapshot.listing.items() if p in keep})

    def find(self, digests: Mapping[str, str], everything: Digester, held: Held) -> Found:
        """Compare, verify, and collect. `digests` are those of the files that the load uses.

        Raises:
            SourceError: a signature cannot be fetched or read.
            UsageError: a signer needs a library that is not installed.
        """
        if self.is_silent:
            return NOTHING
        apart = bundles_of(self.snapshot)
        whole = _Tree(everything, apart)
        differing = [*self._renamed(), *self._unlike_the_lock(digests, whole.digest)]
        match = self._match(differing)
        found = Found(lock=match, differences=tuple(dict.fromkeys(differing)))
        if self._wants_signatures(match):
            from safeload.engine.enforce_signatures import verify_live

            found = verify_live(self, found, digests, apart, held)
        return replace(found, marks=frozenset(self._marks(found, digests, whole)))

    def completed(self, found: Found, digests: Mapping[str, str], tree: str) -> Found:
        """What `find` would find, for a model whose every digest and signature is known."""
        differing = [*found.differences, *self._renamed(), *self._unlike_the_lock(digests, lambda: tree)]
        found = replace(found, differences=tuple(dict.fromkeys(differing)))
        found = replace(found, lock=self._match(found.differences))
        return replace(found, marks=self.marks(found, digests))

    def _unlike_the_lock(self, digests: Mapping[str, str], tree: Callable[[], str]) -> Iterator[Difference]:
        """What is not as the locks say."""
        from safeload.engine.lockcheck import differences

        apart = bundles_of(self.snapshot)
        for _, entry in self.entries:
            if entry is not None:
                yield from differences(
                    entry,
                    self.snapshot,
                    digests,
                    asked=self.asked,
                    apart=apart,
                    hides=self.hides,
                    whole_tree=tree,
                )

    def _match(self, differing: Sequence[Difference]) -> LockMatch | None:
        """The lock that the model is in, if it is in each lock that counts, and nothing differs."""
        if not self.entries or differing or any(entry is None for _, entry in self.entries):
            return None
        lock, first = self.entries[0]
        assert first is not None
        return LockMatch(lock=lock.path, tree=first.tree, signatures=first.signatures)

    def marks(self, found: Found, digests: Mapping[str, str]) -> frozenset[str]:
        """All that a revocation may name, of a model whose every digest is known."""
        return frozenset(self._marks(found, digests, _Tree(lambda: digests, frozenset())))

    def _shadowed(self) -> Iterator[Difference]:
        """A path that stands before the model on the hub that a lock names."""
        if not self.entries or self.snapshot.kind not in ("directory", "file"):
            return
        from safeload.sources.hub import is_hub_id

        reference = self.snapshot.reference
        if is_hub_id(reference):
            for lock, entry in self.entries:
                if entry is None and any(model.hub for model in lock.of(reference)):
                    yield Difference(
                        kind="shadowed",
                        message=f"{escape(reference)} is a path here, and the lock names a model on the hub",
                        remedy=f"hf://{escape(reference)} for that one, ./{escape(reference)} for the path",
                    )

    def _renamed(self) -> Iterator[Difference]:
        """A name that leads elsewhere: what has no lock entry to say that it is known."""
        yield from self._shadowed()
        answered = self.snapshot.answered
        if answered is not None and not any(entry is not None for _, entry in self.entries):
            yield Difference(
                kind="renamed",
                message=f"the hub answers for {escape(self.snapshot.root)} with {escape(answered)}: it was renamed, "
                "or somebody else has its name",
                remedy=f"if you mean that one: name it, or safeload lock {escape(self.snapshot.root)}",
            )

    def _wants_signatures(self, match: LockMatch | None) -> bool:
        if match is not None:
            return any(self._needs_live(one, match) for one in self.applied)
        return any(one.policy.signers for one in self.applied)

    def _needs_live(self, applied: Applied, match: LockMatch) -> bool:
        """Whether what the lock recorded is not enough for this layer."""
        from safeload.trust import rules

        need = applied.settings.require
        names = {rules.qualified(applied.policy, name) for name in need.of}
        recorded = {one.signer for one in match.signatures} & names
        return bool(need.of) and (not applied.from_lock or len(recorded) < need.threshold)

    def _marks(self, found: Found, digests: Mapping[str, str], whole: _Tree) -> Iterator[str]:
        """All that a revocation may name."""
        signatures = list(found.signatures)
        for lock, entry in self.entries:
            if entry is not None:
                signatures += entry.signatures
                yield f"tree:{entry.tree}"
                yield from (f"tree:{whole_one.tree}" for whole_one in lock.of(entry.id) if whole_one.id == entry.id)
                yield from (f"file-sha256:{file.sha256}" for file in entry.files)
        yield from (f"file-sha256:{digest}" for digest in digests.values())
        for signature in signatures:
            yield f"signer:{signature.signer}"
            yield f"signer:{signature.signer.rpartition(':')[2]}"
            for fingerprint in signature.fingerprints | _digests_in(signature.identity):
                yield f"key:{fingerprint}"
                yield f"cert-sha256:{fingerprint}"
        revoked = {mark.partition(":")[0] for one in self.applied for mark, _ in _revoked(one, self.now)}
        if "tree" in revoked and self.snapshot.kind == "directory":
            yield f"tree:{whole.digest()}"


def _revoked(applied: Applied, now: datetime) -> tuple[tuple[str, str], ...]:
    from safeload.trust import rules

    return rules.revocations(applied.policy, now.date()).revoked


def _digests_in(identity: str) -> frozenset[str]:
    """The digest of `key:<sha256>` or `cert:<sha256> <subject>`."""
    kind, _, rest = identity.partition(":")
    return frozenset({rest[:64]}) if kind in ("key", "cert") else frozenset()


class _Tree:
    """The `h1:` digest of everything that is there, made once and only if somebody asks."""

    def __init__(self, everything: Digester, apart: frozenset[str]) -> None:
        self._everything, self._apart, self._digest = everything, apart, ""

    def digest(self) -> str:
        if not self._digest:
            from safeload.core.digest import tree_digest

            found = self._everything()
            self._digest = tree_digest({path: one for path, one in found.items() if path not in self._apart})
        return self._digest


def bundles_of(snapshot: Snapshot) -> frozenset[str]:
    """The files of a snapshot that are signatures, and no part of what is signed or locked."""
    return frozenset(bundles_in(snapshot.listing))


def guard_for(
    snapshot: Snapshot, options: Options, *, asked: str | None, now: datetime | None = None, locked: bool = True
) -> Guard:
    """Find what policy files and locks say of a model.

    Args:
        asked: the revision in the caller's words; `None` if none was named.
        now: the time that counts for rules, keys and certificates.
        locked: whether locks count; they do not where one is being made.

    Raises:
        ConfigError: a policy file or lock cannot be read or used, or lies in the model.
    """
    own = None if isinstance(options.policy, AllOf | Policy) else os.fspath(options.policy)
    roots: dict[str, bool] = {}
    files = layers.policies(own, formats=format_names, roots=roots)
    locks = layers.locks(None if options.lock is None else os.fspath(options.lock), roots=roots) if locked else ()
    for path in [file.file for file in files if file.layer == "project"] + [lock.path for lock in locks]:
        refuse_within(snapshot, path)
    names = targets(snapshot) if files else ()
    return Guard(
        options=options,
        snapshot=snapshot,
        asked=asked,
        now=now or datetime.now(UTC),
        applied=tuple(_applied(files, names, by_link(snapshot) if files else ())),
        entries=tuple((lock, entry_for(lock, snapshot, asked)) for lock in locks),
    )


def _applied(files: Sequence[PolicyFile], names: Sequence[tuple[str, ...]], link: tuple[str, ...]) -> Iterator[Applied]:
    """What each file says of each name of the model, and of a link that leads to it; the same rule once."""
    if not files:
        return
    from safeload.trust import rules

    for file in files:
        seen: list[object] = []
        asked = [rules.apply(file, group) for group in names]
        by_its_link = [one for one in (rules.apply(file, link),) if one.rule is not None] if link else []
        for one in (*asked, *by_its_link):
            if one.rule not in seen:
                seen.append(one.rule)
                yield one


def format_names() -> list[str]:
    """Every format that a policy may name."""
    from safeload.formats import formats

    return [format.name for format in formats()]


def refuse_within(snapshot: Snapshot, path: str) -> None:
    """Raise `ConfigError` if a policy or lock lies in the model that it would be about, or in the hub's cache."""
    real = os.path.realpath(path)
    inside = snapshot.kind == "directory" and real.startswith(snapshot.root.rstrip("/") + "/")
    if inside or in_cache(real):
        raise ConfigError(
            f"{escape(snapshot.reference)} was not loaded",
            where=Location(path),
            why="this file lies in a model's own directory, and a model has no say in how it is judged",
            remedy="if it is yours, move it out of the model; else load from another working directory",
        )


def warnings(verdict: Verdict) -> tuple[str, ...]:
    """What rules that only warn had against the model."""
    found: list[str] = []
    pending = [verdict]
    while pending:
        one = pending.pop()
        if one.policy == "warn":
            found += [f"policy warning: {reason.message}; {reason.remedy}" for reason in one.reasons]
        pending += one.parts
    return tuple(dict.fromkeys(found))
