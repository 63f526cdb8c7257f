"""JSON files: what they hold, what they point at, and what makes two readers disagree."""

from __future__ import annotations

import json
from typing import Any

import pytest

from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.limits import Limits
from safeload.formats.base import Config, Irregularity, Reference, Text
from tests.formats.helpers import of, reading


def _references(value: Any, name: str = "config.json") -> list[tuple[str, str, str | None]]:
    result = reading(json.dumps(value).encode(), name)
    assert result.formats == ("json",) and result.fault is None
    return [(part.kind, part.target, part.location.path) for part in of(result, Reference)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"auto_map": {"AutoModel": "m.C"}}, ("code", "m.C", "auto_map")),
        ({"auto_map": {"AutoTokenizer": ["other/repo--t.Slow", None]}}, ("code", "other/repo--t.Slow", "auto_map")),
        ({"text_config": {"auto_map": {"AutoModel": "m.C"}}}, ("code", "m.C", "text_config.auto_map")),
        ({"a": [{"auto_map": {"AutoModel": "m.C"}}]}, ("code", "m.C", "a[0].auto_map")),
        ({"custom_pipelines": {"t": {"impl": "p.P", "pt": ["AutoModel"]}}}, ("code", "p.P", "custom_pipelines")),
        ({"transformers_weights": "adapter_model.bin"}, ("weights", "adapter_model.bin", "transformers_weights")),
        ({"configuration_files": ["config.4.0.json"]}, ("config", "config.4.0.json", "configuration_files")),
        ({"fast_tokenizer_files": ["tokenizer.4.json"]}, ("tokenizer", "tokenizer.4.json", "fast_tokenizer_files")),
        ({"attn_implementation": "org/kernel@rev:f"}, ("kernel", "org/kernel@rev:f", "attn_implementation")),
        ({"attn_implementation": {"text_config": "org/k"}}, ("kernel", "org/k", "attn_implementation")),
        ({"_attn_implementation_autoset": "org/k"}, ("kernel", "org/k", "_attn_implementation_autoset")),
        (
            {"vision_config": {"experts_implementation": "a/b"}},
            ("kernel", "a/b", "vision_config.experts_implementation"),
        ),
        ({"use_kernels": True}, ("kernel", "on", "use_kernels")),
        ({"base_model_name_or_path": "org/base"}, ("base-model", "org/base", "base_model_name_or_path")),
        ({"auto_mapping": {"parent_library": "evil"}}, ("import", "evil", "auto_mapping")),
        (
            {"audio_tokenizer": {"audio_tokenizer_name_or_path": "a/b"}},
            ("repository", "a/b", "audio_tokenizer.audio_tokenizer_name_or_path"),
        ),
        ({"speaker_embeddings": {"repo_or_path": "a/b"}}, ("repository", "a/b", "speaker_embeddings.repo_or_path")),
        ({"class_info_file": "x.json"}, ("repository", "x.json", "class_info_file")),
        ({"quantization_config": {"quant_method": "awq"}}, ("quantization", "awq", "quantization_config.quant_method")),
        ({"fusion_config": {"patch": {}}}, ("module", "patch", "fusion_config")),
        ({"activation_fn": "torch.get_num_threads"}, ("callable", "torch.get_num_threads", "activation_fn")),
        ({"model_args": {"checkpoint_path": "../x"}}, ("weights", "../x", "model_args.checkpoint_path")),
        ({"architecture": "hf-hub:org/model"}, ("repository", "hf-hub:org/model", "architecture")),
        ({"weight_map": {"w": "../x.bin"}}, ("shard", "../x.bin", "weight_map")),
    ],
    ids=str,
)
def test_every_pointer_becomes_a_reference(value: Any, expected: tuple[str, str, str]) -> None:
    """Code, kernels, weights and repositories are found at any depth, with their JSON path."""
    assert expected in _references(value)


