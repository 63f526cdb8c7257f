"""How many real checkpoints load: writes `docs/coverage.md`.

    python benchmarks/coverage.py [--print] [--no-peers] [--peer NAME=/path/of/its/environment …]

For each of the 3,119 files of `tests/data/real-imports.json`, `tests/corpus/replay.py` builds a checkpoint that names
what the file named, in the roles that these names play, with tensors of torch. Each is loaded by `safeload.torch.load`,
twice, and by `torch.load(weights_only=True)`; an audit hook watches what safeload does meanwhile. Other scanners judge
one file of each distinct set of names, which counts for all files of its set: they go by names, and those are the same.
"""

from __future__ import annotations

import argparse
import collections
import datetime
import io
import json
import platform
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks.peers import MODELAUDIT, PEERS, Peer, exit_code, install, ours
from safeload import torch as safe_torch
from safeload.core.errors import SafeloadError
from tests.corpus.replay import Built, build, found

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "coverage.md"
SETS = json.loads((ROOT / "tests" / "data" / "real-imports.json").read_text("utf-8"))["sets"]
_WATCHED = (
    "pickle.find_class", "exec", "compile", "marshal.loads", "import", "os.system", "os.exec", "os.posix_spawn",
    "subprocess.Popen", "socket.connect", "ctypes.dlopen",
)  # fmt: skip
_LISTENING = [False]
_HEARD: collections.Counter[str] = collections.Counter()


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _LISTENING[0] and event in _WATCHED:
        _HEARD[f"{event} {args[0]!r:.80}" if event in ("import", "pickle.find_class") else event] += 1


@dataclass(slots=True)
class Sums:
    """Files counted."""

    files: int = 0
    listed: int = 0
    records: int = 0
    complete: int = 0
    by_state_dict: int = 0
    holding: int = 0
    tensors: int = 0
    tensors_out: int = 0
    torch: int = 0
    refused: collections.Counter[str] = field(default_factory=collections.Counter)


def rows() -> Iterator[tuple[int, frozenset[str], bool]]:
    """The number, names and container of each file: three of four are archives, as since torch 1.6."""
    number = 0
    for entry in SETS:
        for _ in range(entry["files"]):
            yield number, frozenset(entry["globals"]), number % 4 != 3
            number += 1


def replay() -> Sums:
    """Load every row."""
    sums = Sums()
    for entry in SETS:  # what safeload and torch import once, when they first need it, is not counted
        for zipped in (True, False):
            _loaded(build(frozenset(entry["globals"]), zipped=zipped), "refuse")
    for number, names, zipped in rows():
        built = build(names, variant=number, zipped=zipped)
        if built.globals != names:
            raise SystemExit(f"row {number} names something else than it should")
        sums.files += 1
        sums.tensors += len(built.tensors)
        sums.holding += bool(built.tensors)
        _LISTENING[0] = True
        strict, loose = _loaded(built, "refuse"), _loaded(built, "record")
        _LISTENING[0] = False
        if isinstance(loose, SafeloadError) and any(name.startswith("__torch__.") for name in names):
            loose = _state_dict(built)
            sums.by_state_dict += 1
        out = () if isinstance(loose, SafeloadError) else found(loose)
        sums.records += not isinstance(loose, SafeloadError)
        sums.complete += out == built.tensors
        sums.tensors_out += sum((collections.Counter(out) & collections.Counter(built.tensors)).values())
        if isinstance(strict, SafeloadError):
            sums.refused[_unlisted(names)] += 1
        else:
            sums.listed += found(strict) == built.tensors
        sums.torch += _quietly(lambda data=built.data: torch.load(io.BytesIO(data), weights_only=True))
    return sums


def _loaded(built: Built, unknown: Any) -> object:
    try:
        return safe_torch.load(built.data, unknown=unknown)
    except SafeloadError as error:
        return error


def _state_dict(built: Built) -> object:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "program.pt"
        path.write_bytes(built.data)
        return dict(safe_torch.state_dict_of(path, mmap=False))


