"""Live pandas objects out of a reading, of pandas 1.5 to 3.

1. Nothing is imported because a file names it. Every class and helper that pandas writes has a maker of ours, which
   gives checked parts to one of pandas' public constructors.
2. Never called: `_unpickle_block`, `__setstate__`, and constructors that take lengths, codes or places on trust.
3. Blocks must cover the columns exactly once; codes must point into their categories; lengths must fit.
4. Subclasses of pandas' classes, and arrays of pyarrow, are not read: their names are nobody's here.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from safeload.core.names import GlobalName
from safeload.engine.live import Table


def pandas_table(names: Iterable[GlobalName]) -> Table:
    """Makers for pandas' objects, if any of these names is one of pandas' and pandas is installed."""
    if not names_pandas(names) or not installed():
        return Table()
    from safeload.adapt_pandas._table import table

    return table()


def names_pandas(names: Iterable[GlobalName]) -> bool:
    return any(name.module.partition(".")[0] == "pandas" for name in names)


def installed() -> bool:
    return find_spec("pandas") is not None
