"""pandas' `read_pickle`, without running anything that a file says.

    from safeload import pandas as safe_pandas
    frame = safe_pandas.read_pickle("frame.pkl.gz")      # was: pandas.read_pickle("frame.pkl.gz")

Importing this imports nothing else; calling it takes pandas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from safeload.pandas._read import read_pickle

__all__ = ("read_pickle",)


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'safeload.pandas' has no attribute {name!r}: it guards what loads files")
    from safeload.pandas._read import read_pickle

    globals()[name] = read_pickle
    return read_pickle


def __dir__() -> list[str]:
    return list(__all__)
