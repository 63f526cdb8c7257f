"""Which names of diffusers are guarded, and how."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any

from safeload import adapt, adapt_library, adapt_submodules
from safeload.core.errors import UsageError
from safeload.diffusers import _late, _load, _modular, _single

HOME = "safeload.diffusers"
OLDEST = "0.37"
_REFUSED = ("Onnx", "Flax")
"""How the names of classes begin or contain that load programs, or weights that safeload does not read."""


def library() -> ModuleType:
    """The installed diffusers. Raises `UsageError` if it is missing or too old."""
    return adapt_library.library("diffusers", distribution="diffusers", oldest=OLDEST, extra="diffusers")


def show(name: str) -> Any:
    """A name of the library, guarded. Raises as `library` does, and `AttributeError` as the library itself does."""
    return adapt_submodules.shown(getattr(library(), name), name, home=HOME, guarded=guarded)


def guarded(value: Any, name: str = "") -> Any:
    """The guarded form of an object of the library; the object itself where there is nothing to guard."""
    if not inspect.isclass(value):
        return value
    if _modular.is_modular(value) and _has(value, "from_pretrained"):
        own: dict[str, adapt.Guard] = {"from_pretrained": _modular.guard_from_pretrained}
        return adapt.facade(value, module=HOME, guards=own, init=_modular.guard_made)
    if _modular.is_component(value):
        return adapt.facade(value, module=HOME, guards={}, init=_modular.guard_spec)
    guards = {name: guard for name, guard in _guards(value).items() if _has(value, name)}
    return adapt.facade(value, module=HOME, guards=guards) if guards else value


def _has(genuine: type, name: str) -> bool:
    # Looked up without getattr: the library's stand-ins for classes whose backend is missing raise on any access.
    return any(name in vars(base) for base in type.mro(genuine))


def _guards(genuine: type) -> dict[str, adapt.Guard]:
    if any(part in base.__name__ for base in type.mro(genuine) for part in _REFUSED):
        return dict.fromkeys(("from_pretrained", "from_single_file"), _refuse)
    takes_code = {"from_config": _load.guard_from_config} if genuine.__name__ == "AutoModel" else {}
    return takes_code | {
        "from_pretrained": _load.guard_from_pretrained,
        "from_single_file": _single.guard_from_single_file,
        "from_pipe": _load.guard_from_pipe,
        "download": _load.guard_download,
        "lora_state_dict": _late.guard_state_dict,
    }


def _refuse(call: adapt.Call) -> Any:
    raise UsageError(
        f"{call.owner.__name__} is refused",
        why="it loads programs of the model, or weights that safeload does not read",
        remedy="use a pipeline of torch: DiffusionPipeline.from_pretrained(…)",
    )
