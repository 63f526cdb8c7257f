"""Files that are made to be slow: every format, filled with what costs most for each byte. See `__main__`."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.hostile import archives, binaries, documents, pickles
from benchmarks.hostile.case import Case


def all_cases(prefix: str = "") -> Iterator[Case]:
    """Every case whose name begins so."""
    for family in (pickles.cases, documents.cases, binaries.cases, archives.cases, pickles.sequences):
        for case in family():
            if case.name.startswith(prefix):
                yield case
