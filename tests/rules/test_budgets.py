"""Judging and explaining stay proportional: what is handed to many calls is looked at once, and few are written out.

Work is counted, not timed: these streams took minutes for a megabyte before there were budgets.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from safeload.core.blob import MemoryBlob
from safeload.core.errors import LimitExceeded
from safeload.core.finding import Status
from safeload.core.graph import Reading
from safeload.core.limits import Limits
from safeload.core.machine import read_pickle
from safeload.core.names import GlobalName, Location
from safeload.engine.allowlists import default_allowlist
from safeload.formats import stray
from safeload.rules import arguments, catalogue, render
from safeload.rules.base import Context
from safeload.rules.script import script
from tests.generator.written import Name, written
from tests.rules.streams import findings, status, stream

MANY = 3_000
HIDDEN = base64.b64encode(zlib.compress(b"import os;" * 500))


def calls(module: str, name: str, argument: object) -> bytes:
    """One callable, called many times with the same argument from the memo."""
    return (
        b"\x80\x04"
        + written(Name(module, name))
        + b"q\x01"
        + written(argument)
        + b"q\x02"
        + b"h\x01h\x02\x85R0" * MANY
        + b"N."
    )


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, int]]:
    """How often constants were searched, decoded, and calls written out."""
    counts = {"searched": 0, "decoded": 0, "rendered": 0}

    def counting(module: object, name: str, key: str) -> None:
        original = getattr(module, name)

        def wrapped(*args: object) -> object:
            counts[key] += 1
            return original(*args)

        monkeypatch.setattr(module, name, wrapped)

    counting(arguments, "_plainly", "searched")
    counting(arguments, "decoded", "decoded")
    counting(render.Renderer, "_call", "rendered")
    return lambda: counts


@pytest.mark.parametrize("argument", ["x" * 8_000, HIDDEN, ["y" * 100] * 200, [[["z" * 100] * 6] * 6] * 6])
@pytest.mark.parametrize("name", [("os", "system"), ("my.library", "Thing")], ids=["known", "unknown"])
def test_an_argument_of_many_calls_is_looked_at_once(
    name: tuple[str, str], argument: object, counted: Callable[[], dict[str, int]]
) -> None:
    """However many calls get it; and only the first thousand are written out."""
    part = stream(calls(*name, argument))
    findings(part)
    script(part, Context(allowlist=default_allowlist()))
    assert counted()["searched"] < 1_500
    assert counted()["decoded"] < 1_500
    assert counted()["rendered"] < 5_000


def test_decoding_has_a_budget_for_the_whole_stream(counted: Callable[[], dict[str, int]]) -> None:
    """Thousands of different packed constants are not all unpacked; the calls stay outside the allowlist."""
    packed = [base64.b64encode(zlib.compress(b"%d" % number + b"z" * 8_000)) for number in range(MANY)]
    body = b"".join(b"h\x01" + written(data) + b"\x85R0" for data in packed)
    data = b"\x80\x04" + written(Name("my.library", "Thing")) + b"q\x01" + body + b"N."
    assert status(data) is Status.UNVERIFIED
    assert counted()["decoded"] < 2 * MANY


def test_the_budget_hides_no_call() -> None:
    """A dangerous call behind a spent budget is dangerous all the same, and the file says so."""
    junk = calls("my.library", "Thing", ["y" * 100] * 256)[:-2]
    assert status(junk + written(Name("os", "system")) + b")R.") is Status.DANGEROUS
    many = calls("os", "system", "x")[:-2] + written(Name("posix", "popen")) + b")R."
    assert any("posix.popen" in finding.message for finding in findings(stream(many)))


@pytest.mark.parametrize(
    "junk", [b"\x80\x02" + b"N0" * 10, b"cabc\ndef\n", b"\x80\x02("], ids=["runs", "names", "marks"]
)
def test_looking_for_stray_pickles_has_a_budget(junk: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beginnings that all lead into the same long stream are not each read to its end: that is a limit, not silence.
    A call before them is found."""
    read = 0

    def counting(*args: object, **options: object) -> Reading:
        nonlocal read
        reading = read_pickle(*args, **options)
        read += reading.opcodes
        return reading

    monkeypatch.setattr(stray, "read_pickle", counting)
    data = junk * 5_000
    readings = stray.stray_readings(MemoryBlob(data), 0, Location("x"), Limits())
    with pytest.raises(LimitExceeded):
        next(readings)
    assert read <= len(data) // 4 + 10_000
    payload = b"\x80\x04cos\nsystem\n)R."
    assert next(stray.stray_readings(MemoryBlob(b"junk" + payload + data), 0, Location("x"), Limits())).trace


# ── names and fields ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_name_of_a_million_parts_is_looked_up_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packages within packages are looked for only as deep as any known one lies."""
    asked: list[str] = []

    class Counting(dict[str, dict[str, str]]):
        def get(self, key: str, default: object = None) -> Any:
            asked.append(key)
            return super().get(key, default)

    monkeypatch.setattr(catalogue, "KNOWN", Counting(catalogue.KNOWN))
    assert status(b"\x80\x04c" + b"a." * 100_000 + b"b\nThing\n)R.") is not Status.SAFE
    assert len(asked) < 50


def test_the_deepest_known_package_is_still_found() -> None:
    """Cutting a long name loses no entry of the catalogue."""
    for module, names in catalogue.KNOWN.items():
        if catalogue.ANY in names:
            assert catalogue.ability(GlobalName(f"{module}.below.it", "f")) is not None


def test_letters_of_other_alphabets_are_compared_with_one_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand such modules do not make the list of known packages a thousand times."""
    catalogue.looks_like("\u0430s")
    before = catalogue._packages.cache_info().misses
    for number in range(1_000):
        assert catalogue.looks_like(f"t\u043erch{number}") == ""
    assert catalogue.looks_like("t\u043erch") == "torch"
    assert catalogue._packages.cache_info().misses == before
