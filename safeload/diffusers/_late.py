"""What is loaded into a pipeline afterwards: LoRA weights, textual inversions, IP adapters."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from safeload import adapt, adapt_after, adapt_models
from safeload.core.errors import UsageError
from safeload.core.names import escape
from safeload.engine.request import Request

_NAMES = {
    "load_lora_weights": "pytorch_lora_weights",
    "load_lora_adapter": "pytorch_lora_weights",
    "load_attn_procs": "pytorch_lora_weights",
    "lora_state_dict": "pytorch_lora_weights",
    "load_textual_inversion": "learned_embeds",
    "load_ip_adapter": "",
}
"""The methods, and what each calls its weights if nobody says."""
_HOLDERS = (
    "pretrained_model_name_or_path_or_dict",
    "pretrained_model_name_or_path",
    "pretrained_model_name_or_path_or_dict_or_list",
)


def install(owner: type) -> None:
    """Guard the methods of a class that load more, on objects that safeload loaded."""
    for name in _NAMES:
        for base in owner.__mro__:
            if name in vars(base) and callable(vars(base)[name]):
                adapt_after.install_door(base, name, _door(name))
                break


def guard_state_dict(call: adapt.Call) -> Any:
    """`lora_state_dict`, which reads the weights and loads them into nothing."""
    named = adapt.by_name(call)
    with adapt_models.Loading("LoRA weights", call.options) as loading:
        _admit(named, "lora_state_dict", loading)
        return loading.run(lambda: call.method(**named))


def _door(name: str) -> adapt_after.Door:
    def door(keeper: adapt_after.Keeper, original: Callable[..., Any], holder: Any, /, *args: Any, **kw: Any) -> Any:
        method = original.__get__(holder)
        call = adapt.Call(owner=type(holder), method=method, args=args, kwargs=kw, options=keeper.options)
        named = adapt.by_name(call)
        with adapt_models.Loading(keeper.reference, keeper.options, keeper) as loading:
            _admit(named, name, loading)
            return loading.run(lambda: original(holder, **named))

    return door


def _admit(named: dict[str, Any], method: str, loading: adapt_models.Loading) -> None:
    """Admit what the first argument names, and let the call name what was admitted.

    Raises:
        UsageError: there are no such weights, or the call would load more than it names.
    """
    named |= named.pop("kwargs", {}) if isinstance(named.get("kwargs"), dict) else {}
    holder = next((name for name in _HOLDERS if name in named), _HOLDERS[0])
    if method == "load_ip_adapter":
        _refuse_encoder(named)
    given = named.get(holder)
    items: list[Any] = given if isinstance(given, list) else [given]
    if not any(adapt.is_reference(item) and not adapt.within_admitted(item) for item in items):
        return
    names, folders = named.pop("weight_name", None), named.pop("subfolder", None)
    request = _request(named)
    found = [
        _one(item, _nth(names, i), str(_nth(folders, i) or ""), method, request, loading)
        for i, item in enumerate(items)
    ]
    several = isinstance(given, list)
    named[holder] = [place for place, _ in found] if several else found[0][0]
    _name_weights(named, method, [name for _, name in found], several=several)


def _refuse_encoder(named: dict[str, Any]) -> None:
    if named.get("image_encoder_folder", "image_encoder") is not None:
        raise UsageError(
            "load_ip_adapter() with an image encoder is refused",
            why="the encoder is a model of its own, in another folder of that repository",
            remedy="load it with safeload.transformers, give it to the pipeline, and pass image_encoder_folder=None",
        )


def _request(named: dict[str, Any]) -> Request:
    """What the call says of where the weights are and how to reach them, taken out of it."""
    token = named.pop("hf_token", None)
    if token is not None:
        named["token"] = token
    access = adapt_models.take_access(named)
    revision, use_safetensors = named.pop("revision", None), named.pop("use_safetensors", None)
    return Request(purpose="model", revision=revision, use_safetensors=use_safetensors, access=access)


def _one(
    item: Any, name: Any, folder: str, method: str, request: Request, loading: adapt_models.Loading
) -> tuple[Any, Any]:
    """Admit one reference: its directory, and the name of the weights there. A state dict stays what it is."""
    if not adapt.is_reference(item):
        return item, name
    wanted = _wanted(os.fspath(item), name, folder, _NAMES[method])
    admission = loading.admit(item, replace(request, subfolder=folder, weights=wanted))
    files = [file.path for file in admission.files if file.how in ("link", "converted")]
    if not files:
        raise UsageError(
            f"{escape(str(item))!r} has no weights for {method}()",
            why="it has no file of the names " + ", ".join(escape(name) for name in wanted[:6]),
            remedy="pass weight_name=FILE",
        )
    return str(admission.path), files[0]


def _name_weights(named: dict[str, Any], method: str, names: list[Any], *, several: bool) -> None:
    """Say in the call what the admitted weights are called."""
    named["local_files_only"] = True
    if method == "load_ip_adapter":
        named |= {"weight_name": names, "subfolder": [""] * len(names)} if several else {
            "weight_name": names[0], "subfolder": ""
        }  # fmt: skip
        return
    named["use_safetensors"] = True
    chosen = {name for name in names if name is not None}
    if len(chosen) > 1:
        raise UsageError(
            f"{method}() of several files at a time is refused",
            why="they have different names, and the library takes one name for all",
            remedy="load them one by one",
        )
    if chosen:
        named["weight_name"] = chosen.pop()


def _nth(value: Any, number: int) -> Any:
    return value[number] if isinstance(value, list) else value


def _wanted(reference: str, name: object, folder: str, default: str) -> tuple[str, ...]:
    """The names of the weights, best first; none for a file, which is what it is."""
    if os.path.isfile(reference):
        return ()
    if isinstance(name, str):
        return (name,)
    names = [f"{default}.safetensors", f"{default}.bin"] if default else []
    place = os.path.join(reference, folder)
    if os.path.isdir(place):  # the library takes any file of that kind, if it is the only one
        for kind in (".safetensors", ".bin"):
            others = sorted(entry for entry in os.listdir(place) if entry.endswith(kind))
            names += others if len(others) == 1 else []
    return tuple(dict.fromkeys(names))
