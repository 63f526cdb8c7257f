"""What real libraries write is not dangerous: quiet is as important as complete."""

from __future__ import annotations

import argparse
import collections
import datetime
import io
import json
import logging
import pathlib
import pickle
import random
import zoneinfo
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
import torch
from torch import nn

from safeload.core.blob import MemoryBlob
from safeload.core.finding import FileReport, Status
from safeload.core.limits import Limits
from safeload.engine.inspect import inspect
from tests.rules.streams import findings, status, stream, text

SETS = json.loads((Path(__file__).parents[1] / "data" / "real-imports.json").read_text("utf-8"))["sets"]


def report(data: bytes, name: str = "pytorch_model.bin") -> FileReport:
    return inspect(MemoryBlob(data), name, Limits()).report


def saved(value: object, protocol: int, *, zipped: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def _module() -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.SiLU(), nn.MultiheadAttention(4, 2)]
    return nn.Sequential(*layers, nn.LSTM(3, 3), nn.TransformerEncoderLayer(4, 2), nn.Embedding(3, 3))


def _optimiser() -> torch.optim.Optimizer:
    return torch.optim.AdamW(nn.Linear(2, 2).parameters())


def _arguments() -> Any:
    from transformers import TrainingArguments

    return TrainingArguments(output_dir="out", report_to=[])


def _extras() -> object:
    return {
        "namespace": argparse.Namespace(lr=0.1),
        "path": pathlib.Path("runs"),
        "scalar": numpy.float32(1),
        "array": numpy.arange(3),
        "objects": numpy.array(["a", None], dtype=object),
        "dtype": numpy.dtype("f4"),
        "defaultdict": collections.defaultdict(list),
        "counter": collections.Counter("aab"),
        "deque": collections.deque([1]),
        "moment": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
        "decimal": Decimal("1.5"),
        "version": torch.__version__,
        "size": torch.Size([1]),
        "device": torch.device("cpu"),
        "slice": slice(1, 2),
        "kinds": (type(None), Ellipsis, int, 1j, b"x", bytearray(b"y"), frozenset([1])),
        "logger": logging.getLogger("x"),
    }


def _random_states() -> object:
    return {"python": random.getstate(), "numpy": numpy.random.get_state(), "cpu": torch.random.get_rng_state()}


MAKERS: dict[str, Callable[[], object]] = {
    "state-dict": lambda: _module().state_dict(),
    "module": _module,
    "optimiser-state": lambda: _optimiser().state_dict(),
    "optimiser": _optimiser,
    "schedule": lambda: torch.optim.lr_scheduler.CosineAnnealingLR(_optimiser(), 10).state_dict(),
    "random-states": _random_states,
    "training-arguments": _arguments,
    "extras": _extras,
    "parameter": lambda: nn.Parameter(torch.ones(2)),
    "sparse": lambda: torch.eye(3).to_sparse(),
    "quantised": lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 1, torch.qint8),
    "dtypes": lambda: [
        torch.zeros(2, dtype=t) for t in (torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.bool)
    ],
}


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("what", MAKERS)
def test_what_torch_saves_is_safe(what: str, protocol: int, zipped: bool) -> None:
    """Every ordinary checkpoint, in each container and protocol, has no finding at all that makes it worse."""
    made = report(saved(MAKERS[what](), protocol, zipped=zipped))
    assert made.status is Status.SAFE, [finding.message for finding in made.findings]


@pytest.mark.parametrize("protocol", range(6))
def test_what_pickle_writes_of_tensors_and_arrays_is_safe(protocol: int) -> None:
    """Bare pickles of tensors hold a torch file as bytes, which was read as well."""
    for value in (torch.ones(2), _module().state_dict(), numpy.arange(4), numpy.random.RandomState(1)):
        made = report(pickle.dumps(value, protocol), "data.pkl")
        assert made.status is Status.SAFE, [finding.message for finding in made.findings]


def test_a_nested_torch_file_is_judged() -> None:
    """Bytes that torch would load are dangerous if a pickle in them is, wherever in them it stands."""
    inner = saved({"a": torch.ones(1)}, 2, zipped=False)
    for evil in (inner.replace(b"ccollections\nOrderedDict\n", b"cos\nsystem\n", 1), b"\x80\x02N.", b"PK\x03\x04"):
        outer = b"\x80\x04ctorch.storage\n_load_from_bytes\nB" + len(evil).to_bytes(4, "little") + evil + b"\x85R."
        assert max(finding.status for finding in findings(stream(outer))) is Status.DANGEROUS


