"""Python source. It is recognised by its name, as Python itself does."""

from __future__ import annotations

from collections.abc import Iterator

from safeload.core.blob import Blob
from safeload.core.errors import LimitExceeded
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Claims, Code, Format, Part
from safeload.formats.inside import account
from safeload.formats.plain_text import is_text

_SUFFIXES = (".py", ".pyi", ".pyw", ".pyx")


def _read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    if blob.size > limits.text_bytes:
        raise LimitExceeded("text_bytes", allowed=limits.text_bytes, wanted=blob.size, where=location)
    account(limits, blob).work.parse(blob.size, location)
    yield Code(location=location, language="python", source=blob.read_at(0, blob.size))


def _sniff(head: bytes, tail: bytes, size: int, name: str) -> bool:
    # Python reads other encodings too, so a name is enough where the bytes are not plainly something else.
    return name.lower().endswith(_SUFFIXES) and (is_text(head, size) or b"\0" not in head)


FORMAT = Format(
    name="python", title="Python source", suffixes=_SUFFIXES, sniff=_sniff, read=_read, claims=Claims(named=_SUFFIXES)
)
