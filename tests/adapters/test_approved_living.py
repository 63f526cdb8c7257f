"""What keeps working with a model whose approved code runs: copies, pickles, workers, compiling, saving, training."""

from __future__ import annotations

import copy
import inspect
import io
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import safeload.transformers as guarded
from safeload import PolicyDenied, UsageError
from safeload.cli.main import main
from safeload.engine import approved
from tests.adapters import coded, repos
from tests.adapters.test_approved import approve, project  # noqa: F401  (a fixture)

IDS = torch.tensor([[2, 7, 3]])


@pytest.fixture
def model(project: Path) -> Any:  # noqa: F811
    """A loaded model with relative imports and a package."""
    approve(coded.build_relative(project / "m"))
    return guarded.AutoModel.from_pretrained("m", trust_remote_code=True)


def test_modules_live_under_the_digest_of_the_code(model: Any) -> None:
    """The class says which code it is from; it is none of the library's module cache."""
    assert type(model).__module__.startswith("safeload_approved.c")
    assert type(model).__name__ == "Model"


def test_it_copies_and_pickles(model: Any) -> None:
    """`copy.deepcopy` and pickling give the same class and the same outputs."""
    wanted = model(IDS).last_hidden_state
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert type(other) is type(model)
        assert torch.equal(other(IDS).last_hidden_state, wanted)


def test_its_source_can_be_inspected(model: Any) -> None:
    """`inspect.getsource`, which torch and debuggers use, shows what runs."""
    assert 'return "own"' in inspect.getsource(type(model))


def test_it_compiles(model: Any) -> None:
    """`torch.compile` traces through the approved code."""
    compiled = torch.compile(model, backend="eager")
    assert torch.allclose(compiled(IDS).last_hidden_state, model(IDS).last_hidden_state)


CHILD = """
import pickle, sys
model = pickle.load(sys.stdin.buffer)
print(type(model).__module__, model.origin(), 'tests' in sys.modules)
"""


def _child(program: str, data: bytes, **environment: str) -> subprocess.CompletedProcess[bytes]:
    import os

    root = str(Path(__file__).parents[2])
    return subprocess.run(
        [sys.executable, "-c", program],
        input=data,
        capture_output=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": root, **environment},
    )


def _portable(project: Path) -> Any:  # noqa: F811
    """A model whose modules need nothing of these tests."""
    path = coded.build_unknown(project / "m")
    for name in ("configuration.py", "modeling.py"):
        (path / name).write_text((path / name).read_text().partition("\n")[2].partition("\n")[2])
    approve(path)
    return guarded.AutoModel.from_pretrained("m", trust_remote_code=True)


def test_a_started_process_can_unpickle_it(project: Path) -> None:  # noqa: F811
    """The child finds the code by its digest, in the directory of the process that approved it."""
    result = _child(CHILD, pickle.dumps(_portable(project)))
    assert result.returncode == 0, result.stderr.decode()
    assert b" own " in result.stdout


def test_a_process_that_nobody_told_finds_nothing(project: Path) -> None:  # noqa: F811
    """A pickle alone brings no approval along."""
    result = _child(CHILD, pickle.dumps(_portable(project)), SAFELOAD_APPROVED="")
    assert result.returncode == 1 and b"ModuleNotFoundError" in result.stderr


def test_a_changed_directory_is_not_what_a_process_was_told(project: Path) -> None:  # noqa: F811
    """The child compares what it reads with the digest in the name."""
    data = pickle.dumps(model := _portable(project))
    file = Path(sys.modules[type(model).__module__].__file__ or "")
    before = file.read_bytes()
    file.chmod(0o600)
    file.write_bytes(before + b"\n")
    try:
        result = _child(CHILD, data)
    finally:
        file.write_bytes(before)
    assert result.returncode == 1 and b"ModuleNotFoundError" in result.stderr


