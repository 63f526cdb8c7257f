"""A guarded class stands wherever the library's own class stood."""

from __future__ import annotations

import abc
import copy
import functools
import importlib
import inspect
import pickle
import subprocess
import sys
import types
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import transformers

import safeload.transformers as guarded
from safeload import adapt
from safeload.core.errors import PolicyDenied, UsageError
from tests.adapters import repos, steering

KINDS = [
    "AutoModel",
    "AutoModelForCausalLM",
    "AutoConfig",
    "AutoTokenizer",
    "AutoProcessor",
    "AutoFeatureExtractor",
    "BertModel",
    "BertForMaskedLM",
    "BertConfig",
    "LlamaForCausalLM",
    "BertTokenizer",
    "PreTrainedModel",
    "PreTrainedConfig",
    "PreTrainedTokenizerFast",
    "ProcessorMixin",
    "Wav2Vec2FeatureExtractor",
    "GenerationConfig",
    "EncoderDecoderModel",
    "RagRetriever",
]


@pytest.mark.parametrize("name", KINDS)
def test_a_guarded_class_is_a_subclass_of_the_genuine_one_both_ways(name: str) -> None:
    """`issubclass` holds in both directions, and the classes are equal and hash alike, though they are two objects."""
    genuine, facade = getattr(transformers, name), getattr(guarded, name)
    assert facade is not genuine
    assert issubclass(facade, genuine) and issubclass(genuine, facade)
    assert facade == genuine and genuine == facade and hash(facade) == hash(genuine)
    assert {genuine: 1}[facade] == 1


@pytest.mark.parametrize("name", KINDS)
def test_a_guarded_class_looks_like_the_genuine_one(name: str) -> None:
    """Name, qualified name, docstring, and the signatures of the class and of `from_pretrained` are the library's."""
    genuine, facade = getattr(transformers, name), getattr(guarded, name)
    assert (facade.__name__, facade.__qualname__) == (genuine.__name__, genuine.__qualname__)
    assert facade.__doc__ == genuine.__doc__
    assert inspect.signature(facade) == inspect.signature(genuine)
    assert inspect.signature(facade.from_pretrained) == inspect.signature(genuine.from_pretrained)


@pytest.mark.parametrize("name", KINDS)
def test_a_guarded_class_is_always_the_same_object(name: str) -> None:
    """It is cached, and pickling and copying give the very same class."""
    facade = getattr(guarded, name)
    assert getattr(guarded, name) is facade
    assert pickle.loads(pickle.dumps(facade)) is facade
    assert copy.deepcopy(facade) is facade and copy.copy(facade) is facade


def test_a_guarded_class_makes_instances_of_the_genuine_class() -> None:
    """Calling it constructs, and what it constructs has exactly the library's type."""
    config = guarded.BertConfig(hidden_size=16, num_attention_heads=2, num_hidden_layers=1, intermediate_size=8)
    assert type(config) is transformers.BertConfig and isinstance(config, guarded.BertConfig)
    assert not isinstance(config, guarded.LlamaConfig)
    model = guarded.BertModel(config)
    assert type(model) is transformers.BertModel
    assert isinstance(model, guarded.BertModel) and isinstance(model, guarded.PreTrainedModel)
    assert not isinstance(model, guarded.LlamaForCausalLM)
    assert type(guarded.BertConfig.from_dict(config.to_dict())) is transformers.BertConfig


def test_other_names_are_the_library_s_own_objects() -> None:
    """What loads nothing passes through untouched."""
    for name in ("TrainingArguments", "BatchEncoding", "AttentionInterface", "set_seed", "CONFIG_MAPPING"):
        assert getattr(guarded, name) is getattr(transformers, name)


def test_a_class_whose_backend_is_missing_keeps_the_library_s_message() -> None:
    """The library's stand-in passes through, and says on use what to install."""
    genuine, passed = transformers.MarianTokenizer, guarded.MarianTokenizer
    assert type(passed).__name__ == type(genuine).__name__ == "DummyObject"
    with pytest.raises(ImportError, match="requires the SentencePiece library"):
        passed.from_pretrained("x")


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    """A misspelt import fails as it does with the library."""
    with pytest.raises(AttributeError, match="AutoModle"):
        guarded.AutoModle
    with pytest.raises(ImportError):
        exec("from safeload.transformers import AutoModle")


def test_every_public_name_is_listed() -> None:
    """`dir` offers what the library offers."""
    assert set(dir(guarded)) >= {name for name in transformers.__all__ if "." not in name and not name.startswith("_")}


def test_a_user_s_subclass_is_an_ordinary_subclass_of_the_genuine_class() -> None:
    """`super()`, attributes and abstract bases work, and the config class is inherited."""

    class Mine(guarded.BertModel, abc.ABC):
        def __init__(self, config: transformers.BertConfig) -> None:
            super().__init__(config)
            self.extra = 1

    model = Mine(repos.bert_config())
    assert type(model) is Mine and isinstance(model, transformers.BertModel) and isinstance(model, guarded.BertModel)
    assert issubclass(Mine, transformers.BertModel) and issubclass(Mine, guarded.PreTrainedModel)
    assert Mine != guarded.BertModel and not isinstance(repos.bert(), Mine)
    assert Mine.config_class is transformers.BertConfig and model.extra == 1
    assert list(inspect.signature(Mine).parameters) == ["config"]


