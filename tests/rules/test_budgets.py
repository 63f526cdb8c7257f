"""Judging and explaining stay proportional: what is handed to many calls is looked at once, and few are written out.

Work is counted, not timed: these streams took minutes for a megabyte before there were budgets.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.hostile import shared
from safeload import formats
from safeload.core.blob import MemoryBlob
from safeload.core.errors import LimitExceeded
from safeload.core.finding import Status
from safeload.core.graph import Reading
from safeload.core.limits import Limits
from safeload.core.machine import read_pickle
from safeload.core.names import GlobalName, Location
from safeload.engine.allowlists import default_allowlist
from safeload.engine.inspect import inspect
from safeload.formats import stray
from safeload.rules import arguments, called_names, catalogue, element_types, likeness, render, template_altered
from safeload.rules import study as study_module
from safeload.rules import templates as template_rules
from safeload.rules.base import Context
from safeload.rules.script import script
from safeload.rules.study import Study, study
from tests.effort import lines
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
    "wrapped", [b"h\x05R0", b"h\x05\x85R0", b"(h\x05h\x05h\x05tR0"], ids=["it", "in one", "in three"]
)
def test_values_that_calls_share_are_walked_over_within_a_budget(
    wrapped: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long list of numbers and one text is not gone through for each of three thousand calls; they are told all the
    same, and what only calls behind the budget hold makes none of them safe."""
    monkeypatch.setattr(arguments, "_LOOKS", 1_000)
    shared = b"(" + b"K\x01" * 254 + b"X\x01\0\0\0atq\x050"
    data = b"\x80\x04" + shared + b"cm\nA\n" + b"q\x010" + (b"h\x01" + wrapped) * MANY
    reading = read_pickle(MemoryBlob(data + b"N."), location=Location("x"))
    assert lines(lambda: study(reading, default_allowlist())) < 250 * MANY  # and of the list 250 times eight
    assert status(data + b"N.") >= Status.UNVERIFIED
    assert status(data + b"h\x01X\x05\0\0\0rm -r\x85R.") >= Status.UNVERIFIED
    assert status(data + b"cos\nsystem\nh\x05R.") is Status.DANGEROUS


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


# ── acts that are repeated, and what they share ─────────────────────────────────────────────────────────────────


def studied(data: bytes) -> Study:
    return study(read_pickle(MemoryBlob(data), location=Location("x")), default_allowlist())


@pytest.mark.parametrize(
    ("beginning", "unit", "rule"),
    [
        (b"cm\nA\n", b"}b", "pickle-build-on-foreign"),
        (b"]", b"Nb", "pickle-build-on-foreign"),
        (b"N", b"cos\nsystem\n)R0", "pickle-dangerous-call"),
        (b"N", b"(cmath\nsqrt\no0", "pickle-dangerous-call"),
        (b"N", b"\x82\x010", "pickle-dangerous-import"),
    ],
    ids=["states", "states of a list", "calls", "instances", "extensions"],
)
def test_what_is_done_again_and_again_is_one_deed(beginning: bytes, unit: bytes, rule: str) -> None:
    """It is judged and put into words once; all of it is counted, and the first places are told."""
    data = b"\x80\x02" + beginning + unit * MANY + b"."
    found = studied(data)
    assert len(found.deeds) < 5 and 1 + len(found.deeds[0].again) == MANY
    named = [finding for finding in findings(stream(data)) if finding.rule == rule]
    assert f"{MANY - len(named):,} times more" in named[-1].message
    offsets = [finding.location.offset or 0 for finding in named]
    assert offsets == sorted(offsets) and len({*offsets}) == len(named)
    assert len(script(stream(data), Context(allowlist=default_allowlist()))) < 600


LARGE = b"(" + b"K\x01" * 20_000 + b"tq\x050"


