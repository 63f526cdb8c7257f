"""The base model that an adapter names: another model, and nothing else of this machine.

An adapter's config is the attacker's. A path in it may lead anywhere, and what lies there would be read, copied beside
the adapter, and perhaps published with it. So a path of this machine is followed only to what is a model by its own
config, which is all that is read to find out; and only where the adapter came from this machine too, or the path has
the form of a model's name on the hub, which loaders take for a path as well.
"""

from __future__ import annotations

import json
import os

from safeload.core.errors import MalformedInput, SafeloadError
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.engine.admission import select
from safeload.sources.base import Snapshot
from safeload.sources.hub import is_hub_id
from safeload.sources.pinned import pin_file

_SIGNS = {
    select.CONFIG: ("model_type", "architectures", "architecture", "_class_name"),
    select.ADAPTER_CONFIG: ("peft_type",),
    "model_index.json": ("_class_name",),
}
"""What the config of a model says, at least one of it, and that of other programs does not."""


def require_model(base: str, adapter: Snapshot, limits: Limits) -> tuple[str, ...]:
    """See that `base`, which an adapter names, may be looked at; return what a person should hear about it.

    Raises:
        MalformedInput: it is a path of this machine that no adapter may name.
    """
    if base == adapter.reference or base.startswith("hf://") or not _is_here(base):
        return ()
    foreign = adapter.kind in ("hub", "cache") and not is_hub_id(base)
    if foreign or not _is_model(base, limits):
        raise MalformedInput(
            "an adapter's base model was not looked at",
            where=Location(select.ADAPTER_CONFIG, path="base_model_name_or_path"),
            why=f"{escape(base)!r} is a path on this machine, and "
            + ("the adapter comes from elsewhere" if foreign else "no model lies there"),
            remedy="if you know which model it is for: load that one, then the adapter on it",
        )
    return (f"the base model is {escape(os.path.abspath(base))}, because the adapter names it",)


def _is_here(path: str) -> bool:
    return "\0" not in path and os.path.lexists(path)


def _is_model(folder: str, limits: Limits) -> bool:
    for name, signs in _SIGNS.items():
        try:
            with pin_file(os.path.join(folder, name)) as file:
                config = json.loads(file.read_at(0, min(file.size, limits.text_bytes)))
        except (SafeloadError, ValueError, RecursionError):
            continue
        if isinstance(config, dict) and any(sign in config for sign in signs):
            return True
    return False
