"""Writes `docs/cli.md` from the program's own help: `make docs-cli`."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

from safeload.cli import COMMANDS
from safeload.cli.main import main

PAGE = Path(__file__).resolve().parents[2] / "docs/cli.md"
_ACTIONS = {"policy": ("init", "check", "explain"), "cache": ("list", "verify", "prune")}

_HEAD = """# Command line

<!-- Written from the program by `make docs-cli`; a test compares the two. -->

Exit codes are the same in every command and output: **0** nothing wrong, **1** findings or denied, **2** undecided or
an error. `--json` prints one document on standard output, errors included. Colour and progress need a terminal;
`NO_COLOR` is honoured. No option can be abbreviated.

"""


def page() -> str:
    """The whole page."""
    pieces = [_HEAD, _section("safeload", [])]
    for name in COMMANDS:
        pieces.append(_section(f"safeload {name}", [name]))
        pieces += [_section(f"safeload {name} {action}", [name, action]) for action in _ACTIONS.get(name, ())]
    return "\n".join(pieces)


def _section(title: str, arguments: list[str]) -> str:
    out = io.StringIO()
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"
    try:
        with contextlib.redirect_stdout(out):
            assert main([*arguments, "--help"]) == 0
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
    return f"## `{title}`\n\n```text\n{out.getvalue()}```\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
