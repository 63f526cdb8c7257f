"""How a chat template differs from the published one that it is nearest to.

Of published templates only digests are kept (`known_pieces.txt`), one for each piece: what stands between the marks of
Jinja, or on a line. Space does not count, nor do the marks that take space away, and comments.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path

FILE = Path(__file__).with_name("known_pieces.txt")
"""A line for each: its name, and eight hexadecimal digits for each piece. Written by `tools/known_templates.py`."""
_MARKS = re.compile(r"\{[%{#]|[%}#]\}|\n")
_DIGITS = 8
_FEWEST = 12
"""Pieces that a published template must have: of shorter ones, many templates have most by chance."""
_MOST = 10_000
"""Pieces of a template that is compared; the longest published one has five hundred."""
_ALIKE = 0.8
"""The part of a published template that must be there for another to be made of it."""


@dataclass(frozen=True, slots=True)
class Published:
    name: str
    pieces: tuple[str, ...]
    counts: Counter[str]


@dataclass(frozen=True, slots=True)
class Likeness:
    """What a template has of a published one."""

    name: str
    offset: int
    """Where the first piece stands that the published one has not."""
    added: int
    missing: int


def pieces(text: str) -> Iterator[tuple[int, str]]:
    """Where each piece of a template begins, and its digest. Linear, whatever the text is."""
    start, comment = 0, False
    for mark in _MARKS.finditer(text):
        if not comment:
            yield from _piece(text, start, mark.start())
            comment = mark[0] == "{#"
        elif mark[0] == "#}":
            comment = False
        start = mark.end()
    if not comment:
        yield from _piece(text, start, len(text))


def _piece(text: str, start: int, end: int) -> Iterator[tuple[int, str]]:
    content = " ".join(text[start:end].strip(" \t\r\f\v-+").split())
    if content:
        at = start + text[start:end].find(content[0])
        yield at, sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]


@functools.cache
def published() -> tuple[Published, ...]:
    """Every published template that is long enough to be told by its pieces."""
    rows = (line.split(" ") for line in FILE.read_text("ascii").splitlines())
    named = ((name, tuple(re.findall(f".{{{_DIGITS}}}", digits))) for name, digits in rows)
    return tuple(Published(name, own, Counter(own)) for name, own in named if len(own) >= _FEWEST)


def nearest(text: str) -> Likeness | None:
    """The published template that this one was made of, and how it differs; `None` if it is one, or made of none."""
    own = list(islice(pieces(text), _MOST + 1))
    if len(own) > _MOST:
        return None
    digests = tuple(digest for _, digest in own)
    counts = Counter(digests)
    best: tuple[float, Published, int] | None = None
    for one in published():
        if len(own) < _ALIKE * len(one.pieces):
            continue  # it has too few to be made of that one; most templates have too few for any
        if one.pieces == digests:
            return None
        common = sum(min(count, counts.get(digest, 0)) for digest, count in one.counts.items())
        share = common / (len(one.pieces) + len(own) - common or 1)
        if common >= _ALIKE * len(one.pieces) and (best is None or share > best[0]):
            best = (share, one, common)
    if best is None:
        return None
    _, one, common = best
    left, first = Counter(one.pieces), 0
    for offset, digest in own:
        left[digest] -= 1
        if left[digest] < 0:
            first = offset
            break
    return Likeness(one.name, first, len(own) - common, len(one.pieces) - common)
