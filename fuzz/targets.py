"""What is fuzzed: one target for each family of formats, with the files that its fuzzing begins from.

A target reads and judges bytes as a file of that family's name, explains it, and checks what must hold of any file. It
raises whatever is a defect; our own errors are none where a function promises them.
"""

from __future__ import annotations

import gzip
import io
import json
import pickle
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.hostile import all_cases
from fuzz.records import RECORDS, Record
from safeload.core.blob import MemoryBlob
from safeload.core.finding import Status
from safeload.core.limits import Limits
from safeload.engine.explain import explained_file
from safeload.engine.inspect import inspect
from tests.corpus.build import FIXTURES, checkpoint, legacy, make_tar, make_zip, npy, payload
from tests.generator.make import made

LIMITS = Limits(opcodes=1_000_000, nodes=500_000, memo=500_000, members=10_000, expansion=200, text_bytes=1 << 22)
SECONDS_PER_MEGABYTE = 1.0


class Slow(AssertionError):
    """Reading took longer than a second for a megabyte."""


@dataclass(frozen=True)
class Target:
    """One family: the name its files have, and which of them fuzzing begins with."""

    name: str
    file: str
    seeds: Callable[[], Iterator[bytes]]

    def __call__(self, data: bytes) -> None:
        began = time.process_time()
        inspected = inspect(MemoryBlob(data), self.file, LIMITS)
        took = time.process_time() - began
        if took > SECONDS_PER_MEGABYTE * max(1.0, len(data) / 1e6):
            raise Slow(f"{took:.1f} s for {len(data):,} bytes")
        explained = explained_file(inspected)
        worst = max((one.status for one in explained.streams), default=Status.SAFE)
        assert worst <= inspected.report.status, "an explanation is worse than the verdict"
        for finding in inspected.report.findings:
            assert finding.message.isprintable(), "a message is not printable"


def _generated(*containers: str) -> Iterator[bytes]:
    """Generated files in these containers, among the first three hundred."""
    for number in range(300):
        file = made(number)
        if any(f" in {container} as " in file.recipe for container in containers) and len(file.data) < 1 << 14:
            yield file.data


def _fixtures(*suffixes: str) -> Iterator[bytes]:
    for name, make in FIXTURES.items():
        if name.endswith(suffixes) and "bomb" not in name and "many" not in name and "deep" not in name:
            yield make()


def _pickles() -> Iterator[bytes]:
    yield from _generated("bare", "nested", "encoded")
    for protocol in range(6):
        yield pickle.dumps({"a": [1, 2.5, "x", b"y", (None, True)], "b": {1, 2}}, protocol)
        yield payload(protocol)


def _packed() -> Iterator[bytes]:
    yield from _generated("packed", "packed-twice")
    yield gzip.compress(pickle.dumps([1]), mtime=0)
    yield zlib.compress(payload())


def _documents() -> Iterator[bytes]:
    for value in (
        {"auto_map": {"AutoModel": "a.b"}},
        {"chat_template": "{% for x in y %}{{ x }}{% endfor %}"},
        [1, "x"],
    ):
        yield json.dumps(value).encode()


def _templates() -> Iterator[bytes]:
    yield b"{% for message in messages %}{{ message['role'] + ': ' + message.content | trim }}{% endfor %}"
    yield b"{{ ''.__class__.__mro__ }}{% set x = namespace(a=1) %}{# c #}{%- if x.a is defined -%}y{%- endif -%}"


def _safetensors() -> Iterator[bytes]:
    yield from _fixtures(".safetensors")
    yield from _generated("behind-safetensors")


def _joblib() -> Iterator[bytes]:
    import joblib
    import numpy

    for value in (numpy.arange(3), {"a": numpy.array(["x"], dtype=object), "b": numpy.ones(2)}):
        out = io.BytesIO()
        joblib.dump(value, out)
        yield out.getvalue()


def _source() -> Iterator[bytes]:
    yield b"import os\n\nclass A:\n    def f(self):\n        return os.system('x')\n"


def _legacy() -> Iterator[bytes]:
    yield legacy(payload(), ["0"], [(1, bytes(4))])
    yield from _generated("legacy", "legacy-head")


def _tar() -> Iterator[bytes]:
    yield make_tar([("pickle", payload())])
    yield from _generated("tar", "torch-tar")


def _arrays() -> Iterator[bytes]:
    yield npy("<f4", bytes(16))
    yield npy("|O", payload())
    yield from _generated("npy", "npz")


def _distributed() -> Iterator[bytes]:
    yield make_zip(checkpoint(payload())) * 2
    yield from _generated("distcp")


def _hostile(prefix: str, file: str) -> Iterator[bytes]:
    """Small ones of the files that are made to be slow, as far as they have this name."""
    for case in all_cases(prefix):
        if case.file == file:
            yield case.make(1_000)


def _hostile_target(name: str, file: str, prefix: str) -> Target:
    return Target(name, file, lambda: _hostile(prefix, file))


TARGETS: dict[str, Target | Record] = RECORDS | {
    target.name: target
    for target in (
        Target("pickle", "model.pkl", _pickles),
        Target("torch-zip", "model.bin", lambda: _generated("torch-zip", "zip-lying", "zip-twice", "zip-in-zip")),
        Target("torch-legacy", "model.pt", _legacy),
        Target("tar", "model.tar", _tar),
        Target("packed", "model.joblib", _packed),
        Target("joblib", "model.joblib", _joblib),
        Target("arrays", "array.npy", _arrays),
        Target("distributed", "part.distcp", _distributed),
        Target("safetensors", "model.safetensors", _safetensors),
        Target("gguf", "model.gguf", lambda: _fixtures(".gguf")),
        Target("flax", "model.msgpack", lambda: _fixtures(".msgpack")),
        Target("documents", "config.json", _documents),
        Target("templates", "chat_template.jinja", _templates),
        Target("source", "modeling.py", _source),
        _hostile_target("onnx", "m.onnx", "ONNX"),
        _hostile_target("tensorflow", "saved_model.pb", "SavedModel"),
        _hostile_target("tflite", "m.tflite", "m.tflite"),
        _hostile_target("hdf5", "m.h5", "HDF5"),
        _hostile_target("r", "m.rds", "R "),
        _hostile_target("yaml", "c.yaml", "YAML"),
        _hostile_target("xml", "m.pmml", "XML"),
        _hostile_target("notebook", "a.ipynb", "notebook"),
    )
}
