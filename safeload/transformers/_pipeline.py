"""`pipeline`, guarded: every part that is named is admitted, then the genuine function puts them together."""

from __future__ import annotations

import dataclasses
import logging
import os
import sys
from typing import Any

from safeload import adapt
from safeload.core.errors import UsageError
from safeload.core.names import escape
from safeload.engine.admit import admit
from safeload.engine.request import Purpose, Request
from safeload.transformers import _arguments, _kernels
from safeload.transformers._code import Approved, forget, require_trust
from safeload.transformers._doors import ModelKeeper
from safeload.transformers._dress import dress
from safeload.transformers._load import directories, entry, native_types
from safeload.transformers._traps import TRAPS, forbidden

_PARTS: dict[str, Purpose] = {
    "model": "pipeline",
    "config": "config",
    "tokenizer": "tokenizer",
    "feature_extractor": "processor",
    "image_processor": "processor",
    "video_processor": "processor",
    "processor": "processor",
    "assistant_model": "pipeline",
}

_log = logging.getLogger("safeload.transformers")


def guard_pipeline(call: adapt.Call) -> Any:
    """Guard `pipeline`.

    Raises:
        PolicyDenied: a part was refused, or the library tried what must not happen.
        UsageError: an argument would weaken the load, or the task has to be named.
    """
    bound = adapt.bind(call.method, call.args, call.kwargs)
    named, task = bound.named, bound.reference
    inner = dict(named.pop("model_kwargs", None) or {})
    _arguments.screen(named, coded=True, kernels=True)
    _arguments.screen(inner, coded=True, kernels=True)
    request = _request(named, inner)
    with _kernels.asking(_title(named), call.options, request.access):
        for given in (named, inner):
            _kernels.require_named(given)
        return _guarded(call, named, inner, task, request)


def _guarded(call: adapt.Call, named: dict[str, Any], inner: dict[str, Any], task: Any, request: Request) -> Any:
    if task is None and adapt.is_reference(named.get("model")):
        task = _task_of(os.fspath(named["model"]), request)
    request = dataclasses.replace(request, task=task)
    if named.get("model") is None and task is not None:
        named["model"], pinned = _default_model(task)
        request = dataclasses.replace(request, revision=request.revision or pinned)
    if _arguments.is_config(named.get("config")):
        named["config"] = _arguments.checked_config(named["config"], _kernels.require)

    keeper = ModelKeeper(_title(named), call.options)
    keeper.request = dataclasses.replace(request, purpose="model", task=None)
    admitted: dict[str, str] = {}
    approved = Approved()
    origins: list[str] = []
    try:
        for part, purpose in _PARTS.items():
            if part in named:
                named[part] = _place(named[part], purpose, request, keeper, admitted, origins, approved)
        _kernels.prepare(*origins)
        with approved.tripwire(keeper.reference):
            result = adapt.run(
                keeper.reference,
                lambda: call.method(task, trust_remote_code=bool(approved), model_kwargs=inner, **named),
                admitted=admitted,
                forbidden=[root for origin in origins for root in forbidden(origin)],
                traps=TRAPS,
                answers=approved.answers,
            )
    except BaseException:
        keeper.close()
        raise
    finally:
        if approved:
            forget()
    dress(result, keeper, admitted)
    return result


def _request(named: dict[str, Any], inner: dict[str, Any]) -> Request:
    """The request for the model; arguments may stand in `model_kwargs` as well."""
    own = ("revision", "code_revision", "trust_remote_code", "use_safetensors", "variant", "subfolder")
    outer_names = (*own, *_arguments.ACCESS)
    both = inner | {name: named.pop(name) for name in outer_names if name in named}
    request = _arguments.take_request(both, "pipeline", native_types())
    for name in (*outer_names, "adapter_kwargs"):
        inner.pop(name, None)
    if request.gguf_file:
        inner["gguf_file"] = os.path.basename(request.gguf_file)
    return request


def _place(
    value: Any,
    purpose: Purpose,
    request: Request,
    keeper: ModelKeeper,
    admitted: dict[str, str],
    origins: list[str],
    approved: Approved,
) -> Any:
    """Admit what a part names, and return what stands for it in the genuine call."""
    if isinstance(value, tuple) and value and adapt.is_reference(value[0]):
        return (_place(value[0], purpose, request, keeper, admitted, origins, approved), *value[1:])
    if not adapt.is_reference(value) or adapt.within_admitted(value):
        return value
    reference = os.fspath(value)
    wanted = dataclasses.replace(request, purpose=purpose)
    admission = adapt.judge(lambda: admit(reference, request=wanted, options=keeper.options))
    keeper.extend(admission)
    require_trust(admission, wanted)
    approved.add(admission)
    if purpose == "pipeline" and keeper.code is None:
        keeper.code = admission.code
    admitted.update(directories(admission))
    origins.append(reference)
    return entry(admission, reference)


def _title(named: dict[str, Any]) -> str:
    """What the user asked for, as one string: the model's reference where there is one."""
    for part in ("model", "config"):
        if adapt.is_reference(named.get(part)):
            return str(named[part])
    return str(getattr(named.get("model"), "name_or_path", "") or "a pipeline")


def _task_of(model: str, request: Request) -> str:
    """The task that the hub has on record for a model, as the library would ask for it."""
    if os.path.exists(model) or request.access.local_files_only:
        raise UsageError(
            "the task of this pipeline has to be named",
            where=escape(model),
            why="only the hub knows the task of a model, and this one is to be loaded from here",
            remedy=f"pipeline('text-classification', model={escape(model)!r})",
        )
    get_task = sys.modules["transformers.pipelines"].get_task
    return str(adapt.judge(lambda: get_task(model, request.access.token)))


def _default_model(task: str) -> tuple[str, str | None]:
    """The library's own choice for a task, which it pins to a revision."""
    pipelines = sys.modules["transformers.pipelines"]
    _, targeted, options = pipelines.check_task(task)
    model, revision = pipelines.get_default_model_and_revision(targeted, options)
    _log.warning("No model was given for the task %s; taking %s at %s.", task, model, revision)
    return model, revision
