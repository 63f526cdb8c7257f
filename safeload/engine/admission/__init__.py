"""What `admit` returns: a directory that any loader may read, and all that was found on the way there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safeload.core.evidence import LockMatch, VerifiedSignature
from safeload.core.finding import Report
from safeload.core.policy import Verdict
from safeload.engine.admission.handover import Resources
from safeload.engine.admission.record import AdmittedFile, LeftOut

if TYPE_CHECKING:  # which reads closures, which know what is admitted
    from safeload.engine.approved import ApprovedCode


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Admission:
    """An admitted model.

    `path` holds safetensors, JSON and tokenizer files; no pickle, no code, no pointer to anywhere else. It stays
    until `close()`, or the end of the process if it was not written with `into`. A context manager.
    """

    path: Path
    """The absolute admitted directory."""
    reference: str
    """What the user asked for."""
    revision: str | None
    """The commit it was resolved to, from the hub."""
    report: Report
    """Findings over every file that was looked at; `FileReport.used` says which of them this load reads."""
    verdict: Verdict
    files: tuple[AdmittedFile, ...]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...] = ()
    """Choices worth knowing, such as a local folder that stands before a hub id."""
    attention_removed: bool = False
    """The config named a repository as its attention or experts implementation, and no longer does."""
    lock: LockMatch | None = None
    """The entry of a lock that the model is."""
    signatures: tuple[VerifiedSignature, ...] = ()
    """Signatures that were verified for this load; those of the lock are in `lock`."""
    base: Admission | None = None
    """The base model of an adapter."""
    code: ApprovedCode | None = None
    """The code of the model, if the caller asked for it and it is approved. It lies in no file of `path`."""
    needs_code: bool = False
    """Whether a loader cannot do without code of the model, or was told to prefer it."""
    resources: Resources = field(default_factory=Resources, repr=False)

    @property
    def config(self) -> Mapping[str, Any] | None:
        """The admitted `config.json`, if there is one."""
        path = self.path / "config.json"
        if not path.exists():
            return None
        document = json.loads(path.read_bytes())
        return document if isinstance(document, dict) else None

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def close(self) -> None:
        """Remove the per-process directory and close what it pinned. Twice is harmless; `into` is never removed."""
        self.resources.close()

    def __enter__(self) -> Admission:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
