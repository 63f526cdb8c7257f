"""Which names a source binds, where, and to what. Order and conditions do not count: any binding may hold."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from safeload.formats.python.values import UNKNOWN, Local, Ref, Value, imported

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_SIMPLE = (ast.Constant, ast.JoinedStr, ast.Name, ast.Subscript, ast.List, ast.Tuple)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(slots=True, eq=False)
class Scope:
    """A module, class, function or comprehension: what each name in it may be."""

    parent: Scope | None
    kind: str
    bound: dict[str, list[Binding]] = field(default_factory=dict)

    def bind(self, name: str, binding: Binding) -> None:
        self.bound.setdefault(name, []).append(binding)

    def find(self, name: str) -> tuple[Scope, list[Binding]] | None:
        """The scope that binds the name, seen from here. Names of a class are seen in its own body only."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.bound and (scope.kind != "class" or scope is self):
                return scope, scope.bound[name]
            scope = scope.parent
        return None


@dataclass(frozen=True, slots=True, eq=False)
class Expression:
    """Bound to an expression, or (`item`) to anything that comes out of one."""

    node: ast.expr
    scope: Scope
    item: bool = False


Binding = Expression | Value


@dataclass(slots=True, eq=False)
class Names:
    """All scopes of a source."""

    module: Scope
    inner: dict[ast.AST, Scope] = field(default_factory=dict)
    """The scope that a class, function or comprehension opens."""
    functions: list[Function] = field(default_factory=list)
    """Every function, by the index of its `Local`."""
    indexes: dict[Function, int] = field(default_factory=dict)
    attributes: dict[str, list[Binding]] = field(default_factory=dict)
    """What is assigned to an attribute of that name, whatever it is an attribute of."""
    stars: list[str] = field(default_factory=list)
    """Modules of which all names are imported."""


@dataclass(slots=True, eq=False)
class _Collector:
    names: Names
    pending: list[tuple[ast.AST, Scope]] = field(default_factory=list)
    before: dict[tuple[Scope, str], ast.expr] = field(default_factory=dict)
    """What stands for a name that something is added to: one for all places, so that they are no tower."""

    def run(self, tree: ast.Module) -> None:
        self.pending.append((tree, self.names.module))
        while self.pending:
            node, scope = self.pending.pop()
            inner = self._open(node, scope)
            self._bind(node, scope)
            self.pending.extend((child, inner) for child in _inside(node))
            self.pending.extend((child, scope) for child in _outside(node))

    def _open(self, node: ast.AST, scope: Scope) -> Scope:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            inner = self.names.inner[node] = Scope(scope, "function")
            self.names.indexes[node] = len(self.names.functions)
            self.names.functions.append(node)
            if not isinstance(node, ast.Lambda):
                self._assign(scope, node.name, Local(self.names.indexes[node]))
            if not isinstance(node, ast.Lambda):
                self._share(node, inner)
            _bind_parameters(node.args, inner, scope)
            return inner
        if isinstance(node, ast.ClassDef):
            scope.bind(node.name, UNKNOWN)
            inner = self.names.inner[node] = Scope(scope, "class")
            self._share(node, inner)
            return inner
        if isinstance(node, _COMPREHENSIONS):
            inner = self.names.inner[node] = Scope(scope, "comprehension")
            for generator in node.generators:
                self._target(generator.target, Expression(generator.iter, inner, item=True), inner)
            return inner
        return scope

    def _share(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, inner: Scope) -> None:
        """Names that a function or class declares `global` or `nonlocal` are those of a scope around it."""
        for part in own_statements(node):
            if isinstance(part, (ast.Global, ast.Nonlocal)):
                for name in part.names:
                    found = inner.parent.find(name) if isinstance(part, ast.Nonlocal) and inner.parent else None
                    holder = found[0] if found else self.names.module
                    inner.bound[name] = holder.bound.setdefault(name, [])

    def _bind(self, node: ast.AST, scope: Scope) -> None:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                self._target(target, Expression(node.value, scope), scope)
        elif isinstance(node, (ast.AnnAssign, ast.AugAssign)):
            if node.value is not None:
                self._target(node.target, Expression(node.value, scope), scope)
            if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                if not isinstance(node.value, _SIMPLE):  # no text, most likely; and what it gives is known to nobody
                    scope.bind(node.target.id, UNKNOWN)
                    return
                before = self.before.setdefault((scope, node.target.id), ast.Name(node.target.id, ast.Load()))
                after = ast.copy_location(ast.BinOp(before, node.op, node.value), node)
                self._target(node.target, Expression(after, scope), scope)
        elif isinstance(node, ast.NamedExpr):
            holder = scope
            while holder.kind == "comprehension" and holder.parent is not None:  # where Python binds it
                holder = holder.parent
            self._target(node.target, Expression(node.value, scope), holder)
        elif isinstance(node, (ast.For, ast.AsyncFor)):
            self._target(node.target, Expression(node.iter, scope, item=True), scope)
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            self._target(node.optional_vars, Expression(node.context_expr, scope), scope)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            scope.bind(node.name, UNKNOWN)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                self._assign(scope, alias.asname or top, Ref(alias.name if alias.asname else top))
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            for alias in node.names:
                if alias.name == "*":
                    self.names.stars.append(module)
                else:
                    self._assign(scope, alias.asname or alias.name, imported(module, alias.name))
        elif isinstance(node, (ast.MatchAs, ast.MatchStar)) and node.name:
            scope.bind(node.name, UNKNOWN)

    def _target(self, target: ast.expr, binding: Expression, scope: Scope) -> None:
        if isinstance(target, ast.Name):
            self._assign(scope, target.id, binding)
        elif isinstance(target, ast.Attribute):
            self.names.attributes.setdefault(target.attr, []).append(binding)
        elif isinstance(target, ast.Starred):
            self._target(target.value, binding, scope)
        elif isinstance(target, (ast.Tuple, ast.List)):
            for element, part in _unpacked(target, binding):
                self._target(element, part, scope)
        elif isinstance(target, ast.Subscript):  # what is put into a container may come out of it
            holder = target.value
            if isinstance(holder, ast.Name):
                found = scope.find(holder.id)
                (found[0] if found else scope).bind(holder.id, Expression(binding.node, binding.scope))
            elif isinstance(holder, ast.Attribute):
                self.names.attributes.setdefault(holder.attr, []).append(binding)

    def _assign(self, scope: Scope, name: str, binding: Binding) -> None:
        scope.bind(name, binding)
        if scope.kind == "class":
            self.names.attributes.setdefault(name, []).append(binding)


