"""What is known of the objects that a Keras configuration makes. One answer for the rules that judge them."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from safeload.core.names import GlobalName, escape
from safeload.formats.base import Component
from safeload.rules.catalogue import ability, is_stdlib
from safeload.rules.keras_names import (
    CLASSES,
    DATA,
    FAMILY,
    FUNCTIONS,
    HOMES,
    OPERATIONS,
    TENSORFLOW,
    TENSORFLOW_REACHES,
    TENSORFLOW_TOP,
)

_CAMEL = re.compile(r"[A-Z][A-Za-z0-9]{0,80}\Z")
_WORD = re.compile(r"[A-Za-z_][\w.]{0,120}\Z")
_FILES = (
    "vocabulary",
    "vocabulary_file",
    "filepath",
    "file_path",
    "filename",
    "fname",
    "path",
    "proto",
    "merges",
    "origin",
)
"""Settings that Keras opens as a file when they are text."""
_LONGEST_NAME = 4096
"""Longer texts are the content of a file, not its name."""
_WRAPPED = frozenset({"src", "python", "api", "_tf_keras", "_v2", "v2"})
_OUTSIDE = re.compile(r"^[/\\~]|(?:^|[/\\])\.\.(?:[/\\]|\Z)|^[A-Za-z]:|://")


class Known(NamedTuple):
    """`danger`: what it can do, in a clause. `odd`: why it is nothing known, in a clause. Neither: it only computes."""

    danger: str = ""
    odd: str = ""


def known(part: Component) -> Known:
    """What is known of an object. A name that nobody listed may be anything."""
    if (found := _special(part)) is not None:
        return found
    found = _function(part) if part.framework == "keras-function" else _class(part)
    if found.danger:
        return found
    if (file := _file(part.config)) is not None:
        reads = f"reads the file {escape(file, 120)}"
        return Known(danger=f"{reads}, which is no part of the model") if _OUTSIDE.search(file) else Known(odd=reads)
    registered = part.registered
    if registered and registered != part.name and not _of_family(registered):
        return Known(odd=f"is registered as {escape(registered, 120)} by a program that must be imported")
    return found


def _special(part: Component) -> Known | None:
    name, config = part.name, part.config if isinstance(part.config, dict) else {}
    if name == "TorchModuleWrapper":
        return Known(danger="unpickles a module of torch")
    if name == "TFSMLayer":
        return Known(danger=f"loads and runs the SavedModel {escape(str(config.get('filepath', '?')), 120)}")
    if name in ("JaxLayer", "FlaxLayer"):
        return Known(odd="calls functions of a program that must be imported")
    if name == "__lambda__" or any(str(key).endswith("_type") and config[key] == "lambda" for key in config):
        return Known(danger="holds a marshalled function, which loading turns into a function again")
    if name == "Lambda":
        function = config.get("function")
        named = function if isinstance(function, str) else ""
        return Known(
            odd=f"calls the function {escape(named, 80)} of whatever program loads it" if named else "calls a function"
        )
    if name == "TFOpLambda":
        return _tensorflow(config.get("function"))
    if name in ("SlicingOpLambda", "ClassMethod", "InstanceMethod", "InstanceProperty"):
        return None if name == "SlicingOpLambda" else Known(odd="calls a method by its name")
    return Known() if name in DATA else None


def _tensorflow(name: Any) -> Known:
    """A function of TensorFlow by its public name."""
    text = name.removeprefix("tf.").removeprefix("compat.v1.") if isinstance(name, str) else ""
    if not _WORD.match(text):
        return Known(odd="calls a function whose name is not readable")
    home, _, rest = text.partition(".")
    plain = home in TENSORFLOW and rest and "__" not in rest
    if plain or text in TENSORFLOW_TOP or text.startswith(("keras.backend.", "keras.activations.")):
        return Known()
    if home in TENSORFLOW_REACHES:
        return Known(danger=f"calls the TensorFlow function {escape(text, 120)}")
    return Known(odd=f"calls the TensorFlow function {escape(text, 120)}, which is not listed")


def _class(part: Component) -> Known:
    module, name = part.module, part.name
    if not module:
        listed = any(name in names for names in (CLASSES, FUNCTIONS, OPERATIONS, ("SlicingOpLambda",)))
        listed = listed or _of_family(part.registered)
        return Known() if listed else Known(odd="is no class that Keras brings along")
    package, *homes = _within(module)
    if package in FAMILY and _CAMEL.match(name):
        return Known()
    if package == "keras" and _CAMEL.match(name):
        if name in CLASSES:
            return Known()  # wherever a version keeps it, such as `keras.src.backend.torch.optimizers.torch_adam.Adam`
        if homes and homes[0] == "ops":
            return Known()
        if homes and homes[0] in HOMES:
            return Known(odd="is no class of Keras that is listed")
    return _foreign(part, package)


def _function(part: Component) -> Known:
    module, name = part.module, part.name
    package, *homes = _within(module) or [""]
    if package in ("keras", "builtins", "") and name in FUNCTIONS and (not homes or homes[0] in HOMES):
        return Known()
    if package == "builtins" and not ability(GlobalName("builtins", name)):
        return Known(odd="is no function that Keras brings along")
    return _foreign(part, package)


def _foreign(part: Component, package: str) -> Known:
    module, name = part.module, part.name
    if ability(GlobalName(module, name)) or is_stdlib(module):
        return Known(danger="is no part of a model")
    if package in ("keras", *FAMILY):
        return Known(danger="is a part of Keras that no model is built from")
    if package == "tensorflow" and name in CLASSES:
        return Known()
    return Known(odd="is imported from another package")


def _within(module: str) -> list[str]:
    """The parts of a module's name, without the layers that Keras's versions put around them."""
    steps = [
        step
        for step in module.replace(">", ".").split(".")
        if step not in ("src", "python", "api", "_tf_keras", "_v2", "v2")
    ]
    if steps[:2] == ["tensorflow", "keras"] or steps[:1] == ["tf_keras"]:
        steps = ["keras", *steps[1 + (steps[0] == "tensorflow") :]]
    return steps


def _of_family(registered: str) -> bool:
    package, mark, name = registered.partition(">")
    return bool(mark) and (package in FAMILY or (package in ("keras", "Keras") and name in CLASSES))


def _file(config: Any) -> str | None:
    """The first setting that names a file."""
    if not isinstance(config, dict):
        return None
    named = (config[key] for key in _FILES if isinstance(config.get(key), str))
    return next((text for text in named if 0 < len(text) <= _LONGEST_NAME), None)


def shown(part: Component) -> str:
    """An object as a person would write it."""
    where = f"{escape(part.module, 80)}." if part.module else ""
    return f"{'function' if part.framework == 'keras-function' else 'class'} {where}{escape(part.name, 120)}"
