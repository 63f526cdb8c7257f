"""What a template does, read from its tree: the names it looks up, what it renders, what it loops over, what it asks.

Variables are followed without regard to order: whatever a name is set to anywhere, it may be everywhere. That finds
more than there is, and hides nothing by order. Past `_MOST` values a name is `LOST`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from safeload.formats.jinja import folding
from safeload.formats.jinja.folding import ANY, LOST, OBJECT, Table, Value
from safeload.formats.jinja.joined import joined
from safeload.formats.jinja.lexer import Token
from safeload.formats.jinja.nodes import Expr, Fault, Stmt
from safeload.formats.jinja.parser import MOST, parse

_MOST = 12
_ROUNDS = 6
_GIVEN = frozenset({"lipsum", "cycler", "joiner", "namespace", "dict", "range", "loop", "self", "caller", "varargs"})
"""Names that stand for objects which every template has."""
_MANY = 100_000
_ENOUGH = 10**18
_COUNTLESS = frozenset(
    {"truncate", "namespace", "dict", "range", "default", "d", "round", "int", "float", "min", "max", "get", "replace"}
)
"""Filters and functions that a large number costs nothing; with any other it is how much there will be of something."""
_BY_ATTRIBUTE = frozenset({"map", "selectattr", "rejectattr", "groupby", "sort", "sum", "unique", "min", "max", "attr"})
"""Filters that look up attributes by name."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """Attributes or keys that a place may ask for, as far as they are constants or made of them."""

    name: str
    """With the marks of `folding` for what is not known."""
    offset: int
    attribute: bool
    """Whether it is asked for as an attribute by a computed name."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A condition under which something happens."""

    condition: Expr
    holds: bool


@dataclass(frozen=True, slots=True)
class Within:
    """What a place stands in: the conditions that hold there, and the loops; outermost first."""

    asked: tuple[Asked, ...] = ()
    loops: tuple[Stmt, ...] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """Text that the template may render: what stands between tags, and constants that are output or set."""

    text: str
    offset: int
    within: Within


@dataclass(frozen=True, slots=True)
class Repeats:
    """Something that happens at least so many times, by constants alone."""

    times: int
    offset: int


@dataclass(slots=True)
class Facts:
    """What was found in one template."""

    text: str
    body: tuple[Stmt, ...]
    fault: Fault | None = None
    code: tuple[Token, ...] = ()
    """The tokens between its delimiters, also of what could not be read to its end."""
    lookups: list[Lookup] = field(default_factory=list)
    written: list[Written] = field(default_factory=list)
    raises: list[tuple[int, Within]] = field(default_factory=list)
    repeats: list[Repeats] = field(default_factory=list)
    conditionals: list[Expr] = field(default_factory=list)
    """Expressions of the form `a if … else b`."""
    meanings: dict[str, tuple[Expr, ...]] = field(default_factory=dict)
    """What each variable is set to, as it is written."""
    outputs: list[Expr] = field(default_factory=list)
    """What is rendered, or given a name."""
    joined: str = ""
    """All that is rendered of the template's own words, put together; what comes from outside is a gap."""
    computed: str = ""
    """The part of it that expressions make."""


def read_facts(template: str, most: int = MOST) -> Facts:
    """Everything that rules ask about a template. Total, in time proportional to it.

    Args:
        most: tokens that are read; see `parser.parse`.
    """
    tree = parse(template, most)
    facts = Facts(template, tree.body, tree.fault, tree.code)
    reader = _Reader(facts)
    for _ in range(_ROUNDS):
        if not reader.settle():
            break
    reader.collect()
    facts.joined, facts.computed = joined(facts.body, reader.of, reader.values)
    return facts


def expressions(expr: Expr) -> Iterator[Expr]:
    """The expression and all within it."""
    pending = [expr]
    while pending:
        one = pending.pop()
        yield one
        pending.extend(reversed([*one.of, *(value for _, value in one.named)]))


def statements(body: Iterable[Stmt], *, macros: bool = True) -> Iterator[tuple[Stmt, Within]]:
    """Every statement, and what it stands in; without `macros` not those of macros that are defined on the way."""
    pending: list[tuple[Stmt, Within]] = [(one, Within()) for one in reversed(list(body))]
    while pending:
        one, within = pending.pop()
        yield one, within
        loops = (*within.loops, one)[:_DEEPEST] if one.kind == "for" else within.loops
        if one.kind == "macro" and not macros:
            continue
        chosen = [Asked(each, True) for each in one.exprs if one.kind == "for" and _chooses(each)]
        inner = [(each, Within((*within.asked, *chosen)[-_DEEPEST:], loops)) for each in one.body]
        before = within.asked
        for condition, branch in one.branches:
            here = before if condition is None else (*before, Asked(condition, True))
            inner += [(each, Within(here[-_DEEPEST:], within.loops)) for each in branch]
            if condition is not None:
                before = (*before, Asked(condition, False))[-_DEEPEST:]
        pending.extend(reversed(inner))


