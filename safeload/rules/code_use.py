"""What the rules about code share: which uses of names they look at, and how they show them.

These rules look at `Facts` of Python source, which only an audit reads; a scan says no more than that code is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from safeload.core.finding import Finding, Severity
from safeload.core.names import GlobalName, Location, escape
from safeload.formats.base import Part
from safeload.formats.python.facts import Facts, Kind, Use, When
from safeload.formats.python.reading import read_facts
from safeload.rules.base import Check, Context, Rule
from safeload.rules.catalogue import ability, is_stdlib

_WHEN = {
    When.IMPORT: "as soon as it is imported",
    When.CALL: "when it is called",
    When.NEVER: "only when run as a program",
}
_LINES = 4
"""Names that one finding lists; a line rarely has more."""


def words(text: str) -> frozenset[str]:
    """Names written one after the other, so that long lists stay readable."""
    return frozenset(text.split())


GATES = words(
    "os sys subprocess shutil socket builtins importlib ctypes pickle marshal posix pty runpy tempfile multiprocessing"
)
"""Modules from which everything can be reached. Others import them, so that they are found as attributes of those."""

Chosen = Callable[[Use], bool]


def reaches(use: Use, names: frozenset[str], methods: frozenset[str] = frozenset()) -> bool:
    """Whether the use is of one of these names, of anything within one, or of what has such a name anywhere."""
    if use.kind is Kind.IMPORT:
        return False
    for name in _spellings(use.name.replace("()", "")):
        while name:
            if name in names:
                return True
            name = name.rpartition(".")[0]
    return use.name.rpartition(".")[2] in methods and use.name not in _NAMESAKES


_NAMESAKES = frozenset({"platform.system"})
"""Harmless functions that have the name of another."""


def catalogued(use: Use, *what: str) -> bool:
    """Whether the catalogue of dangerous callables says so of something in an installed library.

    Of the standard library it is asked about modules that models hardly use; its list is coarse for the others.
    """
    if use.kind is Kind.IMPORT or not use.name or "()" in use.name:
        return False
    module, _, name = use.name.rpartition(".")
    rare = not is_stdlib(module) or module.partition(".")[0] not in _COMMON
    return bool(module) and rare and ability(GlobalName(module, name)) in what


_COMMON = words(
    """
    __future__ _collections_abc abc argparse array ast asyncio atexit base64 binascii bisect builtins bz2 calendar
    cmath codecs collections colorsys concurrent configparser contextlib contextvars copy copyreg csv ctypes
    dataclasses datetime decimal difflib enum fnmatch fractions functools gc getpass glob gzip hashlib heapq hmac
    html http importlib inspect io itertools json keyword linecache locale logging lzma marshal math mimetypes mmap
    multiprocessing ntpath numbers operator os pathlib pickle pickletools pkgutil platform posix posixpath pprint
    queue random re reprlib secrets select shelve shutil signal socket sqlite3 ssl stat statistics string stringprep
    struct subprocess symtable sys tempfile textwrap threading time token tokenize traceback types typing
    typing_extensions unicodedata urllib uuid warnings weakref xmlrpc zipfile zipimport zlib zoneinfo tarfile
    html.parser getopt graphlib errno _thread
    """
)
"""Modules of the standard library that models use, or of which the rules name what matters."""


def rarely_used(use: Use) -> bool:
    """Whether it is a part of the standard library that is in nobody's list."""
    return use.kind is not Kind.IMPORT and is_stdlib(use.name) and use.name.partition(".")[0].lstrip("_") not in _COMMON


def _spellings(name: str) -> Iterator[str]:
    """The name, and that of the module it really comes from: `torch.os.system` is `os.system`."""
    yield name
    if name[:1] == "_" != name[1:2]:
        yield name[1:]  # `_socket`, `_pickle`, `_ctypes`: the same in C
    parts = name.split(".")
    for i in range(1, len(parts)):
        if (part := parts[i].strip("_")) in GATES:  # `random._os` as well
            yield ".".join((part, *parts[i + 1 :]))


def checking(chosen: Chosen, deed: str) -> Check:
    """A check that gives one finding for each line with a chosen use: what it does, and when."""

    def check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
        if isinstance(part, Facts):
            yield from by_line(rule, part, filter(chosen, part.uses), deed)

    return check


def by_line(rule: Rule, facts: Facts, uses: Iterable[Use], deed: str) -> Iterator[Finding]:
    lines: dict[int, list[Use]] = {}
    for use in uses:
        lines.setdefault(use.line, []).append(use)
    for line, here in sorted(lines.items()):
        names = sorted(dict.fromkeys(use.name for use in here), key=len, reverse=True)[:_LINES]
        when = min((use.when for use in here), key=list(_WHEN).index)
        text = f"{deed} {_WHEN[when]}: {', '.join(escape(name, 80) for name in names)}"
        inside = next((use.inside for use in here if use.inside), "")
        if inside == "?":
            text += ", in a text, if somebody executes it"
        elif inside:
            text += f", in a text that {inside} executes"
        yield at_line(rule, facts, line, text, severity=_louder(rule.severity, when))


def at_line(rule: Rule, facts: Facts, line: int, text: str, *, severity: Severity | None = None) -> Finding:
    """A finding at a line, with the line itself as evidence."""
    here = facts.location
    where = Location(here.file, here.member, None, f"line {line}")
    shown = facts.source.line(line).strip()
    return rule.finding(where, text, severity=severity, evidence=(escape(shown, 200),) if shown else ())


def _louder(severity: Severity, when: When) -> Severity:
    """What happens at import happens to everybody; what needs `python file.py`, to nobody who loads a model."""
    if when is When.IMPORT:
        return Severity(min(severity + 1, Severity.CRITICAL))
    return Severity.NOTE if when is When.NEVER else severity


def example(source: str) -> Facts:
    """A small source for the examples of rules; it is read, never run."""
    return read_facts(source.encode(), Location("modeling_example.py"))
