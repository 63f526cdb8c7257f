"""Of the files that are there, safeload chooses the weights that transformers would."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import pytest

from safeload.core.errors import MalformedInput
from safeload.core.names import Location
from safeload.engine.admission import select
from safeload.engine.request import Request

NAMES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "model.fp16.safetensors",
    "model.safetensors.index.fp16.json",
    "pytorch_model.fp16.bin",
    "pytorch_model.bin.index.fp16.json",
)


def genuine(folder: Path, config: dict[str, Any], variant: str | None, use_safetensors: bool | None) -> str | None:
    """What the installed transformers would open in a local directory."""
    from transformers.modeling_utils import _get_resolved_checkpoint_files

    try:
        files, _ = _get_resolved_checkpoint_files(
            str(folder),
            variant=variant,
            gguf_file=None,
            use_safetensors=use_safetensors,
            user_agent=None,
            is_remote_code=False,
            transformers_explicit_filename=config.get("transformers_weights"),
        )
    except (OSError, ValueError):
        return None
    assert files is not None
    return os.path.relpath(files[0], folder)


@pytest.mark.parametrize("variant", [None, "fp16"])
@pytest.mark.parametrize("use_safetensors", [None, True, False])
def test_every_combination_of_files_gives_the_choice_of_transformers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str | None, use_safetensors: bool | None
) -> None:
    """256 sets of files, with and without variant and preference: the same file, or none on both sides."""
    import transformers.modeling_utils as library

    monkeypatch.setattr(library, "get_checkpoint_shard_files", lambda path, index, **_: ([index], {}))
    request = Request(purpose="model", variant=variant, use_safetensors=use_safetensors)
    outcomes = set()
    for chosen in itertools.chain.from_iterable(itertools.combinations(NAMES, n) for n in range(len(NAMES) + 1)):
        there = {str(tmp_path / name) for name in chosen}
        monkeypatch.setattr(library.os.path, "isfile", there.__contains__)
        expected = genuine(tmp_path, {}, variant, use_safetensors)
        monkeypatch.undo()
        monkeypatch.setattr(library, "get_checkpoint_shard_files", lambda path, index, **_: ([index], {}))
        assert select.weights_entry(set(chosen), {}, request) == expected, chosen
        outcomes.add(expected)
    assert len(outcomes) == (5 if use_safetensors is None else 3)


@pytest.mark.parametrize(
    "name", ["other.safetensors", "sub/other.safetensors", "other.safetensors.index.json", "adapter_model.bin"]
)
def test_a_file_that_the_config_names_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """`transformers_weights` wins over every usual name and over `use_safetensors`, as in transformers."""
    import transformers.modeling_utils as library

    monkeypatch.setattr(library, "get_checkpoint_shard_files", lambda path, index, **_: ([index], {}))
    for use_safetensors in (None, True, False):
        request = Request(purpose="model", use_safetensors=use_safetensors)
        config = {"transformers_weights": name}
        assert select.weights_entry({*NAMES, name}, config, request) == name
        assert genuine(tmp_path, config, None, use_safetensors) == name


@pytest.mark.parametrize(
    "name",
    ["../x.safetensors", "/x.safetensors", "a/../../x.safetensors", "", ".", "C:\\x.safetensors", "a\x00b", "x\u202e"],
)
def test_a_file_that_the_config_names_outside_is_refused(name: str) -> None:
    """Traversal, absolute and unclear names in `transformers_weights` are errors that name the entry."""
    with pytest.raises(MalformedInput) as refused:
        select.weights_entry(set(NAMES), {"transformers_weights": name}, Request(purpose="model"))
    assert "transformers_weights" in str(refused.value)


@pytest.mark.parametrize("value", [None, 5, ["x.safetensors"], {"a": "b"}])
def test_what_is_no_name_chooses_nothing(value: Any) -> None:
    """A `transformers_weights` that is no text is passed over; it is removed from the admitted config."""
    assert select.weights_entry(set(NAMES), {"transformers_weights": value}, Request(purpose="model")) == NAMES[0]


def test_a_gguf_file_that_was_asked_for_comes_before_all() -> None:
    """`gguf_file` is the caller's word, and wins over the config's."""
    request = Request(purpose="model", gguf_file="q/m.gguf")
    assert select.weights_entry(set(NAMES), {"transformers_weights": "x.safetensors"}, request) == "q/m.gguf"


def test_a_shard_index_gives_each_file_once() -> None:
    """Order and repetition in the index do not matter."""
    shards = select.shards({"weight_map": {"a": "2", "b": "1", "c": "2"}}, Location("i"))
    assert shards == ["1", "2"]


@pytest.mark.parametrize(
    "index",
    [
        None,
        [],
        {},
        {"weight_map": None},
        {"weight_map": []},
        {"weight_map": {}},
        {"weight_map": {"a": 1}},
        {"weight_map": {"a": ["x"]}},
        {"weight_map": {"a": "../x.safetensors"}},
        {"weight_map": {"a": "/x.safetensors"}},
        {"weight_map": {"a": "sub/x.safetensors"}},
        {"weight_map": {"a": "x\\..\\y"}},
        {"weight_map": {"a": ""}},
        {"weight_map": {"a": "good", "b": ".."}},
    ],
    ids=str,
)
def test_an_index_that_is_none_or_points_away_is_refused(index: Any) -> None:
    """Whatever is no list of files beside the index is an error that names it."""
    with pytest.raises(MalformedInput, match=r"i\.json"):
        select.shards(index, Location("i.json"))


@pytest.mark.parametrize(
    ("purpose", "wanted"),
    [
        ("config", {"config.json", "config.4.0.0.json", "adapter_config.json", "params.json"}),
        (
            "model",
            {"config.json", "config.4.0.0.json", "adapter_config.json", "params.json", "generation_config.json"},
        ),
        ("adapter", {"adapter_config.json"}),
    ],
)
def test_which_small_files_a_purpose_reads(purpose: Any, wanted: set[str]) -> None:
    """A load of a model or a config gets no tokenizer, and nothing that it never reads."""
    there = {*wanted, *SMALL, "config.json", "config.4.0.0.json", "adapter_config.json", "params.json"}
    assert set(select.small_files(there | {"generation_config.json"}, Request(purpose=purpose))) == wanted


SMALL = {
    "tokenizer.json", "tokenizer_config.json", "vocab.txt", "merges.txt", "spiece.model", "tokenizer.model.v3",
    "chat_template.jinja", "additional_chat_templates/tool.jinja", "preprocessor_config.json", "tekken.json",
    "README.md", "requirements.txt", "model.py", "run.sh", "trainer_state.json", "admission.json",
    "model.safetensors.index.json", "audio_tokenizer_config.json",
}  # fmt: skip


@pytest.mark.parametrize("purpose", ["tokenizer", "processor", "pipeline", "everything"])
def test_programs_and_indexes_are_never_small_files(purpose: Any) -> None:
    """Code, indexes at any level, notes for people and records of training are handed over to nobody."""
    hostile = {
        "sub/model.safetensors.index.json", "sub/pytorch_model.bin.index.fp16.json", "a.py", "b.pyc", "c.so", "d.pkl",
        "e.sh", "f.exe", "__pycache__/g.json.pyc", ".h", "i.json.pkl",
    }  # fmt: skip
    found = set(select.small_files(SMALL | hostile, Request(purpose=purpose)))
    assert "tokenizer.json" in found and "chat_template.jinja" in found
    left = {"README.md", "requirements.txt", "model.py", "run.sh", "trainer_state.json", "admission.json"}
    assert not found & (hostile | left | {"model.safetensors.index.json", "audio_tokenizer_config.json"})


def test_a_subfolder_is_seen_from_within() -> None:
    """Names are those relative to the subfolder, and nothing beside it is seen."""
    paths = ["config.json", "sub/config.json", "sub/a/b.json", "subway/config.json"]
    assert select.under("sub", paths) == {"config.json": "sub/config.json", "a/b.json": "sub/a/b.json"}
    assert select.under("sub/", paths) == select.under("sub", paths)
    assert select.under("", paths) == {path: path for path in paths}
    assert select.under("none", paths) == {}
