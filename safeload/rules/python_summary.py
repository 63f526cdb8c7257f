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
_ACTS = {
    what: re.compile(rf"(?<![\w.])(?:{calls})\s*\(" if what != "installs packages" else calls)
    for what, calls in {
        "runs commands": r"os\.(?:system|popen|exec\w*|spawn\w*|fork)|subprocess\.\w+|pty\.spawn",
        "runs code it makes": r"exec|eval|compile|__import__|(?:importlib\.)?import_module",
        "unpickles": r"(?:c?[pP]ickle|dill|cloudpickle|joblib|marshal|shelve)\.(?:loads?|open|Unpickler)",
        "loads native code": r"ctypes\.\w+|cffi\.\w+|torch\.ops\.load_library|(?:\w+\.)*cpp_extension\.load\w*",
        "opens connections": r"socket\.\w+|(?:urllib\.request\.)?url(?:open|retrieve)|(?:requests|httpx|aiohttp)\.\w+",
        "deletes or changes files": r"shutil\.(?:rmtree|move|copy\w*)|os\.(?:remove|unlink|rename|chmod)",
        "installs packages": r"\bpip\.main\s*\(|[\"']pip[\"']\s*,\s*[\"']install[\"']|\bpip3? install ",
        "decodes hidden text": r"base64\.\w*decode\w*|codecs\.decode|bytes\.fromhex|zlib\.decompress",
    }.items()
}
_LONGEST = 1 << 20
_NAMED = 12


def summary(source: bytes) -> tuple[list[str], list[str]]:
    """What the source does, and the packages it imports; each in the order of the tables above and of the text."""
    text = source[:_LONGEST].decode("utf-8", "replace")
    code = _STRING.sub(lambda found: " " if found[0].startswith("#") else '""', text)
    does = [what for what, pattern in _ACTS.items() if pattern.search(text if what == "installs packages" else code)]
    return does, list(dict.fromkeys(_imports(code)))[:_NAMED]


def _imports(code: str) -> Iterator[str]:
    for found in _IMPORT.finditer(code):
        for name in (found[1] or found[2]).split(","):
            top = name.split()[0].partition(".")[0] if name.split() else ""
            if top:
                yield top