def collect(tree: ast.Module) -> Names:
    """All names that a source binds."""
    names = Names(Scope(None, "module"))
    _Collector(names).run(tree)
    return names


def _unpacked(target: ast.Tuple | ast.List, binding: Expression) -> Iterator[tuple[ast.expr, Expression]]:
    """`a, b = x, y` binds one to one; otherwise any item may come to any target."""
    node = binding.node
    parts = node.elts if isinstance(node, (ast.Tuple, ast.List)) and not binding.item else []
    plain = len(parts) == len(target.elts) and not any(isinstance(part, ast.Starred) for part in (*parts, *target.elts))
    for index, element in enumerate(target.elts):
        yield element, Expression(parts[index] if plain else node, binding.scope, item=not plain)


def own_statements(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> Iterator[ast.AST]:
    """Everything in the body of a function or class but what stands in functions and classes within it."""
    pending: list[ast.AST] = list(function.body)
    while pending:
        node = pending.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            pending.extend(ast.iter_child_nodes(node))


def _inside(node: ast.AST) -> Iterator[ast.AST]:
    """What belongs to the scope that the node opens; of a node that opens none, all of it."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield from node.body
    elif isinstance(node, ast.Lambda):
        yield node.body
    else:
        yield from ast.iter_child_nodes(node)


def _outside(node: ast.AST) -> Iterator[ast.AST]:
    """What is evaluated where a function or class is defined: decorators, defaults, bases, annotations."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        yield from node.decorator_list
        yield node.args
        if node.returns is not None:
            yield node.returns
    elif isinstance(node, ast.ClassDef):
        yield from (*node.decorator_list, *node.bases, *node.keywords)
    elif isinstance(node, ast.Lambda):
        yield node.args


def _bind_parameters(arguments: ast.arguments, inner: Scope, outer: Scope) -> None:
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = dict(zip([a.arg for a in positional[::-1]], arguments.defaults[::-1], strict=False))
    defaults |= {a.arg: d for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d is not None}
    extra = [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
    for argument in (*positional, *arguments.kwonlyargs, *extra):
        inner.bind(argument.arg, UNKNOWN)
        if argument.arg in defaults:
            inner.bind(argument.arg, Expression(defaults[argument.arg], outer))
