"""The documentation of the rules says what the rules say."""

from __future__ import annotations

import ast
import re

from tests.architecture.source import PACKAGE
from tools.rule_pages import FOLDER, pages


def test_the_pages_are_current() -> None:
    """Each rule has its page, as generated, and no page is left over. If this fails: `python -m tools.rule_pages`."""
    here = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    assert here == pages()


def test_findings_without_a_rule_are_listed() -> None:
    """What the program finds without a rule of the folder stands on the first page, and so does nothing else."""
    spelled = re.compile(r"[a-z]+-[a-z-]*")
    made = set[str]()
    for path in (path for path in PACKAGE.rglob("*.py") if path.name != "index.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Finding":
                rules = [word.value for word in node.keywords if word.arg == "rule"]
                made |= {
                    one.value
                    for rule in rules
                    for one in ast.walk(rule)
                    if isinstance(one, ast.Constant) and isinstance(one.value, str) and spelled.fullmatch(one.value)
                }
    rest = pages()["README.md"].partition("## Findings that no rule makes")[2]
    told = {line.split("`")[1] for line in rest.splitlines() if line.startswith("| `")}
    assert made - {"bandit-"} == told - {"bandit-b102"} and "bandit-" in made
