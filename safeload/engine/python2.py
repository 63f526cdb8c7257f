"""Strings of Python 2, as the `encoding` argument of unpicklers asks for them."""

from __future__ import annotations

from safeload.core.errors import MalformedInput, UsageError
from safeload.engine.live import Texts

_ENCODINGS = ("ascii", "utf-8", "utf8", "latin1", "latin-1", "iso-8859-1")
_ERRORS = ("strict", "ignore", "replace", "surrogateescape", "backslashreplace")


def texts_for(encoding: str, errors: str = "strict") -> Texts:
    """What becomes of strings that are not ASCII.

    Raises:
        UsageError: an encoding that is not one of a few, or `bytes`: strings that are ASCII have been read as text.
    """
    if not isinstance(encoding, str) or encoding.lower() not in _ENCODINGS or errors not in _ERRORS:
        raise UsageError(
            f"encoding={encoding!r}, errors={errors!r} was not honoured",
            why=f"strings of Python 2 are read as one of {', '.join(_ENCODINGS)}",
            remedy="encoding='latin1'",
        )

    def decode(data: bytes) -> str:
        try:
            return data.decode(encoding, errors)
        except UnicodeDecodeError as error:
            raise MalformedInput(
                "a string of Python 2 cannot be read",
                why=f"it is not {encoding}: {error.reason}",
                remedy="encoding='latin1'",
            ) from None

    return decode
