"""Where transformers asks for code of a model: it gets what was approved, by name, and nothing that lies on a disk.

The library finds a file (`get_cached_module_file`), then takes a class from it (`get_class_in_module`). Both are
answered here while the seatbelt is on, from the approved code of the models that the call under way loads.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NoReturn

from safeload.core.errors import PolicyDenied, UsageError, VerificationFailed
from safeload.core.names import escape
from safeload.engine.admission.admitted import Admission
from safeload.engine.approved import PACKAGE, ApprovedCode
from safeload.engine.approved.tripwire import Tripwire
from safeload.engine.request import Request
from safeload.engine.seatbelt import Answers, worn

_BY_PATH = ""
_AUTO = "transformers.models.auto."


class _Place(str):
    """What stands for a file between the two questions: a text, because the library may format it."""

    code: ApprovedCode
    repository: str
    file: str


class Approved:
    """The approved code of all models that one call loads."""

    def __init__(self, admissions: Iterable[Admission] = ()) -> None:
        self._codes: dict[str, ApprovedCode] = {}
        for admission in admissions:
            self.add(admission)

    def add(self, admission: Admission) -> None:
        """Add the code of one more model, and of those that its adapter stands on."""
        following: Admission | None = admission
        while following is not None:
            if following.code is not None:
                self._codes[os.path.abspath(following.path)] = following.code
            following = following.base

    def __bool__(self) -> bool:
        return bool(self._codes)

    def __iter__(self) -> Iterator[ApprovedCode]:
        return iter(self._codes.values())

    @property
    def answers(self) -> Answers:
        """What the seatbelt gives instead of refusing; nothing, if nothing is approved."""
        if not self:
            return {}
        found: dict[tuple[str, str], Any] = {}
        for module in ("transformers.dynamic_module_utils", "transformers.generation.utils"):
            found[module, "get_cached_module_file"] = self._file
            found[module, "get_class_in_module"] = self._class
        found["transformers.generation.utils", "has_file"] = self._has_file
        found["transformers.generation.utils", "check_python_requirements"] = _nothing
        return found

    def tripwire(self, reference: str) -> AbstractContextManager[object]:
        """Stops the code from doing, while it loads, what no policy lists; does nothing if no policy lists anything."""
        watched: dict[str, frozenset[str]] = {}
        for code in self._codes.values():
            if code.capabilities is not None:
                watched[code.package] = watched.get(code.package, code.capabilities) & code.capabilities
        return Tripwire(reference, watched, readable=[*self._codes]) if watched else nullcontext()

    def _find(self, repository: object, file: str) -> _Place | None:
        name = os.fspath(repository) if isinstance(repository, (str, os.PathLike)) else ""
        own = self._codes.get(os.path.abspath(name)) if name else None
        other = _BY_PATH if own is not None else name
        found = [code for code in ([own] if own else self) if code.find(other, file) is not None]
        if len({code.digest for code in found}) != 1:
            return None  # nobody approved it; or two models bring it along, and nothing says which of them asks
        place = _Place(f"{escape(found[0].reference)}: {escape(file)}")
        place.code, place.repository, place.file = found[0], other, file
        return place

    def _file(self, pretrained_model_name_or_path: object, module_file: str, *_: object, **__: object) -> str:
        place = self._find(pretrained_model_name_or_path, module_file)
        if place is None:
            _refuse(f"{pretrained_model_name_or_path}: {module_file}")
        return place

    def _class(self, class_name: str, module_path: object, **_: object) -> Any:
        if not isinstance(module_path, _Place):
            _refuse(str(module_path))
        try:
            return module_path.code.load(module_path.repository, module_path.file, class_name)
        except PolicyDenied as denial:
            if (belt := worn()) is not None:  # the library may swallow it; the belt does not
                belt.remember(denial)
            raise
        except VerificationFailed as failure:
            _refuse(f"import {escape(module_path)}: {failure}")

    def _has_file(self, path_or_repo: object, filename: str, **_: object) -> bool:
        return self._find(path_or_repo, filename) is not None


def _nothing(*_: object, **__: object) -> None:
    """Requirements of code: its packages were named by whoever approved it, and an import that fails says so."""


def _refuse(what: str) -> NoReturn:
    belt = worn()
    assert belt is not None  # only a belt asks
    belt.refuse(f"import code that is not approved: {escape(what)}")


def require_trust(admission: Admission, request: Request) -> None:
    """Say that approved code still has to be asked for.

    Raises:
        UsageError: the model cannot do without its code, and the call does not ask for it.
    """
    if admission.verdict.allowed and request.trust_remote_code is not True and admission.needs_code:
        raise UsageError(
            f"{escape(admission.reference)!r} needs its own code",
            where=escape(admission.reference),
            why="it is approved, and this call does not ask for it",
            remedy="trust_remote_code=True",
        )


def forget() -> None:
    """Take back what the library remembered of approved classes under configs of its own.

    It would give the class of one model to every other of that type: to one whose approved code is different, and to
    one for which nobody asked for code.
    """
    for extra in _remembered():
        for key, value in [*extra.items()]:
            classes = value if isinstance(value, tuple) else (value,)
            if any(map(_is_approved, classes)) and not _is_approved(key):
                del extra[key]


def _remembered() -> Iterator[dict[Any, Any]]:
    """What the library's tables of classes hold beside its own."""
    for name, module in [*sys.modules.items()]:
        for table in [*vars(module).values()] if name.startswith(_AUTO) else ():
            if type(table).__name__ == "_LazyAutoMapping":
                yield table._extra_content


def _is_approved(value: object) -> bool:
    return str(getattr(value, "__module__", "")).startswith(f"{PACKAGE}.")
