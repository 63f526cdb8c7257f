"""What a load reads is worked out from the model's own configs, and never leads out of the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from safeload.core.errors import MalformedInput, SafeloadError, UsageError
from safeload.engine.request import Request
from tests.engine.models import CONFIG, index, model, pickled, plan_of, safe, sharded, write, write_all

MODEL = Request(purpose="model")


def test_one_file_of_weights(tmp_path: Path) -> None:
    """Safetensors and pickles alike stand under the name that loaders look for."""
    assert plan_of(model(tmp_path / "s")).weights == {"model.safetensors": "model.safetensors"}
    assert plan_of(model(tmp_path / "p", pickle=True)).weights == {"model.safetensors": "pytorch_model.bin"}


@pytest.mark.parametrize("pickle", [False, True])
def test_shards_are_numbered_anew(tmp_path: Path, pickle: bool) -> None:
    """Whatever the shards are called, the admitted ones have the names of safetensors shards."""
    plan = plan_of(sharded(tmp_path / "m", pickle=pickle))
    assert list(plan.weights) == ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    assert plan.index in plan.used()


def test_a_variant_and_its_shards(tmp_path: Path) -> None:
    """`variant` chooses one file or a whole set of shards, and nothing else."""
    folder = write_all(
        tmp_path / "m",
        {
            "config.json": CONFIG,
            "model.safetensors": safe(),
            "model.fp16.safetensors": safe(),
            "pytorch_model.bin.index.int8.json": index(a="pytorch_model.int8-1.bin", b="pytorch_model.int8-2.bin"),
            "pytorch_model.int8-1.bin": pickled(),
            "pytorch_model.int8-2.bin": pickled(),
        },
    )
    assert plan_of(folder, Request(purpose="model", variant="fp16")).weights == {
        "model.safetensors": "model.fp16.safetensors"
    }
    assert list(plan_of(folder, Request(purpose="model", variant="int8")).weights.values()) == [
        "pytorch_model.int8-1.bin",
        "pytorch_model.int8-2.bin",
    ]
    assert plan_of(folder, Request(purpose="model", variant="none")).weights == {}
    assert plan_of(folder, Request(purpose="model", variant="../model")).weights == {}


def test_a_subfolder_has_files_of_its_own(tmp_path: Path) -> None:
    """Names are relative to the subfolder; paths are those of the whole model."""
    model(tmp_path / "m" / "sub")
    write(tmp_path / "m" / "config.json", {"transformers_weights": "../evil"})
    plan = plan_of(tmp_path / "m", Request(purpose="model", subfolder="sub"))
    assert plan.weights == {"model.safetensors": "sub/model.safetensors"}
    assert plan.small == {"config.json": "sub/config.json"}


def test_a_subfolder_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    """The caller named it."""
    with pytest.raises(UsageError, match="does not exist"):
        plan_of(model(tmp_path / "m"), Request(purpose="model", subfolder="sub"))


def test_weights_that_the_config_names_are_resolved_inside(tmp_path: Path) -> None:
    """`transformers_weights` may name a pickle, a file in a folder or an index: each becomes ordinary weights."""
    for number, name in enumerate(("adapter_model.bin", "other.safetensors", "deep/other.safetensors")):
        content = pickled() if name.endswith(".bin") else safe()
        folder = write_all(
            tmp_path / str(number), {"config.json": CONFIG | {"transformers_weights": name}, name: content}
        )
        assert plan_of(folder).weights == {"model.safetensors": name}
    name = "other.safetensors.index.json"
    folder = write_all(
        tmp_path / "i",
        {"config.json": CONFIG | {"transformers_weights": name}, name: index(a="x.bin"), "x.bin": pickled()},
    )
    assert plan_of(folder).weights == {"model.safetensors": "x.bin"}


@pytest.mark.parametrize(
    "name", ["../model.safetensors", "/etc/passwd", "missing.safetensors", "deep/../../x", "missing.index.json"]
)
def test_weights_that_the_config_names_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    """Outside or missing: an error that names the config and the entry, even with good weights beside it."""
    write(tmp_path / "model.safetensors", safe())
    folder = model(tmp_path / "m", transformers_weights=name)
    with pytest.raises(MalformedInput) as refused:
        plan_of(folder)
    assert "config.json » transformers_weights" in str(refused.value) and refused.value.remedy


@pytest.mark.parametrize(
    "target", ["../x.safetensors", "/x.safetensors", "sub/x.safetensors", "missing.safetensors", ""]
)
def test_an_index_that_points_away_is_refused(tmp_path: Path, target: str) -> None:
    """A shard outside, in another folder, or not there at all: an error that names the index."""
    write(tmp_path / "x.safetensors", safe())
    folder = sharded(tmp_path / "m")
    write(folder / "sub" / "x.safetensors", safe())
    write(folder / "model.safetensors.index.json", index(a="model-00001-of-00002.safetensors", b=target))
    with pytest.raises(MalformedInput, match=r"model\.safetensors\.index\.json » weight_map"):
        plan_of(folder)


def test_all_missing_shards_are_named(tmp_path: Path) -> None:
    """The message is about every missing file, not about the first."""
    folder = write_all(tmp_path / "m", {"config.json": CONFIG, "model.safetensors.index.json": index(a="one", b="two")})
    with pytest.raises(MalformedInput, match="one, two"):
        plan_of(folder)


def test_a_pickle_in_an_index_of_safetensors_is_an_ordinary_pickle(tmp_path: Path) -> None:
    """The extension of the index promises nothing: the shard is read as what it is."""
    folder = write_all(
        tmp_path / "m",
        {"config.json": CONFIG, "model.safetensors.index.json": index(a="x.bin"), "x.bin": pickled()},
    )
    assert plan_of(folder).weights == {"model.safetensors": "x.bin"}


def test_a_gguf_file_keeps_its_name(tmp_path: Path) -> None:
    """Loaders ask for it by name; a folder in that name is not needed afterwards."""
    folder = write_all(tmp_path / "m", {"config.json": CONFIG, "q/m.gguf": b"GGUF", "m2.gguf": b"GGUF"})
    assert plan_of(folder, Request(purpose="model", gguf_file="q/m.gguf")).weights == {"m.gguf": "q/m.gguf"}
    assert plan_of(folder / "m2.gguf", MODEL).weights == {"m2.gguf": "m2.gguf"}


def test_a_folder_of_gguf_files_is_admitted_with_all_of_them(tmp_path: Path) -> None:
    """Whoever asks for everything gets each GGUF file under its name; a model's loader asks for one by name."""
    folder = write_all(tmp_path / "m", {"a.gguf": b"GGUF", "b.GGUF": b"GGUF", "sub/c.gguf": b"GGUF"})
    assert plan_of(folder, Request()).side == {"a.gguf": "a.gguf", "b.GGUF": "b.GGUF"}
    assert plan_of(folder, MODEL).used() == set()


