"""The names of 3,119 real checkpoints, each in its role: what loads, what comes out, and that nothing is imported."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from safeload import torch as safe_torch
from safeload.core.errors import MalformedInput, PolicyDenied
from safeload.core.names import GlobalName
from safeload.engine.allowlists import default_allowlist
from tests.corpus.replay import build, found

SETS = [
    (entry["files"], frozenset(entry["globals"]))
    for entry in json.loads((Path(__file__).parents[1] / "data" / "real-imports.json").read_text("utf-8"))["sets"]
]
PROGRAMS = [(files, names) for files, names in SETS if any(name.startswith("__torch__.") for name in names)]
CHECKPOINTS = [one for one in SETS if one not in PROGRAMS]


def _unlisted(names: frozenset[str]) -> set[str]:
    return {name for name in names if GlobalName(*name.rsplit(".", 1)) not in default_allowlist()}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("number", range(len(CHECKPOINTS)))
def test_every_tensor_comes_out(number: int, zipped: bool) -> None:
    """A file that names what real ones name gives exactly the tensors that were written, and nothing is imported."""
    _, names = CHECKPOINTS[number]
    for variant in (number, 3 * number + 2):  # the second one spells members of enumerations by their names
        built = build(names, variant=variant, zipped=zipped)
        assert built.globals == names
        before = set(sys.modules)
        assert found(safe_torch.load(built.data)) == built.tensors
        foreign = {name.partition(".")[0] for name in names} - {name.partition(".")[0] for name in before}
        assert not foreign & set(sys.modules)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("number", range(len(CHECKPOINTS)))
def test_what_is_refused_is_what_is_not_listed(number: int, zipped: bool) -> None:
    """With `unknown="refuse"` a file loads if all of its names are listed; else exactly the others are named."""
    _, names = CHECKPOINTS[number]
    built = build(names, variant=number, zipped=zipped)
    unlisted = _unlisted(names)
    if not unlisted:
        assert found(safe_torch.load(built.data, unknown="refuse")) == built.tensors
        return
    with pytest.raises(PolicyDenied) as caught:
        safe_torch.load(built.data, unknown="refuse")
    messages = [reason.message for reason in caught.value.verdict.reasons]
    assert len(messages) == len(unlisted)
    assert all(any(message.startswith(f"{name} ") for message in messages) for name in unlisted)
    assert found(safe_torch.load(built.data, unknown="refuse", inert=unlisted)) == built.tensors


def test_ninety_nine_of_a_hundred_load() -> None:
    """At least 99 % of 3,119 files name only what is on the shipped allowlists, and are no programs."""
    total = sum(files for files, _ in SETS)
    listed = sum(files for files, names in CHECKPOINTS if not _unlisted(names))
    assert total == 3119
    assert listed / total >= 0.99


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_programs_give_their_tensors(number: int, tmp_path: Path) -> None:
    """`load` refuses a TorchScript program, and says what gives its tensors; that does."""
    built = build(PROGRAMS[number][1])
    path = tmp_path / "program.pt"
    path.write_bytes(built.data)
    with pytest.raises(MalformedInput, match=r"safeload\.torch\.state_dict_of"):
        safe_torch.load(path)
    assert found(dict(safe_torch.state_dict_of(path))) == built.tensors


def test_getattr_is_forgiven_only_for_members(marker: Path) -> None:
    """Members of listed enumerations may be spelled with `getattr`; of anything else, it is named and refused."""
    member = b"\x80\x02c__builtin__\ngetattr\nctransformers.trainer_utils\nHubStrategy\nX\x03\x00\x00\x00END\x86R."
    assert safe_torch.load(member, unknown="refuse") is not None
    foreign = member.replace(b"HubStrategy", b"HubStrategies")
    with pytest.raises(PolicyDenied):
        safe_torch.load(foreign, unknown="refuse")
    both = b"\x80\x02c__builtin__\ngetattr\nq\x00ctransformers.trainer_utils\nHubStrategy\nX\x03\x00\x00\x00END\x86R"
    both += b"h\x00ca\nB\nX\x01\x00\x00\x00c\x86R\x86."
    with pytest.raises(PolicyDenied, match="getattr"):
        safe_torch.load(both, unknown="refuse")
