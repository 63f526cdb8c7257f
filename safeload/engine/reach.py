"""From a reference and an `Access` to a snapshot: the one place that hands on how the hub is to be reached."""

from __future__ import annotations

import os

from safeload.core.limits import Limits
from safeload.engine.request import Access
from safeload.sources.base import Snapshot
from safeload.sources.program import resolve_program
from safeload.sources.resolve import resolve


def reach(
    reference: str | os.PathLike[str],
    access: Access,
    *,
    limits: Limits,
    revision: str | None = None,
    subfolder: str = "",
) -> Snapshot:
    """The snapshot that `reference` names. Every field of `access` is honoured, or refused where it cannot be.

    Raises what `resolve` raises.
    """
    return resolve(
        reference,
        revision=revision,
        subfolder=subfolder,
        limits=limits,
        cache_dir=access.cache_dir,
        token=access.token,
        local_files_only=access.local_files_only,
        force_download=access.force_download,
        proxies=access.proxies,
    )


def reach_program(
    reference: str, access: Access, *, limits: Limits, revision: str | None = None
) -> tuple[Snapshot, str]:
    """What a file of Python lies in, and its path there.

    Raises what `resolve_program` raises.
    """
    return resolve_program(
        reference,
        revision=revision,
        limits=limits,
        cache_dir=access.cache_dir,
        token=access.token,
        local_files_only=access.local_files_only,
        force_download=access.force_download,
        proxies=access.proxies,
    )
