"""`read_pickle`: what `pandas.read_pickle` returns, made from a reading that cannot act."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from safeload.adapt_pickle import Unknown, value_of, wished
from safeload.core.errors import MalformedInput, UsageError
from safeload.core.names import escape
from safeload.engine.door import opened
from safeload.engine.options import Options


def read_pickle(
    filepath_or_buffer: Any,
    compression: object = "infer",
    storage_options: object = None,
    *,
    unknown: Unknown = "refuse",
    inert: Collection[str] = (),
    classes: Iterable[type] = (),
    safeload: Options | None = None,
) -> Any:
    """Load what `to_pickle` wrote, without running anything in it.

    Promised: the same frames, series and indexes as `pandas.read_pickle`, as far as the documentation lists them. Not
    promised: that a frame of several types is kept in as few blocks.

    Args:
        filepath_or_buffer: a path, an open binary file, or bytes. An open file is read to its end.
        compression: `infer`, from the bytes of the file and not from its name: gzip, bz2, xz, zstd, or a zip or tar
            archive of one pickle. Anything else is refused.
        storage_options: refused: nothing is fetched.
        unknown, inert, classes, safeload: as for `safeload.pickle.load`.

    Raises:
        As `safeload.pickle.load` does.
    """
    if compression != "infer":
        raise UsageError(
            f"compression={escape(str(compression), 40)!r} was not honoured",
            why="how a file is compressed is seen in its bytes",
            remedy="compression='infer'",
        )
    if storage_options is not None:
        raise UsageError("storage_options= was not honoured", why="nothing is fetched", remedy="pass a local path")
    wish = wished("safeload.pandas.read_pickle(…, {})", unknown=unknown, inert=inert, classes=classes, options=safeload)
    with opened(filepath_or_buffer, wish.options) as door:
        streams = door.streams("data") or door.streams("member")
        if len(streams) != 1:
            raise MalformedInput(
                f"{escape(door.location.file)!r} was not loaded",
                where=door.location,
                why=f"it is {escape(door.inspected.report.format)} with {len(streams)} pickles, and not with one",
                remedy="for other files: safeload.pickle, safeload.joblib or safeload.torch",
            )
        return value_of(door, streams[0], wish)
