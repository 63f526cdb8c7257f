"""What must not happen during a call of transformers, beside what the interpreter itself reports."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from safeload import adapt
from safeload.core.names import escape
from safeload.engine.seatbelt import Answers, Trap
from safeload.transformers._kernels import judge_attention, judge_kernel

_UNPICKLE = "unpickle a file with torch"
_CODE = "import code from a model"
_ELSEWHERE = "load what was not admitted"
_KERNEL = "fetch native code from a repository"


def _elsewhere(path_or_repo_id: object, *_: object, **__: object) -> str:
    """What a look for files does: nothing worth a word where they were admitted."""
    if not adapt.is_reference(path_or_repo_id) or adapt.within_admitted(path_or_repo_id):
        return ""
    return f"load {escape(str(path_or_repo_id))}, which was not admitted"


TRAPS = (
    Trap("torch", "load", _UNPICKLE),
    Trap("torch.serialization", "load", _UNPICKLE),
    Trap("torch.jit", "load", "load a TorchScript program"),
    Trap("torch.hub", "load_state_dict_from_url", "download and unpickle a file with torch"),
    Trap("torch.export", "load", "load an exported program"),
    Trap("transformers.utils.hub", "cached_files", _ELSEWHERE, judge=_elsewhere),
    Trap("transformers.dynamic_module_utils", "get_cached_module_file", _CODE),
    Trap("transformers.dynamic_module_utils", "get_class_in_module", _CODE),
    Trap("transformers.generation.utils", "get_cached_module_file", _CODE),
    Trap("transformers.generation.utils", "get_class_in_module", _CODE),
    # Harmless by themselves. Where code is approved they are answered from it, see `_code`.
    Trap("transformers.generation.utils", "has_file", _CODE, judge=lambda *_, **__: ""),
    Trap("transformers.generation.utils", "check_python_requirements", _CODE, judge=lambda *_, **__: ""),
    # What a policy lists is given, see `_kernels`.
    Trap("transformers.integrations.hub_kernels", "load_and_register_attn_kernel", _KERNEL, judge=judge_attention),
    # Fast paths of some architectures. Without the kernel the library computes the same in plain torch.
    Trap("transformers.integrations.hub_kernels", "get_kernel", "", absence=FileNotFoundError, judge=judge_kernel),
    Trap("kernels", "get_kernel", "", absence=FileNotFoundError, judge=judge_kernel),
)


_BACKBONES = "transformers.models.auto.auto_factory"
_ASKS_HUB = "hf_api"


class _Here:
    """What stands for the hub where `AutoBackbone` asks it whether it has the model: it lies here, admitted."""

    def repo_exists(self, *_: object, **__: object) -> bool:
        return True


def of_backbones(genuine: type) -> tuple[tuple[Trap, ...], Answers]:
    """What a class that loads backbones needs. It would ask the hub for the path of a directory, which is an error
    there, and take any name that the hub has not for one of timm's."""
    named = getattr(sys.modules.get(_BACKBONES), _ASKS_HUB, None)
    if named is None or not any(base.__name__ == "_BaseAutoBackboneClass" for base in genuine.__mro__):
        return (), {}
    trap = Trap(_BACKBONES, _ASKS_HUB, _ELSEWHERE, judge=lambda *_, **__: "")
    return (trap,), {(_BACKBONES, _ASKS_HUB): _Here}


def forbidden(reference: object) -> Iterator[str]:
    """Directories no code may come from: the model's own, and where the library keeps modules and downloads."""
    if isinstance(reference, (str, os.PathLike)) and os.path.isdir(reference):
        yield os.fspath(reference)
    for module, name in (
        ("transformers.utils.hub", "HF_MODULES_CACHE"),
        ("huggingface_hub.constants", "HF_HUB_CACHE"),
        ("huggingface_hub.constants", "HF_XET_CACHE"),
    ):
        place = getattr(sys.modules.get(module), name, None)
        if isinstance(place, str):
            yield place
