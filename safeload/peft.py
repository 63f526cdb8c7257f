"""PEFT, with its loaders guarded: `from safeload.peft import PeftModel`.

    from safeload.peft import PeftModel, AutoPeftModelForCausalLM                    # was: from peft import …

Promised: what these return is what PEFT returns, of exactly its classes; nothing in the adapter's or the base model's
files ran. The base that an adapter names is admitted by the same policy. Options of safeload ride in one keyword:
`safeload=Options(…)`.

Guarded are all classes with `from_pretrained`, `load_peft_weights`, and `load_adapter` of the models that these return.
All other names are the library's own objects: `get_peft_model` does what the config says that your code gives it. Not
guarded are `peft.utils.hotswap` and whatever your code imports from `peft` itself.

Raises, on use: `PolicyDenied` with every reason; `UsageError` for arguments that would weaken the load, or if the
library is missing or too old; `SourceError`, `MalformedInput`, `VerificationFailed`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from safeload import adapt, adapt_after, adapt_library, adapt_models, adapt_submodules
from safeload.core.errors import UsageError
from safeload.core.names import escape
from safeload.engine.request import Purpose, Request
from safeload.transformers import _arguments
from safeload.transformers._load import native_types

if TYPE_CHECKING:
    from peft import *  # noqa: F403

HOME = "safeload.peft"
OLDEST = "0.20"
_HUB = ("repo_type", "force_filename", "local_dir", "resume_download", "user_agent", "library_name", "etag_timeout")


def library() -> ModuleType:
    """The installed PEFT. Raises `UsageError` if it is missing or too old."""
    return adapt_library.library("peft", distribution="peft", oldest=OLDEST, extra="peft")


def __getattr__(name: str) -> Any:
    if name.startswith("_") and name != "__all__":
        raise AttributeError(f"module {HOME!r} has no attribute {name!r}")
    value = adapt_submodules.shown(getattr(library(), name), name, home=HOME, guarded=_guarded)
    globals()[name] = value
    return value


def _guarded(value: Any, name: str) -> Any:
    if inspect.isclass(value) and any("from_pretrained" in vars(base) for base in type.mro(value)):
        return adapt.facade(value, module=HOME, guards={"from_pretrained": _guard_of(value)})
    if name == "load_peft_weights":
        return adapt.guarded_function(value, module=HOME, guard=_guard_weights)
    return value


def __dir__() -> list[str]:
    return [name for name in dir(library()) if not name.startswith("_")]


def _guard_of(genuine: type) -> adapt.Guard:
    bases = {base.__name__ for base in genuine.__mro__}
    if "_BaseAutoPeftModel" in bases:
        return _guard_auto
    return _guard_config if "PeftConfigMixin" in bases else _guard_model


# --- the guards -----------------------------------------------------------------------------------------------------

_Load = Callable[[adapt.Call, dict[str, Any], Request, str], Any]
"""What a guard does with a call, its arguments by name, the request they make, and the reference among them."""


def _guard(purpose: Purpose, holder: str) -> Callable[[_Load], adapt.Guard]:
    """How each guard begins. A call whose `holder` names no adapter by a reference is the library's own business."""

    def made(load: _Load) -> adapt.Guard:
        def guard(call: adapt.Call) -> Any:
            named, request = _taken(call, purpose)
            reference = adapt_models.reference_in(named, holder)
            if reference is None:
                return call.method(*call.args, **call.kwargs)
            return load(call, named, request, reference)

        return guard

    return made


@_guard("config", "pretrained_model_name_or_path")
def _guard_config(call: adapt.Call, named: dict[str, Any], request: Request, reference: str) -> Any:
    """A config: read to the end, so its directory is given up at once."""
    with adapt_models.Loading(reference, call.options) as loading:
        named["pretrained_model_name_or_path"] = str(loading.admit(reference, request).path)
        config = loading.run(lambda: call.method(**named))
    loading.keeper.close()
    return config


@_guard("adapter", "model_id")
def _guard_model(call: adapt.Call, named: dict[str, Any], request: Request, reference: str) -> Any:
    """An adapter for a model that is there already."""
    with adapt_models.Loading(reference, call.options) as loading:
        named["model_id"] = str(loading.admit(reference, request).path)
        if isinstance(named.get("adapters"), dict):
            named["adapters"] = _admitted(named["adapters"], request, loading)
        model = loading.run(lambda: call.method(**named))
    _keep(model, loading)
    return model


