"""`save_pretrained` of what has approved code: all of that code is written, from the bytes that were approved.

The library copies the module of the class and what it finds by a pattern to be imported from it, into one folder. That
misses imports, and files in folders. Here every file of the repository that the class is from is written where it was,
so that what is saved is the same code, under the same digest, and needs no second approval.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from safeload.engine.approved import PACKAGE, files_beside, is_source

_HOME = "transformers.dynamic_module_utils"
_SAVE, _RELATIVE = "custom_object_save", "get_relative_import_files"
_MARK = "_safeload_saving"


def install() -> None:
    """Replace the two functions of the library, wherever they were imported to. For all other objects they do what
    they did."""
    home = sys.modules.get(_HOME)
    if home is None or PACKAGE not in sys.modules:
        return
    for name, wrap in ((_SAVE, _saving), (_RELATIVE, _finding)):
        current = getattr(home, name, None)
        if current is None:
            continue
        original = getattr(current, _MARK, current)
        wrapper = current if current is not original else wrap(original)
        for place, module in [*sys.modules.items()]:
            if place.startswith("transformers.") and vars(module).get(name) is original:
                setattr(module, name, wrapper)


def write(files: Mapping[str, bytes], folder: str | os.PathLike[str]) -> None:
    """Write files of code where a model is saved. Raises `OSError`, as saving does."""
    for name, source in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as stream:
            stream.write(source)


def _saving(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def save(obj: Any, folder: str | os.PathLike[str], config: Any = None) -> Any:
        result = original(obj, folder, config)
        write(files_beside(type(obj).__module__), folder)
        return result

    setattr(save, _MARK, original)
    return save


def _finding(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def find(module_file: str | os.PathLike[str]) -> Any:
        return [] if is_source(module_file) else original(module_file)

    setattr(find, _MARK, original)
    return find
