"""Files that are made to be slow: every format, filled with what costs most for each byte. See `__main__`."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.hostile import archives, binaries, documents, layers, pickles, shared, templates
from benchmarks.hostile.case import Case


def all_cases(prefix: str = "") -> Iterator[Case]:
    """Every case whose name begins so, but those of opcodes in a row and of fragments in a row: they are thousands."""
    for family in (pickles, shared, templates, documents, binaries, archives, layers):
        for case in family.cases():
            if case.name.startswith(prefix):
                yield case
