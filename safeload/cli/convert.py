"""`safeload convert SRC`, and `safeload convert --check A B`"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from safeload.cli.output import note, waiting
from safeload.core.errors import UsageError
from safeload.core.finding import Report, Status
from safeload.core.names import escape

if TYPE_CHECKING:
    from safeload.engine.convert.compare import Comparison
    from safeload.engine.convert.conversion import Conversion

_LISTED = 40


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        nargs="?",
        metavar="SRC",
        help="a checkpoint file, the index of several, a pattern, a directory, or a model on the hub",
    )
    parser.add_argument(
        "--to",
        choices=("safetensors", "skops"),
        default="safetensors",
        help="skops: a scikit-learn pickle as a skops file, without unpickling it (default: safetensors)",
    )
    parser.add_argument(
        "-o",
        "--into",
        metavar="FILE|DIR",
        help="a name that ends with .safetensors, or a directory (default: beside the source)",
    )
    parser.add_argument("--keys", metavar="PREFIX", default="", help="only tensors named so; the prefix is taken off")
    parser.add_argument("--strip", metavar="PREFIX", default="", help="take this off names that begin so")
    parser.add_argument(
        "--rename",
        metavar="OLD=NEW",
        action="append",
        default=[],
        help="rename a tensor, or all below a name that ends with a dot; may be given again",
    )
    parser.add_argument(
        "--view",
        metavar="DTYPE=DTYPE",
        action="append",
        default=[],
        help="write a dtype that safetensors lacks as another of the same bytes: complex128=float64",
    )
    parser.add_argument(
        "--max-shard-size", metavar="SIZE", default="5GB", help="more is spread over several files (default: 5GB)"
    )
    parser.add_argument(
        "--shared",
        choices=("keep", "drop"),
        default="keep",
        help="tensors that are the same memory: write each, or one of them (default: keep)",
    )
    parser.add_argument("--keep-data", action="store_true", help="write what is not a tensor to checkpoint.json")
    parser.add_argument("--dry-run", action="store_true", help="only show what would be written")
    parser.add_argument("--force", action="store_true", help="replace output files that are there already")
    parser.add_argument(
        "--check", nargs=2, metavar=("A", "B"), help="compare the tensors of two checkpoints, and write nothing"
    )
    parser.add_argument("--revision", metavar="REV", help="for models on the hub: a commit, branch or tag")
    parser.add_argument("--offline", action="store_true", help="use what the hub's cache holds; connect to nothing")
    parser.add_argument(
        "--unsafe-convert-dangerous",
        action="store_true",
        help="convert the weights of pickles judged dangerous; nothing in them runs, but their author tried",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")


def run(parsed: argparse.Namespace) -> int:
    """Convert, or compare. Differences between two checkpoints are code 1; a refusal or an error raises."""
    if parsed.check is not None:
        return _check(parsed)
    if parsed.source is None:
        raise UsageError(
            "nothing was converted", why="no source was named", remedy="safeload convert pytorch_model.bin"
        )
    if parsed.to == "skops":
        return _to_skops(parsed)
    from safeload.engine.convert.job import convert
    from safeload.engine.options import Options
    from safeload.engine.request import Access, Request

    with _bar(f"converting {parsed.source}") as progress:
        conversion = convert(
            parsed.source,
            into=parsed.into,
            keys=parsed.keys,
            strip=parsed.strip,
            rename=_pairs(parsed.rename, "--rename"),
            views=_pairs(parsed.view, "--view"),
            max_shard_size=parsed.max_shard_size,
            shared=parsed.shared,
            keep_data=parsed.keep_data,
            dry_run=parsed.dry_run,
            force=parsed.force,
            # Only JSON shows them.
            digest_tensors=parsed.json,
            request=Request(revision=parsed.revision, access=Access(local_files_only=parsed.offline)),
            options=Options(unsafe_convert_dangerous=parsed.unsafe_convert_dangerous),
            progress=progress,
        )
    if parsed.json:
        _json(conversion)
    else:
        _tell(conversion, dry_run=parsed.dry_run)
    return 0


_OF_TENSORS = (
    "keys",
    "strip",
    "rename",
    "view",
    "max_shard_size",
    "shared",
    "keep_data",
    "dry_run",
    "revision",
    "offline",
)
"""Options that say something about tensors, or about models on the hub."""


def _to_skops(parsed: argparse.Namespace) -> int:
    standard = argparse.ArgumentParser()
    arguments(standard)
    for name in _OF_TENSORS:
        if getattr(parsed, name) != standard.get_default(name):
            raise UsageError(
                f"--{name.replace('_', '-')} was not honoured",
                why="a skops file holds an estimator, and it is made from one file",
                remedy="leave it out",
            )
    from safeload.engine.options import Options
    from safeload.to_skops import write_skops

    options = Options(unsafe_convert_dangerous=parsed.unsafe_convert_dangerous)
    with waiting(f"converting {parsed.source}"):
        written = write_skops(parsed.source, parsed.into, force=parsed.force, options=options)
    if parsed.json:
        from safeload.reporters.json import dump

        data = {
            "schema": "safeload.skops/1",
            "source": parsed.source,
            "path": os.fspath(written.path),
            "size": written.size,
            "sha256": written.sha256,
            "untrusted": list(written.untrusted),
        }
        dump(data, sys.stdout)
        return 0
    if written.untrusted:
        note(f"skops will ask to trust: {', '.join(escape(one, 120) for one in written.untrusted)}")
    print(escape(os.fspath(written.path), 4_096))
    return 0


def _pairs(given: list[str], option: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in given:
        old, sign, new = text.partition("=")
        if not sign or old in pairs:
            why = "it stands twice" if sign else "there is no = in it"
            raise UsageError(f"{option} {escape(text)!r} cannot be used", why=why, remedy=f"{option} OLD=NEW")
        pairs[old] = new
    return pairs


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """On a terminal, a bar with rate and time left, once there is something to show; nothing remains of it."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    text = TextColumn(escape(what, 60), markup=False)
    with Progress(text, *columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("", total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)


def _tell(conversion: Conversion, *, dry_run: bool) -> None:
    """Findings, notes and what was left out on standard error; the output's path, or the preview, on the other."""
    for text in conversion.notes:
        note(text)
    reported = tuple(file for file in conversion.report.files if file.status is not Status.SAFE)
    if reported:
        from safeload.reporters import find

        find("terminal").write([Report(target=conversion.report.target, files=reported)], (), sys.stderr)
    for item in conversion.dropped[:_LISTED]:
        note(f"left out: {escape(item.path, 120)}: {item.reason}")
    if conversion.dropped[_LISTED:]:
        note(f"left out: {len(conversion.dropped) - _LISTED:,} more; --json lists them")
    if dry_run:
        _preview(conversion)
    elif conversion.path is not None:
        print(escape(os.fspath(conversion.path), 4_096))


def _preview(conversion: Conversion) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from safeload.reporters._screen import console
    from safeload.reporters.terminal import size

    out = console(sys.stdout)
    table = Table(box=box.SIMPLE)
    for column in ("name", "dtype", "shape", "source", "file"):
        table.add_column(column, overflow="fold")
    for one in conversion.tensors:
        cells = (one.name, one.dtype, str(list(one.shape)), one.source, one.file)
        table.add_row(*(Text(escape(cell)) for cell in cells))
    out.print(table)
    total = sum(one.nbytes for one in conversion.tensors)
    files = "1 file" if len(conversion.files) == 1 else f"{len(conversion.files):,} files"
    noun = "tensor" if len(conversion.tensors) == 1 else "tensors"
    out.print(f"{len(conversion.tensors):,} {noun}, {size(total)}, in {files}; nothing written")


def _json(conversion: Conversion) -> None:
    from safeload.reporters.json import document, dump

    data: dict[str, Any] = {
        "schema": "safeload.conversion/1",
        "source": conversion.source,
        "path": os.fspath(conversion.path) if conversion.path is not None else None,
        "statement": os.fspath(conversion.statement) if conversion.statement is not None else None,
        "already_safe": conversion.already_safe,
        "files": [{"path": file.path, "size": file.size, "sha256": file.sha256 or None} for file in conversion.files],
        "tensors": [
            {
                "name": one.name,
                "source": one.source,
                "dtype": one.dtype,
                "shape": list(one.shape),
                "bytes": one.nbytes,
                "file": one.file,
                "sha256": one.sha256 or None,
            }
            for one in conversion.tensors
        ],
        "dropped": [{"path": item.path, "reason": item.reason} for item in conversion.dropped],
        "notes": list(conversion.notes),
        "report": document([conversion.report]),
    }
    dump(data, sys.stdout)


def _check(parsed: argparse.Namespace) -> int:
    if parsed.source is not None or parsed.into is not None:
        raise UsageError("nothing was compared", why="--check writes nothing", remedy="safeload convert --check A B")
    from safeload.engine.convert.compare import compare
    from safeload.engine.request import Access, Request

    one, other = parsed.check
    with waiting(f"comparing {one}"):
        found = compare(
            one,
            other,
            keys=parsed.keys,
            strip=parsed.strip,
            rename=_pairs(parsed.rename, "--rename"),
            views=_pairs(parsed.view, "--view"),
            request=Request(revision=parsed.revision, access=Access(local_files_only=parsed.offline)),
        )
    if parsed.json:
        _json_comparison(found)
    else:
        _tell_comparison(found)
    return 0 if found.equal else 1


def _tell_comparison(found: Comparison) -> None:
    for one in found.tensors:
        if one.outcome != "equal":
            away = f"{one.differing:,} numbers differ, by at most {one.largest:g}" if one.differing else ""
            told = "; ".join(text for text in (one.detail, away) if text)
            print(f"{one.outcome:<8} {escape(one.name)}: {told or 'its bytes differ'}")
    counts = {kind: sum(one.outcome == kind for one in found.tensors) for kind in ("equal", "differs", "missing")}
    print(f"{len(found.tensors):,} tensors: " + ", ".join(f"{n:,} {kind}" for kind, n in counts.items() if n))


def _json_comparison(found: Comparison) -> None:
    from safeload.reporters.json import dump

    data = {
        "schema": "safeload.comparison/1",
        "one": found.one,
        "other": found.other,
        "equal": found.equal,
        "tensors": [
            {
                "name": one.name,
                "outcome": one.outcome,
                "detail": one.detail,
                "differing": one.differing,
                # JSON has no infinity.
                "largest": one.largest if one.largest is None or one.largest < float("inf") else str(one.largest),
            }
            for one in found.tensors
        ],
    }
    dump(data, sys.stdout)
