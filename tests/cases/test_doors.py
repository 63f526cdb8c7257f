"""The case table, part three: every other door. Redirects, code, kernels, adapters, templates, the network."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import transformers

from safeload import MalformedInput, PolicyDenied, SafeloadError, admit
from safeload.transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer, pipeline
from tests.adapters import repos, steering
from tests.cases.test_loads import same

Builder = Callable[..., Path]


# --- redirects ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["../x.safetensors", "/abs/x.safetensors", "a/../../x.safetensors"])
def test_an_index_cannot_leave_its_directory(tmp_path: Path, target: str) -> None:
    """A shard index that names a file elsewhere is refused as dangerous."""
    if target.startswith("/"):
        target = str(tmp_path / "x.safetensors")
    with pytest.raises((PolicyDenied, MalformedInput)) as caught:
        AutoModel.from_pretrained(steering.build_index_naming(tmp_path / "m", target=target))
    assert "model.safetensors.index.json" in str(caught.value)


def test_an_index_with_a_missing_shard_says_which(tmp_path: Path) -> None:
    """A shard that is not there is named."""
    with pytest.raises(SafeloadError, match=r"model-00002-of-00002"):
        AutoModel.from_pretrained(steering.build_index_missing_shard(tmp_path / "m"))


def test_a_pickle_named_by_a_safetensors_index_is_converted(tmp_path: Path, marker: Path) -> None:
    """A `.bin` in a safetensors index is read by our machine: converted if benign, refused if not."""
    same(AutoModel.from_pretrained(steering.build_index_naming_bin(tmp_path / "a")), repos.bert_state())
    with pytest.raises(PolicyDenied):
        AutoModel.from_pretrained(steering.build_index_naming_bin(tmp_path / "b", marker))


def test_transformers_weights_is_resolved_inside(tmp_path: Path, marker: Path) -> None:
    """The file that a config names instead of the usual one is used, judged and, if a pickle, converted."""
    path = steering.build_transformers_weights(tmp_path / "a")
    same(AutoModel.from_pretrained(path), transformers.AutoModel.from_pretrained(path).state_dict())
    path = steering.build_transformers_weights_bin(tmp_path / "b")
    same(AutoModel.from_pretrained(path), repos.bert_state())
    with pytest.raises(PolicyDenied):
        AutoModel.from_pretrained(steering.build_transformers_weights_bin(tmp_path / "c", marker))


def test_transformers_weights_cannot_leave_the_directory(tmp_path: Path) -> None:
    """A config that names weights elsewhere is refused."""
    path = repos.build_safetensors(tmp_path / "m")
    repos.rewrite(path / "config.json", transformers_weights="../other/model.safetensors")
    with pytest.raises(SafeloadError):
        AutoModel.from_pretrained(path)


def test_versioned_configs_are_followed_inside(tmp_path: Path) -> None:
    """`configuration_files` and `fast_tokenizer_files` choose what they choose in plain transformers."""
    path = steering.build_configuration_files(tmp_path / "a")
    assert (
        AutoConfig.from_pretrained(path).to_dict().keys()
        == transformers.AutoConfig.from_pretrained(path).to_dict().keys()
    )
    path = steering.build_fast_tokenizer_files(tmp_path / "b")
    ours, plain = AutoTokenizer.from_pretrained(path), transformers.AutoTokenizer.from_pretrained(path)
    assert ours.get_vocab() == plain.get_vocab()


def test_nested_configs_are_closed_too(tmp_path: Path) -> None:
    """What a nested config says about files, code and kernels is closed as at the top."""
    path = steering.build_nested_steering(tmp_path / "m")
    with pytest.raises(PolicyDenied, match=r"text_config\.transformers_weights"):
        AutoModel.from_pretrained(path)
    inner = {"transformers_weights": "x.bin", "attn_implementation": "evil/kernel", "auto_map": {"AutoModel": "m.C"}}
    repos.rewrite(path / "config.json", text_config={"model_type": "bert", **inner})
    with admit(path) as admission:
        text = (admission.path / "config.json").read_text()
    for word in ("auto_map", "transformers_weights", "evil/kernel"):
        assert word not in text


# --- code ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trust", [{}, {"trust_remote_code": False}, {"trust_remote_code": None}])
def test_code_that_nobody_needs_is_left_out(tmp_path: Path, marker: Path, trust: dict[str, bool | None]) -> None:
    """A native model with `auto_map` loads natively without its code, with one finding."""
    path = steering.build_auto_map_native(tmp_path / "m", marker)
    model = AutoModel.from_pretrained(path, **trust)
    assert type(model) is transformers.BertModel
    same(model, repos.bert_state())
    with admit(path) as admission:
        assert [item.path for item in admission.left_out if item.path == "custom.py"] == ["custom.py"]
        assert not list(admission.path.rglob("*.py"))
        assert "auto_map" not in (admission.path / "config.json").read_text()


@pytest.mark.parametrize(
    ("build", "kwargs", "names"),
    [
        (steering.build_auto_map_unknown, {}, "custom.py"),
        (steering.build_auto_map_unknown, {"trust_remote_code": False}, "custom.py"),
        (steering.build_auto_map_native, {"trust_remote_code": True}, "custom.py"),
        (steering.build_auto_map_elsewhere, {}, "other/repo--"),
        (steering.build_auto_map_elsewhere, {"trust_remote_code": True}, "other/repo--"),
    ],
)
def test_code_that_is_needed_is_refused_with_the_next_command(
    tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch, build: Builder, kwargs: dict[str, bool], names: str
) -> None:
    """A load that needs code is refused, naming each file and the command that comes next, without a prompt."""
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a prompt"))
    with pytest.raises(PolicyDenied) as caught:
        AutoModel.from_pretrained(build(tmp_path / "m", marker), **kwargs)
    assert names in str(caught.value)
    assert "safeload " in str(caught.value)


def test_custom_generate_is_code(tmp_path: Path, marker: Path) -> None:
    """`custom_generate` is left out, and refused when the caller trusts remote code."""
    path = steering.build_custom_generate(tmp_path / "m", marker)
    assert type(AutoModelForCausalLM.from_pretrained(path)) is transformers.LlamaForCausalLM
    with pytest.raises(PolicyDenied, match="custom_generate"):
        AutoModelForCausalLM.from_pretrained(path, trust_remote_code=True)


def test_custom_pipelines_are_code(tmp_path: Path, marker: Path) -> None:
    """A pipeline class from the repository is refused; a task of the library's own still works."""
    path = steering.build_custom_pipelines(tmp_path / "m", marker)
    with pytest.raises(PolicyDenied, match=r"pipe\.py"):
        pipeline("mine", model=str(path))
    with pytest.raises(PolicyDenied, match=r"pipe\.py"):
        pipeline("mine", model=str(path), trust_remote_code=True)
    assert pipeline("feature-extraction", model=str(path))("w1 w2")


