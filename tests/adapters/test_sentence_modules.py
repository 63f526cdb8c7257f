"""The modules of sentence-transformers by themselves: made by a name or loaded from a folder, they are judged first."""

from __future__ import annotations

import gc
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentence_transformers as plain
import torch
from sentence_transformers import models as plain_models
from sentence_transformers.sparse_encoder import models as plain_sparse

import safeload.sentence_transformers as guarded
from safeload import PolicyDenied, UsageError
from safeload.sentence_transformers import models
from tests.adapters import payloads, repos, sentences
from tests.adapters.noted import note_admissions
from tests.adapters.sentences import backbone, edit, outputs

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

sparse = guarded.sparse_encoder.models
KINDS: dict[str, Any] = {"Transformer": models.Transformer, "MLMTransformer": sparse.MLMTransformer}
GENUINE: dict[str, Any] = {"Transformer": plain_models.Transformer, "MLMTransformer": plain_sparse.MLMTransformer}
ARGUMENTS = {"model_args": {"trust_remote_code": True}}


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return repos.build_bin(tmp_path / "bert")


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    return sentences.build_sentences(tmp_path / "whole")


def give_code(path: Path, marker: Path) -> Path:
    """A model of a kind that nobody knows, whose files bring the code for it."""
    (path / "modeling_evil.py").write_text(payloads.CODE.format(str(marker)) + "\nclass Evil: pass\n")
    names = dict.fromkeys(("AutoConfig", "AutoModel", "AutoModelForMaskedLM"), "modeling_evil.Evil")
    edit(path / "config.json", lambda config: config.update(model_type="evil", auto_map=names))
    return path


def poison(path: Path, marker: Path) -> None:
    payloads.poison_zip(path, payloads.snippet(marker))


# --- what comes back ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_module_made_by_name_is_what_the_library_makes(kind: str, bert: Path) -> None:
    """Of exactly the genuine class, with equal weights, from a pickle as well; and it shows what was asked for."""
    torch.manual_seed(0)
    ours = KINDS[kind](str(bert), max_seq_length=12)
    torch.manual_seed(0)
    theirs = GENUINE[kind](str(bert), max_seq_length=12)
    assert type(ours) is type(theirs) is GENUINE[kind] and repr(ours) == repr(theirs)
    mine, wanted = ours.state_dict(), theirs.state_dict()
    assert mine.keys() == wanted.keys() and all(torch.equal(mine[key], wanted[key]) for key in wanted)
    assert backbone(ours).name_or_path == ours.tokenizer.name_or_path == str(bert)


def test_a_model_is_put_together_of_guarded_modules(bert: Path, tmp_path: Path) -> None:
    """The usual way, with names of `models` only: the same outputs, and what is saved loads again."""

    def put_together(kind: Any, parts: Any) -> Any:
        words = parts.Transformer(str(bert), max_seq_length=16)
        return kind.SentenceTransformer(modules=[words, parts.Pooling(16), parts.Normalize()], device="cpu")

    ours, theirs = put_together(guarded, models), put_together(plain, plain_models)
    assert torch.equal(outputs(ours), outputs(theirs)) and repr(ours) == repr(theirs)
    ours.save(str(tmp_path / "copy"))
    again = guarded.SentenceTransformer(str(tmp_path / "copy"), device="cpu")
    assert torch.equal(outputs(again), outputs(theirs))


def test_a_router_is_put_together_of_guarded_modules(bert: Path) -> None:
    """Class methods that make a module of modules make one of the library's class."""
    words = models.Transformer(str(bert))
    router = models.Router.for_query_document(query_modules=[words], document_modules=[words, models.Pooling(16)])
    assert type(router) is plain_models.Router and isinstance(router, models.Router)


@pytest.mark.parametrize("pickled", [False, True], ids=["safetensors", "bin"])
@pytest.mark.parametrize("place", ["folder", "subfolder"])
def test_modules_load_from_where_they_were_saved(place: str, pickled: bool, whole: Path) -> None:
    """From a folder of their own, or from a folder of a model."""
    if pickled:
        sentences.pickle_weights(whole)
    where = {"folder": ((str(whole / "2_Dense"),), {}), "subfolder": ((str(whole),), {"subfolder": "2_Dense"})}
    args, named = where[place]
    ours, theirs = (parts.Dense.load(*args, **named) for parts in (models, plain_models))
    assert type(ours) is plain_models.Dense and torch.equal(ours.linear.weight, theirs.linear.weight)
    weights = models.Dense.load_torch_weights(*args, **named)
    assert torch.equal(weights["linear.weight"], theirs.linear.weight)
    assert models.Pooling.load(str(whole / "1_Pooling")).get_config_dict() == plain_models.Pooling(16).get_config_dict()


