"""What steers a program in a YAML file: its tags, and the values of certain keys. Found without parsing YAML.

Parsers of YAML differ (1.1 and 1.2, flow and block, tabs, anchors), and a parser of ours would differ from them too.
This scanner over-approximates all of them instead: whatever could be a tag is one, and whatever could be a wanted key
is one, wherever it stands. Only lines that are comments in every parser are left out. Decision 0008.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from urllib.parse import unquote

from safeload.core.errors import LimitExceeded
from safeload.formats.inside import Overdrawn

_BREAK = "\n\r\x85\u2028\u2029"
"""What ends a line for some parser."""
_COMMENT = re.compile(rf"(?:(?<=[{_BREAK}])|\A)[ \t]*#[^{_BREAK}]*")
_TAG = re.compile(rf"(?<![^\s\[\]{{}},:?\-\"'{_BREAK}])!(?:<([^>\s]{{1,2000}})>|([^\s{{}}\"<>|]{{0,2000}}))")
_FLOW = re.compile(r"[,\[\]']")
"""What a tag may hold in YAML 1.1, and what ends it in YAML 1.2."""
_DIRECTIVE = re.compile(r"%TAG[ \t]+(!\w*!?)[ \t]+(\S{1,2000})")
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|[\r\n][ \t]*)")
_CORE = "tag:yaml.org,2002:"
_MOST = 10_000
"""Tags and values of one file that are told each time they stand there; and different ones of them."""
_NODE = re.compile(
    rf"""(?:[\s{_BREAK}]|\#[^{_BREAK}]*(?=[{_BREAK}])|[!&][^\s,\[\]{{}}]*(?=\s))*
    (?:"((?:[^"\\]|\\.){{0,4000}})"|'((?:[^']|''){{0,4000}})'|\*([^\s,\[\]{{}}]{{1,200}})|([^\s,\[\]{{}}\#][^,\]}}{_BREAK}\#]{{0,4000}}))""",
    re.VERBOSE | re.DOTALL,
)
_COLON = re.compile(rf"[\"']?(?:[\s{_BREAK}]|\#[^{_BREAK}]*(?=[{_BREAK}]))*:")


class Found(NamedTuple):
    """A tag (`key` is empty) or the value of a key, and where it stands."""

    key: str
    value: str
    offset: int


def scan(text: str, keys: Iterable[str]) -> Iterator[Found]:
    """Every tag, resolved to its full name, and the scalar that follows each of `keys`. Linear in the text.

    Raises:
        LimitExceeded: there is more text in block scalars, or more different tags or values, than anybody writes.
    """
    plain = _COMMENT.sub(lambda found: " " * len(found[0]), text)
    yield from _different(_tags(plain))
    yield from _different(_values(plain, tuple(keys)))


def _different(found: Iterable[Found]) -> Iterator[Found]:
    """The first ten thousand, and of the rest each that is not like one before.

    Raises:
        LimitExceeded: these are as many: whatever stands behind them stays unseen.
    """
    told: set[tuple[str, str]] = set()
    for number, one in enumerate(found):
        if number >= _MOST and (one.key, one.value) in told:
            continue
        told.add((one.key, one.value))
        if len(told) > _MOST:
            raise Overdrawn("nodes", f"it has more than {_MOST:,} different tags, or values of keys that steer")
        yield one


def _tags(text: str) -> Iterator[Found]:
    handles: dict[str, set[str]] = {"!!": {_CORE}, "!": {"!"}}
    for directive in _DIRECTIVE.finditer(text):
        handles.setdefault(directive[1], set()).add(unquote(directive[2]))
    for found in _TAG.finditer(text):
        for tag in _resolved(found, handles):
            if tag != "!":
                yield Found("", tag, found.start())


def _resolved(found: re.Match[str], handles: dict[str, set[str]]) -> Iterator[str]:
    """Every name that a tag may have: the same handle can be declared differently for each document."""
    if found[1] is not None:
        yield unquote(found[1])
        return
    for rest in dict.fromkeys((found[2], _FLOW.split(found[2])[0])):
        end = rest.find("!")
        handle, suffix = (f"!{rest[: end + 1]}", rest[end + 1 :]) if end >= 0 else ("!", rest)
        for prefix in sorted(handles.get(handle, {handle})):
            yield prefix + unquote(suffix)


