"""A scikit-learn pickle as a skops file, without ever unpickling it.

The objects are those that `safeload.joblib.load` makes from a reading; skops writes them down. The new file has no
pickle in it, and `skops.io.load` makes only what its user trusts: `untrusted` says for what it will ask.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safeload.core.errors import UsageError
from safeload.core.names import Location, escape
from safeload.engine.options import Options
from safeload.engine.whole import write_whole
from safeload.joblib import load

_SUFFIX = ".skops"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What was written."""

    path: Path
    size: int
    sha256: str
    untrusted: tuple[str, ...]
    """Types that skops does not know, and that `skops.io.load(…, trusted=[…])` will ask for."""


def write_skops(
    source: str | os.PathLike[str],
    into: str | os.PathLike[str] | None = None,
    *,
    force: bool = False,
    options: Options | None = None,
) -> Written:
    """Write the estimator in a pickle or joblib file as a skops file.

    Args:
        source: the file, compressed or not.
        into: where to; beside the source, with its suffix replaced by `.skops`, if absent.
        force: replace a file that is there already.
        options: safeload's own options.

    Raises:
        PolicyDenied: the file is dangerous, or names what nobody vouched for.
        MalformedInput: it cannot be read, or holds what scikit-learn does not write.
        UsageError: skops is not installed, cannot write such an object, or the output is there already.
        SourceError: there is no such file, or the output cannot be written.
    """
    io = _skops()
    target = Path(into) if into is not None else Path(source).with_suffix(_SUFFIX)
    where = Location(os.fspath(target))
    if target.suffix != _SUFFIX:
        raise UsageError(
            "nothing was converted", where=where, why=f"the name must end with {_SUFFIX}", remedy="-o FILE"
        )
    if not force and os.path.lexists(target):
        raise UsageError("nothing was converted", where=where, why="it is there already", remedy="--force replaces it")
    value = load(source, safeload=options)
    try:
        data: bytes = io.dumps(value)
    except (io.exceptions.UnsupportedTypeException, TypeError, ValueError) as error:
        raise UsageError(
            "nothing was converted",
            where=Location(os.fspath(source)),
            why=f"skops cannot write it: {escape(str(error), 200)}",
            remedy="safeload.joblib.load(…) reads it all the same",
        ) from error
    untrusted = tuple(sorted(io.get_untrusted_types(data=data)))
    if inert := [one for one in untrusted if one.startswith("safeload.")]:
        raise UsageError(
            "nothing was converted",
            where=Location(os.fspath(source)),
            why=f"it holds objects that are only known as records ({escape(inert[0], 80)})",
            remedy="safeload.joblib.load(…) reads it all the same",
        )
    write_whole(os.fspath(target), data, failed="the skops file was not written", over=force)
    from hashlib import sha256

    return Written(path=target, size=len(data), sha256=sha256(data).hexdigest(), untrusted=untrusted)


def _skops() -> Any:
    try:
        import skops.io as io
        import skops.io.exceptions as _  # noqa: F401 (an attribute of `io` from here on)
    except ModuleNotFoundError as error:
        raise UsageError(
            "nothing was converted", why=f"{error.name} is not installed", remedy="pip install 'safeload[skops]'"
        ) from error
    return io
