"""What can still load something into a model after the load, guarded on the models that safeload loaded."""

from __future__ import annotations

import dataclasses
import inspect
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from safeload import adapt, adapt_after
from safeload.core.errors import UsageError
from safeload.core.names import escape
from safeload.engine.admit import admit
from safeload.engine.approved import ApprovedCode
from safeload.engine.options import Options
from safeload.engine.request import Access, Request
from safeload.transformers import _arguments, _kernels, _saving
from safeload.transformers._code import Approved
from safeload.transformers._traps import TRAPS, forbidden


class ModelKeeper(adapt_after.Keeper):
    """A keeper that knows how its model was asked for, and whose pickles guard the model again where they are read."""

    request: Request = Request(purpose="model")
    code: ApprovedCode | None = None
    """The approved code that the model itself was loaded with."""

    def __reduce__(self) -> tuple[Any, ...]:
        # A pickle travels: the token stays here.
        return revive, (self.reference, self.options, dataclasses.replace(self.request, access=Access()))


def revive(reference: str, options: Options, request: Request) -> ModelKeeper:
    """Make a keeper without directories, and see that its model is guarded."""
    install()
    keeper = ModelKeeper(reference, options)
    keeper.request = request
    return keeper


def install() -> None:
    """Guard the methods of the library's classes that are loaded by now. Models that hold no keeper notice nothing."""
    _saving.install()
    _kernels.install()
    for module, owner, method, door in _DOORS:
        genuine = getattr(sys.modules.get(module), owner, None)
        if genuine is not None and method in vars(genuine):
            adapt_after.install_door(genuine, method, door)
    for module, owner in _LOADED:
        if (genuine := getattr(sys.modules.get(module), owner, None)) is not None:
            adapt_after.install_object_door(genuine, "from_pretrained", _load_another)
    mtp = getattr(sys.modules.get("transformers.modeling_layers"), "MtpModel", None)
    if mtp is not None:
        adapt_after.install_class_door(mtp, "from_pretrained", _load_mtp)


def _load_adapter(
    keeper: adapt_after.Keeper, original: Callable[..., Any], model: Any, /, *args: Any, **kwargs: Any
) -> Any:
    bound = adapt.bind(original.__get__(model), args, kwargs)
    named = dict(bound.named)
    reference = bound.reference
    _arguments.screen(named)
    adapter_kwargs = dict(named.pop("adapter_kwargs", None) or {})
    if not adapt.is_reference(reference) or adapt.within_admitted(reference):
        return original(model, reference, *bound.rest, adapter_kwargs=adapter_kwargs, **named)
    access = _arguments.take_access({**adapter_kwargs, **named})
    for name in _arguments.ACCESS:
        named.pop(name, None)
    own = {name: named.pop(name, None) for name in ("revision", "subfolder")} | adapter_kwargs
    request = Request(purpose="adapter", revision=own["revision"], subfolder=str(own["subfolder"] or ""), access=access)
    admission = adapt.judge(lambda: admit(reference, request=request, options=keeper.options))
    keeper.extend(admission)
    named["use_safetensors"] = True
    return adapt.run(
        str(reference),
        lambda: original(model, str(admission.path), *bound.rest, **named),
        admitted={str(admission.path): str(reference)},
        forbidden=forbidden(reference),
        traps=TRAPS,
    )


def language_files(language: object) -> tuple[str, ...]:
    """The names under which wav2vec2 looks for the adapter of a language."""
    return (f"adapter.{language}.safetensors", f"adapter.{language}.bin") if isinstance(language, str) else ()


def _load_language(
    keeper: adapt_after.Keeper, original: Callable[..., Any], model: Any, /, *args: Any, **kwargs: Any
) -> Any:
    """wav2vec2's language adapters, which it looks for wherever the config says the model came from."""
    _arguments.screen(kwargs)
    named = {name: value for name, value in kwargs.items() if name not in (*_arguments.ACCESS, "revision")}
    named["use_safetensors"] = True
    language = args[0] if args else kwargs.get("target_lang")
    access = _arguments.take_access(dict(kwargs))
    return _at_home(keeper, model, lambda: original(model, *args, **named), language_files(language), access)


def _load_another(
    keeper: adapt_after.Keeper, original: Callable[..., Any], holder: Any, /, *args: Any, **kwargs: Any
) -> Any:
    """`model.from_pretrained("org/other")`: another one, by what holds for its class."""
    from safeload.transformers import _surface

    options = kwargs.pop(adapt.KEYWORD, keeper.options)
    guard = _surface.guards(type(holder))["from_pretrained"]
    return guard(adapt.Call(owner=type(holder), method=original, args=args, kwargs=kwargs, options=options))


def _load_mtp(original: Callable[..., Any], cls: type, main_model: Any, /, *args: Any, **kwargs: Any) -> Any:
    """The layers that predict several tokens, read from the checkpoint of the main model when it first needs them."""
    keeper = adapt_after.keeper_of(main_model)
    if keeper is None:
        return original(cls, main_model, *args, **kwargs)
    return _at_home(keeper, main_model, lambda: original(cls, main_model, *args, **kwargs))


