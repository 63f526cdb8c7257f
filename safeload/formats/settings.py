"""The settings of a configuration, in whatever language it is written: each key, and the text that stands there.

JSON is walked as it was parsed. Everything else (YAML, TOML, INI, properties, dotenv) is not parsed but read by its
lines, as parsers differ: whatever could be a key with a value is one. That finds more than there is, which is why
nothing becomes *dangerous* by a setting that was only guessed.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from safeload.formats.vocabularies import LONG, telling
from safeload.later import Later

_LONGEST = 16_000
"""Characters of a value that are looked at; and twice as many of a line."""
_WORDS = Later(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


class Setting(NamedTuple):
    """A text that stands under a key."""

    key: str
    """The nearest key above it."""
    value: str
    """The text, or the beginning of a very long one."""
    step: _Step | None = None
    above: str = ""
    """The key above that one, where it is known."""
    offset: int | None = None

    @property
    def path(self) -> str:
        """Where it stands: a JSON path, or the key alone. Spelled only for what is told."""
        spelled: list[str] = []
        one = self.step
        while one is not None:
            one, _, name = one
            spelled.append(name)
        return ".".join(reversed([name for name in spelled if name])).replace(".[", "[") or self.key


def one_of(words: str) -> frozenset[str]:
    """These words, as a set."""
    return frozenset(words.split())


@functools.lru_cache(maxsize=4_096)
def words_of(key: str) -> tuple[str, ...]:
    """The words that a key is made of: `preLaunchTask` and `pre-launch_task` are the same three."""
    return tuple(word.lower() for word in _WORDS.compiled.findall(key))


def of_document(data: Any, speaks: Callable[[str], bool] = bool) -> Iterator[Setting]:
    """Every text of a JSON document that stands under a key, at any depth. A list of texts is also told as one line.

    Args:
        data: the document.
        speaks: whether a key says what its texts are for. Long lists under any other are vocabularies, in which only
            texts are told that may be more than words; the same file name of many weights is told once.
    """
    waiting: list[tuple[_Step, Any]] = [((None, "", ""), data)]
    while waiting:
        step, value = waiting.pop()
        if isinstance(value, dict):
            program, arguments = value.get("command"), value.get("args")
            if isinstance(program, str) and isinstance(arguments, list):
                line = " ".join((program, *(item for item in arguments[:100] if isinstance(item, str))))
                yield _told((step, "command", "command"), line)
            items = _once(value) if step[1] == "weight_map" else value.items()
            waiting.extend(((step, key, key), child) for key, child in items if isinstance(child, (str, dict, list)))
        elif isinstance(value, list):
            texts = [item for item in value if isinstance(item, str)]
            if 1 < len(texts) <= 100 and len(texts) == len(value) and step[1]:
                yield _told(step, " ".join(texts))
            for index, child in telling(value) if len(value) > LONG and not speaks(step[1]) else enumerate(value):
                if isinstance(child, (str, dict, list)):
                    waiting.append(((step, step[1], f"[{index}]"), child))
        elif step[1] and value:
            yield _told(step, value)


def _once(weights: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    """The files of weights, once for each last word of a name: there are a hundred thousand names, and few files."""
    texts = {(key.rpartition(".")[2], file): key for key, file in weights.items() if isinstance(file, str)}
    yield from ((key, file) for (_, file), key in texts.items())
    yield from ((key, child) for key, child in weights.items() if not isinstance(child, str))


_Step = tuple["_Step | None", str, str]
"""The step above, the nearest key, and how the step itself is spelled."""


def _told(step: _Step, value: str) -> Setting:
    above = step[0]
    while above is not None and above[1] == step[1]:
        above = above[0]
    return Setting(step[1], value[:_LONGEST], step, above[1] if above else "")


_LINE = Later(
    r"[ \t]*+(?:-[ \t]++)*+(?:(?:export|set|ENV|ARG)[ \t]++)?+"
    r"(?:[\"']?(@?[\w(][\w.\-/@ ()]{0,80}?)[\"']?[ \t]*+(?:\?|\+|:)?[:=](?=[\s\"'\[{|>]|$|(?<==).)[ \t]*+)?(.*)"
)
_INLINE = Later(
    r"[\"']?([\w.\-@]{1,80})[\"']?[ \t]{0,8}[:=][ \t]{0,8}"
    r"(\"[^\"\n]{1,4000}\"|'[^'\n]{1,4000}'|\[[^\]\n]{1,4000}\]|[^\s,\[\]{}\"'][^,\[\]{}\n]{0,400})"
)
_ESCAPED = Later(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))")
_COMMENT = Later(r"[ \t]*[#;]|[ \t]*//")
_EMPTY = ("", "|", ">", "|-", ">-", "|+", ">+", "[", "{", '"""', "'''")


def of_lines(text: str) -> Iterator[Setting]:
    """Whatever could be a setting in a text of lines, in the order of the text. Linear in it."""
    offset, key, above = 0, "", ""
    for line in text.splitlines(keepends=True):
        start, offset = offset, offset + len(line)
        line = line.rstrip("\r\n")[: 2 * _LONGEST]
        if not line.strip() or _COMMENT.match(line):
            continue
        if line.lstrip().startswith("[") and line.rstrip().endswith("]") and "=" not in line:
            above = key = line.strip().strip("[]").strip("\"' ").rpartition(".")[2]
            continue
        if "\\" in line:
            line = _ESCAPED.sub(_character, line)
        found = _LINE.match(line)
        own = (found[1] or "").strip() if found else ""
        value = _bare(found[2] if found else line)
        if own and value in _EMPTY:
            above, key = key, own
            continue
        if value:
            yield Setting(own or key, value[:_LONGEST], None, key if own else above, start)
        if "{" in line or "[" in line:
            for inner in _INLINE.finditer(line):
                yield Setting(inner[1], _bare(inner[2]), None, own or key, start)


_LIST = Later(r"\"((?:[^\"\\]|\\.)*+)\"|'([^']*+)'|([^\s,\[\]]+)")


def _bare(value: str) -> str:
    """A value without quotes, trailing marks and tags; a list as one line."""
    value = re.sub(r"^[!&][^\s\"']*\s+", "", value.strip())
    if value.startswith("[") and value.endswith(("]", "],")):
        return " ".join(found[1] or found[2] or found[3] or "" for found in _LIST.finditer(value))
    if len(value) > 1 and value[0] in "\"'":
        end = value.find(value[0], 1)
        while value[0] == '"' and end > 0 and value[end - 1] == "\\":
            end = value.find(value[0], end + 1)
        if end > 0:
            return value[1:end].replace('\\"', '"')
    return re.split(r"\s#", value, maxsplit=1)[0].strip().rstrip(",").strip()


def _character(found: re.Match[str]) -> str:
    code = int(found[1] or found[2] or found[3], 16)
    return chr(code) if code < 0x110000 else ""
