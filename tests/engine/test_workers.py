"""Scans in several processes: the same reports in the same order, and no file is lost whatever happens to a worker."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from safeload.core.errors import SourceError, UsageError
from safeload.core.finding import FileReport, Finding, Report, Status
from safeload.engine.options import Options
from safeload.engine.scan import scan
from safeload.engine.scanning import carry, forked, workers

POISONED = b"cos\nsystem\n(S'true'\ntR."
SABOTAGE = """
import os, sys, time
from safeload.engine.scanning import worker
honest, serve = worker.look, worker.serve
def sabotaged(channel, answers):
    def look(file, path, limits, **rest):
        if "killer" in path:
            os.kill(os.getpid(), 9)
        if "quitter" in path:
            os._exit(7)
        if "sleeper" in path:
            time.sleep(60)
        if "liar" in path:
            os.write(answers, b'{"status": "safe"}\\n')
        if "other" in path:
            return honest(file, "another.pkl", limits, **rest)
        if "nosy" in path:
            assert not os.read(0, 1) and os.getsid(0) == os.getpid()
            for number in os.listdir("/proc/self/fd"):
                try:
                    assert "secret" not in os.readlink(f"/proc/self/fd/{number}")
                except FileNotFoundError:  # the listing itself
                    pass
        return honest(file, path, limits, **rest)
    worker.look = look
    serve(channel, answers)
"""
"""What a worker does with files of these names."""
FRESH = "import sys; sys.path[:] = sys.argv[3:]" + SABOTAGE + "sabotaged(int(sys.argv[1]), int(sys.argv[2]))"
COPIES = (
    SABOTAGE
    + """
import json
from safeload.core.finding import Status
from safeload.engine.scanning import forked
from safeload.engine.scanning import workers
from safeload.engine.scanning.carry import packed
from safeload.engine.scan import scan
forked.serve = sabotaged
workers.PATIENCE = 3.0
workers._fresh = None
assert forked.is_single()
os.dup2(os.open(sys.argv[1] + "-secret", os.O_RDWR | os.O_CREAT), 100)
def done(count, total):
    if count == int(sys.argv[2]):
        raise KeyboardInterrupt
try:
    print(json.dumps([packed(file) for file in scan(sys.argv[1], workers=2, progress=done).files]))
except KeyboardInterrupt:
    print("interrupted")
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    pass
else:
    raise SystemExit("a worker is left")
"""
)
"""A scan whose workers are copies of a process with one thread, which the tests' own may not be."""
linux = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="only Linux tells how many threads there are")


