"""Which files a statement is about, and their digests: the predicate of OpenSSF Model Signing (OMS) v1.0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Piece(NamedTuple):
    """Bytes of one file, to be digested: all of it, or `[start, end)`."""

    path: str
    algorithm: str = "sha256"
    start: int = 0
    end: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a statement says: the digest of each piece."""

    predicate_type: str
    root: str
    digests: Mapping[Piece, str]
    ignored: frozenset[str] = frozenset()

    @property
    def paths(self) -> frozenset[str]:
        return frozenset(piece.path for piece in self.digests)
