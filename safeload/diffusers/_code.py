"""Where diffusers asks for classes of a pipeline's own: it gets what was approved, by name, and nothing from a disk.

The library looks whether the directory holds a file of that name; an admitted directory holds no code. So the class of
the pipeline is chosen here, as the library would, and those of components are answered when it asks for them. Where it
finds a file first (`auto_map`, `custom_pipeline=`) and then takes a class from it, both are answered.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from safeload.core.errors import PolicyDenied, UsageError
from safeload.core.names import escape
from safeload.engine.admission.admitted import Admission
from safeload.engine.approved import ApprovedCode
from safeload.engine.seatbelt import Answers, Trap, worn

_UTILS = "diffusers.pipelines.pipeline_loading_utils"
_CLASSES = "get_class_obj_and_candidates"
_DYNAMIC = "diffusers.utils.dynamic_modules_utils"
_FILE, _FROM_FILE = "get_cached_module_file", "get_class_in_module"
_CODE = "import code from a model"
TRAPS = (
    Trap(_DYNAMIC, _FILE, _CODE),
    Trap(_DYNAMIC, _FROM_FILE, _CODE),
    # Harmless by itself. Where code is approved it is answered from it.
    Trap(_UTILS, _CLASSES, _CODE, judge=lambda *_, **__: ""),
)
_INDEX, _CONFIG = "model_index.json", "config.json"
_AUTO = "AutoModel"


def check(owner: type, admission: Admission, *, pipeline: bool, program: Admission | None = None) -> None:
    """Raise `UsageError` where approved code would be needed, and this way of loading cannot take it."""
    if admission.code is None or not admission.needs_code:
        return
    require_switch(admission)
    reference = escape(admission.reference)
    if not pipeline and not maps_itself(owner, admission):
        raise UsageError(
            f"{reference!r} was not loaded with its own code",
            why=f"{owner.__name__} is a class of diffusers, and takes the code of no model",
            remedy=f"{_AUTO}.from_pretrained(…, trust_remote_code=True), or leave trust_remote_code out",
        )
    if (
        program is None
        and pair_of(admission) is not None
        and not any(base.__name__ == "DiffusionPipeline" for base in owner.__mro__)
    ):
        raise UsageError(
            f"{reference!r} is a pipeline of its own class",
            why=f"{owner.__name__} chooses among those of diffusers",
            remedy="DiffusionPipeline.from_pretrained(…, trust_remote_code=True)",
        )


def require_switch(admission: Admission) -> None:
    """Raise `UsageError` if the library's own switch forbids the code of models."""
    if getattr(sys.modules.get(_DYNAMIC), "DIFFUSERS_DISABLE_REMOTE_CODE", False):
        raise UsageError(
            f"{escape(admission.reference)!r} needs its own code",
            why="DIFFUSERS_DISABLE_REMOTE_CODE switches code of models off",
            remedy="unset it, if this code may run",
        )


def maps_itself(owner: type, admission: Admission) -> bool:
    """Whether a class takes the code that `auto_map` of the config names under its name, as one of diffusers does."""
    config = Path(admission.path) / _CONFIG
    if owner.__name__ != _AUTO or admission.code is None or not config.exists():
        return False
    found = json.loads(config.read_bytes()).get("auto_map")
    return isinstance(found, dict) and owner.__name__ in found


def load(method: Any, admission: Admission, named: dict[str, Any], program: Admission | None = None) -> Any:
    """Call `from_pretrained`: of the class that an approval names, if the pipeline has one of its own.

    Where the call names a program, the library asks for its class by itself.

    Raises:
        PolicyDenied: the class is no entry of the approved code, or no pipeline.
    """
    pair = None if program is not None else pair_of(admission)
    if pair is None:
        return method(**named)
    genuine = sys.modules["diffusers"].DiffusionPipeline
    own = _class(admission, f"{pair[0]}.py", pair[1])
    if not (isinstance(own, type) and issubclass(own, genuine)):
        belt = worn()
        assert belt is not None  # only called within one
        belt.refuse(f"take {escape('.'.join(pair))} for a pipeline, which it is not")
    return own.from_pretrained(**named)  # type: ignore[attr-defined]


