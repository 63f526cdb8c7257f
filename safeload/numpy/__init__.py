"""numpy's `load`, without running anything that a file says.

    from safeload import numpy as safe_numpy
    array = safe_numpy.load("array.npy")        # was: numpy.load("array.npy", allow_pickle=True)

Arrays of objects are read as well, as the plain data they hold; `allow_pickle` makes no difference, since nothing is
unpickled. Importing this imports nothing else; calling it takes numpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from safeload.numpy._arrays import Collection, load

__all__ = ("Collection", "load")


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'safeload.numpy' has no attribute {name!r}: it guards what loads files")
    from safeload.numpy import _arrays

    value: object = getattr(_arrays, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
