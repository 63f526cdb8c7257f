"""`safeload cache list|verify|prune`"""

from __future__ import annotations

import argparse
import re
import sys
import time
from dataclasses import asdict

from safeload.cli.output import waiting
from safeload.core.errors import UsageError
from safeload.core.names import escape

_SECONDS = {"h": 3_600, "d": 86_400, "w": 7 * 86_400}
_BYTES = {"": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    listing = actions.add_parser("list", help="what is kept, least recently used first", allow_abbrev=False)
    verifying = actions.add_parser("verify", help="hash everything again and name what differs", allow_abbrev=False)
    pruning = actions.add_parser(
        "prune",
        help="remove leftovers of ended processes and damaged entries, and entries by age or size",
        allow_abbrev=False,
    )
    pruning.add_argument("--older-than", metavar="AGE", help="entries not used for so long: 12h, 30d, 8w")
    pruning.add_argument(
        "--max-size", metavar="SIZE", help="so many bytes may stay: 500MB, 20GB; oldest use goes first"
    )
    pruning.add_argument("--all", action="store_true", help="every entry that no running process uses")
    for action, act in ((listing, _list), (verifying, _verify), (pruning, _prune)):
        action.add_argument("--json", action="store_true", help="print one JSON document instead of text")
        action.set_defaults(act=act)


def run(parsed: argparse.Namespace) -> int:
    """Do what the action says. The exit code is 1 if something kept is not what it was."""
    code: int = parsed.act(parsed)
    return code


def _list(parsed: argparse.Namespace) -> int:
    from safeload.engine.cache import listed
    from safeload.engine.options import Options

    items, directories = listed(Options())
    if parsed.json:
        _dump({"entries": [asdict(item) for item in items], "kept": [asdict(item) for item in directories]})
        return 0
    for item in items:
        state = "damaged" if item.damaged else "in use" if item.in_use else ""
        what = str(item.about.get("reference") or item.about.get("path") or "")
        _row(item.size, item.used, item.kind, item.key[:16], state, what)
    for one in directories:
        _row(one.size, one.used, "kept", "", "", one.path)
    total = sum(item.size for item in items) + sum(one.size for one in directories)
    print(f"{_entries(len(items) + len(directories))}, {_size(total)}")
    return 0


def _row(size: int, used: int, kind: str, key: str, state: str, what: str) -> None:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(used))
    print(f"{_size(size):>8}  {when}  {kind:<9}  {key:<16}  {state:<7}  {escape(what)}".rstrip())


def _verify(parsed: argparse.Namespace) -> int:
    from safeload.engine.cache import verified
    from safeload.engine.options import Options

    with waiting("hashing"):
        differences = verified(Options())
    if parsed.json:
        _dump({"differences": [asdict(difference) for difference in differences]})
    for difference in () if parsed.json else differences:
        place = f"{difference.kind}/{difference.key}: {difference.path}"
        print(f"{escape(place)}: {escape(difference.reason)}")
    if not differences and not parsed.json:
        print("everything is as it was recorded")
    return int(bool(differences))


def _prune(parsed: argparse.Namespace) -> int:
    from safeload.engine.cache import pruned
    from safeload.engine.options import Options

    done, directories = pruned(
        Options(),
        older_than=None if parsed.older_than is None else _quantity("--older-than", parsed.older_than, _SECONDS),
        max_size=None if parsed.max_size is None else _quantity("--max-size", parsed.max_size, _BYTES),
        everything=parsed.all,
    )
    if parsed.json:
        _dump({**asdict(done), "kept": [asdict(item) for item in directories]})
        return 0
    print(
        f"freed {_size(done.freed)}: {_entries(len(done.removed))}, and leftovers of {done.leftovers} ended processes"
    )
    if done.kept_in_use:
        print(f"kept {_entries(len(done.kept_in_use))}, because running processes use them")
    return 0


def _entries(number: int) -> str:
    return f"{number:,} {'entry' if number == 1 else 'entries'}"


def _quantity(option: str, text: str, units: dict[str, int]) -> int:
    match = re.fullmatch(r"(\d{1,15})\s*([A-Za-z]*)", text)
    if match is None or match[2] not in units:
        names = ", ".join(f"7{unit}" for unit in units if unit)
        raise UsageError(f"{option} {escape(text)!r} is not understood", why=f"it is written like {names}")
    return int(match[1]) * units[match[2]]


def _size(number: int) -> str:
    from safeload.reporters.terminal import size

    return size(number)


def _dump(data: dict[str, object]) -> None:
    from safeload.reporters.json import dump

    dump({"schema": "safeload.cache/1", **data}, sys.stdout)
