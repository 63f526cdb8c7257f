"""docs/common-checkpoints.md is what the program says, and what it tells people to do works the first time."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import safeload.torch
from safeload import PolicyDenied
from safeload.core.errors import SafeloadError
from tests.docs.common_checkpoints import CASES, PAGE, Case, of_safeload, of_torch, standing_in, text

pytestmark = pytest.mark.filterwarnings("ignore")
_COMMAND = re.compile(r"safeload\.torch\.\w+\(.*\)")
LOADED = [case for case in CASES if case.code]


def _title(case: Case) -> str:
    return case.title


def test_the_page_is_what_the_program_says() -> None:
    """Word for word. If not: `python -m tests.docs.common_checkpoints`."""
    assert PAGE.read_text(encoding="utf-8") == text()


@pytest.mark.parametrize("case", LOADED, ids=_title)
def test_the_code_on_the_page_works(case: Case, tmp_path: Path) -> None:
    """It runs as it stands, and imports none of the libraries that the file names."""
    namespace: dict[str, Any] = {"safe_torch": safeload.torch}
    before = {name.partition(".")[0] for name in sys.modules}
    with standing_in(case, tmp_path):
        exec(compile(case.code, "common-checkpoints.md", "exec"), namespace)  # our own documentation
    made = {name: value for name, value in namespace.items() if name not in ("safe_torch", "__builtins__")}
    assert made and all(value is not None for value in made.values())
    named = {"ultralytics", "pyannote", "omegaconf", "TTS", "fairseq", "pytorch_lightning", "lightning", "transformers"}
    assert not (named - before) & {name.partition(".")[0] for name in sys.modules}


@pytest.mark.parametrize("case", CASES, ids=_title)
def test_torch_refuses_each(case: Case, tmp_path: Path) -> None:
    """Each of them is a file that torch does not load by default."""
    with standing_in(case, tmp_path):
        assert of_torch(case)


@pytest.mark.parametrize("case", LOADED, ids=_title)
def test_following_the_message_works(case: Case, tmp_path: Path) -> None:
    """Whatever the strictest load says, each command in its `next:` succeeds as it is printed."""
    with standing_in(case, tmp_path):
        try:
            safeload.torch.load(case.file, unknown="refuse")
        except SafeloadError as error:
            commands = _COMMAND.findall(error.remedy)
            assert commands
            for command in commands:
                assert eval(command, {"safeload": safeload}) is not None  # our own words
        else:
            assert not case.strict


@pytest.mark.parametrize("case", LOADED, ids=_title)
def test_the_weights_are_all_there(case: Case, tmp_path: Path) -> None:
    """`state_dict_of` gives the tensors of every one that has any."""
    with standing_in(case, tmp_path):
        state = safeload.torch.state_dict_of(case.file, mmap=False)
        assert all(isinstance(tensor, torch.Tensor) for tensor in dict(state).values())
        assert len(state) > 0 or case.file == "training_args.bin"


def test_refusals_name_all_at_once(tmp_path: Path) -> None:
    """Not one name per round, as torch does: each class of the file is in the first message."""
    case = next(one for one in CASES if one.strict)
    with standing_in(case, tmp_path), pytest.raises(PolicyDenied) as caught:
        safeload.torch.load(case.file, unknown="refuse")
    assert "__main__.Config" in str(caught.value)
    assert "my_project.text.Tokenizer" in str(caught.value)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    """A pointer or a page is not called malformed or dangerous, but what it is."""
    for number, case in enumerate(one for one in CASES if not one.code):
        folder = tmp_path / str(number)
        folder.mkdir()
        with standing_in(case, folder):
            assert re.search("Git LFS|web page", of_safeload(case))
