"""Strings of Python 2, as the `encoding` argument of unpicklers asks for them."""

from __future__ import annotations

from safeload.core.errors import MalformedInput, UsageError
from safeload.engine.live import Texts

_ESCAPES = rb"\u0041\x41\N{DIGIT ONE}+AGE-~{~}&AGE-" + b"\x1b$B!!\x1b(B\x0e\x0f.xn--bcher-kva"
"""What encodings that spell other characters in ASCII would take for these."""
_ASCII = bytes(range(128))
_ERRORS = ("strict", "ignore", "replace", "surrogateescape", "backslashreplace")


def texts_for(encoding: str, errors: str = "strict") -> Texts:
    """What becomes of strings that are not ASCII.

    Raises:
        UsageError: no encoding of text, or one that reads ASCII as something else: strings that are ASCII have been
            read as text. `bytes` is none.
    """
    if errors not in _ERRORS or not _keeps_ascii(encoding):
        raise UsageError(
            f"encoding={encoding!r}, errors={errors!r} was not honoured",
            why=f"strings of Python 2 are read with an encoding that extends ASCII, and errors of {', '.join(_ERRORS)}",
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


def _keeps_ascii(encoding: object) -> bool:
    """Whether an encoding that the program names is one of text, in which ASCII means itself."""
    if not isinstance(encoding, str):
        return False
    try:
        return all(plain.decode(encoding) == plain.decode("ascii") for plain in (_ESCAPES, _ASCII))
    except (LookupError, ValueError):
        return False
