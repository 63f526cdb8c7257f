"""Records of who read which code, as values. `audits` reads and writes them, `approvals` judges by them."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from safeload.trust.criteria import Criteria
from safeload.trust.statement import Resource, Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Somebody read this code: all of it, what changed since `base`, or (`exempt`) none of it yet."""

    closure: str
    who: str
    criteria: frozenset[str]
    meant: frozenset[str] = frozenset()
    """What they imply in the file that they were written in. A signature is over these as well: whoever changes what
    criteria mean does not change what was signed."""
    base: str = ""
    """Of a delta: the closure that it starts from."""
    entries: frozenset[str] = frozenset()
    """The classes and files that may be asked for, such as `modeling_x.XModel`."""
    imports: frozenset[str] = frozenset()
    """The installed packages that the code may import."""
    unfollowed: frozenset[str] = frozenset()
    """Each place that cannot be followed by reading and was looked at, as `file.py:12`."""
    files: Mapping[str, str] = field(default_factory=dict)
    """sha256 by name, of every file of the closure: for people, and to tell what changed."""
    day: date | None = None
    expires: date | None = None
    model: str = ""
    revision: str = ""
    note: str = ""
    exempt: bool = False
    place: str = ""
    """Where the record stands, for messages: `audits.toml » audit[0]`."""
    origin: str = ""
    """The organisation it was imported from."""
    seal: str = ""
    """sha256 of the statement that says the same: what a signature over the record is a signature of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """Code, a file, or all code of some models, that must not run, whatever else speaks for it."""

    closure: str = ""
    file_sha256: str = ""
    patterns: tuple[str, ...] = ()
    who: str = ""
    reason: str = ""
    place: str = ""
    origin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """Whatever this signer signed counts as audited, for some models and a while."""

    signer: str
    patterns: tuple[str, ...]
    criteria: frozenset[str]
    imports: frozenset[str]
    start: date
    end: date
    place: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """Audits of another organisation."""

    name: str
    file: str
    sha256: str
    criteria_map: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Audits:
    """The records of one file, and those that it imports."""

    file: str = "audits.toml"
    criteria: Criteria = field(default_factory=Criteria)
    descriptions: Mapping[str, str] = field(default_factory=dict)
    audits: tuple[Audit, ...] = ()
    """Full audits, deltas and exemptions; imported ones included."""
    violations: tuple[Violation, ...] = ()
    publishers: tuple[Publisher, ...] = ()
    imports: tuple[Import, ...] = ()
    signatures: tuple[bytes, ...] = ()
    """Bundles over single records: nothing is known of them yet."""

    @property
    def own(self) -> tuple[Audit, ...]:
        """The audits that stand in this very file."""
        return tuple(audit for audit in self.audits if not audit.origin)


PREDICATE = "https://safeload.dev/audit/v1"
"""The predicate type of a signed record."""


def kind(audit: Audit) -> str:
    """What its table in the file is called."""
    return "delta" if audit.base else "exemption" if audit.exempt else "audit"


def statement(audit: Audit) -> bytes:
    """The in-toto statement that says what a record says: what its auditor signs. Equal records give equal bytes."""
    predicate = {
        "kind": kind(audit),
        "from": audit.base,
        "closure": audit.closure,
        "who": audit.who,
        "criteria": sorted(audit.criteria),
        "means": sorted(audit.meant),
        "entries": sorted(audit.entries),
        "imports": sorted(audit.imports),
        "unfollowed": sorted(audit.unfollowed),
        "date": audit.day.isoformat() if audit.day else "",
        "expires": audit.expires.isoformat() if audit.expires else "",
        "model": audit.model,
        "revision": audit.revision,
        "note": audit.note,
    }
    digest = b64decode(audit.closure.removeprefix("h1:")).hex()
    subject = Resource(name="code", sha256=digest)
    return Statement(subjects=(subject,), predicate_type=PREDICATE, predicate=predicate).dump()
