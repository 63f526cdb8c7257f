"""An explanation tells what would run: each call, in order, with its arguments and a verdict."""

from __future__ import annotations

import base64
import io
import json
import zlib
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from safeload.cli.explain import VERSION, document, write_json, write_text
from safeload.cli.main import main
from safeload.core.blob import MemoryBlob
from safeload.core.finding import Status
from safeload.core.limits import Limits
from safeload.engine.explain import Explanation, explain, explained_file
from safeload.engine.inspect import inspect
from safeload.rules import deeds
from tests.corpus.build import checkpoint, make_zip, payload
from tests.generator.make import made
from tests.generator.written import Built, Called, Name, pickled

CHAIN = Called(Called(Name("builtins", "getattr"), Called(Name("builtins", "__import__"), "os"), "system"), "touch x")


def explained(data: bytes, name: str = "model.bin") -> Explanation:
    return explained_file(inspect(MemoryBlob(data), name, Limits()))


def texts(data: bytes) -> list[str]:
    return [step.text for stream in explained(data).streams for step in stream.steps]


def printed(data: bytes) -> str:
    out = io.StringIO()
    write_text([explained(data)], out)
    return out.getvalue()


def test_a_chain_of_calls_reads_like_a_program() -> None:
    """Results have names, and later calls use them."""
    assert texts(pickled(CHAIN)) == [
        "_1 = builtins.__import__('os')",
        "_2 = builtins.getattr(_1, 'system')",
        "_3 = _2('touch x')",
    ]


def test_explaining_judges_nothing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickle is studied once, for its findings and for its steps."""
    studied = []

    def counting(reading: object, *rest: object) -> object:
        studied.append(reading)
        return study(reading, *rest)  # type: ignore[arg-type]

    study = deeds.study
    monkeypatch.setattr(deeds, "study", counting)
    (tmp_path / "model.pkl").write_bytes(payload())
    [explanation] = explain(tmp_path)
    assert explanation.report.status is Status.DANGEROUS and explanation.streams[0].steps
    assert len(studied) == 1


def test_each_step_has_its_place_and_its_verdict() -> None:
    """The offset is that of the opcode that acts; the worst step is as bad as the file."""
    data = pickled([CHAIN, Built(Called(Name("my.library", "Settings")), {"lr": 1}), Called(Name("builtins", "list"))])
    (stream,) = explained(data).streams
    assert [(step.act, step.status) for step in stream.steps] == [
        ("call", Status.DANGEROUS),
        ("call", Status.DANGEROUS),
        ("call", Status.DANGEROUS),
        ("call", Status.UNVERIFIED),
        ("state", Status.SAFE),
        ("call", Status.SAFE),
    ]
    assert [data[step.offset : step.offset + 1] for step in stream.steps[:4]] == [b"R"] * 4
    assert stream.status is explained(data).report.status is Status.DANGEROUS


def test_hidden_arguments_are_shown_decoded() -> None:
    """Compressed, encoded, and still readable here."""
    source = base64.b64encode(zlib.compress(b"import os; os.system('touch marker')"))
    (step,) = explained(pickled(Called(Name("builtins", "exec"), source))).streams[0].steps
    assert step.reveals == ("import os; os.system('touch marker')",)


def test_a_nested_pickle_is_explained_as_well() -> None:
    """With the place where it stands."""
    found = explained(pickled(Called(Name("pickle", "loads"), pickled(CHAIN)))).streams
    assert [(stream.role, len(stream.steps)) for stream in found] == [("data", 1), ("nested", 3)]


def test_what_is_allowed_is_summed_up() -> None:
    """A checkpoint of a thousand tensors has one line, which says what is called and how often."""
    buffer = io.BytesIO()
    torch.save({str(number): torch.ones(1) for number in range(1_000)}, buffer)
    (stream,) = explained(buffer.getvalue()).streams
    (step,) = stream.steps
    assert step.act == "allowed"
    assert "torch._utils._rebuild_tensor_v2 (1,000 times)" in step.text


def test_many_bad_steps_are_told_up_to_a_limit() -> None:
    """The rest is one line that says how many they are."""
    steps = explained(b"\x80\x03cos\nsystem\nq\x01" + b"h\x01)R0" * 5_000 + b"N.").streams[0].steps
    assert len(steps) == 501
    assert "4,500 more steps" in steps[-1].text
    assert steps[-1].status is Status.DANGEROUS


def test_a_broken_stream_says_where_it_ends() -> None:
    """What was read before is told; then why there is no more."""
    steps = explained(payload(2)[:-1] + b"\xff").streams[0].steps
    assert [step.act for step in steps] == ["call", "fault"]
    assert steps[-1].status is Status.UNDECIDED


def test_what_is_no_pickle_is_explained_by_its_findings() -> None:
    """A configuration, a template, or an archive that lies."""
    found = explained(b'{"auto_map": {"AutoModel": "a.b"}}', "config.json")
    assert [finding.rule for finding in found.others] == ["config-code-reference"]


def test_hostile_text_does_not_reach_the_terminal() -> None:
    """Control characters of names and arguments are spelled out, on one line for each step."""
    hostile = Called(Name("os\x1b[2J", "sys\ntem"), "\x1b]0;title\x07\u202e\u2066\n\n", b"\x1b[31m")
    out = printed(pickled(hostile))
    assert all(line.isprintable() for line in out.splitlines())
    assert "\x1b" not in json.dumps(document([explained(pickled(hostile))]), ensure_ascii=False)


@pytest.mark.parametrize("number", range(40))
def test_every_generated_file_is_explained(number: int) -> None:
    """Whatever the file, there is an explanation, and it tells what makes the file dangerous."""
    file = made(number)
    found = explained(file.data, file.name)
    told = max([*(one.status for one in found.streams), *(finding.status for finding in found.others)])
    assert told is found.report.status
    assert json.loads(json.dumps(document([found])))["version"] == VERSION


@given(st.binary(max_size=300))
def test_any_bytes_are_explained(data: bytes) -> None:
    """Explaining never raises."""
    assert printed(b"\x80\x04" + data) is not None


def test_the_command_explains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--explain` prints the steps, `--explain --json` one document; the exit code is that of the scan."""
    (tmp_path / "model.bin").write_bytes(make_zip(checkpoint(pickled(CHAIN))))
    assert main(["scan", str(tmp_path), "--explain"]) == 1
    assert "_3 = _2('touch x')" in capsys.readouterr().out
    assert main(["scan", str(tmp_path), "--explain", "--json"]) == 1
    (file,) = json.loads(capsys.readouterr().out)["files"]
    assert file["pickles"][0]["steps"][2]["text"] == "_3 = _2('touch x')"
    assert [found.report.status for found in explain(tmp_path)] == [Status.DANGEROUS]
    out = io.StringIO()
    write_json(explain(tmp_path), out)
    assert json.loads(out.getvalue())["files"][0]["path"] == "model.bin"


