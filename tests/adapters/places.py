"""Where the sources of a library can run code, read without importing it.

A place is a file, the function in it, and what is named there: `modeling_utils.py:load_state_dict:torch.load`. Names
are followed through imports. Whether the name is called or handed on makes no difference.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

NAMES = {
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "pickle._Unpickler", "marshal.load", "marshal.loads"),
    *("dill.load", "dill.loads", "cloudpickle.load", "cloudpickle.loads", "joblib.load", "shelve.open"),
    *("pandas.read_pickle", "numpy.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load"),
    *("torch.load", "torch.serialization.load", "torch.jit.load", "torch.export.load", "torch.hub.load"),
    *("torch.package.PackageImporter", "torch.distributed.checkpoint.load", "torch.classes.load_library"),
    *("runpy.run_path", "runpy.run_module", "importlib.import_module", "sys.path", "sys.meta_path"),
    *("ctypes.CDLL", "ctypes.cdll", "ctypes.PyDLL", "os.system", "os.popen"),
}
BUILTINS = {"exec", "eval", "compile", "__import__"}
LAST = {
    *("exec_module", "spec_from_file_location", "SourceFileLoader", "load_library", "load_inline"),
    *("load_state_dict_from_url", "get_class_in_module", "get_cached_module_file", "get_class_from_dynamic_module"),
    *("get_kernel", "get_local_kernel", "get_locked_kernel", "load_kernel"),
    *("LayerRepository", "LocalLayerRepository", "LockedLayerRepository"),
    *("FuncRepository", "LocalFuncRepository", "LockedFuncRepository"),
}
"""Whatever they belong to."""
APART = {"cli", "commands", "testing_utils.py", "test_utils", "testing"}
"""Programs and what tests need: no load comes there."""

_WORDS = (
    *("pickle", "marshal", "shelve", "joblib", "import dill", "yaml", "runpy", "importlib", "meta_path", "ctypes"),
    *("np.load", "numpy.load", "numpy import", "sys.path", "sys import", "os.system", "os.popen", "os import"),
    *("torch.load", "torch.jit.load", "torch.export.load", "torch.hub", "torch.package", "torch.classes"),
    *("torch import load", "torch.serialization", "torch.jit import", "torch.export import", "distributed.checkpoint"),
    *LAST,
)
_BUILTINS = re.compile(rf"(?<![\w.])(?:{'|'.join(sorted(BUILTINS))})\(")
"""What a file must have for a place to be in it. Spares most of thousands of files."""


def root_of(library: str) -> Path | None:
    """The folder of an installed library, which is not imported for it."""
    spec = importlib.util.find_spec(library)
    return Path(spec.origin).parent if spec is not None and spec.origin else None


def places(root: Path) -> Iterator[str]:
    """Every place below a folder, in order."""
    for path in sorted(root.rglob("*.py")):
        inside = path.relative_to(root)
        if APART.isdisjoint(inside.parts):
            text = path.read_text(encoding="utf-8")
            if any(word in text for word in _WORDS) or _BUILTINS.search(text):
                yield from sorted({f"{inside.as_posix()}:{place}" for place in places_of(ast.parse(text))})


def places_of(tree: ast.Module) -> Iterator[str]:
    """The places of one file, without its name."""
    known = dict(_imported(tree))
    waiting: list[tuple[ast.AST, str]] = [(tree, "")]
    while waiting:
        node, inside = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            inside = f"{inside}.{node.name}" if inside else node.name
        name = _named(node, known)
        if name:
            yield f"{inside}:{name}"
        waiting += [(child, inside) for child in ast.iter_child_nodes(node)]


def _imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.split(".")[0]
                yield (alias.asname, alias.name) if alias.asname else (first, first)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, f"{'.' * node.level}{node.module or ''}.{alias.name}"


def _named(node: ast.AST, known: dict[str, str]) -> str:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in BUILTINS - known.keys():
        return node.func.id
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        parts.append(known.get(node.id, node.id))
    full = ".".join(reversed(parts))
    last = full.rsplit(".", 1)[-1]
    return full if full in NAMES else last if last in LAST else ""
