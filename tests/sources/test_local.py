"""Local directories, single files, and directories that lie in a huggingface_hub cache."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import pytest

from safeload.core.errors import LimitExceeded, SourceError, VerificationFailed
from safeload.core.limits import Limits
from safeload.sources.base import Recorded
from safeload.sources.digest_memo import digest_all
from safeload.sources.folder import DEEPEST
from safeload.sources.local import local_snapshot
from tests.effort import lines
from tests.sources.helpers import COMMIT, cache_repository, git_sha1, sha256

WEIGHTS = b"the weights"
CONFIG = b"{}"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    model = tmp_path / "model"
    (model / "sub").mkdir(parents=True)
    (model / "config.json").write_bytes(CONFIG)
    (model / "sub" / "model.bin").write_bytes(WEIGHTS)
    return model


def test_a_directory_is_listed_and_opens(model: Path) -> None:
    """Every file is listed by its relative path with its size, and opens."""
    snapshot = local_snapshot(model)
    assert (snapshot.kind, snapshot.root, snapshot.revision) == ("directory", str(model), None)
    assert {path: listed.size for path, listed in snapshot.listing.items()} == {"config.json": 2, "sub/model.bin": 11}
    with snapshot.open("sub/model.bin") as file:
        assert file.path == "sub/model.bin" and file.read_at(0, 99) == WEIGHTS
        assert file.real_path == str(model / "sub" / "model.bin")
    snapshot.fetch(["config.json"])


def test_a_relative_path_is_fixed_at_once(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changing the working directory later changes nothing."""
    monkeypatch.chdir(model.parent)
    snapshot = local_snapshot("model")
    monkeypatch.chdir("/")
    assert snapshot.reference == "model"
    snapshot.open("config.json").close()


def test_a_link_named_by_the_user_is_followed(model: Path, tmp_path: Path) -> None:
    """`~/model` may be a link to another disk: the user chose it."""
    (tmp_path / "link").symlink_to(model)
    assert "config.json" in local_snapshot(tmp_path / "link").listing


@pytest.mark.parametrize("path", ["absent", "../model/config.json", "/etc/passwd", "sub/../config.json", ""])
def test_only_what_is_listed_opens(model: Path, path: str) -> None:
    """A name that a config invents, or that leaves the directory, is an error from `open` and from `fetch`."""
    snapshot = local_snapshot(model)
    with pytest.raises(SourceError):
        snapshot.open(path)
    with pytest.raises(SourceError):
        snapshot.fetch([path])


@pytest.mark.parametrize("target", ["../secret", "/etc/passwd", "../outside/x"])
def test_a_link_out_of_the_directory_is_listed_and_refused(model: Path, tmp_path: Path, target: str) -> None:
    """A link to somebody else's file is seen, and does not open."""
    (tmp_path / "secret").write_bytes(b"secret")
    (model / "model.safetensors").symlink_to(target)
    snapshot = local_snapshot(model)
    assert "model.safetensors" in snapshot.listing
    with pytest.raises(SourceError):
        snapshot.open("model.safetensors")


def test_a_link_to_a_directory_outside_is_not_entered(model: Path, tmp_path: Path) -> None:
    """Nothing of the outside is listed; the link itself is, and does not open."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"secret")
    (model / "out").symlink_to("../outside")
    snapshot = local_snapshot(model)
    assert [path for path in snapshot.listing if path.startswith("out")] == ["out"]
    with pytest.raises(SourceError):
        snapshot.open("out")


def test_links_inside_are_followed(model: Path) -> None:
    """A link to a file or a directory within the model is part of it."""
    (model / "alias.bin").symlink_to("sub/model.bin")
    (model / "folder").symlink_to("sub")
    snapshot = local_snapshot(model)
    for path in ("alias.bin", "folder/model.bin"):
        with snapshot.open(path) as file:
            assert file.read_at(0, 99) == WEIGHTS


def test_loops_end(model: Path) -> None:
    """Links to themselves, to each other and to a directory above are listed or left, and never walked forever."""
    (model / "self").symlink_to("self")
    (model / "a").symlink_to("b")
    (model / "b").symlink_to("a")
    (model / "sub" / "up").symlink_to("..")
    (model / "here").symlink_to(".")
    snapshot = local_snapshot(model)
    assert {"self", "a", "b", "config.json"} <= set(snapshot.listing)
    assert len(snapshot.listing) < 20
    for path in ("self", "a", "b"):
        with pytest.raises(SourceError, match="loop"):
            snapshot.open(path)


def test_links_that_multiply_end_at_the_limit(model: Path) -> None:
    """Directories that link to each other twice per level reach the limit, not the end of memory."""
    for level in range(40):
        (model / f"d{level}").mkdir()
        for name in ("x", "y"):
            (model / f"d{level}" / name).symlink_to(f"../d{level + 1}")
    (model / "d40").mkdir()
    (model / "d40" / "f").write_bytes(b"")
    with pytest.raises(LimitExceeded, match="members"):
        local_snapshot(model, limits=Limits(members=1000))


def test_too_many_files_are_our_error(model: Path) -> None:
    """More files than the limit says raise with the limit's name."""
    with pytest.raises(LimitExceeded, match="members"):
        local_snapshot(model, limits=Limits(members=1))
    assert len(local_snapshot(model, limits=Limits(members=2)).listing) == 2