def _named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def _made(module: str, name: str) -> bytes:
    """As picklers write the kinds of globals: constants named, enumerations by value, helpers called, classes made."""
    spelled = f"c{module}\n{name}\n".encode()
    if name.endswith("Storage") or (module == "torch" and name.islower() and name != "device") or name == "Any":
        return spelled
    if name.endswith(("Strategy", "Type", "Names", "Option", "Problem", "Resolution")) and module != "torch":
        return spelled + b"X\x01\x00\x00\x00a\x85R"
    if name == "_reconstruct":
        return spelled + b"cnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    if name == "_rebuild_from_type_v2":
        return spelled + b"(ctorch._utils\n_rebuild_tensor_v2\nctorch\nTensor\n)NtR"
    if name.startswith("_") or name in ("encode", "scalar", "device", "dtype", "Size", "OrderedDict", "defaultdict"):
        return spelled + (b"X\x01\x00\x00\x00aX\x06\x00\x00\x00latin1\x86R" if name == "encode" else b")R")
    return spelled + b")\x81}b"


@pytest.mark.parametrize("write", [_named, _made], ids=["named", "made"])
def test_the_replay_of_real_files_is_quiet(write: Callable[[str, str], bytes]) -> None:
    """Of 3,119 real files' imports none is dangerous, and at most 3 % are unverified, named or made as objects."""
    worse = total = 0
    for entry in SETS:
        body = b"".join(write(*name.rpartition(".")[::2]) for name in entry["globals"])
        found = findings(stream(b"\x80\x02](" + body + b"e."))
        status = max((finding.status for finding in found), default=Status.SAFE)
        assert status is not Status.DANGEROUS, [finding.message for finding in found]
        total += entry["files"]
        worse += entry["files"] * (status is not Status.SAFE)
    assert total == 3119
    assert worse / total <= 0.01


def test_arrays_of_objects_that_the_first_numpys_wrote_are_read() -> None:
    """numpy's own test data has one: its `_internal._reconstruct` makes an array and nothing else."""
    raw = (
        b"cnumpy.core._internal\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
        b"(I1\n(I2\ntcnumpy\ndtype\n(S'O8'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI63\ntbI00\n(lp1\nNaI1\natb."
    )
    assert report(raw, "array.pkl").status <= Status.UNVERIFIED
    worse = raw.replace(b"cnumpy\nndarray\n", b"cos\nsystem\n", 1)
    assert report(worse, "array.pkl").status is Status.DANGEROUS


@pytest.mark.parametrize("protocol", range(6))
def test_moments_with_a_time_zone_are_safe(protocol: int) -> None:
    """A time zone is pickled as the call of a method that was looked up; pandas 3 writes it for every such column."""
    zone = zoneinfo.ZoneInfo("Europe/Berlin")
    assert status(pickle.dumps(datetime.datetime(2026, 1, 1, tzinfo=zone), protocol)) is Status.SAFE
    series = pandas.Series(pandas.to_datetime(["2026-01-01"])).dt.tz_localize(zone)
    frame = pandas.DataFrame({"a": series, "b": pandas.array([1, None], dtype="Int64")[:1]})
    assert status(pickle.dumps(frame, protocol)) <= Status.UNVERIFIED


@pytest.mark.parametrize(
    ("method", "key", "last"),
    [
        *(("_unpickle", "../../x", True), ("_unpickle", "/etc/x", True), ("_unpickle", "a.b", True)),
        *(("_unpickle", "UTC", 7), ("from_file", "UTC", True), ("__class__", "UTC", True)),
    ],
)
def test_other_methods_and_keys_of_time_zones_are_not(method: str, key: str, last: object) -> None:
    """Only that form is known, with the key of a zone."""
    flag = {True: b"\x88", 7: b"K\x07"}[last]
    looked_up = b"cbuiltins\ngetattr\nczoneinfo\nZoneInfo\n" + text(method) + b"\x86R"
    assert status(b"\x80\x04" + looked_up + text(key) + flag + b"\x86R.") is Status.DANGEROUS
