"""`from_pretrained` of pipelines, models, schedulers and processors, guarded: admit first, then call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from safeload import adapt, adapt_after, adapt_models
from safeload.core.errors import UsageError
from safeload.diffusers import _code, _custom, _late
from safeload.diffusers._code import TRAPS
from safeload.engine.request import Request
from safeload.transformers import _arguments

NAMES = ("pretrained_model_name_or_path", "pretrained_model_or_path")
_PROGRAM = "it names a program, and nothing here takes one"
_CUSTOM = dict.fromkeys(("custom_pipeline", "custom_revision"), (_PROGRAM, "leave it out"))
REFUSED = {
    "use_onnx": ("ONNX runs programs of the model", "leave it out"),
    "load_connected_pipeline": ("it would load other models that the card of this one names", "load them one by one"),
    "use_flashpack": ("safeload does not read that format", "leave it out"),
    "from_flax": ("safeload does not read Flax weights here", "convert them first"),
}
_STEMS = (("diffusion_pytorch_model", "diffusion_pytorch_model"), ("model", "pytorch_model"))
_WEIGHTS = tuple(
    name
    for safe, pickled in _STEMS
    for name in (
        *(f"{safe}.safetensors", f"{safe}.safetensors.index.json"),
        *(f"{pickled}.bin", f"{pickled}.bin.index.json"),
    )
)
"""What models call their weights, best first: those of diffusers, and of transformers for `AutoModel`."""


def guard_from_pretrained(call: adapt.Call) -> Any:
    """Guard `from_pretrained` of any class.

    Raises:
        PolicyDenied: the model was refused, or the library tried what must not happen.
        UsageError: an argument would weaken the load.
    """
    named = adapt.by_name(call)
    named |= named.pop("kwargs", {}) if isinstance(named.get("kwargs"), dict) else {}
    holder = next((name for name in NAMES if name in named), NAMES[0])
    pipeline = is_pipeline(call.owner)
    screen(named, program=pipeline)
    reference = adapt_models.reference_in(named, holder)
    if reference is None:
        if pipeline:
            adapt_models.refuse(named, _CUSTOM)  # nobody says what for
        return call.method(*call.args, **call.kwargs)
    request = _request(call.owner, named)
    with adapt_models.Loading(reference, call.options) as loading:
        admission = loading.admit(reference, request)
        program = None
        if pipeline:
            program = _custom.take(named, admission, request.trust_remote_code, request.access, loading)
        _code.check(call.owner, admission, pipeline=pipeline, program=program)
        named[holder] = str(admission.path)
        if pipeline or _is(call.owner, "ModelMixin", "AutoModel"):
            named |= {"use_safetensors": True, "trust_remote_code": _code.maps_itself(call.owner, admission)}
        named["local_files_only"] = True
        answers = _code.answers(admission, *filter(None, [program]))
        result = loading.run(lambda: _code.load(call.method, admission, named, program), TRAPS, answers)
    finish(result, loading)
    return result


def guard_from_pipe(call: adapt.Call) -> Any:
    """A pipeline of another one's components: nothing to admit but the program that the call may name.

    Raises:
        PolicyDenied: nobody approved that program.
        UsageError: an argument would weaken the load.
    """
    named = dict(call.kwargs)
    screen(named, program=True)
    trusted = named.pop("trust_remote_code", None)
    if trusted and named.get("custom_pipeline") is None:
        raise UsageError("trust_remote_code=True is refused", why="there is no program to load", remedy="leave it out")
    with adapt_models.Loading("a pipeline", call.options) as loading:
        access = adapt_models.take_access(dict(named))
        program = _custom.take(named, None, trusted, access, loading)
        answers = _code.from_files(filter(None, [program]))
        result = loading.run(lambda: call.method(*call.args, **named), TRAPS, answers)
    if program is not None:
        finish(result, loading)
    return result


def guard_from_config(call: adapt.Call) -> Any:
    """`from_config` of a class that takes the code which the config names: `AutoModel`.

    Raises:
        PolicyDenied: nobody approved that code, or the library tried what must not happen.
        UsageError: the config is an object, which can name any code.
    """
    named = adapt.by_name(call)
    named |= named.pop("kwargs", {}) if isinstance(named.get("kwargs"), dict) else {}
    holder = "pretrained_model_name_or_path_or_dict"
    config, trusted = named.get(holder), named.pop("trust_remote_code", None)
    if config is None or not adapt.is_reference(config):
        if trusted:
            raise UsageError(
                "trust_remote_code=True is refused",
                why="a config object can name any code",
                remedy=f"{call.owner.__name__}.from_config(MODEL, trust_remote_code=True)",
            )
        with adapt_models.Loading("a config", call.options) as loading:
            return loading.run(lambda: call.method(**named), TRAPS)
    subfolder, access = str(named.pop("subfolder", None) or ""), adapt_models.take_access(named)
    request = Request(
        purpose="config",
        revision=named.pop("revision", None),
        subfolder=subfolder,
        trust_remote_code=trusted or None,
        access=access,
    )
    with adapt_models.Loading(str(config), call.options) as loading:
        admission = loading.admit(config, request)
        _code.check(call.owner, admission, pipeline=False)
        named |= {holder: str(admission.path), "local_files_only": True}
        named["trust_remote_code"] = _code.maps_itself(call.owner, admission)
        result = loading.run(lambda: call.method(**named), TRAPS, _code.answers(admission))
    finish(result, loading)
    return result


def guard_download(call: adapt.Call) -> Any:
    """`download` fetches a pipeline and nobody judges it."""
    raise UsageError(
        "download() is refused",
        why="it fetches files that are not judged, programs among them",
        remedy="from_pretrained(…), or: safeload admit MODEL --into DIRECTORY",
    )


def screen(named: dict[str, Any], *, program: bool = False) -> None:
    """Refuse the arguments that would weaken a load. `program`: the call may name one. Raises `UsageError`."""
    adapt_models.refuse(named, REFUSED if program else REFUSED | _CUSTOM)
    _arguments.screen(named)


def _request(owner: type, named: dict[str, Any]) -> Request:
    access = adapt_models.take_access(named)
    common: dict[str, Any] = {
        "revision": named.pop("revision", None),
        "variant": named.pop("variant", None),
        "use_safetensors": named.pop("use_safetensors", None),
        "trust_remote_code": named.pop("trust_remote_code", None) or None,
        "access": access,
    }
    if is_pipeline(owner):
        return Request(purpose="parts", without=tuple(sorted(named)), **common)
    subfolder = str(named.pop("subfolder", None) or "")
    if _is(owner, "ModelMixin", "AutoModel"):
        return Request(purpose="model", subfolder=subfolder, weights=_WEIGHTS, **common)
    common |= {"variant": None, "use_safetensors": None}
    return Request(purpose="processor", subfolder=subfolder, **common)


def is_pipeline(owner: type) -> bool:
    """Whether a class is a pipeline, or chooses one."""
    return _is(owner, "DiffusionPipeline") or owner.__name__.startswith("AutoPipeline")


def _is(owner: type, *names: str) -> bool:
    return any(base.__name__ in names for base in owner.__mro__)


# --- afterwards -----------------------------------------------------------------------------------------------------


def finish(result: Any, loading: adapt_models.Loading) -> None:
    """Let a result show what was asked for, keep what it was loaded from, and guard what it loads later."""
    if isinstance(result, tuple):
        result = result[0]
    for part in parts_of(result):
        _show(part, loading)
        if hasattr(part, "modules"):
            adapt_models.dress_modules(part, loading)
        if part is result or hasattr(part, "modules"):
            adapt_after.hold(part, loading.keeper)
            _late.install(type(part))
        elif not adapt_models.dress_one(part, loading):
            adapt_after.hold_apart(part, loading.keeper)  # it writes its attributes to files


def parts_of(result: Any) -> Iterator[Any]:
    """A pipeline and its components; a component itself."""
    yield result
    components = getattr(result, "components", None)
    if isinstance(components, dict):
        yield from (part for part in components.values() if part is not None and hasattr(part, "__dict__"))


def _show(part: Any, loading: adapt_models.Loading) -> None:
    """The place that diffusers remembers in a config, as the user would name it."""
    config = getattr(part, "_internal_dict", None)
    if config is None or "_name_or_path" not in config:
        return
    name = str(config["_name_or_path"])
    if (shown := loading.shown(name)) != name:
        part.register_to_config(_name_or_path=shown)