@pytest.mark.parametrize(
    "unit",
    [
        b"ccollections\nOrderedDict\nh\x05R0",
        b"ctorch._utils\n_rebuild_tensor_v2\nh\x05R0",
        b"ccollections\nOrderedDict\n)RN}K\x01h\x05s\x86b0",
    ],
    ids=["arguments", "rebuilt", "states"],
)
def test_what_many_acts_share_is_not_looked_at_for_each(unit: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking at one long list for a thousand calls ends before the thousandth, or is not done; a call before them is
    dangerous all the same, and nothing becomes safe by it."""
    looked = 0

    def counting(self: called_names.Account, values: int) -> None:
        nonlocal looked
        looked += values
        original(self, values)

    original = called_names.Account.look
    monkeypatch.setattr(called_names.Account, "look", counting)
    data = b"\x80\x04" + LARGE + unit * MANY + b"N."
    found = studied(data)
    assert looked < 1_200_000 + len(data)
    if found.unjudged is not None:
        assert status(data) is Status.UNDECIDED
    assert status(b"\x80\x04cos\nsystem\n)R0" + data[2:]) is Status.DANGEROUS


def test_very_many_names_end_the_judging() -> None:
    """Ten thousand different names are in no checkpoint; the file is undecided, or dangerous by what came first."""
    names = b"".join(b"cm\nA%d\n0" % number for number in range(10_001))
    assert status(b"\x80\x02" + names[:100_000].rpartition(b"c")[0] + b"N.") is Status.UNVERIFIED
    assert status(b"\x80\x02" + names + b"N.") is Status.UNDECIDED
    assert status(b"\x80\x02cos\nsystem\n)R0" + names + b"N.") is Status.DANGEROUS
    [told] = [one for one in findings(stream(b"\x80\x02" + names + b"N.")) if one.rule == "unreadable"]
    assert "10,000 different things" in told.message and told.location.offset


def test_many_subjects_are_summed_up() -> None:
    """Beyond two hundred, findings are not made one by one; what they say is counted, by how bad it is."""
    data = b"\x80\x02" + b"".join(b"cm\nA%d\n0" % number for number in range(500)) + b"N."
    found = [one for one in findings(stream(data)) if one.rule == "pickle-unlisted-global"]
    assert len(found) <= 102 and status(data) is Status.UNVERIFIED


def test_record_types_within_each_other_are_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight fields of a type with eight fields, fifteen levels of that, are a kilobyte to write."""
    measured = 0

    def counting(*args: Any) -> Any:
        nonlocal measured
        measured += 1
        return original(*args)

    original = element_types._of_call
    monkeypatch.setattr(element_types, "_of_call", counting)
    [case] = [case for case in shared.cases() if case.name == "shared record types in each other"]
    assert status(case.make(1)) is Status.SAFE
    assert measured < 40


def test_constants_that_torch_would_load_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a stream hands the same bytes to `_load_from_bytes`."""
    readings = 0

    def counting(*args: Any, **options: Any) -> Reading:
        nonlocal readings
        readings += 1
        return read_pickle(*args, **options)

    monkeypatch.setattr(study_module, "read_pickle", counting)
    data = written(b"\x80\x02]" + b"K\x01a" * 5_000 + b".")
    studied(b"\x80\x04" + data + b"q\x050" + b"ctorch.storage\n_load_from_bytes\nh\x05\x85R0" * MANY + b"N.")
    assert readings < 10


def test_what_was_not_judged_to_its_end_is_not_only_data() -> None:
    """A pickle in a constant that shares too much to be judged does not excuse the call that would load it."""
    acts = LARGE + b"ccollections\nOrderedDict\nh\x05R0" * 200 + b"cos\nsystem\n)R0"
    magic = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
    for inner in (acts + b"N.", b"}."):
        storage = magic + b"\x80\x02M\xe9\x03.\x80\x02}.\x80\x02" + inner + b"\x80\x02]."
        data = b"\x80\x04ctorch.storage\n_load_from_bytes\n" + written(storage) + b"\x85R."
        assert bool(studied(data).deeds) is (inner != b"}.")


def test_very_many_constants_that_torch_would_load_end_the_judging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each holds five pickles. Behind too many nothing is judged: undecided, or dangerous by what came before."""
    monkeypatch.setattr(study_module, "_STORAGES", 10)
    magic = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
    storage = magic + b"\x80\x02M\xe9\x03.\x80\x02}.\x80\x02}.\x80\x02]."
    one = b"ctorch.storage\n_load_from_bytes\n" + written(storage) + b"\x85R0"
    assert studied(b"\x80\x04" + 10 * one + b"N.").unjudged is None
    more = b"\x80\x04" + 11 * one
    assert status(more + b"N.") is status(more + b"cos\nsystem\n)R.") is Status.UNDECIDED
    assert status(b"\x80\x04cos\nsystem\n)R0" + more[2:] + b"N.") is Status.DANGEROUS


@pytest.mark.parametrize("made", [b"cm\nA\n)R", b"ctorch._utils\n_rebuild_tensor_v2\n)R", b"]"])
@pytest.mark.parametrize("state", [b"\x97", b"K\x01", b"}"])
def test_states_set_again_and_again_take_few_steps_each(made: bytes, state: bytes) -> None:
    """What is said of their target is worked out once."""
    data = b"\x80\x05" + made + (state + b"b") * MANY + b"."
    reading = read_pickle(MemoryBlob(data), location=Location("x"))
    assert lines(lambda: study(reading, default_allowlist())) < 60 * MANY


# ── templates ───────────────────────────────────────────────────────────────────────────────────────────────────


def templates_in_json(count: int, text: str, last: str) -> bytes:
    return json.dumps({"chat_template": [{"name": "a", "template": text}] * count + [{"template": last}]}).encode()


def test_a_file_with_more_templates_than_any_is_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those from some number on are not judged, and the file says so; what comes before them, and what else the file
    holds, counts as ever."""
    monkeypatch.setattr(formats, "_TEMPLATES", 20)
    reach = "{{ a.__class__ }}"

    def judged(raw: bytes, name: str = "tokenizer_config.json") -> Status:
        return inspect(MemoryBlob(raw), name, Limits()).report.status

    assert judged(templates_in_json(19, "{{ a }}", "{{ a }}")) is Status.SAFE
    assert judged(templates_in_json(19, "{{ a }}", reach)) is Status.DANGEROUS
    assert judged(templates_in_json(20, "{{ a }}", "{{ a }}")) is Status.UNDECIDED
    assert judged(templates_in_json(20, "{{ a }}", reach)) is Status.UNDECIDED
    assert judged(templates_in_json(20, reach, "{{ a }}")) is Status.DANGEROUS
    steered = json.loads(templates_in_json(30, "{{ a }}", reach)) | {"_target_": "os.system"}
    assert judged(json.dumps(steered).encode()) is Status.DANGEROUS


def test_templates_that_are_not_read_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparing with the published ones is part of reading: behind a spent budget it is left out as well."""
    compared = 0

    def counting(text: str) -> None:
        nonlocal compared
        compared += 1

    monkeypatch.setattr(template_altered, "nearest", counting)
    monkeypatch.setattr(template_rules, "_ALL", 400)
    raw = templates_in_json(100, "{{ a }}", "{{ b }}")
    assert inspect(MemoryBlob(raw), "tokenizer_config.json", Limits()).report.status is Status.UNDECIDED
    assert 0 < compared <= 400 // 20 + 1


@pytest.mark.parametrize("pieces", [1, 9, 40, 2_000])
def test_comparing_a_template_takes_steps_by_its_own_length(pieces: int) -> None:
    """Published ones that have more pieces than it could have of them are passed over."""
    text = "".join(f"{{{{ a{number} }}}}" for number in range(pieces))
    likeness.nearest(text)
    assert lines(lambda: likeness.nearest(text)) < 1_500 + 400 * pieces
