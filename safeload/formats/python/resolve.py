"""What an expression may stand for: names followed through assignments, containers, `getattr`, `__import__` and calls.

Rules it keeps:

1. Any binding of a name may hold: order and conditions are not looked at, so that hiding behind them hides nothing.
2. What cannot be followed is `UNKNOWN`, which `facts` reports where it matters: an import or attribute of unknown name.
3. It takes a bounded number of steps; `exhausted` says that they did not suffice.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

from safeload.formats.python import folding
from safeload.formats.python.scopes import Binding, Expression, Names, Scope, own_statements
from safeload.formats.python.values import NOTHING_KNOWN, UNKNOWN, Bag, Const, Getter, Local, Ref, Value

Values = frozenset[Value]

_Key = tuple[ast.AST, Scope]
_ROUNDS = 4
_DEEPEST = 160
_MOST_STEPS = 400_000
_MOST_VALUES = 32
_MOST_ITEMS = 4_096
_MOST_NAMES = 4

IMPORTERS = frozenset({"builtins.__import__", "importlib.import_module", "importlib.__import__"})
LOCATORS = frozenset({"pkgutil.resolve_name", "pydoc.locate"})
ATTRIBUTE_GETTERS = frozenset({"operator.attrgetter", "operator.methodcaller"})
_SAME = frozenset({"functools.partial", "builtins.staticmethod", "builtins.classmethod", "functools.wraps()"})
"""What gives, for our purposes, its first argument."""
_NAMESPACES = frozenset({"builtins.globals()", "builtins.locals()", "builtins.vars()"})
_TAKERS = frozenset({"get", "pop", "setdefault", "__getitem__"})
_GETTERS = ("__getattribute__", "__getattr__")
ANCESTORS = frozenset({"builtins.object", "builtins.type", "builtins.type()"})
"""Whose methods take the object that they are about as an argument."""


class Resolver:
    """Answers what expressions of one source may stand for."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.known: dict[_Key, Values] = {}
        self.before: dict[_Key, Values] = {}  # of the last round: what a cycle is entered with
        self.under_way: set[_Key] = set()
        self.cut = False  # whether a cycle was met in this round
        self.depth = 0
        self.steps = 0
        self.exhausted = False
        for _ in range(_ROUNDS):
            self._round()
            if not self.cut or self.known == self.before:
                break

    def _round(self) -> None:
        """Work out every name. Names that depend on themselves begin with what the round before made of them."""
        self.before, self.known, self.cut = self.known, {}, False
        for scope in (self.names.module, *self.names.inner.values()):
            for bindings in scope.bound.values():
                self._bound(bindings)

    def values(self, node: ast.expr, scope: Scope) -> Values:
        """What the expression may stand for; never empty."""
        key = (node, scope)
        if key in self.known:
            return self.known[key]
        if key in self.under_way:
            self.cut = True
            return self.before.get(key, NOTHING_KNOWN)
        self.steps += 1
        if self.depth > _DEEPEST or self.steps > _MOST_STEPS:
            self.exhausted = True
            return NOTHING_KNOWN
        self.under_way.add(key)
        self.depth += 1
        try:
            found = self._values(node, scope)
        except RecursionError:  # where the caller's own stack is deep already
            self.exhausted = True
            found = NOTHING_KNOWN
        finally:
            self.depth -= 1
            self.under_way.discard(key)
        if len(found) > _MOST_VALUES:
            found = frozenset(value for value in found if isinstance(value, (Ref, Local)))
        found = found or NOTHING_KNOWN
        if scope.kind != "once":
            self.known[key] = found
        return found

    def _values(self, node: ast.expr, scope: Scope) -> Values:
        if isinstance(node, ast.Constant):
            plain = folding.bounded(node.value)
            return NOTHING_KNOWN if plain is None else frozenset({Const(plain)})
        if isinstance(node, ast.Name):
            return self.name(node.id, scope)
        if isinstance(node, ast.Attribute):
            found = self._each(self.values(node.value, scope), lambda value: self.attribute(value, node.attr))
            short = Ref(f"?.{node.attr}")
            return found - {short} | {Ref(_written(node))} if short in found else found
        if isinstance(node, ast.Call):
            return self._call(node, scope)
        if isinstance(node, ast.Subscript):
            return self._subscript(node, scope)
        if isinstance(node, ast.BinOp):
            return self._operation(node, scope)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return _constants(-c for c in self.constants(node.operand, scope) if isinstance(c, int))
        if isinstance(node, ast.JoinedStr):
            return self._joined(node, scope)
        if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
            return frozenset({Bag(tuple(self.values(item, scope) for item in node.elts[:_MOST_ITEMS]))})
        if isinstance(node, ast.Dict):
            return frozenset({Bag(tuple(self.values(item, scope) for item in node.values[:_MOST_ITEMS]))})
        if isinstance(node, (ast.ListComp, ast.GeneratorExp, ast.SetComp)):
            return self._comprehension(node, scope)
        if isinstance(node, ast.IfExp):
            return self.values(node.body, scope) | self.values(node.orelse, scope)
        if isinstance(node, ast.BoolOp):
            return frozenset[Value]().union(*(self.values(item, scope) for item in node.values))
        if isinstance(node, (ast.NamedExpr, ast.Starred, ast.Await)):
            return self.values(node.value, scope)
        if isinstance(node, ast.Lambda):
            return frozenset({Local(self.names.indexes[node])})
        return NOTHING_KNOWN

    def constants(self, node: ast.expr, scope: Scope) -> list[folding.Plain]:
        return [value.value for value in self.values(node, scope) if isinstance(value, Const)]

    # ── names and attributes ────────────────────────────────────────────────────────────────────────────────

    def name(self, name: str, scope: Scope) -> Values:
        found = scope.find(name)
        if found is None:
            own = {Ref("builtins" if name == "__builtins__" else f"builtins.{name}")}
            return frozenset(own | {Ref(f"{module}.{name}") for module in self.names.stars})
        return self._bound(found[1])

    def _bound(self, bindings: Iterable[Binding]) -> Values:
        found: set[Value] = set()
        for binding in bindings:
            if not isinstance(binding, Expression):
                found.add(binding)
            elif binding.item:
                found |= self._items(self.values(binding.node, binding.scope))
            else:
                found |= self.values(binding.node, binding.scope)
        return frozenset(found)

    def attribute(self, value: Value, name: str) -> Values:
        if isinstance(value, Ref) and value.known:
            return frozenset({value.attribute(name)})
        found: set[Value] = {Ref(f"?.{name}")}
        if name in self.names.attributes:
            found |= {value for value in self._bound(self.names.attributes[name]) if _acts(value)}
        return frozenset(found)

    def _each(self, values: Values, step: object) -> Values:
        assert callable(step)
        return frozenset[Value]().union(*(step(value) for value in values))

    def _items(self, values: Values) -> Values:
        found: set[Value] = set()
        for value in values:
            if isinstance(value, Bag):
                found |= value.any()
            elif isinstance(value, Ref):
                found.add(UNKNOWN)
        return frozenset(found or NOTHING_KNOWN)

    # ── calls ───────────────────────────────────────────────────────────────────────────────────────────────

    def _call(self, node: ast.Call, scope: Scope) -> Values:
        found: set[Value] = set()
        for callee in self.values(node.func, scope):
            if isinstance(callee, Ref):
                found |= self._call_ref(callee, node, scope)
            elif isinstance(callee, Local):
                found |= self._returned(callee)
            elif isinstance(callee, Getter) and callee.name and node.args:
                got = self._each(self.values(node.args[0], scope), lambda v, g=callee: self.attribute(v, g.name))
                found |= (
                    {value.called() if isinstance(value, Ref) else UNKNOWN for value in got} if callee.calls else got
                )
        if isinstance(node.func, ast.Attribute):
            found |= self._method(node.func, node, scope)
        return frozenset(found)

    def _call_ref(self, callee: Ref, node: ast.Call, scope: Scope) -> Values:
        name, first = callee.name, node.args[0] if node.args else None
        if first is None:
            return frozenset({callee.called()})
        if name in IMPORTERS or name in LOCATORS:
            texts = [text.replace(":", ".") for text in self.constants(first, scope) if isinstance(text, str)]
            if (
                name.endswith("__import__")
                and not any(k.arg == "fromlist" for k in node.keywords)
                and len(node.args) < 4
            ):
                texts = [text.partition(".")[0] for text in texts]
            return frozenset(Ref(text) for text in texts if text) or NOTHING_KNOWN
        if name == "builtins.getattr" and len(node.args) > 1:
            return self._getattr(node, scope)
        if name in ATTRIBUTE_GETTERS:
            caller = name.endswith("caller")
            named = [self.constants(part, scope) for part in node.args[: 1 if caller else _MOST_VALUES]]
            texts = [text for texts in named for text in texts or [""] if isinstance(text, str)]
            return frozenset(Getter(text, caller) for text in texts) or NOTHING_KNOWN
        if name == "builtins.vars":
            return frozenset(v.attribute("__dict__") for v in self.values(first, scope) if isinstance(v, Ref))
        if taken := self._taken(name, first, node, scope):
            return taken
        if name in _SAME:
            return self.values(first, scope)
        if name in ("builtins.list", "builtins.tuple", "builtins.set", "builtins.iter", "builtins.sorted"):
            return frozenset(v for v in self.values(first, scope) if isinstance(v, Bag)) or NOTHING_KNOWN
        if name in ("builtins.next", "builtins.min", "builtins.max"):
            return self._items(self.values(first, scope))
        folded = self._folded(name, first, node, scope)
        return folded or frozenset({callee.called()})

    def _getattr(self, node: ast.Call, scope: Scope) -> Values:
        found: set[Value] = set()
        for text in self.constants(node.args[1], scope):
            if isinstance(text, str) and text:
                found |= self._each(self.values(node.args[0], scope), lambda value, t=text: self.attribute(value, t))
        for default in node.args[2:3]:
            found |= {value for value in self.values(default, scope) if not isinstance(value, Const)}
        return frozenset(found or NOTHING_KNOWN)

    def _taken(self, name: str, first: ast.expr, node: ast.Call, scope: Scope) -> Values:
        """What methods of namespaces and objects give that look a name up: `os.__dict__.get`, `os.__getattribute__`."""
        holder, _, method = name.rpartition(".")
        keys = [key for key in self.constants(first, scope) if isinstance(key, str) and key]
        if method in _TAKERS and (
            holder in _NAMESPACES or holder in ("sys.modules", "builtins") or holder.endswith(".__dict__")
        ):
            return self._entry(Ref(holder), keys, scope) if keys else frozenset()
        if method not in _GETTERS:
            return frozenset()
        if holder in ANCESTORS and len(node.args) > 1:
            return self._getattr(node, scope)
        return frozenset(Ref(holder).attribute(key) for key in keys)

    def _returned(self, function: Local) -> Values:
        node = self.names.functions[function.index]
        inner = self.names.inner[node]
        if isinstance(node, ast.Lambda):
            return self.values(node.body, inner)
        returned = [part.value for part in own_statements(node) if isinstance(part, ast.Return) and part.value]
        return frozenset[Value]().union(*(self.values(value, inner) for value in returned)) or NOTHING_KNOWN

    # ── constants ───────────────────────────────────────────────────────────────────────────────────────────

    def _folded(self, name: str, first: ast.expr, node: ast.Call, scope: Scope) -> Values:
        if name == "builtins.chr":
            return _constants(folding.character(c) for c in self.constants(first, scope))
        if name in ("builtins.str", "builtins.bytes", "builtins.bytearray", "builtins.reversed"):
            return self._sequence(name, first, scope)
        if name == "builtins.int":
            bases = [b for argument in node.args[1:2] for b in self.constants(argument, scope) if isinstance(b, int)]
            return _constants(_integer(c, bases[0] if bases else 10) for c in self.constants(first, scope))
        if name == "codecs.decode" and len(node.args) > 1:
            codec = [c for c in self.constants(node.args[1], scope) if isinstance(c, str)]
            return _constants(folding.decoded(e.lower(), c) for c in self.constants(first, scope) for e in codec)
        if name in folding.DECODERS:
            return _constants(folding.decoded(name, c) for c in self.constants(first, scope))
        return frozenset()

    def _sequence(self, name: str, first: ast.expr, scope: Scope) -> Values:
        found: set[Value] = set()
        for value in self.values(first, scope):
            plain = _plain_items(value)
            if name == "builtins.reversed" and plain is not None:
                found.add(Bag(tuple(frozenset({Const(item)}) for item in reversed(plain))))
            elif name.startswith("builtins.byte") and isinstance(value, Bag) and plain is not None:
                if all(isinstance(item, int) and 0 <= item < 256 for item in plain):
                    found.add(Const(bytes(item for item in plain if isinstance(item, int))))
            elif isinstance(value, Const):
                found.add(value)
        return frozenset(found)

    def _method(self, func: ast.Attribute, node: ast.Call, scope: Scope) -> Values:
        found: list[folding.Plain | None] = []
        bases = self.values(func.value, scope)
        if not any(isinstance(base, Const) for base in bases):
            return frozenset()
        choices = [self.values(argument, scope) for argument in node.args[:4]]
        for base in bases:
            if not isinstance(base, Const):
                continue
            if func.attr == "join" and choices:
                found += [_join(base.value, value) for value in choices[0]]
            else:
                plain = [value.value for choice in choices for value in list(choice)[:1] if isinstance(value, Const)]
                if len(plain) == len(choices):
                    found.append(folding.method(base.value, func.attr, plain))
        certain = len(_constants(found)) > 0 and not any(unknown_in(values) for values in (bases, *choices))
        return _constants(found) | (frozenset() if certain else NOTHING_KNOWN)

    def _operation(self, node: ast.BinOp, scope: Scope) -> Values:
        lefts, rights = self.values(node.left, scope), self.values(node.right, scope)
        found: set[Value] = {UNKNOWN} if unknown_in(lefts | rights) else set()
        for left in lefts:
            if isinstance(left, (Ref, Bag)):
                found.add(left)  # `Path(...) / name` is a path still, and a list with more in it is a list
            for right in rights:
                if isinstance(left, Const) and isinstance(right, Const):
                    found |= _constants([folding.operate(node.op, left.value, right.value)])
                elif isinstance(left, Const) and isinstance(right, Bag) and isinstance(node.op, ast.Mod):
                    plain = _plain_items(right)
                    found |= _constants([folding.formatted(left.value, plain) if plain is not None else None])
                elif isinstance(left, Bag) and isinstance(right, Bag):
                    found.add(Bag((*left.items, *right.items)[:_MOST_ITEMS]))
        return frozenset(found)

    def _joined(self, node: ast.JoinedStr, scope: Scope) -> Values:
        texts, open_ended = [""], False
        for part in node.values:
            inner = part.value if isinstance(part, ast.FormattedValue) else part
            open_ended = open_ended or unknown_in(self.values(inner, scope))
            plain = [str(c) for c in self.constants(inner, scope) if not isinstance(c, bytes)]
            texts = [text + more for text in texts for more in plain if len(text) < _MOST_ITEMS][:_MOST_VALUES]
            if not texts:
                return NOTHING_KNOWN
        return _constants(texts) | (NOTHING_KNOWN if open_ended else frozenset())

    def _subscript(self, node: ast.Subscript, scope: Scope) -> Values:
        if isinstance(node.slice, ast.Slice):
            bounds = [self._bound_of(part, scope) for part in (node.slice.lower, node.slice.upper, node.slice.step)]
            if "unknown" in bounds:
                return NOTHING_KNOWN
            low, high, step = (part if isinstance(part, int) else None for part in bounds)
            found = [folding.sliced(c, low, high, step) for c in self.constants(node.value, scope)]
            return _constants(found) | {value for value in self.values(node.value, scope) if isinstance(value, Bag)}
        keys = self.constants(node.slice, scope)
        entries: set[Value] = set()
        for value in self.values(node.value, scope):
            if isinstance(value, Bag):
                entries |= value.any()
            elif isinstance(value, Const) and not isinstance(value.value, int):
                entries |= _constants(
                    folding.sliced(value.value, k, (k + 1) or None, None) for k in keys if isinstance(k, int)
                )
            elif isinstance(value, Ref):
                entries |= self._entry(value, [key for key in keys if isinstance(key, str)], scope)
        return frozenset(entries)

    def _bound_of(self, node: ast.expr | None, scope: Scope) -> int | str | None:
        if node is None:
            return None
        plain = [c for c in self.constants(node, scope) if isinstance(c, int)]
        return plain[0] if len(plain) == 1 else "unknown"

    def _entry(self, holder: Ref, keys: list[str], scope: Scope) -> Values:
        """An entry of a dictionary that names things: of modules, of globals, of an object's attributes."""
        if not keys:
            return NOTHING_KNOWN
        if holder.name == "sys.modules":
            return frozenset(Ref(key) for key in keys if key)
        if holder.name in _NAMESPACES:
            return frozenset[Value]().union(*(self.name(key, scope) for key in keys))
        if holder.name == "builtins":
            return frozenset(holder.attribute(key) for key in keys)
        if holder.name.endswith(".__dict__"):
            return frozenset(Ref(holder.name.removesuffix(".__dict__")).attribute(key) for key in keys)
        return frozenset(holder.attribute(key) for key in keys) if holder.known else NOTHING_KNOWN

    def _comprehension(self, node: ast.ListComp | ast.GeneratorExp | ast.SetComp, scope: Scope) -> Values:
        """A list of constants made by one loop over constants, as decoders of hidden text are written."""
        inner, generator = self.names.inner[node], node.generators[0]
        if len(node.generators) == 1 and not generator.ifs and isinstance(generator.target, ast.Name):
            for value in self.values(generator.iter, inner):
                plain = _plain_items(value)
                if plain is not None and len(plain) <= _MOST_ITEMS:
                    return frozenset({Bag(tuple(self._with(node.elt, generator.target.id, p, inner) for p in plain))})
        return frozenset({Bag((self.values(node.elt, inner),))})

    def _with(self, node: ast.expr, name: str, value: folding.Plain, scope: Scope) -> Values:
        return self.values(node, Scope(scope, "once", {name: [Const(value)]}))


