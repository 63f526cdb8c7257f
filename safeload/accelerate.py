"""accelerate, with what loads checkpoints guarded: `from safeload.accelerate import load_checkpoint_and_dispatch`.

    from safeload.accelerate import load_checkpoint_in_model, load_checkpoint_and_dispatch    # was: from accelerate …

Promised: the model gets the tensors of the checkpoint, whatever kind of file holds them, and nothing in its files runs;
an index names files beside it and no others. Options of safeload ride in one keyword: `safeload=Options(…)`.

All other names are the library's own objects. `Accelerator.load_state` reads the training state that your own program
wrote (optimizers, schedulers, random states, your own objects), which are pickles by nature: it is not guarded, and
should not be pointed at what somebody else made. Nor is what your code imports from `accelerate` itself.

Raises, on use: `PolicyDenied` with every reason; `UsageError` for a checkpoint that there is not, or if the library is
missing or too old; `SourceError`, `MalformedInput`, `VerificationFailed`.
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import TYPE_CHECKING, Any

from safeload import adapt, adapt_after, adapt_library, adapt_models, adapt_submodules
from safeload.core.errors import UsageError
from safeload.core.names import escape
from safeload.engine.request import Request

if TYPE_CHECKING:
    from accelerate import *  # noqa: F403

HOME = "safeload.accelerate"
OLDEST = "1.10"
_GUARDED = ("load_checkpoint_in_model", "load_checkpoint_and_dispatch")
_WHOLE = ("pytorch_model.bin", "model.safetensors")
"""What accelerate looks for in a directory, best first."""
_INDEX = ".index.json"


def library() -> ModuleType:
    """The installed accelerate. Raises `UsageError` if it is missing or too old."""
    return adapt_library.library("accelerate", distribution="accelerate", oldest=OLDEST, extra="accelerate")


def __getattr__(name: str) -> Any:
    if name.startswith("_") and name != "__all__":
        raise AttributeError(f"module {HOME!r} has no attribute {name!r}")
    module = library()
    # One of the two functions is offered by a submodule only; here both are.
    value = getattr(module.utils if name in _GUARDED and not hasattr(module, name) else module, name)
    value = adapt_submodules.shown(value, name, home=HOME, guarded=_guarded)
    globals()[name] = value
    return value


def _guarded(value: Any, name: str) -> Any:
    return adapt.guarded_function(value, module=HOME, guard=_guard_checkpoint) if name in _GUARDED else value


def __dir__() -> list[str]:
    return sorted({name for name in dir(library()) if not name.startswith("_")} | set(_GUARDED))


def _guard_checkpoint(call: adapt.Call) -> Any:
    """Guard a function that fills `model` from `checkpoint`: a file, an index, or a directory that holds either."""
    named = adapt.by_name(call)
    reference = adapt_models.reference_in(named, "checkpoint")
    if reference is None:
        return call.method(*call.args, **call.kwargs)
    folder, weights = _weights_at(reference)
    request = Request(purpose="model", weights=weights)
    with adapt_models.Loading(reference, call.options) as loading:
        admission = loading.admit(folder, request)
        given = sorted(path for path in os.listdir(admission.path) if path.endswith((".safetensors", _INDEX)))
        index = [path for path in given if path.endswith(_INDEX)]
        named["checkpoint"] = os.path.join(admission.path, (index or given)[0])
        result = loading.run(lambda: call.method(**named))
    # Tensors that are offloaded to disk, or mapped, are read from the directory for as long as the model lives.
    adapt_after.hold_apart(named["model"], loading.keeper)
    return result


def _weights_at(reference: str) -> tuple[str, tuple[str, ...]]:
    """What to admit for a checkpoint, and the names of its weights there.

    Raises:
        UsageError: there are none, or several that the library could not tell apart.
    """
    if os.path.isfile(reference):
        if reference.endswith(".json"):
            folder, name = os.path.split(os.path.abspath(reference))
            return folder, (name,)
        return reference, ()
    try:
        names = os.listdir(reference)
    except OSError as error:
        raise UsageError(
            f"{escape(reference)!r} is no checkpoint",
            why=error.strerror or "it cannot be read",
            remedy="pass a file, an index, or a directory that holds them",
        ) from error
    for name in _WHOLE:
        if name in names:
            return reference, (name,)
    indexes = sorted(name for name in names if name.endswith(_INDEX))
    if len(indexes) != 1:
        raise UsageError(
            f"{escape(reference)!r} is no checkpoint",
            why=f"it holds {len(indexes)} shard indexes and no whole state dict",
            remedy="pass the index itself" if indexes else "pass a file, an index, or a directory that holds them",
        )
    return reference, (indexes[0],)
