"""Which names of transformers are guarded, and how; and whether the installed versions will do."""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from importlib import metadata
from types import ModuleType
from typing import Any

from safeload import adapt, adapt_submodules
from safeload.core.errors import UsageError
from safeload.transformers import _composite, _load, _made, _pipeline

HOME = "safeload.transformers"
NEEDED = {"transformers": (5, 20), "torch": (2, 10)}
_INSTALL = "pip install 'safeload[transformers]'"
_COMPOSITE = re.compile(r"from_\w*pretrained\w*\Z")


@functools.cache
def library() -> ModuleType:
    """The installed transformers.

    Raises:
        UsageError: it is not installed, or it or torch is too old to be safe.
    """
    for name, oldest in NEEDED.items():
        _check(name, oldest)
    return importlib.import_module("transformers")


def _check(name: str, oldest: tuple[int, int]) -> None:
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        if name == "torch":
            return  # tokenizers and configs work without; transformers itself says where torch is missing
        raise UsageError(f"{name} is not installed", where=HOME, remedy=_INSTALL) from None
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None or (int(numbers[1]), int(numbers[2])) < oldest:
        raise UsageError(
            f"{name} {version} is too old",
            where=HOME,
            why=f"safeload stands on what {name} {'.'.join(map(str, oldest))} and newer guarantee",
            remedy=_INSTALL,
        )


def show(name: str) -> Any:
    """A name of the library, guarded. Raises as `library` does, and `AttributeError` as the library itself does."""
    return adapt_submodules.shown(getattr(library(), name), name, home=HOME, guarded=guarded)


def guarded(value: Any, name: str) -> Any:
    """The guarded form of an object of the library; the object itself where there is nothing to guard."""
    if inspect.isclass(value) and _loads(value):
        return adapt.facade(value, module=HOME, guards=_guards(value), make=_maker(value))
    if name == "pipeline" and inspect.isfunction(value):
        return adapt.guarded_function(value, module=HOME, guard=_pipeline.guard_pipeline)
    return value


def guards(genuine: type) -> dict[str, adapt.Guard]:
    """The guards of a class of the library, for `safeload.guard()`.

    Raises:
        UsageError: the library or torch is too old to be safe.
    """
    library()
    return _guards(genuine)


def _loads(genuine: type) -> bool:
    # Looked up without getattr: the library's stand-ins for classes whose backend is missing raise on any access.
    return any("from_pretrained" in vars(base) for base in type.mro(genuine))


def _guards(genuine: type) -> dict[str, adapt.Guard]:
    guards: dict[str, adapt.Guard] = {"from_pretrained": _load.guard_from_pretrained}
    for base in type.mro(genuine):
        for name, member in vars(base).items():
            if isinstance(member, classmethod) and _COMPOSITE.match(name):
                guards.setdefault(name, _composite.guard_composite)
    for name in ("from_config", "_from_config"):
        if _load.is_model(genuine) and hasattr(genuine, name):
            guards[name] = _made.guard_from_config
    return guards


def _maker(genuine: type) -> Any:
    return _made.make_model if _load.is_model(genuine) and not _load.is_auto(genuine) else None