def test_directories_nested_too_deep_are_our_error(model: Path) -> None:
    """A ladder of directories ends with an error."""
    (model / "/".join("d" * (DEEPEST + 2))).mkdir(parents=True)
    with pytest.raises(SourceError, match="nested deeper"):
        local_snapshot(model)


def test_a_pipe_is_listed_and_refused_at_once(model: Path) -> None:
    """A named pipe in place of weights: an error that says so, and no waiting."""
    os.mkfifo(model / "model.safetensors")
    snapshot = local_snapshot(model)
    assert snapshot.listing["model.safetensors"].size is None
    with pytest.raises(SourceError, match="a named pipe"):
        snapshot.open("model.safetensors")


def test_a_directory_named_like_weights_is_listed_and_refused(model: Path) -> None:
    """A directory called `model.safetensors` gives an error with its place, and its files are listed as well."""
    (model / "model.safetensors").mkdir()
    (model / "model.safetensors" / "x.bin").write_bytes(b"")
    snapshot = local_snapshot(model)
    assert {"model.safetensors", "model.safetensors/x.bin"} <= set(snapshot.listing)
    with pytest.raises(SourceError, match="a directory") as caught:
        snapshot.open("model.safetensors")
    assert "model.safetensors" in str(caught.value.where)


def test_a_directory_that_cannot_be_read_is_listed_and_refused(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be looked into is not silently left out."""
    real = os.scandir

    def denied(path: str) -> object:
        if path.endswith("sub/"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", denied)
    snapshot = local_snapshot(model)
    assert "sub" in snapshot.listing
    with pytest.raises(SourceError):
        snapshot.open("sub")


def test_names_that_are_not_utf8_are_listed_and_open(model: Path) -> None:
    """Any name opens, and shows escaped."""
    name = os.fsdecode(b"caf\xe9\x1b[2J.bin")
    (model / name).write_bytes(b"x")
    snapshot = local_snapshot(model)
    with snapshot.open(name) as file:
        assert file.read_at(0, 1) == b"x"
        assert "\x1b" not in repr(file) and "\udce9" not in repr(file)


def test_git_and_the_client_s_notes_are_not_listed(model: Path) -> None:
    """What no loader reads as a model is left out: `.git`, and the notes of `hf download --local-dir`."""
    for folder in (".git/objects", ".cache/huggingface/download", "sub/.git"):
        (model / folder).mkdir(parents=True)
        (model / folder / "x").write_bytes(b"")
    assert sorted(local_snapshot(model).listing) == ["config.json", "sub/model.bin"]


def test_many_files_are_listed_in_time(tmp_path: Path) -> None:
    """What a listing costs is proportional to the files."""

    def folders(count: int) -> Path:
        root = tmp_path / str(count)
        for folder in range(count):
            (root / str(folder)).mkdir(parents=True)
            for name in range(50):
                (root / str(folder) / str(name)).touch()
        return root

    assert len(local_snapshot(folders(40)).listing) == 2_000
    few, many = (lines(partial(local_snapshot, folders(count))) for count in (4, 32))
    assert many < 10 * few


def test_a_single_file_is_a_snapshot(model: Path, tmp_path: Path) -> None:
    """One file is listed alone, by its name, also when it is named through a link."""
    snapshot = local_snapshot(model / "sub" / "model.bin")
    assert (snapshot.kind, list(snapshot.listing)) == ("file", ["model.bin"])
    with snapshot.open("model.bin") as file:
        assert file.read_at(0, 99) == WEIGHTS
    (tmp_path / "link.bin").symlink_to(model / "sub" / "model.bin")
    snapshot = local_snapshot(tmp_path / "link.bin")
    assert list(snapshot.listing) == ["link.bin"]
    with snapshot.open("link.bin") as file:
        assert file.read_at(0, 99) == WEIGHTS and file.path == "link.bin"


def test_a_single_pipe_or_device_is_refused(tmp_path: Path) -> None:
    """Naming a pipe or a device gives an error at once."""
    os.mkfifo(tmp_path / "pipe")
    for path in (str(tmp_path / "pipe"), "/dev/zero"):
        with pytest.raises(SourceError, match="not a regular file"):
            local_snapshot(path).open(os.path.basename(path))


@pytest.mark.parametrize("path", ["absent", "a\0b", "", "x" * 5000])
def test_a_path_that_is_not_there_is_our_error(tmp_path: Path, path: str) -> None:
    """No file, a NUL, a name too long: `SourceError`."""
    with pytest.raises(SourceError):
        local_snapshot(f"{tmp_path}/no/{path}")


# the cache


FILES = {"config.json": CONFIG, "model.safetensors": WEIGHTS, "sub/deep/model.bin": WEIGHTS + b"!"}


def test_a_cache_snapshot_is_recognised(tmp_path: Path) -> None:
    """A directory in a cache knows its repository and commit, and the digests its blobs are named by."""
    snapshot = local_snapshot(cache_repository(tmp_path, FILES))
    assert (snapshot.kind, snapshot.root, snapshot.revision) == ("cache", "org/name", COMMIT)
    assert snapshot.listing["model.safetensors"].recorded == Recorded(algorithm="sha256", value=sha256(WEIGHTS))
    assert snapshot.listing["config.json"].recorded == Recorded(algorithm="git-sha1", value=git_sha1(CONFIG))
    files = [snapshot.open(path) for path in FILES]
    assert digest_all(files) == {path: sha256(data) for path, data in FILES.items()}
    for file in files:
        file.close()


def test_a_directory_of_a_cache_snapshot_is_a_root(tmp_path: Path) -> None:
    """A subfolder of a cached snapshot opens through the same links."""
    snapshot = local_snapshot(cache_repository(tmp_path, FILES) / "sub")
    assert list(snapshot.listing) == ["deep/model.bin"]
    with snapshot.open("deep/model.bin") as file:
        assert file.read_at(0, 99) == WEIGHTS + b"!"


def test_a_file_of_a_cache_snapshot_keeps_its_name_and_record(tmp_path: Path) -> None:
    """One cached file goes by its own name, not its blob's, and its record is checked."""
    snapshot = local_snapshot(cache_repository(tmp_path, FILES) / "model.safetensors")
    with snapshot.open("model.safetensors") as file:
        assert file.recorded == Recorded(algorithm="sha256", value=sha256(WEIGHTS))
        assert file.read_at(0, 99) == WEIGHTS


def test_corrupted_blobs_are_all_listed(tmp_path: Path) -> None:
    """A bit that flipped in the cache is found without a connection, in every file at once."""
    root = cache_repository(tmp_path, FILES)
    for path in ("config.json", "model.safetensors"):
        blob = (root / path).resolve()
        blob.write_bytes(bytes([blob.read_bytes()[0] ^ 1]) + blob.read_bytes()[1:])
    snapshot = local_snapshot(root)
    files = [snapshot.open(path) for path in FILES]
    with pytest.raises(VerificationFailed) as caught:
        digest_all(files)
    assert sorted(caught.value.mismatches) == ["config.json", "model.safetensors"]
    for file in files:
        file.close()


@pytest.mark.parametrize(
    "target",
    [
        "/etc/passwd",
        "../../../models--evil--x/blobs/" + "0" * 64,
        "../../../../secret",
        "../" + "f" * 40 + "/model.safetensors",
        "../../refs/main",
        "../../blobs/../../secret",
        "../../../blobs/00/short",
    ],
)
def test_cache_links_lead_to_blobs_only(tmp_path: Path, target: str) -> None:
    """A snapshot's link to another repository, snapshot, ref, or out of the cache does not open."""
    cache = tmp_path / "cache"
    root = cache_repository(cache, FILES)
    cache_repository(cache, {"model.safetensors": b"evil"}, name="evil/x", commit="f" * 40)
    (cache / "models--org--name" / "snapshots" / ("f" * 40)).mkdir()
    (cache / "models--org--name" / "snapshots" / ("f" * 40) / "model.safetensors").write_bytes(b"other")
    (cache / "models--evil--x" / "blobs" / ("0" * 64)).write_bytes(b"evil")
    (cache / "blobs" / "00").mkdir(parents=True)
    (cache / "blobs" / "00" / "short").write_bytes(b"evil")
    for place in (tmp_path, cache):
        (place / "secret").write_bytes(b"secret")
    (root / "model.safetensors").unlink()
    (root / "model.safetensors").symlink_to(target)
    with pytest.raises(SourceError):
        local_snapshot(root).open("model.safetensors")


def test_a_blob_swapped_for_a_link_is_refused(tmp_path: Path) -> None:
    """A blob that became a link to the outside after it was listed does not open."""
    root = cache_repository(tmp_path / "cache", FILES)
    snapshot = local_snapshot(root)
    blob = (root / "model.safetensors").resolve()
    blob.unlink()
    blob.symlink_to("/etc/passwd")
    with pytest.raises(SourceError, match="leads out"):
        snapshot.open("model.safetensors")


def test_a_link_swapped_after_listing_is_found_by_its_digest(tmp_path: Path) -> None:
    """A snapshot's link turned to another blob opens that blob, and its digest is not the one recorded before."""
    root = cache_repository(tmp_path, FILES)
    snapshot = local_snapshot(root)
    (root / "model.safetensors").unlink()
    (root / "model.safetensors").symlink_to(os.readlink(root / "sub/deep/model.bin").replace("../../../../", "../../"))
    with snapshot.open("model.safetensors") as file, pytest.raises(VerificationFailed, match="origin recorded"):
        digest_all([file])


def test_blobs_shared_between_repositories_open(tmp_path: Path) -> None:
    """The chain of links of huggingface_hub 2 leads to the store that all repositories share."""
    root = cache_repository(tmp_path, FILES)
    blob = (root / "model.safetensors").resolve()
    shared = tmp_path / "blobs" / "ab" / ("ab" + "0" * 62)
    shared.parent.mkdir(parents=True)
    blob.rename(shared)
    blob.symlink_to(f"../../blobs/ab/{shared.name}")
    snapshot = local_snapshot(root)
    with snapshot.open("model.safetensors") as file:
        assert digest_all([file]) == {"model.safetensors": sha256(WEIGHTS)}


def test_a_cache_without_links_works(tmp_path: Path) -> None:
    """Where links are not supported the snapshot holds files; the recorded tree knows their digests."""
    root = cache_repository(tmp_path, FILES)
    blob = (root / "model.safetensors").resolve()
    (root / "model.safetensors").unlink()
    blob.rename(root / "model.safetensors")
    row = {"size": 11, "blob_id": "0" * 40, "lfs_sha256": sha256(WEIGHTS), "lfs_size": 11}
    tree = {"format_version": 1, "files": {"model.safetensors": row, "gone.bin": row}}
    (root.parents[1] / "trees").mkdir()
    (root.parents[1] / "trees" / f"{COMMIT}.json").write_text(json.dumps(tree))
    snapshot = local_snapshot(root)
    assert snapshot.listing["model.safetensors"].recorded == Recorded(algorithm="sha256", value=sha256(WEIGHTS))
    assert "gone.bin" not in snapshot.listing and "1 of the 2 files" in snapshot.notes[0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format_version": 2, "files": {}}',
        '{"format_version": 1, "files": {"../x": {"size": 1, "blob_id": "0"}}}',
        '{"format_version": 1, "files": {"x": {"size": -1, "blob_id": "0"}}}',
        '{"format_version": 1, "files": {"x": {"size": true, "blob_id": "0"}}}',
        '{"format_version": 1, "files": {"x": 1}}',
        "[" * 100_000,
    ],
)
def test_a_tree_that_cannot_be_used_is_not(tmp_path: Path, text: str) -> None:
    """Junk in place of the recorded tree: the links still tell the digests."""
    root = cache_repository(tmp_path, FILES)
    (root.parents[1] / "trees").mkdir()
    (root.parents[1] / "trees" / f"{COMMIT}.json").write_text(text)
    snapshot = local_snapshot(root)
    assert sorted(snapshot.listing) == sorted(FILES)
    assert snapshot.listing["model.safetensors"].recorded is not None
