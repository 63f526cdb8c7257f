"""pickle, and what is made of it: shelve, pandas' `read_pickle`, joblib's arrays."""

from __future__ import annotations

from safeload.guarding import written
from safeload.guarding.doors import Function, Library, Unpicklers

LIBRARY = Library(
    name="pickle",
    doors=(
        Function(homes=("pickle:load", "_pickle:load", "pickle:_load"), ours="safeload.pickle.load", machinery=True),
        Function(
            homes=("pickle:loads", "_pickle:loads", "pickle:_loads"),
            ours="safeload.pickle.loads",
            machinery=True,
            passes=written.reads_own,
        ),
        Function(homes=("pickle:dumps", "_pickle:dumps", "pickle:_dumps"), after=written.note),
        Unpicklers(homes=("_pickle:Unpickler", "pickle:Unpickler", "pickle:_Unpickler"), ours="safeload.pickle"),
    ),
)
