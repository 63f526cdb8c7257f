"""The code reads files."""

from __future__ import annotations

from collections.abc import Iterable

from safeload.core.finding import Confidence, Severity, Status
from safeload.formats.base import Part
from safeload.formats.python.facts import Facts, Use
from safeload.rules.base import Rule
from safeload.rules.code_use import checking, example, reaches, words

_NAMES = words(
    """
    builtins.open io.open codecs.open gzip.open bz2.open lzma.open zipfile.ZipFile os.listdir os.scandir os.walk
    os.read glob linecache pathlib.Path.home os.path.expanduser numpy.fromfile numpy.loadtxt numpy.memmap
    """
)
_METHODS = words(
    """
    read_text read_bytes iterdir glob rglob get_data fromfile genfromtxt loadtxt read_csv read_table read_json
    """
)


def _chosen(use: Use) -> bool:
    return reaches(use, _NAMES, _METHODS)


def _bad() -> Iterable[Part]:
    yield example('text = open("vocab.txt").read()\n')
    yield example('from pathlib import Path\nprint(Path("x").read_text())\n')


def _good() -> Iterable[Part]:
    yield example('import os\nname = os.path.basename("a/b")\n')


RULE = Rule(
    id="code-file-read",
    title="the code reads files",
    why=(
        "Reading is what a tokenizer does with its vocabulary; it is also how secrets are found. The line "
        "shows which path is read, where it is written out."
    ),
    status=Status.UNVERIFIED,
    severity=Severity.LOW,
    confidence=Confidence.LIKELY,
    remedy="read the line; approve the code only if you know why it does that",
    taxonomy=("CWE-22",),
    check=checking(_chosen, "reads files"),
    bad=_bad,
    good=_good,
    looks_at=(Facts,),
)
