"""Noting which directories an adapter admitted."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from safeload import adapt_models


def note_admissions(monkeypatch: pytest.MonkeyPatch, module: ModuleType = adapt_models) -> list[Path]:
    """The directories that `module` admits from now on, in order."""
    found: list[Path] = []
    genuine = module.admit

    def noting(*args: Any, **kwargs: Any) -> Any:
        admission = genuine(*args, **kwargs)
        found.append(admission.path)
        return admission

    monkeypatch.setattr(module, "admit", noting)
    return found
