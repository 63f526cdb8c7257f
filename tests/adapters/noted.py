"""Noting which directories an adapter admitted."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def note_admissions(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The directories that `module` admits from now on, in order."""
    found: list[Path] = []
    genuine = module.admit  # type: ignore[attr-defined]

    def noting(*args: Any, **kwargs: Any) -> Any:
        admission = genuine(*args, **kwargs)
        found.append(admission.path)
        return admission

    monkeypatch.setattr(module, "admit", noting)
    return found
