"""What a source uses: every name from outside, in full, with its place and when it happens."""

from __future__ import annotations

import ast
import enum
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from safeload.core.errors import MalformedInput
from safeload.core.names import Location
from safeload.formats.base import Part
from safeload.formats.python import folding
from safeload.formats.python.resolve import IMPORTERS, LOCATORS, Resolver
from safeload.formats.python.scopes import Scope, collect
from safeload.formats.python.source import Source, parse_source, parse_text
from safeload.formats.python.values import Const, Getter, Ref

_CODE_IN_TEXT = frozenset({"builtins.exec", "builtins.eval", "builtins.compile"})
_DEEPEST_TEXT = 3
_MAKING = ("__init__", "__new__", "__call__", "__post_init__")
_IMPORT_ERRORS = ("ImportError", "ModuleNotFoundError", "Exception", "BaseException")
_NEVER = ("TYPE_CHECKING", "typing.TYPE_CHECKING", "__name__ == '__main__'", "'__main__' == __name__")


class When(enum.Enum):
    """When something happens."""

    IMPORT = "import"
    """As soon as the module is imported."""
    CALL = "call"
    """When somebody calls a function of it."""
    NEVER = "never"
    """Only when the file is run as a program, or never: `if __name__ == "__main__"`, `if TYPE_CHECKING`."""


class Kind(enum.Enum):
    """What is done with a name."""

    CALL = "call"
    NAME = "name"
    """It is named, and so can be called wherever it gets to."""
    IMPORT = "import"
    ASSIGN = "assign"
    """It, or an attribute of it, is replaced."""


@dataclass(frozen=True, slots=True)
class Use:
    """One use of one thing from outside."""

    name: str
    """In full: `os.system`, `builtins.open`, `?.write_text` for an attribute of something unknown."""
    kind: Kind
    line: int
    when: When
    arguments: tuple[folding.Plain | None, ...] = ()
    """Of a call: the positional arguments that are constants, and `None` for the others."""
    keywords: Mapping[str, folding.Plain | None] = field(default_factory=dict)
    inside: str = ""
    """Of what stands in a text that is executed: the function that executes it."""


@dataclass(frozen=True, slots=True)
class Edge:
    """An import of another file of the same code."""

    module: str
    """As written from this file: `.blocks`, `..common.layers`."""
    names: tuple[str, ...]
    """What is imported from it: modules, or names within one."""
    line: int
    optional: bool = False
    """Whether the code goes on if it is not there: the import is tried, and its failure is handled."""


@dataclass(frozen=True, slots=True)
class Unfollowed:
    """A place where what is imported, executed or looked up depends on what is only known when it runs."""

    what: str
    line: int


class Facts(Part):
    """Everything that one module says about itself."""

    source: Source
    uses: tuple[Use, ...]
    edges: tuple[Edge, ...]
    unfollowed: tuple[Unfollowed, ...]
    classes: tuple[str, ...]
    """The names of its top-level classes and functions."""
    texts: tuple[tuple[int, folding.Plain], ...]
    """Text and bytes put together from pieces, by line: what a reader does not see at a glance."""
    strings: tuple[tuple[int, str | bytes], ...]
    """Every text that is written out, by line, without docstrings."""
    spelled: tuple[tuple[int, str], ...]
    """Identifiers that hold other than ASCII letters, as they are written, by line."""

    @property
    def imports(self) -> frozenset[str]:
        """Top-level names of all modules imported from outside the code."""
        names = {use.name.partition(".")[0] for use in self.uses if use.kind is Kind.IMPORT}
        return frozenset(name for name in names if name)


def read_facts(data: bytes, location: Location) -> Facts:
    """The facts about one file of Python source. Raises as `parse_source` does."""
    return _Walk(parse_source(data, location), location).facts()


