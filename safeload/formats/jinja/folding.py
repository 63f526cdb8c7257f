"""What a template's own constants come to, where it puts them together: pieces, reversals, replacements, formats.

Only what is listed is computed, on constants, by code of ours, within bounds. A value is one of

- plain text, number, boolean or `None`; a list, as a tuple; a `Table` of constant keys;
- `ANY`: from outside, such as what a message says;
- `OBJECT`: something that is no data, such as a function, or what a filter has not produced yet. Its text is how
  escapes come by characters that they do not want to write;
- `LOST`: made of constants in a way that is not followed here.

Text that holds one of the last three is marked with a character that no Unicode text has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

ANY_TEXT, OBJECT_TEXT, LOST_TEXT = "\U0010ffff", "\U0010fffe", "\U0010fffd"
_MARKS = re.compile(f"[{ANY_TEXT}{OBJECT_TEXT}{LOST_TEXT}]")
LONGEST = 4_096
_MOST_ITEMS = 256
_HEAVIEST = 2_048
"""Values within one, at all levels together; a long text counts as several."""
_TEXT_OF_ONE = 64
ENOUGH = 10**18


@dataclass(frozen=True, slots=True)
class Mark:
    """A value that is not known; `text` is what stands for it within text."""

    text: str


ANY, OBJECT, LOST = Mark(ANY_TEXT), Mark(OBJECT_TEXT), Mark(LOST_TEXT)


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping with constant keys."""

    items: tuple[tuple[Any, Any], ...] = field(default=())

    def get(self, key: Any) -> Any:
        found = [value for one, value in self.items if one == key and type(one) is type(key)]
        return found[-1] if found else None


Value = Any


def constant(value: Any) -> Value:
    """A literal as a value: text that already holds our marks loses them."""
    return bounded(_MARKS.sub("?", value)) if isinstance(value, str) else value


def bounded(value: Value) -> Value:
    """The value, or `LOST` if it is too large to be followed. Numbers stop at a very large one."""
    if isinstance(value, str) and len(value) > LONGEST:
        return LOST
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > ENOUGH:
        return ENOUGH if value > 0 else -ENOUGH
    if isinstance(value, (tuple, Table)) and not _is_light(value):
        return LOST
    return value


def _is_light(value: tuple[Any, ...] | Table) -> bool:
    """Whether all within a list or table is little, also counted as often as it stands there: lists of one list of
    one list, with 256 items each, are a few names to write, and would take hours to compare."""
    waiting: list[Value] = [value]
    left = _HEAVIEST
    while waiting and left > 0:
        one = waiting.pop()
        left -= 1
        if isinstance(one, Table):
            left -= len(one.items)
            waiting.extend(part for pair in one.items[: max(left, 0)] for part in pair)
        elif isinstance(one, tuple):
            if len(one) > _MOST_ITEMS:
                return False
            waiting.extend(one)
        elif isinstance(one, str):
            left -= len(one) // _TEXT_OF_ONE
    return left > 0


