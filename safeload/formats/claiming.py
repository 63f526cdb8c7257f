"""What many formats claim, arranged so that one look at a file answers for all of them.

`Claims.allow` says what a claim means; a table gives the same answers, and a test compares them. It is made once for
each first byte, holds only what a file beginning so could still show, and looks for the same bytes once for all.
"""

from __future__ import annotations

from collections.abc import Iterable

from safeload.formats.base import Claims


class Table:
    """Claims by their place in a list, for files that begin with one byte, or have none."""

    def __init__(self, listed: Iterable[Claims | None], first: int | None) -> None:
        self.sure = 0
        """Claims that every such file keeps, as the bits of a number."""
        self.begins: list[tuple[tuple[bytes, ...], int]] = []
        self.at: list[tuple[int, tuple[bytes, ...], int]] = []
        self.named: list[tuple[tuple[str, ...], int]] = []
        holds: dict[str, int] = {}
        for place, claims in enumerate(listed):
            bit = 1 << place
            if claims is None or (claims.empty if first is None else first in claims.first):
                self.sure |= bit
                continue
            at = dict.fromkeys(offset for offset, _ in claims.at)
            found = {where: tuple(data for offset, data in claims.at if offset == where) for where in at}
            begins = (*claims.begins, *found.pop(0, ()))
            if begins := tuple(data for data in begins if not data or data[0] == first):
                self.begins.append((begins, bit))
            self.at += [(offset, data, bit) for offset, data in found.items()]
            if claims.named:
                self.named.append((claims.named, bit))
            for data in claims.holds:
                holds[data.decode("latin-1")] = holds.get(data.decode("latin-1"), 0) | bit
        self.at.sort()
        self.holds = tuple(holds.items())
        self.names = tuple(name for names, _ in self.named for name in names)

    def kept(self, head: bytes, tail: bytes, lower: str) -> int:
        """Which claims a file keeps, by their bits. `lower` is its name in lower case."""
        kept = self.sure
        for begins, bit in self.begins:
            if head.startswith(begins):
                kept |= bit
        size = len(head)
        for offset, data, bit in self.at:
            if offset >= size:
                break
            if head.startswith(data, offset):
                kept |= bit
        text = head.decode("latin-1")  # `in` is far slower for bytes: it asks first whether they are a number
        more = text if tail is head else tail.decode("latin-1")
        for sought, bits in self.holds:
            if bits & ~kept and (sought in text or (more is not text and sought in more)):
                kept |= bits
        if lower.endswith(self.names):
            for names, bit in self.named:
                if lower.endswith(names):
                    kept |= bit
        return kept
