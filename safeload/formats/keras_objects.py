"""What a Keras configuration would make: every class and function that it names, at any depth.

One walk serves `config.json` of `.keras` files, the attributes of HDF5 files, and the notes in SavedModels.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Any

from safeload.core.errors import MalformedInput
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.formats.base import Code, Component, Config, Irregularity, Part
from safeload.formats.strict_json import parse_json

_CODE = (b"\xe3", b"\x63")
"""How marshalled code begins, with and without the mark of a reference."""
_NAMES = ("class_name", "spec_name")
"""Keys that name a class; both may stand in one object, and both are looked up then."""
_INNER = "config"


def embedded(raw: bytes, location: Location, limits: Limits) -> Iterator[Part]:
    """The objects of a JSON text. Raises `MalformedInput` where it is none."""
    document = parse_json(raw.rstrip(b"\0"), location, limits)
    for key in document.repeated:
        detail = f"the key {escape(key)} stands twice in one object"
        yield Irregularity(location=location, kind="json-duplicate-key", detail=detail, two_readings=True)
    yield from objects(document.data, location, limits)


def objects(data: Any, location: Location, limits: Limits) -> Iterator[Part]:
    """Every named object, outermost first, and all marshalled code; then the document itself.

    Raises:
        MalformedInput: it holds JSON within JSON that cannot be read.
    """
    waiting: list[tuple[Any, str]] = [(data, "")]
    while waiting:
        value, path = waiting.pop()
        where = Location(location.file, location.member, location.offset, path or location.path)
        if isinstance(value, dict):
            for key in _NAMES:
                if isinstance(value.get(key), str):
                    yield _component(value, key, where)
            waiting += [(child, f"{path}.{key}".lstrip(".")) for key, child in reversed(value.items())]
        elif isinstance(value, list):
            waiting += [(child, f"{path}[{index}]") for index, child in reversed(list(enumerate(value)))]
        elif isinstance(value, str):
            if (found := _marshalled(value)) is not None:
                yield Code(location=where, language="marshalled", source=found)
            elif value[:1] in "{[" and '"class_name"' in value:
                try:
                    inner = parse_json(value.encode("utf-8", "surrogatepass"), where, limits)
                except MalformedInput:
                    continue  # text in a description, which no reader takes for an object
                waiting.append((inner.data, path))
    yield Config(location=location, data=data)


def _component(value: dict[str, Any], key: str, where: Location) -> Component:
    name = value[key]
    inner = value.get(_INNER)
    if name == "function" and isinstance(inner, str):
        name = inner
    registered = value.get("registered_name")
    if registered == value.get("class_name"):
        registered = None
    return Component(
        location=where,
        framework="keras-function" if value.get("class_name") == "function" else "keras",
        module=_text(value.get("module")),
        name=name,
        registered=_text(registered),
        config=inner,
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else repr(value)[:200]


def _marshalled(text: str) -> bytes | None:
    """The bytes of a text that is marshalled code in base64, as Keras writes functions. It is never unmarshalled."""
    if len(text) < 40 or text[:2] not in ("4w", "Yw"):
        return None
    try:
        raw = base64.b64decode(text.encode("utf-8", "replace"))
    except (binascii.Error, ValueError):
        return None
    return raw if raw.startswith(_CODE) and raw[1:4].count(0) >= 1 else None
