"""Builders of tiny model repositories with weights: the benign ones, and the ones whose pickles would act.

Every builder has the form `build_<name>(directory, marker=None) -> Path`: it fills `directory`, which it creates, and
returns it. A payload's only effect, if it runs, is to create `marker`. Repositories that steer a loader elsewhere
(redirects, code, kernels, adapters) are in `steering.py`.
"""

from __future__ import annotations

import argparse
import enum
import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertModel, BertTokenizer, LlamaConfig, LlamaForCausalLM

from tests.adapters import payloads
from tests.adapters.payloads import text

State = dict[str, torch.Tensor]

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(59))]


# --- the pieces ---------------------------------------------------------------------------------------------------


def bert_config(**changes: Any) -> BertConfig:
    """A BERT of about 10,000 parameters."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    return BertConfig(**{"vocab_size": 64, "max_position_embeddings": 32, **sizes, **changes})


def bert(seed: int = 0) -> BertModel:
    """The tiny BERT with weights that depend on the seed alone."""
    torch.manual_seed(seed)
    return BertModel(bert_config()).eval()


def llama(seed: int = 0) -> LlamaForCausalLM:
    """A tiny Llama whose output embedding is tied to its input embedding."""
    torch.manual_seed(seed)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = LlamaConfig(vocab_size=64, max_position_embeddings=32, tie_word_embeddings=True, **sizes)
    config.pad_token_id, config.bos_token_id, config.eos_token_id = 0, 2, 3
    return LlamaForCausalLM(config).eval()


def bert_state() -> State:
    """The weights that every BERT repository here holds, in whatever form."""
    return {name: tensor.detach().clone() for name, tensor in bert().state_dict().items()}


def write_config(directory: Path, **changes: Any) -> Path:
    """`config.json` of the tiny BERT with keys added; a key given as `None` is left out."""
    directory.mkdir(parents=True, exist_ok=True)
    config = json.loads(bert_config().to_json_string(use_diff=False))
    config |= {"architectures": ["BertModel"], "dtype": "float32", **changes}
    kept = {key: value for key, value in config.items() if key not in changes or changes[key] is not None}
    (directory / "config.json").write_text(json.dumps(kept))
    return directory


def write_tokenizer(directory: Path, **changes: Any) -> Path:
    """A word-level tokenizer of 64 words."""
    directory.mkdir(parents=True, exist_ok=True)
    BertTokenizer(vocab={word: i for i, word in enumerate(WORDS)}).save_pretrained(directory)
    if changes:
        rewrite(directory / "tokenizer_config.json", **changes)
    return directory


def rewrite(path: Path, **changes: Any) -> None:
    """Set keys of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def write_safetensors(path: Path, state: State) -> None:
    save_file({name: tensor.contiguous().clone() for name, tensor in state.items()}, path, metadata={"format": "pt"})


def write_index(directory: Path, weight_map: dict[str, str], name: str = "model.safetensors.index.json") -> Path:
    (directory / name).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))
    return directory


def halves(state: State) -> tuple[State, State]:
    names = sorted(state)
    middle = len(names) // 2
    return {n: state[n] for n in names[:middle]}, {n: state[n] for n in names[middle:]}


def write_bin(directory: Path, value: Any, name: str = "pytorch_model.bin", **options: Any) -> Path:
    torch.save(value, directory / name, **options)
    return directory


# --- benign weights -----------------------------------------------------------------------------------------------


def build_safetensors(directory: Path, marker: Path | None = None) -> Path:
    """One `model.safetensors` and a tokenizer: what a good repository looks like."""
    write_tokenizer(write_config(directory))
    write_safetensors(directory / "model.safetensors", bert_state())
    return directory


def build_sharded(directory: Path, marker: Path | None = None) -> Path:
    """Two safetensors shards and an index."""
    write_config(directory)
    shards = {f"model-0000{i}-of-00002.safetensors": half for i, half in enumerate(halves(bert_state()), 1)}
    for name, half in shards.items():
        write_safetensors(directory / name, half)
    return write_index(directory, {key: name for name, half in shards.items() for key in half})


def build_llama(directory: Path, marker: Path | None = None) -> Path:
    """A tiny Llama as safetensors, with a generation config and a tokenizer: it can generate."""
    llama().save_pretrained(directory)
    return write_tokenizer(directory)


