"""Bare pickles in files of their own."""

from __future__ import annotations

from collections.abc import Iterator

from safeload.core.blob import Blob
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Claims, Format, Part, PickleStream
from safeload.formats.pickle_head import JOBLIB, OPCODES, is_legacy, is_pickle, mentions_arrays
from safeload.formats.pickle_stream import read_pickles


def _sniff(head: bytes, tail: bytes, size: int, name: str) -> bool:
    return is_pickle(head, size, name) and not is_legacy(head) and JOBLIB not in head


def read_pickle_file(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    """All pickles of the file. One that names joblib's arrays, however it spells them, is read as joblib does."""
    for part in read_pickles(blob, location, limits):
        if isinstance(part, PickleStream) and part.role in ("data", "trailing") and mentions_arrays(part.reading.trace):
            from safeload.formats.joblib_pickle import read_joblib

            yield from read_joblib(blob, location, limits)
            return
        yield part


FORMAT = Format(
    name="pickle",
    title="a pickle",
    suffixes=(
        ".pkl",
        ".pickle",
        ".p",
        ".pck",
        ".bin",
        ".pt",
        ".pth",
        ".ckpt",
        ".dill",
        ".joblib",
        ".sav",
        ".model",
        ".metadata",
        ".dat",
        ".dpr",
        ".tar",
    ),
    sniff=_sniff,
    read=read_pickle_file,
    claims=Claims(first=bytes(sorted(OPCODES))),
)