@_guard("pipeline", "pretrained_model_name_or_path")
def _guard_auto(call: adapt.Call, named: dict[str, Any], request: Request, reference: str) -> Any:
    """An adapter and the base model that it names."""
    _arguments.screen(named)
    adapt_models.refuse(
        named, {"import_allowlist": ("it lets the adapter choose what is imported", "load the base model by itself")}
    )
    with adapt_models.Loading(reference, call.options) as loading:
        admission = loading.admit(reference, request)
        if admission.base is None:
            raise UsageError(
                f"{escape(reference)!r} was not loaded with its base model",
                why="it names none, or a whole model lies beside it",
                remedy="PeftModel.from_pretrained(AutoModel….from_pretrained(base), adapter)",
            )
        named |= {"pretrained_model_name_or_path": str(admission.path), "trust_remote_code": bool(loading.approved)}
        model = loading.run(lambda: call.method(**named, local_files_only=True))
    _keep(model, loading)
    for config in model.peft_config.values():
        config.base_model_name_or_path = admission.base.reference
    return model


@_guard("adapter", "model_id")
def _guard_weights(call: adapt.Call, named: dict[str, Any], request: Request, reference: str) -> Any:
    """The weights of an adapter, by name."""
    with adapt_models.Loading(reference, call.options) as loading:
        named["model_id"] = str(loading.admit(reference, request).path)
        weights = loading.run(lambda: call.method(**named))
        weights = {name: tensor.clone() for name, tensor in weights.items()}  # they outlive the directory
    loading.keeper.close()
    return weights


def _taken(call: adapt.Call, purpose: Purpose) -> tuple[dict[str, Any], Request]:
    """The arguments by name, and the request that those make which say where the adapter is."""
    named = adapt.by_name(call)
    for inner in [name for name in named if isinstance(named[name], dict) and name == "kwargs"]:
        named |= named.pop(inner)
    access = adapt_models.take_access(named)
    for name in _HUB:
        named.pop(name, None)
    request = Request(
        purpose=purpose,
        revision=named.pop("revision", None),
        subfolder=str(named.pop("subfolder", None) or ""),
        trust_remote_code=named.pop("trust_remote_code", None),
        native_types=native_types() if purpose == "pipeline" else None,
        access=access,
    )
    return named, request


def _admitted(adapters: Mapping[str, Any], request: Request, loading: adapt_models.Loading) -> dict[str, Any]:
    """The adapters of a mixture (X-LoRA), each admitted by itself."""
    found = {}
    for name, value in adapters.items():
        plain = Request(purpose="adapter", access=request.access)
        found[name] = str(loading.admit(value, plain).path) if adapt.is_reference(value) else value
    return found


# --- afterwards -----------------------------------------------------------------------------------------------------


def _keep(model: Any, loading: adapt_models.Loading) -> None:
    """Keep what was admitted as long as the model, and guard what it may load later."""
    adapt_after.hold(model, loading.keeper)
    for owner in (library().PeftModel, library().PeftMixedModel):
        adapt_after.install_door(owner, "load_adapter", _load_adapter)
    adapt_models.dress_modules(model, loading)


def _load_adapter(
    keeper: adapt_after.Keeper, original: Callable[..., Any], model: Any, /, *args: Any, **kwargs: Any
) -> Any:
    """`model.load_adapter`, which names one more adapter."""
    bound = adapt.Call(
        owner=type(model), method=original.__get__(model), args=args, kwargs=kwargs, options=keeper.options
    )
    named, request = _taken(bound, "adapter")
    reference = adapt_models.reference_in(named, "model_id")
    if reference is None:
        return original(model, *args, **kwargs)
    with adapt_models.Loading(reference, keeper.options, keeper) as loading:
        named["model_id"] = str(loading.admit(reference, request).path)
        rest = named.pop("args", ())
        if rest:
            return loading.run(
                lambda: original(model, named.pop("model_id"), named.pop("adapter_name"), *rest, **named)
            )
        return loading.run(lambda: original(model, **named))
