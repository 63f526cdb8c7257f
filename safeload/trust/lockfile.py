"""`safeload.lock`: which bytes a model consists of, and who signed them. Values, and how to read them; see `locktext`.

What is promised for every lock that `parse_lock` returns:

1. It is exactly what `dump` writes for it. One changed byte anywhere is an error: each entry carries a digest of
   itself. That finds damage and edits by hand; it is no signature. Who can write the file can write another one.
2. Each entry's `tree` is that of its files, and the git object id of each large file is that of its pointer.
3. Paths are relative, sorted, and each there once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from safeload.core.digest import tree_digest
from safeload.core.errors import MalformedInput
from safeload.core.evidence import VerifiedSignature
from safeload.core.names import escape
from safeload.trust.file_names import LOCK
from safeload.trust.tables import Table, read_toml, refuse

VERSION = 1
LARGEST = 64 << 20
"""Bytes of a lock that is read: some 250,000 files."""
_REMEDY = "take one side or remove it (git checkout --ours safeload.lock), then: safeload lock REF"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHA1 = re.compile(r"[0-9a-f]{40}")
_TREE = re.compile(r"h1:[A-Za-z0-9+/]{43}=")
_HUB = re.compile(r"https?://[\x21-\x7e]{1,200}")
_WORD = re.compile(r"[^\x00-\x1f\x7f]{1,1000}")
_ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedFile:
    """One file. `git` is git's object id (of the pointer, if `lfs`); `xet` and `blake3` may be unknown."""

    path: str
    size: int
    sha256: str
    git: str = ""
    lfs: bool = False
    xet: str = ""
    blake3: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedModel:
    """One model at one revision."""

    id: str
    """`org/name`, or the path of a directory: relative to the lock's own, or absolute."""
    files: tuple[LockedFile, ...]
    hub: str = ""
    """The hub's address; empty for a directory."""
    answered: str = ""
    """The name the hub answered with, where that is another one: a model that was renamed."""
    requested: str = ""
    revision: str = ""
    signatures: tuple[VerifiedSignature, ...] = ()
    converted_from: tuple[str, ...] = ()
    """For a conversion: where each of its inputs came from, as its provenance says."""
    superseded: tuple[str, ...] = ()
    """Trees and revisions that this entry stood for before: going back to one of them is a downgrade."""
    closure: str = ""
    """Digest of the code that the model needs, if somebody approved it."""
    entry: Mapping[str, str] = field(default_factory=dict)
    """Which class of that code is meant, by auto class."""

    @property
    def digests(self) -> dict[str, str]:
        return {file.path: file.sha256 for file in self.files}

    @property
    def tree(self) -> str:
        """The `h1:` digest that binds every name to its content."""
        return tree_digest(self.digests)


@dataclass(frozen=True, slots=True)
class Lock:
    """A whole lock file; `path` is where it lies."""

    models: tuple[LockedModel, ...] = ()
    path: str = LOCK

    def of(self, id: str) -> tuple[LockedModel, ...]:
        """Every entry of this id. The hub does not tell capitals from small letters, so neither does this."""
        return tuple(model for model in self.models if model.id == id or (model.hub and model.id.lower() == id.lower()))


def pointer_oid(sha256: str, size: int) -> str:
    """git's object id of the pointer that stands for a large file."""
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
    return hashlib.sha1(b"blob %d\0" % len(text) + text, usedforsecurity=False).hexdigest()


def parse_lock(data: bytes, *, file: str = LOCK) -> Lock:
    """Read a lock. Total: any bytes give a lock or the error.

    Raises:
        ConfigError: it is not one, with the place of what is wrong; it holds a merge conflict, was changed by hand,
            or a newer version wrote it.
    """
    from safeload.trust.locktext import dump

    table = read_toml(data, file=file, most=LARGEST, remedy=_REMEDY)
    version = table.number("version", least=1)
    if version > VERSION:
        table.refuse("version", f"a newer safeload wrote it: version {version}, and this one knows {VERSION}")
    models = []
    for item in table.tables("model"):
        models.append(_model(item))
    table.end()
    seen: set[tuple[bool, str, str]] = set()
    for index, model in enumerate(models):
        name = (bool(model.hub), model.id.lower() if model.hub else model.id, model.requested)
        if name in seen:  # as after a merge that kept both sides
            refuse(file, f"model[{index}].id", f"{escape(model.id)} is there twice", _REMEDY)
        seen.add(name)
    lock = Lock(tuple(models), file)
    if dump(lock) != data:
        refuse(file, "", "it is not as safeload writes it: it was changed by hand, or damaged", _REMEDY)
    return lock


