"""Orders to deceive, in languages other than English: a short table of phrases for each, in `orders.toml`.

Four kinds, as in English: to ignore other instructions; to keep something from the user; to act without the user's
knowledge; to put links and products into answers. A phrase has to be whole: a verb and what it is about. Accents may be
left out, or written as characters of their own.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Language:
    """The phrases of one language."""

    name: str
    phrases: str
    """As a verbose regular expression."""
    hints: tuple[str, ...] = ()
    """What is looked for first, because that is cheap: of these every phrase holds one, in small letters."""
    first: str = ""
    """The same for languages with letters of their own: the first of them."""


@functools.cache
def languages() -> tuple[Language, ...]:
    """All that are known."""
    import tomllib

    data = tomllib.loads(Path(__file__).with_name("orders.toml").read_text("utf-8"))
    return tuple(
        Language(one["name"], one["phrases"], tuple(one.get("hints", ())), one.get("first", ""))
        for one in data["language"]
    )


def orders(text: str) -> Iterator[tuple[Language, re.Match[str]]]:
    """Every such phrase in a text, and its language."""
    small, last = _plain(text.lower()), max(text, default="")
    for language in languages():
        if any(hint in small for hint in language.hints) or (language.first and last >= language.first):
            yield from ((language, found) for found in _pattern(language).finditer(text))


@functools.cache
def _pattern(language: Language) -> re.Pattern[str]:
    """Compiled when a text may hold one of the phrases: most never do."""
    return re.compile("".join(map(_loose, language.phrases)), re.IGNORECASE | re.VERBOSE)


def _loose(letter: str) -> str:
    """An accented letter of the Latin alphabet in all its spellings; any other as it is."""
    apart = unicodedata.normalize("NFD", letter)
    return f"(?:{letter}|{apart}|{apart[0]})" if len(apart) > 1 and letter < "\u0400" else letter


def _plain(text: str) -> str:
    """A text without accents."""
    if text.isascii():
        return text
    return "".join(one for one in unicodedata.normalize("NFD", text) if not unicodedata.combining(one))
