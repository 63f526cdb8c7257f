"""The documentation of the rules says what the rules say."""

from __future__ import annotations

from tools.rule_pages import FOLDER, pages


def test_the_pages_are_current() -> None:
    """Each rule has its page, as generated, and no page is left over. If this fails: `python -m tools.rule_pages`."""
    here = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    assert here == pages()
