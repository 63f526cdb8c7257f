"""What a loaded object says about itself, and how long the directory it came from lives."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from safeload import adapt_after
from safeload.engine.options import Options
from safeload.transformers._doors import ModelKeeper, install


def dress(result: Any, keeper: ModelKeeper, admitted: Mapping[str, str]) -> None:
    """Make a result show what the user asked for, and let it keep what it was loaded from.

    `admitted` maps each admitted directory to the reference it stands for. What the library reads later from where the
    config says the model came from goes through a door, which points the config at an admitted directory meanwhile.
    """
    install()
    if isinstance(result, tuple):
        result = result[0] if result else None
    if _is(result, "transformers.modeling_utils", "PreTrainedModel"):
        _dress_model(result, keeper, admitted)
    elif _is(result, "transformers.tokenization_utils_base", "PreTrainedTokenizerBase"):
        _dress_tokenizer(result, keeper, admitted)
    elif _is(result, "transformers.configuration_utils", "PreTrainedConfig"):
        result._name_or_path = admitted.get(result._name_or_path, result._name_or_path)
    elif _is(result, "transformers.generation.configuration_utils", "GenerationConfig"):
        pass  # read to the end; it knows no path
    elif result is not None:
        _dress_other(result, keeper, admitted)


def _dress_model(model: Any, keeper: ModelKeeper, admitted: Mapping[str, str]) -> None:
    kind = sys.modules["transformers.modeling_utils"].PreTrainedModel  # which the model is one of
    for part in model.modules():
        if isinstance(part, kind):
            adapt_after.hold(part, keeper)
            for thing, key in ((part, "name_or_path"), (part.config, "_name_or_path")):
                if (name := vars(thing).get(key)) in admitted:
                    vars(thing)[key] = admitted[name]


def _dress_tokenizer(tokenizer: Any, keeper: ModelKeeper, admitted: Mapping[str, str]) -> None:
    adapt_after.hold(tokenizer, keeper)
    tokenizer.name_or_path = admitted.get(tokenizer.name_or_path, tokenizer.name_or_path)
    if (name := tokenizer.init_kwargs.get("name_or_path")) in admitted:
        tokenizer.init_kwargs["name_or_path"] = admitted[name]
    if "local_files_only" in tokenizer.init_kwargs:  # what was asked for, not how it was done: it is saved
        tokenizer.init_kwargs["local_files_only"] = keeper.request.access.local_files_only


def _dress_other(result: Any, keeper: ModelKeeper, admitted: Mapping[str, str]) -> None:
    """Processors, feature extractors, pipelines, retrievers: whatever they hold, and themselves."""
    for part in list(vars(result).values()):
        if _is(part, "transformers.tokenization_utils_base", "PreTrainedTokenizerBase"):
            _dress_tokenizer(part, keeper, admitted)
        elif _is(part, "transformers.modeling_utils", "PreTrainedModel"):
            _dress_model(part, keeper, admitted)
        elif _is(part, "transformers.processing_utils", "ProcessorMixin"):
            _dress_other(part, keeper, admitted)
    adapt_after.hold_apart(result, keeper)


def keep_model(model: Any, reference: str, options: Options) -> None:
    """Guard the doors of a model that was made rather than loaded."""
    install()
    if _is(model, "transformers.modeling_utils", "PreTrainedModel"):
        _dress_model(model, ModelKeeper(reference, options), {})


def _is(value: object, module: str, name: str) -> bool:
    """`isinstance`, without importing a part of the library that the load did not need."""
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(value, kind)
