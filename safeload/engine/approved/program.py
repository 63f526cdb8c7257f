"""How a call names code by other words than a reference: as a file of a model, or of a repository."""

from __future__ import annotations

import os

from safeload.engine.request import Access
from safeload.sources.hub import is_hub_id
from safeload.sources.resolve import resolve

_HUB = "hf://"


def file_of_model(reference: str, revision: str | None, name: str, access: Access) -> str | None:
    """The reference of a file at the top of a model, at this revision; `None` if the model has none of that name.

    Raises as `resolve` does.
    """
    if os.path.isdir(reference) and not reference.startswith(_HUB):
        path = os.path.join(reference, name)
        return path if os.path.isfile(path) else None
    snapshot = resolve(
        reference.partition("@")[0],
        revision=revision,
        cache_dir=access.cache_dir,
        token=access.token,
        local_files_only=access.local_files_only,
    )
    return f"{_HUB}{snapshot.root}/{name}@{revision}" if name in snapshot.listing else None


def file_on_hub(repository: str, name: str) -> str | None:
    """The reference of a file of a repository on the hub; `None` if none can have that name."""
    plain = repository.removeprefix(_HUB).removeprefix("models/")
    return f"{_HUB}{plain}/{name}" if is_hub_id(plain) and "/" in plain else None