# --- kernels ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [steering.build_attention_kernel, steering.build_experts_kernel])
def test_kernels_named_by_a_config_are_removed(tmp_path: Path, build: Builder) -> None:
    """A repository of native code in the config is removed, said, and nothing is fetched."""
    path = build(tmp_path / "m")
    same(AutoModel.from_pretrained(path), repos.bert_state())
    with admit(path) as admission:
        assert "evil-org" not in (admission.path / "config.json").read_text()
        assert any("evil-org" in item.reason for item in admission.left_out)


@pytest.mark.parametrize("kwargs", [{"use_kernels": True}, {"attn_implementation": "evil-org/kernel"}])
def test_kernels_named_by_the_caller_are_refused(tmp_path: Path, kwargs: dict[str, object]) -> None:
    """Native code that the caller asks for is refused as well: no policy lists it."""
    with pytest.raises(SafeloadError):
        AutoModel.from_pretrained(repos.build_safetensors(tmp_path / "m"), **kwargs)


def test_an_unknown_quantiser_fetches_nothing(tmp_path: Path) -> None:
    """A quantisation method that nobody knows ends in an error or a plain load, never in code."""
    path = steering.build_unknown_quantiser(tmp_path / "m")
    try:
        same(AutoModel.from_pretrained(path), repos.bert_state())
    except (SafeloadError, ValueError) as error:
        assert "madeup" in str(error)


# --- adapters -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("safe", [True, False])
def test_an_adapter_and_its_base_load(tmp_path: Path, safe: bool) -> None:
    """An adapter, safetensors or pickle, loads on its admitted base and gives what peft gives."""
    import torch

    base = repos.build_bin(tmp_path / "base")
    model = AutoModel.from_pretrained(steering.build_adapter(tmp_path / "a", base=base, safe=safe))
    plain = transformers.AutoModel.from_pretrained(steering.build_adapter(tmp_path / "p", base=base, safe=True))
    ids = torch.tensor([[2, 6, 7, 3]])
    assert torch.equal(model.eval()(ids).last_hidden_state, plain.eval()(ids).last_hidden_state)


