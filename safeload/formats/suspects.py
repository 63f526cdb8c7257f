"""Whether a text could hold what `within_text` looks for: a first, cheap look, as nearly all texts do not."""

from __future__ import annotations

import itertools
import re
from typing import Any

from safeload.later import Later

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
# Each search begins with few characters of its own, so that `re` passes over all others at once.
_SPELLING = (
    r"(?:gA[A-X]|e[AFJN]|H4sI|Qlp|/Td6|UEsD|KLUv|BCJN|Y[123]|K[CFGH]|4w|Yw|Z0F|80(?=0[0-5])|63(?=[5-7])|28(?=[4-7])"
    r"|1[fF]8[bB]08|78(?:9[cC]|[dD][aA])|504[bB]0304)[A-Za-z0-9+/_-]{20}"
)
_FIRST_SPELLED = Later(_SPELLING)
_THEN_SPELLED = Later(f"[^A-Za-z0-9+/_-]{_SPELLING}")
_NUMBERS = frozenset({int, float, bool, type(None)})
"""What documents hold most, and no text is in."""
NATIVE = (".so", ".dll", ".dylib", ".pyd")
"""Ends of names of native code, which a program could load."""
_A_GATE = "|".join(rf"{gate}(?<![\w.]{gate})" for gate in _GATES)
_A_NAME = Later(f"(?:{_A_GATE})[.:/][A-Za-z_]")
_LIBRARY = Later(r"\.(?:so|dll|dylib|pyd)[\"']?(?:\s*$|[\s/>])", re.MULTILINE)


_SHORT = Later(rf"(?m)^(?:(?:{'|'.join(_GATES)})[.:/][A-Za-z_]\w*|[^\s'\"]*__import__\s?\(.*)$")
"""Words of a long list that name what runs code; one look at all of them costs less than one at each."""


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
            short = "\n".join([item for item in value if type(item) is str and len(item) < _SPELLED])
            found.extend([found[0] for found in itertools.islice(_SHORT.finditer(short), _VOCABULARY)])
        elif kind is list:
            waiting.extend(value)
        elif kind is str and len(value) >= _SHORTEST and _suspect(value):
            found.append(value)
    return found


def _suspect(value: str) -> bool:
    if len(value) >= _SPELLED and (value.startswith(_BEGINS) or "base64" in value or _spells(value)):
        return True
    if value.endswith(NATIVE) or ("(" in value and any(call in value for call in _CALLS)):
        return True
    return value.startswith(_NAMED) or ("{" in value and any(word in value for word in _REACHES))


def suspect_text(text: str, *, prose: bool) -> bool:
    """Whether a text deserves a second look; prose only for what no sentence could say."""
    if _spells(text):
        return True
    return not prose and (_names(text) or ("{" in text and any(word in text for word in _REACHES)) or "eval(" in text)


def _spells(text: str) -> bool:
    """Whether something in it is spelled as pickles and what is compressed are in base64 or hexadecimal."""
    return _FIRST_SPELLED.match(text) is not None or _THEN_SPELLED.search(text) is not None


def _names(text: str) -> bool:
    """Whether it names what a module that runs code has, or native code at the end of a line."""
    if "__import__" in text or any(_library(text, found.start()) for found in _LIBRARY.finditer(text)):
        return True
    return _A_NAME.search(text) is not None


def _library(text: str, dot: int) -> bool:
    return dot > 0 and (text[dot - 1].isalnum() or text[dot - 1] == "_")


def steers_in(text: str) -> bool:
    """Whether a text could name what a program imports, or Python's tags of YAML."""
    return any(word in text for word in _SETTINGS)


_SETTINGS = ("_target_", "class_path", "loader_module", "auto_map", "!!python/", "yaml.org,2002:python/")
