"""How text files are told from others, and read."""

from __future__ import annotations

import re

from safeload.core.blob import Blob
from safeload.core.errors import MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.inside import account

LONGEST = 1 << 24
"""Text longer than this is data: nobody reads it, and no rule needs to."""
_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")


def is_text(head: bytes, size: int, *, controls: bool = False) -> bool:
    """Whether a beginning is UTF-8 text; a character cut at its end is allowed.

    Control characters make it something else, unless `controls` allows all but NUL: vocabularies hold any character.
    """
    if b"\0" in head or (not controls and _CONTROLS.search(head)):
        return False
    for cut in range(4 if len(head) < size else 1):
        try:
            head[: len(head) - cut].decode("utf-8")
        except UnicodeDecodeError:
            continue  # perhaps only its last character is cut
        return True
    return False


def read_text(blob: Blob, location: Location, limits: Limits) -> str:
    """The whole of a text file. Raises `MalformedInput` where it is not UTF-8, or too long to be read by anyone."""
    longest = min(LONGEST, limits.text_bytes)
    if blob.size > longest:
        raise MalformedInput(
            "a text file is too long to be read",
            where=location,
            why=f"{blob.size:,} bytes, and {longest:,} are allowed",
            remedy="leave it out",
        )
    account(limits, blob).work.parse(blob.size, location)
    try:
        return blob.read_at(0, blob.size).decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedInput(
            "a text file cannot be read", where=location.at(error.start), why="it is not UTF-8", remedy="fetch it again"
        ) from None