def _quietly(work: Callable[[], object]) -> bool:
    """Whether it ends without an exception: what is counted here is that others refuse, not why."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            work()
    except Exception:  # noqa: BLE001
        return False
    return True


def _unlisted(names: frozenset[str]) -> str:
    from safeload.core.names import GlobalName
    from safeload.engine.allowlists import default_allowlist

    if any(name.startswith("__torch__.") for name in names):
        return "a TorchScript program"
    return ", ".join(f"`{n}`" for n in sorted(names) if GlobalName(*n.rsplit(".", 1)) not in default_allowlist())


def judged(command: Callable[[Path], list[str]], peer: Peer | None, *, unpacked: bool = False) -> dict[str, int]:
    """What a scanner says of one file of each set, counted for all files of the set; or of the pickle in it alone."""
    clean, dirty = (peer.clean, peer.found) if peer is not None else ((0,), (1,))
    said = {"clean": 0, "found": 0, "?": 0}
    with tempfile.TemporaryDirectory() as folder:
        for number, entry in enumerate(SETS):
            data = build(frozenset(entry["globals"]), variant=number * 3).data
            if unpacked:
                with zipfile.ZipFile(io.BytesIO(data)) as archive:
                    data = archive.read(next(name for name in archive.namelist() if name.endswith("/data.pkl")))
            path = Path(folder) / (f"{number}.pkl" if unpacked else f"{number}.bin")
            path.write_bytes(data)
            code = exit_code(command(path))
            said["clean" if code in clean else "found" if code in dirty else "?"] += entry["files"]
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--print", action="store_true", help="print the page instead of writing it")
    parser.add_argument("--no-peers", action="store_true", help="only safeload and torch")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=DIR", help="an environment that is there")
    asked = parser.parse_args()
    sys.addaudithook(_hook)
    sums = replay()
    scans: dict[str, dict[str, int] | str] = {}
    if not asked.no_peers:
        there = dict(one.split("=", 1) for one in asked.peer)
        scan = ours()
        scans["safeload scan"] = judged(lambda path: [*scan, str(path)], None)
        for peer in (*(one for one in PEERS if one.name in ("picklescan", "fickling")), MODELAUDIT):
            scans.update(_peer(peer, there.get(peer.name)))
    text = page(sums, scans)
    if asked.print:
        print(text)
    else:
        PAGE.write_text(text, encoding="utf-8")


def _peer(peer: Peer, folder: str | None) -> dict[str, dict[str, int] | str]:
    if folder is None:
        if why := install(peer):
            return {peer.name: why}
        home = peer.folder
    else:
        home = Path(folder)
    version = subprocess.run(
        [home / "bin" / "python", "-c", f"from importlib.metadata import version; print(version({peer.name!r}))"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    command = [str(home / "bin" / peer.command[0]), *peer.command[1:]]
    found: dict[str, dict[str, int] | str] = {}
    for unpacked in (False, True) if peer.name == "fickling" else (False,):
        name = f"{peer.name} {version}" + (", on the pickle taken out of the archive" if unpacked else "")
        found[name] = judged(lambda path: [*command, str(path)], peer, unpacked=unpacked)
    return found


def _torch_imports() -> list[str]:
    """What torch imports if it is installed, such as dill."""
    code = "import sys, torch; print(*sys.modules)"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def _share(count: int, files: int) -> str:
    return f"{count:,} ({100 * count / files:.2f} %)"


def _list(names: Iterable[str]) -> str:
    return f" ({', '.join(sorted(names))})" if names else ""


def page(sums: Sums, scans: dict[str, dict[str, int] | str]) -> str:
    """`docs/coverage.md`."""
    count = sums.files
    named = {name.partition(".")[0] for entry in SETS for name in entry["globals"]}
    known = {"torch", "numpy", "__main__", *sys.stdlib_module_names, *_torch_imports()}
    imported = sorted((named - known) & set(sys.modules))
    lines = [
        "# Coverage",
        "",
        "How many of the checkpoints that people share load, and how many of their tensors come out.",
        "",
        f"Made by `python benchmarks/coverage.py` on {datetime.datetime.now(datetime.UTC):%d %B %Y}, with torch",
        f"{torch.__version__} and Python {platform.python_version()}.",
        "",
        "## Loading",
        "",
        f"| of {count:,} files | load | |",
        "|---|---|---|",
        f'| `safeload.torch.load(…, unknown="refuse")` | {_share(sums.listed, count)} | every name is on the shipped '
        "allowlists |",
        f"| `safeload.torch.load(…)` | {_share(sums.records - sums.by_state_dict, count)} | what is not listed is an "
        "inert record |",
        f"| … or `safeload.torch.state_dict_of(…)` | {_share(sums.records, count)} | the other {sums.by_state_dict} "
        "are TorchScript programs: their tensors |",
        f"| `torch.load(…, weights_only=True)` | {_share(sums.torch, count)} | |",
        "",
        f"The files hold {sums.tensors:,} tensors and bare storages ({sums.holding:,} files hold at least one). With",
        f"inert records, **{sums.tensors_out:,}** of them come out with the same type, shape and bytes, and "
        f"**{sums.complete:,}** files",
        "give exactly what was written into them.",
        "",
        "What safeload and torch import once, when they first need it, was imported by then: the tests watch that.",
        f"While safeload loaded each file twice, an audit hook heard **{sum(_HEARD.values())}** imports, unpickled",
        f"names, compilations, executions, processes, connections or native libraries{_list(_HEARD)}. Of the",
        "libraries that the files name, beside torch, numpy and what torch imports itself, "
        f"**{len(imported)}** had been",
        f"imported at the end{_list(imported)}.",
        "",
        'What `unknown="refuse"` refuses:',
        "",
        "| files | names outside the allowlists |",
        "|---|---|",
        *(f"| {files} | {names} |" for names, files in sums.refused.most_common()),
        "",
    ]
    if scans:
        lines += [
            "## Scanners on the same files",
            "",
            "By exit code: what a pipeline would see. None of these files is malicious: anything but `clean` is noise.",
            "",
            "| | clean | found | neither |",
            "|---|---|---|---|",
        ]
        for name, said in scans.items():
            if isinstance(said, str):
                lines.append(f"| {name} | could not be installed: {said} | | |")
            else:
                lines.append(
                    f"| {name} | " + " | ".join(_share(said[word], count) for word in ("clean", "found", "?")) + " |"
                )
        lines.append("")
    return "\n".join([*lines, *_CAVEATS])


_CAVEATS = [
    "## What this is, and is not",
    "",
    "- The names are real: `tests/data/real-imports.json` is a trace of 3,119 files of 1,551 popular repositories,",
    "  made by the authors of PickleBall. **The files are not**: the trace has names only, so",
    "  `tests/corpus/replay.py` builds files around them. Each names exactly what its row names (this is checked);",
    "  values, shapes and who holds whom are ours, in the roles that these names have in the libraries they come",
    "  from.",
    "- 3,119 rows have 94 different sets of names. Rows of one set differ in values, views, container (three",
    "  archives, one legacy file) and how members of enumerations are spelled.",
    "- Classes of libraries that are not installed are stand-ins with the same name, pickled as Python pickles",
    "  objects by default. A real class may pickle itself differently.",
    "- The trace left out `builtins`. What `dill._dill._load_type` was given in four files is not known; here it is",
    "  the name of a type. Three sets name storages and no function that makes tensors of them: theirs are bare",
    "  storages.",
    "- To load a file is not to use it: a model that was pickled whole comes back as records with its tensors, and a",
    "  program that wants the object has to build it and load the state.",
    "- Scanners answer another question than loaders do. They are here because people decide by them what to load.",
    "  Each judged one file per set, an archive, with its default settings, as `pip install` leaves it.",
    "- An exit code is not all that a scanner says. picklescan counts names that it does not know as suspicious, and",
    "  ends with 0 all the same. fickling's command reads pickles, and torch's archives not at all; its allowlist for",
    "  loading (`activate_safe_ml_environment`) was not measured. modelaudit without torch warns of the function that",
    "  makes tensors in every checkpoint; with torch beside it, it was not measured.",
    "",
]


if __name__ == "__main__":
    main()
