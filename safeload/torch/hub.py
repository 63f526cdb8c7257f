"""`torch.hub`, guarded: weights by their address; never the code of a repository.

    from safeload.torch import hub
    state = hub.load_state_dict_from_url("https://…/resnet18-5c106cde.pth", check_hash=True)

`load`, `help` and `list` run a repository's `hubconf.py`, and are refused. `get_dir`, `set_dir` and
`download_url_to_file` are torch's own: they run nothing.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from safeload.core.errors import PolicyDenied, SafeloadError, SourceError, UsageError, VerificationFailed
from safeload.core.finding import Report
from safeload.core.names import Location, escape
from safeload.core.policy import Reason, Verdict
from safeload.engine.door import Door, opened
from safeload.engine.options import Options
from safeload.sources.http_ranges import without_query
from safeload.sources.local import local_snapshot
from safeload.torch._load import checked_options, require_torch, value_of

if TYPE_CHECKING:
    from torch.hub import download_url_to_file, get_dir, set_dir

__all__ = ("download_url_to_file", "get_dir", "help", "list", "load", "load_state_dict_from_url", "set_dir")

_TORCHS = ("download_url_to_file", "get_dir", "set_dir")
_PREFIX = re.compile(r"-([a-f0-9]{8,64})\.")
_CODE = "hubconf.py"


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


def load(repo_or_dir: Any, model: Any, *args: Any, source: str = "github", **kwargs: Any) -> NoReturn:
    """Refused: `torch.hub.load` runs the `hubconf.py` of a repository, and all that it imports.

    Raises:
        PolicyDenied: always; it says which code would run.
        UsageError: `source` is neither `github` nor `local`.
    """
    _refuse(f"torch.hub.load of {escape(str(model), 80)!r}", repo_or_dir, source)


def help(github: Any, model: Any, force_reload: bool = False, **kwargs: Any) -> NoReturn:
    """Refused: to show a docstring, `torch.hub.help` runs the `hubconf.py` of a repository. Raises as `load`."""
    _refuse("torch.hub.help", github, "github")


def list(github: Any, force_reload: bool = False, **kwargs: Any) -> NoReturn:
    """Refused: to list names, `torch.hub.list` runs the `hubconf.py` of a repository. Raises as `load`."""
    _refuse("torch.hub.list", github, "github")


def _refuse(what: str, repository: Any, source: Any) -> NoReturn:
    if source not in ("github", "local") or not isinstance(repository, str | os.PathLike):
        raise UsageError(f"{what} was not honoured", why="source is 'github' or 'local'", remedy="source='local'")
    shown = escape(os.fspath(repository))
    if source == "local":
        code = _local_code(os.fspath(repository))
        remedy = f"read that code: safeload audit {shown}"
    else:
        code = f"{_CODE} of github.com/{shown}, whatever its branch holds today"
        remedy = f"read that code: git clone https://github.com/{shown.partition(':')[0]}, then safeload audit"
    weights = "for its weights alone: safeload.torch.hub.load_state_dict_from_url(…) or safeload.torch.load(…)"
    reason = Reason(message=f"it would run {code}, and all that this imports", remedy=f"{remedy}\n         {weights}")
    raise PolicyDenied(
        f"{what} was refused",
        verdict=Verdict(policy="torch.hub", allowed=False, reasons=(reason,)),
        report=Report(target=shown, files=()),
        where=Location(shown),
    )


def _local_code(folder: str) -> str:
    """Which bytes would run, where they can be had."""
    try:
        snapshot = local_snapshot(folder)
        with snapshot.open(_CODE) as file:
            return f"{escape(os.path.join(folder, _CODE))} (sha256 {file.sha256()})"
    except SafeloadError:
        return escape(os.path.join(folder, _CODE))


def _hub() -> Any:
    import torch.hub

    return torch.hub


def __getattr__(name: str) -> Any:
    if name in _TORCHS:
        return getattr(_hub(), name)
    raise AttributeError(f"module 'safeload.torch.hub' has no attribute {name!r}: it guards what loads files")
