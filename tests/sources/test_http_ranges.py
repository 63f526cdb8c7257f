"""Byte ranges over HTTP: exactly the bytes asked for, of one version of the file, or an error."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeload.core.errors import SourceError
from safeload.sources import http_ranges
from safeload.sources.http_ranges import FIRST, WHOLE, HttpFile
from safeload.sources.ranges import BLOCK, KEPT, RangedFile, Traffic
from tests.rangeserver import Answer, Lie, serving

DATA = bytes(range(256)) * 1024  # 256 KiB


def read(url: str, *ranges: tuple[int, int]) -> list[bytes]:
    file = HttpFile(url)
    try:
        return [file.fetch(start, stop) for start, stop in ranges]
    finally:
        file.close()


def test_exactly_the_bytes_that_were_asked_for() -> None:
    """The first answer is kept; later ones are asked for over one connection, without any encoding."""
    with serving(DATA) as server:
        assert read(server.url + "/m.bin", (0, 10), (100_000, 100_010), (len(DATA) - 5, len(DATA))) == [
            DATA[:10],
            DATA[100_000:100_010],
            DATA[-5:],
        ]
        assert [headers["range"] for _, headers in server.asked] == [
            f"bytes=0-{FIRST - 1}",
            "bytes=100000-100009",
            f"bytes={len(DATA) - 5}-{len(DATA) - 1}",
        ]
        assert all(headers["accept-encoding"] == "identity" for _, headers in server.asked)


def test_an_empty_file_has_no_range() -> None:
    """A server says so with status 416 and a length of zero."""
    with serving(b"") as server:
        assert HttpFile(server.url).size == 0


def whole(answer: Answer) -> None:
    answer.status, answer.body = 200, DATA
    answer.headers = {"Content-Length": str(len(DATA))}


def test_a_small_file_may_be_sent_whole() -> None:
    """A server without ranges sends the file once, and it is kept."""
    with serving(DATA, whole) as server:
        assert read(server.url, (0, 10), (200_000, 200_010)) == [DATA[:10], DATA[200_000:200_010]]
        assert len(server.asked) == 1


def headers(**change: str) -> Lie:
    def lie(answer: Answer) -> None:
        answer.headers |= {name.replace("_", "-"): text for name, text in change.items()}

    return lie


def later(lie: Lie) -> Lie:
    return lambda answer: lie(answer) if answer.number > 1 else None


def set_to(**change: object) -> Lie:
    def lie(answer: Answer) -> None:
        for name, value in change.items():
            setattr(answer, name, value)

    return lie


def shifted(answer: Answer) -> None:
    answer.headers["Content-Range"] = f"bytes {answer.start + 1}-{answer.stop}/{answer.size}"


def longer(answer: Answer) -> None:
    answer.headers["Content-Range"] = f"bytes {answer.start}-{answer.stop - 1}/{answer.size + 1}"


def cut(answer: Answer) -> None:
    answer.body = answer.body[:-1]


def stream(answer: Answer) -> None:
    answer.headers.pop("Content-Length")
    answer.status, answer.endless = 200, True


def unversioned(answer: Answer) -> None:
    answer.headers.pop("ETag")


LIES: dict[str, tuple[Callable[[Answer], None], str]] = {
    "another range": (shifted, "others were sent"),
    "another length later": (later(longer), "others were sent"),
    "no range": (headers(Content_Range=""), "does not say which"),
    "a range that is no number": (headers(Content_Range="bytes 0-x/9"), "does not say which"),
    "a huge length": (headers(Content_Range=f"bytes 0-65535/{10**19 - 1}"), "others were sent|bytes early"),
    "a number with too many digits": (headers(Content_Range="bytes 0-65535/" + "9" * 30), "does not say which"),
    "fewer bytes than announced": (cut, "early|IncompleteRead"),
    "more bytes announced than asked for": (headers(Content_Length="99999999"), "announced"),
    "another version later": (later(headers(ETag='"two"')), "changed while it was read"),
    "the whole file later": (later(set_to(status=200)), "changed while it was read"),
    "no version": (unversioned, "does not say which version"),
    "gzip": (headers(Content_Encoding="gzip"), "another encoding"),
    "an endless body": (stream, "no byte ranges and does not say how long"),
    "a huge whole file": (set_to(status=200, headers={"Content-Length": str(10**15)}), "no byte ranges and sends all"),
    "not found": (set_to(status=404), "there is no such file"),
    "an error later": (later(set_to(status=500)), "status 500"),
    "nothing at all": (set_to(silent=True), "closed|reset|without response"),
    "a redirect to a file": (set_to(status=302, headers={"Location": "file:///etc/passwd"}), "not an address"),
    "a redirect to another scheme": (set_to(status=302, headers={"Location": "ftp://example.org/x"}), "not an address"),
    "a redirect with a password": (
        set_to(status=302, headers={"Location": "http://a:b@example.org"}),
        "not an address",
    ),
    "a redirect to nowhere": (set_to(status=302, headers={"Content-Length": "0"}), "redirected to nowhere"),
    "a redirect in a circle": (set_to(status=302, headers={"Location": "/again"}), "more than 5 times"),
    "a redirect to what is no address": (set_to(status=302, headers={"Location": "http://[x"}), "redirected to|not an"),
    "a redirect with a line end": (set_to(status=302, headers={"Location": "/a\tb"}), "not an address|redirected"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_server_that_lies_is_refused(name: str) -> None:
    """Whatever else a server sends is an error with a place and a reason, at once, and never content."""
    lie, why = LIES[name]
    with serving(DATA, lie) as server, pytest.raises(SourceError) as caught:
        read(server.url + "/m.bin?signature=secret", (0, 10), (100_000, 100_010))
    assert caught.value.where and caught.value.remedy
    assert "secret" not in str(caught.value)
    import re

    assert re.search(why, caught.value.why), caught.value.why


def test_a_large_file_is_not_taken_whole() -> None:
    """Beyond a limit, a server that knows no ranges is refused before its body is read."""
    with (
        serving(b"", set_to(status=200, headers={"Content-Length": str(WHOLE + 1)})) as server,
        pytest.raises(SourceError, match="was not fetched"),
    ):
        HttpFile(server.url)


def test_a_token_goes_to_its_own_host_only() -> None:
    """After a redirect to another host or port, the token is not sent any more."""
    with serving(DATA) as storage:
        moved = set_to(status=302, headers={"Location": f"{storage.url}/there?key=1", "Content-Length": "0"})
        with serving(b"", moved) as front:
            file = HttpFile(f"{front.url}/m.bin", headers={"Authorization": "Bearer secret"})
            assert file.fetch(100_000, 100_004) == DATA[100_000:100_004]
            file.close()
    assert [headers.get("authorization") for _, headers in front.asked] == ["Bearer secret"]
    assert [headers.get("authorization") for _, headers in storage.asked] == [None, None]


def test_an_address_that_lapses_is_asked_for_again() -> None:
    """A signed address that is good for a while is renewed once, from where it came from."""
    with serving(DATA, lambda answer: set_to(status=403)(answer) if answer.number == 2 else None) as storage:
        moved = set_to(status=302, headers={"Location": f"{storage.url}/there", "Content-Length": "0"})
        with serving(b"", moved) as front:
            assert read(front.url, (100_000, 100_004)) == [DATA[100_000:100_004]]
            assert len(front.asked) == 2


@pytest.mark.parametrize(
    ("here", "there", "why"),
    [
        ("https://hub.example/m", "http://hub.example/m", "from https to http"),
        ("https://hub.example/m", "https://127.0.0.1/m", "private address"),
        ("http://hub.example/m", "http://169.254.169.254/latest", "private address"),
        ("http://hub.example/m", "http://localhost:8080/", "private address"),
        ("http://hub.example/m", "http://[::1]/", "private address"),
    ],
)
def test_redirects_that_are_not_followed(here: str, there: str, why: str) -> None:
    """A public host leads neither to an unprotected connection nor into a private network."""
    file = HttpFile.__new__(HttpFile)
    file._url = file._at = here
    file._home = http_ranges._checked(here, here)
    file._connection = file._response = None
    with pytest.raises(SourceError) as caught:
        file._follow(there)
    assert why in caught.value.why


@pytest.mark.parametrize("url", ["https://", "https://user@host/x", "http://host:x/", "https://höst/", "http://a b/"])
def test_an_address_that_cannot_be_asked_is_refused(url: str) -> None:
    """Without a host, with a user name, with a port that is none, or with characters that must be spelled otherwise."""
    with pytest.raises(SourceError):
        HttpFile(url)


def test_nobody_is_there() -> None:
    """A host that does not answer is an error."""
    with serving(DATA) as server:
        pass
    with pytest.raises(SourceError, match="was not fetched"):
        HttpFile(server.url)


# ── the ranged file ─────────────────────────────────────────────────────────────────────────────────────────────────


class Memory:
    """An origin in memory that remembers what was asked."""

    def __init__(self, data: bytes, head: int = 0) -> None:
        self.data, self.size, self.head = data, len(data), data[:head]
        self.asked: list[tuple[int, int]] = []

    def fetch(self, start: int, stop: int) -> bytes:
        self.asked.append((start, stop))
        return self.data[start:stop]

    def close(self) -> None:
        """Nothing is open."""


@settings(deadline=None)
@given(
    st.integers(0, 3 * BLOCK + 7),
    st.integers(0, 2 * BLOCK),
    st.lists(st.tuples(st.integers(-5, 4 * BLOCK), st.integers(0, 4 * BLOCK)), max_size=8),
)
def test_a_ranged_file_is_the_same_as_memory(size: int, head: int, reads: list[tuple[int, int]]) -> None:
    """Whatever is read, in whichever order, is what memory would give; nothing outside the file is asked for."""
    data = bytes(index * 7 % 251 for index in range(size))
    origin = Memory(data, min(head, size))
    file = RangedFile(origin, path="x", traffic=Traffic())
    for offset, length in reads:
        start, stop = max(offset, 0), min(offset + length, size)
        assert file.read_at(offset, length) == data[start : max(start, stop)]
    assert all(0 <= start < stop <= size for start, stop in origin.asked)


def test_scattered_reads_cost_a_block_each_and_long_ones_few_requests() -> None:
    """Headers spread over a file cost four kilobytes each; reading on is fetched in larger and larger pieces."""
    traffic = Traffic()
    origin = Memory(bytes(64 << 20))
    file = RangedFile(origin, path="x", traffic=traffic)
    for at in range(0, 64 << 20, 1 << 20):
        file.read_at(at + 100, 30)
    assert traffic.fetched == 64 * BLOCK
    origin.asked.clear()
    for at in range(10 << 20, 20 << 20, 1 << 16):
        file.read_at(at, 1 << 16)
    assert len(origin.asked) < 40
    assert len(file._blocks) <= KEPT


def test_too_many_requests_end_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that would take more requests than a file is worth is an error, not a wait."""
    monkeypatch.setattr("safeload.sources.ranges.REQUESTS", 3)
    file = RangedFile(Memory(bytes(1 << 20)), path="x", traffic=Traffic())
    with pytest.raises(SourceError, match="was not read to its end"):
        for at in range(0, 1 << 20, 1 << 16):
            file.read_at(at, 1)


def test_the_digest_is_that_of_all_bytes() -> None:
    """A digest that is asked for is made of the whole file."""
    import hashlib

    assert RangedFile(Memory(DATA), path="x", traffic=Traffic()).sha256() == hashlib.sha256(DATA).hexdigest()
