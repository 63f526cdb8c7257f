"""Baselines: findings that are known already, in a file, so that a scan fails only for new ones.

A finding is recognised by its fingerprint: rule, status, file name, place by name, and words; not by byte offsets, so
that a file written again with more weights keeps its known findings. What may not be known by words alone:

1. A dangerous finding is never in a baseline. It takes a suppression, by hand, with a reason and a digest.
2. An undecided one, one about a file as a whole (there is Python code), and one whose words were cut short, is known
   only of the very bytes it was found in: the entry holds their digest. Its words would be the same about other bytes.
3. A fingerprint is known as often as it was found: one more of the same is new.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from safeload.core.errors import ConfigError, SourceError
from safeload.core.finding import FileReport, Finding, Report, Status
from safeload.core.names import Location, escape
from safeload.engine.scanning.naming import Names

SCHEMA = "safeload.baseline/1"
_LARGEST = 1 << 26
_CUT = "…"
"""What stands for the rest of a text that is too long to be shown."""


def fingerprint(name: str, finding: Finding) -> str:
    """The stable identity of a finding in a file of that name: 64 hexadecimal digits."""
    place = finding.location
    words = [SCHEMA, finding.rule, str(finding.status), name, place.member, place.path, finding.message]
    import hashlib
    import json

    spelled = json.dumps([*words, *finding.evidence], ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(spelled.encode("ascii")).hexdigest()


def _key(name: str, file: FileReport, finding: Finding) -> tuple[str, str] | None:
    """What a baseline knows a finding by; `None` if no baseline may hold it."""
    if finding.status in (Status.SAFE, Status.DANGEROUS):
        return None
    place = finding.location
    bound = finding.status is Status.UNDECIDED or (place.member, place.offset, place.path) == (None, None, None)
    bound = bound or any(_CUT in text for text in (finding.message, *finding.evidence))
    if bound and file.sha256 is None:
        return None
    return fingerprint(name, finding), (file.sha256 or "") if bound else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """Known findings: how often each was found, and in which file."""

    folder: str
    """Names are relative to the folder of the baseline's file."""
    known: Counter[tuple[str, str]] = field(default_factory=Counter)
    files: dict[tuple[str, str], str] = field(default_factory=dict)

    def recognise(self, report: Report) -> tuple[set[tuple[str, Finding]], set[tuple[str, str]]]:
        """The findings of a report that are known, as `(path, finding)`; and the entries that knew them."""
        names, left = Names(self.folder), Counter(self.known)
        found: set[tuple[str, Finding]] = set()
        used: set[tuple[str, str]] = set()
        for file in report.files:
            name = names.of(report.target, file.path)
            for finding in dict.fromkeys(file.findings):
                key = _key(name, file, finding)
                if key is not None and left[key] > 0:
                    left[key] -= 1
                    used.add(key)
                    found.add((file.path, finding))
        return found, used


def written(reports: Iterable[Report], folder: str, leave: set[tuple[str, str, Finding]]) -> tuple[str, int]:
    """The text of a baseline of all findings that it may hold, without those in `leave` (target, path, finding);
    and how many it holds."""
    names = Names(folder)
    entries: dict[tuple[str, str], dict[str, object]] = {}
    for report in reports:
        counted: Counter[tuple[str, str]] = Counter()
        for file in report.files:
            name = names.of(report.target, file.path)
            for finding in dict.fromkeys(file.findings):
                key = _key(name, file, finding)
                if key is None or (report.target, file.path, finding) in leave:
                    continue
                counted[key] += 1
                entries[key] = {
                    "fingerprint": key[0],
                    "count": max(counted[key], int(str(entries.get(key, {}).get("count", 0)))),
                    "file": name,
                    "sha256": key[1] or None,
                    "rule": finding.rule,
                    "message": finding.message,
                }
    rows = sorted(entries.values(), key=lambda row: (str(row["file"]), str(row["rule"]), str(row["fingerprint"])))
    import json

    text = json.dumps({"schema": SCHEMA, "findings": rows}, indent=1, ensure_ascii=True) + "\n"
    return text, len(rows)


def read_baseline(path: str) -> Baseline:
    """The baseline in a file that `written` made.

    Raises:
        SourceError: the file cannot be read.
        ConfigError: it is no such file; `where` names the place in it.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise SourceError(
            "the baseline was not read",
            where=Location(path),
            why=error.strerror or "it cannot be opened",
            remedy="safeload scan … --write-baseline FILE",
        ) from error
    baseline = Baseline(folder=os.path.dirname(os.path.abspath(path)))
    for index, row in enumerate(_rows(data, path)):
        place = Location(path, path=f"findings[{index}]")
        if not isinstance(row, dict):
            raise _wrong(place, "it is not an object")
        known, count, name, digest = (row.get(key) for key in ("fingerprint", "count", "file", "sha256"))
        if not (isinstance(known, str) and isinstance(name, str) and (digest is None or isinstance(digest, str))):
            raise _wrong(place, "fingerprint, file or sha256 is no text")
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise _wrong(place, "count is no number of findings")
        key = (known, digest or "")
        if key in baseline.known:
            raise _wrong(place, "it stands there twice")
        baseline.known[key], baseline.files[key] = count, name
    return baseline


def _rows(data: bytes, path: str) -> list[object]:
    if len(data) > _LARGEST:
        raise _wrong(Location(path), f"it has more than {_LARGEST:,} bytes")
    try:
        import json

        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _wrong(Location(path), f"it is no JSON: {escape(str(error), 200)}") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise _wrong(Location(path, path="schema"), f"it is not {SCHEMA}")
    rows = document.get("findings")
    if not isinstance(rows, list):
        raise _wrong(Location(path, path="findings"), "it is no list")
    return rows


def _wrong(place: Location, why: str) -> ConfigError:
    return ConfigError(
        "the baseline was not used", where=place, why=why, remedy="write it anew: safeload scan … --write-baseline FILE"
    )
