"""Where diffusers asks for classes of a pipeline's own: it gets what was approved, by name, and nothing from a disk.

The library looks whether the directory holds a file of that name; an admitted directory holds no code. So the class of
the pipeline is chosen here, as the library would, and those of components are answered when it asks for them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from safeload.core.errors import PolicyDenied, UsageError
from safeload.core.names import escape
from safeload.engine.admission import Admission
from safeload.engine.seatbelt import Answers, Trap, worn

_UTILS = "diffusers.pipelines.pipeline_loading_utils"
_CLASSES = "get_class_obj_and_candidates"
_CODE = "import code from a model"
TRAPS = (
    Trap("diffusers.utils.dynamic_modules_utils", "get_cached_module_file", _CODE),
    Trap("diffusers.utils.dynamic_modules_utils", "get_class_in_module", _CODE),
    # Harmless by itself. Where code is approved it is answered from it.
    Trap(_UTILS, _CLASSES, _CODE, judge=lambda *_, **__: ""),
)
_INDEX = "model_index.json"


def check(owner: type, admission: Admission, *, pipeline: bool) -> None:
    """Raise `UsageError` where approved code would be needed, and this way of loading cannot take it."""
    if admission.code is None or not admission.needs_code:
        return
    reference = escape(admission.reference)
    if getattr(sys.modules.get("diffusers.utils.dynamic_modules_utils"), "DIFFUSERS_DISABLE_REMOTE_CODE", False):
        raise UsageError(
            f"{reference!r} needs its own code",
            why="DIFFUSERS_DISABLE_REMOTE_CODE switches code of models off",
            remedy="unset it, if this code may run",
        )
    if not pipeline:
        raise UsageError(
            f"{reference!r} was not loaded with its own code",
            why=f"safeload runs the code of a pipeline and of its components, not yet that of one {owner.__name__}",
            remedy="DiffusionPipeline.from_pretrained(…, trust_remote_code=True), or leave trust_remote_code out",
        )
    if _pair(admission) is not None and not any(base.__name__ == "DiffusionPipeline" for base in owner.__mro__):
        raise UsageError(
            f"{reference!r} is a pipeline of its own class",
            why=f"{owner.__name__} chooses among those of diffusers",
            remedy="DiffusionPipeline.from_pretrained(…, trust_remote_code=True)",
        )


def load(method: Any, admission: Admission, named: dict[str, Any]) -> Any:
    """Call `from_pretrained`: of the class that an approval names, if the pipeline has one of its own.

    Raises:
        PolicyDenied: the class is no entry of the approved code, or no pipeline.
    """
    pair = _pair(admission)
    if pair is None:
        return method(**named)
    genuine = sys.modules["diffusers"].DiffusionPipeline
    own = _class(admission, f"{pair[0]}.py", pair[1])
    if not (isinstance(own, type) and issubclass(own, genuine)):
        belt = worn()
        assert belt is not None  # only called within one
        belt.refuse(f"take {escape('.'.join(pair))} for a pipeline, which it is not")
    return own.from_pretrained(**named)  # type: ignore[attr-defined]


def answers(admission: Admission) -> Answers:
    """What the library gets when it asks for the class of a component."""
    if admission.code is None:
        return {}

    def classes(library_name: str, class_name: str, importable_classes: Any, *rest: Any, **more: Any) -> Any:
        file = f"{more.get('component_name')}/{library_name}.py"
        code = admission.code
        if more.get("cache_dir") == str(admission.path) and code is not None and code.find("", file) is not None:
            own = _class(admission, file, class_name)
            return own, dict.fromkeys(importable_classes, own)
        original = getattr(sys.modules[_UTILS], _CLASSES).__wrapped__
        return original(library_name, class_name, importable_classes, *rest, **more)

    return {(_UTILS, _CLASSES): classes}


def _class(admission: Admission, file: str, name: str) -> Any:
    assert admission.code is not None  # without it the load was refused
    try:
        return admission.code.load("", file, name)
    except PolicyDenied as denial:
        if (belt := worn()) is not None:  # the library may swallow it; the belt does not
            belt.remember(denial)
        raise


def _pair(admission: Admission) -> tuple[str, str] | None:
    """The file and the class of a pipeline of its own, as the admitted index names them."""
    index = Path(admission.path) / _INDEX
    if admission.code is None or not index.exists():
        return None
    kind = json.loads(index.read_bytes()).get("_class_name")
    return (str(kind[0]), str(kind[1])) if isinstance(kind, list) and len(kind) == 2 else None
