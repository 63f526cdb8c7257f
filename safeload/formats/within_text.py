"""What any text may hold for a program that takes more from it: hidden pickles, templates, names of what runs code.

Libraries keep pickles in JSON as base64 (stable-baselines3), prompts are templates under any name, and programs import
what a setting of theirs names. None of it is known by its key, so it is looked for by what it is. Long texts of prose
are left alone where a sentence could say the same.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from safeload.core.blob import Blob, MemoryBlob
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.limits import Limits
from safeload.core.machine import read_pickle
from safeload.core.names import Location
from safeload.formats.base import Code, Part, PickleStream, Reference, Template
from safeload.formats.inside import Overdrawn
from safeload.formats.nested import nested_streams
from safeload.formats.pickle_head import calls_something
from safeload.formats.suspects import NATIVE
from safeload.formats.wrapped import is_packed, spelled, unpacked

_FLAT = 1_000
"""Characters of a value that could be a name or an expression; longer ones are prose."""
_HIDDEN = re.compile(
    rb"(?<![A-Za-z0-9+/_-])(?:gA[A-X]|e[AFJN]|H4sI|Qlp|/Td6|UEsD|KLUv|BCJN|Y[123]|K[CFGH]|4w|Yw|Z0F|80(?=0[0-5])|63(?=[5-7])|28(?=[4-7])"
    rb"|1[fF]8[bB]08|78(?:9[cC]|[dD][aA])|504[bB]0304)[A-Za-z0-9+/_-]{20,}(?:\s{1,80}[A-Za-z0-9+/_-]{4,}){0,100000}={0,2}"
)
"""Beginnings of pickles, of what is compressed and of marshalled code, as base64 and hexadecimal spell them."""
_MOST = 10_000
_BYTES = 1 << 24
"""Spelled texts of one file that are decoded, and their characters; honest files hold a few."""
_MARSHALLED = (b"\xe3", b"\x63")
_REACHES = re.compile(r"__[a-z]|\|\s{0,8}attr\b|\b(?:lipsum|cycler|joiner)\b|_TemplateReference")
_NEAR = 400
"""Characters of an expression of a template before what it reaches for."""
_GATES = r"(?:os|posix|nt|subprocess|builtins|__builtin__|importlib|pty|runpy|ctypes|pickle|marshal|_posixsubprocess)"
_NAMED = re.compile(rf"{_GATES}(?:[.:/][A-Za-z_]\w{{0,60}}){{1,4}}")
_EXPRESSION = re.compile(
    r"__import__\s{0,8}\(|\b(?:os\.(?:system|popen|exec[lv]\w{0,3}|spawn\w{0,3})|subprocess\.[A-Za-z_]{2,20}|pty\.spawn"
    r"|importlib\.import_module|(?:builtins\.)?(?:eval|exec)\s{0,8}\(\s{0,8}(?:compile|base64|bytes|input|open))\s{0,8}\("
)
_IMPORTS = re.compile(r"__import__\s{0,8}\(")
_BEGINS_WITHIN = 80
_BEFORE = re.compile(r"(?:\$\{[\w.]{1,40}:|lambda\b[^:]{0,40}:|\w{1,40}\(|[^\w\s])*\s{0,4}")
"""What stands before the call in an expression; sentences have words there."""
_LINE = re.compile("[^\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")
_CANDIDATE = re.compile(rf"{_GATES}[.:/]|__import__|eval|exec|\.(?:{'|'.join(end[1:] for end in NATIVE)})")
_LINES = 20_000
"""Different lines that could name something, of one text."""
_ATTRIBUTE = re.compile(r"=\s{0,8}[\"']([^\"'<>\s]{1,300}\.(?:so|dll|dylib|pyd))[\"']")
_VALUE = re.compile(r"[ \t]{0,80}(?:[-\w.\"' ]{1,80}[:=]|-)[ \t]{0,80}([^\s#][^\n\r]{1,400})")


def of_values(values: Iterable[str], location: Location, limits: Limits) -> Iterator[Part]:
    """What the suspect values of a document hold."""
    spent = _Spent()
    for value in values:
        if "{" in value and _reaches(value):
            yield Template(location=location, text=value)
        yield from _named(value, location)
        yield from _pickles(value, location, limits, spent)


def of_text(text: str, location: Location, limits: Limits, *, prose: bool) -> Iterator[Part]:
    """What a text holds; of prose only what no sentence could say."""
    yield from _pickles(text, location, limits, _Spent())
    if prose:
        return
    if _reaches(text):
        yield Template(location=location, text=text)
    if "<" in text:
        for named in itertools.islice(_ATTRIBUTE.finditer(text), 100):
            yield Reference(location=location, kind="mention", target=named[1])
    told: set[str] = set()
    for each in _LINE.finditer(text):
        line = each[0]
        if _CANDIDATE.search(line) is None or line in told:
            continue
        told.add(line)
        if len(told) > _LINES:
            raise Overdrawn("nodes", f"more than {_LINES:,} of its lines could name what runs code", location)
        if (found := _VALUE.match(line)) is not None:
            yield from _named(found[1].strip().strip("\"'"), location)
        yield from _named(line.strip(" \t-\"'"), location)


def _reaches(text: str) -> bool:
    """Whether a template in the text reaches for more than its variables."""
    for found in _REACHES.finditer(text):
        start, end = max(0, found.start() - _NEAR), found.start()
        opened = max(text.rfind("{{", start, end), text.rfind("{%", start, end))
        if opened >= 0 and opened > max(text.rfind("}}", start, end), text.rfind("%}", start, end)):
            return True
    return False


def _named(value: str, location: Location) -> Iterator[Part]:
    if len(value) > _FLAT:
        return
    if (value.endswith(NATIVE) and " " not in value) or _IMPORTS.search(value):
        yield Reference(location=location, kind="mention", target=value)
        return
    if "\n" in value:
        return
    named = _NAMED.fullmatch(value)
    called = _EXPRESSION.search(value, 0, _BEGINS_WITHIN) if "(" in value and not named else None
    if named or (called and _BEFORE.fullmatch(value, 0, called.start())):
        yield Reference(location=location, kind="mention", target=re.sub("[:/]", ".", value) if named else value)


class _Spent:
    def __init__(self) -> None:
        self.texts = 0
        self.bytes = 0


def _pickles(text: str, location: Location, limits: Limits, spent: _Spent) -> Iterator[Part]:
    """Pickles that act, and marshalled code, among what the text spells in base64 or hexadecimal.

    Raises:
        LimitExceeded: there is more of it than anybody writes, or reading it costs too much.
    """
    if len(text) < 24:
        return
    for found in _HIDDEN.finditer(text.encode("utf-8", "replace")):
        spent.texts += 1
        spent.bytes += len(found[0])
        if spent.texts > _MOST or spent.bytes > _BYTES:
            raise LimitExceeded("text_bytes", allowed=_BYTES, wanted=_BYTES + 1, where=location)
        whole = found[0]
        for token in dict.fromkeys((whole, whole.split(None, 1)[0])):
            parts = list(_decoded(token, location, limits))
            yield from parts
            if parts:
                break


def _decoded(token: bytes, location: Location, limits: Limits) -> Iterator[Part]:
    for plain in spelled(MemoryBlob(token), 0, len(token), location):
        head = plain.read_at(0, 262)
        if head.startswith(_MARSHALLED) and len(head) > 30 and head[1:4].count(0) >= 1 and head[5:30].count(0) > 8:
            yield Code(location=location, language="marshalled", source=plain.read_at(0, plain.size))
        elif is_packed(head):
            yield from _unpacked(plain, location, limits)
        else:
            reading = read_pickle(plain, location=location, limits=limits)
            if calls_something(reading):
                yield PickleStream(location=location, reading=reading, role="nested")
                yield from nested_streams(reading, location, limits)


def _unpacked(plain: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    """Only pickles that act: what else is compressed in a text is nobody's model."""
    try:
        found = list(unpacked(plain, 0, location, replace(limits)))
    except LimitExceeded:
        raise
    except MalformedInput:
        return  # it only begins like one
    if any(isinstance(part, PickleStream) and calls_something(part.reading) for part in found):
        yield from found
