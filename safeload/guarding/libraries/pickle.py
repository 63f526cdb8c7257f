"""pickle, and what is made of it: dill, cloudpickle, shelve, pandas' `read_pickle`, joblib's arrays."""

from __future__ import annotations

from typing import Any

from safeload.guarding import written
from safeload.guarding.doors import Function, Library, Unpicklers
from safeload.guarding.state import current


def _own(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether this process wrote what is to be read."""
    settings = current()
    return settings is not None and not settings.strict and bool(args) and written.is_own(args[0])


LIBRARY = Library(
    name="pickle",
    doors=(
        Function(homes=("pickle:load", "_pickle:load", "pickle:_load"), ours="safeload.pickle.load", machinery=True),
        Function(
            homes=("pickle:loads", "_pickle:loads", "pickle:_loads"),
            ours="safeload.pickle.loads",
            machinery=True,
            passes=_own,
        ),
        Function(homes=("pickle:dumps", "_pickle:dumps", "pickle:_dumps"), after=written.note),
        Unpicklers(homes=("_pickle:Unpickler", "pickle:Unpickler", "pickle:_Unpickler"), ours="safeload.pickle"),
        Function(homes=("dill:load", "dill._dill:load"), ours="safeload.pickle.load"),
        Function(homes=("dill:loads", "dill._dill:loads"), ours="safeload.pickle.loads", passes=_own),
        Function(homes=("dill:dumps", "dill._dill:dumps", "cloudpickle.cloudpickle:dumps"), after=written.note),
        Function(
            homes=("dill:load_module", "dill.session:load_module"),
            why="it puts whatever a file says into a module",
            remedy="safeload inspect FILE",
        ),
    ),
    eager=("_pickle", "pickle"),
)
