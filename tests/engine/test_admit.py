"""An admitted directory holds exactly what was judged, in forms that run nothing; or there is none."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from safeload.core.errors import MalformedInput, PolicyDenied, SafeloadError, SourceError, UsageError
from safeload.core.evidence import Evidence
from safeload.core.finding import Status
from safeload.core.limits import Limits
from safeload.core.policy import DEFAULT_POLICY, AllOf, AnyOf, NothingWorseThan, Reason, Verdict
from safeload.engine.admit import admit
from safeload.engine.options import Options
from safeload.engine.request import Request
from tests.adapters import payloads
from tests.engine.models import (
    CONFIG,
    STATE,
    files_below,
    index,
    model,
    pickled,
    safe,
    sharded,
    write,
    write_all,
)
from tests.engine.views import raw
from tests.hubserver import Hub, hub  # noqa: F401  (a fixture)

MODEL = Request(purpose="model")


def state_of(path: Path) -> dict[str, bytes]:
    """The bytes of every tensor in the weights of an admitted directory."""
    return {
        key: raw(tensor) for file in sorted(path.glob("model*.safetensors")) for key, tensor in load_file(file).items()
    }


SAVED = {key: raw(tensor) for key, tensor in STATE.items()}


def evil(folder: Path, marker: Path, name: str = "pytorch_model.bin", **config: Any) -> Path:
    """A model whose pickle would create the marker."""
    write_all(folder, {"config.json": CONFIG | config, name: pickled()})
    payloads.poison_zip(folder / name, payloads.snippet(marker))
    return folder


# ── what it holds ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("pickle", [False, True])
def test_the_directory_holds_the_model_and_an_account(tmp_path: Path, pickle: bool) -> None:
    """Config, vocabulary, weights as safetensors, `admission.json`; the tensors are those that were saved."""
    with admit(model(tmp_path / "m", pickle=pickle)) as admission:
        assert files_below(admission.path) == {"config.json", "vocab.txt", "model.safetensors", "admission.json"}
        assert state_of(admission.path) == SAVED
        assert admission.verdict.allowed and admission.report.status is Status.SAFE
        assert admission.path.is_absolute()
        (weights,) = [file for file in admission.files if file.path == "model.safetensors"]
        assert weights.how == ("converted" if pickle else "link")


@pytest.mark.parametrize("pickle", [False, True])
def test_shards_come_with_an_index_of_their_own(tmp_path: Path, pickle: bool) -> None:
    """The index is written from the tensors that are there, whatever the original said."""
    folder = sharded(tmp_path / "m", pickle=pickle)
    name = "pytorch_model.bin.index.json" if pickle else "model.safetensors.index.json"
    document = json.loads((folder / name).read_text())
    document["weight_map"]["not.there"] = next(iter(document["weight_map"].values()))
    write(folder / name, document)
    with admit(folder) as admission:
        assert state_of(admission.path) == SAVED
        written = json.loads((admission.path / "model.safetensors.index.json").read_text())
        assert set(written["weight_map"]) == set(STATE)
        assert written["metadata"]["total_size"] == sum(map(len, SAVED.values()))
        assert files_below(admission.path) == {
            "config.json", "admission.json", "model.safetensors.index.json",
            "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
        }  # fmt: skip


def test_shards_of_a_dtype_that_safeload_does_not_write(tmp_path: Path) -> None:
    """Four-bit floats in safetensors are handed over as they are; their size is counted right."""
    header = json.dumps({"a": {"dtype": "F4", "shape": [4], "data_offsets": [0, 2]}}).encode()
    four = len(header).to_bytes(8, "little") + header + b"\x12\x34"
    folder = write_all(
        tmp_path / "m",
        {
            "config.json": CONFIG,
            "model.safetensors.index.json": index(a="a.safetensors", b="b.safetensors"),
            "a.safetensors": four,
            "b.safetensors": safe({"b": torch.zeros(2)}),
        },
    )
    with admit(folder) as admission:
        written = json.loads((admission.path / "model.safetensors.index.json").read_text())
        assert written["metadata"]["total_size"] == 2 + 8


def test_two_shards_with_one_name_are_refused(tmp_path: Path) -> None:
    """Which of two tensors a loader takes is nobody's to guess."""
    folder = sharded(tmp_path / "m")
    write(folder / "model-00002-of-00002.safetensors", safe())
    with pytest.raises(MalformedInput, match="same name"):
        admit(folder)


