"""From a source to its facts: each expression is visited once, its names are followed, and what it uses is noted."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from safeload.core.errors import MalformedInput
from safeload.core.names import Location
from safeload.formats.python import folding
from safeload.formats.python.facts import Edge, Facts, Kind, Unfollowed, Use, When
from safeload.formats.python.resolve import IMPORTERS, LOCATORS, Resolver
from safeload.formats.python.scopes import Scope, collect
from safeload.formats.python.source import Source, parse_source, parse_text
from safeload.formats.python.syntax import (
    called_at_import,
    flattened,
    foreign_spellings,
    name_of,
    never_runs,
    texts_in,
    tried_imports,
)
from safeload.formats.python.values import Const, Getter, Ref

_CODE_IN_TEXT = frozenset({"builtins.exec", "builtins.eval", "builtins.compile"})
_DEEPEST_TEXT = 3


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
            strings=tuple(texts_in(self.source.tree)),
            spelled=tuple(foreign_spellings(self.source)),
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
        self.early = called_at_import(tree)
        self.tried = tried_imports(tree)
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
            later = when if when is When.NEVER else When.IMPORT if name_of(node) in self.early else When.CALL
            body = [node.body] if isinstance(node, ast.Lambda) else node.body
            self.pending.extend((part, inner, later) for part in body)
            outside = [node.args, *getattr(node, "decorator_list", ())]
            self.pending.extend((part, scope, when) for part in outside)
        elif isinstance(node, ast.ClassDef):
            self.pending.extend((part, inner, when) for part in node.body)
            self.pending.extend((part, scope, when) for part in (*node.decorator_list, *node.bases, *node.keywords))
        elif isinstance(node, ast.If) and (never := never_runs(node.test)):
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
        for target in flattened(targets):
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
