"""What a conversion returns: the files that were made, each tensor in them, and what was left out and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safeload.core.finding import Report
from safeload.engine.admission.record import LeftOut


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertedTensor:
    """One tensor of the output."""

    name: str
    source: str
    """The path under which the checkpoint holds it."""
    dtype: str
    """torch's name of its element type, in the output."""
    shape: tuple[int, ...]
    nbytes: int
    file: str
    """Name of the output file that holds it."""
    sha256: str
    """Digest of its bytes in row-major order, which the output was compared with; empty in a preview, and where it
    was not asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertedFile:
    """One file of the output."""

    path: str
    """Its name in the output's directory."""
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """What came of `convert`."""

    source: str
    path: Path | None
    """The output: a `.safetensors` file, the index of several, or a directory. `None` if nothing was written."""
    files: tuple[ConvertedFile, ...]
    tensors: tuple[ConvertedTensor, ...]
    dropped: tuple[LeftOut, ...]
    """What the checkpoint holds and the output does not, and why."""
    statement: Path | None
    """The provenance that was written beside the output."""
    report: Report
    """What was found in the files that were read."""
    notes: tuple[str, ...] = ()
    already_safe: bool = False
    """The source is safetensors or GGUF, which run nothing: there was nothing to convert."""