def test_nothing_but_weights_configs_and_text_is_handed_over(tmp_path: Path, marker: Path) -> None:
    """Code, pickles, archives, libraries, notes and links stay behind; each is listed with a reason."""
    folder = model(tmp_path / "m")
    left = {
        "modeling.py": "import os",
        "README.md": "# hi",
        "run.sh": "rm -rf /",
        "lib.so": b"\x7fELF",
        "a.onnx": b"x",
        "training_args.bin": pickled({"a": 1}),
        "optimizer.pt": pickled({"a": 1}),
        "sub/deep.pkl": b"\x80\x02N.",
        "__pycache__/m.cpython-311.pyc": b"\xa7\r\r\n",
        "archive.zip": b"PK",
        "sub/model.safetensors.index.json": index(a="../../x"),
        "flax_model.msgpack": b"\x80",
        ".hidden": "x",
        "pytorch_model.bin": pickled(),
    }
    write_all(folder, left)
    (folder / "link.log").symlink_to("/etc/hostname")
    os.symlink("config.json", folder / "alias.json")
    with admit(folder) as admission:
        there = files_below(admission.path)
        assert there == {"config.json", "vocab.txt", "model.safetensors", "admission.json", "alias.json"}
        assert {*left, "link.log"} <= {item.path for item in admission.left_out}
        assert all(item.reason for item in admission.left_out)
        for name in there:
            assert (admission.path / name).resolve().suffix not in (".py", ".bin", ".pkl", ".pt")


