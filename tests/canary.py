"""The canary: notices anything that acts while safeload reads foreign bytes.

One audit hook (PEP 578) for the whole process looks at every watched event and asks who caused it: the innermost
frame that belongs to safeload decides. If that frame is code that *reads* (core, formats, rules, trust, sources,
engine, reporters), the event is remembered, and the fixture in `conftest.py` fails the test that was running.
If it is an adapter, the seatbelt or the demo, or if safeload is not on the stack at all, the event is none of ours:
real libraries import and compile things while they load.

What reading code may do without being noticed:

- `import x` written out as a statement, and whatever the imported library does while it initialises;
- lazily load safeload's own modules, or a codec from `encodings`, by computed name;
- parse Python source to a tree with `ast.parse` (nothing is made executable);
- in `safeload.engine.scanning.workers` only: start this interpreter, isolated, with the program that stands there;
- in `safeload.sources` only: connect to the loopback interface, where the tests' stand-in for the hub listens.

Beside that, a connection to anywhere but the loopback interface fails the test whoever makes it.
"""

from __future__ import annotations

import dis
import ipaddress
import sys
import threading
from dataclasses import dataclass
from types import FrameType
from typing import Any

WATCHED = frozenset(
    {
        "pickle.find_class",
        "exec",
        "compile",
        "code.__new__",
        "marshal.loads",
        "import",
        "ctypes.dlopen",
        "os.system",
        "os.exec",
        "os.posix_spawn",
        "os.spawn",
        "os.startfile",
        "pty.spawn",
        "subprocess.Popen",
        "socket.connect",
        "webbrowser.open",
    }
)
READS = tuple(
    f"safeload.{ring}" for ring in ("core", "formats", "rules", "trust", "sources", "engine", "reporters", "allowlists")
)
ACTS = ("safeload.engine.seatbelt", "safeload.engine.approved")
"""Engine code that stands between the genuine library and its own calls, and the one module that runs approved code."""
_LAZY = ("safeload.", "encodings.")
_CLIENTS = ("huggingface_hub", "hf_xet", "httpx", "httpx2", "httpcore", "httpcore2", "anyio", "rich", "fsspec", "tqdm")
"""Libraries that safeload itself uses while reading, and that load parts of themselves by computed name."""
_IMPORT_STATEMENTS = frozenset({dis.opmap["IMPORT_NAME"], dis.opmap.get("IMPORT_FROM", -1)})


@dataclass(frozen=True, slots=True)
class Song:
    """One thing that happened although only reading was going on."""

    event: str
    detail: str
    by: str
    """The safeload function that was reading."""

    def __str__(self) -> str:
        return f"{self.event}({self.detail}) while {self.by} was reading"


class Canary:
    """Collects what happened while reading. `heard()` empties it, for tests that expect something."""

    def __init__(self) -> None:
        self._songs: list[Song] = []
        self._lock = threading.Lock()

    def sing(self, song: Song) -> None:
        with self._lock:
            self._songs.append(song)

    def heard(self) -> list[Song]:
        with self._lock:
            songs, self._songs = self._songs, []
        return songs


CANARY = Canary()


def install() -> None:
    """Add the hook to this process, once. It cannot be removed, so it stays cheap for events it does not watch."""
    if not getattr(sys, "_safeload_canary", False):
        sys._safeload_canary = True  # type: ignore[attr-defined]
        sys.addaudithook(_hook)


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if event not in WATCHED:
        return
    frame: FrameType | None = sys._getframe(1)
    if event == "socket.connect" and not _loopback(args[1]):
        CANARY.sing(Song(event, repr(args[1]), "this test"))
        return
    reader = _reader(frame)
    if reader is not None and not _harmless(event, args, frame, reader):
        detail = ", ".join(repr(arg)[:80] for arg in args[:2])
        CANARY.sing(Song(event, detail, f"{reader.f_globals.get('__name__')}.{reader.f_code.co_name}"))


def _reader(frame: FrameType | None) -> FrameType | None:
    """The innermost frame of safeload on the stack, if it is one that reads, and not one that is being imported."""
    reader = None
    while frame is not None:
        name = frame.f_globals.get("__name__")
        if isinstance(name, str) and (name == "safeload" or name.startswith("safeload.")):
            if frame.f_code.co_name == "<module>":
                return None  # a module of ours is initialising: its dataclasses compile their methods
            if reader is None:
                if not _within(name, READS) or _within(name, ACTS):
                    return None
                reader = frame
        frame = frame.f_back
    return reader


def _within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _harmless(event: str, args: tuple[Any, ...], frame: FrameType | None, reader: FrameType) -> bool:
    if event == "pickle.find_class":
        return False
    importing = _importing(frame, reader)
    if importing is not None:
        return _written_out(str(importing.f_locals.get("name")), importing.f_back)
    if event == "import":
        return _written_out(str(args[0]), frame)
    if frame is not None and frame.f_globals.get("__name__") == "dataclasses" and event in ("compile", "exec"):
        # Python 3.14 compiles an empty function where `dataclasses` is asked for the fields of a frozen value.
        return (reader.f_globals.get("__name__"), reader.f_code.co_name) == ("safeload.core.frozen", "__get__")
    if event == "compile":
        return frame is not None and frame.f_globals.get("__name__") == "ast" and frame.f_code.co_name == "parse"
    if event == "subprocess.Popen":
        ours = reader.f_globals.get("__name__") == "safeload.engine.scanning.workers"
        return ours and args[0] == sys.executable and args[1][1:5] == ["-I", "-S", "-c", reader.f_globals["_PROGRAM"]]
    if event == "socket.connect":
        return _within(str(reader.f_globals.get("__name__")), ("safeload.sources",))
    return False


def _importing(frame: FrameType | None, reader: FrameType) -> FrameType | None:
    """The outermost import in progress between the event and the reading code: what happens within is its doing.

    (`importlib.import_module` raises no `import` event, so the frame is all there is to see of it.)
    """
    outermost = None
    while frame is not None and frame is not reader:
        if frame.f_code.co_name == "_find_and_load" and _machinery(frame):
            outermost = frame
        frame = frame.f_back
    return outermost


def _written_out(name: str, frame: FrameType | None) -> bool:
    """Whether an import is a statement in source code, or one of the computed ones that are known."""
    while frame is not None and _machinery(frame):
        frame = frame.f_back
    if name.startswith(_LAZY) or frame is None:
        return True
    if _within(str(frame.f_globals.get("__name__")), _CLIENTS):
        return True
    return frame.f_code.co_code[frame.f_lasti] in _IMPORT_STATEMENTS


def _machinery(frame: FrameType) -> bool:
    return frame.f_globals.get("__name__") in ("importlib", "importlib._bootstrap", "_frozen_importlib")


def _loopback(address: object) -> bool:
    if not isinstance(address, tuple):
        return True  # a path of a Unix socket stays on this machine
    try:
        return ipaddress.ip_address(address[0]).is_loopback
    except ValueError:
        return address[0] == "localhost"
