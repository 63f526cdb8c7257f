"""`torch.hub`, guarded: weights by their address, and code that somebody approved.

    from safeload.torch import hub
    state = hub.load_state_dict_from_url("https://…/resnet18-5c106cde.pth", check_hash=True)

`load`, `help` and `list` run a repository's `hubconf.py` if that code is approved, and else are refused. `get_dir`,
`set_dir` and `download_url_to_file` are torch's own: they run nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from safeload.core.errors import PolicyDenied, SourceError, UsageError, VerificationFailed
from safeload.core.finding import Report
from safeload.core.names import Location, escape
from safeload.core.policy import Reason, Verdict
from safeload.engine.approved import ApprovedCode
from safeload.engine.approved.hub_code import CODE, approved_code
from safeload.engine.door import Door, opened
from safeload.engine.options import Options
from safeload.sources.http_ranges import without_query
from safeload.torch._load import checked_options, require_torch, value_of

if TYPE_CHECKING:
    from torch.hub import download_url_to_file, get_dir, set_dir

__all__ = ("download_url_to_file", "get_dir", "help", "list", "load", "load_state_dict_from_url", "set_dir")

_TORCHS = ("download_url_to_file", "get_dir", "set_dir")
_PREFIX = re.compile(r"-([a-f0-9]{8,64})\.")
_REPOSITORY = re.compile(r"([\w-]{1,64})/([\w.-]{1,128})(?::([\w./-]{1,128}))?\Z", re.ASCII)


def load_state_dict_from_url(
    url: str,
    model_dir: str | os.PathLike[str] | None = None,
    map_location: Any = None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
    weights_only: bool | None = None,
    *,
    safeload: Options | None = None,
) -> Any:
    """What the file at an address holds, downloaded once, and loaded as `safeload.torch.load` does.

    Promised: nothing in the file runs. With `check_hash`, the file's sha256 begins as its name says, each time, also if
    it was there already: torch looks only when it downloads, and not at all at a name without digits. Not promised:
    that the file is what its author wrote, where `check_hash` is off and no lock says.

    Args:
        url: the address; https, http or file.
        model_dir: where the file is kept; `checkpoints` in `torch.hub.get_dir()` if absent.
        map_location: as for `torch.load`.
        progress: whether to show a bar while downloading.
        check_hash: the name is `name-<sha256>.ext` with at least eight digits.
        file_name: what to call the file; the last part of the address if absent.
        weights_only: `None` or `True`; `False` asks for code to run, and is refused.

    Raises:
        VerificationFailed: the digest is another one; a file that was downloaded just now is removed.
        SourceError: it could not be downloaded.
        UsageError: an argument cannot be honoured. Else as `safeload.torch.load`.
    """
    options = checked_options(safeload)
    require_torch()
    if weights_only not in (None, True):
        raise UsageError(
            "weights_only=False was not honoured",
            why="it asks torch to run whatever the file says",
            remedy="leave it out: what is not data comes back as inert records",
        )
    name = _name(url, file_name)
    prefix = _prefix(name) if check_hash else ""
    path = Path(model_dir if model_dir is not None else Path(_hub().get_dir()) / "checkpoints") / name
    fresh = not path.exists()
    if fresh:
        _download(url, path, progress)
    try:
        with opened(path, options) as door:
            if prefix:
                _verify(door, prefix)
            return value_of(door, map_location=map_location)
    except VerificationFailed:
        if fresh:
            path.unlink(missing_ok=True)
        raise


def _name(url: str, file_name: str | None) -> str:
    parts = urlsplit(url)
    name = os.path.basename(parts.path) if file_name is None else file_name
    if parts.scheme not in ("https", "http", "file"):
        raise UsageError(
            "nothing was loaded",
            why=f"{escape(without_query(url))!r} is no address of https, http or file",
            remedy="https://…",
        )
    if not name or name in (".", "..") or os.path.basename(name) != name or "\0" in name:
        raise UsageError(
            "nothing was loaded", why=f"{escape(name)!r} is not the bare name of a file", remedy="file_name='…'"
        )
    return name


def _prefix(name: str) -> str:
    found = _PREFIX.search(name)
    if found is None:
        raise UsageError(
            "check_hash=True was not honoured",
            why=f"{escape(name)!r} does not say its digest, as name-<sha256>.ext does, with eight digits at least",
            remedy="file_name='name-<sha256>.ext', or a lock: safeload lock",
        )
    return found[1]


def _download(url: str, path: Path, progress: bool) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _hub().download_url_to_file(url, str(path), None, progress)
    except (OSError, ValueError) as error:  # what urllib raises
        raise SourceError(
            f"{escape(without_query(url))!r} was not downloaded",
            why=escape(str(error)),
            remedy="check the address, then try again",
        ) from error


def _verify(door: Door, prefix: str) -> None:
    assert door.file is not None  # it was opened by its path
    digest = door.file.sha256()
    if not digest.startswith(prefix):
        raise VerificationFailed(
            f"{escape(door.location.file)!r} was not loaded",
            mismatches={escape(door.location.file): f"its sha256 is {digest}, and its name says {prefix}…"},
            where=door.location,
            remedy="remove the file and load again; if it stays so, the server has another file",
        )


# ── code ────────────────────────────────────────────────────────────────────────────────────────────────────────


def load(
    repo_or_dir: Any,
    model: Any,
    *args: Any,
    source: str = "github",
    trust_repo: Any = None,
    force_reload: bool = False,
    verbose: bool = True,
    skip_validation: bool = False,
    safeload: Options | None = None,
    **kwargs: Any,
) -> Any:
    """What an entry of a repository's `hubconf.py` returns, if its code is approved.

    Promised: what runs is `hubconf.py` and what it imports of the repository, byte for byte as somebody approved it
    (`safeload approve DIR`); nothing is imported from the directory. Not promised: that this code does nothing else
    than its auditor saw; it may load files as it likes, and `safeload.guard()` watches that.

    Args:
        repo_or_dir: a directory; or `owner/name:ref` on GitHub, which must lie in `torch.hub.get_dir()` already.
        model: the name of the entry. What follows is given to it.
        source: `github` or `local`.
        trust_repo: not used: a repository is trusted by its content.
        force_reload: refused if true: safeload fetches no code.
        safeload: safeload's own options.

    Raises:
        PolicyDenied: the code is not approved, or a policy refuses it; with every file, and the command.
        UsageError: an argument cannot be honoured, or the code needs what is not installed.
        Exception: whatever the code itself raises.
    """
    options = checked_options(safeload)
    with _code(f"torch.hub.load of {escape(str(model), 80)!r}", repo_or_dir, source, force_reload, options) as code:
        return _entry(code, model)(*args, **kwargs)


def help(
    github: Any,
    model: Any,
    force_reload: bool = False,
    skip_validation: bool = False,
    trust_repo: Any = None,
    *,
    source: str = "github",
    safeload: Options | None = None,
) -> Any:
    """The docstring of an entry. To have it, the code runs: so it must be approved. Raises as `load`."""
    options = checked_options(safeload)
    with _code("torch.hub.help", github, source, force_reload, options) as code:
        return _entry(code, model).__doc__


def list(
    github: Any,
    force_reload: bool = False,
    skip_validation: bool = False,
    trust_repo: Any = None,
    verbose: bool = True,
    *,
    source: str = "github",
    safeload: Options | None = None,
) -> Any:
    """The names of all entries. To have them, the code runs: so it must be approved. Raises as `load`."""
    options = checked_options(safeload)
    with _code("torch.hub.list", github, source, force_reload, options) as code:
        found = vars(_module(code))
        return [name for name, value in found.items() if callable(value) and not name.startswith("_")]


@contextmanager
def _code(what: str, repository: Any, source: Any, force: object, options: Options) -> Iterator[ApprovedCode]:
    """The approved code of a repository. Raises as `load` does."""
    if source not in ("github", "local") or not isinstance(repository, str | os.PathLike):
        raise UsageError(f"{what} was not honoured", why="source is 'github' or 'local'", remedy="source='local'")
    if force:
        raise UsageError(
            f"{what} was not honoured",
            why="force_reload fetches code anew",
            remedy="git pull, and safeload approve DIR",
        )
    require_torch()
    folder = os.fspath(repository) if source == "local" else _fetched(what, os.fspath(repository))
    if not os.path.isdir(folder):
        raise SourceError(f"{what} was not done", where=Location(escape(folder)), why="there is no such directory")
    with approved_code(folder, options) as code:
        yield code


def _fetched(what: str, repository: str) -> str:
    """Where `torch.hub` keeps a repository, if it has it: safeload fetches no code.

    Raises:
        PolicyDenied: it is not there; the message says how to get, read and approve it.
        UsageError: it is no name of a repository.
    """
    found = _REPOSITORY.match(repository)
    if found is None:
        raise UsageError(
            f"{what} was not honoured", why=f"{escape(repository)!r} is no owner/name[:ref]", remedy="owner/name:ref"
        )
    owner, name, ref = found.groups()
    for branch in (ref,) if ref else ("main", "master"):
        folder = os.path.join(_hub().get_dir(), f"{owner}_{name}_{branch.replace('/', '_')}")
        if os.path.isdir(folder):
            return folder
    shown = f"{owner}/{name}"
    steps = (
        f"git clone https://github.com/{shown}, then: safeload audit {name} and safeload approve {name}; "
        "load it with source='local'"
    )
    weights = "for its weights alone: safeload.torch.hub.load_state_dict_from_url(…) or safeload.torch.load(…)"
    message = (
        f"it would fetch and run {CODE} of github.com/{shown}, whatever its branch holds today, and all it imports"
    )
    reason = Reason(message=message, remedy=f"{steps}\n         {weights}")
    raise PolicyDenied(
        f"{what} was refused",
        verdict=Verdict(policy="torch.hub", allowed=False, reasons=(reason,)),
        report=Report(target=shown, files=()),
        where=Location(shown),
    )


def _entry(code: ApprovedCode, model: Any) -> Any:
    """An entry of the code. Raises `UsageError` if there is none of this name, or it needs what is not installed."""
    if not isinstance(model, str) or not model.isidentifier() or model.startswith("_"):
        raise UsageError(
            "nothing was loaded", why=f"{escape(str(model))!r} is no name of an entry", remedy="hub.list(…)"
        )
    found = vars(_module(code)).get(model)
    if not callable(found):
        raise UsageError(
            "nothing was loaded", where=Location(CODE), why=f"it has no entry {escape(model)!r}", remedy="hub.list(…)"
        )
    return found


def _module(code: ApprovedCode) -> ModuleType:
    """The module of `hubconf.py`, imported; what it says it depends on is installed."""
    import sys

    listed = code.load("", CODE, "__name__")
    module = sys.modules[listed]
    needed = getattr(module, "dependencies", [])
    missing = [str(one) for one in needed if isinstance(one, str) and find_spec(one.partition(".")[0]) is None]
    if missing:
        raise UsageError(
            "nothing was loaded",
            where=Location(CODE),
            why=f"it needs {', '.join(map(escape, missing))}, which is not installed",
            remedy="install what its dependencies name",
        )
    return module


def _hub() -> Any:
    import torch.hub

    return torch.hub


def __getattr__(name: str) -> Any:
    if name in _TORCHS:
        return getattr(_hub(), name)
    raise AttributeError(f"module 'safeload.torch.hub' has no attribute {name!r}: it guards what loads files")