@pytest.mark.parametrize("name", ["none.gguf", "../m.gguf", "/m.gguf", "q/../../m.gguf"])
def test_a_gguf_file_that_is_not_in_the_model_is_a_usage_error(tmp_path: Path, name: str) -> None:
    """Also where such a file exists outside."""
    write(tmp_path / "m.gguf", b"GGUF")
    with pytest.raises(UsageError, match="does not exist") as refused:
        plan_of(model(tmp_path / "m"), Request(purpose="model", gguf_file=name))
    assert str(refused.value.where)


def test_single_files_are_what_their_names_say(tmp_path: Path) -> None:
    """A path to weights, to a config or to a vocabulary is loaded as that."""
    folder = model(tmp_path / "m")
    write(folder / "my.json", CONFIG)
    assert plan_of(folder / "model.safetensors").weights == {"model.safetensors": "model.safetensors"}
    assert plan_of(folder / "my.json", Request(purpose="config")).small == {"my.json": "my.json"}
    assert plan_of(folder / "vocab.txt", Request(purpose="tokenizer")).small == {"vocab.txt": "vocab.txt"}


def test_weights_beside_the_model(tmp_path: Path) -> None:
    """Heads and language adapters of the model come along, as safetensors."""
    folder = model(tmp_path / "m")
    write_all(folder, {"head.safetensors": safe(), "adapter.eng.bin": pickled(), "adapter.deu.safetensors": safe()})
    assert plan_of(folder).side == {
        "head.safetensors": "head.safetensors",
        "adapter.eng.safetensors": "adapter.eng.bin",
        "adapter.deu.safetensors": "adapter.deu.safetensors",
    }


def test_versioned_configs_inside_the_model_come_along(tmp_path: Path) -> None:
    """`configuration_files` and `fast_tokenizer_files` bring the files that are there, and no others."""
    names = ["config.4.0.0.json", "../config.5.0.0.json", "sub/config.6.json", "missing.json", 7]
    folder = model(tmp_path / "m", configuration_files=names)
    write_all(folder, {"config.4.0.0.json": CONFIG, "sub/config.6.json": CONFIG, "tokenizer.4.0.0.json": {},
                       "tokenizer_config.json": {"fast_tokenizer_files": ["tokenizer.4.0.0.json"]}})  # fmt: skip
    write(tmp_path / "config.5.0.0.json", CONFIG)
    assert set(plan_of(folder).small) == {"config.json", "config.4.0.0.json"}
    assert "tokenizer.4.0.0.json" in plan_of(folder, Request(purpose="tokenizer")).small


