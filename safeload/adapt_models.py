"""A guarded call of a library that loads models: what it admits, the call itself, and what the result keeps.

For the libraries around transformers and torch. The traps are those of transformers, of which a library that is not
loaded has none.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from safeload import adapt, adapt_after
from safeload.core.errors import UsageError
from safeload.core.names import escape
from safeload.engine.admission.admitted import Admission
from safeload.engine.admit import admit
from safeload.engine.options import Options
from safeload.engine.request import Access, Request
from safeload.engine.seatbelt import Answers, Trap
from safeload.transformers import _arguments, _kernels
from safeload.transformers._code import Approved, forget, require_trust
from safeload.transformers._doors import ModelKeeper
from safeload.transformers._dress import dress
from safeload.transformers._load import directories
from safeload.transformers._traps import TRAPS, forbidden

T = TypeVar("T")


class Loading:
    """One call. A context manager, which gives up what was admitted if the call fails.

    `keeper` keeps it otherwise, for whoever holds the keeper. `admitted` are the directories, each with the reference
    that it stands for.
    """

    def __init__(self, title: str, options: Options, keeper: adapt_after.Keeper | None = None) -> None:
        self.title = title
        self.options = options
        self._late = keeper is not None
        self.keeper: adapt_after.Keeper = keeper or ModelKeeper(title, options)
        self.admitted: dict[str, str] = {}
        self._admissions: list[Admission] = []
        self._origins: list[str] = []

    def admit(self, reference: str | os.PathLike[str], request: Request) -> Admission:
        """Admit what the call names. Raises as `safeload.admit` does, and `UsageError` if its code is not asked for."""
        admission = adapt.judge(lambda: admit(reference, request=request, options=self.options))
        self.keeper.extend(admission)
        require_trust(admission, request)
        self._admissions.append(admission)
        self._origins.append(os.fspath(reference))
        self.admitted |= directories(admission)
        return admission

    def run(self, call: Callable[[], T], traps: tuple[Trap, ...] = (), answers: Answers | None = None) -> T:
        """Make the genuine call, the seatbelt on, with approved code where there is some; `answers` are more of them.

        Raises:
            PolicyDenied: it tried what must not happen, or the code did what no policy lists.
        """
        approved = self.approved
        if "diffusers" in sys.modules:
            _kernels.stand_before(self._origins)
        try:
            with approved.tripwire(self.title):
                return adapt.run(
                    self.title,
                    call,
                    admitted=self.admitted,
                    forbidden=[root for origin in self._origins for root in forbidden(origin)],
                    traps=(*TRAPS, *traps),
                    answers={**approved.answers, **(answers or {})},
                )
        finally:
            if approved:
                forget()

    def shown(self, name: str) -> str:
        """A path in an admitted directory by what was asked for; any other text as it is."""
        for path, reference in self.admitted.items():
            if name == path or name.startswith(path + os.sep):
                return reference + name[len(path) :]
        return name

    @property
    def approved(self) -> Approved:
        """The code that was approved for what this call loads."""
        return Approved(self._admissions)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is not None and not self._late:
            self.keeper.close()


def reference_in(named: Mapping[str, Any], name: str) -> str | None:
    """The reference in an argument; `None` if it names nothing that would have to be admitted.

    Raises:
        UsageError: it is neither a text nor a path.
    """
    value = named.get(name)
    if value is None or adapt.within_admitted(value):
        return None
    if not adapt.is_reference(value):
        raise UsageError(
            f"{name} names no model",
            why=f"a {type(value).__name__} was given",
            remedy="pass a hub id or a path as a string",
        )
    return str(os.fspath(value))


def take_access(named: dict[str, Any]) -> Access:
    """How to reach the hub, taken out of a call; also by the names that arguments once had."""
    old = named.pop("use_auth_token", None)
    access = _arguments.take_access(named)
    _arguments.refuse_code_revision(named)
    for name in _arguments.DROPPED:
        named.pop(name, None)
    return access if access.token is not None or old is None else Access(**{**_as_dict(access), "token": old})


def _as_dict(access: Access) -> dict[str, Any]:
    return {name: getattr(access, name) for name in Access.__annotations__}


def refuse(named: Mapping[str, Any], reasons: Mapping[str, tuple[str, str]]) -> None:
    """Raise `UsageError` for the first of these arguments that is given and true: why it is refused, what to do."""
    for name, (why, remedy) in reasons.items():
        if named.get(name):
            raise UsageError(f"{name}={escape(repr(named[name]), 80)} is refused", why=why, remedy=remedy)


def refuse_unpickling(named: Mapping[str, Any]) -> None:
    """Raise `UsageError` for `weights_only=False`."""
    if named.get("weights_only") is False:
        raise UsageError(
            "weights_only=False is refused",
            why="it asks for unpickling, which safeload never does",
            remedy="leave weights_only out",
        )


def dress_modules(model: Any, loading: Loading) -> None:
    """Let every model of transformers within a module, and every tokenizer and processor, show what was asked for."""
    for module in model.modules():
        if not dress_one(module, loading):
            for value in list(vars(module).values()):
                dress_one(value, loading)


def dress_one(value: Any, loading: Loading) -> bool:
    """The same for one object; `False` if it is none of these."""
    if not is_kind(value, "PreTrainedModel", "PreTrainedTokenizerBase", "ProcessorMixin"):
        return False
    if isinstance(loading.keeper, ModelKeeper):
        named = (getattr(value, "name_or_path", None), getattr(getattr(value, "config", None), "_name_or_path", None))
        inner = {name: loading.shown(name) for name in named if isinstance(name, str)}
        dress(value, loading.keeper, loading.admitted | inner)
    return True


def is_kind(value: object, *names: str) -> bool:
    """Whether a class of one of these names is among those of an object; so no library needs to be imported."""
    return any(base.__name__ in names for base in type(value).__mro__)
