"""Models that are made rather than loaded: from a config, with weights of the user's own. They are guarded as well."""

from __future__ import annotations

import copy
from typing import Any

from safeload import adapt
from safeload.core.errors import UsageError
from safeload.engine.admit import admit
from safeload.engine.options import Options
from safeload.engine.request import Request
from safeload.transformers import _arguments, _kernels
from safeload.transformers._code import Approved, forget
from safeload.transformers._doors import ModelKeeper
from safeload.transformers._dress import dress, keep_model
from safeload.transformers._traps import TRAPS, forbidden


def guard_from_config(call: adapt.Call) -> Any:
    """Guard `from_config`: the config may come from anywhere, and can name code and kernels."""
    bound = adapt.bind(call.method, call.args, call.kwargs, name="config")
    trusted = bound.take("trust_remote_code")
    _arguments.screen(bound.named, coded=True, kernels=True)
    code_revision = _arguments.plain_revision(bound.take("code_revision"))
    config = bound.reference
    with _kernels.asking(str(getattr(config, "_name_or_path", "") or ""), call.options):
        _kernels.require(_arguments.repositories(bound.named.get("attn_implementation")))
        if trusted:
            return _with_code(call, bound, trusted, code_revision)
        if _arguments.is_config(config):
            overridden = any(bound.named.get(name) is not None for name in _arguments.IMPLEMENTATIONS)
            config = config if overridden else _arguments.checked_config(config, _kernels.require)
        return _make(lambda: call.method(config, *bound.rest, **bound.named), config, call)


def _with_code(call: adapt.Call, bound: adapt.Bound, trusted: Any, code_revision: str | None) -> Any:
    """Make a model of the approved code of the model that a config says it is from.

    Raises:
        UsageError: the config does not say, and so could name any code.
        PolicyDenied: that code is not approved, or the config names another class.
    """
    config = bound.reference
    name = getattr(config, "_name_or_path", "") if _arguments.is_config(config) else ""
    if not isinstance(name, str) or not name:
        raise UsageError(
            "trust_remote_code=True is refused",
            why="this config object does not say which model it is from, and can name any code",
            remedy="AutoConfig.from_pretrained(…, trust_remote_code=True) gives one that does",
        )
    request = Request(purpose="config", trust_remote_code=trusted, code_revision=code_revision)
    admission = adapt.judge(lambda: admit(name, request=request, options=call.options))
    keeper = ModelKeeper(name, call.options, [admission])
    approved = Approved([admission])
    config = copy.deepcopy(_arguments.checked_config(config, _kernels.require))
    config._name_or_path = str(admission.path)
    named = bound.named | ({"trust_remote_code": True} if approved else {})
    try:
        _kernels.prepare(name)
        with approved.tripwire(name):
            model = adapt.run(
                name,
                lambda: call.method(config, *bound.rest, **named),
                admitted={str(admission.path): name},
                forbidden=forbidden(name),
                traps=TRAPS,
                answers=approved.answers,
            )
    except BaseException:
        keeper.close()
        raise
    finally:
        forget()
    dress(model, keeper, {str(admission.path): name})
    return model


def make_model(genuine: type, /, *args: Any, **kwargs: Any) -> Any:
    """Make an instance of a concrete model class."""
    config = args[0] if args else kwargs.get("config")
    with _kernels.asking(str(getattr(config, "_name_or_path", "") or ""), Options()):
        if _arguments.is_config(config):
            checked = _arguments.checked_config(config, _kernels.require)
            args, kwargs = ((checked, *args[1:]), kwargs) if args else (args, {**kwargs, "config": checked})
        call = adapt.Call(owner=genuine, method=genuine, args=args, kwargs=kwargs, options=Options())
        return _make(lambda: genuine(*args, **kwargs), config, call)


def _make(make: Any, config: Any, call: adapt.Call) -> Any:
    name = str(getattr(config, "_name_or_path", "") or call.owner.__name__)
    _kernels.prepare(name)
    model = adapt.run(name, make, admitted={}, forbidden=forbidden(name), traps=TRAPS)
    keep_model(model, name, call.options)
    return model
