"""What each scanner says of each file of our corpora: writes `docs/comparison.md` and `docs/comparison.csv`.

    python benchmarks/compare.py              # half an hour of a processor, most of it modelaudit's
    python benchmarks/compare.py --ours       # safeload anew; what the others said is kept from comparison.csv

Every scanner is the current release from PyPI in an environment of its own, with its default settings, one file at a
time, judged by its exit code alone, as a pipeline would: `clean`, `found`, or `?` for anything else. The corpora are
those of our tests: `tests/corpus/build.py` (containers that deceive, broken downloads), `tests/regressions` (public
advisories, and files that run code for somebody), and `tests/corpus/benign.py` (what libraries write).
"""

from __future__ import annotations

import argparse
import csv
import datetime
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.peers import MODELAUDIT, PEERS, exit_code, install, ours
from tests.corpus import benign, build
from tests.generator.written import pickled
from tests.regressions import advisories
from tests.regressions.test_advisory_gadgets import PLACES
from tests.regressions.test_never_safe import FILES

DOCS = Path(__file__).resolve().parents[1] / "docs"
OURS = {0: "clean", 1: "found", 2: "?"}
GROUPS = {
    "advisories": "pickles that public advisories describe",
    "hostile": "files that deceive or act",
    "code": "files that run code for somebody",
    "stand-in": "broken downloads",
    "benign": "benign files",
}
"""The first part of a file's name, and what such files are."""
_WORDS = ("clean", "found", "?")
_BENIGN = 10
"""Benign files of each maker, or a few more: there are four times as many, much alike."""
Verdict = Callable[[Path], str]
Rows = dict[str, list[str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", action="store_true", help="judge by safeload alone, and keep what the others said")
    asked = parser.parse_args()
    scan = ours()
    tools: dict[str, Verdict] = {"safeload": lambda path: OURS.get(exit_code([*scan, str(path)]), "?")}
    left_out = {}
    for peer in () if asked.ours else (*PEERS, MODELAUDIT):
        if why := install(peer):
            left_out[peer.name] = why
        else:
            tools[f"{peer.name} {peer.version}"] = peer.verdict
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(os.cpu_count()) as pool:
        folder = Path(name)
        for path, data in _files():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        found = pool.map(lambda path: [verdict(path) for verdict in tools.values()], paths)
        rows = {str(path.relative_to(folder)): verdicts for path, verdicts in zip(paths, found, strict=True)}
    names = _add_others(rows) if asked.ours else list(tools)
    (DOCS / "comparison.md").write_text(_page(names, rows, left_out), encoding="utf-8")
    (DOCS / "comparison.csv").write_text(_table(names, rows), encoding="utf-8")


def _add_others(rows: Rows) -> list[str]:
    """What the other scanners said when `comparison.csv` was written, of the same files. Returns all tools' names."""
    with open(DOCS / "comparison.csv", encoding="utf-8", newline="") as file:
        (_, *tools), *written = csv.reader(file)
    if {name for name, *_ in written} != rows.keys():
        raise SystemExit("the corpora changed since comparison.csv was written: run it without --ours")
    for name, _own, *others in written:
        rows[name] += others
    return tools


def _files() -> Iterator[tuple[str, bytes]]:
    """Every file: a name that begins with its group, and its bytes. Advisories take the four containers by turns."""
    for name, make in build.FIXTURES.items():
        yield name, make()
    for number, advisory in enumerate(advisories.ALL):
        place, wrap = list(PLACES.items())[number % len(PLACES)]
        yield f"advisories/{number:03}-{advisory.of}/{place}", wrap(pickled(advisory.value))
    for title, made in FILES.items():
        data, name = made()
        yield f"code/{title.replace(' ', '-')}/{name}", data
    for maker, several in benign.MAKERS.items():
        made = dict(several())
        for name, data in list(made.items())[:: max(1, len(made) // _BENIGN)]:
            yield f"benign/{maker}/{name}", data


def _table(tools: list[str], rows: Rows) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["file", *tools])
    writer.writerows([name, *verdicts] for name, verdicts in rows.items())
    return out.getvalue()


def _page(tools: list[str], rows: Rows, left_out: dict[str, str]) -> str:
    head = ["| | " + " | ".join(tools) + " |", "|---|" + "---|" * len(tools)]
    hostile = {name: verdicts for name, verdicts in rows.items() if _group(name) != "benign"}
    return "\n".join(
        [
            "# Comparison",
            "",
            f"Made by `python benchmarks/compare.py` on {datetime.datetime.now(datetime.UTC):%d %B %Y}.",
            "Each scanner is the release from PyPI that is named, as `pip install` alone gives it, with its default",
            "settings, judged by its exit code for one file at a time: `clean`, `found`, or `?` where it says neither",
            "(an error, or a file that it does not decide).",
            "",
            f"These {len(rows)} files are **our own corpora**, those of our tests: they hold what we thought of, so",
            "they flatter us. Of a hostile file, `clean` is what hurts; `?` is visible to who looks at exit codes. Of",
            "a benign file, anything but `clean` is noise. The advisories are of other scanners, many of them mended",
            "since by those. Every verdict is in",
            "[comparison.csv](comparison.csv).",
            "",
            *head,
            *_sums(tools, rows),
            "",
            *_lost(rows),
            *[f"{name} is not here: {why}." for name, why in left_out.items()],
            "## Every file that is not benign",
            "",
            *head,
            *[f"| `{name}` | " + " | ".join(verdicts) + " |" for name, verdicts in hostile.items()],
            "",
        ]
    )


def _group(name: str) -> str:
    return name.partition("/")[0]


def _sums(tools: list[str], rows: Rows) -> list[str]:
    lines = []
    for group, title in GROUPS.items():
        own = [verdicts for name, verdicts in rows.items() if _group(name) == group]
        for word in _WORDS:
            cells = [str(sum(verdicts[at] == word for verdicts in own)) for at in range(len(tools))]
            lines.append(f"| {len(own)} {title}: `{word}` | " + " | ".join(cells) + " |")
    return lines


def _lost(rows: Rows) -> list[str]:
    """Where another scanner does better than we do."""
    lines = []
    for name, (own, *others) in rows.items():
        wanted = "clean" if _group(name) == "benign" else "found"
        if own != wanted and wanted in others:
            lines.append(f"- `{name}`: safeload says `{own}`, others say `{wanted}`")
    if not lines:
        return ["On no file of these corpora another scanner is right where safeload is not.", ""]
    return ["Where safeload does worse than another scanner:", "", *lines, ""]


if __name__ == "__main__":
    main()