class _Walk:
    def __init__(self, source: Source, location: Location) -> None:
        self.source = source
        self.location = location
        self.uses: dict[tuple[object, ...], Use] = {}
        self.edges: list[Edge] = []
        self.unfollowed: list[Unfollowed] = []
        self.texts: list[tuple[int, folding.Plain]] = []

    def facts(self) -> Facts:
        self._module(self.source.tree, line=0, inside="", depth=0)
        tops = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        return Facts(
            location=self.location,
            source=self.source,
            uses=tuple(self.uses.values()),
            edges=tuple(dict.fromkeys(self.edges)),
            unfollowed=tuple(dict.fromkeys(self.unfollowed)),
            classes=tuple(node.name for node in self.source.tree.body if isinstance(node, tops)),
            texts=tuple(dict.fromkeys(self.texts)),
            strings=tuple(_strings(self.source.tree)),
            spelled=tuple(_spelled(self.source)),
        )

    def _module(self, tree: ast.Module, *, line: int, inside: str, depth: int) -> None:
        _Reader(self, tree, line, inside, depth).run()


class _Reader:
    """One tree: of the module, or of a text within it that is executed."""

    def __init__(self, walk: _Walk, tree: ast.Module, line: int, inside: str, depth: int) -> None:
        self.walk = walk
        self.line = line
        self.inside = inside
        self.text_depth = depth
        self.names = collect(tree)
        self.resolver = Resolver(self.names)
        self.early = _called_at_import(tree)
        self.tried = _tried(tree)
        self.pending: list[tuple[ast.AST, Scope, When]] = [(tree, self.names.module, When.IMPORT)]

    def run(self) -> None:
        while self.pending:
            node, scope, when = self.pending.pop()
            self._visit(node, scope, when)
        if self.resolver.exhausted:
            self._unfollowed("it is too involved to be followed", 0)

    def _visit(self, node: ast.AST, scope: Scope, when: When) -> None:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            self._import(node, when)
        elif isinstance(node, ast.expr) and self._expression(node, scope, when):
            return
        elif isinstance(node, (ast.Assign, ast.AugAssign, ast.Delete)):
            self._assigned(node, scope, when)
        inner = self.names.inner.get(node, scope)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            later = when if when is When.NEVER else When.IMPORT if _name_of(node) in self.early else When.CALL
            body = [node.body] if isinstance(node, ast.Lambda) else node.body
            self.pending.extend((part, inner, later) for part in body)
            outside = [node.args, *getattr(node, "decorator_list", ())]
            self.pending.extend((part, scope, when) for part in outside)
        elif isinstance(node, ast.ClassDef):
            self.pending.extend((part, inner, when) for part in node.body)
            self.pending.extend((part, scope, when) for part in (*node.decorator_list, *node.bases, *node.keywords))
        elif isinstance(node, ast.If) and (never := _never(node.test)):
            self.pending.extend((part, scope, When.NEVER) for part in node.body if never)
            self.pending.extend((part, scope, when) for part in node.orelse)
        elif isinstance(node, (ast.AnnAssign, ast.arg)):  # annotations are left out: nothing is done with them
            if isinstance(node, ast.AnnAssign) and node.value is not None:
                self.pending.append((node.value, scope, when))
        else:
            self.pending.extend((part, inner, when) for part in ast.iter_child_nodes(node))

    # ── imports ─────────────────────────────────────────────────────────────────────────────────────────────

    def _import(self, node: ast.Import | ast.ImportFrom, when: When) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                self._use(alias.name, Kind.IMPORT, node, when)
        elif node.level:
            names = tuple(alias.name for alias in node.names)
            self._edge("." * node.level + (node.module or ""), names, node)
        else:
            for alias in node.names:
                self._use(f"{node.module}.{alias.name}", Kind.IMPORT, node, when)

    # ── expressions ─────────────────────────────────────────────────────────────────────────────────────────

    def _expression(self, node: ast.expr, scope: Scope, when: When) -> bool:
        """Note what the expression uses. True if its parts have been taken care of as well."""
        if isinstance(node, ast.Call):
            self._call(node, scope, when)
            if isinstance(node.func, (ast.Name, ast.Attribute)):
                self.pending.extend((part, scope, when) for part in (*node.args, *node.keywords))
                self._beneath(node.func, scope, when)
                return True
        elif isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load):
            for value in self.resolver.values(node, scope):
                if isinstance(value, Ref):
                    self._use(value.name, Kind.NAME, node, when)
            self._beneath(node, scope, when)
            return True
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            for value in self.resolver.values(node, scope):
                if isinstance(value, Ref) and value.known:
                    self._use(value.name, Kind.NAME, node, when)
        elif isinstance(node, (ast.BinOp, ast.JoinedStr)):
            self._pieced(node, scope)
        return False

    def _beneath(self, node: ast.expr, scope: Scope, when: When) -> None:
        """Go on with what a chain of attributes hangs on, where that is more than a name."""
        while isinstance(node, ast.Attribute):
            node = node.value
        if not isinstance(node, ast.Name):
            self.pending.append((node, scope, when))

    def _pieced(self, node: ast.expr, scope: Scope) -> None:
        for value in self.resolver.values(node, scope):
            if isinstance(value, Const) and not isinstance(value.value, int) and len(value.value) > 1:
                self.walk.texts.append((self._line(node), value.value))

    def _call(self, node: ast.Call, scope: Scope, when: When) -> None:
        arguments = tuple(self._plain(argument, scope) for argument in node.args[:8])
        keywords = {k.arg: self._plain(k.value, scope) for k in node.keywords if k.arg}
        for callee in self.resolver.values(node.func, scope):
            if isinstance(callee, Getter) and callee.calls and node.args:
                for holder in self.resolver.values(node.args[0], scope):
                    if isinstance(holder, Ref):
                        self._use(holder.attribute(callee.name).name, Kind.CALL, node, when)
            if not isinstance(callee, Ref):
                continue
            self._use(callee.name, Kind.CALL, node, when, arguments, keywords)
            self._special(callee.name, node, scope, when)
        self._pieced(node, scope)
        for value in self.resolver.values(node, scope):  # `getattr(os, "system")` names what it gives
            if isinstance(value, Ref) and value.known and not value.name.endswith("()"):
                self._use(value.name, Kind.NAME, node, when)

    def _special(self, name: str, node: ast.Call, scope: Scope, when: When) -> None:
        named_so = (keyword.value for keyword in node.keywords if keyword.arg in ("name", "source"))
        first = node.args[0] if node.args else next(named_so, None)
        if name in IMPORTERS or name in LOCATORS:
            self._computed_import(name, first, node, scope, when)
        elif name == "builtins.getattr" and len(node.args) > 1:
            named = [v for v in self.resolver.values(node.args[1], scope) if isinstance(v, Const)]
            holders = [v for v in self.resolver.values(node.args[0], scope) if isinstance(v, Ref) and v.known]
            if not named and holders:
                self._unfollowed(f"an attribute of {holders[0].name} whose name is computed", self._line(node))
        elif name in _CODE_IN_TEXT:
            self._executed(name, first, node, scope)

    def _computed_import(self, name: str, first: ast.expr | None, node: ast.Call, scope: Scope, when: When) -> None:
        texts = [] if first is None else [v for v in self.resolver.values(first, scope) if isinstance(v, Const)]
        if not texts:
            self._unfollowed(f"{name} of a name that is computed", self._line(node))
        for text in texts:
            if not isinstance(text.value, str):
                continue
            if text.value.startswith("."):
                self._edge(text.value, (), node)
            else:
                self._use(text.value, Kind.IMPORT, node, when)

    def _executed(self, name: str, first: ast.expr | None, node: ast.Call, scope: Scope) -> None:
        values = [] if first is None else list(self.resolver.values(first, scope))
        texts = [v.value for v in values if isinstance(v, Const) and not isinstance(v.value, int)]
        compiled = any(isinstance(v, Ref) and v.name == "builtins.compile()" for v in values)
        if not texts and not compiled:
            self._unfollowed(f"{name} of what is only known when it runs", self._line(node))
        for text in texts if self.text_depth < _DEEPEST_TEXT else ():
            shown = text if isinstance(text, str) else text.decode("utf-8", "replace")
            try:
                tree = parse_text(shown, self.walk.location)
            except MalformedInput:
                self._unfollowed(f"{name} of a text that is no Python", self._line(node))
                continue
            self.walk._module(tree, line=self._line(node), inside=name, depth=self.text_depth + 1)

    def _plain(self, node: ast.expr, scope: Scope) -> folding.Plain | None:
        if isinstance(node, ast.Constant):
            return folding.bounded(node.value) if not isinstance(node.value, bool) else int(node.value)
        values = self.resolver.values(node, scope)
        single = next(iter(values)) if len(values) == 1 else None
        return single.value if isinstance(single, Const) else None

    # ── assignments ─────────────────────────────────────────────────────────────────────────────────────────

    def _assigned(self, node: ast.Assign | ast.AugAssign | ast.Delete, scope: Scope, when: When) -> None:
        targets: list[ast.expr] = [node.target] if isinstance(node, ast.AugAssign) else node.targets
        for target in _flattened(targets):
            if isinstance(target, (ast.Attribute, ast.Subscript)):
                for value in self._targets(target, scope):
                    self._use(value, Kind.ASSIGN, node, when)

    def _targets(self, target: ast.Attribute | ast.Subscript, scope: Scope) -> Iterator[str]:
        for value in self.resolver.values(target.value, scope):
            if isinstance(value, Ref) and value.known and not value.name.startswith("."):
                yield f"{value.name}.{target.attr}" if isinstance(target, ast.Attribute) else f"{value.name}[]"

    # ── noting ──────────────────────────────────────────────────────────────────────────────────────────────

    def _line(self, node: ast.AST) -> int:
        return self.line or getattr(node, "lineno", 0)  # of a node of ours; 0 where it has none

    def _use(
        self,
        name: str,
        kind: Kind,
        node: ast.AST,
        when: When,
        arguments: tuple[folding.Plain | None, ...] = (),
        keywords: Mapping[str, folding.Plain | None] | None = None,
    ) -> None:
        if name.startswith(".") or name in ("?", "?."):
            return
        use = Use(name, kind, self._line(node), when, arguments, keywords or {}, self.inside)
        self.walk.uses.setdefault((name, kind, use.line, when, arguments, tuple(use.keywords.items())), use)

    def _edge(self, module: str, names: tuple[str, ...], node: ast.AST) -> None:
        self.walk.edges.append(Edge(module, names, self._line(node), optional=node in self.tried))

    def _unfollowed(self, what: str, line: int) -> None:
        self.walk.unfollowed.append(Unfollowed(what, line or self.line))


def _strings(tree: ast.Module) -> Iterator[tuple[int, str | bytes]]:
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)) and id(node) not in documentation:
            yield node.lineno, node.value


def _spelled(source: Source) -> Iterator[tuple[int, str]]:
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


def _flattened(targets: list[ast.expr]) -> Iterator[ast.expr]:
    pending = list(targets)
    while pending:
        target = pending.pop()
        if isinstance(target, (ast.Tuple, ast.List)):
            pending.extend(target.elts)
        else:
            yield target.value if isinstance(target, ast.Starred) else target


def _name_of(node: ast.AST) -> str:
    return node.name if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) else ""


def _never(test: ast.expr) -> bool:
    """`__name__ == "__main__"` and `TYPE_CHECKING`: not reached by an import."""
    text = ast.unparse(test) if isinstance(test, (ast.Compare, ast.Name, ast.Attribute)) else ""
    return text in _NEVER


def _tried(tree: ast.Module) -> frozenset[ast.AST]:
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


def _called_at_import(tree: ast.Module) -> frozenset[str]:
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
