"""The fixtures are what they claim: a refusal proves something only if the payload would have acted."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from tests.adapters import payloads, repos


@pytest.mark.parametrize("spelling", payloads.SNIPPETS)
def test_every_payload_acts_when_python_unpickles_it(spelling: str, tmp_path: Path) -> None:
    """Unpickled by the standard library, each spelling creates its marker and leaves the value as it was."""
    acted = tmp_path / "ACTED"
    stream = payloads.poison(pickle.dumps({"a": 1}, 2), payloads.SNIPPETS[spelling](acted))
    with payloads.registered_extension():
        assert pickle.loads(stream) == {"a": 1}
    assert acted.exists()


@pytest.mark.parametrize("spelling", payloads.SNIPPETS)
@pytest.mark.parametrize("build", [repos.build_evil_bin, repos.build_evil_legacy])
def test_poisoned_weights_still_hold_the_weights(build: object, spelling: str, tmp_path: Path) -> None:
    """A careless loader would get good tensors out of a poisoned file, and run the payload."""
    acted = tmp_path / "ACTED"
    path = build(tmp_path / "repo", acted, spelling=spelling) / "pytorch_model.bin"  # type: ignore[operator]
    assert not acted.exists()
    with payloads.registered_extension():
        state = torch.load(path, weights_only=False)
    assert acted.exists()
    assert torch.equal(state["pooler.dense.weight"], repos.bert_state()["pooler.dense.weight"])


def test_the_tar_is_one_that_torch_reads(tmp_path: Path) -> None:
    """torch itself, unguarded, gets the weights out of the benign tar."""
    state = torch.load(repos.build_bin_tar(tmp_path / "m") / "pytorch_model.bin", weights_only=False)
    wanted = repos.bert_state()
    assert list(state) == list(wanted) and all(torch.equal(state[name], wanted[name]) for name in wanted)
