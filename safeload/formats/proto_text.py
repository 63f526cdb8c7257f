"""Graphs as text: protocol buffers in their text form, which TensorFlow, ONNX and Caffe load as well.

The text is cut into words and strings; what matters is which operator each field names, wherever it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from safeload.core.blob import Blob
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Claims, Format, Operator, Part, Text
from safeload.formats.plain_text import is_text, read_text

_SUFFIXES = (".pbtxt", ".prototxt", ".textproto", ".textpb", ".txtpb", ".onnxtxt", ".pbtext")
_FIRST = (b"node", b"graph_def", b"meta_graphs", b"meta_info_def", b"library", b"saved_model_schema_version")
_GRAPH = re.compile(rb"\s{0,64}(?:#[^\n]{0,500}\n\s{0,64}){0,20}(?:" + b"|".join(_FIRST) + rb")\s{0,8}[:{<]")
_TOKEN = re.compile(r"""#[^\n]*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[A-Za-z_][\w.]*|[^\s\w"'#]|[^\s"'#A-Za-z_]+""")
_ESCAPE = re.compile(r"\\([0-7]{1,3}|[xX][0-9A-Fa-f]{1,2}|u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_SETTINGS = 1 << 16
"""Characters of settings of a server; graphs are longer."""
_AWAY = re.compile(r"\.\.|://|/etc|/proc|sh\b|command", re.IGNORECASE)
_FIELDS = {"op": "tensorflow-text", "op_type": "onnx", "type": "caffe"}


def _read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    counts: dict[tuple[str, str], list[int]] = {}
    text = read_text(blob, location, limits)
    yield Text(location=location, text=text, role="prose")  # label maps and settings of servers hold no operator
    strings = list(_strings(text)) if len(text) < _SETTINGS else []
    if strings and (_AWAY.search(text) or "\\" in text):
        from safeload.formats.pointers import of_settings
        from safeload.formats.settings import Setting

        yield from of_settings((Setting(key, value, offset=at) for key, value, at in strings), location, lines=False)
    for key, value, at in strings or _strings(text):
        if (framework := _FIELDS.get(key)) is not None:
            counts.setdefault((framework, value), [0, at])[0] += 1
    for (framework, name), (count, offset) in counts.items():
        yield Operator(location=location.at(offset), framework=framework, name=name, count=count)


def _strings(text: str) -> Iterator[tuple[str, str, int]]:
    """`(field, text, offset)` of each text; strings that follow each other are one."""
    key, pieces, at = "", [""], -1
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token[0] in "\"'":
            if at < 0:
                pieces, at = [], match.start()
            pieces.append(_ESCAPE.sub(_unescape, token[1:-1]))
            continue
        if token[0] == "#":
            continue
        if at >= 0:
            yield key, "".join(pieces), at
            at = -1
        if token[0].isalpha() or token[0] == "_":
            key = token
    if at >= 0:
        yield key, "".join(pieces), at


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    if code[0] in "01234567":
        return chr(int(code, 8) & 0xFF)
    if code[0] in "xXu" and len(code) > 1:
        return chr(int(code[1:], 16))
    return _CONTROLS.get(code, code)


def _sniff(head: bytes, tail: bytes, size: int, name: str) -> bool:
    if not is_text(head, size):
        return False
    return name.lower().endswith(_SUFFIXES) or _GRAPH.match(head) is not None


FORMAT = Format(
    name="proto-text",
    title="a graph as text",
    suffixes=_SUFFIXES,
    sniff=_sniff,
    read=_read,
    claims=Claims(begins=_FIRST, first=b"# \t\n\r\v\f", named=_SUFFIXES),
)
