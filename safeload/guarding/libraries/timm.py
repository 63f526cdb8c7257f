"""timm: `create_model`, where it fetches or reads weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from safeload.guarding.doors import Function, Library

if TYPE_CHECKING:
    from safeload.guarding.doors import Arguments

_ELSEWHERE = ("hf-hub:", "hf_hub:", "local-dir:")


def _without_weights(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a call of `create_model(model_name, pretrained, …)` makes a model of timm's own, with random weights."""
    name = args[0] if args else kwargs.get("model_name", "")
    loads = kwargs.get("pretrained") or (len(args) > 1 and args[1]) or kwargs.get("checkpoint_path")
    overlay = kwargs.get("pretrained_cfg") or kwargs.get("pretrained_cfg_overlay")
    return not loads and not overlay and len(args) <= 2 and not str(name).startswith(_ELSEWHERE)


def _data(place: int) -> Callable[[tuple[Any, ...], dict[str, Any]], Arguments]:
    """A call that asks for unpickling, by keyword or at this place, gets what it is after: the data."""

    def arranged(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
        if kwargs.get("weights_only") is False:
            kwargs = {name: value for name, value in kwargs.items() if name != "weights_only"}
        if args[place : place + 1] == (False,):
            args = (*args[:place], True, *args[place + 1 :])
        return args, kwargs

    return arranged


LIBRARY = Library(
    name="timm",
    doors=(
        Function(
            homes=("timm:create_model", "timm.models._factory:create_model"),
            ours="safeload.timm.create_model",
            passes=_without_weights,
        ),
        *(
            Function(
                homes=(f"timm.models:{name}", f"timm.models._helpers:{name}"),
                ours=f"safeload.timm.{name}",
                arranged=_data(place),
            )
            for name, place in (("load_checkpoint", 7), ("load_state_dict", 3))
        ),
    ),
)
