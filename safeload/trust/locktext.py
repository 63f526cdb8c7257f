"""Writing `safeload.lock`: equal locks give equal bytes, and one file is one line, so that a diff can be read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from safeload.core.digest import sha256
from safeload.core.evidence import VerifiedSignature
from safeload.trust.lockfile import VERSION, Lock, LockedFile, LockedModel

_HEAD = "# Written by `safeload lock`. Do not edit; after a merge conflict, take one side and lock again.\n"


def dump(lock: Lock) -> bytes:
    """The bytes of a lock file. No timestamps, nothing of this machine."""
    models = sorted(lock.models, key=lambda model: (model.id, model.requested))
    return "".join([_HEAD, f"version = {VERSION}\n", *map(_entry, models)]).encode()


def quoted(text: str) -> str:
    """A TOML basic string: what JSON writes for ASCII is one, but for the characters beyond 16 bits."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _entry(model: LockedModel) -> str:
    body = "".join(_lines(model))
    return f"\n[[model]]\ncheck = {quoted(sha256(body.encode()))}\n{body}"


def _lines(model: LockedModel) -> Iterator[str]:
    yield _line("id", model.id)
    source = [f"hub = {quoted(model.hub)}"] if model.hub else []
    source += [f"answered = {quoted(model.answered)}"] if model.answered else []
    yield f"source = {{ {', '.join(source)} }}\n" if source else "source = {}\n"
    for key, value in (("requested", model.requested), ("revision", model.revision), ("tree", model.tree)):
        yield _line(key, value)
    yield _list("converted-from", model.converted_from)
    yield _list("superseded", model.superseded)
    yield "files = [\n"
    yield from (f"  {{ {', '.join(_row(file))} }},\n" for file in model.files)
    yield "]\n"
    for signature in model.signatures:
        yield from _signature(signature, {file.path for file in model.files})
    if model.closure:
        entry = ", ".join(f"{quoted(name)} = {quoted(value)}" for name, value in sorted(model.entry.items()))
        yield f"[model.code]\n{_line('closure', model.closure)}"
        yield f"entry = {{ {entry} }}\n" if entry else ""


def _line(key: str, value: str) -> str:
    return f"{key} = {quoted(value)}\n" if value else ""


def _list(key: str, values: Iterable[str]) -> str:
    items = ", ".join(map(quoted, values))
    return f"{key} = [{items}]\n" if items else ""


def _row(file: LockedFile) -> Iterator[str]:
    yield f"path = {quoted(file.path)}"
    yield f"size = {file.size}"
    yield f'sha256 = "{file.sha256}"'
    if file.git:
        yield f'git = "{file.git}"'
    if file.lfs:
        yield "lfs = true"
    if file.xet:
        yield f'xet = "{file.xet}"'
    if file.blake3:
        yield f'blake3 = "{file.blake3}"'


def _signature(signature: VerifiedSignature, paths: set[str]) -> Iterator[str]:
    yield "[[model.signature]]\n"
    yield _line("bundle", signature.bundle)
    yield _line("bundle-sha256", signature.bundle_sha256)
    yield _line("signer", signature.signer)
    yield _line("method", signature.method)
    yield _line("identity", signature.identity)
    yield _list("fingerprints", sorted(signature.fingerprints))
    yield _line("root", signature.root)
    yield _line("statement", signature.statement)
    covers = sorted(signature.covers & paths)
    yield 'covers = "all"\n' if len(covers) == len(paths) else _list("covers", covers)
