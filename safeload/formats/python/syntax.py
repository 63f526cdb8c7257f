"""Questions that the syntax of a source answers by itself, before any name is followed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from safeload.formats.python.source import Source

_MAKING = ("__init__", "__new__", "__call__", "__post_init__")
_IMPORT_ERRORS = ("ImportError", "ModuleNotFoundError", "Exception", "BaseException")
_NEVER = ("TYPE_CHECKING", "typing.TYPE_CHECKING", "__name__ == '__main__'", "'__main__' == __name__")


def texts_in(tree: ast.Module) -> Iterator[tuple[int, str | bytes]]:
    """Every text that is written out, by line, without docstrings."""
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)) and id(node) not in documentation:
            yield node.lineno, node.value


def foreign_spellings(source: Source) -> Iterator[tuple[int, str]]:
    """Python reads `exec` in bold letters as `exec` (NFKC), so the tree does not show how a name is written."""
    if source.text.isascii():
        return
    for node in ast.walk(source.tree):
        line = source.line(getattr(node, "lineno", 0))  # of a node of ours
        if line.isascii():
            continue
        if isinstance(node, ast.Name):
            name = line.encode()[node.col_offset : node.end_col_offset].decode("utf-8", "replace")
        elif isinstance(node, ast.Attribute) and node.end_lineno is not None:
            last = source.line(node.end_lineno).encode()[: node.end_col_offset]
            name = re.split(rb"[\s.]", last)[-1].decode("utf-8", "replace")
        else:
            name = next((text for text in (getattr(node, "name", None), getattr(node, "arg", None)) if text), "")
        if isinstance(name, str) and not name.isascii():
            yield node.lineno if hasattr(node, "lineno") else 0, name


def name_of(node: ast.AST) -> str:
    """The name of a function; nothing, for whatever else."""
    return node.name if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) else ""


def never_runs(test: ast.expr) -> bool:
    """`__name__ == "__main__"` and `TYPE_CHECKING`: not reached by an import."""
    text = ast.unparse(test) if isinstance(test, (ast.Compare, ast.Name, ast.Attribute)) else ""
    return text in _NEVER


def tried_imports(tree: ast.Module) -> frozenset[ast.AST]:
    """What stands in a `try` that handles the failure of an import, and happens right there."""
    found: set[ast.AST] = set()
    for outer in ast.walk(tree):
        if isinstance(outer, ast.Try) and any(_handles_imports(handler) for handler in outer.handlers):
            pending: list[ast.AST] = [*outer.body]
            while pending:
                node = pending.pop()
                if node not in found and not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                    found.add(node)
                    pending.extend(ast.iter_child_nodes(node))
    return frozenset(found)


def _handles_imports(handler: ast.ExceptHandler) -> bool:
    """Whether it catches an import that fails, and does not end in raising again."""
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    caught = any(kind is None or (isinstance(kind, ast.Name) and kind.id in _IMPORT_ERRORS) for kind in kinds)
    return caught and not isinstance(handler.body[-1], ast.Raise)


def called_at_import(tree: ast.Module) -> frozenset[str]:
    """Names of functions that are called while the module is imported, directly or by one another."""
    bodies: dict[str, set[str]] = {}
    early: set[str] = set()
    pending: list[tuple[ast.AST, str]] = [(tree, "")]
    while pending:
        node, within = pending.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for decorator in node.decorator_list:
                pending.append((decorator, within))
                early |= {_called(decorator)} if not within else set()
            pending.extend((part, node.name) for part in node.body)
            continue
        if isinstance(node, ast.Call):
            bodies.setdefault(within, set()).add(_called(node))
        if isinstance(node, ast.ClassDef) and not within:
            early |= {"__init_subclass__", "__set_name__"}
        pending.extend((part, within) for part in ast.iter_child_nodes(node))
    classes = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    waiting = [*bodies.get("", ()), *early]
    early = set()
    while waiting:
        name = waiting.pop()
        if name and name not in early:
            early.add(name)
            waiting.extend(bodies.get(name, ()))
            waiting.extend(_MAKING if name in classes else ())
    return frozenset(early)


def _called(node: ast.AST) -> str:
    func = node.func if isinstance(node, ast.Call) else node
    return func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""