def build_bin(directory: Path, marker: Path | None = None) -> Path:
    """A `pytorch_model.bin` as torch writes it today, and a tokenizer."""
    write_tokenizer(write_config(directory))
    return write_bin(directory, OrderedDict(bert_state()))


def build_bin_legacy(directory: Path, marker: Path | None = None) -> Path:
    """The stream that torch wrote before 1.6: five pickles and the storages."""
    return write_bin(write_config(directory), OrderedDict(bert_state()), _use_new_zipfile_serialization=False)


def build_bin_sharded(directory: Path, marker: Path | None = None) -> Path:
    """Two `.bin` shards and an index."""
    write_config(directory)
    shards = {f"pytorch_model-0000{i}-of-00002.bin": half for i, half in enumerate(halves(bert_state()), 1)}
    for name, half in shards.items():
        write_bin(directory, half, name)
    names = {key: name for name, half in shards.items() for key in half}
    return write_index(directory, names, "pytorch_model.bin.index.json")


def build_bin_tied(directory: Path, marker: Path | None = None) -> Path:
    """A Llama `.bin` in which two names share one storage."""
    model = llama()
    model.config.architectures = ["LlamaForCausalLM"]
    model.config.save_pretrained(directory)
    model.generation_config.save_pretrained(directory)
    return write_bin(directory, OrderedDict(model.state_dict()))


def build_bin_strided(directory: Path, marker: Path | None = None) -> Path:
    """A `.bin` with transposed, sliced and expanded views into larger storages."""
    state = bert_state()
    for name, tensor in state.items():
        if tensor.dim() == 2:
            state[name] = tensor.t().contiguous().t()
        elif name.endswith("LayerNorm.bias"):
            state[name] = torch.zeros(1).expand(tensor.shape)
            assert torch.equal(state[name], tensor)
        elif tensor.dim() == 1 and tensor.dtype == torch.float32:
            state[name] = torch.stack([tensor, tensor + 1], dim=1)[:, 0]
    return write_bin(write_config(directory), state)


def build_bin_no_dtype(directory: Path, marker: Path | None = None) -> Path:
    """A `.bin` beside a config that does not name a dtype, which makes plain transformers open the pickle thrice."""
    return write_bin(write_config(directory, dtype=None), bert_state())


def build_bin_protocol(directory: Path, marker: Path | None = None, *, protocol: int = 4) -> Path:
    """A `.bin` written with a given pickle protocol, 2 to 5."""
    return write_bin(write_config(directory), bert_state(), pickle_protocol=protocol)


class Colour(enum.Enum):
    """An enumeration of the author's own."""

    RED = "red"


def build_bin_extras(directory: Path, marker: Path | None = None) -> Path:
    """Weights beside the things that training scripts leave in checkpoints, which plain transformers refuses."""
    import numpy as np
    from transformers import TrainingArguments
    from transformers.trainer_utils import IntervalStrategy

    extras = {
        "loss": np.float64(0.25),
        "history": np.arange(3),
        "args": argparse.Namespace(lr=0.1, out=Path("out")),
        "training_args": TrainingArguments(output_dir="out", report_to=[], use_cpu=True),
        "strategy": IntervalStrategy.STEPS,
        "colour": Colour.RED,
    }
    return write_bin(write_config(directory), bert_state() | extras)


def build_bin_module(directory: Path, marker: Path | None = None) -> Path:
    """A `.bin` that is the whole pickled module rather than its state dict."""
    return write_bin(write_config(directory), bert())