# ── adapters ────────────────────────────────────────────────────────────────────────────────────────────────────


def adapter(folder: Path, base: Any, *, pickle: bool = False) -> Path:
    weights = {"adapter_model.bin": pickled()} if pickle else {"adapter_model.safetensors": safe()}
    return write_all(folder, {"adapter_config.json": {"base_model_name_or_path": base}, **weights})


@pytest.mark.parametrize("pickle", [False, True])
def test_an_adapter_names_its_base(tmp_path: Path, pickle: bool) -> None:
    """The pointer is taken up, so that the base is admitted by the same policy."""
    plan = plan_of(adapter(tmp_path / "a", "org/base", pickle=pickle))
    assert plan.base == "org/base"
    assert list(plan.side) == ["adapter_model.safetensors"] and not plan.weights


def test_an_adapter_for_a_model_that_is_there_has_no_base(tmp_path: Path) -> None:
    """`load_adapter` brings the model along: the pointer is not followed."""
    plan = plan_of(adapter(tmp_path / "a", "org/base"), Request(purpose="adapter"))
    assert plan.base is None
    assert list(plan.side) == ["adapter_model.safetensors"]


def test_a_local_folder_with_both_is_a_whole_model(tmp_path: Path) -> None:
    """A model and its adapter in one directory need nothing from elsewhere."""
    plan = plan_of(model(adapter(tmp_path / "a", "org/base")))
    assert plan.base is None
    assert plan.weights and plan.side


@pytest.mark.parametrize("base", [None, "", 5, ["a"], {}])
def test_a_base_that_is_no_name_is_not_followed(tmp_path: Path, base: Any) -> None:
    """Nothing is made up for a pointer that is none."""
    assert plan_of(adapter(tmp_path / "a", base)).base is None


# ── code ────────────────────────────────────────────────────────────────────────────────────────────────────────

AUTO_MAP = {"AutoConfig": "custom.Config", "AutoModel": "deep.custom.Model"}
NATIVE = frozenset({"bert", "llama"})


def coded(folder: Path, **config: Any) -> Path:
    model(folder, **config)
    return write_all(folder, {"custom.py": "", "deep/custom.py": "", "helper.py": ""})


def needs(path: Path, **request: Any) -> list[tuple[str, tuple[str, ...]]]:
    purpose = request.pop("purpose", "model")
    return [(need.why, need.files) for need in plan_of(path, Request(purpose=purpose, **request)).code]


def test_code_that_nobody_needs_is_no_need(tmp_path: Path) -> None:
    """A model type that the library has loads natively, whatever the config offers beside it."""
    folder = coded(tmp_path / "m", auto_map=AUTO_MAP, text_config={"auto_map": AUTO_MAP})
    assert needs(folder, native_types=NATIVE) == []
    assert needs(folder, native_types=NATIVE, trust_remote_code=False) == []
    assert needs(folder) == []


def test_trust_asks_for_all_code(tmp_path: Path) -> None:
    """`trust_remote_code=True` would run each class that is named: every file of code is listed."""
    folder = coded(tmp_path / "m", auto_map=AUTO_MAP, text_config={"auto_map": {"AutoModel": "helper.Model"}})
    found = dict(needs(folder, native_types=NATIVE, trust_remote_code=True))
    assert set(found) == {"config.json » auto_map", "config.json » text_config.auto_map"}
    assert all({"custom.py", "deep/custom.py", "helper.py"} <= set(files) for files in found.values())


@pytest.mark.parametrize("model_type", ["madeup", "", None, 5, ["bert"], {"bert": 1}])
def test_an_unknown_model_type_needs_its_code(tmp_path: Path, model_type: Any) -> None:
    """A type that the library does not have, or that is no type at all, cannot load without the code."""
    folder = coded(tmp_path / "m", auto_map=AUTO_MAP, model_type=model_type)
    assert [why for why, _ in needs(folder, native_types=NATIVE)] == ["config.json » auto_map"]
    assert [why for why, _ in needs(folder, native_types=NATIVE, purpose="config")] == ["config.json » auto_map"]


def test_code_of_another_repository_is_named_as_that(tmp_path: Path) -> None:
    """`org/other--file.Class` is listed with its repository, which no revision of this one pins."""
    folder = model(tmp_path / "m", auto_map={"AutoModel": "org/other--file.Class"}, model_type="madeup")
    assert needs(folder, native_types=NATIVE) == [("config.json » auto_map", ("org/other--file.py",))]


