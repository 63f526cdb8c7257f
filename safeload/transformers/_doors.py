"""What can still load something into a model after the load, guarded on the models that safeload loaded."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from safeload import adapt
from safeload.core.errors import UsageError
from safeload.core.names import escape
from safeload.engine.admit import admit
from safeload.engine.options import Options
from safeload.engine.request import Request
from safeload.transformers import _arguments
from safeload.transformers._traps import TRAPS, forbidden


class ModelKeeper(adapt.Keeper):
    """A keeper whose pickles guard the model again in the process that unpickles them."""

    def __reduce__(self) -> tuple[Any, ...]:
        return revive, (self.reference, self.options)


def revive(reference: str, options: Options) -> ModelKeeper:
    """Make a keeper without directories, and see that its model is guarded."""
    install()
    return ModelKeeper(reference, options)


def install() -> None:
    """Guard the methods of the library's classes that are loaded by now. Models that hold no keeper notice nothing."""
    for module, owner, method, door in _DOORS:
        genuine = getattr(sys.modules.get(module), owner, None)
        if genuine is not None and method in vars(genuine):
            adapt.install_door(genuine, method, door)


def _load_adapter(keeper: adapt.Keeper, original: Callable[..., Any], model: Any, /, *args: Any, **kwargs: Any) -> Any:
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
    request = Request(
        purpose="adapter",
        revision=adapter_kwargs.get("revision") or named.pop("revision", None),
        subfolder=str(adapter_kwargs.get("subfolder") or named.pop("subfolder", "") or ""),
        access=access,
    )
    admission = adapt.judge(lambda: admit(reference, request=request, options=keeper.options))
    keeper.extend(admission)
    named["use_safetensors"] = True
    return adapt.run(
        str(reference),
        lambda: original(model, str(admission.path), *bound.rest, local_files_only=True, **named),
        admitted=[admission.path],
        forbidden=forbidden(reference),
        traps=TRAPS,
    )


def _load_language(keeper: adapt.Keeper, original: Callable[..., Any], model: Any, /, *args: Any, **kwargs: Any) -> Any:
    """wav2vec2's language adapters, which it looks for wherever `config._name_or_path` points."""
    _arguments.screen(kwargs)
    where = model.config._name_or_path
    for name in (*_arguments.ACCESS, "revision", "use_safetensors"):
        kwargs.pop(name, None)
    admission = adapt.judge(lambda: admit(keeper.reference, request=Request(purpose="model"), options=keeper.options))
    keeper.extend(admission)
    model.config._name_or_path = str(admission.path)
    try:
        return adapt.run(
            keeper.reference,
            lambda: original(model, *args, local_files_only=True, use_safetensors=True, **kwargs),
            admitted=[admission.path],
            forbidden=forbidden(keeper.reference),
            traps=TRAPS,
        )
    finally:
        model.config._name_or_path = where


def _load_custom_generate(
    keeper: adapt.Keeper, original: Callable[..., Any], model: Any, /, *args: Any, **kwargs: Any
) -> Any:
    where = args[0] if args else kwargs.get("pretrained_model_name_or_path")
    raise UsageError(
        f"generate() with code from {escape(str(where))!r} is refused",
        why="it is code from a repository, which nobody approved",
        remedy="pass a function of your own: generate(custom_generate=my_function)",
    )


def _set_implementation(
    keeper: adapt.Keeper, original: Callable[..., Any], model: Any, /, *args: Any, **kwargs: Any
) -> Any:
    given = args[0] if args else next(iter(kwargs.values()), None)
    name = "experts_implementation" if "experts" in original.__name__ else "attn_implementation"
    _arguments.screen({name: given, "allow_all_kernels": kwargs.get("allow_all_kernels")})
    return adapt.run(
        keeper.reference,
        lambda: original(model, *args, **kwargs),
        admitted=(),
        forbidden=forbidden(keeper.reference),
        traps=TRAPS,
    )


def _set_use_kernels(
    keeper: adapt.Keeper, original: Callable[..., Any], model: Any, /, *args: Any, **kwargs: Any
) -> Any:
    _arguments.screen({"use_kernels": args[0] if args else kwargs.get("use_kernels")})
    return original(model, *args, **kwargs)


_DOORS: tuple[tuple[str, str, str, adapt.Door], ...] = (
    ("transformers.integrations.peft", "PeftAdapterMixin", "load_adapter", _load_adapter),
    ("transformers.models.wav2vec2.modeling_wav2vec2", "Wav2Vec2PreTrainedModel", "load_adapter", _load_language),
    ("transformers.generation.utils", "GenerationMixin", "load_custom_generate", _load_custom_generate),
    ("transformers.modeling_utils", "PreTrainedModel", "set_attn_implementation", _set_implementation),
    ("transformers.modeling_utils", "PreTrainedModel", "set_experts_implementation", _set_implementation),
    ("transformers.modeling_utils", "PreTrainedModel", "set_use_kernels", _set_use_kernels),
)
