"""Which foreign names may become paths, and what binds names to content."""

from __future__ import annotations

import base64
import hashlib

import pytest

from safeload.core.digest import sha256, tree_digest
from safeload.core.errors import MalformedInput
from safeload.core.names import Location
from safeload.core.paths import bare_name, is_safe_relative, safe_relative

SAFE = [
    "a",
    "a/b.json",
    "model-00001-of-00002.safetensors",
    "..a",
    "a..b",
    ".hidden",
    "con1",
    "a b",
    "é",
    "comma/lpt10",
]
UNSAFE = [
    "", "/", "/etc/passwd", "//host/share", ".", "..", "../x", "a/../b", "a/..", "./a", "a/./b", "a//b", "a/",
    "..\\x", "C:/x", "C:\\x", "a:stream", "a\0b", "a\nb", "a\u202eb", "a\u200bb", "\ud800", "a\u2028b",
    "CON", "con.txt", "a/NUL", "com1.json", "aux .x", "a.", "a ", "a. /b", "...",
]  # fmt: skip


@pytest.mark.parametrize("path", SAFE)
def test_safe_paths_are_returned_unchanged(path: str) -> None:
    """A name that stays inside its directory on every platform is used as it is."""
    assert safe_relative(path) == path and is_safe_relative(path)


@pytest.mark.parametrize("path", UNSAFE)
def test_unsafe_paths_are_refused(path: str) -> None:
    """A name that leaves its directory, is absolute, or is another name somewhere, is refused with a reason."""
    assert not is_safe_relative(path)
    with pytest.raises(MalformedInput) as caught:
        safe_relative(path, location=Location("index.json", path="weight_map.x"))
    assert caught.value.why and caught.value.remedy and "index.json » weight_map.x" in str(caught.value)
    with pytest.raises(MalformedInput):
        bare_name(path)


def test_a_bare_name_has_no_directory() -> None:
    """What an index may name lies beside it."""
    assert bare_name("a.bin") == "a.bin"
    with pytest.raises(MalformedInput, match="another directory"):
        bare_name("a/b.bin", location="index.json")


def test_a_tree_digest_is_that_of_go_dirhash() -> None:
    """The `h1:` digest is sha256 over sorted `digest  name` lines, in base64."""
    digests = {"b": sha256(b"2"), "a/c": sha256(b"1")}
    lines = f"{sha256(b'1')}  a/c\n{sha256(b'2')}  b\n".encode()
    assert tree_digest(digests) == tree_digest(dict(reversed(digests.items())))
    assert tree_digest(digests).startswith("h1:") and len(tree_digest({})) == 47

    assert tree_digest(digests) == "h1:" + base64.b64encode(hashlib.sha256(lines).digest()).decode()


def test_a_tree_digest_binds_names_to_content() -> None:
    """The same bytes under other names, and other bytes under the same names, differ."""
    one, two = sha256(b"1"), sha256(b"2")
    trees = [{"a": one, "b": two}, {"a": two, "b": one}, {"a": one}, {"a": one, "c": two}, {"\udce9": one}]
    assert len({tree_digest(tree) for tree in trees}) == len(trees)


@pytest.mark.parametrize("path", ["a\nb", "a\rb", "\ud800"])
def test_names_that_would_blur_a_tree_digest_are_refused(path: str) -> None:
    """A line break could let two trees share a digest; half a character has no bytes."""
    with pytest.raises(MalformedInput, match="cannot be part of a digest"):
        tree_digest({path: sha256(b"")})