def test_an_evil_adapter_or_base_is_refused(tmp_path: Path, marker: Path) -> None:
    """The same policy holds for the adapter's own file and for the base it points to."""
    good = repos.build_safetensors(tmp_path / "good")
    with pytest.raises(PolicyDenied):
        AutoModel.from_pretrained(steering.build_adapter(tmp_path / "a", marker, base=good, safe=False))
    evil = repos.build_evil_bin(tmp_path / "evil", marker)
    with pytest.raises(PolicyDenied):
        AutoModel.from_pretrained(steering.build_adapter(tmp_path / "b", base=evil))
    code = steering.build_auto_map_unknown(tmp_path / "code", marker)
    with pytest.raises(PolicyDenied, match=r"custom\.py"):
        AutoModel.from_pretrained(steering.build_adapter(tmp_path / "c", base=code))


def test_a_model_with_an_adapter_inside_loads(tmp_path: Path) -> None:
    """A directory with both a whole model and an adapter loads as plain transformers loads it."""
    path = steering.build_adapter_inside(tmp_path / "m")
    same(AutoModel.from_pretrained(path), transformers.AutoModel.from_pretrained(path).state_dict())


# --- templates, planted code, environment -------------------------------------------------------------------------


@pytest.mark.parametrize("template", [steering.ESCAPE, steering.LOOP])
def test_a_template_that_escapes_or_never_ends_is_refused(tmp_path: Path, template: str) -> None:
    """A dangerous template denies like a dangerous pickle, wherever a load would hand it over."""
    path = steering.build_template(tmp_path / "m", template=template)
    for load in (lambda: admit(path), lambda: AutoTokenizer.from_pretrained(path)):
        with pytest.raises(PolicyDenied, match=r"chat_template\.jinja"):
            load()


def test_a_dangerous_template_does_not_keep_a_model_from_its_weights(tmp_path: Path) -> None:
    """A load that hands no template over does not ask what it says."""
    path = steering.build_template(tmp_path / "m", template=steering.ESCAPE)
    same(AutoModel.from_pretrained(path), transformers.AutoModel.from_pretrained(path).state_dict())


def test_code_planted_around_the_model_has_no_effect(
    tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Modules beside the model, in the modules cache, or behind weakening variables change nothing."""
    path = steering.build_planted_modules(tmp_path / "m", marker)
    planted = tmp_path / "modules" / "transformers_modules" / "m"
    planted.mkdir(parents=True)
    steering.write_code(planted / "custom.py", marker)
    for name, value in {
        "HF_MODULES_CACHE": str(tmp_path / "modules"),
        "TRUST_REMOTE_CODE": "True",
        "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1",
        "USE_HUB_KERNELS": "YES",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(path)
    same(AutoModel.from_pretrained(path), repos.bert_state())


def test_a_rag_index_is_never_handed_over(tmp_path: Path, marker: Path) -> None:
    """The pickles of a RAG index are reported and absent."""
    path = steering.build_rag(tmp_path / "m", marker)
    with admit(path) as admission:
        assert admission.report.status.name == "DANGEROUS"
        assert not [file for file in admission.path.rglob("*") if file.suffix in (".pkl", ".dpr")]


def test_a_local_load_connects_to_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading a directory opens no connection, whatever the hub settings say."""
    import socket

    def refuse(*_: object) -> None:
        raise AssertionError("a connection was attempted")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    path = repos.build_bin(tmp_path / "m")
    same(AutoModel.from_pretrained(path), repos.bert_state())
    AutoTokenizer.from_pretrained(repos.build_safetensors(tmp_path / "t"))


def test_the_admitted_directory_holds_what_it_says(tmp_path: Path) -> None:
    """`admit(into=…)` writes real files: safetensors, JSON, tokenizer; and a record of where each came from."""
    path = repos.build_bin(tmp_path / "m")
    repos.write_tokenizer(path)
    (path / "README.md").write_text("hello")
    admit(path, into=tmp_path / "out").close()
    names = sorted(os.listdir(tmp_path / "out"))
    assert "model.safetensors" in names
    assert "tokenizer.json" in names
    assert "README.md" not in names
    assert not [name for name in names if name.endswith((".bin", ".py"))]
    assert not any((tmp_path / "out" / name).is_symlink() for name in names)
    record = json.loads((tmp_path / "out" / "admission.json").read_text())
    assert {file["path"] for file in record["files"]} == {*names} - {"admission.json"}
    same(transformers.AutoModel.from_pretrained(tmp_path / "out"), repos.bert_state())
