"""Which files a signed statement is about, and their digests.

Read: the predicate of OpenSSF Model Signing (OMS) v1.0 in every form that past releases of its reference tool wrote,
and SLSA provenance, whose subjects are files. Written: OMS v1.0 with one sha256 for each file.

Rules, each of which some verifier once missed:

1. A statement names at least one file, each once, and each by a path inside the model.
2. Every digest has the length of its algorithm, and the algorithm is one of three that nobody can forge.
3. The subject's digest is that of the digests listed. It does not bind names: the list does, and all of it is signed.
4. The pieces of a file follow each other without gap or overlap from its first byte on; `sizes` says where they end.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.names import Location, escape
from safeload.core.paths import safe_relative
from safeload.trust.fields import Field, read_json
from safeload.trust.statement import PROVENANCE, STATEMENT, Resource

MODEL_SIGNING = "https://model_signing/signature/v1.0"
_BEFORE = "https://model_signing/Digests/v0.1"
LENGTHS = {"sha256": 64, "blake2b": 128, "blake3": 64}
"""How many hexadecimal digits each algorithm has."""
MOST_FILES = 1_000_000
LONGEST_PATH = 4096
_HEX = re.compile(r"(?:[0-9a-f]{2})+\Z")
_PIECE = re.compile(r"(.+):(0|[1-9][0-9]{0,15}):([1-9][0-9]{0,15})\Z", re.DOTALL)
NEVER_SIGNED = (".git", ".gitattributes", ".github", ".gitignore")
"""What Model Signing leaves out at the top of a model."""
WHOLE = "."
"""The name that early releases gave the one file of a model that is a single file."""


class Piece(NamedTuple):
    """Bytes of one file, to be digested: all of it, or `[start, end)`."""

    path: str
    algorithm: str = "sha256"
    start: int = 0
    end: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a statement says: the digest of each piece."""

    predicate_type: str
    name: str
    """What the signer called the model: the directory it lay in. For people."""
    root: str
    """`sha256:…` over all digests, in order. It does not bind names."""
    digests: Mapping[Piece, str]
    ignored: frozenset[str] = frozenset()
    """Paths that the signer left out, with all beneath them."""
    complete: bool = True
    """Whether the statement is about the whole model, so that a file that it does not name is a wrong one."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Where files end, if they are listed in pieces."""
    inputs: tuple[Resource, ...] = ()
    """What the files were made from, if the statement says so."""
    builder: str = ""

    @property
    def paths(self) -> frozenset[str]:
        return frozenset(piece.path for piece in self.digests)


def read_manifest(payload: bytes, where: Location) -> Manifest:
    """Read the statement of a verified envelope. Raises `MalformedInput` with the place, also for other statements."""
    top = Field(read_json(payload, where), where)
    if top.get("_type").text() != STATEMENT:
        raise top.get("_type").wrong("it is not an in-toto statement of version 1")
    kind = top.get("predicateType").text()
    if kind == MODEL_SIGNING:
        return _model_signing(top)
    if kind == PROVENANCE:
        return _provenance(top)
    old = "; releases before 0.3 signed it in a form that nobody verifies any more" if kind == _BEFORE else ""
    raise top.get("predicateType").wrong(f"{escape(kind)!r} is neither a signature of a model nor provenance{old}")


def _model_signing(top: Field) -> Manifest:
    subjects = top.get("subject").items()
    if len(subjects) != 1:
        raise top.get("subject").wrong("it must hold one subject")
    predicate = top.get("predicate")
    form = predicate.get("serialization")
    method, algorithm = form.get("method").text(), form.get("hash_type").text()
    if method not in ("files", "shards"):
        raise form.get("method").wrong(f"{escape(method)!r} is no method that we know")
    if algorithm not in LENGTHS:
        raise form.get("hash_type").wrong(f"{escape(algorithm)!r} is no algorithm that we accept")
    digests: dict[Piece, str] = {}
    sizes: dict[str, int] = {}
    hasher = hashlib.sha256()
    for item in _listed(predicate.get("resources")):
        piece = _piece(item, method, algorithm, sizes)
        if piece in digests or (piece.end is None and piece.path in sizes):
            raise item.wrong(f"{escape(piece.path)!r} is named twice")
        digests[piece] = _digest(item.get("digest"), algorithm)
        hasher.update(bytes.fromhex(digests[piece]))
    root = subjects[0].get("digest").get("sha256")
    if root.text() != hasher.hexdigest():
        raise root.wrong("it is not the digest of what is listed")
    _no_file_in_a_file(digests, predicate.get("resources"))
    ignored = form.get("ignore_paths").items() if form.has("ignore_paths") else []
    return Manifest(
        predicate_type=MODEL_SIGNING,
        name=subjects[0].get("name").text() if subjects[0].has("name") else "",
        root=f"sha256:{root.text()}",
        digests=digests,
        ignored=frozenset(path.text() for path in ignored),
        sizes=sizes,
    )


