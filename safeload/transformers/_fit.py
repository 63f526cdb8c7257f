"""Whether the names in a converted checkpoint fit the model at all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from safeload.core.errors import MalformedInput
from safeload.core.names import escape
from safeload.engine.admission.admitted import Admission

_SHOWN = 20


def converted(admission: Admission) -> list[str]:
    """The pickled weights that were converted for this load."""
    return [file.source for file in admission.files if file.how == "converted"]


def check_fit(model: Any, info: Any, sources: Iterable[str]) -> None:
    """Refuse a model of which not one parameter came from the checkpoint.

    The library would initialise it at random and say so in its log. A pickle may hold the weights anywhere, under any
    names, so for converted checkpoints this is an error that lists the names that were found.

    Raises:
        MalformedInput: no name fits.
    """
    missing, found = set(info["missing_keys"]), sorted(info["unexpected_keys"])
    if not found or any(name not in missing for name, _ in model.named_parameters()):
        return
    shown = ", ".join(escape(name) for name in found[:_SHOWN])
    more = f" and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
    raise MalformedInput(
        f"no weight fits {type(model).__name__}",
        where=", ".join(escape(source) for source in sources),
        why=f"the checkpoint holds {shown}{more}",
        remedy=_remedy(found, {name for name, _ in model.named_parameters()}),
    )


def _remedy(found: list[str], wanted: set[str]) -> str:
    """If the names fit but for something in front, say how to take it off; that is the usual reason."""
    for name in found:
        head = name
        while "." in head:
            head, _, _ = head.rpartition(".")
            if name[len(head) + 1 :] in wanted:
                return f"pass key_mapping={{r'^{escape(head)}\\.': ''}} to from_pretrained"
    return "use the class that the checkpoint was made for, or pass key_mapping={pattern: replacement}"
