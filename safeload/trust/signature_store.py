"""Where signatures of a model lie: beside its files, or in a store of their own for models that one does not own.

A detached store is a directory of bundles: `<org>--<name>@<commit>.sig`, and `<org>--<name>@<commit>.<anything>.sig`
for those of further signers. It lies outside the models, and nothing in a model can choose it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping

from safeload.core.errors import LimitExceeded, SourceError
from safeload.core.names import Location, escape

NAME = "model.sig"
"""What a signature is called unless somebody says otherwise."""
_SUFFIXES = (".oms.sig", ".sigstore.json")
LARGEST = 64 << 20
"""Bytes of a bundle."""


def is_bundle(path: str) -> bool:
    """Whether a path in a model is that of a signature: `model.sig`, `*.oms.sig` or `*.sigstore.json` at its top."""
    return "/" not in path and (path == NAME or path.endswith(_SUFFIXES))


def bundles_in(listing: Collection[str]) -> tuple[str, ...]:
    """Every signature beside a model's files: `model.sig` first, then `*.oms.sig`, then `*.sigstore.json`."""
    found = [path for path in listing if is_bundle(path)]
    return tuple(sorted(found, key=lambda path: (path != NAME, path.endswith(_SUFFIXES[1]), path)))


def detached(store: str, model: str, revision: str | None) -> Mapping[str, bytes]:
    """The bundles that a store holds for a model at a commit, by their absolute path; none for other models.

    Raises `SourceError` if the store cannot be read, `LimitExceeded` for a file larger than any bundle.
    """
    if not revision:
        return {}
    stem = f"{model.replace('/', '--')}@{revision}"
    folder = os.path.abspath(store)
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise SourceError(
            "a store of signatures was not read", where=Location(folder), why=escape(error.strerror or str(error))
        ) from error
    found = {}
    for name in names:
        if name == f"{stem}.sig" or (name.startswith(f"{stem}.") and name.endswith(".sig")):
            found[os.path.join(folder, name)] = read_file(os.path.join(folder, name))
    return found


def read_file(path: str) -> bytes:
    """The bytes of a bundle that somebody named. Raises as `detached` does."""
    try:
        with open(path, "rb") as stream:
            data = stream.read(LARGEST + 1)
    except OSError as error:
        raise SourceError(
            "a signature was not read", where=Location(path), why=escape(error.strerror or str(error))
        ) from error
    if len(data) > LARGEST:
        raise LimitExceeded("text_bytes", allowed=LARGEST, wanted=len(data), where=Location(path))
    return data
