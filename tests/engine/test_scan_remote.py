"""Scanning what is not here: the same findings as here, from as few bytes as matter."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from safeload.core.errors import LimitExceeded, SourceError, UsageError
from safeload.core.finding import Status
from safeload.core.limits import Limits
from safeload.engine.options import Options
from safeload.engine.request import Access, Request
from safeload.engine.scan import scan
from safeload.sources import remote
from safeload.sources.remote import split_hub
from tests.hubserver import Hub, hub
from tests.rangeserver import serving

__all__ = ["hub"]

POISONED = b"cos\nsystem\n(S'true'\ntR."
WEIGHTS = 8 << 20


def checkpoint(pickle: bytes) -> bytes:
    """An archive as torch writes them, with eight megabytes of weights in sixteen members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("model/data.pkl", pickle)
        archive.writestr("model/version", b"3\n")
        for number in range(16):
            archive.writestr(f"model/data/{number}", bytes(WEIGHTS // 16))
    return buffer.getvalue()


FILES = {
    "config.json": b'{"model_type": "bert"}',
    "pytorch_model.bin": checkpoint(b"\x80\x02}q\x00."),
    "sub/evil.bin": checkpoint(POISONED),
    "sub/notes.txt": b"hello",
}


def test_a_file_on_the_web_is_read_by_ranges() -> None:
    """The report is that of the same file here, and under a twenty-fifth of its bytes were fetched."""
    heard: list[str] = []
    data = FILES["sub/evil.bin"]
    with serving(data) as server:
        report = scan(f"{server.url}/some/evil.bin?key=secret", note=heard.append)
    assert [(file.path, file.status, file.size) for file in report.files] == [("evil.bin", Status.DANGEROUS, len(data))]
    assert report.files[0].format == "torch-zip"
    fetched = int(heard[0].split()[0].replace(",", ""))
    assert 0 < fetched < len(data) / 25
    assert f"of {len(data):,} bytes were read" in heard[0] and "secret" not in heard[0]


def test_what_follows_the_question_mark_is_in_no_report() -> None:
    """An address that is good for a while carries a key, and reports are handed on."""
    with serving(POISONED) as server:
        found = scan(f"{server.url}/m/x.pkl?X-Signature=SECRET#part")
    assert found.target == f"{server.url}/m/x.pkl" and found.files[0].status is Status.DANGEROUS
    assert "SECRET" not in repr(found)


def test_an_address_without_a_name_is_a_download() -> None:
    """Where an address ends in no usable name, the file has one of ours."""
    with serving(POISONED) as server:
        assert scan(f"{server.url}/%2e%2e/").file("download").status is Status.DANGEROUS


def test_what_fails_midway_is_undecided() -> None:
    """A file that changes while it is read is undecided, with the reason, and never safe."""

    def change(answer: object) -> None:
        if answer.number > 3:  # type: ignore[attr-defined]
            answer.headers["ETag"] = '"two"'  # type: ignore[attr-defined]

    with serving(FILES["pytorch_model.bin"], change) as server:
        report = scan(f"{server.url}/model.bin")
    assert report.status is Status.UNDECIDED
    assert "changed while it was read" in report.findings[0].message


def test_an_address_has_no_revision_and_must_exist() -> None:
    """A revision cannot be honoured; nothing there is an error of the target."""
    with serving(POISONED) as server, pytest.raises(UsageError, match="revision"):
        scan(server.url, request=Request(revision="main"))
    with pytest.raises(SourceError):
        scan(f"{server.url}/model.bin")


@pytest.mark.parametrize("reference", ["org/name", "hf://org/name", "hf://org/name@main"])
def test_a_model_on_the_hub_is_not_downloaded(hub: Hub, reference: str, tmp_path: Path) -> None:
    """Every file of the listing is reported on, by ranges; nothing is left in the cache."""
    hub.add("org/name", FILES)
    heard: list[str] = []
    report = scan(reference, note=heard.append)
    assert [(file.path, str(file.status)) for file in report.files] == [
        ("config.json", "safe"),
        ("pytorch_model.bin", "safe"),
        ("sub/evil.bin", "dangerous"),
        ("sub/notes.txt", "safe"),
    ]
    total = sum(map(len, FILES.values()))
    assert f"of {total:,} bytes were read" in heard[-1]
    assert int(heard[-1].split()[0].replace(",", "")) < total / 25
    assert not list(tmp_path.rglob("evil.bin"))


def test_a_token_is_for_the_hub_and_not_for_its_storage(hub: Hub) -> None:
    """A private model is read with the token, which the storage network never sees."""
    hub.add("org/name", FILES, token="hf_secret")
    report = scan("org/name", request=Request(access=Access(token="hf_secret")))
    assert report.file("sub/evil.bin").status is Status.DANGEROUS
    assert {asked.authorization for asked in hub.asked if asked.storage} == {""}
    assert {asked.authorization for asked in hub.asked if not asked.storage} == {"hf_secret"}


def test_a_part_of_a_model_is_scanned_alone(hub: Hub) -> None:
    """A path after the model names one file or folder of it; one that is not there is an error."""
    hub.add("org/name", FILES)
    assert [file.path for file in scan("hf://org/name/sub").files] == ["sub/evil.bin", "sub/notes.txt"]
    assert [file.path for file in scan("hf://org/name@main/config.json").files] == ["config.json"]
    with pytest.raises(SourceError, match="was not scanned"):
        scan("hf://org/name/su")


def test_what_is_in_the_cache_is_read_from_there(hub: Hub) -> None:
    """A file that was downloaded before is opened here; the others are read by ranges."""
    from huggingface_hub import hf_hub_download

    hub.add("org/name", FILES)
    hf_hub_download("org/name", "sub/evil.bin")
    hub.forget()
    assert scan("org/name").file("sub/evil.bin").status is Status.DANGEROUS
    assert "sub/evil.bin" not in hub.fetched and "pytorch_model.bin" in hub.fetched


def test_a_size_that_is_not_the_listed_one_is_undecided(hub: Hub) -> None:
    """Storage that holds another file than the hub lists is not believed."""
    hub.add("org/name", FILES)
    hub.corrupt("org/name", "pytorch_model.bin", b"\x80\x02}q\x00.")
    file = scan("org/name").file("pytorch_model.bin")
    assert file.status is Status.UNDECIDED and "according to the hub" in file.findings[0].message


def test_an_unlisted_file_is_not_opened(hub: Hub) -> None:
    """What the listing does not have cannot be opened."""
    hub.add("org/name", FILES)
    from safeload.sources.resolve import resolve

    with pytest.raises(SourceError, match="was not opened"):
        remote.by_ranges(resolve("org/name"), within="").open("other.bin")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("hf://org/name", ("hf://org/name", "")),
        ("hf://gpt2", ("hf://gpt2", "")),
        ("hf://gpt2@v1", ("hf://gpt2@v1", "")),
        ("hf://org/name/a/b.bin", ("hf://org/name", "a/b.bin")),
        ("hf://models/org/name/a", ("hf://org/name", "a")),
        ("hf://org/name@v1.0/a/b", ("hf://org/name@v1.0", "a/b")),
        ("hf://org/name@refs/pr/3", ("hf://org/name@refs/pr/3", "")),
        ("hf://org/name@refs/pr/3/a", ("hf://org/name@refs/pr/3", "a")),
        ("hf://org/name@feature%2Fx/a", ("hf://org/name@feature/x", "a")),
        ("org/name", ("org/name", "")),
    ],
)
def test_how_a_reference_to_the_hub_is_read(text: str, parts: tuple[str, str]) -> None:
    """Model, revision and the path within it."""
    assert split_hub(text) == parts