def _given(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    class Given:
        buffer = io.BytesIO(data)

    monkeypatch.setattr("sys.stdin", Given)


def test_standard_input_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same words and the same exit code as for a file of that name, beside other targets too."""
    (tmp_path / "model.bin").write_bytes(pickled(CHAIN))
    assert main(["scan", str(tmp_path), "--explain"]) == 1
    of_file = capsys.readouterr().out
    _given(monkeypatch, pickled(CHAIN))
    assert main(["scan", "-", "--stdin-name", "model.bin", "--explain"]) == 1
    assert capsys.readouterr().out == of_file
    _given(monkeypatch, b"\x80\x04N.")
    assert main(["scan", "-", str(tmp_path), "--explain", "--json"]) == 1
    files = json.loads(capsys.readouterr().out)["files"]
    assert [(file["path"], file["status"]) for file in files] == [("stdin", "safe"), ("model.bin", "dangerous")]


def test_fickling_is_asked_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--with fickling`: its opinion stands beside the steps, and its program below them, for files and streams."""
    (tmp_path / "model.bin").write_bytes(pickled(CHAIN))
    for target in (str(tmp_path), "-"):
        _given(monkeypatch, pickled(CHAIN))
        assert main(["scan", target, "--explain", "--with", "fickling"]) == 1
        out = capsys.readouterr().out
        assert "[fickling-opinion]" in out
        assert "the same as Python, by fickling:" in out and "from builtins import __import__" in out
    assert main(["scan", str(tmp_path), "--explain", "--with", "fickling", "--json"]) == 1
    (pickle,) = json.loads(capsys.readouterr().out)["files"][0]["pickles"]
    assert "getattr" in pickle["source"]
    assert main(["scan", str(tmp_path), "--explain", "--json"]) == 1
    (pickle,) = json.loads(capsys.readouterr().out)["files"][0]["pickles"]
    assert "source" not in pickle


def test_detect_secrets_is_asked_as_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What it says is among the other findings."""
    (tmp_path / "README.md").write_text("password = 'correct-" + "horse'\n")
    assert main(["scan", str(tmp_path), "--explain", "--with", "detect-secrets"]) == 0
    assert "[secret-opinion]" in capsys.readouterr().out


def test_missing_shards_count_in_an_explanation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An index is judged as in a scan."""
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"w": "model-1.safetensors"}}')
    assert main(["scan", str(tmp_path), "--explain"]) == 2
    assert "model-1.safetensors" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options",
    [
        ["--format", "html"],
        ["-o", "out"],
        ["--baseline", "b.json"],
        ["--write-baseline", "b.json"],
        ["--select", "pickle-"],
        ["--ignore", "pickle-"],
        ["--show-accepted"],
    ],
)
def test_what_an_explanation_cannot_honour_is_refused(
    tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing that was asked for is passed over in silence."""
    assert main(["scan", str(tmp_path), "--explain", *options]) == 2
    captured = capsys.readouterr()
    assert "--explain" in captured.err and not captured.out


def test_a_target_that_is_not_there_does_not_hide_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told at the end, and counts."""
    (tmp_path / "model.bin").write_bytes(b"\x80\x04N.")
    for target, why in (("./nowhere", "there is no such file"), ("https://example.org/model.bin", "elsewhere")):
        assert main(["scan", target, str(tmp_path), "--explain"]) == 2
        captured = capsys.readouterr()
        assert "model.bin: safe" in captured.out and why in captured.err
