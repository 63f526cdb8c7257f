"""From a source to its facts: each expression is visited once, its names are followed, and what it uses is noted."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

from safeload.core.errors import MalformedInput
from safeload.core.names import Location
from safeload.formats.python import folding
from safeload.formats.python.facts import Edge, Facts, Kind, Unfollowed, Use, When
from safeload.formats.python.resolve import (
    ANCESTORS,
    ATTRIBUTE_GETTERS,
    IMPORTERS,
    LOCATORS,
    Resolver,
    Values,
    unknown_in,
)
from safeload.formats.python.scopes import Scope, collect
from safeload.formats.python.source import Source, parse_source, parse_text
from safeload.formats.python.syntax import (
    called_at_import,
    foreign_spellings,
    name_of,
    never_runs,
    texts_in,
    tried_imports,
)
from safeload.formats.python.values import Bag, Const, Getter, Local, Ref, Value

_CODE_IN_TEXT = frozenset({"builtins.exec", "builtins.eval", "builtins.compile"})
_SETTERS = frozenset({"builtins.setattr", "builtins.delattr"})
_DEEPEST_TEXT = 3
_LIKE_CODE = re.compile(r"\(|\A\s*[^\W\d]\w*(?:\.[^\W\d]\w*)+\s*\Z")
"""A text that could be called if it were executed, or is a name in full."""
_MOST_LEVELS = 100
_MOST_GUESSED = 1 << 16
_SPECIAL = _CODE_IN_TEXT | _SETTERS | IMPORTERS | LOCATORS | ATTRIBUTE_GETTERS | {"builtins.getattr"}
"""Functions that are told by a text what they reach."""
_MEMBERS = frozenset({"inspect.getmembers", "inspect.getmembers_static"})
_OF_MODULES = frozenset({"__path__", "__loader__", "__spec__", "__package__", "__builtins__"})
"""Names of a module that steer what its imports find."""
_OF_FUNCTIONS = frozenset({"__code__", "__globals__", "__closure__", "__builtins__", *_OF_MODULES})
_UPDATERS = ("__dict__.update", "__dict__.setdefault", "__dict__.__setitem__", "__dict__.__ior__")
_PARENTS = frozenset({"__mro__", "__bases__", "__base__"})


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
        written = tuple(texts_in(self.source.tree))
        for line, text in dict.fromkeys((*written, *self.texts)):
            if isinstance(text, str) and len(text) <= _MOST_GUESSED and _LIKE_CODE.search(text):
                self._guess(text, line)
        tops = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        return Facts(
            location=self.location,
            source=self.source,
            uses=tuple(self.uses.values()),
            edges=tuple(dict.fromkeys(self.edges)),
            unfollowed=tuple(dict.fromkeys(self.unfollowed)),
            classes=tuple(node.name for node in self.source.tree.body if isinstance(node, tops)),
            texts=tuple(dict.fromkeys(self.texts)),
            strings=written,
            spelled=tuple(foreign_spellings(self.source)),
        )

    def _module(self, tree: ast.Module, *, line: int, inside: str, depth: int) -> None:
        _Reader(self, tree, line, inside, depth).run()

    def _guess(self, text: str, line: int) -> None:
        """Read a text that may be code, for somebody who executes texts: what it calls counts, and no import of it."""
        try:
            tree = parse_text(text, self.location)
        except MalformedInput:
            return  # nobody can execute it
        _Reader(self, tree, line, "?", _DEEPEST_TEXT, guess=True).run()


class _Reader:
    """One tree: of the module, or of a text within it that is executed."""

    def __init__(
        self, walk: _Walk, tree: ast.Module, line: int, inside: str, depth: int, *, guess: bool = False
    ) -> None:
        self.walk = walk
        self.guess = guess
        self.line = line
        self.inside = inside
        self.text_depth = depth
        self.names = collect(tree)
        self.resolver = Resolver(self.names)
        self.early = called_at_import(tree)
        self.tried = tried_imports(tree)
        when = When.CALL if guess else When.IMPORT
        self.pending: list[tuple[ast.AST, Scope, When]] = [(tree, self.names.module, when)]

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
        inner = self.names.inner.get(node, scope)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            later = when if when is When.NEVER else When.IMPORT if name_of(node) in self.early else When.CALL
            body = [node.body] if isinstance(node, ast.Lambda) else node.body
            self.pending.extend((part, inner, later) for part in body)
            outside = [node.args, *getattr(node, "decorator_list", ())]
            self.pending.extend((part, scope, when) for part in outside)
            self._annotation(getattr(node, "returns", None), scope, when)
        elif isinstance(node, ast.ClassDef):
            self.pending.extend((part, inner, when) for part in node.body)
            self.pending.extend((part, scope, when) for part in (*node.decorator_list, *node.bases, *node.keywords))
        elif isinstance(node, ast.If) and (never := never_runs(node.test)):
            self.pending.extend((part, scope, When.NEVER) for part in node.body if never)
            self.pending.extend((part, scope, when) for part in node.orelse)
        elif isinstance(node, (ast.AnnAssign, ast.arg)):
            if isinstance(node, ast.AnnAssign) and node.value is not None:
                self.pending.append((node.value, scope, when))
            if isinstance(node, ast.AnnAssign):
                self.pending.append((node.target, scope, when))
            self._annotation(node.annotation, scope, when)
        else:
            self.pending.extend((part, inner, when) for part in ast.iter_child_nodes(node))

    def _annotation(self, node: ast.expr | None, scope: Scope, when: When) -> None:
        """Annotations that call something are evaluated, at once or by whoever asks for them; names do nothing."""
        if node is None or not any(isinstance(part, (ast.Call, ast.Constant)) for part in ast.walk(node)):
            return
        if any(isinstance(part, ast.Call) for part in ast.walk(node)):
            self.pending.append((node, scope, when))
        for part in ast.walk(node):
            text = part.value if isinstance(part, ast.Constant) else None
            if isinstance(text, str) and "(" in text and self.text_depth < _DEEPEST_TEXT:
                try:
                    tree = parse_text(text, self.walk.location)
                except MalformedInput:
                    continue  # nobody can evaluate it
                self.walk._module(tree, line=self._line(part), inside="an annotation", depth=self.text_depth + 1)

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
        elif isinstance(node, (ast.Name, ast.Attribute, ast.Subscript)) and not isinstance(node.ctx, ast.Load):
            self._assigned(node, scope, when)
        elif isinstance(node, ast.Dict):
            named = {k.value: v for k, v in zip(node.keys, node.values, strict=True) if isinstance(k, ast.Constant)}
            keywords = {k: self._plain(v, scope) for k, v in named.items() if isinstance(k, str) and k.isidentifier()}
            if keywords:
                self._use("builtins.dict", Kind.CALL, node, when, (), keywords)
        elif isinstance(node, ast.Subscript):
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
        keywords = {k.arg or "**": self._plain(k.value, scope) for k in node.keywords}
        callees = self.resolver.values(node.func, scope)
        if keywords and any(isinstance(callee, Local) for callee in callees):
            self._use("builtins.dict", Kind.CALL, node, when, (), keywords)  # what it hands on to others
        for callee in callees:
            if isinstance(callee, Getter) and node.args:
                if not callee.name:
                    self._computed_attribute(node, node.args[0], None, scope)
                for holder in self.resolver.values(node.args[0], scope):
                    if isinstance(holder, Ref) and callee.calls and callee.name:
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
        if name in _SPECIAL and any(isinstance(argument, ast.Starred) for argument in node.args):
            self._unfollowed(f"{name} of arguments that are computed", self._line(node))
        if name in IMPORTERS or name in LOCATORS:
            self._computed_import(name, first, node, scope, when)
        elif name == "builtins.getattr" and len(node.args) > 1:
            self._computed_attribute(node, node.args[0], node.args[1], scope)
        elif name in _MEMBERS and first is not None:
            self._computed_attribute(node, first, None, scope)
        elif name in ATTRIBUTE_GETTERS and first is not None:
            for text in self.resolver.constants(first, scope):
                if isinstance(text, str):
                    self._use(f"?.{text}", Kind.NAME, node, when)
        elif name in _SETTERS and len(node.args) > 1:
            plain = self._plain(node.args[1], scope)
            attribute = plain if isinstance(plain, str) and plain else "?"
            for holder in self.resolver.values(node.args[0], scope):
                if isinstance(holder, Ref) and holder.known and "()" not in holder.name:
                    self._use(f"{holder.name}.{attribute}", Kind.ASSIGN, node, when)
        elif name in _CODE_IN_TEXT:
            self._executed(name, first, node, scope)
        else:
            self._method(name, node, scope, when)

    def _method(self, name: str, node: ast.Call, scope: Scope, when: When) -> None:
        """Methods that get or set attributes of what they belong to, or of what they are given."""
        holder, _, method = name.rpartition(".")
        of = node.args[0] if holder in ANCESTORS and node.args else None
        rest = node.args[1:] if of is not None else node.args
        if method in ("__setattr__", "__delattr__"):
            text = self._plain(rest[0], scope) if rest else None
            holders = [Ref(holder)] if of is None else self.resolver.values(of, scope)
            for value in holders:
                if isinstance(value, Ref) and value.known and "()" not in value.name:
                    self._use(f"{value.name}.{text if isinstance(text, str) else '?'}", Kind.ASSIGN, node, when)
        elif name.endswith(_UPDATERS) and not name.startswith("?") and "()" not in name:
            self._use(f"{holder}[]", Kind.ASSIGN, node, when)
        elif method == "__getattribute__" and of is not None:
            self._computed_attribute(node, of, rest[0] if rest else None, scope)

    def _computed_attribute(self, node: ast.Call, holder: ast.expr, name: ast.expr | None, scope: Scope) -> None:
        named: Values = frozenset() if name is None else self.resolver.values(name, scope)
        computed = unknown_in(named) or not any(isinstance(value, Const) for value in named)
        holders = [v for v in self.resolver.values(holder, scope) if isinstance(v, Ref) and v.known]
        if computed and holders:
            self._unfollowed(f"an attribute of {holders[0].name} whose name is computed", self._line(node))

    def _computed_import(self, name: str, first: ast.expr | None, node: ast.Call, scope: Scope, when: When) -> None:
        values: Values = frozenset() if first is None else self.resolver.values(first, scope)
        if name.endswith("__import__") and (level := self._level(node, scope)) != 0:
            self._relative(name, level, values, node, scope)
            return
        texts = [value for value in values if isinstance(value, Const)]
        if not texts or unknown_in(values):
            self._unfollowed(f"{name} of a name that is computed", self._line(node))
        for text in texts:
            if not isinstance(text.value, str):
                continue
            if text.value.startswith("."):
                self._edge(text.value, (), node)
            else:
                self._use(text.value, Kind.IMPORT, node, when)

    def _level(self, node: ast.Call, scope: Scope) -> folding.Plain | None:
        """How many packages up `__import__(name, globals, locals, fromlist, level)` looks; `None` if it is computed."""
        given = [keyword.value for keyword in node.keywords if keyword.arg == "level"] or node.args[4:5]
        return self._plain(given[0], scope) if given else 0

    def _relative(self, name: str, level: folding.Plain | None, values: Values, node: ast.Call, scope: Scope) -> None:
        listed = [keyword.value for keyword in node.keywords if keyword.arg == "fromlist"] or node.args[3:4]
        texts = [value.value for value in values if isinstance(value, Const) and isinstance(value.value, str)]
        bags = [bag for part in listed for bag in self.resolver.values(part, scope) if isinstance(bag, Bag)]
        named = frozenset[Value]().union(*(bag.any() for bag in bags))
        names = tuple(sorted(one.value for one in named if isinstance(one, Const) and isinstance(one.value, str)))
        certain = texts and not unknown_in(values | named) and len(bags) == len(listed)
        if not isinstance(level, int) or level < 0 or level > _MOST_LEVELS or not certain:
            self._unfollowed(f"{name} of a name that is computed", self._line(node))
            return
        for text in texts:
            self._edge("." * level + text, names, node)

    def _executed(self, name: str, first: ast.expr | None, node: ast.Call, scope: Scope) -> None:
        values: Values = frozenset() if first is None else self.resolver.values(first, scope)
        texts = [v.value for v in values if isinstance(v, Const) and not isinstance(v.value, int)]
        compiled = any(isinstance(v, Ref) and v.name == "builtins.compile()" for v in values)
        if unknown_in(values) or (not texts and not compiled):
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
            return folding.bounded(node.value) if not isinstance(node.value, bool | None) else int(bool(node.value))
        values = self.resolver.values(node, scope)
        single = next(iter(values)) if len(values) == 1 else None
        return single.value if isinstance(single, Const) else None

    # ── assignments ─────────────────────────────────────────────────────────────────────────────────────────

    def _assigned(self, node: ast.Name | ast.Attribute | ast.Subscript, scope: Scope, when: When) -> None:
        """Whatever statement sets or deletes it: assignments, loops, `with`."""
        if isinstance(node, ast.Name):
            if node.id in _OF_MODULES:
                self._use(f"builtins.{node.id}", Kind.ASSIGN, node, when)
            return
        chain = [part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)]
        if not _PARENTS.isdisjoint(chain) or not _OF_FUNCTIONS.isdisjoint(chain[:1]):
            self._use(".".join(("?", *reversed(chain))), Kind.ASSIGN, node, when)
        for value in self.resolver.values(node.value, scope):
            if isinstance(value, Ref) and value.known and not value.name.startswith("."):
                name = f"{value.name}.{node.attr}" if isinstance(node, ast.Attribute) else f"{value.name}[]"
                self._use(name, Kind.ASSIGN, node, when)
        key = self._plain(node.slice, scope) if isinstance(node, ast.Subscript) else None
        if isinstance(key, str) and key.isidentifier():  # as `dict(key=…)` would be
            self._use("builtins.dict", Kind.CALL, node, when, (), {key: 1})

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
        if name.startswith(".") or name in ("?", "?.") or (self.guess and kind is Kind.IMPORT):
            return
        if kind is not Kind.ASSIGN and ".__dict__" in name and not name.startswith("?") and "()" not in name:
            holder = name.partition(".__dict__")[0]
            self._unfollowed(f"an attribute of {holder} that is taken from its dictionary", self._line(node))
        use = Use(name, kind, self._line(node), when, arguments, keywords or {}, self.inside)
        self.walk.uses.setdefault((name, kind, use.line, when, arguments, tuple(use.keywords.items())), use)

    def _edge(self, module: str, names: tuple[str, ...], node: ast.AST) -> None:
        if self.guess:
            return
        self.walk.edges.append(Edge(module, names, self._line(node), optional=node in self.tried))

    def _unfollowed(self, what: str, line: int) -> None:
        if self.guess:
            return
        self.walk.unfollowed.append(Unfollowed(what, line or self.line))
