"""Modular pipelines: blocks with code of their own, and components that are loaded later, each from where it is.

1. `from_pretrained` of blocks and of pipelines admits the settings of the repository, and no weights. Blocks in a file
   of it (`auto_map`) run if that code is approved.
2. A pipeline knows its components by reference, and loads them when `load_components` is called. There is a door there:
   each component is loaded by the guarded form of its class, so that each reference is admitted by itself.
3. The library logs what went wrong with a component and goes on. What safeload refused is raised when it is done.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from safeload import adapt, adapt_after, adapt_models
from safeload.core.errors import SafeloadError, UsageError
from safeload.core.names import escape
from safeload.diffusers import _code, _load
from safeload.diffusers._code import TRAPS
from safeload.engine.request import Request
from safeload.engine.seatbelt import Trap
from safeload.transformers import _surface as transformers_surface

_HOME = "diffusers.modular_pipelines.modular_pipeline"
_HOLDER = "pretrained_model_name_or_path"
_LOCAL = "_is_local_component"
_PIPELINE, _BLOCKS, _SPEC = "ModularPipeline", "ModularPipelineBlocks", "ComponentSpec"
_UNREAD = ("it would read settings that were not admitted", "leave it out")
_REFUSED = dict.fromkeys(("subfolder", "local_dir", "modular_config_dict", "config_dict"), _UNREAD)
_refusals: ContextVar[list[SafeloadError] | None] = ContextVar("safeload_modular", default=None)


def is_modular(genuine: type) -> bool:
    """Whether a class is one of blocks, or of a pipeline made of them."""
    return any(base.__name__ in (_PIPELINE, _BLOCKS) for base in type.mro(genuine))


def is_component(genuine: type) -> bool:
    """Whether a class describes a component, and loads it when it is told to."""
    return genuine.__name__ == _SPEC and "load" in vars(genuine)


def guard_from_pretrained(call: adapt.Call) -> Any:
    """Guard `from_pretrained` of blocks and modular pipelines.

    Raises:
        PolicyDenied: nobody approved the code of the blocks, or the library tried what must not happen.
        UsageError: an argument would weaken the load.
    """
    named = adapt.by_name(call)
    named |= named.pop("kwargs", {}) if isinstance(named.get("kwargs"), dict) else {}
    _load.screen(named)
    adapt_models.refuse(named, _REFUSED)
    reference = adapt_models.reference_in(named, _HOLDER)
    if reference is None:
        return call.method(*call.args, **call.kwargs)
    access = adapt_models.take_access(named)
    trusted = named.pop("trust_remote_code", None) or None
    request = Request(
        purpose="processor", revision=named.pop("revision", None), trust_remote_code=trusted, access=access
    )
    with adapt_models.Loading(reference, call.options) as loading:
        admission = loading.admit(reference, request)
        if admission.code is not None:
            _code.require_switch(admission)
        named |= {_HOLDER: str(admission.path), "local_files_only": True, "trust_remote_code": bool(admission.code)}
        traps, answers = _nothing_beside()
        answers |= _code.from_files([admission])
        result = loading.run(lambda: call.method(**named), (*TRAPS, *traps), answers)
    _settle(result, reference, loading)
    return result


def guard_made(call: adapt.Call) -> Any:
    """Blocks and pipelines that are put together by hand: what they load later is guarded.

    Raises:
        UsageError: a repository is named, whose settings nobody would judge.
    """
    named = adapt.by_name(call)
    if adapt_models.reference_in(named, _HOLDER) is not None:  # the library itself makes one of what was admitted
        raise UsageError(
            f"{call.owner.__name__}({_HOLDER}=…) is refused",
            why="its settings would be read without being admitted",
            remedy=f"{call.owner.__name__}.from_pretrained(…), or blocks.init_pipeline(…)",
        )
    made = call.method(*call.args, **call.kwargs)
    _hold(made, adapt_after.Keeper("a modular pipeline", call.options))
    return made


def guard_spec(call: adapt.Call) -> Any:
    """The description of a component: what it loads by itself, outside of a pipeline, is guarded."""
    made = call.method(*call.args, **call.kwargs)
    _hold(made, adapt_after.Keeper("a component", call.options))
    return made


def _hold(made: Any, keeper: adapt_after.Keeper) -> None:
    """Install the doors, once, and let an object keep what they look for."""
    home = sys.modules[_HOME]
    pipeline, blocks, spec = (getattr(home, name) for name in (_PIPELINE, _BLOCKS, _SPEC))
    adapt_after.install_door(pipeline, "load_components", _load_components)
    adapt_after.install_door(blocks, "init_pipeline", _init_pipeline)
    adapt_after.install_door(spec, "load", _load_component)
    adapt_after.hold(made, keeper)
    for one in (getattr(made, "_component_specs", None) or {}).values():  # given out as copies, which can load as well
        adapt_after.hold(one, keeper)


def _nothing_beside() -> tuple[tuple[Trap, ...], dict[tuple[str, str], Any]]:
    """The admitted directory holds settings only. Which components lie beside the model's own is asked afterwards."""
    if not hasattr(sys.modules.get(_HOME), _LOCAL):
        return (), {}
    trap = Trap(_HOME, _LOCAL, "look for components", judge=lambda *_, **__: "")
    return (trap,), {(_HOME, _LOCAL): lambda *_, **__: False}


