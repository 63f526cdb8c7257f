"""The modules that models of sentence-transformers are put together of, guarded where they load by themselves:
`models.Transformer("…")`, `models.Dense.load("…")`.

    from safeload.sentence_transformers import SentenceTransformer, models

    words = models.Transformer("org/name", max_seq_length=256)
    model = SentenceTransformer(modules=[words, models.Pooling(words.get_word_embedding_dimension())])

Promised is the same as for a whole model: what a module reads was admitted first, and it is of exactly the library's
class. Modules that are made of numbers and of what the caller has are made as ever. Which of them load is seen from
the library's own signatures, because they have moved and multiplied from version to version.

What the library asks of several dictionaries (`model_args={"revision": …}`) holds for the whole module here: there is
one model, one commit of it, and code of it is asked for or not.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from safeload import adapt, adapt_after, adapt_models, adapt_sentences
from safeload import adapt_sentence_loads as loads
from safeload.core.errors import UsageError
from safeload.core.names import escape

_LIBRARY = "sentence_transformers"
_MODELS = ("model_name_or_path", "model_name")
_TOKENIZERS = ("tokenizer_name_or_path", "processor_name")
"""What the constructors of modules call what they load."""
_LOADERS = ("load", "load_torch_weights")
_GROUPS = (
    ("model_kwargs", "model_args"),
    ("processor_kwargs", "tokenizer_kwargs", "tokenizer_args"),
    ("config_kwargs", "config_args"),
)
"""Arguments that are handed on to transformers, by all the names they have had."""
_OF_TOKENIZER = _GROUPS[1]
_REFUSED: Mapping[str, tuple[str, str]] = {
    "from_distillation": (
        "model2vec would load the model by itself, unguarded",
        "model2vec.distill.distill_from_model(…), with a model and a tokenizer from safeload.transformers",
    ),
    "from_model2vec": (
        "model2vec would load the model by itself, unguarded",
        "StaticEmbedding.load(…), which reads the same files",
    ),
}


def guarded(value: Any, home: str) -> Any:
    """The guarded form of a class of the library, if it is one of its modules; otherwise `value` itself."""
    if not _is_module(value):
        return value
    guards: dict[str, adapt.Guard] = {name: _guard_load for name in _LOADERS if hasattr(value, name)}
    guards |= {name: _guard_refused for name in _REFUSED if hasattr(value, name)}
    known = _parameters(value)
    init: adapt.Guard | None = None
    if any(name in known for name in _MODELS):
        init = functools.partial(_guard_init, known)
    return adapt.facade(value, module=home, guards=guards, init=init)


def _is_module(value: Any) -> bool:
    return inspect.isclass(value) and any(
        base.__name__ == "Module" and base.__module__.partition(".")[0] == _LIBRARY for base in value.__mro__
    )


def _parameters(kind: type) -> dict[str, inspect.Parameter]:
    """What a class takes to be made, with what its bases take in its `**kwargs`, in the order of their places."""
    found: dict[str, inspect.Parameter] = {}
    for base in kind.__mro__:
        if base.__module__.partition(".")[0] == _LIBRARY and "__init__" in vars(base):
            own = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
            found = {parameter.name: parameter for parameter in own} | found if _passes_all(found) else found
            found = found or {parameter.name: parameter for parameter in own}
            if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in own):
                break
    return found


def _passes_all(found: Mapping[str, inspect.Parameter]) -> bool:
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in found.values())


def _guard_refused(call: adapt.Call) -> Any:
    why, remedy = _REFUSED[call.method.__name__]
    raise UsageError(f"{call.method.__name__}() is refused", why=why, remedy=remedy)


# --- made by a name -------------------------------------------------------------------------------------------------


def _guard_init(known: Mapping[str, inspect.Parameter], call: adapt.Call) -> Any:
    """Guard the making of a module.

    Raises:
        PolicyDenied: what it names was refused, or the library tried what must not happen.
        UsageError: an argument would weaken the load.
    """
    places = [name for name, parameter in known.items() if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    if len(call.args) > len(places):
        return call.method(*call.args, **call.kwargs)  # it raises TypeError, as it always did
    named = {**dict(zip(places, call.args, strict=False)), **call.kwargs}
    holder = next((name for name in _MODELS if name in named), next(name for name in _MODELS if name in known))
    if holder not in named and known[holder].default is not inspect.Parameter.empty:
        named[holder] = known[holder].default  # some name a model that is loaded if nothing else is said
    if named.get(holder) is None:
        return call.method(**named)  # it says what is missing
    reference = adapt_models.reference_in(named, holder)
    other = next((name for name in _TOKENIZERS if named.get(name)), None)
    tokenizer = adapt_models.reference_in(named, other) if other is not None else None
    if reference is None:
        if tokenizer is not None:
            raise UsageError(
                f"{other}={escape(tokenizer, 80)!r} is refused",
                why="code of a model asked for it, and it was not admitted with that model",
                remedy="load the parts yourself, each with safeload",
            )
        return call.method(**named)
    return _admitted(call, known, named, (holder, reference), (other, tokenizer) if tokenizer is not None else None)


def _admitted(
    call: adapt.Call,
    known: Mapping[str, inspect.Parameter],
    named: dict[str, Any],
    model: tuple[str, str],
    tokenizer: tuple[str | None, str] | None,
) -> Any:
    """Make the module of what is admitted: of its model, and of the tokenizer that was named apart from it."""
    for group in (name for names in _GROUPS for name in names if named.get(name)):
        named[group] = dict(named[group])
    holder, reference = model
    apart = _OF_TOKENIZER if tokenizer is not None and tokenizer[1] != reference else ()
    of_tokenizer = _gathered(named, apart)
    named |= _gathered(named, [name for names in _GROUPS for name in names if name not in apart])
    access = loads.take_access(named)
    request = loads.take_request(named, access)
    with adapt_models.Loading(reference, call.options) as loading:
        named[holder] = str(loading.admit(reference, request).path)
        if tokenizer is not None and not apart:
            named[str(tokenizer[0])] = named[holder]
        elif tokenizer is not None:  # what is said for the model holds for it as well, but for the commit
            said: dict[str, Any] = {"trust_remote_code": request.trust_remote_code, "token": access.token}
            said |= {"cache_dir": access.cache_dir, "local_files_only": access.local_files_only, **of_tokenizer}
            wanted = loads.take_request(said, loads.take_access(said))
            named[str(tokenizer[0])] = str(loading.admit(tokenizer[1], wanted).path)
        settled = {"trust_remote_code": bool(loading.approved), "local_files_only": True}
        for names in _GROUPS:
            group = next((name for name in names if name in named), "") or next((n for n in names if n in known), "")
            if group:
                named[group] = {**(named.get(group) or {}), **settled}
        return _kept(loading, loading.run(lambda: call.method(**named), loads.traps(), loads.answers(loading.approved)))


def _gathered(named: dict[str, Any], groups: Iterable[str]) -> dict[str, Any]:
    """Take out of the dictionaries of a call where the model is, how to reach it and whether its code may run.

    Raises:
        UsageError: two of them say different things.
    """
    found: dict[str, Any] = {}
    for group in groups:
        for name in loads.OUTER_ONLY:
            value = (named.get(group) or {}).pop(name, None)
            if value in (None, False, ""):
                continue
            if found.setdefault(name, value) != value or named.get(name, value) not in (value, None, False):
                raise UsageError(
                    f"{group}={{{name!r}: …}} is refused",
                    why="another argument of this call says otherwise, and a module is loaded from one place",
                    remedy=f"say the same {name} everywhere",
                )
    return found


# --- loaded from where it was saved ---------------------------------------------------------------------------------


def _guard_load(call: adapt.Call) -> Any:
    """Guard `load` and `load_torch_weights`: of a subfolder, or of all that is there."""
    bound = adapt.bind(call.method, call.args, call.kwargs, name=_MODELS[0])
    reference, named = bound.reference, dict(bound.named)
    if reference is None or adapt.within_admitted(reference):
        return call.method(*call.args, **call.kwargs)
    if not adapt.is_reference(reference):
        adapt_models.reference_in({_MODELS[0]: reference}, _MODELS[0])
    subfolder = named.pop("subfolder", None) or ""
    takes = inspect.signature(call.method).parameters
    request = loads.take_request(named, loads.take_access(named), subfolder=str(subfolder))
    with adapt_models.Loading(str(reference), call.options) as loading:
        path = str(loading.admit(reference, request).path)
        if "local_files_only" in takes or _passes_all(takes):
            named["local_files_only"] = True
        if "trust_remote_code" in takes or _passes_all(takes):
            named["trust_remote_code"] = bool(loading.approved)
        run = functools.partial(call.method, path, *bound.rest, **named)
        return _kept(loading, loading.run(run, loads.traps(), loads.answers(loading.approved)))


def _kept(loading: adapt_models.Loading, result: Any) -> Any:
    """What was loaded, holding on to what it was loaded from; weights by themselves are read to the end."""
    if not _is_module(type(result)):
        return result
    adapt_after.hold(result, loading.keeper)
    adapt_models.dress_modules(result, loading)
    if loading.approved:
        adapt_sentences.install_everywhere()
    return result
