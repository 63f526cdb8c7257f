"""What goes to the hub and comes from it: no token for anybody else, and nothing that unpacks itself into memory."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from safeload.core.errors import LimitExceeded, SourceError
from safeload.sources import hub_wire
from safeload.sources.resolve import resolve
from tests.hubserver import Answer, Hub

ID = "org/name"
FILES = {"config.json": b'{"model_type": "bert"}', "model.safetensors": b"weights" * 1000, "README.md": b"# hello"}
TOKEN = "hf_" + "secret" * 6


def packed(data: bytes) -> Answer:
    return Answer(200, gzip.compress(data), {"Content-Type": "application/json", "Content-Encoding": "gzip"})


def addresses(commit: str) -> dict[str, str]:
    return {
        "revision": f"/api/models/{ID}/revision/main",
        "listing": f"/api/models/{ID}/tree/{commit}",
        "file": f"/{ID}/resolve/{commit}/config.json",
    }


@pytest.mark.parametrize("what", ["revision", "listing", "file"])
def test_a_packed_answer_is_not_unpacked(what: str, hub: Hub) -> None:
    """Whatever is asked for: a few bytes that say they are gigabytes are not read."""
    commit = hub.add(ID, FILES)
    path = addresses(commit)[what]
    right = json.dumps({"_id": "1", "id": ID, "sha": commit} if what == "revision" else []).encode()
    hub.overrides[path] = packed(b"{}" if what == "file" else right)
    with pytest.raises(SourceError, match="packed"):
        resolve(ID).fetch(["config.json"])


def test_a_packed_redirection_is_not_unpacked(hub: Hub) -> None:
    """The client reads what comes with a redirection before it follows."""
    hub.add(ID, FILES)
    answer = packed(b"x" * 1000)
    answer.status, answer.headers["Location"] = 307, "/elsewhere"
    hub.overrides[f"/api/models/{ID}/revision/main"] = answer
    with pytest.raises(SourceError, match="packed"):
        resolve(ID)


def test_an_answer_has_a_limit(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is no file ends in an error of ours before it is in memory."""
    hub.add(ID, FILES)
    long = json.dumps({"id": ID, "sha": "0" * 40, "tags": ["x" * hub_wire.MOST]}).encode()
    hub.overrides[f"/api/models/{ID}/revision/main"] = Answer(200, long, {"Content-Type": "application/json"})
    with pytest.raises(LimitExceeded, match="answer"):
        resolve(ID)


def test_files_have_no_such_limit(hub: Hub) -> None:
    """They go to the disk, as long as they are."""
    size = hub_wire.MOST + 1
    hub.add(ID, {"config.json": b"{}", "model.safetensors": b"\0" * size})
    snapshot = resolve(ID)
    snapshot.fetch(["model.safetensors"])
    assert snapshot.listing["model.safetensors"].size == size


def test_a_page_on_another_host_is_not_asked(hub: Hub) -> None:
    """It would be sent the token."""
    commit = hub.add(ID, FILES)
    listing = addresses(commit)["listing"]
    row = {"type": "file", "path": "a", "size": 1, "oid": "0" * 40}
    link = f'<{hub.storage}{listing}?cursor=1>; rel="next"'
    hub.overrides[listing] = Answer(200, json.dumps([row]).encode(), {"Content-Type": "application/json", "Link": link})
    with pytest.raises(SourceError, match="with the token"):
        resolve(ID, token=TOKEN)
    assert not [asked for asked in hub.asked if asked.storage]


def test_rights_are_not_asked_for_elsewhere(hub: Hub) -> None:
    """The address that an answer names for them, in `xet-auth`, would be sent the token."""
    from huggingface_hub.utils import _xet

    elsewhere = _xet.XetFileData(file_hash="0" * 64, refresh_route=f"{hub.storage}/api/rights")
    headers = {"authorization": f"Bearer {TOKEN}"}
    with hub_wire.careful(ID, endpoint=hub.endpoint), pytest.raises(SourceError, match="with the token"):
        _xet.refresh_xet_connection_info(file_data=elsewhere, headers=headers)
    assert not hub.asked


@pytest.mark.parametrize(
    ("address", "known"),
    [
        ("https://hub.example/api", True),
        ("https://hub.example:443/api", True),
        ("https://HUB.example/api", True),
        ("https://huggingface.co/api", True),
        ("http://hub.example/api", False),
        ("https://hub.example:444/api", False),
        ("https://hub.example.evil/api", False),
        ("https://evil.example/hub.example", False),
        ("https://hub.example@evil.example/", False),
        ("https://hub.example:port/", False),
        ("http://huggingface.co/api", False),
        ("//hub.example/api", False),
    ],
)
def test_the_token_goes_to_the_hub_alone(address: str, known: bool) -> None:
    """The same host and port, by the same way or a safer one."""
    assert hub_wire._may_know(address, "https://hub.example") is known


def test_other_calls_of_the_client_stay_what_they_were(hub: Hub, tmp_path: Path) -> None:
    """A program's own calls unpack what they get, and its client is the one that it has set up."""
    from huggingface_hub import HfApi
    from huggingface_hub.utils import get_session

    commit = hub.add(ID, FILES)
    client = get_session()
    resolve(ID).fetch(["config.json"])
    row: dict[str, Any] = {"_id": "1", "id": ID, "modelId": ID, "sha": commit, "siblings": [], "tags": []}
    hub.overrides[f"/api/models/{ID}"] = packed(json.dumps(row).encode())
    assert HfApi(endpoint=hub.endpoint).model_info(ID).sha == commit
    assert get_session() is client
