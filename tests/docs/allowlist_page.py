"""Writes the table of docs/allowlists.md: `python -m tests.docs.allowlist_page`."""

from __future__ import annotations

import tomllib

from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "allowlists.md"
_BEGIN, _END = "<!-- made from safeload/allowlists -->", "<!-- to here -->"


def table() -> str:
    """A row for each file: what it is of, which versions were read, how many names there are by effect."""
    lines = ["| library | versions read | data | rebuilt | inert |", "|---|---|---|---|---|"]
    for path in sorted((ROOT / "safeload" / "allowlists").glob("*.toml"), key=lambda path: path.name.lower()):
        document = tomllib.loads(path.read_text("utf-8"))
        counts = dict.fromkeys(("data", "rebuild", "record"), 0)
        for entry in document["globals"]:
            counts[entry["effect"]] += len(entry["names"])
        numbers = " | ".join(str(count or "") for count in counts.values())
        lines.append(f"| {document['library']} | {document['versions']} | {numbers} |")
    return "\n".join(lines)


def page(text: str) -> str:
    """The page with its table made anew."""
    before, _, rest = text.partition(_BEGIN)
    return f"{before}{_BEGIN}\n{table()}\n{_END}{rest.partition(_END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), encoding="utf-8")