class Items(torch.utils.data.Dataset[int]):
    """A data set that carries a model, as those do that tokenise with one."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:
        assert self.model.origin() == "own"
        return index


def test_a_data_loader_starts_workers(project: Path) -> None:  # noqa: F811
    """With `spawn`, which pickles the data set into a new interpreter."""
    items = Items(_portable(project))
    loader = torch.utils.data.DataLoader(items, num_workers=1, multiprocessing_context="spawn")
    assert [int(batch) for batch in loader] == [0, 1]


def test_what_is_saved_loads_without_another_approval(model: Any, project: Path) -> None:  # noqa: F811
    """A fine-tune is the same code: all files are written, and nothing has to be read again."""
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    model(IDS).last_hidden_state.sum().backward()
    optimiser.step()
    model.save_pretrained("tuned")
    for name in ("modeling.py", "layers/norm.py", "other.py"):
        assert (project / "tuned" / name).read_bytes() == (project / "m" / name).read_bytes()
    again = guarded.AutoModel.from_pretrained("tuned", trust_remote_code=True)
    assert type(again) is type(model)
    assert torch.equal(again(IDS).last_hidden_state, model(IDS).last_hidden_state)


def test_a_saved_model_of_the_library_keeps_its_generating_function(project: Path) -> None:  # noqa: F811
    """The class is the library's own; the code that belongs to the model is written all the same."""
    approve(coded.build_generate(project / "m"))
    model = guarded.AutoModelForCausalLM.from_pretrained("m", trust_remote_code=True)
    model.save_pretrained("saved")
    again = guarded.AutoModelForCausalLM.from_pretrained("saved", trust_remote_code=True)
    assert again.generate(input_ids=IDS).tolist() == [[7, 7, 7]]


def test_a_saved_pipeline_loads_again(project: Path) -> None:  # noqa: F811
    """Its class is written, so that the config does not name what is not there."""
    approve(coded.build_pipeline(project / "m"))
    guarded.pipeline("mine", model="m", trust_remote_code=True).save_pretrained("saved")  # type: ignore[call-overload]
    assert (project / "saved/pipe.py").read_bytes() == (project / "m/pipe.py").read_bytes()
    assert guarded.pipeline("mine", model="saved", trust_remote_code=True)("w1") == "own"  # type: ignore[call-overload]


@pytest.mark.parametrize("name", ["tokenizer", "processor", "extractor"])
def test_saved_parts_load_again(name: str, project: Path) -> None:  # noqa: F811
    """Tokenizers and processors write their code, too, and the map points at it."""
    case = coded.CASES[name]
    approve(case.build(project / "m"))
    part = case.load(guarded, "m")
    part.save_pretrained("saved")
    assert case.origin(case.load(guarded, "saved")) == "own"


def test_a_saved_config_names_what_is_there(project: Path) -> None:  # noqa: F811
    """A config alone, with its code."""
    approve(coded.build_unknown(project / "m"))
    config = guarded.AutoConfig.from_pretrained("m", trust_remote_code=True)
    config.save_pretrained("saved")
    named = json.loads((project / "saved/config.json").read_text())["auto_map"]
    assert all((project / "saved" / f"{name.partition('.')[0]}.py").exists() for name in named.values())


def test_a_config_object_finds_its_model(project: Path) -> None:  # noqa: F811
    """`from_pretrained(…, config=config)` with a config of approved code."""
    approve(coded.build_unknown(project / "m"))
    config = guarded.AutoConfig.from_pretrained("m", trust_remote_code=True)
    assert guarded.AutoModel.from_pretrained("m", config=config, trust_remote_code=True).origin() == "own"


def test_a_model_is_made_of_an_approved_config(project: Path) -> None:  # noqa: F811
    """`from_config`: the approved code of the model that the config is from, and no other."""
    path = coded.build_unknown(project / "m")
    approve(path)
    config = guarded.AutoConfig.from_pretrained("m", trust_remote_code=True)
    model = guarded.AutoModel.from_config(config, trust_remote_code=True)
    assert model.origin() == "own" and model.config._name_or_path == "m" == config._name_or_path
    config.auto_map["AutoModelForCTC"] = "configuration.BertConfig"
    with pytest.raises(PolicyDenied, match="is no entry of the approved code"):
        guarded.AutoModelForCTC.from_config(config, trust_remote_code=True)
    (path / "modeling.py").write_text("x = 1\n")
    with pytest.raises(PolicyDenied, match="changed"):
        guarded.AutoModel.from_config(config, trust_remote_code=True)


@pytest.mark.parametrize("place", ["", "sub/"])
def test_a_model_in_a_folder(place: str, project: Path) -> None:  # noqa: F811
    """transformers looks for its code at the root; where it is beside the config, it is found there."""
    coded.build_unknown(project / "m/sub")
    if not place:
        for name in ("configuration.py", "modeling.py"):
            (project / "m/sub" / name).rename(project / "m" / name)
    approve("m")
    assert guarded.AutoModel.from_pretrained("m", subfolder="sub", trust_remote_code=True).origin() == "own"