def text_of(value: Value) -> str:
    """What the value is within text."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mark):
        return value.text
    if isinstance(value, (tuple, Table)):
        return LOST_TEXT
    return str(value) if isinstance(value, (bool, int, float)) else "None"


def concat(values: Sequence[Value]) -> Value:
    return bounded("".join(map(text_of, values)))


def add(left: Value, right: Value) -> Value:
    """`+`: of text, of lists, of numbers."""
    if isinstance(left, str) or isinstance(right, str):
        return concat((left, right))
    if isinstance(left, tuple) and isinstance(right, tuple):
        return bounded(left + right)
    if is_number(left) and is_number(right):
        return bounded(left + right)
    return unknown((left, right))


def times(left: Value, right: Value) -> Value:
    for one, count in ((left, right), (right, left)):
        if isinstance(one, (str, tuple)) and isinstance(count, int):
            fits = count <= 0 or (
                len(one) * count <= LONGEST if isinstance(one, str) else len(one) * count <= _MOST_ITEMS
            )
            return bounded(one * count) if fits else LOST
    return bounded(left * right) if is_number(left) and is_number(right) else unknown((left, right))


def calculate(operator: str, left: Value, right: Value) -> Value:
    """`-`, `//` and `**` of numbers."""
    if not (is_number(left) and is_number(right)):
        return ANY
    if operator == "-":
        return bounded(left - right)
    if operator == "//" and right:
        return bounded(left // right)
    if operator == "**" and isinstance(left, int) and isinstance(right, int) and right >= 0:
        large = abs(left) > 1 and left.bit_length() * right > ENOUGH.bit_length()
        return ENOUGH if large else bounded(left ** min(right, ENOUGH.bit_length()))
    return ANY


def is_number(value: Value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def unknown(values: Sequence[Value]) -> Value:
    """What is made of these, if nothing more can be said."""
    for mark in (OBJECT, ANY):
        if any(value is mark or (isinstance(value, str) and mark.text in value) for value in values):
            return mark
    return LOST


_PERCENT = re.compile(r"%(?:(%)|([scd]))")


def percent(template: Value, values: Sequence[Value]) -> Value:
    """`'%s' % …` with the plainest of formats."""
    if not isinstance(template, str):
        return unknown((template, *values))
    waiting = list(values)
    if "%" in _PERCENT.sub("", template) or len(_PERCENT.findall(template.replace("%%", ""))) != len(waiting):
        return concat((LOST, *values))

    def piece(found: re.Match[str]) -> str:
        if found[1]:
            return "%"
        value = waiting.pop(0)
        if found[2] == "c" and isinstance(value, int) and 0 <= value < 0x110000:
            return text_of(constant(chr(value)))
        return text_of(value)

    return bounded(_PERCENT.sub(piece, template))


_BRACES = re.compile(r"\{\{|\}\}|\{([A-Za-z0-9_]*)\}")


def braces(template: Value, values: Sequence[Value], named: Mapping[str, Value]) -> Value:
    """`'{}'.format(…)` with the plainest of fields."""
    if not isinstance(template, str):
        return unknown((template, *values, *named.values()))
    if re.search(r"[{}]", _BRACES.sub("", template)):
        return concat((LOST, *values))
    count = iter(range(len(values) + 1))

    def piece(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0][0]
        key = found[1] or str(next(count, len(values)))
        if key in named:
            return text_of(named[key])
        return text_of(values[int(key)]) if key.isdigit() and int(key) < len(values) else LOST_TEXT

    return bounded(_BRACES.sub(piece, template))


def _small(value: Value) -> bool:
    return value is None or isinstance(value, str) or (isinstance(value, int) and abs(value) <= LONGEST)


_METHODS: Mapping[str, Callable[..., Any]] = {
    name: getattr(str, name)
    for name in (
        *("lower", "upper", "strip", "lstrip", "rstrip", "title", "capitalize", "swapcase", "casefold", "split"),
        *("rsplit", "splitlines", "removeprefix", "removesuffix", "startswith", "endswith", "find", "count"),
        *("partition", "rpartition", "center", "ljust", "rjust", "zfill"),
    )
}


def method(name: str, value: Value, values: Sequence[Value], named: Mapping[str, Value]) -> Value:
    """A method of a constant text."""
    if not isinstance(value, str) or name not in (*_METHODS, "join", "format", "replace"):
        return unknown((value, *values))
    if name == "join":
        return join(values[0] if values else LOST, value)
    if name == "format":
        return braces(value, values, named)
    if not all(map(_small, values)) or named:
        return unknown((value, *values))
    if name == "replace":
        return replace(value, values)
    try:
        found = _METHODS[name](value, *values)
    except (TypeError, ValueError):
        return LOST  # Python would raise, and nothing would be rendered
    return bounded(tuple(found) if isinstance(found, list) else found)


def replace(value: str, values: Sequence[Value]) -> Value:
    if len(values) < 2 or not (isinstance(values[0], str) and isinstance(values[1], str)):
        return unknown((value, *values))
    if len(value) * (len(values[1]) + 1) > LONGEST * 8:
        return LOST
    return bounded(value.replace(values[0], values[1]))


def join(value: Value, between: Value = "") -> Value:
    items = elements(value)
    if items is None:
        return unknown((value,))
    return bounded(text_of(between).join(map(text_of, items)))


def elements(value: Value) -> Sequence[Value] | None:
    """What looping over a value gives; `None` if that is not known."""
    if isinstance(value, str):
        return tuple(value[:_MOST_ITEMS])
    if isinstance(value, Table):
        return tuple(key for key, _ in value.items)
    return value if isinstance(value, tuple) else None


def item(value: Value, key: Value) -> Value:
    """`value[key]`, for a constant key."""
    if isinstance(value, Table):
        found = value.get(key)
        return found if found is not None else unknown(tuple(one for _, one in value.items))
    if isinstance(value, str) and _MARKS.search(value):
        return unknown((value,))
    if isinstance(value, (str, tuple)) and isinstance(key, int):
        return value[key] if -len(value) <= key < len(value) else _one_of(value)
    if isinstance(value, (str, tuple)):
        return _one_of(value)
    return value if isinstance(value, Mark) else ANY


def _one_of(value: str | tuple[Value, ...]) -> Value:
    """An item that is not known: of an object's text it is a piece of that."""
    return OBJECT if any(text_of(one) == OBJECT_TEXT for one in value) else ANY


def cut(value: Value, bounds: Sequence[Value]) -> Value:
    """`value[a:b:c]`."""
    plain = all(bound is None or isinstance(bound, int) for bound in bounds) and bounds[2] != 0
    if not isinstance(value, (str, tuple)) or not plain or (isinstance(value, str) and _MARKS.search(value)):
        return unknown((value,))
    return value[slice(*bounds)]


def filtered(name: str, value: Value, values: Sequence[Value], named: Mapping[str, Value]) -> Value:
    """What a filter makes of a value."""
    if name in ("default", "d"):
        return value if not isinstance(value, Mark) or not values else values[0]
    if name in ("string", "safe", "escape", "e", "forceescape"):
        return text_of(value)
    if name in ("lower", "upper", "trim", "capitalize", "title"):
        method_name = "strip" if name == "trim" else name
        return method(method_name, text_of(value), values, {})
    if name == "replace":
        return replace(text_of(value), values)
    if name == "join":
        return join(value, values[0] if values else "")
    if name == "format":
        return percent(value, values)
    if name in ("list", "unique", "sort"):
        found = elements(value)
        return ANY if value is OBJECT else bounded(tuple(found)) if found is not None else value
    if name in ("first", "last", "random", "min", "max"):
        found = elements(value)
        if found:
            return found[0] if name in ("first", "min") else found[-1]
        return ANY if value in (ANY, OBJECT) else unknown((value,))
    if name == "reverse":
        found = elements(value)
        return value[::-1] if isinstance(value, str) else tuple(reversed(found)) if found is not None else value
    if name in ("length", "count", "int", "float", "abs", "round", "sum"):
        return value if is_number(value) else ANY
    if name in ("map", "select", "reject", "selectattr", "rejectattr", "batch", "slice", "groupby", "items"):
        return OBJECT
    return unknown((value, *values))
