"""One dangerous file for each number: gadget, spelling, container and name, chosen by the number and a seed alone."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from random import Random
from typing import Any

from safeload.core.names import GlobalName
from safeload.engine.allowlists import default_allowlist
from tests.generator.callables import stdlib_callables
from tests.generator.containers import CONTAINERS, NAMES, WRONG_NAMES
from tests.generator.spellings import pickle_of
from tests.generator.written import Called, Name
from tests.regressions.advisories import ALL
from tests.rules.gadgets import INDIRECT, UNLISTED, pairs

SEED = 20261128
_LETTERS = {"o": "\u043e", "a": "\u0430", "e": "\u0435", "p": "\u0440", "c": "\u0441", "i": "\u0456", "s": "\uff53"}
_SIMILAR = frozenset(_LETTERS)
"""Letters that have a twin in another alphabet."""


@dataclass(frozen=True)
class Made:
    """A file, and how it came about."""

    name: str
    data: bytes
    recipe: str


@functools.cache
def gadgets() -> tuple[tuple[str, str], ...]:
    """Every callable of the standard library that is outside the allowlist."""
    allowlist = default_allowlist()
    return tuple(pair for pair in stdlib_callables() if GlobalName(*pair) not in allowlist)


@functools.cache
def known() -> tuple[tuple[str, str], ...]:
    return tuple(pairs(UNLISTED) + pairs(INDIRECT))


def made(number: int, seed: int = SEED, marker: str = "marker") -> Made:
    """The file of this number. The same number and seed give the same file, in any process."""
    choose = Random(f"{seed}:{number}")
    value = _gadget(choose, marker)
    stream = pickle_of(choose, value)
    container = choose.choice(sorted(CONTAINERS))
    data = CONTAINERS[container](choose, stream)
    name = choose.choice(WRONG_NAMES if choose.random() < 0.2 else NAMES)
    return Made(name, data, f"{number}: {value} in {container} as {name}")


def _gadget(choose: Random, marker: str) -> Called:
    kind = choose.random()
    if kind < 0.15:
        value = choose.choice(ALL).value
        return value if isinstance(value, Called) else Called(Name("os", "system"), f"touch {marker}")
    module, name = choose.choice(gadgets() if kind < 0.8 else known())
    if kind > 0.97 and (similar := _SIMILAR.intersection(module)):
        letter = choose.choice(sorted(similar))
        return Called(Name(module.replace(letter, _LETTERS[letter], 1), name), "x")
    arguments: list[tuple[Any, ...]] = [
        *((), ("x",), (0,), (None,), ({},), ([],), (b"x",), ("x", 1), (f"touch {marker}",), ("x",) * 4),
        (f"open({marker!r}, 'w')",),
        (["touch", marker],),
    ]
    return Called(Name(module, name), *choose.choice(arguments))
