"""What a check of this machine says."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Grade(enum.Enum):
    """How a note is meant."""

    FINE = "fine"
    HINT = "hint"
    """Worth knowing; nothing has to be done."""
    PROBLEM = "problem"
    """Makes loading models unsafe, or could; the exit code says so too."""


@dataclass(frozen=True, slots=True)
class Note:
    """One thing about this machine."""

    grade: Grade
    what: str
    why: str = ""
    remedy: str = ""