def build_lightning(directory: Path, marker: Path | None = None) -> Path:
    """A Lightning checkpoint: the weights lie under `state_dict`, beside callbacks and hyperparameters."""
    checkpoint = {
        "epoch": 3,
        "global_step": 100,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": OrderedDict(bert_state()),
        "hyper_parameters": argparse.Namespace(lr=0.1),
        "optimizer_states": [{"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 0.1}]}],
    }
    return write_bin(write_config(directory), checkpoint)


def build_bin_other_names(directory: Path, marker: Path | None = None) -> Path:
    """A `.bin` whose names fit nothing in the model."""
    return write_bin(write_config(directory), {f"strange.{n}": t for n, t in bert_state().items()})


def build_variant(directory: Path, marker: Path | None = None) -> Path:
    """Good weights, and an fp16 variant of them as a pickle."""
    build_safetensors(directory)
    return write_bin(directory, {n: t.half() for n, t in bert_state().items()}, "pytorch_model.fp16.bin")


def build_subfolder(directory: Path, marker: Path | None = None) -> Path:
    """A repository whose only model lies in `sub/`."""
    build_bin(directory / "sub")
    return directory


# --- weights that would act ---------------------------------------------------------------------------------------


def build_evil_bin(directory: Path, marker: Path, *, spelling: str = "protocol_2") -> Path:
    """A torch zip whose pickle first acts, then gives good weights. `spelling` is a key of `payloads.SNIPPETS`."""
    build_bin(directory)
    payloads.poison_zip(directory / "pytorch_model.bin", payloads.SNIPPETS[spelling](marker))
    return directory


def build_evil_legacy(directory: Path, marker: Path, *, spelling: str = "protocol_2") -> Path:
    """The legacy stream with the payload in its object pickle."""
    build_bin_legacy(directory)
    payloads.poison_legacy(directory / "pytorch_model.bin", payloads.SNIPPETS[spelling](marker))
    return directory


def build_evil_bare(directory: Path, marker: Path, *, spelling: str = "protocol_2") -> Path:
    """A bare pickle, no container, under the name of weights."""
    stream = payloads.poison(pickle.dumps({"a": 1}, 2), payloads.SNIPPETS[spelling](marker))
    (write_config(directory) / "pytorch_model.bin").write_bytes(stream)
    return directory


def build_evil_value(directory: Path, marker: Path, *, protocol: int = 2) -> Path:
    """A state dict that torch itself saved, with an acting object as one of its values."""
    return write_bin(write_config(directory), bert_state() | {"x": payloads.Touch(marker)}, pickle_protocol=protocol)


def build_evil_tokenizer(directory: Path, marker: Path) -> Path:
    """A tokenizer one of whose small files is a pickle that acts."""
    write_tokenizer(directory)
    (directory / "special_tokens_map.json").write_bytes(b"\x80\x02" + payloads.snippet(marker) + b"N.")
    return directory


def build_evil_no_dtype(directory: Path, marker: Path) -> Path:
    """The case in which `weights_only=False` makes plain transformers run the payload."""
    build_evil_value(directory, marker)
    return write_config(directory, dtype=None)


def build_evil_misnamed(directory: Path, marker: Path) -> Path:
    """`model.safetensors` that is really a torch zip with a payload."""
    build_evil_bin(directory, marker)
    (directory / "pytorch_model.bin").rename(directory / "model.safetensors")
    return directory


def build_evil_then_garbage(directory: Path, marker: Path) -> Path:
    """A payload, then bytes that no reader understands."""
    body = b"\x80\x02" + payloads.snippet(marker) + b"\xff\xfe garbage"
    (write_config(directory) / "pytorch_model.bin").write_bytes(body)
    return directory


def build_evil_second_stream(directory: Path, marker: Path) -> Path:
    """Two pickles in one file: the first is harmless, the second acts."""
    stream = pickle.dumps({"a": 1}, 2) + payloads.poison(pickle.dumps(None, 2), payloads.snippet(marker))
    (write_config(directory) / "pytorch_model.bin").write_bytes(stream)
    return directory


def build_evil_unused_bin(directory: Path, marker: Path) -> Path:
    """Good safetensors, and an evil `.bin` beside them that no ordinary load would touch."""
    build_evil_bin(directory, marker)
    write_safetensors(directory / "model.safetensors", bert_state())
    return directory


def build_evil_variant(directory: Path, marker: Path) -> Path:
    """Good default weights; the fp16 variant acts."""
    build_variant(directory)
    payloads.poison_zip(directory / "pytorch_model.fp16.bin", payloads.snippet(marker))
    return directory


def build_evil_subfolder(directory: Path, marker: Path) -> Path:
    """Good weights at the root; those in `sub/` act."""
    build_safetensors(directory)
    build_evil_bin(directory / "sub", marker)
    return directory


def build_evil_sharded(directory: Path, marker: Path) -> Path:
    """Two `.bin` shards of which the second acts."""
    build_bin_sharded(directory)
    payloads.poison_zip(directory / "pytorch_model-00002-of-00002.bin", payloads.snippet(marker))
    return directory


def build_evil_trainer(directory: Path, marker: Path) -> Path:
    """A Trainer checkpoint: good weights, and training state that acts in every one of its files."""
    build_safetensors(directory)
    (directory / "trainer_state.json").write_text(json.dumps({"global_step": 10, "log_history": []}))
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"):
        write_bin(directory, {"state": {}, "x": payloads.Touch(marker)}, name)
    return directory


def build_evil_unknowns(directory: Path, marker: Path) -> Path:
    """Good weights beside every other kind of file that some loader unpickles."""
    build_safetensors(directory)
    acting = payloads.poison(pickle.dumps(None, 2), payloads.snippet(marker))
    for name in (".metadata", "psgs_w100.tsv.pkl", "index.index_meta.dpr", "state.joblib"):
        (directory / name).write_bytes(acting)
    (directory / "__0_0.distcp").write_bytes(os.urandom(256))
    with zipfile.ZipFile(directory / "program.pt2", "w") as archive:
        archive.writestr("archive_format", "pt2")
        archive.writestr("data/sample_inputs/model.pt", acting)
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), str(directory / "scripted.pt"))
    return directory


