"""What a user writes, and what it is taken for."""

from __future__ import annotations

from pathlib import Path

import pytest

from safeload.core.errors import SourceError, UsageError
from safeload.sources.hub import is_hub_id
from safeload.sources.resolve import resolve
from tests.hubserver import Hub

LOCAL, REMOTE = {"config.json": b"local"}, {"config.json": b"remote"}


@pytest.fixture
def shadow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory in which `org/name` exists."""
    folder = tmp_path / "work" / "org" / "name"
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(b"local")
    monkeypatch.chdir(tmp_path / "work")
    return folder


def test_a_local_folder_shadows_a_hub_id_and_that_is_said(hub: Hub, shadow: Path) -> None:
    """As in transformers the folder wins; the note says so, and how to say the other. The hub is not asked."""
    hub.add("org/name", REMOTE)
    snapshot = resolve("org/name")
    assert (snapshot.kind, snapshot.root) == ("directory", str(shadow))
    assert len(snapshot.notes) == 1 and "hf://org/name" in snapshot.notes[0] and str(shadow) in snapshot.notes[0]
    assert hub.asked == []


def test_hf_always_means_the_hub(hub: Hub, shadow: Path) -> None:
    """`hf://` passes by a folder of that name."""
    commit = hub.add("org/name", REMOTE)
    for reference in ("hf://org/name", "hf://models/org/name", f"hf://org/name@{commit}", "hf://org/name@main"):
        snapshot = resolve(reference)
        assert (snapshot.kind, snapshot.revision, snapshot.reference) == ("hub", commit, reference)


@pytest.mark.parametrize("how", ["absolute", "dot", "pathlib"])
def test_a_path_that_cannot_be_an_id_has_no_note(shadow: Path, how: str) -> None:
    """Where there is nothing to confuse there is nothing to say."""
    reference = {"absolute": str(shadow), "dot": "./org/name", "pathlib": shadow}[how]
    assert resolve(reference).notes == ()


@pytest.mark.parametrize(
    "reference", ["hf://", "hf://org", "hf://a/b/c", "hf://org/name@", "hf://../x", "hf://org/na me", "hf:///x"]
)
def test_what_hf_cannot_mean_is_refused(hub: Hub, reference: str) -> None:
    """Anything but an id and a revision after `hf://` is the caller's mistake, or a model that is not there."""
    with pytest.raises((UsageError, SourceError)):
        resolve(reference)


def test_two_revisions_are_refused(hub: Hub) -> None:
    """A revision in the reference and another in the argument contradict each other; twice the same does not."""
    hub.add("org/name", REMOTE)
    with pytest.raises(UsageError, match="another"):
        resolve("hf://org/name@main", revision="v2")
    assert resolve("hf://org/name@main", revision="main").kind == "hub"


def test_a_revision_of_a_local_path_is_said_to_mean_nothing(shadow: Path) -> None:
    """As in transformers it is not used; here it is said."""
    assert "revision" in resolve(str(shadow), revision="v2").notes[0]


def test_a_resolved_revision_keeps_its_commit(hub: Hub) -> None:
    """The client's own resolved revisions mean their commit, not the name they show."""
    import huggingface_hub

    kind = getattr(huggingface_hub, "ResolvedRevision", None)
    if kind is None:
        pytest.skip("this version of the client has none")
    old = hub.add("org/name", REMOTE)
    hub.add("org/name", {"config.json": b"newer"})
    assert resolve("org/name", revision=kind(resolved=old, initial="main")).revision == old


@pytest.mark.parametrize(
    "reference", ["", "a/b/c", "./absent", "/no/such/place", "../absent", "-x", "a\0b", "x" * 300, "a b"]
)
def test_what_is_neither_path_nor_id_is_our_error(
    hub: Hub, tmp_path: Path, reference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing there and not an id: an error of ours, and no request."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises((UsageError, SourceError)):
        resolve(reference)
    assert hub.asked == []


def test_a_path_object_is_never_a_hub_id(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`Path("org/name")` that does not exist is a mistake, not a download."""
    monkeypatch.chdir(tmp_path)
    hub.add("org/name", REMOTE)
    with pytest.raises(SourceError, match="no such file"):
        resolve(Path("org/name"))
    assert hub.asked == []


def test_a_dangling_link_is_a_path(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken link named like an id is an error, not a download of something else."""
    hub.add("org/name", REMOTE)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org").mkdir()
    (tmp_path / "org" / "name").symlink_to("gone")
    with pytest.raises(SourceError):
        resolve("org/name")
    assert hub.asked == []


@pytest.mark.parametrize("subfolder", ["..", "../x", "/etc", "a/../..", "a//b", "./a", "a\0b"])
def test_a_subfolder_that_leaves_is_refused(shadow: Path, subfolder: str) -> None:
    """A subfolder is a plain relative path."""
    with pytest.raises(UsageError):
        resolve(str(shadow), subfolder=subfolder)


def test_a_subfolder_must_exist(hub: Hub, shadow: Path) -> None:
    """A subfolder without files is an error, locally and on the hub; one that exists leaves the whole listing."""
    hub.add("org/name", {**REMOTE, "unet/config.json": b""})
    assert "config.json" in resolve("hf://org/name", subfolder="unet/").listing
    for reference in (str(shadow), "hf://org/name"):
        with pytest.raises(SourceError, match="no such subfolder"):
            resolve(reference, subfolder="vae")


@pytest.mark.parametrize("text", ["gpt2", "org/name", "Org-1/na.me_2", "a", "_x/y_", "0/0"])
def test_ids(text: str) -> None:
    """What the hub takes for an id."""
    assert is_hub_id(text)


@pytest.mark.parametrize(
    "text", ["", "a/b/c", "a--b", "a..b", ".a", "a.", "-a", "a-", "a/", "/a", "a.git", "a b", "é", "a\n", "a" * 97]
)
def test_no_ids(text: str) -> None:
    """What the hub does not."""
    assert not is_hub_id(text)