def answers(admission: Admission, *programs: Admission) -> Answers:
    """What the library gets when it asks for the class of a component, and where it takes a class from a file.

    Args:
        programs: what was admitted beside the model as code, and nothing else.
    """
    found: dict[tuple[str, str], Any] = dict(from_files((admission, *programs)))
    if admission.code is None:
        return found

    def classes(library_name: str, class_name: str, importable_classes: Any, *rest: Any, **more: Any) -> Any:
        file = f"{more.get('component_name')}/{library_name}.py"
        code = admission.code
        if more.get("cache_dir") == str(admission.path) and code is not None and code.find("", file) is not None:
            own = _class(admission, file, class_name)
            return own, dict.fromkeys(importable_classes, own)
        original = getattr(sys.modules[_UTILS], _CLASSES).__wrapped__
        return original(library_name, class_name, importable_classes, *rest, **more)

    found[_UTILS, _CLASSES] = classes
    return found


class _Place(str):
    """What stands for a file between the two questions: a text, because the library may format it."""

    code: ApprovedCode
    file: str


def from_files(admissions: Iterable[Admission]) -> Answers:
    """What the library gets when it asks for a file in an admitted directory, and for a class in such a file."""
    codes = {os.path.abspath(one.path): one.code for one in admissions if one.code is not None}
    if not codes:
        return {}

    def file(pretrained_model_name_or_path: Any, module_file: str, subfolder: str | None = None, **_: Any) -> str:
        code = codes.get(os.path.abspath(str(pretrained_model_name_or_path)))
        name = os.path.join(subfolder or "", module_file)
        if code is None or code.find("", name) is None:
            _refuse(f"{pretrained_model_name_or_path}: {name}")
        place = _Place(f"{escape(code.reference)}: {escape(name)}")
        place.code, place.file = code, name
        return place

    def class_in(class_name: str | None, module_path: Any, **_: Any) -> Any:
        if not isinstance(module_path, _Place):
            _refuse(str(module_path))
        if class_name is not None:
            return _loaded(module_path.code, module_path.file, class_name)
        own = sys.modules[_DYNAMIC].find_pipeline_class(_module(module_path.code, module_path.file))
        if own is None:
            _refuse(f"{module_path}, which holds no pipeline", "take a class from")
        return own

    return {(_DYNAMIC, _FILE): file, (_DYNAMIC, _FROM_FILE): class_in}


def _refuse(what: str, act: str = "import code that is not approved:") -> NoReturn:
    belt = worn()
    assert belt is not None  # only a belt asks
    belt.refuse(f"{act} {escape(what)}")


def _module(code: ApprovedCode, file: str) -> Any:
    with _remembered():
        return code.module(file)


def _loaded(code: ApprovedCode, file: str, name: str) -> Any:
    with _remembered():
        return code.load("", file, name)


@contextmanager
def _remembered() -> Iterator[None]:
    """The library may swallow a denial; the belt does not."""
    try:
        yield
    except PolicyDenied as denial:
        if (belt := worn()) is not None:
            belt.remember(denial)
        raise


def _class(admission: Admission, file: str, name: str) -> Any:
    assert admission.code is not None  # without it the load was refused
    return _loaded(admission.code, file, name)


def pair_of(admission: Admission) -> tuple[str, str] | None:
    """The file and the class of a pipeline of its own, as the admitted index names them."""
    index = Path(admission.path) / _INDEX
    if admission.code is None or not index.exists():
        return None
    kind = json.loads(index.read_bytes()).get("_class_name")
    return (str(kind[0]), str(kind[1])) if isinstance(kind, list) and len(kind) == 2 else None
