"""DSSE: what is signed binds the type and the length."""

from __future__ import annotations

from safeload.core.envelope import Envelope


def test_the_signed_bytes_are_the_pre_authentication_encoding() -> None:
    """The example of the DSSE protocol document."""
    assert Envelope(b"hello world", b"", "http://example.com/HelloWorld").signed_bytes() == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_no_two_envelopes_sign_the_same_bytes() -> None:
    """Moving a character from the type to the payload changes what is signed."""
    assert Envelope(b"b c", b"", "a").signed_bytes() != Envelope(b"c", b"", "a b").signed_bytes()
