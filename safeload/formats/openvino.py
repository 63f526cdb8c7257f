"""OpenVINO's intermediate representation: the layers of a network, in XML without entities."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from safeload.core.blob import Blob
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.formats.base import Claims, Format, Operator, Part
from safeload.formats.inside import account

_NET = re.compile(rb"<net[\s/>]")
_PIECE = 1 << 16


class _Layers:
    def __init__(self, location: Location, limits: Limits) -> None:
        self.location = location
        self.limits = limits
        from xml.parsers import expat  # only here: few files are XML

        self.broken = expat.ExpatError
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self.begins
        self.parser.EndElementHandler = self.ends
        self.parser.StartDoctypeDeclHandler = self.declares
        self.counts: dict[tuple[str, str], list[int]] = {}
        self.depth = self.elements = 0

    def bad(self, why: str) -> MalformedInput:
        where = self.location.at(max(0, self.parser.CurrentByteIndex))
        return MalformedInput("an XML file cannot be read", where=where, why=why, remedy="fetch the file again")

    def declares(self, *_: Any) -> None:
        raise self.bad("it declares a document type, whose entities could read other files")

    def begins(self, name: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        self.elements += 1
        if self.elements > self.limits.nodes:
            raise LimitExceeded("nodes", allowed=self.limits.nodes, wanted=self.elements, where=self.location)
        if self.depth > 1000:
            raise self.bad("elements are nested more than a thousand deep")
        if name == "layer":
            key = (attributes.get("version", ""), attributes.get("type", ""))
            self.counts.setdefault(key, [0, max(0, self.parser.CurrentByteIndex)])[0] += 1

    def ends(self, name: str) -> None:
        self.depth -= 1


def _read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    layers = _Layers(location, limits)
    fault: MalformedInput | None = None
    if blob.size > limits.text_bytes:
        raise LimitExceeded("text_bytes", allowed=limits.text_bytes, wanted=blob.size, where=location)
    account(limits, blob).work.parse(blob.size, location)
    try:
        for at in range(0, blob.size, _PIECE):
            layers.parser.Parse(blob.read_at(at, _PIECE), False)
        layers.parser.Parse(b"", True)
    except layers.broken as error:
        fault = layers.bad(escape(str(error)))
    except MalformedInput as error:
        fault = error
    for (version, name), (count, offset) in layers.counts.items():
        yield Operator(location=location.at(offset), framework="openvino", name=name, domain=version, count=count)
    if fault is not None:
        raise fault


def _begins(head: bytes) -> bool:
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<"


FORMAT = Format(
    name="openvino",
    title="an OpenVINO network",
    suffixes=(),
    sniff=lambda head, tail, size, name: _begins(head) and _NET.search(head) is not None,
    read=_read,
    claims=Claims(holds=(b"<net",)),
)