def test_a_pipeline_of_a_native_task(project: Path) -> None:  # noqa: F811
    """`pipeline("feature-extraction", …)` takes the model's own class and tokenizer."""
    path = coded.build_tokenizer(project / "m")
    coded.write(path, "modeling.py", coded.NATIVE)
    repos.rewrite(path / "config.json", auto_map={"AutoModel": "modeling.Model"})
    with pytest.raises(PolicyDenied, match="nobody approved"):
        guarded.pipeline("feature-extraction", model="m", trust_remote_code=True)
    approve(path)
    pipe: Any = guarded.pipeline("feature-extraction", model="m", trust_remote_code=True)
    assert pipe.model.origin() == pipe.tokenizer.origin() == "own"
    assert pipe("w1 w2")


def test_a_code_revision_is_not_for_own_code(project: Path) -> None:  # noqa: F811
    """A directory has no revisions; an argument that would be left unheard is refused."""
    approve(coded.build_unknown(project / "m"))
    with pytest.raises(UsageError, match="code_revision"):
        guarded.AutoModel.from_pretrained("m", code_revision="main", trust_remote_code=True)


def test_generate_takes_an_approved_function_later(project: Path) -> None:  # noqa: F811
    """`generate(custom_generate=…)`: refused, approved, run, refused after a change."""
    code = coded.build_generate(project / "code")
    model = guarded.AutoModelForCausalLM.from_pretrained(str(repos.build_llama(project / "plain")))

    def generate() -> list[list[int]]:
        found = model.generate(input_ids=IDS, custom_generate=str(code), trust_remote_code=True)
        return found.tolist()  # type: ignore[no-any-return]

    with pytest.raises(PolicyDenied, match=r"custom_generate/generate\.py"):
        generate()
    approve(code)
    assert generate() == [[7, 7, 7]]
    with pytest.raises(UsageError, match="does not ask for it"):
        model.generate(input_ids=IDS, custom_generate=str(code))
    (code / "custom_generate/generate.py").write_text("def generate(model, **kwargs): return 1\n")
    with pytest.raises(PolicyDenied, match="changed"):
        generate()


def test_an_adapter_stands_on_approved_code(project: Path) -> None:  # noqa: F811
    """The base model's code is refused, approved by the base's name, and runs."""
    adapter = coded.build_adapter_of_code(project / "adapter")
    with pytest.raises(PolicyDenied, match=r"modeling\.py") as caught:
        guarded.AutoModel.from_pretrained(str(adapter), trust_remote_code=True)
    assert "the base model of the adapter" in " ".join(caught.value.__notes__)
    assert not coded.RAN
    approve(project / "adapter-base")
    assert guarded.AutoModel.from_pretrained(str(adapter), trust_remote_code=True).origin() == "own"


def test_admit_writes_approved_code(project: Path) -> None:  # noqa: F811
    """A directory with its code, from the approved bytes, accounted for; it loads under the same approval."""
    approve(path := coded.build_relative(project / "m"))
    assert main(["admit", "m", "--into", "out", "--trust-remote-code"]) == 0
    account = json.loads((project / "out/admission.json").read_text())
    assert account["code"].keys() == set(coded.CASES["relative"].files)
    for name in account["code"]:
        assert (project / "out" / name).read_bytes() == (path / name).read_bytes()
    assert guarded.AutoModel.from_pretrained("out", trust_remote_code=True).origin() == "own"
    (path / "other.py").write_text("changed = 1\n")
    assert main(["admit", "m", "--into", "again", "--trust-remote-code"]) == 1
    assert not (project / "again").exists()


def test_admit_writes_no_code_unasked(project: Path) -> None:  # noqa: F811
    """Approved or not: who does not ask for code gets none, and no config that names any."""
    approve(coded.build_native(project / "m"))
    assert main(["admit", "m", "--into", "out"]) == 0
    assert not [*(project / "out").rglob("*.py")]
    assert "auto_map" not in (project / "out/config.json").read_text()


def test_a_kept_directory_with_code_is_another(project: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    """What `safeload admit` keeps without code is not what it gives with code."""
    approve(coded.build_native(project / "m"))
    capsys.readouterr()
    places = []
    for arguments in (["admit", "m"], ["admit", "m", "--trust-remote-code"]):
        assert main(arguments) == 0
        places.append(Path(capsys.readouterr().out.strip()))
    assert not (places[0] / "modeling.py").exists() and (places[1] / "modeling.py").exists()


def test_a_whole_model_pickled_by_torch_comes_back(model: Any) -> None:
    """In the process that approved its code."""
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    assert torch.load(file, weights_only=False).origin() == "own"
    assert approved.PACKAGE in sys.modules
