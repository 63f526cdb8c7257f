"""`pipeline`, guarded: every part that it names is admitted."""

from __future__ import annotations

import gc
import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import safeload.transformers as guarded
from safeload import Options
from safeload.core.errors import PolicyDenied, UsageError
from safeload.core.policy import AllOf
from safeload.transformers import _pipeline
from safeload.transformers._kernels import is_installed
from tests.adapters import payloads, repos, steering


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return repos.build_bin(tmp_path / "model")


def test_the_function_looks_like_the_genuine_one() -> None:
    """Its name, docstring and signature are the library's."""
    assert guarded.pipeline.__name__ == "pipeline" and guarded.pipeline.__doc__ == transformers.pipeline.__doc__
    assert inspect.signature(guarded.pipeline) == inspect.signature(transformers.pipeline)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_pipeline_gives_what_plain_transformers_gives(kind: Any, path: Path) -> None:
    """Equal results, the genuine classes, and names that show what was asked for."""
    ours = guarded.pipeline("feature-extraction", model=kind(path))
    plain = transformers.pipeline("feature-extraction", model=str(path))
    assert type(ours) is type(plain) and ours("w1 w2") == plain("w1 w2")
    assert ours.model.name_or_path == ours.tokenizer.name_or_path == str(path)
    assert type(ours.model) is transformers.BertModel


def test_parts_may_come_from_elsewhere(path: Path, tmp_path: Path) -> None:
    """A tokenizer and a config of their own, by reference, by object, or with keywords, show their own names."""
    other = repos.write_tokenizer(tmp_path / "tokenizer")
    pipe = guarded.pipeline("feature-extraction", model=str(path), tokenizer=str(other), config=str(path))
    assert (pipe.model.name_or_path, pipe.tokenizer.name_or_path) == (str(path), str(other))
    pipe = guarded.pipeline("feature-extraction", str(path), tokenizer=(str(other), {"padding_side": "left"}))
    assert pipe.tokenizer.padding_side == "left"
    model, tokenizer = guarded.AutoModel.from_pretrained(path), guarded.AutoTokenizer.from_pretrained(other)
    pipe = guarded.pipeline("feature-extraction", model=model, tokenizer=tokenizer)
    assert pipe.model is model and pipe.tokenizer is tokenizer and pipe("w1")


def test_model_kwargs_reach_the_model(path: Path) -> None:
    """What says where the model is goes to admission; the rest is the library's."""
    arguments = {"use_safetensors": False, "local_files_only": True, "attn_implementation": "eager"}
    pipe = guarded.pipeline("feature-extraction", model=str(path), model_kwargs=arguments, dtype=torch.float16)
    assert pipe.model.config._attn_implementation == "eager" and pipe.model.dtype == torch.float16
    assert arguments == {"use_safetensors": False, "local_files_only": True, "attn_implementation": "eager"}


@pytest.mark.parametrize("part", ["model", "tokenizer", "config", "tuple"])
def test_an_evil_part_is_refused(part: str, path: Path, tmp_path: Path, marker: Path) -> None:
    """Wherever it is named."""
    evil = repos.build_evil_bin(tmp_path / "evil", marker)
    tokenizer = str(repos.build_evil_tokenizer(tmp_path / "tokenizer", marker))
    code = str(steering.build_auto_map_unknown(tmp_path / "code", marker))
    arguments: dict[str, Any] = {
        "model": {"model": str(evil)},
        "tokenizer": {"model": str(path), "tokenizer": tokenizer},
        "config": {"model": str(path), "config": code},
        "tuple": {"model": str(path), "tokenizer": (tokenizer, {})},
    }[part]
    with pytest.raises(PolicyDenied):
        guarded.pipeline("feature-extraction", **arguments)


def test_an_evil_assistant_is_refused(tmp_path: Path, marker: Path) -> None:
    """The assistant of a generating pipeline is a model like any other."""
    main = repos.build_llama(tmp_path / "main")
    evil = repos.build_bin_tied(tmp_path / "evil")
    repos.write_tokenizer(evil)
    good = guarded.pipeline("text-generation", model=str(main), assistant_model=str(evil))
    assert good.assistant_model is not None
    payloads.poison_zip(evil / "pytorch_model.bin", payloads.snippet(marker))
    with pytest.raises(PolicyDenied, match="exec"):
        guarded.pipeline("text-generation", model=str(main), assistant_model=str(evil))


