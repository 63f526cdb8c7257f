"""Foreign text is never shown as it is, and places say where they are."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.core.blob import Extent, MemoryBlob
from safeload.core.names import GlobalName, Location, escape


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("Zoë 日本 🙂", "Zoë 日本 🙂"),
        ("\x1b]0;owned\x07\x1b[2J", "\\x1b]0;owned\\x07\\x1b[2J"),
        ("a\nb\r\tc\x7f", "a\\x0ab\\x0d\\x09c\\x7f"),
        ("\x9b31m", "\\x9b31m"),  # one-byte CSI
        ("exe\u202egpj.bin", "exe\\u202egpj.bin"),  # right-to-left override
        ("\u2066a\u2069", "\\u2066a\\u2069"),
        ("o\u200bs\ufeff\u00ad", "o\\u200bs\\ufeff\\xad"),  # zero width
        ("a\u2028b\u2029", "a\\u2028b\\u2029"),
        ("a\u00a0b\u3000", "a\\xa0b\\u3000"),  # spaces that look like others
        ("\u3164\uffa0\u115f\u2800\ufe0f", "\\u3164\\uffa0\\u115f\\u2800\\ufe0f"),  # letters that show nothing
        ("\ud800", "\\ud800"),
        ("\U000e0041\U000e0100", "\\U000e0041\\U000e0100"),  # tags, variation selectors
        ("\ue000\U0010ffff", "\\ue000\\U0010ffff"),
    ],
)
def test_what_cannot_be_seen_is_spelled(text: str, shown: str) -> None:
    """Controls, bidirectional and invisible characters, and odd spaces become escapes; the rest stays."""
    assert escape(text) == shown


def test_long_texts_are_cut() -> None:
    """More than the limit is cut, and an ellipsis says so."""
    assert escape("a" * 300) == "a" * 300
    assert escape("a" * 301) == "a" * 300 + "…"
    assert escape("abc\n", limit=3) == "abc…"


@given(st.text())
def test_an_escaped_text_is_one_printable_line(text: str) -> None:
    """Whatever comes in, one line of printable characters comes out."""
    shown = escape(text)
    assert shown.isprintable() and len(shown.splitlines()) <= 1


def test_a_global_name_is_a_pair() -> None:
    """Two globals that look alike when joined by a dot are different."""
    first, second = GlobalName("os.path", "join"), GlobalName("os", "path.join")
    assert str(first) == str(second) and first != second
    assert str(GlobalName("o\ns", "x\x1b")) == "o\\x0as.x\\x1b"


def test_a_location_names_file_member_path_and_offset() -> None:
    """A location prints from the outside in, escaped, and can be moved to another offset."""
    assert str(Location("a.bin")) == "a.bin"
    assert str(Location("a\n.zip", "m\x1b", 7, "files[3]")) == "a\\x0a.zip » m\\x1b » files[3] @ 7"
    assert Location("a", "m", 1, "p").at(0) == Location("a", "m", 0, "p")
    assert pickle.loads(pickle.dumps(Location("a", "m", 1))) == Location("a", "m", 1)


def test_blobs_give_what_exists() -> None:
    """Reading past the end gives fewer bytes, and an extent never gives its neighbour's."""
    whole = MemoryBlob(b"0123456789")
    part = Extent(whole, 2, 5)
    assert whole.size == 10 and whole.read_at(8, 10) == b"89" and whole.read_at(11, 1) == b""
    assert part.read_at(0, 100) == b"23456" and part.read_at(4, 2) == b"6" and part.read_at(6, 1) == b""