def _chooses(looped: Expr) -> bool:
    """Whether what a loop goes over is chosen by a condition: one of its own, or a filter's."""
    return any(
        one.kind in ("binary", "test", "call")
        or (one.kind == "filter" and one.value in ("select", "reject", "selectattr", "rejectattr"))
        for one in expressions(looped)
    )


_DEEPEST = 40
"""Conditions that are remembered of a place, the innermost; and loops, the outermost."""


class _Reader:
    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.all = list(statements(facts.body))
        self.values: dict[str, dict[Value, None]] = {}
        self.written = {name for one, _ in self.all for name in map(_spelled, one.targets)}
        self.macros = {one.value: one for one, _ in self.all if one.kind == "macro"}
        self.texts: dict[str, Value] = {}
        """What each macro renders, as far as the last round knew: macros may call each other without end."""

    # --- what names stand for ---

    def settle(self) -> bool:
        """Give every name what is assigned to it; whether anything is new."""
        before = sum(map(len, self.values.values())), self.texts
        for one, _ in self.all:
            self.assign(one)
        self.texts = {name: self.rendered(macro.body) for name, macro in self.macros.items()}
        return (sum(map(len, self.values.values())), self.texts) != before

    def assign(self, one: Stmt) -> None:
        if one.kind == "set" and one.value == "block":
            self.values["(block)"] = {self.rendered(one.body): None}
            self.put(one.targets[0], self.of(one.exprs[0]) if one.exprs else (self.rendered(one.body),))
        elif one.kind in ("set", "with"):
            for target, expr in self.paired(one):
                self.put(target, self.of(expr))
                if expr.kind == "call" and expr.of[0].value == "namespace" and target.kind == "name":
                    for name, value in expr.named:
                        self.note(f"{target.value}.{name}", self.of(value))
        elif one.kind == "for":
            for target in one.targets:
                self.put(target, self.looped(one.exprs[0]) if len(one.targets) == 1 else (ANY,))
        elif one.kind in ("macro", "call"):
            for default in one.exprs:
                if default.kind == "const-for":
                    self.note(str(default.value), self.of(default.of[0]))
        for expr in (each for top in one.exprs for each in expressions(top) if each.kind == "call"):
            macro = self.macros.get(expr.of[0].value) if expr.of[0].kind == "name" else None
            if macro is not None:
                for target, argument in zip(macro.targets, expr.of[1:], strict=False):
                    self.put(target, self.of(argument))
                for name, argument in expr.named:
                    self.note(name, self.of(argument))

    def paired(self, one: Stmt) -> Iterator[tuple[Expr, Expr]]:
        """What is assigned to what."""
        if one.kind == "with":
            yield from zip(one.targets, one.exprs, strict=False)
        elif len(one.targets) == 1 and one.exprs:
            yield one.targets[0], one.exprs[0]
        elif one.exprs and one.exprs[0].kind in ("tuple", "list") and len(one.exprs[0].of) == len(one.targets):
            yield from zip(one.targets, one.exprs[0].of, strict=True)

    def looped(self, expr: Expr) -> tuple[Value, ...]:
        found: dict[Value, None] = {}
        for value in self.of(expr):
            items = folding.elements(value)
            found |= dict.fromkeys((ANY,) if items is None else map(_hashable, items[:_MOST]))
        return tuple(found)

    def put(self, target: Expr, values: Sequence[Value]) -> None:
        self.note(_spelled(target), values)

    def note(self, name: str, values: Sequence[Value]) -> None:
        known = self.values.setdefault(name, {})
        known |= dict.fromkeys(map(_hashable, values))
        if len(known) > _MOST:
            # It may still be one of the first; the others are made in a way that is not followed.
            self.values[name] = {LOST: None, **dict(itertools.islice(known.items(), _MOST - 1))}

    def rendered(self, body: Sequence[Stmt]) -> Value:
        """The text of a body that only renders; of any other it is not known."""
        pieces: list[Value] = []
        for one in body:
            if one.kind == "text":
                pieces.append(folding.constant(one.value))
            elif one.kind == "output":
                pieces.append(self.of(one.exprs[0])[0])
            elif one.kind != "set":
                return LOST
        return folding.concat(pieces)

    # --- what expressions come to ---

    def of(self, expr: Expr) -> tuple[Value, ...]:
        """What an expression may come to: never empty, and at most `_MOST`."""
        return tuple(dict.fromkeys(map(_hashable, self._of(expr))))[:_MOST] or (ANY,)

    def _of(self, expr: Expr) -> Iterable[Value]:
        kind = expr.kind
        if kind == "const":
            return (folding.constant(expr.value),)
        if kind == "name":
            return self.name(str(expr.value))
        if kind in ("list", "tuple"):
            return (folding.bounded(tuple(self.of(item)[0] for item in expr.of)),)
        if kind == "dict":
            return (_table(self.of(item)[0] for item in expr.of),)
        if kind == "attr":
            return self.attribute(expr)
        if kind == "cond":
            return (*self.of(expr.of[1]), *self.of(expr.of[2]))
        if kind == "binary" and expr.value in ("and", "or"):
            return [value for item in expr.of for value in self.of(item)]
        if kind == "unary" and expr.value == "-":
            return [-value if folding.is_number(value) else ANY for value in self.of(expr.of[0])]
        if kind in ("test", "unary", "slice", "rest", "const-for"):
            return (ANY,)
        if kind == "call":
            return self.called(expr)
        return self.combined(expr)

    def name(self, name: str) -> tuple[Value, ...]:
        if name in self.values:
            return tuple(self.values[name])
        if name in self.written:
            return (ANY,)
        return (OBJECT,) if name in _GIVEN or name in self.macros else (ANY,)

    def attribute(self, expr: Expr) -> tuple[Value, ...]:
        spelled = _spelled(expr)
        if spelled in self.values:
            return tuple(self.values[spelled])
        values = self.of(expr.of[0])
        found = [value.get(expr.value) for value in values if isinstance(value, Table)]
        return tuple(value for value in found if value is not None) or (ANY,)

    def combined(self, expr: Expr) -> Iterator[Value]:
        """Operators, subscripts and filters: for each choice of operands, within bounds."""
        operands = [self.of(item)[:4] for item in expr.of]
        sliced = expr.kind == "item" and expr.of[1].kind == "slice"
        bounds = [self.of(bound)[0] for bound in expr.of[1].of] if sliced else []
        named = {name: self.of(value)[0] for name, value in expr.named}
        for chosen in itertools.islice(itertools.product(*operands), _MOST):
            if expr.kind == "filter":
                yield folding.filtered(expr.value, chosen[0], chosen[1:], named)
            elif sliced:
                yield folding.cut(chosen[0], bounds)
            elif expr.kind == "item":
                yield folding.item(chosen[0], chosen[1])
            elif expr.value == "~":
                yield folding.concat(chosen)
            elif expr.value == "+":
                value = chosen[0]
                for other in chosen[1:]:
                    value = folding.add(value, other)
                yield value
            elif expr.value == "*" and len(chosen) == 2:
                yield folding.times(*chosen)
            elif expr.value == "%":
                right = chosen[1] if isinstance(chosen[1], tuple) else (chosen[1],)
                yield folding.percent(chosen[0], right) if isinstance(chosen[0], str) else ANY
            elif expr.kind == "binary" and len(chosen) == 2:
                yield folding.calculate(expr.value, *chosen)
            else:
                yield ANY

    def called(self, expr: Expr) -> Iterable[Value]:
        callee = expr.of[0]
        arguments = [self.of(item)[0] for item in expr.of[1:]]
        named = {name: self.of(value)[0] for name, value in expr.named}
        if callee.kind == "name":
            if callee.value == "dict":
                return (_table(item for pair in named.items() for item in pair),)
            if callee.value in self.macros:
                return (self.texts.get(callee.value, ANY),)
            return (OBJECT,) if callee.value in _GIVEN - {"range", "caller"} else (ANY,)
        if callee.kind == "attr":
            values = self.of(callee.of[0])
            if callee.value in ("get", "pop") and arguments:
                return [folding.item(value, arguments[0]) for value in values] + arguments[1:2]
            if callee.value in ("keys", "values", "items"):
                return [_parts(value, callee.value) for value in values]
            return [folding.method(str(callee.value), value, arguments, named) for value in values]
        return (ANY,)

    # --- what is there ---

    def collect(self) -> None:
        for one, within in self.all:
            if one.kind == "text":
                self.facts.written.append(Written(one.value, one.offset, within))
            if one.kind == "for":
                self.repeats(self.rounds((*within.loops, one)), one.offset)
            if one.kind in ("output", "set", "with"):
                self.facts.outputs += one.exprs
            for expr in (each for top in one.exprs for each in expressions(top)):
                self.look(expr)
                if expr.kind == "cond":
                    self.facts.conditionals.append(expr)
                if expr.kind == "const" and isinstance(expr.value, str) and one.kind in ("output", "set", "macro"):
                    self.facts.written.append(Written(expr.value, expr.offset, within))
                if expr.kind == "call" and expr.of[0].value == "raise_exception":
                    self.facts.raises.append((one.offset, within))
            for condition, _ in one.branches:
                for expr in expressions(condition) if condition is not None else ():
                    self.look(expr)
            for target, value in self.paired(one) if one.kind in ("set", "with") else ():
                name = _spelled(target)
                self.facts.meanings[name] = (*self.facts.meanings.get(name, ()), value)[:_MOST]

    # --- how often ---

    def repeats(self, times: int, offset: int) -> None:
        if times >= _MANY:
            self.facts.repeats.append(Repeats(times, offset))

    def rounds(self, loops: Sequence[Stmt]) -> int:
        """How often the body of the innermost loop runs, where constants say so; what they do not say counts once."""
        times = 1
        for loop in loops:
            sizes = [self.size(each) for each in expressions(loop.exprs[0]) if each.kind == "call"]
            times = min(times * max(1, *sizes, 1), _ENOUGH)
        return times

    def size(self, expr: Expr) -> int:
        """How many numbers `range(…)` has at the most; 0 for any other call."""
        if expr.of[0].value != "range":
            return 0
        numbers = [[n for n in self.of(item) if folding.is_number(n)] for item in expr.of[1:4]]
        if not any(numbers):
            return 0
        largest = [max(map(abs, each), default=0) for each in numbers]
        step = max(int(largest[2]), 1) if len(largest) > 2 else 1
        return int(min(max(largest[:2]), _ENOUGH)) // step

    def lengths(self, expr: Expr) -> None:
        """Repetition of text, and filters and methods that fill up to a width."""
        if expr.kind == "binary" and expr.value in ("*", "**", "%"):
            for value in self.of(expr):
                if folding.is_number(value):
                    self.repeats(int(value), expr.offset)
            numbers = [value for item in expr.of for value in self.of(item) if folding.is_number(value)]
            if expr.value == "*" and numbers:
                self.repeats(int(max(numbers)), expr.offset)
            if expr.value == "%":
                self.starred(expr)
        name = expr.value if expr.kind == "filter" else expr.of[0].value if expr.kind == "call" else None
        if name is not None and name not in _COUNTLESS and name not in self.macros:
            given = [value for item in expr.of[1:] for value in self.of(item)]
            given += [value for _, item in expr.named for value in self.of(item)]
            self.repeats(int(max([value for value in given if folding.is_number(value)], default=0)), expr.offset)
        self.repeats(self.size(expr) if expr.kind == "call" else 0, expr.offset)

    def starred(self, expr: Expr) -> None:
        """A format that takes its width from what it formats: `'%*d' % (9, 1)`."""
        formats = [value for value in self.of(expr.of[0]) if isinstance(value, str) and "*" in value]
        for value in self.of(expr.of[1]) if formats and len(expr.of) == 2 else ():
            given = value if isinstance(value, tuple) else (value,)
            self.repeats(int(max([one for one in given if folding.is_number(one)], default=0)), expr.offset)

    def look(self, expr: Expr) -> None:
        """Note what an expression looks up by a name that it computes, and what it formats by."""
        self.lengths(expr)
        if expr.kind == "item" and expr.of[1].kind != "slice":
            self.lookup(expr.of[1], attribute=False)
        elif expr.kind == "filter":
            for name, value in expr.named:
                if name in ("attribute", "attr"):
                    self.lookup(value, attribute=True, given=True)
            if expr.value in _BY_ATTRIBUTE:
                for argument in expr.of[1:]:
                    self.lookup(argument, attribute=True)
            elif expr.value == "format":
                self.lookup(expr.of[0], attribute=False)
        elif expr.kind == "call" and expr.of[0].kind == "attr" and expr.of[0].value in ("format", "format_map", "get"):
            self.lookup(expr.of[0].of[0] if expr.of[0].value != "get" else expr.of[1:2] or expr.of[0], attribute=False)

    def lookup(self, expr: Expr | Sequence[Expr], *, attribute: bool, given: bool = False) -> None:
        for one in (expr,) if isinstance(expr, Expr) else expr:
            for value in self.of(one):
                if isinstance(value, str) or value is LOST or value is OBJECT or (given and value is ANY):
                    self.facts.lookups.append(Lookup(folding.text_of(value), one.offset, attribute))


def _spelled(target: Expr) -> str:
    """A name, or one with attributes: `ns.count`."""
    steps: list[str] = []
    while target.kind == "attr":
        steps.append(str(target.value))
        target = target.of[0]
    return ".".join((str(target.value) if target.kind == "name" else "?", *reversed(steps)))


def _table(flat: Iterable[Value]) -> Value:
    items = list(flat)
    return folding.bounded(tuple(items) if len(items) % 2 else Table(tuple(zip(items[::2], items[1::2], strict=True))))


def _parts(value: Value, which: str) -> Value:
    if not isinstance(value, Table):
        return ANY
    if which == "items":
        return tuple((key, one) for key, one in value.items)
    return tuple(key if which == "keys" else one for key, one in value.items)


def _hashable(value: Value) -> Value:
    """Values are made of tuples and plain constants only, but a number that is not one equals nothing."""
    return LOST if value != value else value
