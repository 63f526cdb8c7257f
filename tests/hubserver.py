"""A stand-in for the Hugging Face hub's HTTP interface, on the loopback interface.

The real client talks to it, and real downloads happen. Two servers run: one for the interface, and one that plays
the storage network that large files are redirected to, because the client treats that as a foreign host.

    def test_something(hub: Hub) -> None:
        commit = hub.add("org/name", {"config.json": b"{}", "model.safetensors": b"…"})
        ...
        assert hub.fetched == ["model.safetensors"]

Put `from tests.hubserver import hub` into the `conftest.py` of a folder, or into a test module, to have the fixture.
"""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

LARGE = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".msgpack", ".h5", ".onnx", ".model", ".so")
"""Names of files that are kept in LFS; the others are in git itself."""
_STORAGE = "127.0.0.2"
"""Another host than that of the interface: some versions of the client do not look at the port."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, as it came."""

    method: str
    path: str
    status: int
    repository: str = ""
    file: str = ""
    authorization: str = ""
    storage: bool = False
    """Whether the storage network was asked, rather than the hub."""


@dataclass(slots=True)
class Repository:
    """One model with all its commits."""

    name: str
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    gated: bool = False
    token: str = ""
    """If set, the repository is private, and only this token sees it."""

    def commit(self, revision: str) -> str | None:
        return self.refs.get(revision) or (revision if revision in self.commits else None)


