"""Models of gradient-boosting libraries: recognised, and data as far as their structure holds.

LightGBM writes text, CatBoost a length and a flat buffer, XGBoost JSON or UBJSON. None has a place for code. What does
not have the structure stays of unknown format.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from safeload.core.blob import Blob
from safeload.core.errors import MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Claims, Format, Irregularity, Opaque, Part, Text
from safeload.formats.plain_text import LONGEST, is_text, read_text
from safeload.formats.ubjson import walk

_UBJSON = b"{L\0\0\0\0\0\0\0"
_LIGHTGBM = re.compile(rb"tree\r?\nversion=v\d")


def _lightgbm(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    if blob.size > LONGEST:
        yield Opaque(location=location, what="lightgbm", detail="a LightGBM model: numbers as text")
        return
    yield Text(location=location, text=read_text(blob, location, limits), role="prose")


def _catboost(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    length = int.from_bytes(blob.read_at(4, 4), "little")
    if blob.size < 8 or length > blob.size - 8:
        raise MalformedInput(
            "a CatBoost model cannot be read",
            where=location,
            why=f"it announces {length:,} bytes, and has {max(0, blob.size - 8):,} (truncated)",
            remedy="fetch the file again",
        )
    yield Opaque(location=location, what="catboost", detail="a CatBoost model: a table of numbers")


def _xgboost(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    end = walk(blob, location, limits)
    if end < blob.size:
        detail = f"{blob.size - end:,} bytes follow the model"
        yield Irregularity(location=location.at(end), kind="trailing-data", detail=detail)
    yield Opaque(location=location, what="xgboost", detail="an XGBoost model (UBJSON): numbers and names")


FORMATS = (
    Format(
        name="lightgbm",
        title="a LightGBM model",
        suffixes=(".txt", ".lgb"),
        sniff=lambda head, tail, size, name: _LIGHTGBM.match(head) is not None and is_text(head, size),
        read=_lightgbm,
        claims=Claims(begins=(b"tree\n", b"tree\r\n")),
    ),
    Format(
        name="catboost",
        title="a CatBoost model",
        suffixes=(".cbm",),
        sniff=lambda head, tail, size, name: head.startswith(b"CBM1"),
        read=_catboost,
        claims=Claims(begins=(b"CBM1",)),
    ),
    Format(
        name="xgboost",
        title="an XGBoost model (UBJSON)",
        suffixes=(".ubj",),
        sniff=lambda head, tail, size, name: head.startswith(_UBJSON) and b"learner" in head[:4096],
        read=_xgboost,
        claims=Claims(begins=(_UBJSON,)),
    ),
)
