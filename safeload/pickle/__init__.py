"""pickle, without running anything that a pickle says.

    from safeload import pickle       # was: import pickle
    with open("data.pkl", "rb") as file:
        data = pickle.load(file)

`load`, `loads` and `Unpickler` are safeload's; all other public names are the standard library's own objects, so that a
program that also writes pickles keeps working. What comes back is plain data, numpy's arrays, scikit-learn's
estimators, and classes that the caller hands over with `classes=[…]`; anything else is refused, with all of its names,
or kept as inert records with `unknown="record"`.

Not here: `find_class` and everything else by which a program would decide, while a pickle is read, what to import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pickle import DEFAULT_PROTOCOL as DEFAULT_PROTOCOL
    from pickle import HIGHEST_PROTOCOL as HIGHEST_PROTOCOL
    from pickle import PickleBuffer as PickleBuffer
    from pickle import PickleError as PickleError
    from pickle import Pickler as Pickler
    from pickle import PicklingError as PicklingError
    from pickle import UnpicklingError as UnpicklingError
    from pickle import dump as dump
    from pickle import dumps as dumps

    from safeload.pickle._read import EndOfPickles as EndOfPickles
    from safeload.pickle._read import Unpickler as Unpickler
    from safeload.pickle._read import load as load
    from safeload.pickle._read import loads as loads

_OURS = ("load", "loads", "Unpickler", "EndOfPickles")


def __getattr__(name: str) -> object:
    if name.startswith("_") and name not in ("__all__",):
        raise AttributeError(f"module 'safeload.pickle' has no attribute {name!r}")
    if name in _OURS:
        from safeload.pickle import _read as home
    else:
        import pickle as home  # type: ignore[no-redef]
    if name == "__all__":
        return sorted({*home.__all__, *_OURS})  # type: ignore[attr-defined]
    value: object = getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    import pickle

    return sorted({*pickle.__all__, *_OURS})
