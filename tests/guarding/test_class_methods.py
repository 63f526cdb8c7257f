"""Class methods called on what was loaded: the library's own, which a guard of the process stands in front of."""

from __future__ import annotations

from pathlib import Path

import pytest
import sentence_transformers.models as parts
import transformers

import safeload
from safeload.core.errors import PolicyDenied
from tests.adapters import payloads, repos
from tests.adapters.sentences import edit

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture
def evil(tmp_path: Path, marker: Path) -> Path:
    """A model that brings code which nobody approved."""
    path = repos.build_bin(tmp_path / "evil")
    (path / "modeling_evil.py").write_text(payloads.CODE.format(str(marker)) + "\nclass Evil: pass\n")
    names = dict.fromkeys(("AutoConfig", "AutoModel", "AutoTokenizer"), "modeling_evil.Evil")
    edit(path / "config.json", lambda config: config.update(model_type="evil", auto_map=names))
    return path


def test_a_guard_holds_for_class_methods_of_objects(evil: Path, tmp_path: Path) -> None:
    """Of models, of their classes, of tokenizers: under guard they admit what they name."""
    good = str(repos.build_bin(tmp_path / "good"))
    with safeload.guard():
        model = transformers.AutoModel.from_pretrained(good)
        tokenizer = transformers.AutoTokenizer.from_pretrained(good)
        for load in (model.from_pretrained, type(model).from_pretrained, tokenizer.from_pretrained):
            with pytest.raises(PolicyDenied):
                load(str(evil), trust_remote_code=True)


def test_a_guard_holds_for_modules_of_sentence_transformers(evil: Path, tmp_path: Path) -> None:
    """What they load they load through transformers, so its guard is theirs, also for their classes."""
    good = str(repos.build_bin(tmp_path / "good"))
    with safeload.guard():
        module = parts.Transformer(good)
        with pytest.raises(PolicyDenied):
            type(module).load(str(evil), trust_remote_code=True)
        with pytest.raises(PolicyDenied):
            parts.Transformer(str(evil), config_args={"trust_remote_code": True})
