"""Whether the names on the allowlists exist in libraries that are installed, and what they do when they are unpickled.

    python -m tools.allowlist_names [--into DIR …] [library …]

Reads the sources beneath each directory (the current environment's, if none is given) and imports nothing. For each
name of a library that is there it says `present` or `missing`; for classes it lists the methods of their own, or of
bases in the same library, that an unpickler would call: those are what a reviewer has to read.
"""

from __future__ import annotations

import argparse
import ast
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from safeload.core.allowlist import Entry
from safeload.engine.allowlists import default_allowlist

HOOKS = frozenset(
    {"__setstate__", "__new__", "__setitem__", "__setattr__", "append", "extend", "add", "__init_subclass__"}
)
"""What unpicklers call on an object, or on a class that they make an instance of."""


@dataclass(frozen=True, slots=True)
class Found:
    """One name, looked up in the sources of its library."""

    entry: Entry
    present: bool
    hooks: tuple[str, ...] = ()
    """`module.Class.method` of what an unpickler would call, of the class and its bases in the library."""


@dataclass(slots=True)
class Library:
    """The sources of a library, parsed as they are asked for."""

    root: Path
    parsed: dict[str, ast.Module | None] = field(default_factory=dict)

    def module(self, name: str) -> ast.Module | None:
        if name not in self.parsed:
            path = self.root.joinpath(*name.split("."))
            files = [path.with_name(path.name + ".py"), path / "__init__.py"]
            text = next((one.read_text("utf-8") for one in files if one.is_file()), None)
            self.parsed[name] = ast.parse(text) if text is not None else None
        return self.parsed[name]

    def find(self, module: str, name: str, depth: int = 0) -> tuple[str, ast.stmt] | None:
        """The statement that binds a name, and the module it stands in; imports within the library are followed."""
        tree = self.module(module)
        if tree is None or depth > 10:
            return None
        for statement in _statements(tree.body):
            if isinstance(statement, ast.ImportFrom):
                for alias in statement.names:
                    if name in (alias.asname or alias.name, "*" if alias.name == "*" else None):
                        origin = _absolute(module, statement, self.is_package(module))
                        return self.find(origin, alias.name, depth + 1) or (module, statement)
                if any(alias.name == "*" for alias in statement.names):
                    origin = _absolute(module, statement, self.is_package(module))
                    if found := self.find(origin, name, depth + 1):
                        return found
            elif name in _bound(statement):
                return module, statement
        return None

    def is_package(self, module: str) -> bool:
        return self.root.joinpath(*module.split("."), "__init__.py").is_file()

    def hooks(self, module: str, name: str, depth: int = 0) -> Iterator[str]:
        found = self.find(module, name)
        home, statement = found or ("", None)
        if not isinstance(statement, ast.ClassDef) or depth > 10:
            return
        for inner in statement.body:
            if isinstance(inner, ast.FunctionDef) and inner.name in HOOKS:
                yield f"{home}.{statement.name}.{inner.name}"
        for base in statement.bases:
            if isinstance(base, ast.Name):
                yield from self.hooks(home, base.id, depth + 1)


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run when a module is imported."""
    for statement in body:
        yield statement
        for part in ("body", "orelse", "finalbody", "handlers"):
            if isinstance(statement, ast.If | ast.Try | ast.With | ast.ExceptHandler):
                yield from _statements(getattr(statement, part, []))


def _bound(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.ClassDef | ast.FunctionDef):
        return {statement.name}
    if isinstance(statement, ast.Assign):
        return {target.id for target in statement.targets if isinstance(target, ast.Name)}
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return {statement.target.id}
    if isinstance(statement, ast.Import):
        return {alias.asname or alias.name.partition(".")[0] for alias in statement.names}
    return set()


def _absolute(module: str, statement: ast.ImportFrom, package: bool) -> str:
    if not statement.level:
        return statement.module or ""
    parts = module.split(".")
    base = parts[: len(parts) - statement.level + (1 if package else 0)]
    return ".".join([*base, *([statement.module] if statement.module else [])])


def look_up(entries: list[Entry], roots: list[Path]) -> list[Found]:
    """Look for each entry whose top-level package is beneath one of the directories, as sources."""
    results = []
    libraries = [Library(root) for root in roots]
    for entry in entries:
        module, name = entry.name
        top = module.partition(".")[0]
        for library in libraries:
            if (library.root / top / "__init__.py").is_file() or (library.root / top).is_dir():
                found = library.find(module, name)
                results.append(Found(entry, found is not None, tuple(dict.fromkeys(library.hooks(module, name)))))
                break
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", action="append", type=Path, default=[], help="a directory with installed packages")
    parser.add_argument("library", nargs="*", help="top-level packages; all, if none is given")
    asked = parser.parse_args()
    roots = asked.into or [Path(sysconfig.get_path("purelib"))]
    entries = [
        one for one in default_allowlist() if not asked.library or one.name.module.partition(".")[0] in asked.library
    ]
    for found in look_up(entries, roots):
        hooks = f"  {', '.join(found.hooks)}" if found.hooks else ""
        print(f"{'present' if found.present else 'missing'} {found.entry.name} {found.entry.use.value}{hooks}")


if __name__ == "__main__":
    main()
