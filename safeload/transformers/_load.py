"""`from_pretrained`, guarded: admit first, then let the genuine method load what was admitted.

1. Take the call apart: what says where the model is, what would weaken the load, what is the library's business.
2. Admit. A denial ends here; the library has not been called.
3. Call the genuine method with the admitted directory and explicit safe arguments, a seatbelt on.
4. Make the result show what was asked for, and keep the directory as long as it lives.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from typing import Any, cast

from safeload import adapt
from safeload.core.errors import UsageError
from safeload.core.names import escape
from safeload.engine.admission.admitted import Admission
from safeload.engine.admit import admit
from safeload.engine.options import Options
from safeload.engine.request import Purpose, Request
from safeload.transformers import _arguments, _kernels
from safeload.transformers._code import Approved, forget, require_trust
from safeload.transformers._doors import ModelKeeper, language_files
from safeload.transformers._dress import dress
from safeload.transformers._fit import check_fit, converted
from safeload.transformers._traps import TRAPS, forbidden, of_backbones

_PURPOSES: dict[str, Purpose] = {
    "PreTrainedModel": "model",
    "_BaseAutoModelClass": "model",
    "PreTrainedConfig": "config",
    "AutoConfig": "config",
    "PreTrainedTokenizerBase": "tokenizer",
    "AutoTokenizer": "tokenizer",
    "GenerationConfig": "generation",
    "ProcessorMixin": "processor",
    "AutoProcessor": "processor",
    "FeatureExtractionMixin": "processor",
    "AutoFeatureExtractor": "processor",
    "ImageProcessingMixin": "processor",
    "AutoImageProcessor": "processor",
    "BaseVideoProcessor": "processor",
    "AutoVideoProcessor": "processor",
}
_TAKES_TRUST = ("AutoProcessor", "ProcessorMixin", "AutoFeatureExtractor", "AutoImageProcessor", "AutoVideoProcessor")


def purpose_of(genuine: type) -> Purpose:
    """What a class loads."""
    return next((_PURPOSES[base.__name__] for base in genuine.__mro__ if base.__name__ in _PURPOSES), "everything")


def is_model(genuine: type) -> bool:
    return purpose_of(genuine) == "model"


def is_auto(genuine: type) -> bool:
    """Whether a class looks the concrete one up by the model's type."""
    return any(base.__name__ in ("_BaseAutoModelClass", "AutoConfig") for base in genuine.__mro__)


def guard_from_pretrained(call: adapt.Call) -> Any:
    """Guard `from_pretrained` of any class.

    Raises:
        PolicyDenied: the model was refused, or the library tried what must not happen.
        UsageError: an argument would weaken the load.
    """
    bound = adapt.bind(call.method, call.args, call.kwargs)
    reference = _named(bound.reference)
    if adapt.within_admitted(reference):  # a genuine loader, or a user's, calls again for what was admitted
        return call.method(*call.args, **call.kwargs)
    purpose = purpose_of(call.owner)
    _refuse_exported(call.owner)
    _arguments.screen(bound.named, coded=True, kernels=True)
    _refuse_pickled_index(call.owner, bound.named)
    native = native_types() if is_auto(call.owner) else None
    request = _arguments.take_request(bound.named, purpose, native)
    with _kernels.asking(reference or "", call.options, request.access):
        _kernels.require_named(bound.named)
        if reference is None:
            return _without_reference(call, bound, request, purpose)
        return _load(call, bound, reference, request, purpose)


def _load(call: adapt.Call, bound: adapt.Bound, reference: str, request: Request, purpose: Purpose) -> Any:
    """Steps 2 to 4, for what is named."""
    if purpose == "model":
        request = dataclasses.replace(request, also=language_files(bound.named.get("target_lang")))
    admission = adapt.judge(lambda: admit(reference, request=request, options=call.options))
    keeper = ModelKeeper(reference, call.options, [admission])
    keeper.request = request
    keeper.code = admission.code
    try:
        require_trust(admission, request)
        _require_weights(admission, request)
        admitted = directories(admission) | take_config(bound, keeper, request, call.options)
        if request.gguf_file:
            bound.named["gguf_file"] = os.path.basename(request.gguf_file)
        approved = Approved([admission])
        result: Any
        if purpose == "model" and (sources := converted(admission)) and not admission.base:
            wanted = bound.take("output_loading_info", False)
            bound.named["output_loading_info"] = True
            model, info = _genuine(call, bound, entry(admission, reference), admitted, purpose, approved)
            check_fit(model, info, sources)
            result = (model, info) if wanted else model
        else:
            result = _genuine(call, bound, entry(admission, reference), admitted, purpose, approved)
    except BaseException:
        keeper.close()
        raise
    dress(result, keeper, admitted)
    return result


def _require_weights(admission: Admission, request: Request) -> None:
    """Say that there are no weights of the kind that was asked for; the library would say that there are none at all.

    Raises:
        UsageError: the model has none of them.
    """
    asked = {"variant": request.variant, "use_safetensors": request.use_safetensors}
    chosen = {name: value for name, value in asked.items() if value is not None}
    if (
        not chosen
        or not request.wants_weights
        or admission.base
        or any(file.how in ("converted", "link") for file in admission.files)
    ):
        return
    words = ", ".join(f"{name}={escape(repr(value))}" for name, value in chosen.items())
    raise UsageError(
        f"{escape(admission.reference)!r} has no weights for {words}",
        where=escape(admission.reference),
        why="no file of the model has such a name",
        remedy=f"leave {' and '.join(chosen)} out",
    )


