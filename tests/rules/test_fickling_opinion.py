"""A second opinion adds findings, takes none away, and fails loudly."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path

import pytest

from safeload.cli.main import main
from safeload.core.errors import UsageError
from safeload.core.finding import Status
from safeload.engine.allowlists import default_allowlist
from safeload.engine.options import Options
from safeload.engine.scan import scan
from safeload.rules import fickling_opinion, judge
from safeload.rules.base import Context
from safeload.rules.fickling import analyse
from safeload.rules.fickling_opinion import MOST_BYTES
from tests.corpus.build import payload
from tests.generator.make import made
from tests.rules.streams import stream


def asked(data: bytes, *, second_opinion: bool = True) -> list[str]:
    part = stream(data)
    context = Context(allowlist=default_allowlist(), parts=(part,), second_opinion=second_opinion)
    return [f"{finding.status} {finding.rule} {finding.message}" for finding in judge((part,), context)]


def test_it_is_asked_only_on_request() -> None:
    """Nothing is said without `second_opinion`."""
    assert not any("fickling" in said for said in asked(payload(4), second_opinion=False))
    assert any("fickling says" in said for said in asked(payload(4)))


@pytest.mark.parametrize("number", range(60))
def test_it_never_makes_a_file_better(number: int) -> None:
    """All that was found without it is found with it, in the same words."""
    data = made(number).data
    assert set(asked(data, second_opinion=False)) <= set(asked(data))


BROKEN = (b"\x80\x04\xff", b"\x80\x04\x95", b"(" * 5_000, b"\x80\x04" + b"]" * 9 + b"a" * 9, b"\x80\x04cos\n")


@pytest.mark.parametrize("data", BROKEN, ids=range(len(BROKEN)))
def test_its_answers_about_broken_streams_are_findings(data: bytes) -> None:
    """Each of its results is told, and so is that it gave up; nothing of it is raised."""
    told = [said for said in asked(data) if "fickling-opinion" in said]
    assert len(told) == len(analyse(data))
    assert any(status != "dangerous" for status in [said.partition(" ")[0] for said in asked(data)])


def test_whatever_it_raises_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even what no analyser should raise."""
    from fickling.fickle import Pickled

    def explode(*args: object, **options: object) -> None:
        raise MemoryError("no more \x1b[31m")

    monkeypatch.setattr(Pickled, "load", explode)
    (said,) = [said for said in asked(payload(4)) if "fickling" in said]
    assert said.startswith("undecided fickling-opinion fickling fails (MemoryError)")
    assert said.isprintable()


def test_long_pickles_are_not_handed_to_it() -> None:
    """It is slow; a long stream gets no second opinion, and the report says so."""
    data = b"\x80\x04" + b"N0" * MOST_BYTES + b"N."
    assert any("was not asked" in said for said in asked(data))


def test_a_program_that_doubles_at_every_opcode_is_not_written_out() -> None:
    """Two hundred bytes whose program would not fit on any disk: it is told that there is no opinion."""
    doubling = b"".join(b"0h%ch%c\x86q%c" % (number, number, number + 1) for number in range(40))
    said = asked(b"\x80\x03]q\x00" + doubling + b"0cos\nsystem\nh\x28\x85R.")
    assert any(line.startswith("undecided fickling-opinion") and "vast" in line for line in said)
    assert any(line.startswith("dangerous") for line in said)


def test_without_fickling_the_option_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An option that cannot be honoured raises, with the command that installs what it needs."""
    ordinary = builtins.__import__

    def missing(name: str, *args: object) -> object:
        if name.startswith("fickling"):
            raise ImportError("no fickling")
        return ordinary(name, *args)

    for name in [name for name in sys.modules if name.partition(".")[0] == "fickling"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", missing)
    (tmp_path / "x.bin").write_bytes(payload(4))
    with pytest.raises(UsageError, match="fickling") as refused:
        scan(tmp_path, options=Options(second_opinion=True))
    assert "safeload[fickling]" in refused.value.remedy
    assert scan(tmp_path).files[0].status is Status.DANGEROUS


def test_the_command_asks_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`safeload scan --with fickling`."""
    (tmp_path / "x.pkl").write_bytes(payload(4))
    assert main(["scan", str(tmp_path), "--with", "fickling"]) == 1
    assert "fickling says likely overtly malicious" in capsys.readouterr().out
    assert fickling_opinion.RULE.id in {
        found.rule for found in scan(tmp_path, options=Options(second_opinion=True)).files[0].findings
    }
