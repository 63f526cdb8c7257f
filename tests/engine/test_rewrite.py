"""Configs lose every pointer to somewhere else, at any depth, and nothing besides."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.engine.admission.rewrite import rewrite
from tests.effort import lines

NOTHING: Any = lambda name: False  # noqa: E731  (no file is handed over)

DOORS: list[tuple[str, Any]] = [
    ("auto_map", {"AutoModel": "modeling.Evil"}),
    ("auto_map", "other/repo--modeling.Evil"),
    ("auto_map", [["tokenization.Evil", None]]),
    ("custom_pipelines", {"mine": {"impl": "pipe.Evil"}}),
    ("custom_generate", "evil/repo"),
    ("fusion_config", {"patch_embeddings": "evil"}),
    ("use_kernels", True),
    ("use_kernels", 1),
    ("kernel_config", {"RMSNorm": "evil/kernel:RMSNorm"}),
    ("allow_all_kernels", True),
    ("attn_implementation", "evil/kernel"),
    ("attn_implementation", "evil-org/kernel@deadbeef:function"),
    ("attn_implementation", {"text_config": "sdpa", "vision_config": "evil/kernel"}),
    ("attn_implementation", {"text_config": {"deeper": "evil/kernel"}}),
    ("attn_implementation", ["evil/kernel"]),
    ("attn_implementation", "paged|evil/kernel"),
    ("attn_implementation", "sdpa\n"),
    ("_attn_implementation", "evil/kernel"),
    ("_attn_implementation_internal", "evil/kernel"),
    ("experts_implementation", "evil/kernel"),
    ("_experts_implementation", {"": "evil/kernel"}),
    ("_experts_implementation_internal", "evil/kernel"),
    ("trust_remote_code", True),
    ("trust_remote_code", "yes"),
    ("code_revision", "main"),
    ("weights_only", False),
    ("use_safetensors", False),
    ("_commit_hash", "0" * 40),
    ("transformers_weights", "adapter_model.bin"),
    ("weight_map", {"a": "../../other/model.safetensors"}),
    ("checkpoint_path", "/somewhere/evil.pth"),
    ("architecture", "hf-hub:evil/model"),
    ("architecture", "hf_hub:evil/model"),
    ("architecture", "local-dir:/somewhere"),
    ("backbone", "hf-hub:evil/model"),
    ("backbone", "evil/model"),
    ("mm_vision_tower", "evil/clip"),
    ("vocoder", "evil/vocoder"),
    ("index_path", "wiki"),
    ("index_path", "/somewhere/index"),
    ("passages_path", "../passages"),
    ("mel_filters_path", "/etc/passwd"),
    ("template", "../../secret.txt"),
    ("weights", "\\\\192.0.2.1\\share\\x"),
    ("vocab_files", ["vocab.txt", "../vocab.txt"]),
    ("audio_tokenizer", {"audio_tokenizer_class": "DacModel", "audio_tokenizer_name_or_path": "evil/dac"}),
    ("audio_tokenizer_class", "DacModel"),
    ("audio_tokenizer_name_or_path", "evil/dac"),
    ("repo_path", "evil/repo"),
    ("repo_or_path", "evil/repo"),
    ("auto_mapping", {"base_model_class": "Evil", "parent_library": "evil.module"}),
    ("configuration_files", ["config.4.0.0.json"]),
    ("configuration_files", "config.4.0.0.json"),
    ("fast_tokenizer_files", {"a": "b"}),
    ("vocab_file", "/etc/passwd"),
    ("vocab_file", "../../vocab.txt"),
    ("merges_file", "C:\\merges.txt"),
    ("tokenizer_file", "/home/author/tokenizer.json"),
    ("class_info_file", "../../secrets.json"),
    ("spm_file", "a/../../b.model"),
    ("emoji_file", "sub/../../../emoji.json"),
    ("megatron_config", {"hidden_size": 1}),
    ("shadow_model", "org/small"),
    ("shadow_model", "/home/author/small"),
    ("adapters", {"0": "org/adapter", "1": "../adapter"}),
    ("prompt_tuning_init_state_dict_path", "prompt.pt"),
    ("tokenizer_name_or_path", "org/base"),
    ("cache_file", "corda.pt"),
    ("covariance_file", "covariance.pt"),
    ("activation_fn", "torch.get_num_threads"),
    ("activation_fn", "os.system"),
    ("activation_function", "torch.nn.utils.parametrize.register"),
]
"""Every entry by which a config can point out of its directory: facts of loading, 8.4."""

HARMLESS: list[tuple[str, Any]] = [
    ("auto_map", None),
    ("auto_map", {}),
    ("auto_map", 17),
    ("custom_pipelines", {}),
    ("use_kernels", False),
    ("repo_path", None),
    ("trust_remote_code", 40_001),
    ("weight_map", 12),
    ("attn_implementation", None),
    ("attn_implementation", "sdpa"),
    ("attn_implementation", "paged|flash_attention_2"),
    ("attn_implementation", {"text_config": "sdpa", "vision_config": None}),
    ("_attn_implementation_autoset", True),
    ("_attn_implementation_internal", "eager"),
    ("experts_implementation", "grouped_mm"),
    ("auto_mapping", None),
    ("auto_mapping", {"base_model_class": "BertModel", "parent_library": "transformers.models.bert.modeling_bert"}),
    ("vocab_file", None),
    ("vocab_file", "vocab.txt"),
    ("merges_file", "sub/merges.txt"),
    ("class_info_file", "coco_panoptic.json"),
    ("architecture", "resnet50.a1_in1k"),
    ("backbone", "resnet50"),
    ("activation_function", "gelu_new"),
    ("activation_fn", "torch.nn.modules.linear.Identity"),
    ("activation_fn", "torch.nn.Sigmoid"),
    ("megatron_config", None),
    ("megatron_core", "megatron.core"),
    ("shadow_model", "mirror"),
    ("adapters", {"config_map": {}}),
    ("model_type", "bert"),
    ("file", "/etc/passwd"),
    ("_name_or_path", "/home/author/model"),
    ("name_or_path", "org/model"),
    ("base_model_name_or_path", "org/base"),
    ("content", "../"),
    ("5", ".."),
    ("label", "a/b"),
    ("merges", ["a/ b", "../ x"] * 100),
    ("dataset", "wiki_dpr"),
    ("vocab_files", ["vocab.txt", "sub/vocab.txt"]),
]
"""Entries of the same names that say nothing, and names that only look alike."""

PLACES = ["{}", "in a dictionary", "in a list", "deep"]


def put(place: str, key: str, value: Any) -> tuple[Any, dict[str, Any]]:
    """A document with the entry at a place, and the dictionary that holds it."""
    holder = {"hidden_size": 16, key: value, "tail": [1, {"a": None}]}
    if place == "in a dictionary":
        return {"text_config": holder}, holder
    if place == "in a list":
        return {"stages": [1, [holder, "x"]]}, holder
    if place == "deep":
        document: Any = holder
        for _ in range(2_000):
            document = {"inner": [document]}
        return document, holder
    return holder, holder


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("key", "value"), DOORS, ids=lambda item: str(item)[:40])
def test_every_door_is_closed_at_any_depth(key: str, value: Any, place: str) -> None:
    """The entry is gone, one change says which and why, and its neighbours are what they were."""
    document, holder = put(place, key, copy.deepcopy(value))
    result = rewrite("config.json", document, NOTHING)
    assert result.data is document
    assert holder == {"hidden_size": 16, "tail": [1, {"a": None}]}
    (change,) = result.changes
    assert change.file == "config.json" and change.path.endswith(key) and change.why
    assert result.attention_removed == ("_implementation" in key)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("key", "value"), HARMLESS, ids=lambda item: str(item)[:40])
def test_what_says_nothing_stays(key: str, value: Any, place: str) -> None:
    """Empty, built-in and inside: the entry is left as it is, and no change is told."""
    document, holder = put(place, key, copy.deepcopy(value))
    assert not rewrite("config.json", document, NOTHING).changes
    assert holder[key] == value


def test_lists_of_files_keep_those_that_are_handed_over() -> None:
    """A redirect inside the model stays; names of other directories, of missing files and of no files go."""
    names = [
        "config.4.0.0.json",
        "config.5.0.0.json",
        "../config.6.0.0.json",
        "/config.7.0.0.json",
        "a/b.json",
        5,
        None,
    ]
    document = {"configuration_files": list(names), "model_type": "bert"}
    result = rewrite("config.json", document, {"config.4.0.0.json", "a/b.json", "../config.6.0.0.json"}.__contains__)
    assert document == {"configuration_files": ["config.4.0.0.json"], "model_type": "bert"}
    assert len(result.changes) == 1
    document = {"fast_tokenizer_files": ["tokenizer.4.0.0.json"]}
    assert not rewrite("t.json", document, {"tokenizer.4.0.0.json"}.__contains__).changes
    assert document == {"fast_tokenizer_files": ["tokenizer.4.0.0.json"]}


def test_a_door_within_a_door_is_gone_with_it() -> None:
    """What is removed takes all it holds with it; what only holds a door stays."""
    document = {
        "auto_map": {"auto_map": {"x": "y"}},
        "text_config": {"auto_map": {"a": "b"}, "vision": [{"use_kernels": 1}]},
    }
    result = rewrite("config.json", document, NOTHING)
    assert document == {"text_config": {"vision": [{}]}}
    assert sorted(change.path for change in result.changes) == [
        "auto_map", "text_config.auto_map", "text_config.vision[0].use_kernels",
    ]  # fmt: skip


def test_changes_are_safe_to_print() -> None:
    """Foreign text in a change is escaped and short, however long and however deep it is."""
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    document = {"auto_map": "\x1b[2J" + "a" * 10_000, "a\x1b[2J": {"repo_path": {"b" * 1000: deep}}}
    for change in rewrite("con\x1bfig.json", document, NOTHING).changes:
        assert "\x1b" not in str(change)
        assert len(str(change)) < 1000
    del document
    while isinstance(deep, list):
        deep = deep.pop()


@pytest.mark.parametrize("document", [None, True, 5, "auto_map", [], ["auto_map", "use_kernels"], {}, [[{}]]])
def test_a_document_without_entries_is_left_alone(document: Any) -> None:
    """Texts that are no keys are not looked at."""
    assert not rewrite("config.json", copy.deepcopy(document), NOTHING).changes


keys = st.text(max_size=8) | st.sampled_from(("model_type", "hidden_size", "text_config", "file_name", "kernel_size"))
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=30,
)


@given(documents)
def test_a_config_without_such_keys_is_unchanged(document: Any) -> None:
    """Whatever else a JSON document holds, it comes out as it went in."""
    before = copy.deepcopy(document)
    assert not rewrite("config.json", document, NOTHING).changes
    assert document == before


@given(documents, st.data())
def test_one_pass_is_enough(document: Any, data: st.DataObject) -> None:
    """A rewritten document has no door left: rewriting it again changes nothing."""
    for holder in list(_dictionaries(document)):
        if data.draw(st.booleans()):
            key, value = data.draw(st.sampled_from(DOORS))
            holder[key] = copy.deepcopy(value)
    rewrite("config.json", document, NOTHING)
    before = copy.deepcopy(document)
    assert not rewrite("config.json", document, NOTHING).changes
    assert document == before


def _dictionaries(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for item in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _dictionaries(item)


def test_the_configs_of_transformers_are_unchanged() -> None:
    """The default config of every model type of the installed transformers passes as it is."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING, CONFIG_MAPPING_NAMES

    seen = 0
    for name in sorted(CONFIG_MAPPING_NAMES)[::10]:
        try:
            document = json.loads(CONFIG_MAPPING[name]().to_json_string(use_diff=False))
        except (ImportError, ValueError, TypeError, AttributeError, NotImplementedError):
            continue  # needs arguments, or a library that is not here
        before = copy.deepcopy(document)
        assert not rewrite("config.json", document, NOTHING).changes, name
        assert document == before
        seen += 1
    assert seen > 25


def test_a_large_vocabulary_costs_little() -> None:
    """Tokens and merges are passed over, each once; tokens that look like doors are numbers and stay."""

    def document(count: int) -> dict[str, object]:
        vocabulary = {f"t{i}": i for i in range(count)} | {"auto_map": 7, "repo_path": 8, "weights_only": 9}
        return {"model": {"vocab": vocabulary, "merges": [["a", "b"]] * count}}

    large = document(20_000)
    assert not rewrite("tokenizer.json", large, NOTHING).changes and large == document(20_000)
    few, many = (lines(partial(rewrite, "tokenizer.json", document(count), NOTHING)) for count in (500, 5_000))
    assert many < 12 * few
