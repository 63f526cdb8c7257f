"""numpy: `load`, where it is told to unpickle. Without that it reads arrays, and nothing else."""

from __future__ import annotations

from typing import Any

from safeload.guarding.doors import Function, Library


def _plain(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a call of `load(file, mmap_mode, allow_pickle, …)` leaves pickles alone."""
    return not (kwargs.get("allow_pickle") or (len(args) > 2 and args[2]))


LIBRARY = Library(
    name="numpy",
    doors=(
        Function(
            homes=("numpy:load", "numpy.lib._npyio_impl:load", "numpy.lib.npyio:load"),
            ours="safeload.numpy.load",
            passes=_plain,
        ),
    ),
)