@pytest.mark.parametrize("name", ["router", "static", "sparse"])
def test_the_first_module_of_a_model_loads_by_itself(name: str, tmp_path: Path) -> None:
    """Routers, tables of words and masked models, whatever they read."""
    path = sentences.BUILDERS[name][0](tmp_path / "model")
    genuine = type(sentences.BUILDERS[name][1](str(path), device="cpu")[0])
    ours = adapter_of(genuine).load(str(path))
    theirs = genuine.load(str(path)).state_dict()
    assert type(ours) is genuine and all(torch.equal(value, theirs[key]) for key, value in ours.state_dict().items())


def adapter_of(genuine: type) -> Any:
    """The guarded class, from where programs have it."""
    return getattr(models if hasattr(models, genuine.__name__) else sparse, genuine.__name__)


def test_modules_that_load_nothing_are_made_as_ever() -> None:
    """They need no admission, and subclasses of them are ordinary subclasses."""

    class Mine(models.Pooling):  # type: ignore[misc]
        pass

    assert type(models.Pooling(8)) is plain_models.Pooling
    assert type(Mine(8)) is Mine and issubclass(Mine, plain_models.Pooling)


def test_a_guarded_module_class_is_one_class() -> None:
    """Wherever it is reached from, also from a pickle of it."""
    assert models.Router is getattr(guarded.sparse_encoder.models, "Router", models.Router)
    assert pickle.loads(pickle.dumps(models.Transformer)) is models.Transformer
    assert models.Transformer == plain_models.Transformer


