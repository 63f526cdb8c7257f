"""An index names files of weights that were not part of what was scanned."""

from __future__ import annotations

import posixpath
from collections.abc import Container, Iterable, Iterator
from typing import TypeGuard

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.core.names import escape
from safeload.formats.base import Member, Part, Reference
from safeload.rules import samples
from safeload.rules.base import Context, Rule
from safeload.rules.reference_escapes import leads_outside

_MOST = 20
_BETWEEN = " \u00bb "
"""What stands between the names of archives within each other, in `Location.member`."""


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if not _is_shard(part) or context.memo.setdefault(id(rule), part) is not part:
        return  # all indexes of a file are looked at with the first thing that one of them names
    members: dict[str, set[str]] = {}
    indexes: dict[str | None, list[Reference]] = {}
    for one in context.parts:
        if isinstance(one, Member) and one.location.member is not None:
            members.setdefault(one.location.member.rpartition(_BETWEEN)[0], set()).add(one.name)
        elif _is_shard(one):
            indexes.setdefault(one.location.member, []).append(one)
    for member, shards in indexes.items():
        if member is not None:  # in an archive the shards are in it as well
            archive, _, name = member.rpartition(_BETWEEN)
            yield from _index(rule, shards, name, members.get(archive, set()), ())
        elif context.scanned is not None:
            yield from _index(rule, shards, part.location.file, context.scanned, context.beside)


def _index(
    rule: Rule, shards: list[Reference], name: str, scanned: Container[str], beside: Container[str]
) -> Iterator[Finding]:
    """What there is to say of one index, which is called `name`."""
    folder, where = posixpath.dirname(name), shards[0].location
    unread = [
        (target, path)
        for target in dict.fromkeys(shard.target for shard in shards)
        if not leads_outside(target) and (path := posixpath.normpath(posixpath.join(folder, target))) not in scanned
    ]
    absent = [target for target, path in unread if path not in beside]
    present = [target for target, path in unread if path in beside]
    if absent:
        message = f"names {_counted(absent)} that {'is' if len(absent) == 1 else 'are'} not there, so nobody read what"
        yield rule.finding(where, f"{message} a loader would fetch: {_listed(absent)}")
    if present:
        message = f"names {_counted(present)} beside it, of which this scan says nothing: {_listed(present)}"
        remedy = "scan the folder that it is in"
        yield rule.finding(where, message, status=Status.SAFE, severity=Severity.NOTE, remedy=remedy)


def _is_shard(part: Part) -> TypeGuard[Reference]:
    return isinstance(part, Reference) and part.kind == "shard"


def _counted(names: list[str]) -> str:
    return f"{len(names):,} file{'' if len(names) == 1 else 's'} of weights"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MOST:,} more" if len(names) > _MOST else ""
    return ", ".join(escape(name, 120) for name in names[:_MOST]) + more


def _bad() -> Iterable[Part]:
    yield samples.reference("shard", "model-00002-of-00002.safetensors", "model.safetensors.index.json", "weight_map")


def _good() -> Iterable[Part]:
    yield samples.reference("shard", "example.safetensors", "model.safetensors.index.json", "weight_map")


RULE = Rule(
    id="shard-unread",
    title="an index names weights that were not read",
    why=(
        "The index of a sharded model is plain data, and what it names is what is loaded: an index without its shards "
        "says nothing of the model, and loaders fetch the missing ones from elsewhere. Each name is compared with what "
        "was scanned; in an archive, with its members. Where only the index was scanned and the shards lie beside it, "
        "that is a note."
    ),
    status=Status.UNDECIDED,
    severity=Severity.LOW,
    confidence=Confidence.CERTAIN,
    remedy="put the missing files beside it, and scan the folder",
    taxonomy=("CWE-829",),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Reference,),
)
