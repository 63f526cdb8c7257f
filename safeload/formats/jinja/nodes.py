"""The syntax tree of a template: one kind of node for expressions, one for statements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Expr:
    """An expression.

    | kind | value | of |
    |---|---|---|
    | `const` | a string, number, boolean or `None` | |
    | `name` | the name | |
    | `list`, `tuple`, `dict` | | the items; keys and values by turns |
    | `attr` | the attribute's name | the object |
    | `item` | | the object, the subscript |
    | `slice` | | first, last, step; absent ones are `const` `None` |
    | `call` | | the callee, then the arguments |
    | `filter`, `test` | its name | the object, then the arguments |
    | `binary` | the operator, `and`, `or`, `in` and `not in` among them | two operands or more |
    | `unary` | `not`, `-`, `+` | the operand |
    | `cond` | | condition, if true, if false |
    | `rest` | | what `*` or `**` spreads in a call |
    """

    kind: str
    offset: int
    value: Any = None
    of: tuple[Expr, ...] = ()
    named: tuple[tuple[str, Expr], ...] = ()
    """Keyword arguments."""
    depth: int = 1


@dataclass(slots=True, kw_only=True)
class Stmt:
    """A statement: its tag, or `text` or `output`. Its bodies are lists that the parser fills."""

    kind: str
    offset: int
    value: Any = None
    """The text; the name of a macro, block or imported template's alias; whether a loop is recursive."""
    exprs: tuple[Expr, ...] = ()
    """`output`: the expression. `for`: what is looped over, then a condition if there is one. `set`: the value, or the
    filters of a block. `include` and the like: the template."""
    targets: tuple[Expr, ...] = ()
    """What `set`, `for`, `with`, `macro` and `call` assign to."""
    body: list[Stmt]
    branches: list[tuple[Expr | None, list[Stmt]]]
    """Of `if`, in order; the condition of `else` is `None`. The `else` of a loop is here too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why a template cannot be read to its end, and where."""

    why: str
    offset: int
