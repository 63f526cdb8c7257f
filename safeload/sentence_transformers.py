"""sentence-transformers, with its models guarded: `from safeload.sentence_transformers import SentenceTransformer`.

    from safeload.sentence_transformers import SentenceTransformer, CrossEncoder     # was: from sentence_transformers …

Promised: what these make is what the library makes, of exactly its classes; nothing in the model's files ran but code
that was approved and asked for with `trust_remote_code=True`. Every class that `modules.json` and the routers name is
one of the library's own modules, or lies in a file that was approved; no activation is called but layers of torch.
Options of safeload ride in one keyword: `safeload=Options(…)`.

Guarded are `SentenceTransformer`, `CrossEncoder`, `SparseEncoder` and `MultiVectorEncoder`. All other names are the
library's own objects. Not guarded are its modules by themselves (`models.Transformer("…")`), its trainers'
own checkpoints, and whatever your code imports from the library itself.

Raises, on use: `PolicyDenied` with every reason; `UsageError` for arguments that would weaken the load, for the onnx
and openvino backends, or if the library is missing or too old; `SourceError`, `MalformedInput`, `VerificationFailed`.
"""

from __future__ import annotations

import inspect
import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from safeload import adapt, adapt_after, adapt_library, adapt_models, adapt_sentences, adapt_submodules
from safeload.core.errors import PolicyDenied, UsageError
from safeload.core.names import escape
from safeload.engine.request import Access, Request
from safeload.engine.seatbelt import Answers, Trap, worn
from safeload.transformers import _arguments
from safeload.transformers._code import Approved
from safeload.transformers._load import native_types

if TYPE_CHECKING:
    from sentence_transformers import *  # noqa: F403

HOME = "safeload.sentence_transformers"
OLDEST = "5.2"
_MODELS = ("SentenceTransformer", "CrossEncoder", "SparseEncoder", "MultiVectorEncoder")
_REFERENCES = ("model_name_or_path", "model_name")
_INNER = (
    *("model_kwargs", "processor_kwargs", "tokenizer_kwargs", "config_kwargs"),
    *("model_args", "automodel_args", "tokenizer_args", "config_args"),  # as they were called before
)
_OUTER_ONLY = ("revision", "subfolder", "trust_remote_code", "local_files_only", *_arguments.ACCESS)
_ORIGINAL = "bert-base-uncased"
_BY_NAME, _IN_FILES = "import_from_string", "import_module_class"
"""Functions of the library: the first imports a class by its name, the second knows files of models as well."""
_OLD_ROUTER = "sentence_transformers.models.Router"
_LOOKS = "sentence_transformers.multi_vector_encoder.model"
"""Where the library only looks what kind of class it is, and goes on without an answer."""
_IMPORTS = ("sentence_transformers.", "torch.")
_UNSUPPORTED = ("gguf_file", "adapter_kwargs", "state_dict", "config", "offload_state_dict")


def library() -> ModuleType:
    """The installed sentence-transformers. Raises `UsageError` if it is missing or too old."""
    return adapt_library.library(
        "sentence_transformers", distribution="sentence-transformers", oldest=OLDEST, extra="sentence-transformers"
    )


def __getattr__(name: str) -> Any:
    if name.startswith("_") and name != "__all__":
        raise AttributeError(f"module {HOME!r} has no attribute {name!r}")
    value = adapt_submodules.shown(getattr(library(), name), name, home=HOME, guarded=_guarded)
    globals()[name] = value
    return value


def _guarded(value: Any, name: str) -> Any:
    if name not in _MODELS or not inspect.isclass(value):
        return value
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
    request = _take_request(named, _take_access(named))
    with adapt_models.Loading(reference, call.options) as loading:
        admission = loading.admit(reference, request)
        named |= {holder: str(admission.path), "trust_remote_code": bool(loading.approved), "local_files_only": True}
        model = loading.run(lambda: call.method(**named), _traps(), _answers(loading.approved))
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
        return loading.run(lambda: call.method(*call.args, **call.kwargs), _traps())


def _traps() -> tuple[Trap, ...]:
    """Where the library imports a class by its name, in every place that has this function."""
    homes = [name for name in [*sys.modules] if name.startswith("sentence_transformers.")]
    return tuple(
        Trap(home, _BY_NAME, "import a class by its name", ImportError if home == _LOOKS else None, judge=_import)
        for home in homes
        if _BY_NAME in vars(sys.modules[home])
    )


def _answers(approved: Approved) -> Answers:
    """Old routers import classes by their names alone, wherever they are. They get those that are approved instead."""
    router = sys.modules.get(_OLD_ROUTER)
    if not approved or router is None or _BY_NAME not in vars(router) or _IN_FILES in vars(router):
        return {}

    def imported(dotted_path: str) -> Any:
        if dotted_path.startswith(_IMPORTS):
            return inspect.unwrap(vars(router)[_BY_NAME])(dotted_path)
        module, _, name = dotted_path.rpartition(".")
        belt = worn()
        assert belt is not None  # only a belt asks
        for code in approved:
            if "." not in module and code.find("", f"{module}.py") is not None:
                try:
                    return code.load("", f"{module}.py", name)
                except PolicyDenied as denial:
                    belt.remember(denial)
                    raise
        belt.refuse(_import(dotted_path))

    return {(name, _BY_NAME): imported for name, module in [*sys.modules.items()] if module is router}  # it has two


def _import(dotted_path: object, *_: object, **__: object) -> str:
    """What it does: nothing worth a word for the library's own classes and the layers of torch. Where a class is in no
    file of the model, the library would go on to import whatever is installed under that name."""
    return "" if str(dotted_path).startswith(_IMPORTS) else f"import {escape(str(dotted_path))}"


# --- arguments ------------------------------------------------------------------------------------------------------


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


def _take_access(named: dict[str, Any]) -> Access:
    """How to reach the hub, taken out of the call."""
    cache = named.pop("cache_folder", None) or named.pop("cache_dir", None)
    given = {
        "cache_dir": cache or os.environ.get("SENTENCE_TRANSFORMERS_HOME"),
        "token": named.pop("token", None) or named.pop("use_auth_token", None),
        "local_files_only": bool(named.pop("local_files_only", False)),
    }
    return Access(**given)


def _take_request(named: dict[str, Any], access: Access) -> Request:
    """Screen the arguments, and make the request.

    Raises:
        UsageError: one of them would weaken the load, or cannot be honoured.
    """
    if (backend := named.get("backend", "torch")) != "torch":
        raise UsageError(
            f"backend={escape(repr(backend))} is refused",
            why="safeload guards the torch backend; the others read programs of the model with a library of their own",
            remedy="leave backend out",
        )
    _arguments.screen(named)
    chosen: dict[str, Any] = {"variant": None, "use_safetensors": None}
    for group in _INNER:
        if not named.get(group):
            continue
        inner = named[group] = dict(named[group])
        _arguments.screen(inner)
        for name in (*_OUTER_ONLY, *_UNSUPPORTED):
            if inner.get(name):
                raise UsageError(
                    f"{group}={{{name!r}: …}} is refused",
                    why="it would load something else than was admitted",
                    remedy=f"pass {name} to the model itself" if name in _OUTER_ONLY else f"leave {name} out",
                )
            inner.pop(name, None)
        chosen |= {name: inner.pop(name) for name in chosen if name in inner}
    return Request(
        purpose="parts",
        revision=named.pop("revision", None),
        trust_remote_code=named.pop("trust_remote_code", None) or None,
        native_types=native_types(),
        access=access,
        **chosen,
    )
