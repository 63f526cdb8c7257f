"""Readers of archives, configurations and other models: whatever happens to a file, reading it ends within limits."""

from __future__ import annotations

import base64
import gzip
import json
import pickle
import zlib

import lz4.frame
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from safeload.core.blob import MemoryBlob
from safeload.core.finding import Status
from safeload.core.limits import Limits
from safeload.engine.inspect import inspect
from tests.corpus.build import Zipped, make_tar, make_zip, npy, payload
from tests.formats.seven import make_7z
from tests.formats.test_model_files import CLOSURE, FRAME, PMML, UBJ, integers, node, notebook, rds

CODE = {"cell_type": "code", "source": "import os", "outputs": [{"data": {"text/html": "<script>x</script>"}}]}
FIXTURES: dict[str, bytes] = {
    "config.yaml": b"%TAG !p! tag:yaml.org,2002:python/\n---\na: !p!name:os.system\nb: {_target_: x.y}\n",
    "MLmodel": b"flavors:\n  python_function:\n    loader_module: x.y\n    code: code\n",
    "requirements.txt": b"torch\n--extra-index-url https://example.org/simple\ngit+https://example.org/x\n",
    "model.skops": make_zip(
        [Zipped("1.npy", npy("<f8", bytes(32))), Zipped("schema.json", json.dumps(node("X", "os.system")).encode())]
    ),
    "model.ubj": UBJ,
    "model.cbm": b"CBM1" + (9).to_bytes(4, "little") + bytes(9),
    "model.pmml": PMML.format('<!DOCTYPE PMML [<!ENTITY x SYSTEM "y">]>', "&x;").encode(),
    "model.rds": rds(integers(19, 2) + FRAME + CLOSURE),
    "packed.rds": gzip.compress(rds(FRAME)),
    "model.7z": make_7z([("a", payload()), ("config.json", b"{}")]),
    "model.mar": make_zip([Zipped("inner.zip", make_zip([Zipped("x.pkl", payload(), method=8)]), method=8)]),
    "model.nemo": gzip.compress(make_tar([("model.ckpt", make_zip([Zipped("a/data.pkl", payload())]))])),
    "model.lz4": lz4.frame.compress(payload()),
    "model.zst": zstandard.ZstdCompressor().compress(make_tar([("x", payload())])),
    "nested.pkl": pickle.dumps([base64.b64encode(zlib.compress(payload())), make_zip([Zipped("x", payload())])]),
    "notebook.ipynb": notebook(CODE),
    "run.sh": b"#!/bin/sh\necho x\n",
}
each = pytest.mark.parametrize("name", FIXTURES)


def read(raw: bytes, name: str, limits: Limits | None = None) -> Status:
    """Every reading ends in a report: a status, and places within the file for whatever was found."""
    report = inspect(MemoryBlob(raw), name, limits or Limits()).report
    assert all(finding.location.file == name for finding in report.findings)
    return report.status


@each
def test_the_whole_file_is_not_safe(name: str) -> None:
    """Each of these files leads to code, and is read as it is."""
    assert read(FIXTURES[name], name) is not Status.SAFE or name == "model.cbm" or name == "model.ubj"


@each
@given(data=st.data())
def test_any_damage_ends_in_a_report(name: str, data: st.DataObject) -> None:
    """Bytes changed anywhere, the file cut anywhere, and bytes put in front or behind."""
    raw = bytearray(FIXTURES[name])
    for _ in range(data.draw(st.integers(0, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)) | st.just(len(raw)))
    read(data.draw(st.binary(max_size=9)) + bytes(raw[:cut]) + data.draw(st.binary(max_size=40)), name)


@each
def test_any_name_ends_in_a_report(name: str) -> None:
    """Whatever the file is called, it is read; what is found by content is found under any name."""
    for other in (*FIXTURES, "pytorch_model.bin", "weights", "README.md"):
        read(FIXTURES[name], other)


@each
@pytest.mark.parametrize(
    "limits",
    [
        Limits(members=1),
        Limits(nodes=3),
        Limits(depth=1),
        Limits(text_bytes=4),
        Limits(json_bytes=1),
        Limits(opcodes=1),
    ],
    ids=["members", "nodes", "depth", "text", "json", "opcodes"],
)
def test_small_limits_end_in_a_report(name: str, limits: Limits) -> None:
    """A limit that is reached leaves the file undecided or worse where it matters, and never breaks the reading."""
    read(FIXTURES[name], name, limits)
