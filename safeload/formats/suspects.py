"""Whether a text could hold what `within_text` looks for: a first, cheap look, as nearly all texts do not."""

from __future__ import annotations

import re
from typing import Any

_SHORTEST = 4
_VOCABULARY = 1_000
"""Texts in one list that are words: only long ones among them are looked at."""
_SPELLED = 24
_BEGINS = (
    *(
        "gA",
        "eA",
        "eF",
        "eJ",
        "eN",
        "H4sI",
        "Qlp",
        "/Td6",
        "UEsD",
        "KLUv",
        "BCJN",
        "Y1",
        "Y2",
        "Y3",
        "4w",
        "Yw",
        "Z0F",
        "63",
        "28",
    ),
    *("KC", "KF", "KG", "KH", "800", "1f8b08", "1F8B08", "789c", "789C", "78da", "78DA", "504b0304", "504B0304"),
)
_GATES = (
    *("os", "posix", "nt", "subprocess", "builtins", "__builtin__", "importlib", "pty", "runpy", "ctypes", "pickle"),
    *("marshal", "_posixsubprocess"),
)
_NAMED = tuple(gate + mark for gate in _GATES for mark in ".:/")
_CALLS = ("__import__", "os.", "subprocess.", "eval", "exec", "pty.", "import_module")
_REACHES = ("__", "attr", "lipsum", "cycler", "joiner", "_Template")
_ANYWHERE = re.compile(
    r"(?<![A-Za-z0-9+/_-])(?:gA[A-X]|e[AFJN]|H4sI|Qlp|/Td6|UEsD|KLUv|BCJN|Y[123]|K[CFGH]|4w|Yw|Z0F|80(?=0[0-5])|63(?=[5-7])|28(?=[4-7])"
    r"|1[fF]8[bB]08|78(?:9[cC]|[dD][aA])|504[bB]0304)[A-Za-z0-9+/_-]{20}"
)
_NUMBERS = frozenset({int, float, bool, type(None)})
"""What documents hold most, and no text is in."""
NATIVE = (".so", ".dll", ".dylib", ".pyd")
"""Ends of names of native code, which a program could load."""
_NAMES = re.compile(
    rf"(?<![\w.])(?:{'|'.join(_GATES)})[.:/][A-Za-z_]|__import__|\w\.(?:so|dll|dylib|pyd)[\"']?\s*$", re.MULTILINE
)


def suspect_values(data: Any) -> list[str]:
    """The values of a JSON document that deserve a second look. Keys do not: vocabularies have a million."""
    found: list[str] = []
    waiting: list[Any] = [data]
    while waiting:
        value = waiting.pop()
        kind = type(value)
        if kind is dict:
            if not _NUMBERS.issuperset(map(type, value.values())):
                waiting.extend([child for child in value.values() if type(child) is not int])
        elif kind is list and _NUMBERS.issuperset(map(type, value)):
            continue
        elif kind is list and len(value) > _VOCABULARY:
            waiting.extend([item for item in value if type(item) is not str or len(item) >= _SPELLED])
        elif kind is list:
            waiting.extend(value)
        elif kind is str and len(value) >= _SHORTEST and _suspect(value):
            found.append(value)
    return found


def _suspect(value: str) -> bool:
    if len(value) >= _SPELLED and (value.startswith(_BEGINS) or "base64" in value or _ANYWHERE.search(value)):
        return True
    if value.endswith(NATIVE) or ("(" in value and any(call in value for call in _CALLS)):
        return True
    return value.startswith(_NAMED) or ("{" in value and any(word in value for word in _REACHES))


def suspect_text(text: str, *, prose: bool) -> bool:
    """Whether a text deserves a second look; prose only for what no sentence could say."""
    if _ANYWHERE.search(text):
        return True
    return not prose and (
        _NAMES.search(text) is not None or ("{" in text and any(word in text for word in _REACHES)) or "eval(" in text
    )


def steers_in(text: str) -> bool:
    """Whether a text could name what a program imports, or Python's tags of YAML."""
    return any(word in text for word in _SETTINGS)


_SETTINGS = ("_target_", "class_path", "loader_module", "auto_map", "!!python/", "yaml.org,2002:python/")