def test_an_abstract_class_and_its_facade_ask_each_other_once() -> None:
    """Abstract classes ask those that extend them, so their facades, too: the answer is the library's, and comes."""
    plain = pytest.importorskip("sentence_transformers")
    import safeload.sentence_transformers as sentences

    class Mine(sentences.CrossEncoder):  # type: ignore[misc]
        pass

    class Theirs(plain.CrossEncoder):  # type: ignore[misc,name-defined]
        pass

    class Registered:
        pass

    if abstract := type(plain.CrossEncoder) is abc.ABCMeta:  # since sentence-transformers 6
        plain.CrossEncoder.register(Registered)
    for asked in (sentences.CrossEncoder, plain.CrossEncoder):
        answers = [issubclass(kind, asked) for kind in (int, plain.SentenceTransformer, Mine, Theirs, Registered)]
        assert answers == [False, False, True, True, abstract] and not isinstance("text", asked)


def test_a_user_s_config_subclass_keeps_its_fields() -> None:
    """The library turns configs into dataclasses when they are subclassed; ours do not get in the way."""

    class MyConfig(guarded.BertConfig):
        model_type = "my-bert"
        flavour: str = "plain"

    config = MyConfig(flavour="sweet", hidden_size=32)
    assert (config.flavour, config.hidden_size, type(config)) == ("sweet", 32, MyConfig)
    assert config.to_dict()["model_type"] == "my-bert"


def test_registered_classes_load(tmp_path: Path) -> None:
    """The registration interfaces take guarded classes and users' subclasses alike."""

    class ShopConfig(guarded.BertConfig):
        model_type = "shop-bert"

    class ShopModel(guarded.BertModel):
        config_class = ShopConfig

    guarded.AutoConfig.register("shop-bert", ShopConfig)
    guarded.AutoModel.register(ShopConfig, ShopModel)
    try:
        repos.build_safetensors(tmp_path / "shop")
        repos.rewrite(tmp_path / "shop" / "config.json", model_type="shop-bert")
        assert type(guarded.AutoModel.from_pretrained(tmp_path / "shop")) is ShopModel
        assert type(guarded.AutoConfig.from_pretrained(tmp_path / "shop")) is ShopConfig
    finally:
        transformers.CONFIG_MAPPING._extra_content.pop("shop-bert")
        transformers.MODEL_MAPPING._extra_content.pop(ShopConfig)


def test_the_facade_of_an_abstract_class_answers_as_that_class_does() -> None:
    """An abstract class asks its subclasses, of which the facade is one; classes registered with it count as ever."""

    class Base(abc.ABC):  # noqa: B024
        pass

    class Derived(Base):
        pass

    class Stranger:
        pass

    facades = [adapt.facade(kind, module=__name__, guards={}) for kind in (Base, Derived)]
    for kind, made in zip((Base, Derived), facades, strict=True):
        assert not issubclass(Stranger, kind) and not isinstance(Stranger(), kind)
        assert not issubclass(Stranger, made) and not isinstance(Stranger(), made)
    assert isinstance(Derived(), facades[0]) and issubclass(Derived, facades[0]) and not issubclass(Base, facades[1])
    Base.register(Stranger)
    assert isinstance(Stranger(), facades[0]) and issubclass(Stranger, facades[0]) and issubclass(Stranger, Base)
    assert not issubclass(Stranger, facades[1])


def test_setting_an_attribute_of_a_guarded_class_says_where_to_set_it() -> None:
    """It would not reach the objects, so it raises instead of doing nothing."""
    with pytest.raises(UsageError, match=r"transformers\.models\.bert"):
        guarded.BertModel.something = 1
    assert not hasattr(transformers.BertModel, "something")


def test_mocking_from_pretrained_works() -> None:
    """Tests of users that replace the loader go on working, and the guard is back afterwards."""
    before = guarded.BertModel.__dict__["from_pretrained"]
    with mock.patch.object(guarded.BertModel, "from_pretrained", return_value=1):
        assert guarded.BertModel.from_pretrained("x") == 1
    assert guarded.BertModel.__dict__["from_pretrained"] is before


ALL = """
import inspect, transformers, safeload.transformers as guarded
from safeload import adapt
names = [name for name in transformers.__all__ if "." not in name]
count = 0
for name in names:
    genuine = getattr(transformers, name)
    if not inspect.isclass(genuine) or type(genuine).__name__ == "DummyObject":
        continue
    facade = getattr(guarded, name)
    loads = any("from_pretrained" in vars(base) for base in type.mro(genuine))
    assert adapt.genuine_class(facade) is genuine and (facade is not genuine) == loads, name
    count += loads
assert count > 1000
"""