def _settle(result: Any, reference: str, loading: adapt_models.Loading) -> None:
    """Let a pipeline name what was asked for: the library finds components that lie beside the settings by that."""
    _hold(result, loading.keeper)
    specs = getattr(result, "_component_specs", None)
    if specs is None:
        return
    local = getattr(sys.modules[_HOME], _LOCAL, lambda *_: False)
    for spec in specs.values():
        if isinstance(place := spec.pretrained_model_name_or_path, str):
            spec.pretrained_model_name_or_path = loading.shown(place)
        known = spec.type_hint is None or isinstance(spec.type_hint, type)  # the index may name anything
        if (
            os.path.isdir(reference)
            and known
            and spec.default_creation_method != "from_config"
            and local(reference, spec)
        ):
            spec.pretrained_model_name_or_path, spec.revision = reference, None
    result._pretrained_model_name_or_path = reference


def _init_pipeline(
    keeper: adapt_after.Keeper, original: Callable[..., Any], blocks: Any, /, *args: Any, **kwargs: Any
) -> Any:
    method = original.__get__(blocks)
    call = adapt.Call(owner=type(blocks), method=method, args=args, kwargs=kwargs, options=keeper.options)
    named = adapt.by_name(call)
    reference = adapt_models.reference_in(named, _HOLDER)
    if reference is None:
        made = method(**named)
        _hold(made, keeper)
        return made
    with adapt_models.Loading(reference, keeper.options) as loading:
        admission = loading.admit(reference, Request(purpose="layout"))
        named[_HOLDER] = str(admission.path)
        traps, answers = _nothing_beside()
        made = loading.run(lambda: original(blocks, **named), (*TRAPS, *traps), answers)
    _settle(made, reference, loading)
    return made


def _load_components(
    keeper: adapt_after.Keeper, original: Callable[..., Any], pipeline: Any, /, *args: Any, **kwargs: Any
) -> Any:
    for spec in pipeline._component_specs.values():
        adapt_after.hold(spec, keeper)
    refusals: list[SafeloadError] = []
    token = _refusals.set(refusals)
    try:
        result = original(pipeline, *args, **kwargs)
    finally:
        _refusals.reset(token)
    if refusals:
        for other in refusals[1:]:
            refusals[0].add_note(str(other))
        raise refusals[0]
    return result


def _load_component(
    keeper: adapt_after.Keeper, original: Callable[..., Any], spec: Any, /, *args: Any, **kwargs: Any
) -> Any:
    genuine = facade = spec.type_hint
    try:
        spec.type_hint = facade = _guarded(genuine, spec.name)
        return original(spec, *args, **kwargs, **{adapt.KEYWORD: keeper.options})
    except (ValueError, SafeloadError) as error:  # the library makes a ValueError of whatever it is
        refused = _within(error)
        if refused is None:
            raise
        if (refusals := _refusals.get()) is not None:
            refusals.append(refused)
        raise refused from None
    finally:
        if spec.type_hint is facade:
            spec.type_hint = genuine


def _guarded(genuine: Any, name: str) -> Any:
    """The guarded form of the class of a component; for one that has none, that which chooses by the settings."""
    from safeload.diffusers._surface import guarded, library

    if genuine is None:
        return guarded(library().AutoModel)
    bases = type.mro(genuine) if isinstance(genuine, type) else ()
    homes = {
        base.__module__.partition(".")[0] for base in bases if base.__name__ != "PushToHubMixin"
    }  # others' as well
    found = None
    if "transformers" in homes:
        found = transformers_surface.guarded(genuine, genuine.__name__)
    elif "diffusers" in homes:
        found = guarded(genuine)
    if not isinstance(found, adapt.FacadeMeta):
        raise UsageError(
            f"the component {escape(str(name))!r} was not loaded",
            why=f"{escape(repr(genuine), 120)} is no class of diffusers or transformers that safeload can guard",
            remedy="load it by itself, and: pipeline.update_components(…)",
        )
    return found


def _within(error: BaseException | None) -> SafeloadError | None:
    """The refusal that the library wrapped into an error of its own."""
    for _ in range(8):
        if error is None or isinstance(error, SafeloadError):
            return error
        error = error.__cause__ or error.__context__
    return None
