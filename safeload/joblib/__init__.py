"""joblib's `load`, without running anything that a file says.

    from safeload import joblib as safe_joblib
    model = safe_joblib.load("model.joblib")      # was: joblib.load("model.joblib")

Compressed files are read as well: zlib, gzip, bz2, lzma, xz and lz4. joblib itself is not needed. Importing this
imports nothing else; calling it takes numpy, and what the objects in the file belong to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from safeload.joblib._read import load

__all__ = ("load",)


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'safeload.joblib' has no attribute {name!r}: it guards what loads files")
    from safeload.joblib._read import load

    globals()[name] = load
    return load


def __dir__() -> list[str]:
    return list(__all__)