def _at_home(
    keeper: adapt_after.Keeper,
    model: Any,
    call: Callable[[], Any],
    also: tuple[str, ...] = (),
    access: Access | None = None,
) -> Any:
    """Make a call that reads from where the config says the model came from: from a directory admitted for it."""
    asked = keeper.request if isinstance(keeper, ModelKeeper) else Request(purpose="model")
    request = dataclasses.replace(asked, also=also, access=access or asked.access)
    admission = adapt.judge(lambda: admit(keeper.reference, request=request, options=keeper.options))
    keeper.extend(admission)
    shown = model.config._name_or_path
    model.config._name_or_path = str(admission.path)
    try:
        return adapt.run(
            keeper.reference,
            call,
            admitted={str(admission.path): keeper.reference},
            forbidden=forbidden(keeper.reference),
            traps=TRAPS,
        )
    finally:
        model.config._name_or_path = shown


def _load_custom_generate(
    keeper: adapt_after.Keeper, original: Callable[..., Any], model: Any, /, *args: Any, **kwargs: Any
) -> Any:
    """`generate(custom_generate="org/name", trust_remote_code=True)`: a function of a repository, if it is approved."""
    where = args[0] if args else kwargs.get("pretrained_model_name_or_path")
    trusted = kwargs.get("trust_remote_code")
    if trusted is not True or where is None or not adapt.is_reference(where):
        raise UsageError(
            f"generate() with code from {escape(str(where))!r} is refused",
            why="it is code from a repository, and this call does not ask for it",
            remedy="trust_remote_code=True, once it is approved; or a function: generate(custom_generate=my_function)",
        )
    access = _arguments.take_access(dict(kwargs))
    request = Request(purpose="generate", revision=kwargs.get("revision"), trust_remote_code=trusted, access=access)
    admission = adapt.judge(lambda: admit(where, request=request, options=keeper.options))
    keeper.extend(admission)
    approved = Approved([admission])
    with approved.tripwire(str(where)):
        return adapt.run(
            str(where),
            lambda: original(model, str(admission.path), trust_remote_code=bool(approved)),
            admitted={str(admission.path): str(where)},
            forbidden=forbidden(where),
            traps=TRAPS,
            answers=approved.answers,
        )


def _set_implementation(
    keeper: adapt_after.Keeper, original: Callable[..., Any], model: Any, /, *args: Any, **kwargs: Any
) -> Any:
    given = args[0] if args else next(iter(kwargs.values()), None)
    name = "experts_implementation" if "experts" in original.__name__ else "attn_implementation"
    _arguments.screen({name: given, "allow_all_kernels": kwargs.get("allow_all_kernels")}, kernels=True)
    with _asking(keeper):
        if name == "attn_implementation":
            _kernels.require(_arguments.repositories(given))
        return _belted(keeper, lambda: original(model, *args, **kwargs))


def _set_use_kernels(
    keeper: adapt_after.Keeper, original: Callable[..., Any], model: Any, /, *args: Any, **kwargs: Any
) -> Any:
    config = args[1] if len(args) > 1 else kwargs.get("kernel_config")
    with _asking(keeper):
        _kernels.require((), config, layers=bool(args[0] if args else kwargs.get("use_kernels")))
        return _belted(keeper, lambda: original(model, *args, **kwargs))


def _asking(keeper: adapt_after.Keeper) -> AbstractContextManager[None]:
    access = keeper.request.access if isinstance(keeper, ModelKeeper) else None
    return _kernels.asking(keeper.reference, keeper.options, access)


def _belted(keeper: adapt_after.Keeper, call: Callable[[], Any]) -> Any:
    """A call that loads no file of the model, and may ask for kernels."""
    _kernels.prepare(keeper.reference)
    return adapt.run(keeper.reference, call, admitted={}, forbidden=forbidden(keeper.reference), traps=TRAPS)


def _save(keeper: adapt_after.Keeper, original: Callable[..., Any], model: Any, /, *args: Any, **kwargs: Any) -> Any:
    """What is saved with a config that names code gets that code, also where the class is the library's own."""
    result = original(model, *args, **kwargs)
    bound = inspect.signature(original).bind(model, *args, **kwargs).arguments
    whole = os.path.exists(os.path.join(folder := bound["save_directory"], "config.json"))  # and not an adapter alone
    if isinstance(keeper, ModelKeeper) and keeper.code is not None and whole and bound.get("is_main_process", True):
        _saving.write(keeper.code.own, folder)
    return result


_LOADED = (
    ("transformers.modeling_utils", "PreTrainedModel"),
    ("transformers.tokenization_utils_base", "PreTrainedTokenizerBase"),
)
_DOORS: tuple[tuple[str, str, str, adapt_after.Door], ...] = (
    ("transformers.integrations.peft", "PeftAdapterMixin", "load_adapter", _load_adapter),
    ("transformers.models.wav2vec2.modeling_wav2vec2", "Wav2Vec2PreTrainedModel", "load_adapter", _load_language),
    ("transformers.generation.utils", "GenerationMixin", "load_custom_generate", _load_custom_generate),
    ("transformers.modeling_utils", "PreTrainedModel", "save_pretrained", _save),
    ("transformers.modeling_utils", "PreTrainedModel", "set_attn_implementation", _set_implementation),
    ("transformers.modeling_utils", "PreTrainedModel", "set_experts_implementation", _set_implementation),
    ("transformers.modeling_utils", "PreTrainedModel", "set_use_kernels", _set_use_kernels),
)
