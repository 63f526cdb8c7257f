"""Pickles that stop where their file does, as those of an interrupted download do: what that explains, and what not.

Python pickle takes what is there for a frame, acts on it, and fails at its end; C pickle fails before it acts. The same
goes for a line without an end. So neither returns anything, and no two readers differ about a value. What would be done
up to there is judged as in any other pickle: a payload in front of the break stays what it is.
"""

from __future__ import annotations

from safeload.core.graph import Reading


def cut_short(reading: Reading) -> bool:
    """Whether a pickle ends with its file, before its STOP."""
    return reading.fault is not None and reading.end == reading.blob.size


def cut_line(reading: Reading) -> int | None:
    """Where the opcode stands whose line the end of the file cut off; `None` if none was."""
    return next((one.offset for one in reading.anomalies if one.kind == "line-unterminated"), None)
