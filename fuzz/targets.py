"""What is fuzzed: one target for each format of the registry, with the files that its fuzzing begins from.

A target reads and judges bytes as a file of that format's name, explains it, and checks what must hold of any file;
then it hands them to the format's own reader, also where they no longer look like it. It raises whatever is a defect;
our own errors are none where a function promises them.

Nothing has to be written here for a new format: its target begins from whichever files of the corpus, of the generator
and of `benchmarks/hostile` the format claims.
"""

from __future__ import annotations

import functools
import gzip
import io
import itertools
import json
import pickle
import struct
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.hostile import all_cases
from benchmarks.hostile.archives import zipped
from fuzz.records import RECORDS, Record
from safeload.core.blob import MemoryBlob
from safeload.core.errors import MalformedInput
from safeload.core.finding import Status
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.engine.explain import explained_file
from safeload.engine.inspect import inspect
from safeload.formats import formats, identify
from safeload.formats.base import Format, Part
from safeload.formats.inside import account
from tests.corpus.build import FIXTURES, checkpoint, legacy, make_tar, make_zip, npy, payload
from tests.formats.proto import put
from tests.generator.make import made

LIMITS = Limits(opcodes=1_000_000, nodes=500_000, memo=500_000, members=10_000, expansion=200, text_bytes=1 << 22)
SECONDS_PER_MEGABYTE = 1.0


class Slow(AssertionError):
    """Reading took longer than a second for a megabyte."""


_SEEDS = 40
"""Files of one format that fuzzing begins from, each of another kind."""


@dataclass
class Target:
    """One format."""

    format: Format

    @property
    def name(self) -> str:
        return self.format.name

    @functools.cached_property
    def file(self) -> str:
        """What its files are called: like the first that it claims."""
        return next(name for name, _, names in _known() if self.name in names)

    def seeds(self) -> Iterator[bytes]:
        """Small files that the format claims, in the order of where they come from."""
        yield from itertools.islice((data for data, names in _claimed() if self.name in names), _SEEDS)

    def __call__(self, data: bytes) -> None:
        self.judged(data)
        self.read(data)

    def judged(self, data: bytes) -> None:
        """The file as a whole: what it is, what is in it, what a user is told."""
        memo: dict[int, object] = {}
        with Timed(data):
            inspected = inspect(MemoryBlob(data), self.file, LIMITS, memo=memo)
        explained = explained_file(inspected, memo=memo)
        worst = max((one.status for one in explained.streams), default=Status.SAFE)
        assert worst <= inspected.report.status, "an explanation is worse than the verdict"
        for finding in inspected.report.findings:
            assert finding.message.isprintable(), "a message is not printable"

    def read(self, data: bytes) -> None:
        """The format's own reader, whatever the bytes look like: parts, or an error of ours with a place."""
        blob = MemoryBlob(data)
        with Timed(data):
            try:
                for part in self.format.read(blob, Location(self.file), account(LIMITS, blob)):
                    assert isinstance(part, Part)
            except MalformedInput as error:
                assert str(error.where), "an error without a place"


class Timed:
    """Raises `Slow` if what is done within takes too long for so many bytes."""

    def __init__(self, data: bytes) -> None:
        self.size = len(data)

    def __enter__(self) -> None:
        self.began = time.process_time()

    def __exit__(self, *ignored: object) -> None:
        took = time.process_time() - self.began
        if took > SECONDS_PER_MEGABYTE * max(1.0, self.size / 1e6):
            raise Slow(f"{took:.1f} s for {self.size:,} bytes")


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


_FAMILIES: tuple[tuple[str, Callable[[], Iterator[bytes]]], ...] = (
    ("model.pkl", _pickles),
    ("model.pt", _legacy),
    ("model.bin", lambda: _generated("torch-zip", "zip-lying", "zip-twice", "zip-in-zip")),
    ("model.tar", _tar),
    ("model.joblib", _packed),
    ("model.joblib", _joblib),
    ("array.npy", _arrays),
    ("part.distcp", _distributed),
    ("model.safetensors", _safetensors),
    ("config.json", _documents),
    ("chat_template.jinja", _templates),
    ("modeling.py", _source),
)
"""Files that are worth more than chance, each with the name of its family."""


