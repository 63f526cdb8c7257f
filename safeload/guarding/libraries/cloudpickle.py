"""cloudpickle: writes pickles of functions. It has no loader but pickle's."""

from __future__ import annotations

from safeload.guarding import written
from safeload.guarding.doors import Function, Library

LIBRARY = Library(
    name="cloudpickle",
    doors=(Function(homes=("cloudpickle.cloudpickle:dumps",), after=written.note),),
)