def _values(text: str, keys: tuple[str, ...]) -> Iterator[Found]:
    if not keys:
        return
    wanted = re.compile(rf"(?<![\w.\-])(?:{'|'.join(map(re.escape, sorted(keys, key=len, reverse=True)))})(?![\w.\-])")
    versions = [text]
    if _ESCAPE.search(text):
        versions.append(_ESCAPE.sub(_character, text))
    anchors: dict[str, str] = {}
    told: set[tuple[str, str]] = set()
    left = _BLOCK_BYTES
    yield from _by_alias(text, keys)
    for version in versions:
        for key in wanted.finditer(version):
            colon = _COLON.match(version, key.end())
            value = _NODE.match(version, colon.end()) if colon else None
            if value is None:
                continue
            scalar = _scalar(value)
            if scalar.startswith(_BLOCKS):
                block = _block(version, key.start(), value.end(), left)
                left -= len(block)
                scalar = block or scalar
            if value[3] is not None:
                anchors = anchors or _anchors(version)
                scalar = anchors.get(value[3], f"*{value[3]}")
            if version is text or (key[0], scalar) not in told:
                told.add((key[0], scalar))
                yield Found(key[0], scalar, key.start())


_BLOCKS = ("|", ">")


def _block(text: str, key: int, end: int, left: int) -> str:
    """A block scalar: the lines after its mark that are indented deeper than the line of its key, or empty.

    Raises:
        LimitExceeded: it is longer than what is `left` for blocks.
    """
    line = _LINE.match(text, end)
    first = _INDENT.match(
        text, max(0, *(text.rfind(mark, key - _WIDE if key > _WIDE else 0, key) + 1 for mark in _BREAK))
    )
    indent = len(first[0]) if first else 0
    begin = at = line.end() if line else end
    while at < len(text) and (line := _LINE.match(text, at)) is not None:
        bare = line[0].strip()
        if bare and len(line[0]) - len(line[0].lstrip(" ")) <= indent:
            break
        at = line.end()
        if at - begin > left:
            raise LimitExceeded("text_bytes", allowed=_BLOCK_BYTES, wanted=_BLOCK_BYTES + 1)
    return text[begin:at].strip()


_BLOCK_BYTES = 1 << 24
"""Characters of all block scalars of a file together: they may lie within each other."""
_LINE = re.compile(rf"[^{_BREAK}]*(?:\r\n|[{_BREAK}]|\Z)")
_WIDE = 1 << 12
_INDENT = re.compile(r"[ ]*")


def _anchors(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for anchor in re.finditer(r"&([^\s,\[\]{}]{1,200})\s", text):
        if value := _NODE.match(text, anchor.end()):
            found[anchor[1]] = _scalar(value)
        if len(found) > _MOST:
            break
    return found


def _by_alias(text: str, keys: tuple[str, ...]) -> Iterator[Found]:
    """Values of keys that are written as an alias of an anchored text: `*k : value`."""
    if "*" not in text or "&" not in text:
        return
    names = {name: value for name, value in _anchors(text).items() if value in keys}
    for alias in _ALIAS.finditer(text) if names else ():
        colon = _COLON.match(text, alias.end())
        value = _NODE.match(text, colon.end()) if alias[1] in names and colon else None
        if value is not None:
            yield Found(names[alias[1]], _scalar(value), alias.start())


_ALIAS = re.compile(r"\*([^\s,\[\]{}]{1,200})")


def _scalar(node: re.Match[str]) -> str:
    double, single, _, plain = node.groups()
    if double is not None:
        return _ESCAPE.sub(_character, double)
    return single.replace("''", "'") if single is not None else (plain or "").strip()


def _character(found: re.Match[str]) -> str:
    code = found[1] or found[2] or found[3]
    return chr(int(code, 16)) if code and int(code, 16) < 0x110000 else ""