def _named(reference: Any) -> str | None:
    """The reference as a string, asked for once; `None` if the call names nothing to load.

    Raises:
        UsageError: it is neither.
    """
    if reference is None:
        return None
    if adapt.is_reference(reference):
        return os.fspath(cast("str | os.PathLike[str]", reference))
    raise UsageError(
        "this names no model",
        why=f"a {type(reference).__name__} was given",
        remedy="pass a hub id or a path as a string",
    )


def _without_reference(call: adapt.Call, bound: adapt.Bound, request: Request, purpose: Purpose) -> Any:
    """A model made of a config and a state dict that the caller has: nothing to admit but a config by reference."""
    keeper = ModelKeeper("a model without a name", call.options)
    try:
        admitted = take_config(bound, keeper, request, call.options)
        result = _genuine(call, bound, None, admitted, purpose)
    except BaseException:
        keeper.close()
        raise
    dress(result, keeper, admitted)
    return result


def _genuine(
    call: adapt.Call,
    bound: adapt.Bound,
    target: Any,
    admitted: dict[str, str],
    purpose: Purpose,
    approved: Approved | None = None,
) -> Any:
    """Step 3. The directory is the guarantee; the arguments are belts."""
    named = bound.named
    if admitted:
        named["local_files_only"] = True
    takes_trust = any(base.__name__ in _TAKES_TRUST for base in call.owner.__mro__)
    if purpose in ("model", "config", "tokenizer") or takes_trust:
        named["trust_remote_code"] = bool(approved)
    if purpose == "model":
        named |= {"use_safetensors": True, "weights_only": True}
        _kernels.prepare(bound.reference)
    approved = approved or Approved()
    reference = "a model without a name" if bound.reference is None else str(bound.reference)
    traps, answers = of_backbones(call.owner)
    try:
        with approved.tripwire(reference):
            return adapt.run(
                reference,
                lambda: call.method(target, *bound.rest, **named),
                admitted=admitted,
                forbidden=forbidden(bound.reference),
                traps=(*TRAPS, *traps),
                answers={**answers, **approved.answers},
            )
    finally:
        if approved:
            forget()


def directories(admission: Admission) -> dict[str, str]:
    """The admitted directory, and those of the models that its adapter stands on, each with what it stands for."""
    found: dict[str, str] = {}
    following: Admission | None = admission
    while following is not None:
        found[str(following.path)] = following.reference
        following = following.base
    return found


def entry(admission: Admission, reference: str) -> str:
    """What the genuine method gets for a reference: the admitted directory, or the file in it that was named."""
    if os.path.isfile(reference):
        file = admission.path / os.path.basename(reference)
        if file.suffix in (".json", ".txt", ".model") and file.exists():
            return str(file)
    return str(admission.path)


def take_config(bound: adapt.Bound, keeper: ModelKeeper, request: Request, options: Options) -> dict[str, str]:
    """Check a config that the caller passed; admit it if it is a reference of its own."""
    config = bound.named.get("config")
    if _arguments.is_config(config):
        if not any(bound.named.get(name) is not None for name in _arguments.IMPLEMENTATIONS):
            bound.named["config"] = _arguments.checked_config(config, _kernels.require)
        return {}
    if not adapt.is_reference(config) or adapt.within_admitted(config):
        return {}
    reference = os.fspath(cast("str | os.PathLike[str]", config))
    wanted = Request(purpose="config", access=request.access, native_types=request.native_types)
    admission = adapt.judge(lambda: admit(reference, request=wanted, options=options))
    keeper.extend(admission)
    bound.named["config"] = entry(admission, reference)
    return {str(admission.path): reference}


def native_types() -> frozenset[str]:
    """The model types that the library has classes for, those that the user registered included."""
    mapping = getattr(sys.modules.get("transformers.models.auto.configuration_auto"), "CONFIG_MAPPING", None)
    return frozenset(mapping.keys()) if mapping is not None else frozenset()


def _refuse_exported(genuine: type) -> None:
    """An exported model: its programs are no part of what is admitted, and its manifest has any class called."""
    if any(base.__name__ == "ExportedModel" for base in genuine.__mro__):
        raise UsageError(
            "an exported model is refused",
            why="its programs run as they are, and the manifest beside them names classes that get imported and called",
            remedy="load the model that it was exported from",
        )


def _refuse_pickled_index(genuine: type, named: dict[str, Any]) -> None:
    """RAG's own index format is a pickle, which the library reads when the index is first used, after the load."""
    if genuine.__name__ == "RagRetriever" and named.get("index_name") in (None, "legacy") and "config" not in named:
        raise UsageError(
            f"{escape(genuine.__name__)} with the legacy index is refused",
            why="that index is a pickle",
            remedy="pass index_name='custom' and an indexed data set",
        )
