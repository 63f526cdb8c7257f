"""Programs that stay where they are: what their files hold beside them, and why they cannot be called here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from safeload.core.blob import Blob
from safeload.core.errors import UsageError
from safeload.core.limits import Limits
from safeload.core.names import escape
from safeload.engine.convert.contents import contents_of
from safeload.engine.convert.judging import without_program
from safeload.engine.door import opened
from safeload.engine.inspect import Inspected, inspect
from safeload.engine.options import Options
from safeload.torch._load import checked_options, require_torch
from safeload.torch._memory import Memory
from safeload.torch._state import Views

_CONSTANTS = "constants."
_DOORS = {"torchscript": "safeload.torch.jit.load(…)", "pt2": "safeload.torch.export.load(…)"}


class Inert:
    """A program that was not loaded: its tensors are here, its code is not.

    Promised: nothing of it ran, nor can be run through this object: calling it raises `UsageError`, which says what
    to do instead.
    """

    def __init__(self, what: str, file: str, tensors: dict[str, Any]) -> None:
        self._what = what
        self._file = file
        self._tensors = tensors

    def _named(self, *, constant: bool) -> dict[str, Any]:
        cut = len(_CONSTANTS) if constant else 0
        return {name[cut:]: tensor for name, tensor in self._tensors.items() if name.startswith(_CONSTANTS) is constant}

    def __call__(self, *args: object, **kwargs: object) -> NoReturn:
        raise UsageError(
            f"{self._what} was not called",
            where=self._file,
            why="it is a program, which runs in native code beyond any check; only its tensors were read",
            remedy="build the model in Python, then model.load_state_dict(…) with the tensors of this object",
        )

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{self._what} was not loaded, so it has no {name!r}: safeload reads its tensors alone")

    def __repr__(self) -> str:
        return f"<inert {self._what} with {len(self._tensors)} tensors>"


def read_program(
    f: Any, format: str, options: object, map_location: Any, make: Callable[[str, dict[str, Any]], Inert]
) -> Inert:
    """What a file of a format of programs holds beside its program. Raises as `safeload.torch.load` does."""
    checked: Options = checked_options(options)
    require_torch()
    with opened(f, checked, reader=_beside_the_program) as door:
        name = door.inspected.report.format
        if name != format:
            raise UsageError(
                f"{escape(door.location.file)!r} was not loaded",
                where=door.location,
                why=f"it is no such program: it is {escape(name)}",
                remedy=_DOORS.get(name, "a checkpoint: safeload.torch.load(…)"),
            )
        views = Views(Memory(mapped=False, integrity=door.integrity, map_location=map_location))
        found = contents_of(door.inspected.parts, door.location, door.limits).tensors
        return make(escape(door.location.file), {name: views.tensor(view) for name, view in found.items()})


def _beside_the_program(blob: Blob, name: str, limits: Limits) -> Inspected:
    inspected = inspect(blob, name, limits)
    return inspected._replace(report=without_program(inspected.report))


def refuse_argument(name: str, why: str, remedy: str) -> NoReturn:
    raise UsageError(f"{name} was not honoured", why=why, remedy=remedy)
