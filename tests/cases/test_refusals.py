"""The case table, part two: pickles that would act are refused, every call of theirs named, and nothing runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from safeload import Options, PolicyDenied, SafeloadError, scan
from safeload.transformers import AutoModel
from tests.adapters import payloads, repos
from tests.cases.test_loads import same

CONVERT = Options(unsafe_convert_dangerous=True)
Builder = Callable[..., Path]


def refused(path: Path, **kwargs: object) -> str:
    """Assert that the default policy refuses the model; return the message."""
    with pytest.raises(PolicyDenied) as caught:
        AutoModel.from_pretrained(path, **kwargs)
    assert caught.value.report.files
    return str(caught.value)


@pytest.mark.parametrize("spelling", sorted(payloads.SNIPPETS))
@pytest.mark.parametrize("build", [repos.build_evil_bin, repos.build_evil_legacy, repos.build_evil_bare])
def test_every_spelling_in_every_container_is_refused(
    tmp_path: Path, marker: Path, build: Builder, spelling: str
) -> None:
    """Any opcode and protocol that makes a call is refused in zip, legacy and bare files, with its place."""
    message = refused(build(tmp_path / "m", marker, spelling=spelling))
    assert "pytorch_model.bin" in message
    assert " @ " in message, "no offset"
    if build is repos.build_evil_bin:
        assert "data.pkl" in message


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_an_acting_value_that_torch_saved_is_refused(tmp_path: Path, marker: Path, protocol: int) -> None:
    """An object with a hostile `__reduce__` in a real `torch.save` is refused, and its call is spelled out."""
    message = refused(repos.build_evil_value(tmp_path / "m", marker, protocol=protocol))
    assert "os.system" in message or "posix.system" in message or "touch" in message


@pytest.mark.parametrize(
    "build",
    [
        repos.build_evil_no_dtype,
        repos.build_evil_misnamed,
        repos.build_evil_then_garbage,
        repos.build_evil_second_stream,
        repos.build_evil_sharded,
    ],
)
def test_other_hiding_places_are_refused(tmp_path: Path, marker: Path, build: Builder) -> None:
    """No dtype, a wrong suffix, garbage behind it, a second pickle, one shard of several: refused."""
    refused(build(tmp_path / "m", marker))


def test_chosen_variants_and_subfolders_are_refused(tmp_path: Path, marker: Path) -> None:
    """An evil variant or subfolder is refused when the load chooses it."""
    refused(repos.build_evil_variant(tmp_path / "v", marker), variant="fp16")
    refused(repos.build_evil_subfolder(tmp_path / "s", marker), subfolder="sub")


@pytest.mark.parametrize(
    "build",
    [
        repos.build_evil_unused_bin,
        repos.build_evil_variant,
        repos.build_evil_subfolder,
        repos.build_evil_trainer,
        repos.build_evil_unknowns,
    ],
)
def test_a_dangerous_file_that_is_not_needed_is_left_out(tmp_path: Path, marker: Path, build: Builder) -> None:
    """An evil file beside good safetensors is reported and absent, and the load goes on."""
    from safeload import admit

    path = build(tmp_path / "m", marker)
    same(AutoModel.from_pretrained(path), repos.bert_state())
    with admit(path) as admission:
        assert admission.report.status.name in ("DANGEROUS", "UNDECIDED")
        assert admission.left_out
        names = [file.relative_to(admission.path).as_posix() for file in admission.path.rglob("*")]
    suspicious = [name for name in names if name.endswith((".bin", ".pt", ".pth", ".pkl", ".py", ".metadata"))]
    assert not suspicious


@pytest.mark.parametrize(
    "build", [repos.build_evil_bin, repos.build_evil_legacy, repos.build_evil_misnamed, repos.build_evil_sharded]
)
def test_weights_of_a_dangerous_file_can_be_had(tmp_path: Path, marker: Path, build: Builder) -> None:
    """With `unsafe_convert_dangerous` the weights load, equal to what was saved, and nothing runs."""
    same(AutoModel.from_pretrained(build(tmp_path / "m", marker), safeload=CONVERT), repos.bert_state())


@pytest.mark.parametrize("spelling", sorted(payloads.SNIPPETS))
def test_weights_of_every_spelling_can_be_had(tmp_path: Path, marker: Path, spelling: str) -> None:
    """The same for every way to spell the payload."""
    path = repos.build_evil_bin(tmp_path / "m", marker, spelling=spelling)
    same(AutoModel.from_pretrained(path, safeload=CONVERT), repos.bert_state())


def test_a_dangerous_file_without_weights_still_has_none(tmp_path: Path, marker: Path) -> None:
    """The unsafe option reads weights; where there are none, or the stream breaks, it is still an error of ours."""
    with pytest.raises(SafeloadError):
        AutoModel.from_pretrained(repos.build_evil_then_garbage(tmp_path / "a", marker), safeload=CONVERT)
    with pytest.raises(SafeloadError):
        AutoModel.from_pretrained(repos.build_evil_bare(tmp_path / "b", marker), safeload=CONVERT)


def test_one_refusal_lists_every_call(tmp_path: Path, marker: Path) -> None:
    """Two payloads in one file are both in the message and in the report."""
    state = repos.bert_state() | {"x": payloads.Touch(marker), "y": payloads.Touch(marker.with_name("second"))}
    path = repos.write_bin(repos.write_config(tmp_path / "m"), state)
    message = refused(path)
    assert str(marker.name) in message
    assert "second" in message


def test_benign_checkpoints_have_no_dangerous_finding(tmp_path: Path) -> None:
    """Everything that `torch.save` writes of ordinary training is at worst unverified."""
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(8, 4)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    values = {
        "state.pt": model.state_dict(),
        "module.pt": model,
        "optimizer.pt": optimizer.state_dict(),
        "scheduler.pt": scheduler.state_dict(),
        "rng_state.pth": {"cpu": torch.get_rng_state(), "python": __import__("random").getstate()},
    }
    for name, value in values.items():
        torch.save(value, tmp_path / name)
        torch.save(value, tmp_path / f"legacy-{name}", _use_new_zipfile_serialization=False)
    report = scan(tmp_path)
    assert len(report.files) == 2 * len(values)
    loud = [finding for finding in report.findings if finding.status.name in ("DANGEROUS", "UNDECIDED")]
    assert not loud
