"""What people are told to type exists: in the documentation, in examples, and in the program's own messages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.docs.help_page import page
from tests.docs.pages import PAGES, ROOT

TEXTS = [
    *(path for path in PAGES if path.name != "cli.md"),
    ROOT / "CHANGELOG.md",
    ROOT / "action.yml",
    ROOT / "Containerfile",
    *sorted(path for folder in ("examples", "integrations") for path in (ROOT / folder).rglob("*") if path.is_file()),
]
SOURCES = sorted(path for path in (ROOT / "safeload").rglob("*.py") if path.name != "index.py")
_COMMAND = re.compile(r"\bsafeload ([a-z]+)((?: [^\n`;|#(]*)?)")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


@cache
def _options() -> dict[str, set[str]]:
    """The options of each command, by what its help says."""
    sections = re.split(r"^## `safeload(?: (\w+))?`", page(), flags=re.MULTILINE)
    return {name: set(_OPTION.findall(text)) for name, text in zip(sections[1::2], sections[2::2], strict=True) if name}


def _unknown(text: str) -> Iterator[str]:
    for command, rest in _COMMAND.findall(text):
        # In a sentence, a second command may follow the first.
        rest = re.split(r"\bsafeload [a-z]+ ", rest)[0]
        if command == "cache":  # the help of its actions is not on the page
            continue
        if command in _options():
            yield from (f"safeload {command} {one}" for one in _OPTION.findall(rest) if one not in _options()[command])
        elif rest.startswith((" -", " REF", " FILE")):
            yield f"safeload {command}"


def _words(path: Path) -> Iterator[str]:
    """The texts in a source, with a letter where a value is put in."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_options_in_texts_exist(path: Path) -> None:
    """Every option that stands behind a command of ours is one of it."""
    assert list(_unknown(path.read_text(encoding="utf-8"))) == []


def test_options_in_messages_exist() -> None:
    """Whoever types what an error says next is not told that there is no such option."""
    found = {path.name: list(_unknown(text)) for path in SOURCES for text in _words(path) if list(_unknown(text))}
    assert found == {}


def test_an_option_that_is_not_there_is_found() -> None:
    """The search sees what it looks for."""
    assert len(_options()) > 15
    assert list(_unknown("next: safeload scan FILE --jsno; safeload scan FILE --json")) == ["safeload scan --jsno"]
    assert list(_unknown("safeload frobnicate --x")) == ["safeload frobnicate"]