# ── stores of objects, with fsspec's own in memory ──────────────────────────────────────────────────────────────────


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> object:
    fsspec = pytest.importorskip("fsspec")
    monkeypatch.setattr(remote, "CLOUD", ("memory://", "nowhere://"))
    system = fsspec.filesystem("memory")
    system.store.clear()
    for name, data in FILES.items():
        system.pipe(f"/bucket/model/{name}", data)
    return system


def test_a_prefix_of_a_store_is_read_by_ranges(memory: object) -> None:
    """Every object under the prefix is reported on, under its relative name, and counted."""
    heard: list[str] = []
    report = scan("memory://bucket/model", note=heard.append)
    assert [file.path for file in report.files] == sorted(FILES)
    assert report.file("sub/evil.bin").status is Status.DANGEROUS
    assert int(heard[-1].split()[0].replace(",", "")) < sum(map(len, FILES.values())) / 25
    assert [file.path for file in scan("memory://bucket/model/config.json").files] == ["config.json"]


def test_an_object_that_changes_is_undecided(memory: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its version is looked at after each read."""
    honest = type(memory).cat_file

    def cat_file(self: object, path: str, **rest: int) -> bytes:
        data = honest(self, path, **rest)
        memory.pipe(path, FILES["pytorch_model.bin"][::-1])
        return data

    monkeypatch.setattr(type(memory), "cat_file", cat_file)
    file = scan("memory://bucket/model/pytorch_model.bin").files[0]
    assert file.status is Status.UNDECIDED and "changed while it was read" in file.findings[0].message


def test_fewer_bytes_than_asked_for_are_an_error(memory: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that sends less is not believed."""
    honest = type(memory).cat_file
    monkeypatch.setattr(type(memory), "cat_file", lambda self, path, **rest: honest(self, path, **rest)[:-1])
    file = scan("memory://bucket/model/pytorch_model.bin").files[0]
    assert file.status is Status.UNDECIDED and "came" in file.findings[0].message


def test_a_store_that_cannot_be_read_is_an_error(memory: object) -> None:
    """Nothing there, too much there, or a client that does not exist."""
    with pytest.raises(SourceError, match="was not read"):
        scan("memory://bucket/nothing")
    with pytest.raises(LimitExceeded):
        scan("memory://bucket/model", options=Options(limits=Limits(members=2)))
    with pytest.raises((SourceError, UsageError), match="was not read"):
        scan("nowhere://bucket")


def test_a_name_that_is_no_relative_path_is_an_error(memory: object) -> None:
    """A store may hold names that no file system has."""
    memory.pipe("/bucket/model/../x", b"x")
    memory.store["/bucket/model/a/../../x"] = memory.store["/bucket/model/config.json"]
    with pytest.raises(SourceError, match="was not read"):
        scan("memory://bucket/model")
