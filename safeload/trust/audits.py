"""`audits.toml`: who read which code, and what they say of it. Values, and how to read them; `approvals` judges.

The model is cargo-vet's, with the digest of a code closure (`h1:…`) where that has a version.

1. Unknown and repeated keys, unknown criteria, and digests that contradict each other are errors, each with its place.
2. Nothing in it can approve what it does not name: digests, classes, imports and places that cannot be followed.
3. Records of others are read from a file that is pinned by its sha256. Their criteria mean nothing here until they are
   mapped, and no mapping makes more of them than they say; their violations count at once; their exemptions, publishers
   and imports do not.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from safeload.core.digest import sha256, tree_digest
from safeload.core.errors import ConfigError, MalformedInput
from safeload.core.names import escape
from safeload.trust.audit_records import Audit, Audits, Import, Publisher, Violation, statement, terms
from safeload.trust.auditors import likeness
from safeload.trust.criteria import NAME as CRITERION
from safeload.trust.criteria import Criteria
from safeload.trust.file_names import AUDITS
from safeload.trust.policy_file import Real, model_pattern, with_real
from safeload.trust.tables import Table, read_toml

SIGNATURES = ".sig"
"""Added to the name of the file: where signatures of its records lie."""
LARGEST = 16 << 20
REMEDY = "correct the file, then: safeload audit --check"
LONGEST_TRUST = timedelta(days=366)
_CLOSURE = re.compile(r"h1:[A-Za-z0-9+/]{43}=")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ORGANISATION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
Read = Callable[[str], bytes]
"""The bytes of a file that the records name; raises `ConfigError`."""


def parse_audits(
    data: bytes, *, file: str = AUDITS, folder: str = "", read: Read, real: Real = str, signatures: bytes = b""
) -> Audits:
    """Read a file of records. Total: any bytes give records or the error.

    Args:
        folder: the absolute directory that relative paths of models start from.
        read: gives the bytes of the files that it imports; `b""` for a missing file of signatures.
        real: gives a path without links; models are known by theirs.
        signatures: the bytes of the file of signatures.

    Raises:
        ConfigError: something in it cannot be used; with the place.
    """
    top = _top(data, file)
    criteria, descriptions = _criteria(top)
    audits = [*_audits(top, criteria, descriptions)]
    named_by = _Patterns(folder, real)
    violations = [_violation(table, named_by) for table in top.tables("violation")]
    publishers = tuple(_publisher(table, criteria, named_by) for table in top.tables("trusted"))
    bundles = [*signatures.splitlines()]
    imports: list[Import] = []
    named = top.table("imports")
    for name in named.names() if named else ():
        assert named is not None
        table = named.table(name)
        if table is None or not _ORGANISATION.fullmatch(name):
            named.refuse(name, "an import is a table with a plain name")
        one, theirs = _import(name, table, criteria, read, named_by)
        if twin := next((other.name for other in imports if other.sha256 == one.sha256), ""):
            named.refuse(name, f"it is the file that {escape(twin)} stands for already: one organisation is no two")
        imports.append(one)
        audits += _taken_over(theirs, one)
        violations += [replace(violation, origin=name) for violation in theirs.violations]
        bundles += theirs.signatures
    top.end()
    return Audits(
        file=file,
        criteria=criteria,
        descriptions=descriptions,
        audits=tuple(audits),
        violations=tuple(violations),
        publishers=publishers,
        imports=tuple(imports),
        signatures=tuple(dict.fromkeys(bundle for bundle in bundles if bundle.strip())),
    )


def _top(data: bytes, file: str) -> Table:
    top = read_toml(data, file=file, most=LARGEST, remedy=REMEDY)
    version = top.number("version", least=1)
    if version != 1:
        top.refuse("version", f"this safeload knows version 1, and not {version}")
    return top


def _criteria(top: Table) -> tuple[Criteria, dict[str, str]]:
    table, own, descriptions = top.table("criteria"), dict[str, tuple[str, ...]](), dict[str, str]()
    for name in table.names() if table else ():
        assert table is not None
        one = table.table(name)
        if one is None or not CRITERION.fullmatch(name) or name in Criteria():
            table.refuse(name, "one's own criteria are tables, with a name in small letters that is not built in")
        descriptions[name] = one.text("description")
        own[name] = one.texts("implies", ())
        one.end()
    found = Criteria(own)
    for name, implied in own.items():
        for other in implied:
            if other not in found:
                top.refuse(f"criteria.{name}.implies", f"there are no criteria {escape(other)!r}")
    return found, descriptions


def _named(table: Table, key: str, criteria: Criteria) -> frozenset[str]:
    names = table.texts(key)
    if not names:
        table.refuse(key, "it names none")
    for index, name in enumerate(names):
        if name not in criteria:
            table.refuse(f"{key}[{index}]", f"there are no criteria {escape(name)!r}: [criteria.{escape(name)}]")
    return frozenset(names)


def _audits(top: Table, criteria: Criteria, said: Mapping[str, str]) -> list[Audit]:
    return [
        *(_audit(table, criteria, said) for table in top.tables("audit")),
        *(_audit(table, criteria, said, delta=True) for table in top.tables("delta")),
        *(_audit(table, criteria, said, exempt=True) for table in top.tables("exemption")),
    ]


def _audit(
    table: Table, criteria: Criteria, said: Mapping[str, str], *, delta: bool = False, exempt: bool = False
) -> Audit:
    names = _named(table, "criteria", criteria)
    audit = Audit(
        base=_closure(table, "from") if delta else "",
        closure=_closure(table, "to" if delta else "closure"),
        who=table.text("who"),
        criteria=names,
        meant=criteria.implied(names),
        terms=terms(criteria.implied(names), said),
        entries=frozenset(table.texts("entries", ())),
        imports=frozenset(table.texts("imports", ())),
        unfollowed=frozenset(table.texts("unfollowed", ())),
        files=_files(table),
        day=table.day("date"),
        expires=table.day("expires"),
        model=table.text("model", ""),
        revision=table.text("revision", ""),
        note=table.text("note", ""),
        exempt=exempt,
        place=f"{table.file} » {table.path}",
    )
    if not likeness(audit.who):
        table.refuse("who", "it holds no letter that anybody could be known by")
    if delta and audit.base == audit.closure:
        table.refuse("to", "it is what it starts from")
    if exempt and audit.expires is None:
        table.refuse("expires", "an exemption needs its last day")
    if audit.files and _digest(table, audit.files) != audit.closure:
        table.refuse("files", f"they are not the code {audit.closure}")
    table.end()
    return replace(audit, seal=sha256(statement(audit)))


def _closure(table: Table, key: str, default: Any = ...) -> str:
    """A digest as we write it: one that is spelled in another way would match nothing, silently."""
    value: str = table.pattern(key, _CLOSURE, "the digest of code, h1:…", default)
    if value and not is_closure(value):
        table.refuse(key, "no digest is written like that: its last letter says more than there is")
    return value


def is_closure(text: str) -> bool:
    """Whether a text is the digest of code, as we write it."""
    digest = text.removeprefix("h1:")
    return _CLOSURE.fullmatch(text) is not None and b64encode(b64decode(digest)).decode() == digest


def _files(table: Table) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in table.tables("files"):
        name = item.text("name")
        if name in found:
            item.refuse("name", f"{escape(name)!r} is there twice")
        found[name] = item.pattern("sha256", _SHA256, "64 hexadecimal digits")
        item.end()
    return found


def _digest(table: Table, files: Mapping[str, str]) -> str:
    try:
        return tree_digest(files)
    except MalformedInput as error:
        return table.refuse("files", error.why)


@dataclass(frozen=True, slots=True)
class _Patterns:
    """Reads patterns of models, as those of policies."""

    folder: str
    real: Real

    def read(self, table: Table, key: str = "match") -> tuple[str, ...]:
        texts = table.texts(key)
        if not texts:
            table.refuse(key, "it matches nothing")
        read = (model_pattern(table, index, text, self.folder) for index, text in enumerate(texts))
        return tuple(dict.fromkeys(pattern for one in read for pattern in with_real(one, self.real)))


def _violation(table: Table, patterns: _Patterns) -> Violation:
    if sum(key in table for key in ("closure", "file-sha256", "match")) != 1:
        table.refuse("", "it needs one of closure, file-sha256, match")
    violation = Violation(
        closure=_closure(table, "closure", ""),
        file_sha256=table.pattern("file-sha256", _SHA256, "64 hexadecimal digits", ""),
        patterns=patterns.read(table) if "match" in table else (),
        who=table.text("who", ""),
        reason=table.text("reason", ""),
        place=f"{table.file} » {table.path}",
    )
    table.end()
    return violation


def _publisher(table: Table, criteria: Criteria, patterns: _Patterns) -> Publisher:
    start, end = table.day("start"), table.day("end")
    if start is None or end is None:
        table.refuse("start" if start is None else "end", "trust in a publisher needs its first and its last day")
    if not timedelta() <= end - start <= LONGEST_TRUST:
        table.refuse("end", "it must lie at most a year after start: renew it when you have looked again")
    publisher = Publisher(
        signer=table.text("signer"),
        patterns=patterns.read(table),
        criteria=_named(table, "criteria", criteria),
        imports=frozenset(table.texts("imports", ())),
        start=start,
        end=end,
        place=f"{table.file} » {table.path}",
    )
    table.end()
    return publisher


def _import(name: str, table: Table, criteria: Criteria, read: Read, patterns: _Patterns) -> tuple[Import, Audits]:
    file, digest = table.text("file"), table.pattern("sha256", _SHA256, "64 hexadecimal digits")
    mapped: dict[str, frozenset[str]] = {}
    mapping = table.table("criteria-map")
    for name_of_theirs in mapping.names() if mapping else ():
        assert mapping is not None
        mapped[name_of_theirs] = _named(mapping, name_of_theirs, criteria)
    table.end()
    try:
        data = read(file)
        signatures = read(file + SIGNATURES)
    except ConfigError as error:
        table.refuse("file", error.why)
    if sha256(data) != digest:
        table.refuse("sha256", f"the file's is {sha256(data)}: read what changed before you write that down")
    theirs = _of_others(data, file, signatures, patterns)
    if mapping is not None:
        _refuse_gain(mapping, mapped, theirs.criteria, criteria)
    return Import(name=name, file=file, sha256=digest, criteria_map=mapped), theirs


def _refuse_gain(mapping: Table, mapped: Mapping[str, frozenset[str]], theirs: Criteria, ours: Criteria) -> None:
    """A mapping translates. What they say in words that mean the same everywhere, it must not make more of.

    Criteria of their own that say nothing in such words are for us to judge.
    """
    for name, names in mapped.items():
        if name not in theirs:
            mapping.refuse(name, "they have no such criteria")
        said = theirs.built_in([name])
        if said and (more := ours.built_in(names) - said):
            strongest = max(more, key=lambda one: len(ours.built_in([one])))
            mapping.refuse(name, f"they say no more than {', '.join(sorted(said))}, and that is less than {strongest}")


def _of_others(data: bytes, file: str, signatures: bytes, patterns: _Patterns) -> Audits:
    """Another organisation's file, without what it imports itself, exempts or trusts: that is theirs to decide."""
    top = _top(data, file)
    criteria, descriptions = _criteria(top)
    audits = [audit for audit in _audits(top, criteria, descriptions) if not audit.exempt]
    violations = tuple(_violation(table, patterns) for table in top.tables("violation"))
    for key in ("imports", "trusted"):
        top.raw(key)
    top.end()
    return Audits(
        file=file,
        criteria=criteria,
        descriptions=descriptions,
        audits=tuple(audits),
        violations=violations,
        signatures=tuple(signatures.splitlines()),
    )


def _taken_over(theirs: Audits, by: Import) -> list[Audit]:
    """Their records with our criteria; what is not mapped is not taken over."""
    found: list[Audit] = []
    for audit in theirs.audits:
        held = theirs.criteria.implied(audit.criteria)
        ours = frozenset().union(*(by.criteria_map[name] for name in held if name in by.criteria_map))
        if ours:
            found.append(replace(audit, criteria=ours, origin=by.name))
    return found
