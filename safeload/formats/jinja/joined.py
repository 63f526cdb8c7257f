"""What a template renders of its own, in one piece: words that it cuts, turns round or spells by numbers, put together.

Everything that comes from outside is a gap. Branches follow each other, as either may be taken; a loop over constants
is taken as often as it has some. All within a budget: what is beyond it is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from safeload.formats.jinja import folding
from safeload.formats.jinja.nodes import Expr, Stmt

_PIECES = 20_000
"""Expressions within loops that are evaluated, each as often as it is; outside of loops each is, once."""
_TEXT = 1 << 18
GAP = "\x00"
"""What comes from outside."""
_BREAK = "\n"


def joined(
    body: Sequence[Stmt], of: Callable[[Expr], Sequence[folding.Value]], values: dict[str, dict[folding.Value, None]]
) -> tuple[str, str]:
    """All that is rendered of constants, and of that the part which expressions compute, each in the template's order.

    Args:
        body: the template.
        of: what an expression may come to.
        values: what each name may be; within a loop over constants it is one at a time. Left as it was.
    """
    pieces: list[str] = []
    computed: list[str] = []
    waiting: list[Any] = list(reversed(body))
    sizes: dict[int, int] = {}
    left, size = _PIECES, _TEXT
    before: list[tuple[str, dict[folding.Value, None] | None]] = []
    while waiting:
        one = waiting.pop()
        if one is _END:
            _restore(values, before.pop())
            continue
        if isinstance(one, tuple):
            values[one[0]] = {one[1]: None}
            continue
        if size < 0 or (before and left < 0):
            continue  # only names are put back
        if isinstance(one, str):
            pieces.append(one)
        elif one.kind == "text":
            pieces.append(one.value)
            size -= len(one.value)
        elif one.kind == "output":
            expr = one.exprs[0]
            if id(expr) not in sizes:
                sizes[id(expr)] = sum(1 for _ in _parts(expr))
            left -= sizes[id(expr)] if before else 0
            text = _shown(of(expr)[0])
            pieces.append(text)
            size -= len(text)
            computed.append(text if expr.kind != "const" else GAP)
        elif one.kind == "for" and (items := _items(one, of)) is not None:
            name = str(one.targets[0].value)
            before.append((name, values.get(name)))
            waiting.append(_END)
            for item in reversed(items if left > 0 else items[:1]):
                left -= 1
                waiting += [*reversed(one.body), (name, item)]
        else:
            for _, branch in reversed(one.branches):
                waiting += [_BREAK, *reversed(branch)]
            waiting += reversed(one.body)
    return "".join(pieces), "".join(computed)


_END = object()


def _parts(expr: Expr) -> Iterator[Expr]:
    pending = [expr]
    while pending:
        one = pending.pop()
        yield one
        pending.extend((*one.of, *(value for _, value in one.named)))


def _restore(values: dict[str, dict[folding.Value, None]], was: tuple[str, dict[folding.Value, None] | None]) -> None:
    name, old = was
    if old is None:
        values.pop(name, None)
    else:
        values[name] = old


def _items(one: Stmt, of: Callable[[Expr], Sequence[folding.Value]]) -> Sequence[folding.Value] | None:
    """What a loop over constants takes, one after the other; `None` for any other loop."""
    if len(one.targets) != 1 or one.targets[0].kind != "name" or not one.exprs:
        return None
    items = folding.elements(of(one.exprs[0])[0])
    return items if items and not any(isinstance(item, folding.Mark) for item in items) else None


def _shown(value: folding.Value) -> str:
    text = folding.text_of(value)
    for mark in (folding.ANY_TEXT, folding.OBJECT_TEXT, folding.LOST_TEXT):
        text = text.replace(mark, GAP)
    return text
