"""Models put together of others: `from_encoder_decoder_pretrained` and its kin, guarded."""

from __future__ import annotations

import inspect
import os
from typing import Any

from safeload import adapt
from safeload.core.errors import UsageError
from safeload.engine.admit import admit
from safeload.transformers import _arguments
from safeload.transformers._doors import ModelKeeper
from safeload.transformers._dress import dress
from safeload.transformers._load import directories, native_types, take_config
from safeload.transformers._traps import TRAPS, forbidden

_NAMES_A_PART = "model_name_or_path"
"""How the names of the arguments end that name a part."""


def guard_composite(call: adapt.Call) -> Any:
    """Guard `from_encoder_decoder_pretrained` and its kin: every argument that names a model is admitted on its own,
    with the arguments that have its prefix (`encoder_revision`, …).

    Raises:
        PolicyDenied: a part was refused, or the library tried what must not happen.
        UsageError: an argument would weaken the load.
    """
    named, rest = _by_name(call)
    _arguments.screen(named)
    keeper = ModelKeeper("", call.options)
    admitted: dict[str, str] = {}
    try:
        for name in [name for name in named if name.endswith(_NAMES_A_PART)]:
            prefix = name.removesuffix(_NAMES_A_PART).removesuffix("pretrained_")
            own = {key: named.pop(key) for key in list(named) if key.startswith(prefix) and key != name}
            part = adapt.Bound(named[name], named={key.removeprefix(prefix): value for key, value in own.items()})
            admitted |= _place_part(part, prefix, keeper)
            named |= {name: part.reference} | {prefix + key: value for key, value in part.named.items()}
        args = (*_in_order(call, named), *rest) if rest else ()
        result = adapt.run(
            keeper.reference,
            lambda: call.method(*args, **named),
            admitted=admitted,
            forbidden=[root for reference in admitted.values() for root in forbidden(reference)],
            traps=TRAPS,
        )
    except BaseException:
        keeper.close()
        raise
    dress(result, keeper, admitted)
    return result


def _by_name(call: adapt.Call) -> tuple[dict[str, Any], tuple[Any, ...]]:
    """The arguments of a call by name, and those by position that have none."""
    arguments = inspect.signature(call.method).bind(*call.args, **call.kwargs)
    named: dict[str, Any] = {}
    rest: tuple[Any, ...] = ()
    for name, value in arguments.arguments.items():
        kind = arguments.signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            rest = value
        elif kind is inspect.Parameter.VAR_KEYWORD:
            named |= value
        else:
            named[name] = value
    return named, rest


def _in_order(call: adapt.Call, named: dict[str, Any]) -> list[Any]:
    """Take the arguments out of `named` that have to be passed by position, because others without a name follow."""
    parameters = inspect.signature(call.method).parameters.values()
    return [
        named.pop(parameter.name, parameter.default)
        for parameter in parameters
        if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    ]


def _place_part(part: adapt.Bound, prefix: str, keeper: ModelKeeper) -> dict[str, str]:
    """Admit one part of a composite, and let `part` name what was admitted."""
    if part.named.get("trust_remote_code"):
        raise UsageError(
            f"{prefix}trust_remote_code=True is refused",
            why="code of a part cannot be approved here",
            remedy="load the part by itself",
        )
    _arguments.screen(part.named)
    part.named.pop("trust_remote_code", None)
    if not adapt.is_reference(part.reference) or adapt.within_admitted(part.reference):
        return {}
    reference = os.fspath(part.reference)
    request = _arguments.take_request(part.named, "model", native_types())
    admission = adapt.judge(lambda: admit(reference, request=request, options=keeper.options))
    keeper.extend(admission)
    keeper.reference = f"{keeper.reference} + {reference}".removeprefix(" + ")
    part.reference = str(admission.path)
    if request.gguf_file:
        part.named["gguf_file"] = os.path.basename(request.gguf_file)
    return directories(admission) | take_config(part, keeper, request, keeper.options)
