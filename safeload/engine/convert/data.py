"""What is not a tensor, as JSON that says the type of everything and can do nothing: schema `safeload.checkpoint/1`.

Constants and dictionaries with text keys stand for themselves. Everything else is an object with the key `$`, which
names its type; the types are listed in `docs/converting.md`. A container that was written before is a reference to the
path where it stands, so that neither sharing nor cycles make the document larger than the checkpoint.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from safeload.core.construct import Named, Outside, Record, Stateful
from safeload.core.errors import LimitExceeded
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.engine.convert.contents import is_module, is_tensor, join, label_of
from safeload.engine.convert.selection import memory_of
from safeload.formats.arrays import Array, Piece
from safeload.formats.base import TensorView
from safeload.formats.tensors import Composite, StorageRef

SCHEMA = "safeload.checkpoint/1"
_DEEPEST = 150
"""How deep the document may nest: any reader of JSON takes it, and so does Python's stack."""
_EXACT = 1 << 53
"""Integers beyond are written as text: other readers of JSON would round them."""


@dataclass(slots=True)
class Encoder:
    """Writes values down. `names` are those of the tensors in the output, by their memory."""

    names: Mapping[tuple[object, ...], str]
    location: Location
    limits: Limits
    seen: dict[int, str] = field(default_factory=dict)
    keep: list[object] = field(default_factory=list)
    bytes_left: int = 0

    def __post_init__(self) -> None:
        self.bytes_left = self.limits.text_bytes

    def encode(self, value: object, path: str, depth: int) -> Any:
        """A value as JSON data.

        Raises:
            LimitExceeded: it is nested too deep, or has more bytes than a text may have.
        """
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            self._count(len(value))
            return value
        if isinstance(value, int):
            return value if abs(value) < _EXACT else _typed("int", value=str(value))
        if isinstance(value, float):
            return value if math.isfinite(value) else _typed("float", value=repr(value))
        if depth > _DEEPEST:
            raise LimitExceeded("depth", allowed=_DEEPEST, wanted=depth, where=Location(self.location.file, path=path))
        if is_tensor(value):
            return self._tensor(value)
        return self._plain(value, path, depth) or self._container(value, path, depth)

    def _plain(self, value: object, path: str, depth: int) -> Any:
        """What has no contents of its own."""
        if isinstance(value, bytes | bytearray):
            self._count(len(value))
            return _typed(type(value).__name__, base64=base64.b64encode(value).decode())
        if isinstance(value, Piece):
            storage = value.storage
            self._count(storage.nbytes)
            data = storage.blob.read_at(storage.offset, storage.nbytes)
            return _typed("bytes", base64=base64.b64encode(data).decode())
        if isinstance(value, complex):
            return _typed("complex", value=[repr(value.real), repr(value.imag)])
        if isinstance(value, slice):
            parts = [self.encode(part, path, depth + 1) for part in (value.start, value.stop, value.step)]
            return _typed("slice", value=parts)
        if isinstance(value, Named):
            return _typed("global", module=value.name.module, name=value.name.name)
        if isinstance(value, StorageRef):
            return _typed("storage", dtype=value.dtype, bytes=value.storage.nbytes)
        if isinstance(value, Outside):
            return _typed("outside", what=value.kind)
        return None

    def _container(self, value: object, path: str, depth: int) -> Any:
        if id(value) in self.seen:
            return _typed("same", path=self.seen[id(value)])
        self.seen[id(value)] = path
        self.keep.append(value)
        below = depth + 1
        if isinstance(value, dict):
            return self._dict(value, path, below)
        if isinstance(value, list):
            return [self.encode(item, join(path, str(index)), below) for index, item in enumerate(value)]
        if isinstance(value, tuple | set | frozenset):
            items = [self.encode(item, join(path, str(index)), below) for index, item in enumerate(value)]
            return _typed("tuple" if isinstance(value, tuple) else type(value).__name__, items=items)
        if isinstance(value, Composite):
            parts = {name: self.encode(part, join(path, name), below) for name, part in value.parts.items()}
            facts = {name: self.encode(fact, join(path, name), below) for name, fact in value.facts.items()}
            return _typed(f"{value.kind} tensor", parts=parts, facts=facts)
        if isinstance(value, Array):
            values = self.encode(value.values, join(path, "values"), below)
            return _typed("array", shape=list(value.shape), values=values)
        if isinstance(value, Record):
            return self._record(value, path, below)
        if isinstance(value, Stateful) and isinstance(code := getattr(value, "code", None), str):
            return _typed("dtype", value=code)  # numpy's
        return _typed("unknown", what=type(value).__name__)

    def _dict(self, value: dict[Any, Any], path: str, depth: int) -> Any:
        plain = all(isinstance(key, str) and key != "$" for key in value)
        pairs = [
            (
                key if plain else self.encode(key, path, depth),
                self.encode(item, join(path, label_of(key, str(index))), depth),
            )
            for index, (key, item) in enumerate(value.items())
        ]
        return dict(pairs) if plain else _typed("dict", pairs=[list(pair) for pair in pairs])

    def _record(self, value: Record, path: str, depth: int) -> Any:
        """An object of a class that nobody imported: its class by name, and what it was made from."""
        made: dict[str, Any] = {"class": str(value.name) if value.name is not None else None}
        if is_module(value):
            made["tensors"] = f"{path}." if path else ""
        for name, part in (
            ("args", value.args),
            ("kwargs", value.kwargs),
            ("state", value.states),
            ("items", value.items),
            ("pairs", value.pairs),
        ):
            if part:
                made[name] = self.encode(part, join(path, name), depth)
        return _typed("object", **made)

    def _tensor(self, value: object) -> Any:
        view = value.view if isinstance(value, Array) else value
        assert isinstance(view, TensorView)
        name = self.names.get(memory_of(view))
        where = {"name": name} if name is not None else {"left_out": True}
        return _typed("tensor", **where, dtype=view.dtype, shape=list(view.shape))

    def _count(self, more: int) -> None:
        self.bytes_left -= more
        if self.bytes_left < 0:
            most = self.limits.text_bytes
            raise LimitExceeded("text_bytes", allowed=most, wanted=most - self.bytes_left, where=self.location)


def _typed(kind: str, **fields: Any) -> dict[str, Any]:
    return {"$": kind, **fields}


def document(
    values: list[object], source: str, names: Mapping[tuple[object, ...], str], location: Location, limits: Limits
) -> bytes:
    """The content of `checkpoint.json`.

    Raises:
        LimitExceeded: the data is nested too deep, or has more bytes than a text may have.
    """
    encoder = Encoder(names, location, limits)
    data = [encoder.encode(value, str(number) if number else "", 0) for number, value in enumerate(values)]
    whole = {"schema": SCHEMA, "source": source, "data": data[0] if len(data) == 1 else data}
    return json.dumps(whole, indent=1, ensure_ascii=True, allow_nan=False).encode() + b"\n"
