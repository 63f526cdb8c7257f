"""Nothing that runs code is ever safe, also where other tools see nothing: one fact for each public technique.

The techniques are those of the advisories and reports that the classes below name. Every payload would only create a
marker, and nothing is loaded.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable

import lz4.frame
import numpy
import pytest
import torch

from safeload.core.blob import MemoryBlob
from safeload.core.finding import Status
from safeload.core.limits import Limits
from safeload.engine.inspect import inspect
from tests.corpus.build import Zipped, checkpoint, legacy, make_tar, make_zip, named, npy, payload, safetensors, text

EMPTY = pickle.dumps({})
HEADER = '{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'


def status(raw: bytes, name: str) -> Status:
    return inspect(MemoryBlob(raw), name, Limits()).report.status


def config(**settings: object) -> bytes:
    return json.dumps({"model_type": "bert", **settings}).encode()


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("config.json", config(_attn_implementation_internal="evil/kernel")),
        ("config.json", config(_attn_implementation="evil/kernel@main:f")),
        ("config.json", config(attn_implementation="evil/kernel")),
        ("config.json", config(text_config={"attn_implementation": "evil/kernel"})),
        ("config.json", config(experts_implementation="evil/kernel")),
        ("config.json", config(use_kernels=True)),
        ("config.json", config(auto_map={"AutoModel": "modeling.Model"})),
        ("config.json", config(auto_map={"AutoModel": "evil/repo--modeling.Model"})),
        ("config.json", config(custom_pipelines={"x": {"impl": "pipeline.P"}})),
        ("config.json", config(fusion_config={"x.y": {}})),
        ("config.json", config(quantization_config={"quant_method": "evil"})),
        ("config.json", config(sentence_transformers={"activation_fn": "torch.get_num_threads"})),
        ("config.json", config(trust_remote_code=True)),
        ("config.json", config(model={"_target_": "my.function"})),
        ("config.json", config(_target_="os.system", _args_=["touch x"])),
        ("config.json", config(a=[{"b": {"_target_": "subprocess.run", "_partial_": True}}])),
        ("generation_config.json", config(custom_generate="evil/repo")),
        ("tokenizer_config.json", config(auto_map={"AutoTokenizer": ["tokenization.T", None]})),
        ("preprocessor_config.json", config(auto_map={"AutoImageProcessor": "p.P"})),
        ("processor_config.json", config(auto_map={"AutoProcessor": "p.P"})),
        ("processor_config.json", config(audio_tokenizer_name_or_path="evil/repo")),
        ("adapter_config.json", config(auto_mapping={"base_model_class": "M", "parent_library": "evil.models"})),
        ("adapter_config.json", config(auto_mapping={"base_model_class": "M", "parent_library": "evil"})),
        ("modules.json", json.dumps([{"idx": 0, "name": "0", "path": "", "type": "evil.Transformer"}]).encode()),
        ("model_index.json", json.dumps({"_class_name": ["pipeline", "Pipe"], "_diffusers_version": "0"}).encode()),
        ("model_index.json", json.dumps({"_class_name": "P", "unet": ["evil.lib", "Unet"]}).encode()),
        ("chat_template.jinja", b"{{ cycler.__init__.__globals__ }}"),
        ("additional_chat_templates/tool.jinja", b"{{ ''|attr('x') }}"),
        ("chat_template.json", json.dumps({"chat_template": "{{ x.__class__ }}"}).encode()),
        ("tokenizer_config.json", config(chat_template=[{"name": "a", "template": "{{ x.__class__ }}"}])),
        ("tokenizer_config.json", config(chat_template={"a": "{{ x.__class__ }}"})),
        ("MLmodel", b"flavors:\n  python_function:\n    loader_module: evil.loader\n"),
        ("MLmodel", b"flavors: {python_function: {code: code, loader_module: mlflow.sklearn}}\n"),
        ("hyperparams.yaml", b"model: !new:evil.Model\n"),
        ("config.yaml", b"a: !!python/name:evil.f\n"),
        ("conda.yaml", b"dependencies:\n  - pip:\n    - git+https://example.org/x\n"),
        ("modeling.py", b"x = 1"),
        ("custom_generate/generate.py", b"def generate(): ..."),
        ("notebook.ipynb", json.dumps({"nbformat": 4, "cells": [{"cell_type": "code", "source": "1"}]}).encode()),
        ("kernel.so", b"\x7fELF" + bytes(64)),
        ("kernel.bin", b"\x7fELF" + bytes(64)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_configuration_that_leads_to_code_is_not_safe(name: str, raw: bytes) -> None:
    """Settings, templates, manifests and sources that lead to code are never called safe, also in an archive."""
    assert status(raw, name) is not Status.SAFE
    assert status(make_zip([Zipped(name, raw)]), "model.zip") is not Status.SAFE
    assert status(gzip.compress(make_tar([(name, raw)])), "model.nemo") is not Status.SAFE


def crossing() -> bytes:
    """A frame that ends within the opcode that follows: C and Python read different opcodes (cpython #154848)."""
    hidden = named("builtins", "len") + b"(" + text("x") + b"tR."
    return b"\x80\x04\x95" + struct.pack("<Q", 2) + b"B" + struct.pack("<I", len(hidden)) + hidden + b"0N."


def duplicated() -> bytes:
    """Two members of one name: which one is loaded depends on the reader."""
    return make_zip([*checkpoint(EMPTY), Zipped("archive/data.pkl", payload())])


def one_name_in_two_cases() -> bytes:
    return make_zip([*checkpoint(EMPTY), Zipped("archive/DATA.PKL", payload())])


def stored(raw: bytes, name: str = "x") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, raw)
    return out.getvalue()


