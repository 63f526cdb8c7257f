"""Small parts for the examples of rules. Examples are data: nothing here is ever unpickled.

Every rule imports this, so the kinds of parts are looked up when an example is made.
"""

from __future__ import annotations

from typing import Any

from safeload.core.blob import MemoryBlob
from safeload.core.machine import read_pickle
from safeload.core.names import Location
from safeload.formats import base

FILE = Location("example")


def pickled(data: bytes, role: str = "data") -> base.PickleStream:
    """One pickle, read by the machine."""
    return base.PickleStream(location=FILE, reading=read_pickle(MemoryBlob(data), location=FILE), role=role)


def text(value: str) -> bytes:
    """A text constant of protocol 4."""
    data = value.encode()
    return b"X" + len(data).to_bytes(4, "little") + data


def named(module: str, name: str) -> bytes:
    """A global, as protocols 0 to 3 write it."""
    return f"c{module}\n{name}\n".encode()


def call(module: str, name: str, *arguments: bytes) -> bytes:
    """A whole pickle that calls one global."""
    return b"\x80\x03" + named(module, name) + b"(" + b"".join(arguments) + b"tR."


def new(module: str, name: str, state: bytes = b"}") -> bytes:
    """A whole pickle with one object: no constructor arguments, and a state."""
    return b"\x80\x03" + named(module, name) + b")\x81" + state + b"b."


def reference(kind: str, target: str, file: str = "config.json", path: str = "key") -> base.Reference:
    return base.Reference(location=Location(file, None, None, path), kind=kind, target=target)


def template(value: str) -> base.Template:
    return base.Template(location=Location("chat_template.jinja"), text=value)


def irregular(kind: str, *, two_readings: bool = False) -> base.Irregularity:
    return base.Irregularity(location=FILE, kind=kind, detail="an example", two_readings=two_readings)


def opaque(what: str, file: str = "example") -> base.Opaque:
    return base.Opaque(location=Location(file), what=what, detail="an example")


def code(language: str, file: str = "example.py") -> base.Code:
    return base.Code(location=Location(file), language=language)


def member(name: str) -> base.Member:
    return base.Member(location=Location("example.zip", name), name=name, size=1)


def config(data: Any, file: str = "config.json") -> base.Config:
    return base.Config(location=Location(file), data=data)


def operator(framework: str, name: str, *arguments: str, domain: str = "") -> base.Operator:
    return base.Operator(location=FILE, framework=framework, name=name, domain=domain, arguments=arguments)


def component(
    name: str, module: str = "", config: Any = None, *, registered: str = "", function: bool = False
) -> base.Component:
    framework = "keras-function" if function else "keras"
    return base.Component(
        location=Location("model.keras", "config.json", None, "config.layers[1]"),
        framework=framework,
        module=module,
        name=name,
        registered=registered,
        config=config,
    )
