"""What the constants in a call's arguments look like: a command, an address, code, a path, something encoded.

It makes findings precise and, for callables nobody listed, louder. It never makes anything safe.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from safeload.core.blob import MemoryBlob
from safeload.core.graph import Call, Dict, FrozenSet, List, Node, Set, Tuple, Value
from safeload.core.limits import Limits
from safeload.core.machine import read_pickle
from safeload.core.names import Location, escape
from safeload.rules.encoded import decoded, words

_MOST = 256
"""Constants of one call that are looked at."""
_FEW = 8
"""The same once the budget is spent."""
_LOOKS = 200_000
"""Values in the arguments of all calls of a stream that are walked over before the budget is spent, and one more for
each of its bytes: arguments that calls do not share have no more values than that."""
_LISTED = 16
"""Values that cost as much to list as one to look at."""
_DECODINGS_OF_ALL = 1_000
_EXCERPT = 400
_LONGEST = 1 << 13
_LEVELS = 4
"""Encodings within encodings that are undone."""
_DECODINGS = 64
"""Constants that are decoded for one constant of the file, at all levels together."""

_PROGRAMS = (
    "awk|bash|busybox|cat|chmod|chown|cmd|cmd.exe|cp|crontab|curl|dash|dd|echo|env|nc|ncat|netcat|nohup|node|nslookup|"
    "open|perl|ping|php|pip|pip3|powershell|powershell.exe|pwsh|python|python2|python3|rm|ruby|scp|sed|sh|ssh|sudo|tar|"
    "tee|touch|uname|wget|whoami|xterm|zsh|calc|calc.exe|id|ls|mkdir|mv|kill|bitsadmin|certutil|mshta|regsvr32|rundll32"
)
# Every repetition is bounded: foreign text must not make matching slow. Most files have nothing to look at here, so
# `re` compiles these when it first needs them.
_COMMAND = (
    rf"(?:^|[;&|`]|\$\()\s{{0,8}}(?:/(?:usr/)?(?:local/)?s?bin/)?(?:{_PROGRAMS})(?=\s{{1,8}}[-./~$'\"\w]|\s{{0,8}}[|;&><])"
    r"|\$\([^)]{1,200}\)|/bin/(?:ba|da|z)?sh\b|/dev/tcp/|\bcmd(?:\.exe)?\s{1,8}/[ck]\b"
)
_CODE = (
    r"\b(?:__import__|exec|eval|compile|getattr|open)\s{0,8}\("
    r"|\b(?:os|subprocess|sys|socket|builtins|pty|shutil)\.[a-z_]{1,40}\s{0,8}\("
    r"|(?:^|[;\n])[ \t]{0,40}import [A-Za-z_]|(?:^|[;\n])[ \t]{0,40}from [\w.]{1,80} import "
    r"|(?:^|\n)[ \t]{0,40}(?:def|class) \w{1,80}\s{0,8}[(:]"
    r"|\blambda\b[^:\n]{0,80}:|__(?:class|globals|builtins|subclasses|mro|code|dict)__"
)
_ADDRESS = r"\b(?:https?|ftps?|file|ldaps?|smb|ssh|wss?|gopher|data|s3|gs)://"
_ABSOLUTE = r"^(?:/(?!/)[\w.~-]+|~[\w-]*/|[A-Za-z]:[\\/]|\\\\\w)|(?:^|/)\.\.(?:/|$)"
_BEGUN = Limits(opcodes=5)
_BYTECODE = (b"\xe3\0\0\0", b"c\0\0\0")
"""How `marshal` begins a code object."""
_PROGRAMS_OF = (b"\x7fELF", b"MZ\x90\0", b"\xfe\xed\xfa", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"\0asm", b"#!/")

LOUD = frozenset({"command", "code", "address", "pickle", "program"})
"""Kinds that no harmless constructor takes: a call outside the allowlist with one of them is dangerous."""

LOUD_FOR_NEW = frozenset({"command", "code", "program"})
"""The same where only `__new__` runs: picklers pass to it what the object is made of, such as an address."""


_LOOKED_AT = (str, bytes, Node)


class Arguments:
    """What the arguments of one stream's calls look like.

    Each constant is looked at once, however many calls it is handed to, and all of it stays within a budget: a stream
    may hand one long list to a million calls. What the budget leaves out makes no call any better.
    """

    def __init__(self, size: int) -> None:
        self.known: dict[int, tuple[tuple[str, str], ...]] = {}
        self.shown: dict[int, str] = {}
        self.long: dict[int, tuple[Tuple, bool]] = {}  # by identity, which is theirs as long as they are kept
        self.looks = _LOOKS + size
        self.decodings = _DECODINGS_OF_ALL

    def signs(self, call: Call) -> tuple[tuple[str, str], ...]:
        """Each suspicious constant among a call's arguments, as its kind and an escaped excerpt; each kind once."""
        args, kwargs = call.args, call.kwargs
        if type(args) is Tuple and kwargs is None and not self._tells(args):
            return ()
        found: dict[str, str] = {}
        for constant in self._constants(call, _MOST if self.looks > 0 else _FEW):
            if id(constant) not in self.known:
                self.known[id(constant)] = self._look(constant)
            for kind, excerpt in self.known[id(constant)]:
                found.setdefault(kind, excerpt)
        return tuple(found.items())

    def _tells(self, args: Tuple) -> bool:
        """Whether there is a constant to look at, or anything that may hold one; of long arguments worked out once."""
        if len(args.items) <= _FEW:
            return any(isinstance(item, _LOOKED_AT) for item in args.items)
        if (known := self.long.get(id(args))) is None:
            known = args, any(isinstance(item, _LOOKED_AT) for item in args.items[:_MOST])
            self.long[id(args)] = known
        return known[1]

    def _look(self, constant: str | bytes) -> tuple[tuple[str, str], ...]:
        most = max(0, min(_DECODINGS, self.decodings))
        looked = _Looked(constant, most)
        self.decodings -= looked.decodings
        if not looked.kinds:
            return ()
        excerpt = escape(constant[:_EXCERPT] if isinstance(constant, str) else repr(constant[:80]), 120)
        return tuple((kind, excerpt) for kind in looked.kinds)

    def revealed(self, call: Call) -> Iterator[str]:
        """What constants among a call's arguments hide: of each the first reading that says something."""
        for constant in self._constants(call, _FEW):
            if id(constant) not in self.shown:
                self.shown[id(constant)] = self._reveal(constant)
            if shown := self.shown[id(constant)]:
                yield shown

    def _reveal(self, constant: str | bytes) -> str:
        waiting, tried = [(_raw(constant), 1)], 0
        while waiting and tried < _DECODINGS and self.decodings > 0:
            data, level = waiting.pop()
            for plain in decoded(data):
                tried += 1
                self.decodings -= 1
                if set(_plainly(words(plain), plain)) - {"path"}:
                    return words(plain).strip() or repr(plain[:80])
                if level < _LEVELS:
                    waiting.append((plain, level + 1))
        return ""

    def _constants(self, call: Call, most: int) -> Iterator[str | bytes]:
        """Text and bytes in the arguments, also within containers and calls; at most `most` values are looked at."""
        seen: set[Node] = set()
        waiting: list[Value] = [call.kwargs, call.args]
        looked = 0
        while waiting and looked < most:
            value = waiting.pop()
            looked += 1
            self.looks -= 1
            if isinstance(value, (str, bytes)):
                yield value
            if not isinstance(value, Node) or value in seen:
                continue
            seen.add(value)
            before = len(waiting)
            if isinstance(value, (List, Set, Tuple, FrozenSet)):
                waiting.extend(value.items[:most])
            elif isinstance(value, Dict):
                for pair in value.pairs[:most]:
                    waiting.extend(pair)
            elif isinstance(value, Call):
                waiting.extend((value.kwargs, value.args))
            self.looks -= (len(waiting) - before) // _LISTED  # also for those that are never reached