def build_bin_tar(directory: Path, marker: Path | None = None) -> Path:
    """The tar that torch wrote before 0.1.10: a table of storages, a table of tensors, and a pickle that joins them."""
    write_config(directory)
    state = bert_state()
    storages, tensors = pickle.dumps(len(state), 2), pickle.dumps(len(state), 2)
    for key, tensor in enumerate(state.values()):
        kind = {torch.float32: "Float", torch.int64: "Long"}[tensor.dtype]
        data = tensor.contiguous().numpy().tobytes()
        storages += _row(key, text("cpu"), f"{kind}Storage") + struct.pack("<q", tensor.numel()) + data
        tensors += _row(1000 + key, b"M" + struct.pack("<H", key), f"{kind}Tensor")
        tensors += struct.pack("<ii", tensor.dim(), 0)
        tensors += struct.pack(f"<{2 * tensor.dim() + 1}q", *tensor.shape, *tensor.contiguous().stride(), 0)
    storages += pickle.dumps([], 2)
    # Persistent ids are texts of protocol 0, as the opcode `P` reads them.
    value = b"\x80\x02}(" + b"".join(text(n) + b"P%d\n" % (1000 + i) for i, n in enumerate(state)) + b"u."
    if marker is not None:
        value = payloads.poison(value, payloads.snippet(marker))
    with tarfile.open(directory / "pytorch_model.bin", "w") as archive:
        for name, body in (("sys_info", pickle.dumps({}, 2)), ("storages", storages), ("tensors", tensors)):
            _add(archive, name, body)
        _add(archive, "pickle", value)
    return directory


def _row(key: int, middle: bytes, kind: str) -> bytes:
    """One row of a table of the tar: `(key, middle, torch.<kind>)`, pickled."""
    return b"\x80\x02M" + struct.pack("<H", key) + middle + f"ctorch\n{kind}\n".encode() + b"\x87."


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


# --- files that are not what they should be -----------------------------------------------------------------------


def broken_weights() -> dict[str, bytes]:
    """Contents of a `pytorch_model.bin` that must end in one of our errors, quickly; by name."""
    return {
        "empty": b"",
        "nested_tuples": b"\x80\x02)" + b"\x85" * 100_000 + b".",
        "length_2gib": b"\x80\x02X" + struct.pack("<I", (1 << 31) - 1) + b"x" * 80,
        "memo_index": b"\x80\x02Nr" + struct.pack("<I", (1 << 31)) + b".",
        "invalid_utf8": b"\x80\x02X\x02\x00\x00\x00\xff\xfe.",
        "lfs_pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 123\n",
        "html": b"<!DOCTYPE html><html><body>404</body></html>",
    }


def build_broken(directory: Path, marker: Path | None = None, *, kind: str = "empty") -> Path:
    """A repository whose weights are one of `broken_weights`."""
    (write_config(directory) / "pytorch_model.bin").write_bytes(broken_weights()[kind])
    return directory


def build_directory_as_weights(directory: Path, marker: Path | None = None) -> Path:
    """`model.safetensors` is a directory."""
    (write_config(directory) / "model.safetensors").mkdir()
    return directory


def build_fifo_as_weights(directory: Path, marker: Path | None = None) -> Path:
    """`model.safetensors` is a FIFO: opening it for reading would wait forever."""
    os.mkfifo(write_config(directory) / "model.safetensors")
    return directory


def build_symlink_loop(directory: Path, marker: Path | None = None) -> Path:
    """`model.safetensors` is a link to itself."""
    (write_config(directory) / "model.safetensors").symlink_to("model.safetensors")
    return directory
