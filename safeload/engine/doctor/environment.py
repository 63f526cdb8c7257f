"""Environment variables that loosen the libraries around us."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from safeload.core.names import escape
from safeload.engine.doctor.base import Grade, Note
from safeload.sources.ownership import folder_writable_by_others

_TRUE = {"1", "on", "y", "yes", "true"}


def _switched_on(value: str) -> bool:
    return value.strip().lower() in _TRUE


def _set(value: str) -> bool:
    return bool(value)


def _empty(value: str) -> bool:
    return not value


@dataclass(frozen=True, slots=True)
class Switch:
    """A variable, the values of it that matter, and what they do."""

    name: str
    matters: Callable[[str], bool]
    grade: Grade
    effect: str


SWITCHES = (
    Switch(
        "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD",
        _switched_on,
        Grade.PROBLEM,
        "torch.load runs whatever a pickle says, wherever its caller did not ask for weights_only",
    ),
    Switch(
        "TRUST_REMOTE_CODE",
        _switched_on,
        Grade.PROBLEM,
        "transformers unpickles the index files of retrieval models",
    ),
    Switch(
        "DIFFUSERS_TRUST_REMOTE_KERNELS",
        _switched_on,
        Grade.PROBLEM,
        "diffusers runs native code that it fetches from any publisher",
    ),
    Switch("USE_HUB_KERNELS", _switched_on, Grade.HINT, "transformers fetches native code from the hub and runs it"),
    Switch("PYTHONHTTPSVERIFY", lambda value: value == "0", Grade.PROBLEM, "certificates are not checked"),
    Switch("CURL_CA_BUNDLE", _empty, Grade.PROBLEM, "set but empty: some clients then check no certificates"),
    Switch("REQUESTS_CA_BUNDLE", _empty, Grade.PROBLEM, "set but empty: some clients then check no certificates"),
    Switch("PYTHONINSPECT", _set, Grade.HINT, "Python stays open for input after a program ends"),
)
_FOLDERS = ("PYTHONPYCACHEPREFIX", "PYTHONUSERBASE", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
"""Folders whose files are run, or unpickled, without being looked at."""


def look(environ: Mapping[str, str]) -> Iterator[Note]:
    """Yield what in the environment loosens something."""
    for switch in SWITCHES:
        value = environ.get(switch.name)
        if value is not None and switch.matters(value):
            yield Note(switch.grade, f"{switch.name}={escape(value)}", switch.effect, f"unset {switch.name}")
    yield from _python_path(environ.get("PYTHONPATH", ""))
    for name in _FOLDERS:
        folder = environ.get(name, "")
        if folder and folder_writable_by_others(os.path.realpath(folder)):
            yield Note(
                Grade.PROBLEM,
                f"{name}={escape(folder)}",
                "others can write there, and what lies there is run",
                f"unset {name}",
            )
    yield from _endpoint(environ.get("HF_ENDPOINT", ""))


def _python_path(value: str) -> Iterator[Note]:
    """Relative entries mean the working directory, which may be a downloaded model; so do empty ones."""
    for entry in value.split(os.pathsep) if value else ():
        if not os.path.isabs(entry):
            why = "modules are imported from whatever directory is current, even one that holds a model"
        elif os.path.exists(entry) and folder_writable_by_others(os.path.realpath(entry)):
            why = "others can write there, and Python imports from it"
        else:
            continue
        yield Note(Grade.PROBLEM, f"PYTHONPATH has {escape(entry)!r}", why, "unset PYTHONPATH")


def _endpoint(value: str) -> Iterator[Note]:
    if not value:
        return
    parts = urlsplit(value)
    loopback = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme != "https" and not loopback:
        yield Note(
            Grade.PROBLEM,
            f"HF_ENDPOINT={escape(value)}",
            "models and tokens travel unencrypted",
            "use an https address, or unset HF_ENDPOINT",
        )
    elif parts.hostname != "huggingface.co":
        yield Note(Grade.HINT, f"HF_ENDPOINT={escape(value)}", "models come from there", "unset HF_ENDPOINT")
