"""`safeload inspect FILE`"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from safeload.cli.output import note, waiting
from safeload.core.finding import Report, Status
from safeload.core.names import escape

if TYPE_CHECKING:
    from rich.tree import Tree

    from safeload.engine.convert.describe import Inspection

_ROWS = 2_000
_LEAVES = 200
"""Entries of the data that are shown; JSON has them all."""
_COLOUR = {"listed": "green", "unlisted": "yellow", "dangerous": "bold red"}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a checkpoint, or any other model file")
    parser.add_argument(
        "--pseudo",
        action="store_true",
        help="also show what its pickles would do, as Python that is not run (fickling)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of tables")


def run(parsed: argparse.Namespace) -> int:
    """Show one file. The exit code is that of a scan of it, and 2 if its tensors or data could not be read."""
    from safeload.engine.convert.describe import inspect_file

    with waiting(f"inspecting {parsed.file}"):
        found = inspect_file(parsed.file, pseudo=parsed.pseudo)
    if parsed.json:
        _json(found)
    else:
        _show(found)
    code = found.report.status.exit_code
    return 2 if found.fault and found.report.status is not Status.DANGEROUS else code


def _show(found: Inspection) -> None:
    from safeload.reporters import find
    from safeload.reporters._screen import console
    from safeload.reporters.terminal import size

    out = console(sys.stdout)
    head = f"{found.path}: {found.report.format}, {size(found.report.size)}, {found.report.status}"
    out.print(escape(head, 4_096), soft_wrap=True)
    if found.tensors:
        out.print(_table(found))
        shared = sum(bool(tensor.same_as) for tensor in found.tensors)
        alike = f"; {shared:,} are the same memory as another" if shared else ""
        noun = "tensor" if len(found.tensors) == 1 else "tensors"
        out.print(f"{len(found.tensors):,} {noun}, {size(found.nbytes)}{alike}")
    if found.data and (tree := _tree(found.data)).children:
        out.print(tree)
    if found.globals:
        out.print(_globals(found))
    for place, source in found.pseudo:
        out.print(f"\npseudo-source of {place}, by fickling:", soft_wrap=True)
        out.print(source, soft_wrap=True)
    if found.report.findings:
        find("terminal").write([Report(target=found.path, files=(found.report,))], (), sys.stdout)
    if found.fault:
        note(found.fault)


def _table(found: Inspection) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from safeload.reporters.terminal import size

    table = Table(box=box.SIMPLE)
    for column in ("tensor", "dtype", "shape", "size", "same as"):
        table.add_column(column, overflow="fold", justify="right" if column == "size" else "left")
    for one in found.tensors[:_ROWS]:
        cells = (one.name, one.dtype, str(list(one.shape)), size(one.nbytes), one.same_as)
        table.add_row(*(Text(escape(cell)) for cell in cells))
    if found.tensors[_ROWS:]:
        table.add_row(f"… {len(found.tensors) - _ROWS:,} more")
    return table


def _tree(data: Any) -> Tree:
    """The data as a tree, without its tensors, up to a number of entries that people read."""
    from rich.text import Text
    from rich.tree import Tree

    top = Tree(Text(_spell(data, data.get("$"), empty=False) if isinstance(data, dict) else "data") or "data")
    waiting = [(top, name, child) for name, child in _members(data, data.get("$") if isinstance(data, dict) else None)]
    left = _LEAVES
    while waiting and left:
        above, label, item = waiting.pop(0)
        kind = item.get("$") if isinstance(item, dict) else None
        if kind == "tensor":
            continue
        left -= 1
        below = _members(item, kind)
        text = _spell(item, kind, empty=not below)
        place = above.add(Text(escape(": ".join(part for part in (label, text) if part), 200)))
        waiting += [(place, name, child) for name, child in below]
    if waiting:
        top.add("… more; --json has it all")
    return top


def _members(item: Any, kind: Any) -> list[tuple[str, Any]]:
    if isinstance(item, list):
        return [(str(index), child) for index, child in enumerate(item)]
    if not isinstance(item, dict):
        return []
    if kind is None:
        return list(item.items())
    if kind == "dict":
        return [(str(key), child) for key, child in item["pairs"]]
    if kind in ("tuple", "set", "frozenset"):
        return [(str(index), child) for index, child in enumerate(item["items"])]
    return [(name, child) for name, child in item.items() if isinstance(child, dict | list) and name != "shape"]


def _spell(item: Any, kind: Any, *, empty: bool) -> str:
    if kind is not None:
        said = (item.get(key) for key in ("class", "module", "name", "value", "path"))
        return " ".join([str(kind), *(str(text) for text in said if text is not None)])
    if isinstance(item, dict | list):
        return ("{}" if isinstance(item, dict) else "[]") if empty else ""
    return repr(item)


def _globals(found: Inspection) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE)
    for column in ("global", "library", "status", "uses"):
        table.add_column(column, overflow="fold")
    for one in found.globals:
        name = f"{escape(one.module)}.{escape(one.name)}"
        status = Text(one.status, style=_COLOUR[one.status])
        table.add_row(Text(name), Text(escape(one.library)), status, str(one.uses))
    return table


def _json(found: Inspection) -> None:
    from safeload.reporters.json import document, dump

    data = {
        "schema": "safeload.inspection/1",
        "path": found.path,
        "format": found.report.format,
        "size": found.report.size,
        "tensors": [
            {
                "name": one.name,
                "dtype": one.dtype,
                "shape": list(one.shape),
                "bytes": one.nbytes,
                "same_as": one.same_as or None,
            }
            for one in found.tensors
        ],
        "data": found.data,
        "globals": [
            {"module": one.module, "name": one.name, "library": one.library, "status": one.status, "uses": one.uses}
            for one in found.globals
        ],
        "pseudo": [{"place": place, "source": source} for place, source in found.pseudo],
        "fault": found.fault or None,
        "report": document([Report(target=found.path, files=(found.report,))]),
    }
    dump(data, sys.stdout)
