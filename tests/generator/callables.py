"""Every callable of this Python's standard library, by reading its sources: nothing is imported to find it.

Modules written in C have no sources; what they define is asked of them, after an ordinary import. They are few, and
importing one does no more than making it.
"""

from __future__ import annotations

import ast
import functools
import importlib
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

_LEFT_OUT = {"site-packages", "dist-packages", "__pycache__", "test", "tests", "idle_test", "lib2to3/tests"}
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@functools.cache
def stdlib_callables() -> tuple[tuple[str, str], ...]:
    """Module and name of each function, class, method and imported module or function, sorted."""
    found = set(_written_in_c())
    for path, module in _sources():
        found.update((module, name) for name in _names(path))
    return tuple(sorted(found))


def _sources() -> Iterator[tuple[Path, str]]:
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if set(parts) & _LEFT_OUT or not parts[0].isidentifier() or parts[0].startswith("config-"):
            continue
        yield path, ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _names(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError:
        return  # sample files of lib2to3 and the like
    for node in _statements(tree):
        if isinstance(node, _DEFINITIONS):
            yield node.name
            for inner in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(inner, _DEFINITIONS):
                    yield f"{node.name}.{inner.name}"
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from ((alias.asname or alias.name).partition(".")[0] for alias in node.names if alias.name != "*")


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """What stands at the top of a module, also within `if` and `try`."""
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, (ast.If, ast.Try, ast.With)):
            waiting += [*node.body, *getattr(node, "orelse", ()), *getattr(node, "finalbody", ())]
            waiting += [inner for handler in getattr(node, "handlers", ()) for inner in handler.body]


def _written_in_c() -> Iterator[tuple[str, str]]:
    for module in sorted(sys.builtin_module_names):
        loaded = importlib.import_module(module)
        yield from ((module, name) for name in dir(loaded) if callable(getattr(loaded, name)) and name.isidentifier())