def _written(node: ast.Attribute) -> str:
    """The last names of a chain of attributes, for one that hangs on something unknown."""
    names = [node.attr]
    while isinstance(node.value, ast.Attribute) and len(names) < _MOST_NAMES:
        node = node.value
        names.append(node.attr)
    return ".".join(("?", *reversed(names)))


def unknown_in(values: Values) -> bool:
    """Whether it may also be something else than what was found."""
    return any(isinstance(value, Ref) and not value.known for value in values)


def _acts(value: Value) -> bool:
    """Whether it matters that an attribute may be this: a function or module from outside, not what a call gave."""
    return isinstance(value, (Getter, Local)) or (isinstance(value, Ref) and value.known and "()" not in value.name)


def _constants(plain: Iterable[folding.Plain | None]) -> Values:
    return frozenset(Const(value) for value in plain if value is not None)


def _plain_items(value: Value) -> list[folding.Plain] | None:
    """The items of a constant sequence, in order."""
    if isinstance(value, Const) and not isinstance(value.value, int):
        return list(value.value)
    if isinstance(value, Bag):
        single = [next(iter(item)) for item in value.items if len(item) == 1]
        if len(single) == len(value.items) and all(isinstance(item, Const) for item in single):
            return [item.value for item in single if isinstance(item, Const)]
    return None


def _join(separator: folding.Plain, value: Value) -> folding.Plain | None:
    items = _plain_items(value)
    if items is None or isinstance(separator, int) or not all(type(item) is type(separator) for item in items):
        return None
    if sum(len(item) for item in items if not isinstance(item, int)) > 1 << 18:
        return None
    return folding.bounded(separator.join(items))  # type: ignore[arg-type]  # all are of the separator's type


def _integer(value: folding.Plain, base: int) -> int | None:
    try:
        return int(value, base) if isinstance(value, str) and len(value) < 400 else None
    except ValueError:
        return None
