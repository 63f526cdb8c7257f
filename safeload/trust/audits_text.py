"""Writing `audits.toml`: equal records give equal bytes, and each file of a closure is a line, so that a diff can be
read. A file that is there already is edited instead, see `audits_edit`: people write comments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeload.trust.audit_records import Audit, Audits, Import, Publisher, Violation, kind
from safeload.trust.locktext import quoted

KINDS = ("audit", "delta", "exemption")
HEAD = "# Who read which code of models, and what they say of it: docs/approving.md\n"


def dump(records: Audits) -> bytes:
    """The bytes of a file of records, without what it imports from other files."""
    parts = [
        HEAD,
        "version = 1\n",
        *(_criteria(records, name) for name in sorted(records.criteria.own)),
        *(_import(one) for one in sorted(records.imports, key=lambda one: one.name)),
        *(violation_text(one) for one in records.violations if not one.origin),
        *map(_publisher, records.publishers),
        *(audit_text(audit) for name in KINDS for audit in records.own if kind(audit) == name),
    ]
    return "".join(parts).encode()


def audit_text(audit: Audit) -> str:
    """One record."""
    delta = bool(audit.base)
    lines = [f"\n[[{kind(audit)}]]\n"]
    lines += [*_line("from", audit.base), *_line("to" if delta else "closure", audit.closure)]
    lines += [*_line("who", audit.who), *_list("criteria", audit.criteria)]
    lines += [f"date = {audit.day}\n"] if audit.day else []
    lines += [f"expires = {audit.expires}\n"] if audit.expires else []
    lines += [*_line("model", audit.model), *_line("revision", audit.revision), *_line("note", audit.note)]
    for key, values in (("entries", audit.entries), ("imports", audit.imports), ("unfollowed", audit.unfollowed)):
        lines += _list(key, values)
    if audit.files:
        lines.append("files = [\n")
        files = sorted(audit.files.items())
        lines += [f'  {{ name = {quoted(name)}, sha256 = "{digest}" }},\n' for name, digest in files]
        lines.append("]\n")
    return "".join(lines)


def _criteria(records: Audits, name: str) -> str:
    lines = [*_line("description", records.descriptions[name]), *_list("implies", records.criteria.own[name])]
    return "".join([f"\n[criteria.{name}]\n", *lines])


def _import(one: Import) -> str:
    mapped = ", ".join(f"{quoted(key)} = [{_items(names)}]" for key, names in sorted(one.criteria_map.items()))
    lines = [*_line("file", one.file), *_line("sha256", one.sha256)]
    return "".join([f"\n[imports.{quoted(one.name)}]\n", *lines, f"criteria-map = {{ {mapped} }}\n" if mapped else ""])


def violation_text(one: Violation) -> str:
    """One violation."""
    lines = [*_line("closure", one.closure), *_line("file-sha256", one.file_sha256)]
    lines += [f"match = [{', '.join(map(quoted, one.patterns))}]\n"] if one.patterns else []
    return "".join(["\n[[violation]]\n", *lines, *_line("who", one.who), *_line("reason", one.reason)])


def _publisher(one: Publisher) -> str:
    lines = ["\n[[trusted]]\n", *_line("signer", one.signer), f"match = [{', '.join(map(quoted, one.patterns))}]\n"]
    lines += [*_list("criteria", one.criteria), *_list("imports", one.imports)]
    return "".join([*lines, f"start = {one.start}\nend = {one.end}\n"])


def _line(key: str, value: str) -> Iterator[str]:
    if value:
        yield f"{key} = {quoted(value)}\n"


def _list(key: str, values: Iterable[str]) -> Iterator[str]:
    if items := _items(values):
        yield f"{key} = [{items}]\n"


def _items(values: Iterable[str]) -> str:
    return ", ".join(map(quoted, sorted(values)))
