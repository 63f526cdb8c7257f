"""What an expression may stand for, as far as its source tells.

A name is resolved to where it comes from: `os.system`, `builtins.open().write`. What a function is given, and whatever
cannot be followed, is `UNKNOWN`; an attribute of it keeps its names as they are written: `?.path.write_text`.
"""

from __future__ import annotations

from dataclasses import dataclass

_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Ref:
    """Something that lies outside of the source, by its full name; `()` stands for the result of a call."""

    name: str

    @property
    def known(self) -> bool:
        return not self.name.startswith("?")

    def attribute(self, name: str) -> Ref:
        if not self.known or len(self.name) > _LONGEST:
            return Ref(f"?.{name}")
        made, result, _ = self.name.partition("()")
        return Ref(f"{made}{result}.{name}")

    def called(self) -> Ref:
        """What a call of it gives. Whatever the methods of a result give stands for the result: chains stay short."""
        return Ref(f"{self.name.partition('()')[0]}()") if self.known else UNKNOWN


@dataclass(frozen=True, slots=True)
class Const:
    """A constant, also one that is put together from others."""

    value: str | bytes | int


@dataclass(frozen=True, slots=True)
class Bag:
    """A list, tuple, set or dictionary (its values): for each item, what it may be."""

    items: tuple[frozenset[Value], ...]

    def any(self) -> frozenset[Value]:
        return frozenset().union(*self.items)


@dataclass(frozen=True, slots=True)
class Getter:
    """`operator.attrgetter(name)` and `operator.methodcaller(name)`: what they give when called with an object."""

    name: str
    """Empty if it is computed."""
    calls: bool


@dataclass(frozen=True, slots=True)
class Local:
    """A function of this source."""

    index: int
    """Which one, in the order of the tree."""


Value = Ref | Const | Bag | Getter | Local

UNKNOWN = Ref("?")
NOTHING_KNOWN: frozenset[Value] = frozenset({UNKNOWN})


def imported(module: str, name: str) -> Ref:
    """What `from module import name` binds; `module` may begin with dots."""
    return Ref(f"{module}{name}" if module.endswith(".") else f"{module}.{name}")
