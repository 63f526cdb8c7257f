"""dill: pickles of functions and whole modules; its files are read as pickles."""

from __future__ import annotations

from safeload.guarding import written
from safeload.guarding.doors import Function, Library

LIBRARY = Library(
    name="dill",
    doors=(
        Function(homes=("dill:load", "dill._dill:load"), ours="safeload.pickle.load"),
        Function(homes=("dill:loads", "dill._dill:loads"), ours="safeload.pickle.loads", passes=written.reads_own),
        Function(homes=("dill:dumps", "dill._dill:dumps"), after=written.note),
        Function(
            homes=("dill:load_module", "dill.session:load_module"),
            why="it puts whatever a file says into a module",
            remedy="safeload inspect FILE",
        ),
    ),
)
