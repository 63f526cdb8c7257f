"""Models that are made rather than loaded: from a config, with weights of the user's own. They are guarded as well."""

from __future__ import annotations

from typing import Any

from safeload import adapt
from safeload.core.errors import UsageError
from safeload.engine.options import Options
from safeload.transformers import _arguments
from safeload.transformers._dress import keep_model
from safeload.transformers._traps import TRAPS, forbidden


def guard_from_config(call: adapt.Call) -> Any:
    """Guard `from_config`: the config may come from anywhere, and can name code and kernels."""
    bound = adapt.bind(call.method, call.args, call.kwargs, name="config")
    if bound.take("trust_remote_code"):
        raise UsageError(
            "trust_remote_code=True is refused",
            why="a config object can name any code, and nobody approved it",
            remedy="load the model with from_pretrained, which can check an approval",
        )
    _arguments.screen(bound.named)
    config = bound.reference
    if _arguments.is_config(config):
        overridden = any(bound.named.get(name) is not None for name in _arguments.IMPLEMENTATIONS)
        config = config if overridden else _arguments.checked_config(config)
    return _make(lambda: call.method(config, *bound.rest, **bound.named), config, call)


def make_model(genuine: type, /, *args: Any, **kwargs: Any) -> Any:
    """Make an instance of a concrete model class."""
    config = args[0] if args else kwargs.get("config")
    if _arguments.is_config(config):
        checked = _arguments.checked_config(config)
        args, kwargs = ((checked, *args[1:]), kwargs) if args else (args, {**kwargs, "config": checked})
    call = adapt.Call(owner=genuine, method=genuine, args=args, kwargs=kwargs, options=Options())
    return _make(lambda: genuine(*args, **kwargs), config, call)


def _make(make: Any, config: Any, call: adapt.Call) -> Any:
    name = str(getattr(config, "_name_or_path", "") or call.owner.__name__)
    model = adapt.run(name, make, admitted={}, forbidden=forbidden(name), traps=TRAPS)
    keep_model(model, name, call.options)
    return model