def archived(raw: bytes, mode: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        info = tarfile.TarInfo("model_weights.ckpt")
        info.size = len(raw)
        archive.addfile(info, io.BytesIO(raw))
    return out.getvalue()


def served() -> bytes:
    """TorchServe's `.mar`: a manifest, a handler, and the serialised model."""
    manifest = {"runtime": "python", "model": {"handler": "handler.py", "serializedFile": "model.pt"}}
    return make_zip(
        [
            Zipped("MAR-INF/MANIFEST.json", json.dumps(manifest).encode(), method=8),
            Zipped("handler.py", b"import os", method=8),
            Zipped("model.pt", make_zip(checkpoint(payload())), method=8),
        ]
    )


FILES: dict[str, Callable[[], tuple[bytes, str]]] = {
    "pickle and zip in one file": lambda: (payload() + make_zip(checkpoint(EMPTY)), "pytorch_model.bin"),
    "zip and pickle in one file": lambda: (EMPTY + make_zip(checkpoint(payload())), "pytorch_model.bin"),
    "duplicate members": lambda: (duplicated(), "pytorch_model.bin"),
    "members in two cases": lambda: (one_name_in_two_cases(), "pytorch_model.bin"),
    "an opcode that crosses its frame": lambda: (crossing(), "pytorch_model.bin"),
    "data after safetensors": lambda: (safetensors(HEADER, b"x" + payload()), "model.safetensors"),
    "duplicate keys in safetensors": lambda: (
        safetensors(HEADER[:-1] + "," + HEADER[1:], b"x"),
        "model.safetensors",
    ),
    "flag bits": lambda: (make_zip(checkpoint(payload(), flags=1)), "pytorch_model.bin"),
    "patch flag": lambda: (make_zip(checkpoint(payload(), flags=0x20)), "pytorch_model.bin"),
    "strong encryption flag": lambda: (make_zip(checkpoint(payload(), flags=0x40)), "pytorch_model.bin"),
    "wrong checksum": lambda: (make_zip(checkpoint(payload(), local={"crc": 7}, central={"crc": 7})), "a.pt"),
    "local name": lambda: (make_zip(checkpoint(payload(), local={"name": b"archive/xxxx.pkl"})), "a.pt"),
    "central name": lambda: (make_zip(checkpoint(payload(), central={"name": b"archive/xxxx.pkl"})), "a.pt"),
    "no listed member": lambda: (make_zip([Zipped("a/data.pkl", payload(), listed=False), *checkpoint(EMPTY)]), "a.pt"),
    "data before": lambda: (b"GIF89a" + bytes(99) + make_zip(checkpoint(payload())), "logo.gif"),
    "trailing bytes": lambda: (make_zip(checkpoint(payload())) + bytes(99), "a.pt"),
    "wrong name": lambda: (payload(), "config.json"),
    "second pickle": lambda: (EMPTY + payload(), "x.pkl"),
    "broken after the call": lambda: (payload()[:-1] + b"\xff", "x.pkl"),
    "legacy, first": lambda: (payload() + legacy(EMPTY, [], []), "x.bin"),
    "legacy, data": lambda: (legacy(payload(), [], []), "x.bin"),
    "array of objects": lambda: (npy("|O", payload()), "x.npy"),
    "array of objects in npz": lambda: (stored(npy("|O", payload()), "x.npy"), "x.npz"),
    "zip in zip": lambda: (stored(stored(payload()), "inner.zip"), "x.zip"),
    "protocol 0 member": lambda: (stored(payload(0)), "x.zip"),
    "tar": lambda: (archived(payload(), "w"), "x.tar"),
    "tar.gz": lambda: (archived(make_zip(checkpoint(payload())), "w:gz"), "x.nemo"),
    "tar.xz": lambda: (archived(payload(), "w:xz"), "x.tar.xz"),
    "joblib lz4": lambda: (lz4.frame.compress(payload()), "x.joblib"),
    "joblib zlib": lambda: (zlib.compress(payload()), "x.joblib"),
    "TorchServe": lambda: (served(), "model.mar"),
    "mobile": lambda: (make_zip([Zipped("m/bytecode.pkl", payload()), Zipped("m/data.pkl", EMPTY)]), "model.ptl"),
    "a pickle in base64": lambda: (pickle.dumps({"x": base64.b64encode(payload())}), "x.pkl"),
    "a checkpoint in a pickle": lambda: (pickle.dumps({"x": make_zip(checkpoint(payload()))}), "x.pkl"),
}


@pytest.mark.parametrize("make", FILES.values(), ids=FILES)
def test_a_file_that_runs_code_for_somebody_is_not_safe(make: Callable[[], tuple[bytes, str]]) -> None:
    """However the call is hidden in the container, the file is never safe, also under a name that says nothing."""
    raw, name = make()
    assert status(raw, name) in (Status.DANGEROUS, Status.UNDECIDED)
    assert status(raw, "weights") in (Status.DANGEROUS, Status.UNDECIDED)
    assert status(gzip.compress(raw), "weights.gz") in (Status.DANGEROUS, Status.UNDECIDED)
    assert status(stored(raw, "weights"), "weights.zip") in (Status.DANGEROUS, Status.UNDECIDED)


def test_a_pickle_behind_junk_is_not_safe() -> None:
    """What no ordinary loader gets to is not passed over."""
    assert status(EMPTY + b"\0junk" + payload(), "x.pkl") is not Status.SAFE


def test_ordinary_containers_are_not_dangerous() -> None:
    """The same containers around what libraries write give nothing worse than a note."""
    out = io.BytesIO()
    torch.save({"w": torch.ones(3)}, out)
    array = io.BytesIO()
    numpy.savez(array, a=numpy.ones(3), b=numpy.arange(9))
    yaml = b"model:\n  name: x\n"
    nemo = make_tar([("./model_config.yaml", yaml), ("./model_weights.ckpt", out.getvalue())])
    for raw, name in (
        (out.getvalue(), "a.pt"),
        (array.getvalue(), "a.npz"),
        (nemo, "m.nemo"),
        (gzip.compress(nemo), "m.nemo"),
        (gzip.compress(out.getvalue()), "a.pt.gz"),
        (stored(out.getvalue(), "a.pt"), "a.zip"),
        (pickle.dumps({"x": out.getvalue()}), "a.pkl"),
    ):
        assert status(raw, name) is Status.SAFE, name
