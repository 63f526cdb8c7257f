"""What each scanner says of each file of our corpus: writes `docs/comparison.md`.

    python benchmarks/compare.py [--print]

The corpus is `tests/corpus/build.py`: files under `benign/` are what libraries write, those under `hostile/` are built
to act or to deceive, those under `stand-in/` are what broken downloads leave. Every scanner is the current release from
PyPI in an environment of its own, with its default settings, one file at a time, judged by its exit code alone, as a
pipeline would: `clean`, `found`, or `?` for anything else.
"""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.peers import LEFT_OUT, PEERS, install, ours
from tests.corpus.build import build

PAGE = Path(__file__).resolve().parents[1] / "docs" / "comparison.md"
OURS = {0: "clean", 1: "found", 2: "?"}
_SECONDS = 120
Verdict = Callable[[Path], str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--print", action="store_true", help="print the page instead of writing it")
    asked = parser.parse_args()
    scan = ours()
    tools: dict[str, Verdict] = {"safeload": lambda path: OURS.get(_code([*scan, str(path)]), "?")}
    left_out = dict(LEFT_OUT)
    for peer in PEERS:
        if why := install(peer):
            left_out[peer.name] = why
            continue

        def verdict(path: Path, peer=peer) -> str:  # type: ignore[no-untyped-def]
            code = _code(peer.on(path))
            return "clean" if code in peer.clean else "found" if code in peer.found else "?"

        tools[f"{peer.name} {peer.version}"] = verdict
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = sorted(build(folder))
        rows = {str(path.relative_to(folder)): [verdict(path) for verdict in tools.values()] for path in paths}
    text = _page(list(tools), rows, left_out)
    if asked.print:
        print(text)
    else:
        PAGE.write_text(text, encoding="utf-8")


def _code(command: list[str]) -> int:
    try:
        return subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False).returncode
    except subprocess.TimeoutExpired:
        return 124


def _today() -> str:
    return f"{datetime.datetime.now(datetime.UTC):%d %B %Y}"


def _page(tools: list[str], rows: dict[str, list[str]], left_out: dict[str, str]) -> str:
    return "\n".join(
        [
            "# Comparison",
            "",
            f"Made by `python benchmarks/compare.py` on {_today()}. Each scanner is",
            "the release from PyPI that is named, with its default settings, judged by its exit code for one file at a",
            "time: `clean`, `found`, or `?` where it says neither (an error, or a file that it does not decide).",
            "",
            "This is **our own corpus**: it holds what we thought of, so it flatters us. Of a hostile file, `clean` is",
            "what hurts; `?` is visible to who looks at exit codes. Of a benign file, anything but `clean` is noise.",
            "",
            "| | " + " | ".join(tools) + " |",
            "|---|" + "---|" * len(tools),
            *_sums(tools, rows),
            "",
            *_lost(rows),
            *[f"{name} is not here: {why}." for name, why in left_out.items()],
            "",
            "## Every file",
            "",
            "| file | " + " | ".join(tools) + " |",
            "|---|" + "---|" * len(tools),
            *[f"| `{name}` | " + " | ".join(verdicts) + " |" for name, verdicts in rows.items()],
            "",
        ]
    )


def _sums(tools: list[str], rows: dict[str, list[str]]) -> list[str]:
    kinds = {"benign": "benign files", "hostile": "hostile files", "stand-in": "broken downloads"}
    lines = []
    for kind, title in kinds.items():
        own = [verdicts for name, verdicts in rows.items() if name.startswith(kind + "/")]
        for word in ("clean", "found", "?"):
            cells = [str(sum(verdicts[at] == word for verdicts in own)) for at in range(len(tools))]
            lines.append(f"| {len(own)} {title}: `{word}` | " + " | ".join(cells) + " |")
    return lines


def _lost(rows: dict[str, list[str]]) -> list[str]:
    """Where another scanner does better than we do."""
    lines = []
    for name, (own, *others) in rows.items():
        wanted = "clean" if name.startswith("benign/") else "found"
        if own != wanted and wanted in others:
            lines.append(f"- `{name}`: safeload says `{own}`, others say `{wanted}`")
    if not lines:
        return ["On no file of this corpus another scanner is right where safeload is not.", ""]
    return ["Where safeload does worse than another scanner:", "", *lines, ""]


if __name__ == "__main__":
    main()