def test_the_directory_lives_as_long_as_the_module(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was admitted is there while the module is, and gone afterwards."""
    views = note_admissions(monkeypatch)
    module = models.Transformer(str(bert))
    assert views[0].is_dir() and module is not None
    del module
    gc.collect()
    assert not views[0].exists()


def test_a_tokenizer_of_its_own_is_admitted_too(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is named apart is read from an admitted directory of its own."""
    views = note_admissions(monkeypatch)
    other = repos.write_tokenizer(tmp_path / "words")
    module = models.Transformer(str(bert), tokenizer_name_or_path=str(other))
    assert len(views) == 2 and module.tokenizer.name_or_path == str(other)


def test_dictionaries_of_the_caller_stay_as_they_are(bert: Path) -> None:
    """And what they say beside where the model is reaches the library."""
    given = {"dtype": torch.float16, "trust_remote_code": False, "local_files_only": True}
    module = models.Transformer(str(bert), model_args=given)
    assert backbone(module).dtype == torch.float16
    assert given == {"dtype": torch.float16, "trust_remote_code": False, "local_files_only": True}


# --- refused --------------------------------------------------------------------------------------------------------

TRUSTING: dict[str, dict[str, Any]] = {
    "nobody": {},
    "model": {"model_args": {"trust_remote_code": True}},
    "all": {name: {"trust_remote_code": True} for name in ("model_args", "tokenizer_args", "config_args")},
}


@pytest.mark.parametrize("trusting", TRUSTING)
@pytest.mark.parametrize("kind", KINDS)
def test_code_of_a_model_needs_an_approval(kind: str, trusting: str, bert: Path, marker: Path) -> None:
    """`trust_remote_code` in whichever dictionary asks for approved code, and there is none."""
    with pytest.raises(PolicyDenied):
        KINDS[kind](str(give_code(bert, marker)), **TRUSTING[trusting])


def test_the_payload_runs_without_safeload(bert: Path, tmp_path: Path) -> None:
    """What the other tests refuse is no blank: the library alone runs it."""
    witness = tmp_path / "ran"
    with pytest.raises(Exception, match=r"\w"):
        plain_models.Transformer(str(give_code(bert, witness)), **TRUSTING["all"])
    assert witness.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_poisoned_pickle_is_refused(kind: str, bert: Path, marker: Path) -> None:
    """The weights of a module are judged like any."""
    poison(bert / "pytorch_model.bin", marker)
    with pytest.raises(PolicyDenied):
        KINDS[kind](str(bert))


def test_a_subclass_does_not_get_round_the_guard(bert: Path, marker: Path) -> None:
    """What refuses the facade refuses its subclasses, by both ways."""

    class Mine(models.Transformer):  # type: ignore[misc]
        pass

    give_code(bert, marker)
    for load in (Mine, Mine.load):
        with pytest.raises(PolicyDenied):
            load(str(bert))


def test_a_tokenizer_of_its_own_brings_no_code(bert: Path, tmp_path: Path, marker: Path) -> None:
    """Also where only the dictionary of the tokenizer trusts."""
    other = repos.write_tokenizer(tmp_path / "words")
    (other / "evil.py").write_text(payloads.CODE.format(str(marker)) + "\nclass Evil: pass\n")
    names = {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}
    edit(other / "tokenizer_config.json", lambda config: config.update(tokenizer_class="Evil", auto_map=names))
    with pytest.raises(PolicyDenied):
        models.Transformer(str(bert), tokenizer_name_or_path=str(other), tokenizer_args={"trust_remote_code": True})


LOADERS = {
    "Dense.load": models.Dense.load,
    "load_torch_weights": models.Dense.load_torch_weights,
    "Module.load_torch_weights": models.Module.load_torch_weights,
}


@pytest.mark.parametrize("loader", LOADERS)
def test_the_poisoned_weights_of_a_folder_are_refused(loader: str, whole: Path, marker: Path) -> None:
    """Of a module, and of weights by themselves."""
    poison(sentences.pickle_weights(whole) / "2_Dense" / "pytorch_model.bin", marker)
    for args, named in (((str(whole / "2_Dense"),), {}), ((str(whole),), {"subfolder": "2_Dense"})):
        with pytest.raises(PolicyDenied):
            LOADERS[loader](*args, **named)


@pytest.mark.parametrize("trust", [False, True])
def test_a_router_imports_no_foreign_class(trust: bool, tmp_path: Path, marker: Path) -> None:
    """The classes that it names are held to the list of the library's own, also by itself."""
    path = sentences.build_router(tmp_path / "model")
    (path / "modeling_evil.py").write_text(payloads.CODE.format(str(marker)) + "\nclass Evil: pass\n")
    edit(path / "router_config.json", lambda router: router["types"].update(query_1_Pooling="modeling_evil.Evil"))
    with pytest.raises(PolicyDenied):
        models.Router.load(str(path), trust_remote_code=trust)


def test_a_default_name_is_admitted_like_any(monkeypatch: pytest.MonkeyPatch) -> None:
    """`CLIPModel()` loads a model of the hub although nobody named one."""
    asked: list[str] = []

    def admit_nothing(reference: str, **_: Any) -> None:
        asked.append(reference)
        raise UsageError("enough")

    monkeypatch.setattr("safeload.adapt_models.admit", admit_nothing)
    with pytest.raises(UsageError, match="enough"):
        models.CLIPModel()
    with pytest.raises(UsageError, match="enough"):
        models.CLIPModel("org/clip")
    assert asked == ["openai/clip-vit-base-patch32", "org/clip"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"backend": "onnx"},
        {"model_args": {"weights_only": False}},
        {"model_args": {"attn_implementation": "org/kernel"}},
        {"model_args": {"revision": "a"}, "config_args": {"revision": "b"}},
        {"config_args": {"auto_map": {"AutoModel": "x.Y"}}},
        {"model_args": {"gguf_file": "x.gguf"}},
    ],
    ids=str,
)
def test_arguments_that_would_weaken_a_load_are_refused(arguments: dict[str, Any], bert: Path) -> None:
    """What cannot be honoured raises; nothing is ignored in silence."""
    with pytest.raises(UsageError):
        models.Transformer(str(bert), **arguments)


@pytest.mark.parametrize("folder", ["../whole", "/etc", "2_Dense/../.."])
def test_a_subfolder_outside_the_model_is_refused(folder: str, whole: Path) -> None:
    """It is a plain relative path."""
    with pytest.raises(UsageError):
        models.Dense.load(str(whole), subfolder=folder)


def test_what_another_library_would_load_is_refused() -> None:
    """model2vec loads by itself; the message says what does the same."""
    calls: list[Callable[..., Any]] = [models.StaticEmbedding.from_distillation, models.StaticEmbedding.from_model2vec]
    for call in calls:
        with pytest.raises(UsageError, match="model2vec"):
            call("org/name")


def test_the_function_that_runs_code_of_models_is_refused() -> None:
    """The library's own importer of classes is no way round."""
    name = "import_module_class"
    if not hasattr(plain.util, name):
        pytest.skip("this version has no such function")
    with pytest.raises(UsageError, match=name):
        getattr(guarded.util, name)("modeling_evil.Evil", "org/name", trust_remote_code=True)