def test_escaped_keys_are_found() -> None:
    """A key spelled with escapes is the same key."""
    result = reading(b'{"auto\\u005fmap": {"AutoModel": "m.C"}}', "config.json")
    assert [part.target for part in of(result, Reference)] == ["m.C"]


@pytest.mark.parametrize(
    "value",
    [
        {"attn_implementation": "sdpa", "_attn_implementation": "eager", "activation_function": "gelu_new"},
        {"architectures": ["BertModel"], "architecture": "resnet50", "use_kernels": False},
    ],
)
def test_ordinary_settings_are_no_references(value: Any) -> None:
    """Names of built-in implementations point nowhere."""
    assert not _references(value)


def test_a_shard_index_names_each_file_once() -> None:
    """A thousand tensors in two files are two references."""
    index = {"metadata": {}, "weight_map": {f"w{i}": f"model-{i % 2}.safetensors" for i in range(1000)}}
    assert len(_references(index, "model.safetensors.index.json")) == 2


def test_modules_of_sentence_transformers_and_diffusers_are_references() -> None:
    """Both libraries import the classes that these files name."""
    modules = [{"idx": 0, "name": "0", "path": "", "type": "evil.Module"}]
    assert ("module", "evil.Module", "[0].type") in _references(modules, "modules.json")
    index = {"_class_name": ["file", "Pipe"], "unet": ["subprocess", "Popen"]}
    found = _references(index, "model_index.json")
    assert ("code", "file.Pipe", "_class_name") in found and ("module", "subprocess.Popen", "unet") in found


@pytest.mark.parametrize(
    ("value", "paths"),
    [
        ("{{ x }}", ["chat_template"]),
        ([{"name": "default", "template": "{{ x }}"}, {"name": "tools"}], ["chat_template[0].template"]),
        ({"default": "{{ x }}"}, ["chat_template.default"]),
        (3, []),
    ],
)
def test_chat_templates_are_text_with_a_role(value: Any, paths: list[str]) -> None:
    """A template, a list of named ones, and a mapping are all found."""
    result = reading(json.dumps({"chat_template": value}).encode(), "tokenizer_config.json")
    assert [part.location.path for part in of(result, Text, role="chat-template")] == paths


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '{"b": [{"a": 1, "a": 1}]}'])
def test_a_key_that_stands_twice_is_two_readings(text: str) -> None:
    """Rust and Python readers differ in which value they take; ours is the last."""
    result = reading(text.encode(), "config.json")
    assert of(result, Irregularity, kind="json-duplicate-key")[0].two_readings


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b'{"a":', b"[1,]", b"{'a': 1}", b'{"a": 1} x', b'{"a": "\xff"}', b'\xef\xbb\xbf{"a": 1}', b"{} {}"],
)
def test_what_is_not_json_is_refused(raw: bytes) -> None:
    """A configuration that cannot be read is undecided, with an offset where there is one."""
    result = reading(raw, "config.json")
    assert isinstance(result.fault, MalformedInput) or result.formats == ("stand-in",)


@pytest.mark.parametrize("raw", [b"[" * 100_000, b'{"a":' * 100_000], ids=["lists", "objects"])
def test_nesting_without_end_is_a_limit(raw: bytes) -> None:
    """Depth never becomes a recursion error."""
    assert isinstance(reading(raw, "config.json").fault, LimitExceeded)


def test_a_huge_number_is_refused() -> None:
    """Python will not convert five thousand digits, and says so in our words."""
    assert isinstance(reading(b"[" + b"9" * 5000 + b"]", "config.json").fault, MalformedInput)


def test_a_long_file_is_a_limit() -> None:
    """The limit on text is checked before the file is read."""
    assert isinstance(reading(b"[1, 2, 3]", "config.json", Limits(json_bytes=4)).fault, LimitExceeded)


def test_infinities_are_allowed() -> None:
    """Python's libraries write them."""
    result = reading(b'{"a": [NaN, Infinity, -Infinity]}', "config.json")
    assert result.fault is None and len(of(result, Config)[0].data["a"]) == 3