_CALL = b"\x80\x02cmy.lib\nThing\n)R."
_ARCHIVES: dict[str, dict[str, bytes]] = {
    "m.keras": {
        "metadata.json": b'{"keras_version": "3.0.0"}',
        "config.json": b'{"class_name": "Sequential", "config": {"layers": [{"class_name": "Lambda"}]}}',
        "model.weights.h5": b"\x89HDF\r\n\x1a\n" + bytes(88),
    },
    "m.skops": {
        "schema.json": b'{"__class__": "A", "__module__": "my.lib", "__loader__": "ObjectNode", "content": {}}'
    },
    "m.pt": {
        "m/data.pkl": _CALL,
        "m/constants.pkl": b"\x80\x02).",
        "m/code/__torch__/a.py": b"class A(Module):\n  def forward(self: A, x: Tensor):\n    return aten::save(x)\n",
        "m/version": b"3\n",
    },
    "p.pt": {
        "p/.data/version": b"6",
        "p/.data/extern_modules": b"sys\n",
        "p/model/model.pkl": _CALL,
        "p/a/__init__.py": b"import os\n",
    },
    "m.pt2": {
        "m/archive_format": b"pt2",
        "m/version": b"1",
        "m/archive_version": b"0",
        "m/models/model.json": b'{"graph_module": {"graph": {"nodes": [{"target": "torch.ops.aten.add.Tensor"}]}}}',
        "m/data/weights/model_weights_config.json": b'{"config": {}}',
        "m/serialized_exported_program.json": b"{}",
    },
}
"""Archives of a library, by what makes them its own."""


def _written() -> Iterator[tuple[str, bytes]]:
    """Small files of formats that have no other here."""
    layer = json.dumps({"class_name": "Lambda", "config": {"function": {"class_name": "__lambda__"}}})
    yield "keras_metadata.pb", put(1, put(2, 1) + put(3, "root.layer") + put(4, "_tf_keras_layer") + put(5, layer))
    yield "model.pdiparams", bytes(16) + struct.pack("<i", 4) + b"\x08\x05\x10\x01" + bytes(4)
    yield "model.pdmodel", put(1, put(1, 0) + put(2, 0) + put(3, put(1, "x")) + put(4, put(3, "relu")))
    yield (
        "weight.bin",
        (struct.pack("<II", 1, 2) + bytes(56) + struct.pack("<IIQQ", 0xDEADBEEF, 1, 64, 128) + bytes(40 + 64)),
    )
    yield "model.txt", b"tree\nversion=v4\nnum_class=1\n\nTree=0\nnum_leaves=2\n"
    yield "variables.data-00000-of-00001", b"\xfe\xff" * 64
    for name, members in _ARCHIVES.items():
        yield name, zipped(list(members.items()))


def _begun(format: Format) -> Iterator[tuple[str, bytes]]:
    """What begins as a format must, and has nothing behind it: for those that are recognised and hardly read."""
    name = f"model{next(iter(format.suffixes), '.bin')}"
    claims = format.claims
    for begin in claims.begins if claims is not None else ():
        yield name, begin + bytes(100)
    for offset, data in claims.at if claims is not None else ():
        yield name, bytes(offset) + data + bytes(100)
    for data in claims.holds if claims is not None else ():
        yield name, bytes(100) + data


def _files() -> Iterator[tuple[str, bytes]]:
    """Files of every format, with their names."""
    for name, family in _FAMILIES:
        for data in family():
            yield name, data
    for name, make in FIXTURES.items():
        if not any(word in name for word in ("bomb", "many", "deep")):
            yield name, make()
    yield from _written()
    for case in all_cases():
        yield case.file, case.make(1_000)
    for format in formats():
        yield from _begun(format)


@functools.cache
def _known() -> tuple[tuple[str, bytes, frozenset[str]], ...]:
    """All of them that are small, and which formats claim them."""
    found = {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Duplicate name")  # of zipfile: that is what some are about
        for name, data in _files():
            if len(data) <= 1 << 14:
                found[name, data] = frozenset(format.name for format in identify(MemoryBlob(data), name))
    return tuple((name, data, names) for (name, data), names in found.items())


def _claimed() -> Iterator[tuple[bytes, frozenset[str]]]:
    for _, data, names in _known():
        yield data, names


TARGETS: dict[str, Target | Record] = RECORDS | {format.name: Target(format) for format in formats()}
