"""`safeload.torch.hub`: weights by their address, verified each time; never a repository's code."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from safeload import PolicyDenied, UsageError
from safeload.core.errors import SourceError, VerificationFailed
from safeload.torch import hub


@pytest.fixture
def published(tmp_path: Path) -> Callable[..., str]:
    """Publish a checkpoint under a name that says its digest (or the digits given); returns its address."""

    def publish(value: object = None, *, digits: str = "", name: str = "") -> str:
        server = tmp_path / "server"
        server.mkdir(exist_ok=True)
        path = server / "new.pth"
        torch.save({"w": torch.ones(2)} if value is None else value, path)
        digits = digits or hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        return path.rename(server / (name or f"model-{digits}.pth")).as_uri()

    return publish


def test_weights_are_downloaded_once(published: Callable[..., str], tmp_path: Path) -> None:
    """The file is kept where torch keeps it, and loaded from there when the server is gone."""
    url = published()
    state = hub.load_state_dict_from_url(url, tmp_path / "kept", check_hash=True, progress=False)
    assert torch.equal(state["w"], torch.ones(2))
    Path(url.removeprefix("file://")).unlink()
    again = hub.load_state_dict_from_url(url, str(tmp_path / "kept"), "cpu", False, True)
    assert torch.equal(again["w"], torch.ones(2))
    assert [path.name for path in (tmp_path / "kept").iterdir()] == [Path(url).name]


def test_the_usual_directory_is_torchs(published: Callable[..., str], tmp_path: Path, monkeypatch: Any) -> None:
    """Without `model_dir`, what torch downloaded before is found."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    hub.load_state_dict_from_url(published(name="m.pth"), progress=False)
    assert Path(hub.get_dir(), "checkpoints", "m.pth").is_file()


def test_a_wrong_digest_is_refused_and_forgotten(published: Callable[..., str], tmp_path: Path) -> None:
    """Another file than the name says is an error, and is not left for the next load."""
    url = published(digits="0" * 8)
    with pytest.raises(VerificationFailed, match="00000000"):
        hub.load_state_dict_from_url(url, tmp_path / "kept", check_hash=True, progress=False)
    assert list((tmp_path / "kept").iterdir()) == []


def test_a_file_that_was_there_is_verified_too(published: Callable[..., str], tmp_path: Path) -> None:
    """torch verifies only what it downloads; a file that was changed since is refused here, and kept."""
    url = published()
    kept = tmp_path / "kept"
    hub.load_state_dict_from_url(url, kept, check_hash=True, progress=False)
    torch.save({"w": torch.zeros(2)}, kept / Path(url).name)
    with pytest.raises(VerificationFailed):
        hub.load_state_dict_from_url(url, kept, check_hash=True, progress=False)
    assert len(list(kept.iterdir())) == 1


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("model.pth", {"check_hash": True}),
        ("model-abc.pth", {"check_hash": True}),
        ("model-zzzzzzzz.pth", {"check_hash": True}),
        ("m.pth", {"file_name": "../m.pth"}),
        ("m.pth", {"file_name": "a/m.pth"}),
        ("m.pth", {"file_name": ""}),
        ("m.pth", {"file_name": ".."}),
        ("m.pth", {"weights_only": False}),
        ("m.pth", {"safeload": 1}),
    ],
)
def test_what_cannot_be_honoured_is_refused(
    name: str, arguments: dict[str, Any], published: Callable[..., str], tmp_path: Path
) -> None:
    """A digest that is not there, a name that leads elsewhere, code: refused before anything is downloaded."""
    with pytest.raises(UsageError):
        hub.load_state_dict_from_url(published(name=name), tmp_path / "kept", progress=False, **arguments)
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize("url", ["ftp://a/m.pth", "m.pth", "https://a/", "javascript:m.pth"])
def test_other_addresses_are_refused(url: str, tmp_path: Path) -> None:
    """Only https, http and file, and a file's name at the end."""
    with pytest.raises(UsageError):
        hub.load_state_dict_from_url(url, tmp_path)


def test_a_failed_download_is_our_error(tmp_path: Path) -> None:
    """There is no such file: that is said, and nothing is left."""
    with pytest.raises(SourceError):
        hub.load_state_dict_from_url((tmp_path / "none.pth").as_uri(), tmp_path / "kept", progress=False)
    assert list((tmp_path / "kept").iterdir()) == []


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        import os

        return os.system, (f"touch {self.path}",)


def test_a_dangerous_download_is_refused(published: Callable[..., str], tmp_path: Path, marker: Path) -> None:
    """torch's default here runs whatever a file says; ours judges it as any other."""
    with pytest.raises(PolicyDenied):
        hub.load_state_dict_from_url(published({"x": Evil(marker)}), tmp_path / "kept", progress=False)


@pytest.mark.parametrize(
    "call",
    [
        lambda folder: hub.load(folder, "net", source="local"),
        lambda folder: hub.load(folder, "net", True, source="local", trust_repo=True, pretrained=True),
    ],
)
def test_local_code_is_refused(call: Callable[[str], Any], tmp_path: Path, marker: Path) -> None:
    """A repository's code is not run, trusted or not, unless it is approved; the refusal says how."""
    code = f"open({str(marker)!r}, 'w')\n"
    (tmp_path / "hubconf.py").write_text(code)
    with pytest.raises(PolicyDenied, match="safeload approve"):
        call(str(tmp_path))


@pytest.mark.parametrize(
    "call",
    [
        lambda: hub.load("pytorch/vision:main", "resnet18"),
        lambda: hub.load("pytorch/vision", "resnet18", trust_repo=True),
        lambda: hub.help("pytorch/vision", "resnet18"),
        lambda: hub.list("pytorch/vision"),
    ],
)
def test_code_of_repositories_is_refused(call: Callable[[], Any]) -> None:
    """`load`, `help` and `list` would all run it; nothing is fetched, and the next command is named."""
    with pytest.raises(PolicyDenied, match=r"safeload audit") as caught:
        call()
    assert "load_state_dict_from_url" in str(caught.value)


def test_an_unknown_source_is_the_callers_mistake() -> None:
    """torch knows two."""
    with pytest.raises(UsageError):
        hub.load("a/b", "c", source="gitlab")


def test_signatures_are_torchs() -> None:
    """The same parameters in the same places; the one default that differs is the one that ran code."""
    own = inspect.signature(hub.load_state_dict_from_url).parameters
    genuine = inspect.signature(torch.hub.load_state_dict_from_url).parameters
    assert [name for name in own if name != "safeload"] == list(genuine)
    assert {name for name in genuine if own[name].default != genuine[name].default} == {"weights_only"}


def test_what_runs_nothing_is_torchs_own() -> None:
    """Directories and plain downloads; other names do not exist."""
    assert hub.get_dir is torch.hub.get_dir
    assert hub.download_url_to_file is torch.hub.download_url_to_file
    with pytest.raises(AttributeError):
        hub._load_local