@dataclass(slots=True)
class Answer:
    """What is sent back."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\x00" % len(data) + data, usedforsecurity=False).hexdigest()


def pointer(data: bytes) -> bytes:
    """The text that git keeps for a file in LFS."""
    oid = hashlib.sha256(data).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(data)}\n".encode()


class Hub:
    """The hub, for as long as it is not closed. Give `endpoint` to the client, or use the fixture."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.kernels: dict[str, Repository] = {}
        """Repositories of kernels: another kind, whose names are their own."""
        self.asked: list[Asked] = []
        self.overrides: dict[str, Answer] = {}
        """Answers by path of the URL (decoded, without its query), instead of the right ones."""
        self.served: dict[tuple[str, str], bytes] = {}
        """Bytes that are sent for a file, by repository and path, instead of the right ones: see `corrupt`."""
        self.page = 1000
        """Files in one page of a listing."""
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._api = _serve(self, storage=False)
        self._storage = _serve(self, storage=True)
        self.endpoint = f"http://127.0.0.1:{self._api.server_address[1]}"
        self.storage = f"http://{_STORAGE}:{self._storage.server_address[1]}"

    def close(self) -> None:
        """Stop answering."""
        for server in (self._api, self._storage):
            server.shutdown()
            server.server_close()
        with self._lock:
            connections, self._connections = self._connections, set()
        for connection in connections:
            # Clients keep connections open; a hub that is gone must not go on answering on them.
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def connected(self, connection: socket.socket) -> None:
        """Remember a connection, to end it when the hub closes."""
        with self._lock:
            self._connections.add(connection)

    def __enter__(self) -> Hub:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # what it holds

    def add(
        self,
        name: str,
        files: Mapping[str, bytes] | Path,
        *,
        revision: str = "main",
        gated: bool = False,
        token: str = "",
        kernel: bool = False,
    ) -> str:
        """Commit `files` (or the files of a directory) as `revision`; return the commit. Earlier commits stay."""
        if isinstance(files, Path):
            files = {str(path.relative_to(files)): path.read_bytes() for path in files.rglob("*") if path.is_file()}
        repository = (self.kernels if kernel else self.repositories).setdefault(name, Repository(name))
        repository.gated, repository.token = gated, token
        content = json.dumps({path: git_sha1(data) for path, data in sorted(files.items())})
        commit = hashlib.sha1(f"{name} {content}".encode(), usedforsecurity=False).hexdigest()
        repository.commits[commit] = dict(files)
        repository.refs[revision] = commit
        return commit

    def corrupt(self, name: str, path: str, data: bytes | None = None) -> None:
        """From now on send other bytes for a file, while saying that they are the right ones.

        Without `data` one bit of the right ones is changed, so that the size stays.
        """
        if data is None:
            right = self.repositories[name].commits[self.repositories[name].refs["main"]][path]
            data = bytes([right[0] ^ 1]) + right[1:]
        self.served[name, path] = data

    # what it was asked

    @property
    def fetched(self) -> list[str]:
        """The files whose bytes were asked for, in order of their names, each once."""
        return sorted({asked.file for asked in self.asked if asked.method == "GET" and asked.file})

    def forget(self) -> None:
        """Empty the log of requests."""
        with self._lock:
            self.asked.clear()

    def answer(self, handler: _Handler) -> Answer:
        """Answer one request, and log it."""
        url = urlsplit(handler.path)
        path, query = unquote(url.path), parse_qs(url.query)
        bearer = handler.headers.get("Authorization", "").removeprefix("Bearer ")
        name, file = "", ""
        if path in self.overrides:
            answer = self.overrides[path]
        elif handler.storage:
            name, file, answer = self._from_storage(url.path, handler.headers.get("Range", ""))
        else:
            name, file, answer = self._from_hub(url.path, query, bearer, handler)
        with self._lock:
            self.asked.append(Asked(handler.command, path, answer.status, name, file, bearer, storage=handler.storage))
        return answer

    def _from_hub(
        self, raw: str, query: dict[str, list[str]], bearer: str, handler: _Handler
    ) -> tuple[str, str, Answer]:
        parts = raw.strip("/").split("/")
        api = parts[:1] == ["api"] and parts[1:2] in (["models"], ["kernels"])
        rest = parts[2:] if api else parts
        if (kernels := parts[1:2] == ["kernels"] if api else parts[:1] == ["kernels"]) and not api:
            rest = rest[1:]
        named = self.kernels if kernels else self.repositories
        repository = next((found for n in (2, 1) if (found := named.get("/".join(rest[:n])))), None)
        if repository is None:
            return "", "", _error(401 if not bearer else 404, "RepoNotFound", "Repository not found")
        name = repository.name
        rest = rest[name.count("/") + 1 :]
        if repository.token and bearer != repository.token:
            return name, "", _error(401, "RepoNotFound", "Repository not found")
        if api and rest[:1] == ["refs"]:
            refs = [{"name": n, "ref": f"refs/heads/{n}", "targetCommit": c} for n, c in repository.refs.items()]
            return name, "", _json({"branches": refs, "converts": [], "tags": [], "pullRequests": []})
        verb, revision = rest[0] if rest else "revision", unquote(rest[1]) if len(rest) > 1 else "main"
        commit = repository.commit(revision)
        if commit is None:
            return name, "", _error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if api and verb == "revision":
            return name, "", _json(self._info(repository, commit, query))
        if api and verb == "tree":
            return name, "", self._tree(repository, commit, query, handler, unquote("/".join(rest[2:])))
        if api and verb == "paths-info":
            wanted = _form(handler).get("paths", [])
            rows = [row for row in self._rows(repository, commit) if row["path"] in wanted]
            return name, "", _json(rows)
        if not api and verb == "resolve":
            file = unquote("/".join(rest[2:]))
            return name, file, self._resolve(repository, commit, file, bearer, handler.headers.get("Range", ""))
        return name, "", _error(404, "", "Not found")

    def _info(self, repository: Repository, commit: str, query: dict[str, list[str]]) -> dict[str, Any]:
        info: dict[str, Any] = {"_id": "0" * 24, "id": repository.name, "modelId": repository.name, "sha": commit}
        if "expand" in query:
            return {key: info[key] for key in ("_id", "id", "sha")}
        info |= {"private": bool(repository.token), "gated": repository.gated and "manual", "tags": []}
        info["siblings"] = [{"rfilename": row["path"]} for row in self._rows(repository, commit)]
        return info

    def _rows(self, repository: Repository, commit: str) -> list[dict[str, Any]]:
        rows = []
        for path, data in sorted(repository.commits[commit].items()):
            row: dict[str, Any] = {"type": "file", "path": path, "size": len(data), "oid": git_sha1(data)}
            if path.endswith(LARGE):
                row["oid"] = git_sha1(pointer(data))
                row["lfs"] = {
                    "oid": hashlib.sha256(data).hexdigest(),
                    "size": len(data),
                    "pointerSize": len(pointer(data)),
                }
            rows.append(row)
        return rows

    def _tree(
        self, repository: Repository, commit: str, query: dict[str, list[str]], handler: _Handler, within: str
    ) -> Answer:
        rows = self._rows(repository, commit)
        folders = {parent for row in rows for parent in _parents(row["path"])}
        rows += [{"type": "directory", "path": path, "size": 0, "oid": "0" * 40} for path in sorted(folders)]
        rows = [row for row in rows if not within or row["path"].startswith(f"{within}/")]
        if query.get("recursive", [""])[0].lower() != "true":
            rows = [row for row in rows if "/" not in row["path"][len(within) + 1 if within else 0 :]]
        start = int(query.get("cursor", ["0"])[0])
        answer = _json(rows[start : start + self.page])
        if start + self.page < len(rows):
            url = f"{self.endpoint}{urlsplit(handler.path).path}?recursive=true&cursor={start + self.page}"
            answer.headers["Link"] = f'<{url}>; rel="next"'
        return answer

    def _resolve(self, repository: Repository, commit: str, path: str, bearer: str, range_: str) -> Answer:
        if repository.gated:
            return _error(403 if bearer else 401, "GatedRepo", f"Access to {repository.name} is restricted")
        data = repository.commits[commit].get(path)
        if data is None:
            answer = _error(404, "EntryNotFound", "Entry not found")
            answer.headers["X-Repo-Commit"] = commit
            return answer
        if not path.endswith(LARGE):
            sent = self.served.get((repository.name, path), data)
            return _bytes(sent, range_, {"X-Repo-Commit": commit, "ETag": f'"{git_sha1(data)}"'})
        digest = hashlib.sha256(data).hexdigest()
        return Answer(
            302,
            headers={
                "X-Repo-Commit": commit,
                "X-Linked-Etag": f'"{digest}"',
                "X-Linked-Size": str(len(data)),
                "ETag": f'"{git_sha1(pointer(data))}"',
                "Location": f"{self.storage}/{repository.name}/{commit}/{path}",
            },
        )

    def _from_storage(self, raw: str, range_: str) -> tuple[str, str, Answer]:
        parts = unquote(raw).strip("/").split("/")
        for at, kept in ((at, kept) for at in (2, 1) for kept in (self.repositories, self.kernels)):
            repository = kept.get("/".join(parts[:at]))
            if repository is not None and parts[at] in repository.commits:
                file = "/".join(parts[at + 1 :])
                data = self.served.get((repository.name, file), repository.commits[parts[at]].get(file))
                if data is not None:
                    etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
                    return repository.name, file, _bytes(data, range_, {"ETag": f'"{etag}"'})
        return "", "", Answer(404)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub
    storage: bool

    def _do(self) -> None:
        answer = self.hub.answer(self)
        self.send_response(answer.status)
        for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_GET = do_HEAD = do_POST = _do

    def log_message(self, *_: object) -> None:
        """Requests are in `Hub.asked`, not on the terminal."""

    def handle(self) -> None:
        self.hub.connected(self.connection)
        try:
            super().handle()
        except (ConnectionError, TimeoutError):
            # A client that hangs up is not worth a traceback on the terminal.
            self.close_connection = True


