"""Repositories of kernels: another kind than models, with names, listings and a cache of their own."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub
import pytest

from safeload.core.errors import SourceError, UsageError
from safeload.core.limits import Limits
from safeload.sources import hfcache
from safeload.sources.folder import FolderSnapshot
from safeload.sources.hub import hub_snapshot
from tests.hubserver import Hub, hub  # noqa: F401

FILES = {"build/torch-cpu/__init__.py": b"A = 1\n", "build/torch-cpu/_x.abi3.so": b"\x7fELF" + b"x" * 300}


def snapshot(name: str = "acme/relu", **named: object) -> FolderSnapshot:
    return hub_snapshot(name, reference=name, limits=Limits(), kind="kernels", **named)  # type: ignore[arg-type]


knowing = pytest.mark.skipif(
    not hasattr(huggingface_hub.HfApi, "kernel_info"), reason="this version of the client knows no kernels"
)


def test_a_client_that_knows_none_is_named(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """It is told from a kernel that is not there: what helps is another version, and nothing was asked of the hub."""
    monkeypatch.delattr(huggingface_hub.HfApi, "kernel_info", raising=False)
    with pytest.raises(UsageError, match="knows no repositories of kernels") as caught:
        snapshot()
    assert "pip install --upgrade huggingface_hub" in str(caught.value) and not hub.asked


@knowing
def test_a_kernel_is_not_the_model_of_its_name(hub: Hub) -> None:  # noqa: F811
    """Each kind has names of its own: what one has, the other has not."""
    hub.add("acme/relu", {"config.json": b"{}"})
    commit = hub.add("acme/relu", FILES, revision="v1", kernel=True)
    found = snapshot(revision="v1")
    assert (found.revision, {*found.listing}) == (commit, {*FILES})
    with pytest.raises(SourceError, match="no such model"):
        snapshot("acme/other")
    assert "build/torch-cpu/__init__.py" not in hub_snapshot("acme/relu", reference="m", limits=Limits()).listing


@knowing
def test_its_files_are_fetched_into_a_place_of_their_own(hub: Hub) -> None:  # noqa: F811
    """Beside those of models, where `kernels` and `hf download --repo-type kernel` look as well."""
    hub.add("acme/relu", FILES, revision="v1", kernel=True)
    found = snapshot(revision="v1")
    found.fetch(FILES)
    for path, data in FILES.items():
        with found.open(path) as file:
            assert file.read_at(0, file.size) == data
    assert (Path(hfcache.default_cache()) / "kernels--acme--relu").is_dir()


@knowing
def test_a_cached_kernel_is_found_offline(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """By its commit and by the branch that it was fetched by; the message for one that is not names its kind."""
    commit = hub.add("acme/relu", FILES, revision="v1", kernel=True)
    snapshot(revision="v1").fetch(FILES)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert snapshot(revision="v1").revision == snapshot(revision=commit).revision == commit
    with pytest.raises(SourceError, match="--repo-type kernel"):
        snapshot(revision="v2")


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("/c/kernels--acme--relu/snapshots/" + "a" * 40 + "/safeload.toml", True),
        ("/c/datasets--acme--x/snapshots/" + "a" * 40 + "/build/safeload.toml", True),
        ("/c/kernels--acme--relu/refs/safeload.toml", False),
        ("/c/snapshots/" + "a" * 40 + "/safeload.toml", False),
    ],
)
def test_what_lies_in_a_snapshot_is_recognised(path: str, inside: bool) -> None:
    """No policy is read from there, whatever kind of repository it is."""
    assert hfcache.in_cache(path) is inside