@pytest.mark.parametrize("value", [{}, None, [], ""])
def test_an_empty_map_needs_nothing(tmp_path: Path, value: Any) -> None:
    """Nothing is named, nothing is needed."""
    assert needs(coded(tmp_path / "m", auto_map=value, model_type="madeup"), native_types=NATIVE) == []


@pytest.mark.parametrize("value", [{"AutoModel": 5}, {"AutoModel": [None, ["a.B"]]}, [{"x": "a.B"}], 17])
def test_a_map_of_another_shape_is_a_need_all_the_same(tmp_path: Path, value: Any) -> None:
    """A strange map never passes as no map."""
    assert len(needs(coded(tmp_path / "m", auto_map=value, model_type="madeup"), native_types=NATIVE)) == 1


def test_a_pipeline_needs_the_code_of_the_task_it_runs(tmp_path: Path) -> None:
    """A custom pipeline counts if its task was asked for, if none was, or if its author is trusted."""
    folder = coded(tmp_path / "m", custom_pipelines={"mine": {"impl": "custom.Pipe", "pt": ["AutoModel"]}})
    assert needs(folder, purpose="pipeline", task="fill-mask") == []
    assert needs(folder, purpose="model") == []
    for request in ({"task": "mine"}, {"task": None}, {"task": "fill-mask", "trust_remote_code": True}):
        (need,) = needs(folder, purpose="pipeline", **request)
        assert need[0] == "config.json » custom_pipelines" and "custom.py" in need[1]


def test_custom_generate_is_a_need_for_who_trusts_it(tmp_path: Path) -> None:
    """The library runs it at load, with trust only."""
    folder = write_all(model(tmp_path / "m"), {"custom_generate/generate.py": ""})
    assert needs(folder) == []
    assert needs(folder, trust_remote_code=True) == [("custom_generate/generate.py", ("custom_generate/generate.py",))]


def test_a_processor_without_a_class_of_its_own_needs_its_code(tmp_path: Path) -> None:
    """A processor whose class the library does not name can only be the author's."""
    folder = write_all(tmp_path / "m", {"preprocessor_config.json": {"auto_map": {"AutoImageProcessor": "custom.P"}}})
    assert len(needs(folder, purpose="processor")) == 1
    write(folder / "preprocessor_config.json", {"auto_map": {"AutoImageProcessor": "custom.P"},
                                                "image_processor_type": "ViTImageProcessor"})  # fmt: skip
    assert needs(folder, purpose="processor") == []


@pytest.mark.parametrize(
    "document", ["[]", "null", "5", '"auto_map"', "{", "", "\xff", '{"a": NaN}', "[" * 5000 + "]" * 5000]
)
def test_any_config_gives_a_plan_or_our_error(tmp_path: Path, document: str) -> None:
    """A config that is no object steers nothing, and nothing else can escape from planning."""
    folder = model(tmp_path / "m")
    (folder / "config.json").write_bytes(document.encode("latin-1"))
    try:
        assert plan_of(folder).weights == {"model.safetensors": "model.safetensors"}
    except SafeloadError as error:
        assert str(error.where)


def test_a_gguf_file_holds_the_config_and_the_tokenizer_as_well(tmp_path: Path) -> None:
    """Who asks for a part of a GGUF file gets the file, and no weights beside it."""
    folder = write_all(tmp_path / "m", {"m.gguf": b"GGUF", "model.safetensors": safe(), "head.safetensors": safe()})
    for purpose in ("config", "tokenizer", "processor"):
        plan = plan_of(folder, Request(purpose=purpose, gguf_file="m.gguf"))
        assert plan.weights == {"m.gguf": "m.gguf"} and not plan.side


def test_an_adapter_in_a_subfolder_stands_on_the_whole_model_above(tmp_path: Path) -> None:
    """As with transformers, a local model is the base of an adapter in it, whatever the adapter's config says."""
    folder = model(tmp_path / "m")
    adapter(folder / "lora", "org/other")
    for words, base in (({"subfolder": "lora"}, str(folder)), (None, "org/other")):
        plan = plan_of(folder, Request(purpose="model", subfolder="lora", adapter=words))
        assert (plan.base, list(plan.side), list(plan.weights)) == (base, ["adapter_model.safetensors"], [])


@pytest.mark.parametrize(
    "words", [{"evil": 1}, {"_adapter_model_path": "/"}, {"revision": "a", "trust_remote_code": 1}]
)
def test_unknown_words_for_an_adapter_are_refused(words: dict[str, Any]) -> None:
    """What cannot be honoured is not passed over."""
    with pytest.raises(UsageError, match="adapter_kwargs"):
        Request(purpose="model", adapter=words)