def _model(table: Table) -> LockedModel:
    source = table.table("source") or table.refuse("source", "a table is missing")
    hub = source.pattern("hub", _HUB, "the address of a hub", "")
    answered = source.pattern("answered", _WORD, "a name", "") if hub else ""
    source.end()
    files = tuple(_file(row) for row in table.tables("files"))
    paths = [file.path for file in files]
    if paths != sorted(set(paths)):
        table.refuse("files", "they are not in order, or one is there twice")
    code = table.table("code")
    model = LockedModel(
        id=table.pattern("id", _WORD, "a name or path"),
        files=files,
        hub=hub,
        answered=answered,
        requested=table.pattern("requested", _WORD, "a revision", ""),
        revision=table.pattern("revision", _SHA1, "a commit of 40 digits", ... if hub else ""),
        signatures=tuple(_signature(item, frozenset(paths)) for item in table.tables("signature")),
        converted_from=table.texts("converted-from", ()),
        superseded=table.texts("superseded", ()),
        closure=code.pattern("closure", _TREE, "an `h1:` digest") if code else "",
        entry=_entry(code),
    )
    try:
        tree = model.tree
    except MalformedInput as error:
        table.refuse("files", error.why)
    if table.pattern("tree", _TREE, "an `h1:` digest") != tree:
        table.refuse("tree", "it is not that of the files below")
    table.pattern(
        "check", _SHA256, "64 hexadecimal digits"
    )  # that it is right, `parse_lock` sees when it writes all again
    table.end()
    return model


def _entry(code: Table | None) -> dict[str, str]:
    if code is None:
        return {}
    entry = code.table("entry")
    code.end()
    return {} if entry is None else {name: entry.text(name) for name in entry.names()}


def _file(row: Table) -> LockedFile:
    file = LockedFile(
        path=row.text("path"),
        size=row.number("size"),
        sha256=row.pattern("sha256", _SHA256, "64 hexadecimal digits"),
        git=row.pattern("git", _SHA1, "40 hexadecimal digits", ""),
        lfs=row.flag("lfs"),
        xet=row.pattern("xet", _SHA256, "64 hexadecimal digits", ""),
        blake3=row.pattern("blake3", _SHA256, "64 hexadecimal digits", ""),
    )
    row.end()
    if why := path_fault(file.path):
        row.refuse("path", why)
    if file.lfs and file.git != pointer_oid(file.sha256, file.size):
        row.refuse("git", "it is not that of the pointer to this sha256 and size")
    return file


def path_fault(path: str) -> str:
    """Why a path cannot stand in a lock, or nothing."""
    if any(part in ("", ".", "..") for part in path.split("/")):
        return f"{escape(path)!r} is no plain relative path"
    if len(path) > 4096 or any(ord(c) < 0x20 or ord(c) == 0x7F or 0xD800 <= ord(c) < 0xE000 for c in path):
        return f"{escape(path)!r} holds what no name in a lock may: control characters, or bytes that are no UTF-8"
    return ""


def _signature(table: Table, paths: frozenset[str]) -> VerifiedSignature:
    """What was verified when the model entered the lock; the lock vouches for it."""
    covers: Any = table.raw("covers")
    if covers != _ALL:
        covers = table.texts("covers")
        if list(covers) != sorted(covers) or not paths.issuperset(covers) or len(covers) == len(paths):
            table.refuse("covers", f'it is not "{_ALL}" and no sorted list of some of the files')
    signature = VerifiedSignature(
        signer=table.pattern("signer", _WORD, "a name"),
        identity=table.pattern("identity", _WORD, "what was verified"),
        covers=paths if covers == _ALL else frozenset(covers),
        method=table.choice("method", ("key", "certificate", "keyless")),
        fingerprints=frozenset(table.texts("fingerprints", ())),
        bundle=table.pattern("bundle", _WORD, "a path"),
        bundle_sha256=table.pattern("bundle-sha256", _SHA256, "64 hexadecimal digits"),
        root=table.pattern("root", _WORD, "a digest", ""),
        statement=table.pattern("statement", _WORD, "a predicate type", ""),
    )
    table.end()
    return signature
