"""safeload's own source, read with `ast`."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "safeload"


@dataclass(frozen=True, slots=True)
class Import:
    """One import of one module, wherever in a file it stands."""

    line: int
    module: str
    """Absolute and complete: for `from safeload.core import names` it is `safeload.core.names`."""
    at_top: bool
    """Whether importing the file runs it."""
    typing_only: bool


@dataclass(frozen=True, slots=True)
class Source:
    """One file of the package."""

    path: Path
    tree: ast.Module
    text: str

    @property
    def module(self) -> str:
        parts = self.path.relative_to(ROOT).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def ring(self) -> str:
        """The folder within `safeload`; for a file beside the folders, its own name. `""` for the package itself."""
        parts = self.module.split(".")
        return parts[1] if len(parts) > 1 else ""

    def at(self, line: int) -> str:
        return f"{self.path.relative_to(ROOT)}:{line}"


@cache
def sources() -> tuple[Source, ...]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        found.append(Source(path, ast.parse(text, str(path)), text))
    return tuple(found)


def imports(source: Source) -> Iterator[Import]:
    """Every import of a file, also those inside functions and under `TYPE_CHECKING`."""
    yield from _imports(source.tree.body, at_top=True, typing_only=False)


def _imports(body: list[ast.stmt], *, at_top: bool, typing_only: bool) -> Iterator[Import]:
    for statement in body:
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                yield Import(statement.lineno, alias.name, at_top and not typing_only, typing_only)
        elif isinstance(statement, ast.ImportFrom):
            assert statement.level == 0, "imports are absolute"
            for alias in statement.names:
                name = f"{statement.module}.{alias.name}"
                known = (ROOT / Path(*name.split("."))).with_suffix(".py").exists()
                known = known or (ROOT / Path(*name.split(".")) / "__init__.py").exists()
                module = name if known else str(statement.module)
                yield Import(statement.lineno, module, at_top and not typing_only, typing_only)
        else:
            guard = isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.dump(statement.test)
            function = isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for field in ("body", "orelse", "finalbody"):
                inner = getattr(statement, field, None)
                if isinstance(inner, list):
                    typing = typing_only or (guard and field == "body")
                    yield from _imports(inner, at_top=at_top and not function, typing_only=typing)
            for handler in getattr(statement, "handlers", ()):
                yield from _imports(handler.body, at_top=at_top, typing_only=typing_only)
            for case in getattr(statement, "cases", ()):
                yield from _imports(case.body, at_top=at_top, typing_only=typing_only)


def lines_of_code(source: Source) -> int:
    """Lines that hold code: without blank lines, comments and docstrings."""
    docstrings: set[int] = set()
    for node in ast.walk(source.tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        for statement in body:  # a string alone is a docstring: of a module, class or function, or of a field above it
            constant = statement.value if isinstance(statement, ast.Expr) else None
            if isinstance(constant, ast.Constant) and isinstance(constant.value, str):
                docstrings.update(range(statement.lineno, (statement.end_lineno or statement.lineno) + 1))
    skip = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type not in skip:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - docstrings)


def calls(source: Source) -> Iterator[tuple[ast.Call, str]]:
    """Every call with the dotted name it is written with; imported names are spelled out in full."""
    aliases: dict[str, str] = {}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            aliases.update({alias.asname: alias.name for alias in node.names if alias.asname})
        elif isinstance(node, ast.ImportFrom):
            aliases.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call):
            yield node, _dotted(node.func, aliases)


def _dotted(node: ast.expr, aliases: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return aliases.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, aliases)}.{node.attr}"
    return "?"