class _Looked:
    """One constant, looked at plainly and decoded at most `most` times."""

    def __init__(self, constant: str | bytes, most: int) -> None:
        text = constant[:_LONGEST] if isinstance(constant, str) else words(constant)
        self.kinds = dict.fromkeys(_plainly(text, constant if isinstance(constant, bytes) else b""))
        self.decodings = 0
        waiting, inside = [(_raw(constant), 1)], dict[str, None]()
        while waiting and self.decodings < most:
            data, level = waiting.pop()
            for plain in decoded(data):
                self.decodings += 1
                inside.update(dict.fromkeys(_plainly(words(plain), plain)))
                if level < _LEVELS:
                    waiting.append((plain, level + 1))
        inside.pop("path", None)
        if inside:
            self.kinds |= {"encoded": None, **inside}


def kinds(constant: str | bytes) -> Iterator[str]:
    """What a constant looks like: `command`, `code`, `address`, `path`, `pickle`, `program`, `encoded`."""
    yield from _Looked(constant, _DECODINGS).kinds


def _plainly(text: str, data: bytes) -> Iterator[str]:
    """What text, and the bytes that it came from if there are any, are without being decoded."""
    if len(data) > 2 and data[0] == 0x80 and data[1] <= 5 and _is_pickle(data):
        yield "pickle"
    if data.startswith(_BYTECODE):
        yield "code"
    if data.startswith(_PROGRAMS_OF):
        yield "program"
    if re.search(_COMMAND, text, re.IGNORECASE):
        yield "command"
    if re.search(_CODE, text):
        yield "code"
    if re.search(_ADDRESS, text, re.IGNORECASE):
        yield "address"
    if "\n" not in text and re.search(_ABSOLUTE, text):
        yield "path"


def _is_pickle(data: bytes) -> bool:
    """Whether bytes that begin like a pickle go on like one: pictures and numbers may begin so by chance."""
    if len(data) >= 4 * _LONGEST:  # there may be more of it, and one argument may be longer than what is here
        return True
    begun = read_pickle(MemoryBlob(data), location=Location("bytes"), limits=_BEGUN)
    return begun.fault is None or bool(begun.trace) or begun.opcodes >= _BEGUN.opcodes


def _raw(constant: str | bytes) -> bytes:
    if isinstance(constant, bytes):
        return constant[: 4 * _LONGEST]
    return constant[: 4 * _LONGEST].encode("latin-1", "replace")
