"""Which texts are commands: lines for a shell, or a program and its arguments.

A sentence may begin like one (`cat`, `open`, `find`), so a text counts by itself only if it begins with an interpreter
or a program that fetches, and goes on as a command does. Under a key that is for commands, nearly everything counts.
"""

from __future__ import annotations

import re

from safeload.formats.settings import one_of
from safeload.later import Later

_INTERPRETERS = (
    r"(?:ba|z|da|k|c|fi)?sh|cmd(?:\.exe)?|powershell(?:\.exe)?|pwsh|python[\d.]*w?|node|deno|bun|perl|ruby|php|lua"
    r"|osascript|mshta|rundll32|regsvr32|certutil|bitsadmin|cscript|wscript|msiexec|xdg-open"
)
_FETCHERS = (
    r"curl|wget|nc|ncat|netcat|socat|ssh|scp|rsync|aria2c|npx|bunx|uvx|pipx|pip[\d.]*|npm|docker|podman|git"
    r"|apt(?:-get)?"
)
_OTHERS = r"sudo|env|nohup|setsid|eval|exec|source|xargs|busybox|timeout|crontab|chmod|chown|rm|dd|tee|mkfifo|base64"
_BEGINS = Later(
    rf"(?:[!@*+-]\s?|exec:)?(?:\w+=\S*\s+){{0,8}}(?:(?:[\w.~$]*/)*(?:{_INTERPRETERS}|{_FETCHERS}|{_OTHERS}))\s+"
    r"(?:-{1,2}[A-Za-z][\w-]*\b|[\"'$<>|&~]|\.{0,2}/\S|[\w.\-]+[/:.@|]\S|(?:install|run|exec|clone|pull|x)\s+\S)",
)
_ANYWHERE = Later(
    r"\b(?:curl|wget|echo|cat|base64|printf|fetch|xxd|openssl|gunzip|i[wr][rm]|tar)\b[^\n]{0,400}\|\s*(?:sudo\s+)?"
    rf"(?:(?:/usr)?/bin/)?(?:{_INTERPRETERS}|iex)\b(?![|>\w])"
    r"|/bin/(?:ba|z|da|k|c)?sh\s+-\w*c\b|/dev/tcp/\S|<\(\s*(?:curl|wget)\b|\$\(\s*(?:curl|wget|base64|echo|cat)\b"
    r"|(?:&&|;)\s*(?:curl|wget|nc|ncat|bash|sh)\s+\S|\b(?:iex|invoke-expression)\b.{0,80}\b(?:irm|iwr|http|download)",
    re.IGNORECASE,
    needs=(*"|(&;/", "ex", "EX", "Ex", "eX"),
)
_KEYS = one_of("command commands cmd cmds entrypoint execstart execstartpre execstop cmdline")
"""Words of keys that are for commands and nothing else."""
_AT_END = one_of("command cmd entrypoint")
_SCRIPTS = one_of("run script scripts shell hook hooks exec execute preinstall postinstall startup launch install")
"""Words of keys that are for commands among other things."""
_PROGRAM = Later(rf"(?:{_INTERPRETERS}|{_FETCHERS}|{_OTHERS})|[^\s/]*/\S+|\S+\.(?:sh|py|js|rb|pl|ps1|bat|cmd|exe)")
"""A program without arguments; any other word is the name of something."""
_WORD = Later(r"[\w./~$@-]+\Z")
_SHELL = Later(r"[;&|<>`$]|\s-{1,2}\w|/\w|\.(?:sh|py|js|rb|pl|ps1|bat|exe)\b")
_NOTHING = frozenset({"", "null", "none", "~", "true", "false", "[]", "{}", "command", "none."})


def is_command(value: str, words: tuple[str, ...]) -> bool:
    """Whether a text under a key of these words is a command."""
    text = value.strip()
    if text.lower() in _NOTHING:
        return False
    if (len(text.split(None, 1)) > 1 and _BEGINS.match(text)) or _ANYWHERE.search(text):
        return True
    if words and (words[-1] in _AT_END or (len(words) == 1 and words[0] in _KEYS) or words[-1] in _KEYS):
        first, _, rest = text.partition(" ")
        return bool(_WORD.match(first)) and not text[0].isdigit() and bool(rest or _PROGRAM.fullmatch(first))
    return bool(_SCRIPTS & set(words)) and " " in text and _SHELL.search(text) is not None
