"""Saving models of sentence-transformers that have approved code: all of it is written, from the approved bytes.

The library writes the class of a module by the package it lives in, which is no more when the process ends. Here each
class is named by its file, as in the model it was loaded from, and that file and all beside it are written. So what is
saved is the same code, under the same digest, and needs no second approval.
"""

from __future__ import annotations

import functools
import json
import os
import re
import sys
from collections.abc import Callable
from typing import Any

from safeload.engine.approved import PACKAGE, files_beside
from safeload.transformers._saving import write

_MARK = "_safeload_saving"
_HOLDERS = ("modules.json", "router_config.json", "wordembedding_config.json")
_TYPE = re.compile(rf'"{re.escape(PACKAGE)}\.c[0-9a-f]{{64}}\.r[0-9]+\.')


def install(kind: type) -> None:
    """Let `save` of these models write approved code as well. For all others it does what it did."""
    home = next((base for base in kind.__mro__ if "save" in vars(base)), None)
    if home is not None and not hasattr(vars(home)["save"], _MARK):
        setattr(home, "save", _saving(vars(home)["save"]))  # noqa: B010  (mypy knows no such attribute)


def install_everywhere() -> None:
    """The same for all models that the library has: for modules, which may become part of any."""
    for name in ("SentenceTransformer", "CrossEncoder", "SparseEncoder", "MultiVectorEncoder"):
        if (kind := getattr(sys.modules.get("sentence_transformers"), name, None)) is not None:
            install(kind)


def _saving(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def save(self: Any, path: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, path, *args, **kwargs)
        homes = {type(part).__module__ for module in self.modules() for part in (module, *vars(module).values())}
        if path is not None and (own := sorted(home for home in homes if home.startswith(f"{PACKAGE}."))):
            for home in own:
                write(files_beside(home), path)
            for folder in _folders(os.fspath(path)):
                _rename(folder)
        return result

    setattr(save, _MARK, original)
    return save


def _folders(path: str) -> list[str]:
    """Those that the library has just written modules to: that of each, and of all that a router chooses from."""
    modules = _read(os.path.join(path, "modules.json"))
    found = [path, *(os.path.join(path, module["path"]) for module in modules or ())]
    for folder in found:  # it grows meanwhile: routers may lie in routers
        routes = _read(os.path.join(folder, "router_config.json"))
        found += [os.path.join(folder, name) for name in (routes or {}).get("types", {})]
    return list(dict.fromkeys(found))


def _rename(folder: str) -> None:
    for name in _HOLDERS:
        file = os.path.join(folder, name)
        if not os.path.isfile(file):
            continue
        with open(file, encoding="utf-8") as stream:
            text = stream.read()
        if (renamed := _TYPE.sub('"', text)) != text:
            with open(file, "w", encoding="utf-8") as stream:
                stream.write(renamed)


def _read(file: str) -> Any:
    if not os.path.isfile(file):
        return None
    with open(file, encoding="utf-8") as stream:
        return json.load(stream)