def test_a_link_out_of_the_model_is_refused_where_a_loader_would_follow_it(tmp_path: Path) -> None:
    """A config that lies elsewhere is none of the model's; the error names it and says how to bring it in."""
    write(tmp_path / "secret.json", {})
    folder = model(tmp_path / "m")
    (folder / "tokenizer_config.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(SourceError, match=r"tokenizer_config\.json") as refused:
        admit(folder)
    assert refused.value.remedy
    assert files_below(admit(folder, request=MODEL).path) == {"config.json", "model.safetensors", "admission.json"}


def test_every_file_is_in_the_report_once(tmp_path: Path) -> None:
    """Used or not, readable or not: each file of a local model has one report."""
    folder = write_all(model(tmp_path / "m"), {"a.bin": b"x", "sub/b.txt": "y"})
    os.mkfifo(folder / "pipe.json.bak")
    with admit(folder) as admission:
        paths = [file.path for file in admission.report.files]
        assert sorted(paths) == sorted([*files_below(folder)])
        assert {file.path for file in admission.report.files if file.used} == {
            "config.json", "vocab.txt", "model.safetensors", "sub/b.txt"
        }  # fmt: skip
        assert admission.report.file("pipe.json.bak").status is Status.UNDECIDED
        assert all(len(file.sha256 or "") == 64 for file in admission.report.files if file.used)


def test_a_config_loses_its_doors_and_says_so(tmp_path: Path) -> None:
    """What was closed is in `left_out`, in the record, and no longer in the file."""
    folder = model(
        tmp_path / "m", auto_map={"AutoModel": "m.C"}, attn_implementation="evil/kernel", text_config={"repo_path": "x"}
    )
    with admit(folder, request=MODEL) as admission:
        assert admission.config == CONFIG | {"text_config": {}}
        assert admission.attention_removed
        reasons = [item.reason for item in admission.left_out if item.path == "config.json"]
        assert len(reasons) == 3 and any("auto_map" in reason for reason in reasons)
        (config,) = [file for file in admission.files if file.path == "config.json"]
        assert config.how == "rewritten"


def test_a_config_read_in_two_ways_is_written_in_one(tmp_path: Path) -> None:
    """With a key twice, two readers may differ: what is handed over has it once, as it was judged."""
    folder = model(tmp_path / "m")
    (folder / "config.json").write_text('{"dtype": "float32", "model_type": "bert", "model_type": "llama"}')
    with admit(folder, options=Options(policy=NothingWorseThan(Status.DANGEROUS))) as admission:
        text = (admission.path / "config.json").read_text()
        assert text.count("model_type") == 1 and "llama" in text


@pytest.mark.parametrize(
    ("dtypes", "pickle", "expected"),
    [
        ([torch.float16], False, "float16"),
        ([torch.float16], True, "float16"),
        ([torch.int64, torch.bfloat16, torch.float32], True, "bfloat16"),
        ([torch.int8], True, None),
    ],
)
def test_a_missing_dtype_is_filled_in(
    tmp_path: Path, dtypes: list[torch.dtype], pickle: bool, expected: str | None
) -> None:
    """Loaders need not open a checkpoint to find out which dtype to use; integers say nothing about it."""
    state = {str(i): torch.ones(2, dtype=dtype) for i, dtype in enumerate(dtypes)}
    with admit(model(tmp_path / "m", pickle=pickle, state=state, dtype=None)) as admission:
        assert (admission.config or {}).get("dtype") == expected


def test_the_dtype_of_an_index_comes_first(tmp_path: Path) -> None:
    """Transformers believes what the index of the shards says, so that is filled in; nonsense is not."""
    for said, expected in (("bfloat16", "bfloat16"), ("__import__", "float32"), (5, "float32")):
        folder = sharded(tmp_path / str(said))
        write(folder / "config.json", {"model_type": "bert"})
        document = json.loads((folder / "model.safetensors.index.json").read_text())
        write(folder / "model.safetensors.index.json", document | {"metadata": {"dtype": said}})
        with admit(folder) as admission:
            assert (admission.config or {})["dtype"] == expected


def test_a_gguf_file_is_handed_over_by_its_name(tmp_path: Path) -> None:
    """It is what was asked for, and the config beside it gets no dtype from it."""
    gguf = b"GGUF" + (3).to_bytes(4, "little") + bytes(16)
    folder = write_all(tmp_path / "m", {"config.json": {"model_type": "llama"}, "q/tiny.gguf": gguf})
    with admit(folder, request=Request(gguf_file="q/tiny.gguf")) as admission:
        assert (admission.path / "tiny.gguf").read_bytes() == gguf
        assert admission.config == {"model_type": "llama"}


def test_a_gguf_file_under_another_name_is_refused(tmp_path: Path) -> None:
    """As `pytorch_model.bin` it would lose its quantised tensors; other files are no GGUF for being called so."""
    gguf = b"GGUF" + (3).to_bytes(4, "little") + bytes(16)
    lax = Options(policy=NothingWorseThan(Status.DANGEROUS))
    folder = write_all(tmp_path / "a", {"config.json": CONFIG, "pytorch_model.bin": gguf})
    with pytest.raises(MalformedInput, match="gguf_file"):
        admit(folder, options=lax)
    folder = write_all(tmp_path / "b", {"config.json": CONFIG, "x.gguf": pickled()})
    with pytest.raises(MalformedInput, match="gguf_file"):
        admit(folder, request=Request(gguf_file="x.gguf"), options=lax)


def test_what_is_beside_the_weights_in_a_checkpoint_is_told(tmp_path: Path) -> None:
    """Each entry that is no weight is in `left_out`; ten thousand of them do not make the record huge."""
    value = {"state_dict": STATE, **{f"note{i}": i for i in range(10_000)}}
    with admit(model(tmp_path / "m", pickle=True, state=value)) as admission:
        reasons = [item.reason for item in admission.left_out if item.path == "pytorch_model.bin"]
        assert "note0" in reasons[0] and "9,900 more" in reasons[-1] and len(reasons) == 101


def test_config_only_and_tokenizer_only_leave_weights_out(tmp_path: Path, marker: Path) -> None:
    """A load that reads no weights gets none, and evil ones do not stop it."""
    folder = write_all(evil(tmp_path / "m", marker), {"tokenizer.json": {"model": {}}})
    for purpose, there in (("config", "config.json"), ("tokenizer", "tokenizer.json")):
        with admit(folder, request=Request(purpose=purpose)) as admission:  # type: ignore[arg-type]
            names = files_below(admission.path)
            assert there in names and not any(name.endswith((".bin", ".safetensors")) for name in names)
            assert admission.report.status is Status.DANGEROUS


# ── the verdict ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_dangerous_pickle_is_denied_and_nothing_is_made(tmp_path: Path, marker: Path, store: Path) -> None:
    """No conversion, no admission, no directory; the error carries verdict and report."""
    with pytest.raises(PolicyDenied) as denied:
        admit(evil(tmp_path / "m", marker))
    assert "data.pkl" in str(denied.value)
    assert denied.value.report.file("pytorch_model.bin").status is Status.DANGEROUS
    assert not denied.value.verdict.allowed
    assert made_in(store) == set()


def made_in(store: Path) -> set[str]:
    """What the store holds of admissions and conversions, finished or not."""
    return {
        f"{part}/{item.name}"
        for part in ("admitted", "converted", "private", "staging", "views")
        for item in (store / "v1" / part).glob("*")
    }


@pytest.fixture
def store() -> Path:
    return Path(os.environ["SAFELOAD_HOME"])


def test_the_unsafe_option_converts_weights_and_nothing_else(tmp_path: Path, marker: Path) -> None:
    """The tensors of a dangerous pickle can be had; a config or a template judged dangerous cannot."""
    unsafe = Options(unsafe_convert_dangerous=True)
    with admit(evil(tmp_path / "m", marker), options=unsafe) as admission:
        assert state_of(admission.path) == SAVED
        assert not admission.report.file("pytorch_model.bin").used
    for name in ("tokenizer_config.json", "vocab.txt", "chat_template.jinja"):
        folder = model(tmp_path / name)
        write(folder / name, pickled())
        payloads.poison_zip(folder / name, payloads.snippet(marker))
        with pytest.raises(PolicyDenied):
            admit(folder, options=unsafe)


@dataclass
class Witness:
    """A policy that remembers what it was shown."""

    allow: bool = True
    seen: list[Evidence] = field(default_factory=list)

    def decide(self, evidence: Evidence) -> Verdict:
        self.seen.append(evidence)
        reasons = () if self.allow else (Reason("the witness denies", "ask the witness"),)
        return Verdict("witness", self.allow, reasons)


def test_a_policy_of_the_users_own_decides_with_all_evidence(tmp_path: Path) -> None:
    """It never sees a model without the digests of all that is used, so that it may ask for them."""
    witness = Witness()
    for _ in range(2):  # made, then recalled
        with admit(model(tmp_path / "m", pickle=True), options=Options(policy=witness)):
            pass
    assert witness.seen
    for evidence in witness.seen:
        assert set(evidence.digests) == {"config.json", "vocab.txt", "pytorch_model.bin"}
        assert all(len(digest) == 64 for digest in evidence.digests.values())
        assert evidence.reference == str(tmp_path / "m")


def test_a_policy_that_denies_stops_before_anything_is_made(tmp_path: Path, store: Path) -> None:
    """What the user's own policy refuses is not converted either."""
    with pytest.raises(PolicyDenied, match="the witness denies"):
        admit(model(tmp_path / "m", pickle=True), options=Options(policy=Witness(allow=False)))
    assert made_in(store) == set()


def test_a_policy_decides_again_about_what_was_admitted_before(tmp_path: Path) -> None:
    """Yesterday's admission under another policy allows nothing today."""
    folder = model(tmp_path / "m")
    admit(folder).close()
    for policy in (AllOf(), AnyOf(), Witness(allow=False)):
        with pytest.raises(PolicyDenied):
            admit(folder, options=Options(policy=policy))


@pytest.mark.parametrize("answer", [None, True, "allowed", object()])
def test_a_policy_that_gives_no_verdict_admits_nothing(tmp_path: Path, answer: Any) -> None:
    """A policy that forgets to return, or returns a truth value, is the caller's mistake and not a yes."""

    class Forgetful:
        def decide(self, evidence: Evidence) -> Any:
            return answer

    with pytest.raises(UsageError, match="Verdict"):
        admit(model(tmp_path / "m"), options=Options(policy=Forgetful()))


def test_code_that_is_needed_is_denied_with_each_file(tmp_path: Path) -> None:
    """A model type that nobody has needs the author's code, and the refusal names it and the next command."""
    folder = write_all(
        model(tmp_path / "m", model_type="madeup", auto_map={"AutoModel": "custom.Model"}),
        {"custom.py": "from .b import x\n", "b.py": ""},
    )
    with pytest.raises(PolicyDenied) as denied:
        admit(folder, request=Request(purpose="model", native_types=frozenset({"bert"})))
    message = str(denied.value)
    assert "custom.py" in message and "b.py" in message and "safeload approve" in message


def test_a_malformed_plan_is_explained_by_what_was_found(tmp_path: Path, marker: Path) -> None:
    """A config that cannot be read is undecided: the policy says so, with the place."""
    folder = model(tmp_path / "m")
    (folder / "config.json").write_text("{")
    with pytest.raises(PolicyDenied, match=r"undecided.*config\.json"):
        admit(folder)


def test_unreadable_json_is_not_handed_over_by_any_policy(tmp_path: Path) -> None:
    """Who allows undecided files still gets no JSON that nobody could rewrite."""
    folder = model(tmp_path / "m")
    (folder / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": ["a.B", null]}')
    with admit(folder, options=Options(policy=NothingWorseThan(Status.DANGEROUS))) as admission:
        assert "tokenizer_config.json" not in files_below(admission.path)
        assert any(item.path == "tokenizer_config.json" and "JSON" in item.reason for item in admission.left_out)


# ── references and arguments ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["none", "", "a\x00b", "../none", "\x1b[31mred", "\ud800"])
def test_a_reference_to_nothing_is_our_error(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No such path, an empty name, a name that no file can have."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(SafeloadError) as refused:
        admit(os.path.join(tmp_path, name) if name else "")
    str(refused.value).encode()
    assert "\x1b" not in str(refused.value)


def test_an_empty_directory_is_admitted_with_nothing_in_it(tmp_path: Path) -> None:
    """There is nothing to refuse; the loader will say what it misses."""
    (tmp_path / "m").mkdir()
    with admit(tmp_path / "m") as admission:
        assert files_below(admission.path) == {"admission.json"}
        assert admission.config is None


def test_a_link_needs_a_place(tmp_path: Path) -> None:
    """`link=True` is about what `into` holds."""
    with pytest.raises(UsageError, match="directory"):
        admit(model(tmp_path / "m"), link=True)


def test_a_single_file_is_a_model(tmp_path: Path) -> None:
    """A path to weights gives a directory with those weights."""
    folder = model(tmp_path / "m", pickle=True)
    with admit(folder / "pytorch_model.bin") as admission:
        assert files_below(admission.path) == {"model.safetensors", "admission.json"}
        assert state_of(admission.path) == SAVED


# ── adapters ────────────────────────────────────────────────────────────────────────────────────────────────────


def adapter(folder: Path, base: Path | str, *, pickle: bool = False) -> Path:
    weights = {"adapter_model.bin": pickled()} if pickle else {"adapter_model.safetensors": safe()}
    config = {"base_model_name_or_path": str(base), "revision": "main", "peft_type": "LORA"}
    return write_all(folder, {"adapter_config.json": config, **weights})


@pytest.mark.parametrize("pickle", [False, True])
def test_an_adapter_points_at_its_admitted_base(tmp_path: Path, pickle: bool) -> None:
    """The base is admitted by the same policy, and the adapter's config names that directory and nothing else."""
    base = model(tmp_path / "base", pickle=pickle)
    with admit(adapter(tmp_path / "a", base, pickle=pickle)) as admission:
        assert admission.base is not None
        config = json.loads((admission.path / "adapter_config.json").read_text())
        assert config == {"base_model_name_or_path": str(admission.base.path), "peft_type": "LORA"}
        assert files_below(admission.path) == {"adapter_config.json", "adapter_model.safetensors", "admission.json"}
        assert state_of(admission.base.path) == SAVED
        paths = admission.path, admission.base.path
    assert not any(path.exists() for path in paths)


@pytest.mark.parametrize("what", ["settings", "folder", "file", "pipe", "deep", "relative"])
def test_an_adapter_makes_nobody_read_what_is_no_model(
    tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path in its config leads to models alone: other programs' settings are neither read on nor handed over."""
    private = tmp_path / "private"
    write(private / "keys.json", {"token": "secret"})
    if what in ("settings", "relative"):
        write(private / "config.json", {"auths": {"registry": {"auth": "secret"}}})
    elif what == "pipe":
        os.mkfifo(private / "config.json")
    elif what == "deep":
        write(private / "config.json", b"[" * 100_000)
    named = {"file": str(private / "keys.json"), "relative": "../private"}.get(what, str(private))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for options in ({}, {"into": tmp_path / "out"}):
        with pytest.raises(MalformedInput, match="no model lies there"):
            admit(adapter(tmp_path / "a", named), **options)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_an_adapter_of_this_machine_says_which_model_it_takes(tmp_path: Path) -> None:
    """A person hears that another folder was read on the adapter's word."""
    base = model(tmp_path / "base")
    with admit(adapter(tmp_path / "a", base)) as admission:
        assert f"the base model is {base}, because the adapter names it" in admission.notes


def test_an_adapter_from_the_hub_names_no_path_of_this_machine(
    tmp_path: Path,
    hub: Hub,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever published it cannot know what lies here; a name of the hub's form is taken as loaders take it."""
    base = model(tmp_path / "base")
    monkeypatch.chdir(tmp_path)
    for name, named in (("path", str(base)), ("dots", "./base"), ("name", "base")):
        files = files_of(adapter(tmp_path / name, named))
        hub.add(f"org/{name}", files)
    for name in ("path", "dots"):
        with pytest.raises(MalformedInput, match="comes from elsewhere"):
            admit(f"org/{name}")
    with admit("org/name") as admission:
        assert admission.base is not None and admission.base.reference == "base"


def files_of(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files_below(folder)}


def test_a_directory_for_any_loader_names_no_component_elsewhere(tmp_path: Path) -> None:
    """A modular pipeline says where each component is: such pointers go where nobody guards what follows them."""
    where = {"pretrained_model_name_or_path": "evil/unet", "subfolder": "", "type_hint": ["diffusers", "UNet2DModel"]}
    index = {"_class_name": "Blocks", "unet": [None, None, where], "text": [None, None, {**where, "repo": None}]}
    folder = write_all(tmp_path / "m", {"modular_model_index.json": index, "config.json": CONFIG})
    with admit(folder) as admission:
        text = (admission.path / "modular_model_index.json").read_text()
        assert "evil" not in text and "type_hint" in text
        assert sum("evil/unet" in item.reason for item in admission.left_out) == 2
    with admit(folder, request=Request(purpose="processor")) as admission:
        assert json.loads((admission.path / "modular_model_index.json").read_text()) == index


def test_an_evil_base_denies_its_adapter(tmp_path: Path, marker: Path, store: Path) -> None:
    """The refusal is about the base's file, and says whose base it is; nothing stays open or behind."""
    folder = adapter(tmp_path / "a", evil(tmp_path / "base", marker))
    with pytest.raises(PolicyDenied) as denied:
        admit(folder)
    assert "pytorch_model.bin" in str(denied.value)
    assert any("base model of the adapter" in note for note in denied.value.__notes__)
    assert not any(name.startswith(("views", "staging")) for name in made_in(store))


def test_a_base_that_needs_code_denies_its_adapter(tmp_path: Path) -> None:
    """Trust in the adapter is no trust in the base."""
    base = write_all(model(tmp_path / "b", model_type="madeup", auto_map={"AutoModel": "m.C"}), {"m.py": ""})
    with pytest.raises(PolicyDenied, match=r"m\.py"):
        admit(adapter(tmp_path / "a", base), request=Request(purpose="model", native_types=frozenset({"bert"})))


def test_an_adapter_on_itself_ends(tmp_path: Path) -> None:
    """Adapters that stand on each other in a circle are an error with a place."""
    folder = adapter(tmp_path / "a", tmp_path / "a")
    with pytest.raises(MalformedInput, match="base_model_name_or_path"):
        admit(folder)


def test_a_base_that_is_not_there_is_our_error(tmp_path: Path) -> None:
    """The message says which base was looked for."""
    with pytest.raises(SourceError) as refused:
        admit(adapter(tmp_path / "a", tmp_path / "none"))
    assert any(str(tmp_path / "none") in note for note in refused.value.__notes__)


# ── large and many ──────────────────────────────────────────────────────────────────────────────────────────────


def test_more_files_than_descriptors(tmp_path: Path) -> None:
    """A directory of two thousand files is looked at with a few descriptors open at a time, twice."""
    import resource

    folder = write_all(model(tmp_path / "m"), {f"logs/{i}.log": "x" for i in range(2000)})
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 200, limits[1]))
    try:
        for _ in range(2):
            with admit(folder) as admission:
                assert admission.report.status is Status.SAFE
                assert len(admission.report.files) == 2003
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_config_larger_than_any_is_refused(tmp_path: Path, store: Path) -> None:
    """A vocabulary of a terabyte is neither read nor hashed nor copied."""
    folder = model(tmp_path / "m")
    os.truncate(folder / "vocab.txt", 1 << 40)
    with pytest.raises(SafeloadError, match=r"vocab\.txt"):
        admit(folder)
    assert made_in(store) == set()


def test_a_limit_is_told_with_the_option_that_raises_it(tmp_path: Path) -> None:
    """Too many files for `Limits.members`."""
    folder = write_all(model(tmp_path / "m"), {f"{i}.log": "" for i in range(20)})
    with pytest.raises(SafeloadError, match=r"Limits\(members="):
        admit(folder, options=Options(limits=Limits(members=10)))


def test_a_config_nested_too_deep_to_write_is_our_error(tmp_path: Path) -> None:
    """A config that can be read but not written again is an error with a place, or is read and written."""
    for depth in (100, 300, 500, 700, 900, 950, 980, 1500, 100_000):
        folder = model(tmp_path / str(depth))
        text = '{"dtype": "float32", "auto_map": {"a": "b"}, "x": ' + "[" * depth + "]" * depth + "}"
        (folder / "config.json").write_text(text)
        try:
            admit(folder, request=MODEL).close()
        except SafeloadError as error:
            assert "config.json" in str(error)


def test_a_closed_admission_is_gone_and_closing_twice_is_harmless(tmp_path: Path) -> None:
    """The per-process directory lives exactly as long as the admission."""
    admission = admit(model(tmp_path / "m"))
    path = admission.path
    assert path.is_dir() and os.fspath(admission) == str(path)
    admission.close()
    admission.close()
    assert not path.exists() and admission.config is None
    assert (tmp_path / "m" / "model.safetensors").exists()


def test_the_default_policy_is_what_the_options_say(tmp_path: Path) -> None:
    """No options, default options and the default policy by name are one."""
    assert Options().policy == DEFAULT_POLICY
    admit(model(tmp_path / "m"), options=Options(policy=DEFAULT_POLICY)).close()
