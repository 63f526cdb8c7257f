"""sentence-transformers, with its models guarded: `from safeload.sentence_transformers import SentenceTransformer`.

    from safeload.sentence_transformers import SentenceTransformer, CrossEncoder     # was: from sentence_transformers …

Promised: what these make is what the library makes, of exactly its classes; nothing in the model's files ran but code
that was approved and asked for with `trust_remote_code=True`. Every class that `modules.json` and the routers name is
one of the library's own modules, or lies in a file that was approved; no activation is called but layers of torch.
Options of safeload ride in one keyword: `safeload=Options(…)`.

Guarded are `SentenceTransformer`, `CrossEncoder`, `SparseEncoder` and `MultiVectorEncoder`, and the modules that load
by themselves: `models.Transformer("…")`, `models.Dense.load("…")` (see `adapt_sentence_modules`). All other names are
the library's own objects. Not guarded are class methods of what was loaded (`type(model).load(…)`), its trainers' own
checkpoints, and whatever your code imports from the library itself.

Raises, on use: `PolicyDenied` with every reason; `UsageError` for arguments that would weaken the load, for the onnx
and openvino backends, or if the library is missing or too old; `SourceError`, `MalformedInput`, `VerificationFailed`.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from safeload import (
    adapt,
    adapt_after,
    adapt_library,
    adapt_models,
    adapt_sentence_modules,
    adapt_sentences,
    adapt_submodules,
)
from safeload import adapt_sentence_loads as loads
from safeload.core.errors import UsageError

if TYPE_CHECKING:
    from sentence_transformers import *  # noqa: F403

HOME = "safeload.sentence_transformers"
OLDEST = "5.2"
_MODELS = ("SentenceTransformer", "CrossEncoder", "SparseEncoder", "MultiVectorEncoder")
_REFERENCES = ("model_name_or_path", "model_name")
_EXPORTS = (
    *("models", "sparse_encoder.models", "base.modules", "sentence_transformer.modules", "sparse_encoder.modules"),
    *("cross_encoder.modules", "multi_vector_encoder.modules"),
)
"""The packages of the library that show its modules, in all versions."""
_ORIGINAL = "bert-base-uncased"


def library() -> ModuleType:
    """The installed sentence-transformers. Raises `UsageError` if it is missing or too old."""
    return adapt_library.library(
        "sentence_transformers", distribution="sentence-transformers", oldest=OLDEST, extra="sentence-transformers"
    )


def __getattr__(name: str) -> Any:
    if name.startswith("_") and name != "__all__":
        raise AttributeError(f"module {HOME!r} has no attribute {name!r}")
    value = adapt_submodules.shown(_found(name), name, home=HOME, guarded=_guarded)
    globals()[name] = value
    return value


def _found(name: str) -> Any:
    """A name of the library. Its submodules are found before anybody imported them, such as `models`, which moved."""
    genuine = library()
    if hasattr(genuine, name):
        return getattr(genuine, name)
    whole = f"{genuine.__name__}.{name}"
    try:
        return importlib.import_module(whole)
    except ModuleNotFoundError as error:
        if error.name != whole:
            raise
    for home in _EXPORTS:  # which references to classes of modules, such as pickles of them, have to be found without
        if inspect.isclass(value := getattr(sys.modules.get(f"{genuine.__name__}.{home}"), name, None)):
            return value
    raise AttributeError(f"module {HOME!r} has no attribute {name!r}")


def _guarded(value: Any, name: str) -> Any:
    if name not in _MODELS or not inspect.isclass(value):
        return adapt_sentence_modules.guarded(value, HOME)
    guards: dict[str, adapt.Guard] = {"load": _guard_load, "merge": _guard_merge}
    own = {method: guard for method, guard in guards.items() if hasattr(value, method)}
    return adapt.facade(value, module=HOME, guards=own, init=_guard_init)


def __dir__() -> list[str]:
    return [name for name in dir(library()) if not name.startswith("_")]


# --- the guards -----------------------------------------------------------------------------------------------------


def _guard_init(call: adapt.Call) -> Any:
    """Guard the making of a model.

    Raises:
        PolicyDenied: the model was refused, or the library tried what must not happen.
        UsageError: an argument would weaken the load.
    """
    named = adapt.by_name(call)
    holder = next((name for name in _REFERENCES if named.get(name)), _REFERENCES[0])
    reference = adapt_models.reference_in(named, holder) if named.get(holder) else None
    if reference is None:  # put together of modules that the caller has, or of what was admitted
        return call.method(**named)
    reference, asked = _full_name(reference, call.owner), bool(named.get("local_files_only"))
    request = loads.take_request(named, loads.take_access(named))
    with adapt_models.Loading(reference, call.options) as loading:
        admission = loading.admit(reference, request)
        named |= {holder: str(admission.path), "trust_remote_code": bool(loading.approved), "local_files_only": True}
        model = loading.run(lambda: call.method(**named), loads.traps(), loads.answers(loading.approved))
    adapt_after.hold(model, loading.keeper)
    adapt_models.dress_modules(model, loading)
    if loading.approved:
        adapt_sentences.install(type(model))
    card = model.model_card_data
    card.local_files_only = asked
    if admission.revision is not None and not asked:
        card.base_model, card.base_model_revision = reference.removeprefix("hf://"), admission.revision
    return model


def _guard_load(call: adapt.Call) -> Any:
    """`SentenceTransformer.load(path)`, which the library keeps for old programs."""
    return _guard_init(
        adapt.Call(owner=call.owner, method=call.owner, args=call.args, kwargs=call.kwargs, options=call.options)
    )


def _guard_merge(call: adapt.Call) -> Any:
    """`merge` loads what it is given by name."""
    for value in (*call.args, *call.kwargs.values()):
        named = list(value) if isinstance(value, (list, tuple)) else [value]
        if any(adapt.is_reference(item) and ("/" in str(item) or os.path.exists(str(item))) for item in named):
            raise UsageError(
                "merge() of models by name is refused",
                why="it would load them unguarded",
                remedy=f"load each with safeload first: merge([{call.owner.__name__}(…), …])",
            )
    with adapt_models.Loading("a merged model", call.options) as loading:
        return loading.run(lambda: call.method(*call.args, **call.kwargs), loads.traps())


# --- names ----------------------------------------------------------------------------------------------------------


def _full_name(reference: str, owner: type) -> str:
    """The reference as the library would look for it: a bare name belongs to an organisation of its own."""
    organisation = getattr(owner, "default_huggingface_organization", _organisation(owner))
    if organisation is None or "/" in reference or os.path.exists(reference):
        return reference
    return reference if reference.lower() in _original_models(owner) else f"{organisation}/{reference}"


def _original_models(owner: type) -> tuple[str, ...]:
    """The bare names that are models of transformers. Before version 6 they stand in the code of the constructor."""
    known = getattr(sys.modules.get("sentence_transformers.util.misc"), "ORIGINAL_TRANSFORMER_MODELS", None)
    if known is not None:
        return tuple(known)
    for base in owner.__mro__:
        code = getattr(inspect.unwrap(vars(base).get("__init__", len)), "__code__", None)
        for constant in code.co_consts if code is not None else ():
            if isinstance(constant, tuple) and _ORIGINAL in constant:
                return constant
    raise UsageError(
        "a bare name is not looked up",
        where=owner.__name__,
        why="this version of sentence-transformers does not say which names belong to whom",
        remedy="write it in full, such as sentence-transformers/all-MiniLM-L6-v2",
    )


def _organisation(owner: type) -> str | None:
    """In versions that do not say it as an attribute."""
    return "sentence-transformers" if any(base.__name__ == "SentenceTransformer" for base in owner.__mro__) else None
