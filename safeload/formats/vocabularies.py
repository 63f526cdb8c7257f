"""Long lists in documents: vocabularies and merges, of which hardly one entry is more than a word.

A tokenizer has half a million of them. All are looked at together, by searches that are fast;
only those that hold a sign of a path, an address or a command are looked at by themselves.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

LONG = 1_000
"""Entries of a list that is a vocabulary."""
_SIGNS = (
    *("../", "..\\", "/..", "://", "\\\\", "~/", "~\\", "/etc", "/proc", "/sys", "/dev", "/root", "/bin", "/home"),
    *("/.", "$(", "`", "| ", "&&", "; ", "<(", "${", "import ", "lambda", "eval", "exec", "__", "git+", " @ ", "-c "),
    *("--", "sh ", "cmd", "powershell", "python", "curl ", "wget ", "node ", "perl ", "ruby ", "php ", "npx ", "sudo "),
    *("nc ", ".sh", ".py", ".so", ".dll", ".exe", ".pkl", ".ckpt", "trust"),
)  # fmt: skip


def telling(items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    """The entries of a long list that may be more than words, with their places; and all that hold more than texts."""
    texts: list[str] = []
    places: list[int] = []
    deep: list[int] = []
    for place, item in enumerate(items):
        if isinstance(item, str):
            texts.append(item.lower())
            places.append(place)
        elif isinstance(item, list) and not any(isinstance(part, (dict, list)) for part in item):
            texts.append(" ".join([part for part in item if isinstance(part, str)]).lower())
            places.append(place)
        elif isinstance(item, (dict, list)):
            deep.append(place)
    for place in sorted({*deep, *(places[number] for number in _signed(texts))}):
        yield place, items[place]


def _signed(texts: Sequence[str]) -> set[int]:
    """Which texts hold a sign."""
    whole = "\n".join(texts)
    starts = list(accumulate((len(text) + 1 for text in texts), initial=0))
    found: set[int] = set()
    for sign in _SIGNS:
        at = whole.find(sign)
        while at >= 0:
            number = bisect_right(starts, at) - 1
            found.add(number)
            at = whole.find(sign, starts[number + 1])
    return found