def in_copies(folder: Path, stop: int = -1) -> str:
    """What a scan of a folder by copies printed; `stop`: after how many files somebody interrupts it."""
    command = [sys.executable, "-c", COPIES, str(folder), str(stop)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that are interpreters of their own, as where this process has threads."""
    monkeypatch.setattr(workers, "is_single", lambda: False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(60):
        data = POISONED if number % 7 == 0 else pickle.dumps({"number": number})
        (tmp_path / f"model-{number:02d}.pkl").write_bytes(data)
    (tmp_path / "empty.bin").write_bytes(b"")
    (tmp_path / "out").symlink_to("/etc/hostname")
    return tmp_path


def test_reports_are_the_same_whoever_makes_them(folder: Path) -> None:
    """One worker, two and five give equal reports in the same order, also on what cannot be opened."""
    alone = scan(folder)
    assert alone.coverage[Status.DANGEROUS] == 9 and alone.file("out").status is Status.UNDECIDED
    for number in (2, 5):
        assert scan(folder, workers=number) == alone


def test_limits_and_digests_reach_the_workers(folder: Path) -> None:
    """Options are those of the scan: a limit that a file exceeds, and digests of what is dangerous."""
    from safeload.core.limits import Limits

    options = Options(limits=Limits(opcodes=5))
    both = [scan(folder, options=options, digests=Status.DANGEROUS, workers=number) for number in (1, 2)]
    assert both[0] == both[1]
    assert both[0].coverage[Status.UNDECIDED] > 10
    assert all(file.sha256 for file in both[0].files if file.status is Status.DANGEROUS)


FAILURES = pytest.mark.parametrize(
    ("name", "why"),
    [
        ("killer.pkl", "was ended by SIGKILL"),
        ("quitter.pkl", "ended with code 7"),
        ("sleeper.pkl", "gave no answer for"),
        ("liar.pkl", "something else than a report"),
        ("other.pkl", "about another file"),
    ],
)


@FAILURES
@pytest.mark.usefixtures("fresh")
def test_a_worker_that_fails_costs_one_file(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, why: str) -> None:
    """The file that a worker ended, hung or lied over is undecided, with the reason; all others are as they were."""
    alone = scan(folder)
    (folder / name).write_bytes(pickle.dumps(1))
    (folder / f"a-{name}").write_bytes(pickle.dumps(1))
    monkeypatch.setattr(workers, "_PROGRAM", FRESH)
    monkeypatch.setattr(workers, "PATIENCE", 3.0)
    report = scan(folder, workers=2)
    for lost in (name, f"a-{name}"):
        assert report.file(lost).status is Status.UNDECIDED
        assert why in report.file(lost).findings[0].message
    others = tuple(file for file in report.files if name not in file.path)
    assert others == alone.files


@linux
@FAILURES
def test_a_copy_that_fails_costs_one_file(folder: Path, name: str, why: str) -> None:
    """The same where workers are copies of the process."""
    alone = scan(folder)
    (folder / name).write_bytes(pickle.dumps(1))
    (folder / f"a-{name}").write_bytes(pickle.dumps(1))
    files = [carry.unpacked(row) for row in json.loads(in_copies(folder))]
    lost = [file for file in files if name in file.path]
    assert len(lost) == 2 and all(file.status is Status.UNDECIDED for file in lost)
    assert all(why in file.findings[0].message for file in lost)
    assert tuple(file for file in files if name not in file.path) == alone.files


@linux
def test_a_copy_keeps_nothing_open(folder: Path) -> None:
    """A copy has a session of its own, reads nothing from standard input, and no descriptor of the process it was."""
    (folder / "nosy.pkl").write_bytes(pickle.dumps(1))
    files = [carry.unpacked(row) for row in json.loads(in_copies(folder))]
    assert next(file for file in files if file.path == "nosy.pkl").status is Status.SAFE


@linux
def test_an_interrupt_ends_the_copies(folder: Path) -> None:
    """What a callback raises comes out of the scan, and no copy is left, running or ended."""
    assert in_copies(folder, stop=5) == "interrupted\n"


def test_a_copy_that_cannot_be_made_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system makes no more processes, the scan says so instead of scanning otherwise."""

    def full() -> int:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(workers, "is_single", lambda: True)
    monkeypatch.setattr("os.fork", full)
    with pytest.raises(SourceError, match="a worker could not be started"):
        scan(folder, workers=2)


@linux
def test_a_process_with_threads_is_not_copied() -> None:
    """A thread of Python, or one that Python knows nothing of, may hold a lock."""
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    try:
        assert not forked.is_single()
    finally:
        over.set()
        thread.join()


def test_progress_counts_every_file_once(folder: Path) -> None:
    """`progress` hears of one file after the other, up to all of them."""
    heard: list[tuple[int, int]] = []
    scan(folder, workers=3, progress=lambda done, total: heard.append((done, total)))
    assert heard == [(number, 62) for number in range(1, 63)]


def test_an_error_of_ours_ends_the_scan_and_the_workers(folder: Path) -> None:
    """What a callback raises comes out of the scan, and nothing keeps running."""

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan(folder, workers=2, progress=stop)


@pytest.mark.parametrize("number", [0, -1])
def test_a_scan_without_workers_is_refused(folder: Path, number: int) -> None:
    """Fewer than one worker cannot be honoured."""
    with pytest.raises(UsageError, match="was not used"):
        scan(folder, workers=number)


@pytest.mark.usefixtures("fresh")
def test_without_an_interpreter_more_workers_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody knows the interpreter, asking for more than one worker is an error, not one worker."""
    monkeypatch.setattr("sys.executable", "")
    with pytest.raises(UsageError, match="workers were not started"):
        scan(folder, workers=2)


@pytest.mark.usefixtures("fresh")
def test_a_worker_does_not_look_in_the_current_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module in the folder that is scanned from is not imported by a worker."""
    (folder / "json.py").write_text("raise SystemExit(3)")
    (folder / "safeload").mkdir()
    (folder / "safeload" / "__init__.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(folder)
    assert scan(".", workers=2).coverage[Status.DANGEROUS] == 9


def test_long_names_are_sent_too(tmp_path: Path) -> None:
    """Names at the limit of the file system, of characters that JSON spells at length, come through."""
    deep = tmp_path.joinpath(*["ü" * 120] * 5)
    deep.mkdir(parents=True)
    for number in range(40):
        (deep / f"{'é' * 100}{number}.bin").write_bytes(b"")
    assert scan(tmp_path, workers=2) == scan(tmp_path)


def test_no_worker_is_given_more_than_its_socket_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before each message, what is on the way leaves room for it: waiting for room would be waiting for ever."""
    deep = tmp_path.joinpath(*["ü" * 120] * 5)
    deep.mkdir(parents=True)
    for number in range(40):
        (deep / f"{'é' * 100}{number}.bin").write_bytes(b"")
    seen: list[int] = []
    send = workers._Worker.send

    def watched(worker: workers._Worker, data: bytes, descriptors: list[int]) -> None:
        seen.append(sum(size for _, size in worker.sent) + len(data))
        send(worker, data, descriptors)

    monkeypatch.setattr(workers._Worker, "send", watched)
    scan(tmp_path, workers=2)
    assert len(seen) > 4 and max(seen) < workers.ROOM + workers.MESSAGE


def test_a_name_that_is_no_text_is_sent_too(tmp_path: Path) -> None:
    """A file whose name is not UTF-8 is reported on as with one worker."""
    for number in range(20):
        with open(os.path.join(os.fsencode(tmp_path), b"x\xff%d.pkl" % number), "wb") as file:
            file.write(POISONED)
    both = [scan(tmp_path, workers=number) for number in (1, 2)]
    assert both[0] == both[1] and both[0].coverage[Status.DANGEROUS] == 20


def test_reports_survive_as_json(folder: Path) -> None:
    """What is packed and unpacked is equal, and every field of a report is among it."""
    report = scan(folder, digests=Status.SAFE)
    assert (
        Report(target=report.target, files=tuple(carry.unpacked(carry.packed(file)) for file in report.files)) == report
    )
    assert set(carry.packed(report.files[0])) == set(FileReport.__annotations__)
    finding = next(carry.packed(file)["findings"][0] for file in report.files if file.findings)
    assert set(finding) == set(Finding.__annotations__)


@pytest.mark.parametrize(
    "change",
    [
        {"size": "1"},
        {"size": True},
        {"findings": {}},
        {"findings": [{}]},
        {"sha256": 1},
        {"used": 1},
        {"path": None},
        {"more": 1},
    ],
    ids=str,
)
def test_what_is_no_report_is_refused(folder: Path, change: dict[str, object]) -> None:
    """A value of another type, a missing or an additional field is an error."""
    packed = carry.packed(scan(folder).files[0])
    with pytest.raises(ValueError):
        carry.unpacked({**packed, **change})
    with pytest.raises(ValueError):
        carry.unpacked({name: value for name, value in packed.items() if name != "format"})
    with pytest.raises(ValueError):
        carry.unpacked([packed])


@pytest.mark.usefixtures("fresh")
def test_a_worker_that_cannot_be_started_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no process can be started, the scan says so instead of scanning otherwise."""
    monkeypatch.setattr("sys.executable", str(folder / "no-python"))
    with pytest.raises(SourceError, match="a worker could not be started"):
        scan(folder, workers=2)
