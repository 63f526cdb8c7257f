"""What on this machine makes loading models unsafe, looked at without importing any of the libraries in question."""

from __future__ import annotations

import fcntl
import os
import platform
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from safeload import __version__
from safeload.core.names import escape
from safeload.engine.doctor import environment, modules
from safeload.engine.doctor.base import Grade, Note
from safeload.engine.options import Options
from safeload.sources.ownership import folder_writable_by_others
from safeload.sources.private_copy import can_reflink
from safeload.sources.store import default_root

LIBRARIES = {"torch": (2, 10), "transformers": (5, 10)}
"""The oldest versions that safeload works with."""
_ALSO = ("safetensors", "huggingface_hub", "tokenizers", "numpy", "peft", "accelerate", "diffusers", "kernels")


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Everything that was looked at."""

    versions: Mapping[str, str | None]
    """Installed version by name; `None` for what is not installed."""
    limits: Mapping[str, int]
    store: str
    integrity: Mapping[str, bool]
    """What the store's file system and this kernel can do: `reflink`, `lease`, `sealed memfd`."""
    notes: tuple[Note, ...]

    @property
    def exit_code(self) -> int:
        """0 if there is no problem, else 1."""
        return int(any(note.grade is Grade.PROBLEM for note in self.notes))


def diagnose(*, environ: Mapping[str, str] | None = None, options: Options | None = None) -> Diagnosis:
    """Look at versions, environment, caches and the store's file system.

    Promises to import no library and to run nothing it finds. Writes two small files next to the store and removes
    them. Does not promise that a machine without problems is safe: it knows the ones that it knows.
    """
    environ = os.environ if environ is None else environ
    options = options or Options()
    store = Path(os.path.abspath(options.store or default_root()))
    versions = {name: _version(name) for name in (*LIBRARIES, *_ALSO)}
    notes = (
        *_old(versions),
        *environment.look(environ),
        *modules.look(environ),
        *_open_folders(environ, store),
    )
    return Diagnosis(
        versions={"python": platform.python_version(), "safeload": __version__, **versions},
        limits=asdict(options.limits),
        store=str(store),
        integrity=_integrity(store),
        notes=notes,
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _old(versions: Mapping[str, str | None]) -> Iterator[Note]:
    for name, oldest in LIBRARIES.items():
        found = versions[name]
        numbers = tuple(int(number) for number in re.findall(r"\d+", found or "")[:2])
        if found is not None and numbers < oldest:
            wanted = ".".join(map(str, oldest))
            yield Note(
                Grade.PROBLEM,
                f"{name} {escape(found)} is older than {wanted}",
                "safeload has not been made for it, and its own safe loading has known gaps",
                f"pip install --upgrade '{name}>={wanted}'",
            )


def _open_folders(environ: Mapping[str, str], store: Path) -> Iterator[Note]:
    """Folders that models are kept in and that somebody else could write to."""
    _, hub = modules.hub_folders(environ)
    torch_home = environ.get("TORCH_HOME") or os.path.join(os.path.expanduser("~"), ".cache", "torch")
    for folder in dict.fromkeys((store, hub, Path(torch_home))):
        if os.path.isdir(folder) and folder_writable_by_others(os.path.realpath(folder)):
            shown = escape(str(folder))
            yield Note(
                Grade.PROBLEM,
                f"others can write to {shown}",
                "a model could be exchanged after it was checked",
                f"chmod go-w {shown}",
            )


def _integrity(store: Path) -> dict[str, bool]:
    """Try each way to keep judged bytes as they are, where the store is or would be."""
    folder = str(next(parent for parent in (store, *store.parents) if os.path.isdir(parent)))
    writable = os.access(folder, os.W_OK)
    return {
        "reflink": writable and can_reflink(folder),
        "lease": writable and _can_lease(folder),
        "sealed memfd": hasattr(os, "memfd_create"),
    }


def _can_lease(folder: str) -> bool:
    """Whether the kernel tells us if somebody is writing to a file of ours there."""
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        reader = os.open(file.name, os.O_RDONLY)
    try:
        fcntl.fcntl(reader, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError:
        return False
    finally:
        os.close(reader)
    return True
