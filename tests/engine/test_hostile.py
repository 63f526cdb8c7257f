"""Files made to exhaust their reader end in one of our errors, with a place, in little time and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from safeload.core.errors import LimitExceeded, SafeloadError, SourceError
from safeload.core.finding import Status
from safeload.engine.admit import admit
from safeload.engine.scan import scan
from tests.engine import hostile
from tests.engine.models import index, model, safe, write

SECONDS = 20
"""Of processor time: many times what these files take on a slow machine."""
MEMORY = 200 << 20

FILES = [
    *(("pytorch_model.bin", name, make) for name, make in hostile.PICKLES.items()),
    *(("model.safetensors", name, make) for name, make in hostile.SAFETENSORS.items()),
    *(("config.json", name, make) for name, make in hostile.CONFIGS.items()),
]


def judged(folder: Path) -> dict[str, Any]:
    """Scan and admit in a process of its own, so that time, memory and the stack are those of the judging alone."""
    root = str(Path(hostile.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, hostile.__file__, str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert not done.returncode, done.stderr[-2000:]
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize(("file", "name", "make"), FILES, ids=[f"{file}: {name}" for file, name, _ in FILES])
def test_a_hostile_file_is_judged_quickly_and_in_little_memory(
    tmp_path: Path, file: str, name: str, make: Callable[[], bytes]
) -> None:
    """Whatever the bytes: the scan has one status for the file, the load one of our errors, within the bounds."""
    write(tmp_path / "config.json", hostile.CONFIG)
    write(tmp_path / file, make())
    result = judged(tmp_path)
    assert result["statuses"].keys() == {"config.json", file}
    assert result["scanned"] < SECONDS and result["admitted"] < SECONDS
    assert result["peak"] < MEMORY
    if name == "an array":  # a config that is no object is no danger, and no config either
        assert result["ended"] == "admitted"
        return
    assert result["ended"] in ("PolicyDenied", "MalformedInput", "LimitExceeded")
    assert file in result["text"] and "next:" in result["text"]


@pytest.mark.parametrize("name", ["empty", "one byte", "zeros", "garbage"])
def test_a_hostile_shard_is_named(tmp_path: Path, name: str) -> None:
    """One shard of several that holds nothing: the refusal is about that one."""
    folder = model(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    write(folder / "model.safetensors.index.json", index(a="a.safetensors", b="b.bin"))
    write(folder / "a.safetensors", safe())
    write(folder / "b.bin", hostile.PICKLES[name]())
    with pytest.raises(SafeloadError, match=r"b\.bin"):
        admit(folder)


def test_an_index_of_a_million_tensors(tmp_path: Path) -> None:
    """A large index is read once; what counts is the files that it names."""
    folder = model(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "one.safetensors")
    write(folder / "model.safetensors.index.json", index(**{f"t{i}": "one.safetensors" for i in range(1_000_000)}))
    with admit(folder) as admission:
        assert (admission.path / "model.safetensors").exists()


def test_an_index_of_a_hundred_thousand_files(tmp_path: Path) -> None:
    """Names of files that do not exist are an error about the index, with a few of them."""
    folder = model(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    write(folder / "model.safetensors.index.json", index(**{f"t{i}": f"{i}.safetensors" for i in range(100_000)}))
    with pytest.raises(SafeloadError, match=r"index\.json") as refused:
        admit(folder)
    assert len(str(refused.value)) < 2000


# ── what is no file ─────────────────────────────────────────────────────────────────────────────────────────────


def pipe(path: Path) -> None:
    os.mkfifo(path)


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def long_loop(path: Path) -> None:
    other = path.with_name("other")
    other.symlink_to(path.name)
    path.symlink_to("other")


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def outside(path: Path) -> None:
    path.symlink_to("../../../../../../../../etc/hostname")


def nowhere(path: Path) -> None:
    path.symlink_to("nowhere")


def socket(path: Path) -> None:
    import socket

    here = os.getcwd()
    os.chdir(path.parent)  # a socket's whole path must be short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


KINDS: list[Callable[[Path], object]] = [Path.mkdir, pipe, loop, long_loop, device, outside, nowhere, socket]


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "config.json"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_is_no_regular_file_is_not_opened(tmp_path: Path, kind: Callable[[Path], object], name: str) -> None:
    """A directory, pipe, device, socket, or a link to nowhere, around or out: told, never waited for."""
    folder = tmp_path / "m"
    folder.mkdir()
    if name != "config.json":
        write(folder / "config.json", hostile.CONFIG)
    kind(folder / name)
    report = scan(folder)
    assert report.file(name).status is Status.UNDECIDED
    with pytest.raises(SourceError) as refused:
        admit(folder)
    assert name in str(refused.value.where) and refused.value.remedy


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_is_no_regular_file_and_not_needed_is_left_out(tmp_path: Path, kind: Callable[[Path], object]) -> None:
    """The same under a name that the load does not use: reported as undecided, and the load goes on."""
    folder = model(tmp_path / "m")
    kind(folder / "optimizer.pt")
    with admit(folder) as admission:
        assert admission.report.file("optimizer.pt").status is Status.UNDECIDED
        assert any(item.path == "optimizer.pt" for item in admission.left_out)


def test_directories_that_lead_in_circles(tmp_path: Path) -> None:
    """A link to a folder above ends where it began."""
    folder = model(tmp_path / "m")
    (folder / "again").symlink_to(".")
    (folder / "sub").mkdir()
    (folder / "sub" / "up").symlink_to("..")
    assert {file.path for file in scan(folder).files} >= {"config.json", "model.safetensors", "vocab.txt"}
    admit(folder).close()


def test_directories_nested_too_deep(tmp_path: Path) -> None:
    """A thousand folders within each other are our error, with the place."""
    deep = tmp_path / "m"
    deep.mkdir()
    here = os.open(deep, os.O_RDONLY)
    try:
        for _ in range(300):
            os.mkdir("d", dir_fd=here)
            inner = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = inner
    finally:
        os.close(here)
    with pytest.raises(SafeloadError, match="nested"):
        scan(deep)
    with pytest.raises(SafeloadError, match="nested"):
        admit(deep)


@pytest.mark.parametrize(
    "name",
    [b"\xff\xfe.json", b"a\nb.json", b"\x1b[2J.json", "\u202egnp.json".encode(), b" .json", b"con.json", b"a\\b.json",
     b"-rf.json", b"$(touch x).json", b"<script>.json"],
)  # fmt: skip
def test_a_file_of_a_strange_name_is_only_a_file(tmp_path: Path, name: bytes) -> None:
    """Names that are no text, steer a terminal or a shell, or mean something elsewhere: reported once, escaped."""
    folder = model(tmp_path / "m")
    with open(os.fsencode(folder) + b"/" + name, "wb") as stream:
        stream.write(b'{"auto_map": {"AutoModel": "a.B"}}')
    report = scan(folder)
    assert len(report.files) == 4
    try:
        with admit(folder) as admission:
            told = [str(finding.location) for finding in report.findings] + [item.reason for item in admission.left_out]
    except SafeloadError as error:
        told = [str(error)]
    for text in told:
        text.encode()
        assert not {"\x1b", "\n\n", "\u202e"} & set(text)


def test_a_limit_on_files_stops_the_listing(tmp_path: Path) -> None:
    """More files than `Limits.members` are not even listed."""
    from safeload.core.limits import Limits
    from safeload.engine.options import Options

    for number in range(30):
        write(tmp_path / f"{number}.txt", "")
    for job in (scan, admit):
        with pytest.raises(LimitExceeded, match="members"):
            job(tmp_path, options=Options(limits=Limits(members=20)))
