"""The case table, part one: whatever the weights were stored in, the same model comes out, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
import transformers

from safeload import MalformedInput, PolicyDenied, SafeloadError
from safeload.transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer
from tests.adapters import repos

Builder = Callable[..., Path]


def same(model: torch.nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Assert that the model holds exactly these tensors."""
    loaded = model.state_dict()
    assert set(loaded) == set(state)
    for name, tensor in state.items():
        assert loaded[name].dtype == tensor.dtype, name
        assert torch.equal(loaded[name], tensor), name


@pytest.mark.parametrize("build", [repos.build_safetensors, repos.build_sharded])
def test_safetensors_load_as_with_plain_transformers(tmp_path: Path, build: Builder) -> None:
    """Safetensors, in one file or several, give the model that plain transformers gives."""
    path = build(tmp_path / "m")
    model = AutoModel.from_pretrained(path)
    plain = transformers.AutoModel.from_pretrained(path)
    assert type(model) is type(plain)
    same(model, plain.state_dict())


@pytest.mark.parametrize(
    "build",
    [
        repos.build_bin,
        repos.build_bin_legacy,
        repos.build_bin_tar,
        repos.build_bin_sharded,
        repos.build_bin_strided,
        repos.build_bin_no_dtype,
        repos.build_bin_extras,
        repos.build_bin_module,
        repos.build_lightning,
    ],
)
def test_every_kind_of_bin_gives_the_tensors_that_were_saved(tmp_path: Path, build: Builder) -> None:
    """A pickled checkpoint of any kind loads, equal bit for bit to what was saved."""
    same(AutoModel.from_pretrained(build(tmp_path / "m")), repos.bert_state())


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol_loads(tmp_path: Path, protocol: int) -> None:
    """The pickle protocol of a checkpoint does not matter, though torch's own safe mode stops at 3."""
    same(AutoModel.from_pretrained(repos.build_bin_protocol(tmp_path / "m", protocol=protocol)), repos.bert_state())


def test_tied_weights_stay_tied(tmp_path: Path) -> None:
    """A checkpoint whose output and input embeddings share memory gives a model in which they still do."""
    model = AutoModelForCausalLM.from_pretrained(repos.build_bin_tied(tmp_path / "m"))
    assert model.lm_head.weight is model.model.embed_tokens.weight
    same(model, repos.llama().state_dict())


def test_variant_and_subfolder_keep_their_meaning(tmp_path: Path) -> None:
    """`variant` and `subfolder` choose the files that plain transformers chooses."""
    variant = repos.build_variant(tmp_path / "v")
    plain = transformers.AutoModel.from_pretrained(variant, variant="fp16")
    same(AutoModel.from_pretrained(variant, variant="fp16"), plain.state_dict())
    nested = repos.build_subfolder(tmp_path / "s")
    plain = transformers.AutoModel.from_pretrained(nested, subfolder="sub")
    same(AutoModel.from_pretrained(nested, subfolder="sub"), plain.state_dict())


def test_names_that_do_not_fit_are_listed(tmp_path: Path) -> None:
    """A checkpoint for another architecture is refused with the names it holds, not loaded at random."""
    with pytest.raises(MalformedInput) as caught:
        AutoModel.from_pretrained(repos.build_bin_other_names(tmp_path / "m"))
    assert "something.weight" in str(caught.value) or "weight" in str(caught.value)


def test_the_second_load_gives_the_same(tmp_path: Path) -> None:
    """A model that was admitted before loads from the record, with equal weights."""
    path = repos.build_bin(tmp_path / "m")
    for _ in range(3):
        same(AutoModel.from_pretrained(path), repos.bert_state())


def test_tokenizers_load_and_show_their_reference(tmp_path: Path) -> None:
    """A tokenizer comes out as with plain transformers, and names what the user asked for."""
    path = repos.build_safetensors(tmp_path / "m")
    tokenizer = AutoTokenizer.from_pretrained(path)
    plain = transformers.AutoTokenizer.from_pretrained(path)
    assert tokenizer("w1 w2").input_ids == plain("w1 w2").input_ids
    assert tokenizer.name_or_path == str(path)


def test_models_show_their_reference(tmp_path: Path) -> None:
    """`name_or_path` of a model is what the user asked for, not a directory of ours."""
    path = repos.build_bin(tmp_path / "m")
    assert AutoModel.from_pretrained(path).name_or_path == str(path)


def test_a_local_folder_that_shadows_a_hub_id_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder named like a hub id is chosen, as transformers chooses it, and the choice is said."""
    from safeload import admit

    repos.build_safetensors(tmp_path / "google-bert" / "bert-base-uncased")
    monkeypatch.chdir(tmp_path)
    with admit("google-bert/bert-base-uncased") as admission:
        assert any("hub" in note for note in admission.notes), admission.notes


@pytest.mark.parametrize("kind", sorted(repos.broken_weights()))
def test_broken_weights_are_refused_with_a_place(tmp_path: Path, kind: str) -> None:
    """An empty, cut or absurd weight file is refused by one of our errors that names the file."""
    path = repos.build_broken(tmp_path / "m", kind=kind)
    with pytest.raises(SafeloadError) as caught:
        AutoModel.from_pretrained(path)
    assert "model.bin" in str(caught.value) or "model.safetensors" in str(caught.value), str(caught.value)


@pytest.mark.parametrize(
    "build", [repos.build_directory_as_weights, repos.build_fifo_as_weights, repos.build_symlink_loop]
)
def test_things_that_are_no_files_are_refused(tmp_path: Path, build: Builder) -> None:
    """A directory, a pipe or a link loop under the name of weights is refused, and nothing hangs."""
    with pytest.raises(SafeloadError) as caught:
        AutoModel.from_pretrained(build(tmp_path / "m"))
    assert "model" in str(caught.value)


def test_integrity_private_survives_an_overwrite(tmp_path: Path) -> None:
    """With a private copy, neither overwriting nor truncating the original changes the loaded model."""
    import os

    from safeload import Options

    path = repos.build_safetensors(tmp_path / "m")
    weights = path / "model.safetensors"
    model = AutoModel.from_pretrained(path, safeload=Options(integrity="private"))
    size = weights.stat().st_size
    with weights.open("r+b") as stream:
        stream.seek(size // 2)
        stream.write(b"\xff" * (size - size // 2))
    same(model, repos.bert_state())
    os.truncate(weights, 0)
    same(model, repos.bert_state())


def test_an_overwrite_is_noticed_at_the_next_admission(tmp_path: Path) -> None:
    """After the file changed in place, the next load judges and loads the new bytes, not the remembered ones."""
    path = repos.build_safetensors(tmp_path / "m")
    AutoModel.from_pretrained(path)
    (path / "model.safetensors").write_bytes(b"\x80\x02cos\nsystem\n(X\x04\x00\x00\x00truetR.")
    with pytest.raises(PolicyDenied):
        AutoModel.from_pretrained(path)