@pytest.mark.parametrize("trust", [None, False, True])
def test_custom_pipelines_are_refused(trust: bool | None, tmp_path: Path, marker: Path) -> None:
    """The author's pipeline class is code, whatever the caller trusts; the code file is named."""
    path = steering.build_custom_pipelines(tmp_path / "m", marker)
    with pytest.raises(PolicyDenied, match=r"pipe\.py"):
        guarded.pipeline("mine", model=str(path), trust_remote_code=trust)


def test_a_native_task_ignores_custom_pipelines(tmp_path: Path, marker: Path) -> None:
    """Asked for a task of the library's own, the author's class is left out."""
    path = steering.build_custom_pipelines(tmp_path / "m", marker)
    assert guarded.pipeline("feature-extraction", model=str(path))("w1")


def test_the_task_of_a_local_model_has_to_be_named(path: Path) -> None:
    """Only the hub knows it; nothing is asked there about a local folder."""
    with pytest.raises(UsageError, match="task") as caught:
        guarded.pipeline(model=str(path))
    assert "pipeline(" in caught.value.remedy


def test_neither_task_nor_model_is_the_library_s_error() -> None:
    """Mistakes that have nothing to do with loading stay the library's."""
    with pytest.raises(RuntimeError, match="task"):
        guarded.pipeline()


def test_the_default_model_of_a_task_is_admitted_at_its_pinned_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's own choice is a reference like any other."""
    asked: list[Any] = []

    def refuse(reference: str, *, request: Any, options: Any) -> None:
        asked.append((reference, request.revision))
        raise UsageError("seen")

    monkeypatch.setattr(_pipeline, "admit", refuse)
    with pytest.raises(UsageError, match="seen"):
        guarded.pipeline("fill-mask")
    ((reference, revision),) = asked
    assert "/" in reference and revision and revision != "main"


@pytest.mark.parametrize(
    "weakening",
    [
        {"model_kwargs": {"weights_only": False}},
        {"model_kwargs": {"attn_implementation": "evil-org/kernel"}},
        {"model_kwargs": {"use_kernels": True}},
        {"safeload": 1},
    ],
    ids=str,
)
def test_arguments_that_weaken_a_pipeline_are_refused(weakening: dict[str, Any], path: Path) -> None:
    """The same as for models, in `model_kwargs` too."""
    if "use_kernels" in weakening.get("model_kwargs", {}) and is_installed():
        pytest.skip("kernels are installed that this version of transformers takes: policies decide")
    with pytest.raises((UsageError, PolicyDenied)):
        guarded.pipeline("feature-extraction", model=str(path), **weakening)


def test_the_policy_of_the_call_decides(path: Path) -> None:
    """Options ride in the one keyword."""
    with pytest.raises(PolicyDenied, match="empty policy"):
        guarded.pipeline("feature-extraction", model=str(path), safeload=Options(policy=AllOf()))


def test_the_directory_lives_as_long_as_the_pipeline_or_its_parts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model may be taken out of the pipeline, and outlive it."""
    views: list[Path] = []
    genuine = _pipeline.admit

    def noting(*args: Any, **kwargs: Any) -> Any:
        admission = genuine(*args, **kwargs)
        views.append(admission.path)
        return admission

    monkeypatch.setattr(_pipeline, "admit", noting)
    pipe = guarded.pipeline("feature-extraction", model=str(path))
    model = pipe.model
    del pipe
    gc.collect()
    assert views and all(view.is_dir() for view in views)
    del model
    gc.collect()
    assert not any(view.exists() for view in views)


def test_an_adapter_can_be_a_pipeline_s_model(path: Path, tmp_path: Path) -> None:
    """The pipeline loads base and adapter, both admitted."""
    adapter = steering.build_adapter(tmp_path / "adapter", base=path)
    repos.write_tokenizer(adapter)
    pipe = guarded.pipeline("feature-extraction", model=str(adapter), tokenizer=str(adapter))
    assert pipe.model.peft_config and pipe("w1")
