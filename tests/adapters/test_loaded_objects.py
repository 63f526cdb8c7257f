"""Class methods that load another model, called on a model that is there: guarded as its class is."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch
import transformers as plain

import safeload.transformers as guarded
from safeload.core.errors import PolicyDenied, UsageError
from tests.adapters import payloads, repos
from tests.adapters.sentences import edit


@pytest.fixture
def good(tmp_path: Path) -> str:
    return str(repos.build_bin(tmp_path / "good"))


@pytest.fixture
def evil(tmp_path: Path, marker: Path) -> str:
    """A model that brings code which nobody approved."""
    path = repos.build_bin(tmp_path / "evil")
    (path / "modeling_evil.py").write_text(payloads.CODE.format(str(marker)) + "\nclass Evil: pass\n")
    names = dict.fromkeys(("AutoConfig", "AutoModel", "AutoTokenizer"), "modeling_evil.Evil")
    edit(path / "config.json", lambda config: config.update(model_type="evil", auto_map=names))
    return str(path)


def test_a_model_loads_another_one_admitted(good: str, tmp_path: Path) -> None:
    """What comes back is what the class itself loads, from a pickle of weights as well."""
    model = guarded.AutoModel.from_pretrained(good)
    other = model.from_pretrained(str(repos.build_bin(tmp_path / "other")))
    assert type(other) is type(model) is plain.BertModel and "_safeload_keeper" in vars(other)
    tokenizer = guarded.AutoTokenizer.from_pretrained(good)
    assert tokenizer.from_pretrained(good).get_vocab() == tokenizer.get_vocab()


@pytest.mark.parametrize("kind", ["AutoModel", "AutoTokenizer"])
def test_code_is_refused(kind: str, good: str, evil: str) -> None:
    """With `trust_remote_code=True` it has to be approved, here as everywhere."""
    loaded = getattr(guarded, kind).from_pretrained(good)
    for holder in (loaded, copy.copy(loaded), pickle.loads(pickle.dumps(loaded))):
        with pytest.raises(PolicyDenied):
            holder.from_pretrained(evil, trust_remote_code=True)


def test_a_poisoned_pickle_is_refused(good: str, tmp_path: Path, marker: Path) -> None:
    """The weights of the other one are judged."""
    model = guarded.AutoModel.from_pretrained(good)
    path = repos.build_bin(tmp_path / "other")
    payloads.poison_zip(path / "pytorch_model.bin", payloads.snippet(marker))
    with pytest.raises(PolicyDenied):
        model.from_pretrained(str(path))
    with pytest.raises(UsageError):
        model.from_pretrained(good, weights_only=False)


def test_what_the_library_loaded_stays_as_it_was(good: str) -> None:
    """Objects that safeload did not load, and all classes, have the method that they had."""
    guarded.AutoModel.from_pretrained(good)
    model = plain.AutoModel.from_pretrained(good)
    for method in (model.from_pretrained, plain.BertModel.from_pretrained):
        assert method.__self__ is plain.BertModel
        assert method.__func__ is vars(plain.PreTrainedModel)["from_pretrained"].__func__
    again = model.from_pretrained(good)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
