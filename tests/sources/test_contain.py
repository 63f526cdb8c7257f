"""Opening beneath a directory: what is reached, what is refused, and that nothing hangs."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from safeload.core.errors import SourceError
from safeload.sources.contain import open_beneath


def read(root: Path, path: str, allowed: object = None) -> tuple[bytes, str]:
    descriptor, resolved = open_beneath(str(root), path, allowed=allowed or (lambda _: True))  # type: ignore[arg-type]
    try:
        return os.read(descriptor, 100), resolved
    finally:
        os.close(descriptor)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "model"
    (root / "sub").mkdir(parents=True)
    (root / "plain").write_bytes(b"plain")
    (root / "sub" / "deep").write_bytes(b"deep")
    (tmp_path / "secret").write_bytes(b"secret")
    return root


def test_a_file_is_opened(root: Path) -> None:
    """A plain file opens, and its path comes back as it is."""
    assert read(root, "plain") == (b"plain", "plain")


def test_links_that_stay_inside_are_followed(root: Path) -> None:
    """Relative and absolute links, chains and links to directories resolve to the file within."""
    (root / "a").symlink_to("b")
    (root / "b").symlink_to(root / "sub" / "deep")
    (root / "folder").symlink_to("sub")
    assert read(root, "a") == (b"deep", "sub/deep")
    assert read(root, "folder/deep") == (b"deep", "sub/deep")
    assert read(root, "sub/../plain") == (b"plain", "plain")


def test_an_absolute_link_through_another_name_of_the_root_is_followed(root: Path, tmp_path: Path) -> None:
    """A cache that was moved and linked back still works, although its links spell the old place."""
    (tmp_path / "old").symlink_to(root)
    (root / "a").symlink_to(tmp_path / "old" / "plain")
    assert read(root, "a") == (b"plain", "plain")


@pytest.mark.parametrize("target", ["../secret", "/etc/passwd", "sub/../../secret", "up/secret"])
def test_links_that_leave_are_refused(root: Path, target: str) -> None:
    """A link to the outside is refused, relative or absolute, in one step or several."""
    (root / "up").symlink_to("..")
    (root / "link").symlink_to(target)
    with pytest.raises(SourceError, match="leads out"):
        read(root, "link")


@pytest.mark.parametrize("path", ["../secret", "sub/../../secret", "..", "/../../secret"])
def test_paths_that_leave_are_refused(root: Path, path: str) -> None:
    """`..` in the path itself leaves no more than `..` in a link does."""
    with pytest.raises(SourceError):
        read(root, path)


def test_a_link_that_goes_out_and_comes_back_is_refused(root: Path) -> None:
    """Leaving is refused even if the path returns: what it passes through is not ours."""
    (root / "link").symlink_to("../model/plain")
    with pytest.raises(SourceError, match="leads out"):
        read(root, "link")


@pytest.mark.parametrize("target", ["loop", "loop/x", "pair"])
def test_loops_are_named(root: Path, target: str) -> None:
    """A link to itself, through itself or in a pair ends with an error that says loop."""
    (root / "loop").symlink_to(target)
    (root / "pair").symlink_to("loop")
    with pytest.raises(SourceError, match="loop"):
        read(root, "loop")


def test_a_place_that_is_not_allowed_is_refused(root: Path) -> None:
    """The caller's rule sees the path without links, and its refusal stands."""
    (root / "link").symlink_to("sub/deep")
    with pytest.raises(SourceError, match="leads out"):
        read(root, "link", lambda path: path == "link")


def test_a_pipe_is_refused_and_does_not_hang(root: Path) -> None:
    """A named pipe that nobody writes to gives an error at once."""
    os.mkfifo(root / "pipe")
    with pytest.raises(SourceError, match="a named pipe"):
        read(root, "pipe")


def test_other_kinds_are_named(root: Path) -> None:
    """A directory, a socket and a device each get an error that says what they are."""
    (root / "model.safetensors").mkdir()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(root / "s"))
    listener.close()
    for path, word in (("model.safetensors", "a directory"), ("s", "a socket"), ("sub/", "a directory")):
        with pytest.raises(SourceError, match=word):
            read(root, path)
    with pytest.raises(SourceError, match="a character device"):
        read(Path("/dev"), "null")


@pytest.mark.parametrize("path", ["absent", "sub/absent", "absent/deep", "plain/deep", ""])
def test_what_is_not_there_is_our_error(root: Path, path: str) -> None:
    """A missing file, a missing directory, a file used as a directory: a `SourceError` with a next step."""
    with pytest.raises(SourceError) as caught:
        read(root, path)
    assert caught.value.remedy


@pytest.mark.parametrize("path", ["a\0b", "\ud800", "x" * 300, "d/" * 3000])
def test_what_no_file_can_be_called_is_our_error(root: Path, path: str) -> None:
    """NUL, characters without an encoding, names and paths that are too long: `SourceError`."""
    with pytest.raises(SourceError):
        read(root, path)


def test_a_name_swapped_for_a_link_between_look_and_open_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that becomes a link to a secret after it was examined is not opened."""
    real = os.stat

    def swapped(path: str, **options: object) -> os.stat_result:
        found = real(path, **options)  # type: ignore[arg-type]
        if path == "plain":
            (root / "plain").unlink()
            (root / "plain").symlink_to("../secret")
        return found

    monkeypatch.setattr(os, "stat", swapped)
    with pytest.raises(SourceError):
        read(root, "plain")


def test_a_directory_swapped_for_a_link_between_look_and_open_is_refused(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory that becomes a link to the outside after it was examined is not entered."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "deep").write_bytes(b"secret")
    real = os.stat

    def swapped(path: str, **options: object) -> os.stat_result:
        found = real(path, **options)  # type: ignore[arg-type]
        if path == "sub":
            (root / "sub").rename(root / "gone")
            (root / "sub").symlink_to("../outside")
        return found

    monkeypatch.setattr(os, "stat", swapped)
    with pytest.raises(SourceError):
        read(root, "sub/deep")


def test_a_file_swapped_for_a_pipe_between_look_and_open_does_not_hang(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe that takes the file's place after it was examined is opened without waiting, and refused."""
    real = os.stat

    def swapped(path: str, **options: object) -> os.stat_result:
        found = real(path, **options)  # type: ignore[arg-type]
        if path == "plain":
            (root / "plain").unlink()
            os.mkfifo(root / "plain")
        return found

    monkeypatch.setattr(os, "stat", swapped)
    with pytest.raises(SourceError, match="a named pipe"):
        read(root, "plain")


def test_no_descriptor_is_left_open(root: Path) -> None:
    """Success and each kind of refusal leave no directory open behind them."""
    before = len(os.listdir("/proc/self/fd"))
    (root / "out").symlink_to("../secret")
    read(root, "sub/deep")
    for path in ("out", "absent", "sub", "sub/../../x"):
        with pytest.raises(SourceError):
            read(root, path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_hostile_name_is_escaped_in_messages(root: Path) -> None:
    """Terminal controls in a file name do not reach the message raw."""
    name = "\x1b]0;owned\x07.bin"
    (root / name).symlink_to("../secret")
    with pytest.raises(SourceError) as caught:
        read(root, name)
    assert "\x1b" not in str(caught.value) and "\\x1b" in str(caught.value)


def test_a_name_that_is_not_utf8_opens(root: Path) -> None:
    """Any bytes that the file system takes for a name can be opened."""
    name = os.fsdecode(b"caf\xe9.bin")
    (root / name).write_bytes(b"x")
    assert read(root, name)[0] == b"x"
