"""huggingface_hub, with what loads models guarded: `from safeload.huggingface_hub import PyTorchModelHubMixin`.

    from safeload.huggingface_hub import PyTorchModelHubMixin                 # was: from huggingface_hub import …

    class MyModel(torch.nn.Module, PyTorchModelHubMixin): ...
    model = MyModel.from_pretrained("org/name")

Promised: your class gets the config and the weights that huggingface_hub would give it, whatever kind of file holds
them, and nothing in the files runs. Options of safeload ride in one keyword: `safeload=Options(…)`.

Guarded are `ModelHubMixin` and `PyTorchModelHubMixin` as base classes of yours, `load_torch_model` and
`load_state_dict_from_file`. All other names are the library's own objects; downloads are downloads, and judge nothing.
While your class is made, what its own `__init__` loads has to go through safeload as well. A mixin whose
`_from_pretrained` you wrote yourself gets the admitted directory, in which there is no pickle to read.

Raises, on use: `PolicyDenied` with every reason; `UsageError` for arguments that would weaken the load, or if the
library is missing or too old; `SourceError`, `MalformedInput`, `VerificationFailed`.
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
    from huggingface_hub import *  # noqa: F403

HOME = "safeload.huggingface_hub"
OLDEST = "1.0"
_MIXINS = ("ModelHubMixin", "PyTorchModelHubMixin")
_FUNCTIONS = {"load_torch_model": "checkpoint_path", "load_state_dict_from_file": "checkpoint_file"}
_WEIGHTS = (
    *("model.safetensors", "model.safetensors.index.json"),
    *("pytorch_model.bin", "pytorch_model.bin.index.json"),
)


def library() -> ModuleType:
    """The installed huggingface_hub. Raises `UsageError` if it is missing or too old."""
    return adapt_library.library("huggingface_hub", distribution="huggingface_hub", oldest=OLDEST, extra="transformers")


def __getattr__(name: str) -> Any:
    if name.startswith("_") and name != "__all__":
        raise AttributeError(f"module {HOME!r} has no attribute {name!r}")
    value = adapt_submodules.shown(getattr(library(), name), name, home=HOME, guarded=_guarded)
    globals()[name] = value
    return value


def _guarded(value: Any, name: str) -> Any:
    if name in _MIXINS:
        return adapt.facade(value, module=HOME, guards={"from_pretrained": _guard_mixin})
    if name in _FUNCTIONS:
        return adapt.guarded_function(value, module=HOME, guard=_guard_weights)
    return value


def __dir__() -> list[str]:
    return [name for name in dir(library()) if not name.startswith("_")]


def _guard_mixin(call: adapt.Call) -> Any:
    """Guard `from_pretrained` of a class that somebody built on a mixin."""
    named = adapt.by_name(call)
    named |= named.pop("model_kwargs", {}) if isinstance(named.get("model_kwargs"), dict) else {}
    reference = adapt_models.reference_in(named, "pretrained_model_name_or_path")
    if reference is None:
        return call.method(*call.args, **call.kwargs)
    torch_only = any(base.__name__ == "PyTorchModelHubMixin" for base in call.owner.__mro__)
    request = Request(
        purpose="model" if torch_only else "everything",
        revision=named.pop("revision", None),
        weights=_WEIGHTS[::2] if torch_only else (),
        access=adapt_models.take_access(named),
    )
    with adapt_models.Loading(reference, call.options) as loading:
        named["pretrained_model_name_or_path"] = str(loading.admit(reference, request).path)
        model = loading.run(lambda: call.method(**named, local_files_only=True))
    adapt_after.hold_apart(model, loading.keeper)
    return model


def _guard_weights(call: adapt.Call) -> Any:
    """Guard the functions that read a checkpoint from a path."""
    named = adapt.by_name(call)
    adapt_models.refuse_unpickling(named)
    holder = _FUNCTIONS[call.method.__name__]
    reference = adapt_models.reference_in(named, holder)
    if reference is None:
        return call.method(*call.args, **call.kwargs)
    if not os.path.exists(reference):
        raise UsageError(
            f"{escape(reference)!r} is no checkpoint", why="there is no such file", remedy="pass a file or a directory"
        )
    directory = os.path.isdir(reference)
    with adapt_models.Loading(reference, call.options) as loading:
        admission = loading.admit(reference, Request(purpose="model", weights=_WEIGHTS if directory else ()))
        found = [file.path for file in admission.files if file.how in ("link", "converted")]
        named[holder] = str(admission.path) if directory else os.path.join(admission.path, found[0])
        for name in ("safe", "filename_pattern"):  # the admitted weights are safetensors, under the usual name
            named.pop(name, None)
        result = loading.run(lambda: call.method(**named))
    if "model" in named:
        adapt_after.hold_apart(named["model"], loading.keeper)
        return result
    result = {name: tensor.clone() for name, tensor in result.items()}  # they outlive the directory
    loading.keeper.close()
    return result
