"""in-toto statements: what somebody says about files, by their digests. Values only; signing is somebody else's.

The forms are those of the in-toto Statement v1 and of the SLSA provenance predicate v1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

STATEMENT = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
"""The SLSA predicate that says from what, how and by what something was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A file, by what is in it: hexadecimal sha256, a name for people, and where it came from if that is known."""

    name: str
    sha256: str
    uri: str = ""

    def data(self) -> dict[str, Any]:
        uri = {"uri": self.uri} if self.uri else {}
        return {"name": self.name, **uri, "digest": {"sha256": self.sha256}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What is said (`predicate`, of a type that a URI names) about files (`subjects`)."""

    subjects: tuple[Resource, ...]
    predicate_type: str
    predicate: Mapping[str, Any]

    def dump(self) -> bytes:
        """The statement as JSON: equal statements give equal bytes."""
        head = {"_type": STATEMENT, "predicateType": self.predicate_type, "subject": [s.data() for s in self.subjects]}
        return json.dumps({**head, "predicate": self.predicate}, indent=2, sort_keys=True).encode() + b"\n"