def _serve(hub: Hub, *, storage: bool) -> ThreadingHTTPServer:
    handler = type("Handler", (_Handler,), {"hub": hub, "storage": storage})
    server = ThreadingHTTPServer((_STORAGE if storage else "127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.block_on_close = False
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server


def _bytes(data: bytes, range_: str, headers: dict[str, str]) -> Answer:
    headers = {**headers, "Accept-Ranges": "bytes"}
    if not range_.startswith("bytes="):
        return Answer(200, data, headers)
    first, _, last = range_.removeprefix("bytes=").partition("-")
    start, stop = int(first or 0), min(int(last) + 1 if last else len(data), len(data))
    if start >= len(data):
        return Answer(416, b"", {**headers, "Content-Range": f"bytes */{len(data)}"})
    return Answer(206, data[start:stop], {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"})


def _json(value: object) -> Answer:
    return Answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})


def _error(status: int, code: str, message: str) -> Answer:
    return Answer(
        status,
        json.dumps({"error": message}).encode(),
        {"Content-Type": "application/json", "X-Error-Code": code, "X-Error-Message": message},
    )


def _form(handler: BaseHTTPRequestHandler) -> dict[str, Any]:
    body = handler.rfile.read(int(handler.headers.get("Content-Length", "0")))
    if "json" in handler.headers.get("Content-Type", ""):
        return dict(json.loads(body))
    return parse_qs(body.decode())


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub of this test's own, with an empty cache. Libraries that are already imported ask it, too."""
    from huggingface_hub import constants

    with Hub() as server:
        cache = tmp_path / "huggingface" / "hub"
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        monkeypatch.setattr(constants, "HF_HOME", str(tmp_path / "huggingface"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "huggingface" / "token"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield server
