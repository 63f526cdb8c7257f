"""joblib: `load`. What its workers share, and `Memory`, is its own: see `callers`."""

from __future__ import annotations

from safeload.guarding.doors import Function, Library

LIBRARY = Library(
    name="joblib",
    doors=(
        Function(homes=("joblib.numpy_pickle:load",), ours="safeload.joblib.load", machinery=True),
        Function(
            homes=("joblib.numpy_pickle:load_temporary_memmap",),
            why="it is how joblib's own processes share arrays, and unpickles",
            remedy="joblib.load(…)",
            machinery=True,
        ),
    ),
)
