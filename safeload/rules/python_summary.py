"""What Python source reaches for, in a few words: imports that act, and calls that run, fetch or unpickle.

A summary to read by, not an audit: it looks at words, not at meaning, and whoever wants to hide from it can.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_STRING = re.compile(
    r"'''(?:[^\\]|\\.)*?'''|\"\"\"(?:[^\\]|\\.)*?\"\"\"|'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"|#[^\n]*", re.DOTALL
)
_IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import|import[ \t]+([\w., \t]+))", re.MULTILINE)
_CALL = re.compile(r"(?<![\w.])([^\W\d][\w.]*)[ \t]*\(")
_ACTS = {
    "runs commands": re.compile(r"os\.(?:system|popen|exec\w*|spawn\w*|fork)|subprocess\.\w+|pty\.spawn"),
    "runs code it makes": re.compile(r"exec|eval|compile|__import__|(?:importlib\.)?import_module"),
    "unpickles": re.compile(r"(?:c?[pP]ickle|dill|cloudpickle|joblib|marshal|shelve)\.(?:loads?|open|Unpickler)"),
    "loads native code": re.compile(r"(?:ctypes|cffi)\.\w+|torch\.ops\.load_library|[\w.]*cpp_extension\.load\w*"),
    "opens connections": re.compile(
        r"(?:socket|requests|httpx|aiohttp)\.\w+|(?:urllib\.request\.)?url(?:open|retrieve)"
    ),
    "deletes or changes files": re.compile(r"shutil\.(?:rmtree|move|copy\w*)|os\.(?:remove|unlink|rename|chmod)"),
    "decodes hidden text": re.compile(r"base64\.\w*decode\w*|codecs\.decode|bytes\.fromhex|zlib\.decompress"),
}
_INSTALL = re.compile(r"[\"']pip[\"']\s*,\s*[\"']install[\"']|\bpip3? install ")
_LONGEST = 1 << 20
_NAMED = 12


def summary(source: bytes) -> tuple[list[str], list[str]]:
    """What the source does, and the packages it imports; each in the order of the tables above and of the text."""
    text = source[:_LONGEST].decode("utf-8", "replace")
    code = _STRING.sub(lambda found: " " if found[0].startswith("#") else '""', text)
    called = set(_CALL.findall(code))
    does = [what for what, names in _ACTS.items() if any(map(names.fullmatch, called))]
    if "pip.main" in called or _INSTALL.search(text):
        does.append("installs packages")
    return does, list(dict.fromkeys(_imports(code)))[:_NAMED]


def _imports(code: str) -> Iterator[str]:
    for found in _IMPORT.finditer(code):
        for name in (found[1] or found[2]).split(","):
            top = name.split()[0].partition(".")[0] if name.split() else ""
            if top:
                yield top