def _listed(items: Field) -> list[Field]:
    found = items.items()
    if not found:
        raise items.wrong("it names no file, so it would be true of any model")
    if len(found) > MOST_FILES:
        raise LimitExceeded("members", allowed=MOST_FILES, wanted=len(found), where=items.where)
    return found


def _piece(item: Field, method: str, algorithm: str, sizes: dict[str, int]) -> Piece:
    name = item.get("name").text()
    declared = item.get("algorithm").text()
    if declared != algorithm and not (method == "shards" and re.fullmatch(rf"{algorithm}-sharded-[0-9]+", declared)):
        raise item.get("algorithm").wrong(f"{escape(declared)!r} is not the {algorithm} that the statement announces")
    if method == "files":
        return Piece(_path(item, name, whole=True), algorithm)
    match = _PIECE.match(name)
    if match is None:
        raise item.get("name").wrong(f"{escape(name)!r} is no piece of a file, as in 'file:0:1000'")
    path, start, end = _path(item, match[1]), int(match[2]), int(match[3])
    if start != sizes.get(path, 0) or end <= start:
        raise item.get("name").wrong(f"{escape(name)!r} leaves a gap, or comes twice or out of order")
    sizes[path] = end
    return Piece(path, algorithm, start, end)


def _path(item: Field, name: str, *, whole: bool = False) -> str:
    if len(name) > LONGEST_PATH:
        raise LimitExceeded("text_bytes", allowed=LONGEST_PATH, wanted=len(name), where=item.get("name").where)
    return name if whole and name == WHOLE else safe_relative(name, location=item.get("name").where)


def _no_file_in_a_file(digests: Collection[Piece], where: Field) -> None:
    """No path may lie beneath another: one of them could not be there."""
    paths = {piece.path for piece in digests}
    for path in paths:
        parts = path.split("/")
        if any("/".join(parts[:count]) in paths for count in range(1, len(parts))) or (
            path == WHOLE and len(paths) > 1
        ):
            raise where.wrong(f"{escape(path)!r} would lie in another file, or be all of them")


def _provenance(top: Field) -> Manifest:
    digests: dict[Piece, str] = {}
    hasher = hashlib.sha256()
    for item in _listed(top.get("subject")):
        piece = Piece(_path(item, item.get("name").text()))
        if piece in digests:
            raise item.wrong(f"{escape(piece.path)!r} is named twice")
        digests[piece] = _digest(item.get("digest").get("sha256"), "sha256")
        hasher.update(bytes.fromhex(digests[piece]))
    _no_file_in_a_file(digests, top.get("subject"))
    predicate = top.get("predicate")
    listed = predicate.get("buildDefinition").get("resolvedDependencies").items()
    inputs = [
        Resource(
            name=item.get("name").text(),
            sha256=_digest(item.get("digest").get("sha256"), "sha256"),
            uri=item.get("uri").text() if item.has("uri") else "",
        )
        for item in listed
    ]
    builder = predicate.get("runDetails").get("builder").get("id").text()
    return Manifest(
        predicate_type=PROVENANCE,
        name="",
        root=f"sha256:{hasher.hexdigest()}",
        digests=digests,
        complete=False,
        inputs=tuple(inputs),
        builder=builder,
    )


def _digest(item: Field, algorithm: str) -> str:
    text = item.text()
    if len(text) != LENGTHS[algorithm] or not _HEX.match(text):
        raise item.wrong(f"it is no {algorithm} in {LENGTHS[algorithm]} hexadecimal digits")
    return text


def model_statement(name: str, digests: Mapping[str, str], *, ignored: Collection[str] = ()) -> bytes:
    """The statement of OMS v1.0 about files by their sha256; equal files give equal bytes.

    Raises `MalformedInput` if there is no file, or a name that cannot be signed.
    """
    if not digests:
        raise MalformedInput("there is nothing to sign", why="the model has no files")
    listed = []
    hasher = hashlib.sha256()
    for path in sorted(digests):
        safe_relative(path, location=Location(path))
        listed.append({"name": path, "algorithm": "sha256", "digest": digests[path]})
        hasher.update(bytes.fromhex(digests[path]))
    form: dict[str, Any] = {
        "method": "files",
        "hash_type": "sha256",
        "allow_symlinks": False,
        "ignore_paths": sorted({*NEVER_SIGNED, *ignored}),
    }
    statement = {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": hasher.hexdigest()}}],
        "predicateType": MODEL_SIGNING,
        "predicate": {"serialization": form, "resources": listed},
    }
    return json.dumps(statement, separators=(",", ":"), ensure_ascii=False).encode()