@pytest.mark.slow
def test_every_class_with_from_pretrained_can_be_guarded() -> None:
    """None of the library's thousands of classes resists, and none is left out."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", ALL], check=True)


def test_importing_the_module_imports_no_library() -> None:
    """`import safeload.transformers` costs nothing; a name that needs no torch does not import it."""
    code = """
import sys, safeload.transformers
assert not {"torch", "transformers", "numpy"} & set(sys.modules)
from safeload.transformers import AutoConfig, GenerationConfig
assert "transformers" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("library", "version"), [("transformers", "4.57.1"), ("torch", "2.9.1"), ("torch", "nightly")])
def test_a_library_that_is_too_old_is_refused(library: str, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The safe arguments mean something only from certain versions on."""
    from safeload.transformers import _surface

    genuine = _surface.metadata.version
    monkeypatch.setattr(_surface.metadata, "version", lambda name: version if name == library else genuine(name))
    with pytest.raises(UsageError, match=r"pip install 'safeload\[transformers\]'"):
        _surface.library.__wrapped__()


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without transformers the error says what to install."""
    from safeload.transformers import _surface

    def missing(name: str) -> str:
        raise _surface.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(_surface.metadata, "version", missing)
    with pytest.raises(UsageError, match=r"pip install 'safeload\[transformers\]'"):
        _surface.library.__wrapped__()


BY_ATTRIBUTES = [
    ("transformers", "models.bert.BertModel.from_pretrained"),
    ("transformers", "models.bert.modeling_bert.BertModel.from_pretrained"),
    ("transformers", "models.auto.modeling_auto.AutoModel.from_pretrained"),
    ("transformers", "modeling_utils.PreTrainedModel._from_config"),
    ("transformers", "pipelines.pipeline"),
    ("diffusers", "pipelines.pipeline_utils.DiffusionPipeline.from_pretrained"),
    ("diffusers", "models.UNet2DModel.from_pretrained"),
    ("peft", "peft_model.PeftModel.from_pretrained"),
    ("peft", "utils.save_and_load.load_peft_weights"),
    ("accelerate", "utils.load_checkpoint_in_model"),
    ("accelerate", "big_modeling.load_checkpoint_and_dispatch"),
    ("sentence_transformers", "sparse_encoder.SparseEncoder.__init__"),
    ("sentence_transformers", "cross_encoder.CrossEncoder.__init__"),
]


@pytest.mark.parametrize(("library", "path"), BY_ATTRIBUTES)
def test_a_loader_is_guarded_by_whatever_attributes_it_is_reached(library: str, path: str) -> None:
    """`import safeload.transformers as transformers` is one changed line as well: no submodule leads around a guard."""
    ours, genuine = importlib.import_module(f"safeload.{library}"), importlib.import_module(library)
    here, there = (functools.reduce(getattr, path.split("."), module) for module in (ours, genuine))
    assert here is not there and getattr(here, "__func__", here) is not getattr(there, "__func__", there)


def test_a_submodule_is_the_library_s_own_but_for_its_loaders(marker: Path, tmp_path: Path) -> None:
    """It has its names, takes what is set on it, and is pickled by name; evil models are refused through it."""
    module = guarded.models.bert.modeling_bert
    genuine = transformers.models.bert.modeling_bert
    assert isinstance(module, types.ModuleType) and module.__file__ == genuine.__file__ and dir(module) == dir(genuine)
    assert module.BertModel is guarded.BertModel and module.BertSelfAttention is not None and module.nn is genuine.nn
    assert guarded.models.bert.modeling_bert is module and copy.copy(module) is module
    module.noted = 1  # type: ignore[attr-defined]
    assert genuine.noted == 1  # type: ignore[attr-defined]
    del module.noted  # type: ignore[attr-defined]
    assert not hasattr(genuine, "noted") and not hasattr(module, "noted")
    evil = steering.build_auto_map_unknown(tmp_path / "m", marker)
    with pytest.raises(PolicyDenied):
        guarded.models.auto.AutoModel.from_pretrained(evil, trust_remote_code=True)


@pytest.mark.parametrize(
    ("library", "path"),
    [
        ("transformers", "dynamic_module_utils.get_class_from_dynamic_module"),
        ("transformers", "models.auto.auto_factory.get_class_from_dynamic_module"),
        ("transformers", "dynamic_module_utils.get_class_in_module"),
        ("diffusers", "utils.dynamic_modules_utils.get_class_from_dynamic_module"),
    ],
)
def test_what_runs_code_by_itself_is_refused(library: str, path: str, tmp_path: Path, marker: Path) -> None:
    """The functions with which the libraries load code of a model would ask nobody."""
    home: Any = importlib.import_module(f"safeload.{library}")
    function = functools.reduce(getattr, path.split("."), home)
    code = steering.build_auto_map_unknown(tmp_path / "m", marker)
    with pytest.raises(UsageError, match="safeload approve"):
        function("custom.Model", code)
