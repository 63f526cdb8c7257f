"""The canary sings when it must, and only then."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.canary import Canary

BODY = """
import importlib

def read(action):
    return action()

def loads(data):
    import pickle
    return pickle.loads(data)

def lazily():
    import colorsys
    return colorsys

def by_name(name):
    return importlib.import_module(name)

def parse(source):
    import ast
    return ast.parse(source)
"""


def pretend(name: str) -> ModuleType:
    """A module that says it is `name`, with a few functions that act."""
    module = ModuleType(name)
    exec(BODY, module.__dict__)  # our own text: this is how a frame gets the name of a module
    return module


def _run_pickle() -> None:
    pickle.loads(pickle.dumps(Path("x")))


ACTIONS: dict[str, Callable[[], object]] = {
    "pickle.find_class": _run_pickle,
    "exec": lambda: exec("1"),
    "compile": lambda: compile("1", "foreign", "eval"),
    "os.system": lambda: os.system("true"),
    "subprocess.Popen": lambda: subprocess.run(["true"], check=True),
}


@pytest.mark.parametrize("event", ACTIONS)
@pytest.mark.parametrize(
    "reader", ["safeload.core.machine", "safeload.formats.x", "safeload.rules.x", "safeload.engine.scan"]
)
def test_an_action_inside_reading_code_is_heard(canary: Canary, event: str, reader: str) -> None:
    """Unpickling, executing, compiling and starting programs are heard when a reader is on the stack."""
    pretend(reader).read(ACTIONS[event])
    assert event in {song.event for song in canary.heard()}


@pytest.mark.parametrize("event", ACTIONS)
@pytest.mark.parametrize("module", ["safeload.transformers", "safeload.adapt", "safeload.engine.seatbelt", "elsewhere"])
def test_an_action_of_others_is_not_ours(canary: Canary, event: str, module: str) -> None:
    """The genuine library under an adapter may act: the canary is about reading."""
    pretend(module).read(ACTIONS[event])
    assert canary.heard() == []


def test_the_innermost_frame_of_safeload_decides(canary: Canary) -> None:
    """An adapter that calls a reader which unpickles is heard; a reader's result used by an adapter is not."""
    adapter, reader = pretend("safeload.transformers"), pretend("safeload.core.machine")
    adapter.read(lambda: reader.read(_run_pickle))
    assert canary.heard()
    reader.read(lambda: adapter.read(_run_pickle))
    assert canary.heard() == []


def test_unpickling_is_heard_even_of_an_imported_class(canary: Canary) -> None:
    """`pickle.loads` in a reader is heard whatever it finds."""
    pretend("safeload.core.x").loads(pickle.dumps(Path("x")))
    assert "pickle.find_class" in {song.event for song in canary.heard()}


def test_a_written_import_is_not_heard(canary: Canary) -> None:
    """A lazy `import x` statement of ours, and what the module does while it initialises, is no action of a file."""
    sys.modules.pop("colorsys", None)
    pretend("safeload.engine.x").lazily()
    assert canary.heard() == []


def test_an_import_by_computed_name_is_heard(canary: Canary) -> None:
    """A module whose name could have come from a file is heard, even one of the standard library."""
    sys.modules.pop("colorsys", None)
    pretend("safeload.engine.x").by_name("colorsys")
    assert canary.heard()


def test_parsing_source_to_a_tree_is_not_heard(canary: Canary) -> None:
    """`ast.parse` makes nothing executable."""
    pretend("safeload.formats.python_source").parse("import os")
    assert canary.heard() == []


def test_a_connection_is_heard_unless_a_source_makes_it_to_loopback(canary: Canary) -> None:
    """Sources may talk to the tests' hub on the loopback interface; no other reader may talk at all."""

    def connect() -> None:
        with socket.socket() as listener, socket.socket() as client:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            client.connect(listener.getsockname())

    pretend("safeload.sources.hub").read(connect)
    assert canary.heard() == []
    pretend("safeload.core.machine").read(connect)
    assert [song.event for song in canary.heard()] == ["socket.connect"]


def test_a_connection_off_this_machine_is_heard_from_anywhere(canary: Canary) -> None:
    """No test may reach for the network, whoever asks. (192.0.2.0/24 is reserved for documentation.)"""
    with socket.socket() as client:
        client.setblocking(False)
        client.connect_ex(("192.0.2.1", 9))
    assert [song.event for song in canary.heard()] == ["socket.connect"]
