"""Files that are made to be slow: every format, filled with what costs most for each byte. See `__main__`."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.hostile import archives, binaries, documents, pickles, shared, templates
from benchmarks.hostile.case import Case


def all_cases(prefix: str = "", *, sequences: bool = True) -> Iterator[Case]:
    """Every case whose name begins so; without `sequences` not those of opcodes, of which there are thousands."""
    families = [pickles.cases, shared.cases, templates.cases, documents.cases, binaries.cases, archives.cases]
    for family in (*families, pickles.sequences) if sequences else families:
        for case in family():
            if case.name.startswith(prefix):
                yield case
