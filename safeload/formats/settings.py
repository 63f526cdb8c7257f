"""The settings of a configuration, in whatever language it is written: each key, and the text that stands there.

JSON is walked as it was parsed. Everything else (YAML, TOML, INI, properties, dotenv) is not parsed but read by its
lines, as parsers differ: whatever could be a key with a value is one. That finds more than there is, which is why
nothing becomes *dangerous* by a setting that was only guessed.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

_MOST = 100_000
"""Settings of one file that are looked at; beyond them it is data."""
_LONGEST = 16_000
"""Characters of a value that could steer a program; longer ones are texts, which others look at."""
_VOCABULARY = 1_000
"""Texts in one list that are words of a vocabulary, and no settings, as long as they are short:"""
_SPELLED = 16
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


class Setting(NamedTuple):
    """A text that stands under a key."""

    key: str
    """The nearest key above it."""
    value: str
    path: str
    """Where it stands: a JSON path, or the key alone."""
    above: str = ""
    """The key above that one, where it is known."""
    offset: int | None = None


def one_of(words: str) -> frozenset[str]:
    """These words, as a set."""
    return frozenset(words.split())


def words_of(key: str) -> tuple[str, ...]:
    """The words that a key is made of: `preLaunchTask` and `pre-launch_task` are the same three."""
    return tuple(word.lower() for word in _WORDS.findall(key))


def of_document(data: Any) -> Iterator[Setting]:
    """Every text of a JSON document that stands under a key, at any depth. A list of texts is also told as one line."""
    waiting: list[tuple[_Step, Any]] = [((None, "", ""), data)]
    left = _MOST
    while waiting and left > 0:
        step, value = waiting.pop()
        if isinstance(value, dict):
            program, arguments = value.get("command"), value.get("args")
            if isinstance(program, str) and isinstance(arguments, list):
                line = " ".join((program, *(item for item in arguments[:100] if isinstance(item, str))))
                yield _told((step, "command", "command"), line[:_LONGEST])
            for key, child in value.items():
                if isinstance(child, (str, dict, list)):
                    waiting.append(((step, key, key), child))
                left -= isinstance(child, (str, dict, list))
        elif isinstance(value, list):
            texts = [item for item in value[:_MOST] if isinstance(item, str)]
            if 1 < len(texts) <= 100 and len(texts) == len(value) and step[1]:
                yield _told(step, " ".join(texts)[:_LONGEST])
            words = len(texts) > _VOCABULARY
            for index, child in enumerate(value[:_MOST]):
                if words and isinstance(child, str) and len(child) < _SPELLED and ".." not in child:
                    continue
                if isinstance(child, (str, dict, list)):
                    waiting.append(((step, step[1], f"[{index}]"), child))
                    left -= 1
        elif step[1] and 0 < len(value) <= _LONGEST:
            yield _told(step, value)


_Step = tuple["_Step | None", str, str]
"""The step above, the nearest key, and how the step itself is spelled."""


def _told(step: _Step, value: str) -> Setting:
    spelled: list[str] = []
    keys: list[str] = []
    one: _Step | None = step
    while one is not None:
        one, key, name = one
        spelled.append(name)
        keys += [key] if not name.startswith("[") else []
    path = ".".join(reversed([name for name in spelled if name])).replace(".[", "[")
    above = next((key for key in keys if key and key != step[1]), "")
    return Setting(step[1], value, path, above)


_LINE = re.compile(
    r"[ \t]*+(?:-[ \t]++)*+(?:(?:export|set|ENV|ARG)[ \t]++)?+"
    r"(?:[\"']?(@?[\w(][\w.\-/@ ()]{0,80}?)[\"']?[ \t]*+(?:\?|\+|:)?[:=](?=[\s\"'\[{|>]|$|(?<==).)[ \t]*+)?(.*)"
)
_INLINE = re.compile(
    r"[\"']?([\w.\-@]{1,80})[\"']?[ \t]{0,8}[:=][ \t]{0,8}"
    r"(\"[^\"\n]{1,4000}\"|'[^'\n]{1,4000}'|\[[^\]\n]{1,4000}\]|[^\s,\[\]{}\"'][^,\[\]{}\n]{0,400})"
)
_ESCAPED = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))")
_COMMENT = re.compile(r"[ \t]*[#;]|[ \t]*//")
_EMPTY = ("", "|", ">", "|-", ">-", "|+", ">+", "[", "{", '"""', "'''")


def of_lines(text: str) -> Iterator[Setting]:
    """Whatever could be a setting in a text of lines, in the order of the text. Linear in it."""
    offset, key, above = 0, "", ""
    for line in itertools.islice(text.splitlines(keepends=True), _MOST):
        start, offset = offset, offset + len(line)
        line = line.rstrip("\r\n")
        if not line.strip() or _COMMENT.match(line) or len(line) > 2 * _LONGEST:
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
        if value and len(value) <= _LONGEST:
            yield Setting(own or key, value, own or key, key if own else above, start)
        if "{" in line or "[" in line:
            for inner in itertools.islice(_INLINE.finditer(line), 1_000):
                yield Setting(inner[1], _bare(inner[2]), inner[1], own or key, start)


_LIST = re.compile(r"\"((?:[^\"\\]|\\.)*+)\"|'([^']*+)'|([^\s,\[\]]+)")


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
