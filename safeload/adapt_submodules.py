"""A library's modules as an adapter shows them: `safeload.transformers.models.bert` is transformers' own module, except
that what loads something is guarded there as well.

Whoever writes `import safeload.transformers as transformers` reaches everything by attributes, and no load may get
around its guard by the way it was reached.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

from safeload import adapt
from safeload.core.errors import UsageError

CODE = ("get_class_from_dynamic_module", "get_class_in_module", "get_cached_module_file", "import_module_class")
"""Functions of transformers, diffusers and sentence-transformers that fetch or run code, whoever asks."""
Guarded = Callable[[Any, str], Any]
"""Makes the guarded form of an object of a library, by its name; the object itself where there is nothing to guard."""


def shown(value: Any, name: str, *, home: str, guarded: Guarded) -> Any:
    """An attribute of a library, or of one of its modules, as its adapter `home` shows it."""
    library = home.rpartition(".")[2]
    if isinstance(value, ModuleType):
        inside = value.__name__ == library or value.__name__.startswith(f"{library}.")
        return _submodule(value, home, guarded) if inside else value
    if name in CODE and inspect.isfunction(value):
        return adapt.guarded_function(value, module=home, guard=_refuse_code)
    return guarded(value, name)


def _refuse_code(call: adapt.Call) -> Any:
    raise UsageError(
        f"{call.method.__name__}() is refused",
        why="it runs code of a model, and safeload runs only what was approved, in the course of a load",
        remedy="safeload approve MODEL, then: from_pretrained(…, trust_remote_code=True)",
    )


@functools.cache
def _submodule(genuine: ModuleType, home: str, guarded: Guarded) -> Submodule:
    return Submodule(genuine, home, guarded)


class Submodule(ModuleType):
    """A module of a library, through its adapter. What is set on it is set on the library's own."""

    def __init__(self, genuine: ModuleType, home: str, guarded: Guarded) -> None:
        super().__init__(home + genuine.__name__[len(home.rpartition(".")[2]) :], genuine.__doc__)
        for name in ("__loader__", "__package__", "__spec__"):
            del vars(self)[name]  # the genuine module's are found instead
        vars(self)["_safeload_shown"] = (genuine, home, guarded)

    def __getattr__(self, name: str) -> Any:
        genuine, home, guarded = vars(self)["_safeload_shown"]
        return shown(getattr(genuine, name), name, home=home, guarded=guarded)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(vars(self)["_safeload_shown"][0], name, value)

    def __delattr__(self, name: str) -> None:
        delattr(vars(self)["_safeload_shown"][0], name)

    def __dir__(self) -> list[str]:
        return dir(vars(self)["_safeload_shown"][0])

    def __reduce__(self) -> tuple[Any, ...]:
        _, home, _ = vars(self)["_safeload_shown"]
        return _by_name, (home, self.__name__[len(home) + 1 :])


def _by_name(home: str, path: str) -> Any:
    import importlib

    return functools.reduce(getattr, path.split("."), importlib.import_module(home))
