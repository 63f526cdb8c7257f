"""Core ML models: the layers and operations of networks, programs and pipelines, and the files they point to."""

from __future__ import annotations

from collections.abc import Iterator

from safeload.core.blob import Blob
from safeload.core.errors import MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Claims, Format, Operator, Part, Reference
from safeload.formats.protobuf import BYTES, VARINT, Field, Messages, begins, fits, shape

_PIPELINES = {200: (1,), 201: (1,), 202: ()}
"""Fields that hold models, and the field within them where the list of models is."""
_NETWORKS = frozenset({303, 403, 500})
_KINDS = frozenset(
    {
        *(*range(200, 203), *range(300, 305), *range(400, 405), *range(500, 503), 555, 556, 560),
        *(*range(600, 611), 900, *range(2000, 2007), 3000),
    }
)
"""What a model may be."""
_MODEL = {1: VARINT, 2: BYTES, 10: VARINT, **dict.fromkeys(_KINDS, BYTES)}
_PROGRAM, _CUSTOM, _LINKED, _SERIALIZED = 502, 555, 556, 3000
_CUSTOM_LAYER = 500
_NESTED_NETWORKS = {605: (1, 2), 615: (3, 4)}
"""Layers that hold networks: branches and loops."""
_HERE = "@model_path/"


class _Model:
    def __init__(self, messages: Messages) -> None:
        self.messages = messages
        self.operators: dict[tuple[str, str], list[int]] = {}
        self.files: dict[str, int] = {}
        self.models: list[tuple[int, int]] = []
        self.networks: list[Field] = []
        self.blocks: list[Field] = []

    def inside(self, field: Field, *path: int) -> Iterator[Field]:
        """The fields that a path of numbers leads to."""
        found = [field]
        for number in path:
            found = [
                inner
                for outer in found
                for inner in self.messages.parts(outer.start, outer.end)
                if inner.number == number
            ]
        yield from found

    def add(self, domain: str, name: str, at: int) -> None:
        self.operators.setdefault((domain, name), [0, at])[0] += 1

    def read(self) -> None:
        self.models.append((0, self.messages.size))
        while self.models:
            for one in self.messages.parts(*self.models.pop()):
                if one.number in _KINDS:
                    self._kind(one)

    def _kind(self, one: Field) -> None:
        if one.start == one.end and one.number not in (_CUSTOM, _SERIALIZED):
            return  # it holds nothing, and costs nothing
        if one.number in _PIPELINES:
            self.models += [(model.start, model.end) for model in self.inside(one, *_PIPELINES[one.number], 1)]
        elif one.number in _NETWORKS:
            self.networks.append(one)
        elif one.number == _PROGRAM:
            self.blocks += self.inside(one, 2, 2, 3, 2)
        elif one.number == _CUSTOM:
            self.add("custom", self.messages.first(one, 1), one.start)
        elif one.number == _LINKED:
            for number in (1, 2):
                for name in self.inside(one, 1, number):
                    self.files.setdefault(self.messages.first(name, 1), name.start)
        elif one.number == _SERIALIZED:
            self.add("custom", "serializedModel", one.start)
        while self.networks:
            self._network(self.networks.pop())
        while self.blocks:
            self._block(self.blocks.pop())

    def _network(self, network: Field) -> None:
        for layer in self.inside(network, 1):
            for one in self.messages.parts(layer.start, layer.end):
                if one.number < 100:
                    continue
                if one.number == _CUSTOM_LAYER:
                    self.add("custom", self.messages.first(one, 10), one.start)
                else:
                    self.add("layer", str(one.number), one.start)
                for number in _NESTED_NETWORKS.get(one.number, ()):
                    self.networks += self.inside(one, number)

    def _block(self, block: Field) -> None:
        for operation in self.inside(block, 3):
            self.add("", self.messages.first(operation, 1), operation.start)
            self.blocks += self.inside(operation, 4)
            values = [*self.inside(operation, 5, 2), *self.inside(operation, 2, 2, 1, 2)]
            for value in values:
                for file in self.inside(value, 5):
                    name = self.messages.first(file, 1)
                    self.files.setdefault(name.removeprefix(_HERE), file.start)


def _read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    model = _Model(Messages(blob, location, limits))
    fault: MalformedInput | None = None
    try:
        model.read()
    except MalformedInput as error:
        fault = error
    for (domain, name), (count, offset) in model.operators.items():
        yield Operator(location=location.at(offset), framework="coreml", name=name, domain=domain, count=count)
    for file, offset in model.files.items():
        yield Reference(location=location.at(offset), kind="external-data", target=file)
    if fault is not None:
        raise fault


def _sniff(head: bytes, tail: bytes, size: int, name: str) -> bool:
    seen = shape(head, size)
    return (
        fits(seen, _MODEL, needs=(1, 2))
        and seen is not None
        and (bool(seen.keys() & _KINDS) or name.lower().endswith(".mlmodel"))
    )


FORMAT = Format(
    name="coreml",
    title="a Core ML model",
    suffixes=(".mlmodel",),
    sniff=_sniff,
    read=_read,
    claims=Claims(first=begins(_MODEL)),
)
