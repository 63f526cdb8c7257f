"""Write the documentation pages of all rules: `python -m tools.rule_pages`.

Everything on a page comes from the rule itself; a test compares the pages with what this writes.
"""

from __future__ import annotations

from pathlib import Path

from safeload.core.finding import Finding, Status
from safeload.core.names import escape
from safeload.engine.allowlists import default_allowlist
from safeload.formats.base import Part
from safeload.rules import all_rules, judge
from safeload.rules.base import Context, Rule
from safeload.rules.taxonomies import TITLES, link

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "rules"
_STATUS = {
    Status.SAFE: "safe (a note)",
    Status.UNVERIFIED: "unverified",
    Status.UNDECIDED: "undecided",
    Status.DANGEROUS: "dangerous",
}

_OTHERS = """\
| `file-unreadable` | the file could not be opened: no regular file, not readable, or outside of the model | \
undecided | whatever reads files |
| `code-missing` | code that the model needs is not there | undecided; unverified, if its import is only tried | \
`safeload audit` |
| `code-file-name` | the name of a file of code is not what it seems: characters that are not shown, mixed scripts | \
unverified | `safeload audit` |
| `bandit-b102` and the like | bandit's test of that number found something | unverified | `safeload audit --bandit` |
| `bandit-other` | a test of bandit without a number found something | unverified | `safeload audit --bandit` |
| `bandit-skipped` | bandit could not read the file, and says nothing of it | unverified | `safeload audit --bandit` |
"""


def pages() -> dict[str, str]:
    """Every page by file name."""
    rules = all_rules()
    rows = "\n".join(f"| [{rule.id}]({rule.id}.md) | {rule.title} | {_STATUS[rule.status]} |" for rule in rules)
    index = (
        "# Rules\n\n"
        "Each finding names its rule. A file's status is the worst of its findings. These pages are generated from\n"
        "the rules themselves by `python -m tools.rule_pages`.\n\n"
        f"| rule | a finding says that | makes a file |\n|---|---|---|\n{rows}\n\n"
        "## Findings that no rule makes\n\n"
        f"| finding | it says that | makes a file | comes from |\n|---|---|---|---|\n{_OTHERS}"
    )
    return {"README.md": index, **{f"{rule.id}.md": _page(rule) for rule in rules}}


def _page(rule: Rule) -> str:
    found = [finding for part in rule.bad() for finding in _asked(rule, part) if finding.rule == rule.id]
    shown = "\n".join(dict.fromkeys(f"- {finding.status}: `{_code(finding.message)}`" for finding in found))
    remedy = rule.remedy.replace("{file}", "FILE")
    return (
        f"# {rule.id}\n\n"
        f"{rule.title[0].upper()}{rule.title[1:]}.\n\n"
        "| status | severity | confidence |\n|---|---|---|\n"
        f"| {_STATUS[rule.status]} | {rule.severity} | {rule.confidence} |\n\n"
        f"{rule.why}\n\n"
        f"**What to do.** {remedy[0].upper()}{remedy[1:]}.\n\n"
        f"## Examples of its findings\n\n{shown}\n\n"
        f"## In public catalogues\n\n{''.join(map(_entry, rule.catalogued))}"
    )


def _entry(entry: str) -> str:
    title = f": {TITLES[entry]}" if entry in TITLES else ""
    return f"- [{entry}]({link(entry)}){title}\n"


def _asked(rule: Rule, part: Part) -> tuple[Finding, ...]:
    context = Context(
        allowlist=default_allowlist(),
        parts=(part,),
        second_opinion=rule.id == "fickling-opinion",
        scanned={"example.safetensors"} if rule.id == "shard-unread" else None,
        secret_opinion=rule.id == "secret-opinion",
    )
    return judge([part], context)


def _code(text: str) -> str:
    return escape(text).replace("`", "'")


def main() -> None:
    """Write all pages, and remove those of rules that are gone."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    written = pages()
    for old in FOLDER.glob("*.md"):
        if old.name not in written:
            old.unlink()
    for name, text in written.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
