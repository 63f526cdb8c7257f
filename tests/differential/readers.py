"""Real unpicklers on harmless streams: what each of them does, in order, without doing anything.

`acts_of` runs one reader with a `find_class` that hands out recorders instead of importing. Streams come from
`assemble`, which writes mostly well-formed opcodes with arguments chosen to be awkward.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable
from random import Random
from typing import Any, ClassVar, NamedTuple

Acts = tuple[str, ...]


class Outcome(NamedTuple):
    """What a reader did, and whether it came to an end. `shown` is its value, as far as values are plain."""

    acts: Acts
    ended: bool
    shown: str


class Recorder:
    """Stands for whatever the stream imports; notes that it was called, and accepts all that is put into it."""

    journal: ClassVar[list[str]] = []

    def __new__(cls, *args: object, **kwargs: object) -> Recorder:
        cls.journal.append("call")
        return object.__new__(cls)

    def __call__(self, *args: object, **kwargs: object) -> Recorder:
        self.journal.append("call")
        return self

    def __setitem__(self, key: object, value: object) -> None: ...
    def append(self, item: object) -> None: ...
    def extend(self, items: object) -> None: ...
    def add(self, item: object) -> None: ...
    def __setstate__(self, state: object) -> None: ...

    def __repr__(self) -> str:
        return "<recorder>"


def _find_class(self: object, module: str, name: str) -> type[Recorder]:
    Recorder.journal.append(f"import {module} {name}")
    return type("R", (Recorder,), {})


def _persistent_load(self: object, id: object) -> Recorder:
    Recorder.journal.append("persistent")
    return object.__new__(Recorder)


class _C(pickle.Unpickler):
    find_class = _find_class
    persistent_load = _persistent_load


class _Python(pickle._Unpickler):  # type: ignore[name-defined, misc]
    find_class = _find_class
    persistent_load = _persistent_load  # type: ignore[assignment]


class _Peekable(io.BytesIO):
    """A file that C `pickle` may look ahead in, as it does in buffered files."""

    def peek(self, size: int = 0) -> bytes:
        at = self.tell()
        return self.getvalue()[at : at + (size if size > 0 else 16)]


class _Whole(io.BytesIO):
    """Shows everything at once, so that C `pickle` reads as it does in `loads`."""

    def peek(self, size: int = 0) -> bytes:
        return self.getvalue()[self.tell() :]


READERS: dict[str, Callable[[bytes], Any]] = {
    "C, unbuffered file": lambda data: _C(io.BytesIO(data)).load(),
    "C, buffered file": lambda data: _C(_Peekable(data)).load(),
    "C, all in memory": lambda data: _C(_Whole(data)).load(),
    "C, as torch asks": lambda data: _C(io.BytesIO(data), encoding="utf-8").load(),
    "Python": lambda data: _Python(io.BytesIO(data)).load(),
}


def outcome(reader: Callable[[bytes], Any], data: bytes) -> Outcome:
    """Run one reader. Whatever it raises is its way to refuse."""
    Recorder.journal.clear()
    try:
        value = reader(data)
    except Exception:  # noqa: BLE001 (readers raise anything)
        return Outcome(tuple(Recorder.journal), ended=False, shown="")
    return Outcome(tuple(Recorder.journal), ended=True, shown=_show(value))


def _show(value: object) -> str:
    if isinstance(value, (bool, int, float, str, bytes, bytearray)) or value is None:
        return repr(value)
    return type(value).__name__


_NAMES = ("m", "n", "m.n", "", "é", "a b", "x\\x41", "os\r")
_NUMBERS = (
    "0",
    "1",
    "00",
    "01",
    "-1",
    "12",
    "010",
    " 1",
    "1 ",
    "+1",
    "1_0",
    "0x10",
    "",
    "1\0",
    "zz",
    "2147483648",
    "-0",
)
_FLOATS = ("1.5", "-0.0", "1e5", "1e999", "inf", "-inf", "nan", "1_0.5", " 1.5", "1.5\0x", "", "x", "INF")
_STRINGS = ("'m'", '"n"', "'a\\x41'", "'\\q'", "'\\'", "'", "''", "''x", "'\\777'", "'é'", "'\\x4'", "'m\"")
_PLAIN = b"N\x88\x89])}\x8f"
_WORK = b"(012ate\x85\x86\x87ld\x91su\x90R\x81\x92obQ\x94\x93"


_PHRASES = (
    b"cm\nn\n)R",
    b"cm\nn\n)\x81",
    b"cm\nn\n)}\x92",
    b"cm\nn\n}R",
    b"cm\nn\nK\x01R",
    b"cm\nn\n]\x81",
    b"(K\x01K\x02t",
    b"(K\x01im\nn\n",
    b"(cm\nn\no",
    b"(cm\nn\nK\x01o",
    b"cm\nn\n)R}b",
    b"cm\nn\n}b",
    b"]Na",
    b"](NNe",
    b"]NaK\0Ns",
    b"}NNs",
    b"}(NNu",
    b"}(u",
    b"K\x01(u",
    b"K\x01(e",
    b"\x8f(N\x90",
    b"cm\nn\nNa",
    b"cm\nn\n)RNa",
    b"cm\nn\n)R(N\x90",
    b"cm\nn\n)RNNs",
    b"NQ",
    b"\x94h\0",
    b"N0",
    b"(0",
    b"(1",
    b"N2",
)


def assemble(random: Random) -> bytes:
    """A stream of up to forty opcodes, mostly well-formed."""
    out = b"" if random.random() < 0.3 else bytes((0x80, random.choice((0, 2, 3, 4, 5))))
    out += b"".join(_piece(random) for _ in range(random.randrange(random.choice((4, 12, 40)))))
    out += random.choice((b".", b".", b".", b".junk", b"", b"cm\nn", b"(im\nn"))
    if random.random() < 0.05 and out:
        at = random.randrange(len(out))
        out = out[:at] + bytes((random.randrange(256),)) + out[at + random.randrange(2) :]
    return out


def _piece(random: Random) -> bytes:
    def pick(options: tuple[str, ...]) -> bytes:
        return random.choice(options).encode()

    def near(length: int) -> int:
        return max(0, length + random.choice((0, 0, 0, 0, 0, 0, 0, 1, -1, 300)))

    kind = random.randrange(40)
    word = random.choice((b"", b"m", b"n", b"mn", b"\xed\xa0\x80", b"\xff", b"x" * 20))
    if kind < 5:
        return bytes((random.choice(_PLAIN),))
    if kind < 10:
        return bytes((random.choice(_WORK),))
    if kind >= 22:
        return random.choice(_PHRASES)
    return (
        lambda: b"I" + pick(_NUMBERS) + b"\n",
        lambda: b"L" + pick(_NUMBERS) + random.choice((b"L\n", b"\n", b"LL\n")),
        lambda: b"F" + pick(_FLOATS) + b"\n",
        lambda: b"S" + pick(_STRINGS) + b"\n",
        lambda: b"V" + random.choice((b"m", b"n", b"\\u0041", b"\\u12", b"\xe9", b"\\")) + b"\n",
        lambda: random.choice(
            (
                b"U" + bytes((near(len(word)) & 255,)) + word,
                b"T" + struct.pack("<I", random.choice((len(word), len(word), len(word), 1 << 31))) + word,
                b"X" + struct.pack("<I", near(len(word))) + word,
                b"\x8c" + bytes((near(len(word)) & 255,)) + word,
                b"\x8d" + struct.pack("<Q", random.choice((len(word), len(word), 1 << 63))) + word,
                b"B" + struct.pack("<I", near(len(word))) + word,
                b"C" + bytes((near(len(word)) & 255,)) + word,
                b"\x8e" + struct.pack("<Q", near(len(word))) + word,
                b"\x96" + struct.pack("<Q", near(len(word))) + word,
                b"\x8a" + bytes((near(len(word)) & 255,)) + word,
                b"\x8b" + struct.pack("<i", random.choice((len(word), len(word), -1))) + word,
            )
        ),
        lambda: random.choice(
            (b"K\x01", b"M\x01\x02", b"J\xff\xff\xff\xff", b"G" + struct.pack(">d", 1.5), b"\x97", b"\x98")
        ),
        lambda: random.choice((b"c", b"c", b"c", b"(i")) + pick(_NAMES) + b"\n" + pick(_NAMES[:5]) + b"\n",
        lambda: b"\x8c\x01m\x8c\x01n\x93" if random.random() < 0.8 else b"S'm'\nS'n'\n\x93",
        lambda: random.choice(
            (b"q\x00", b"q\x01", b"r\x01\0\0\0", b"p0\n", b"p01\n", b"p-1\n", b"p 1\n", b"p1\0\n", b"\x94", b"p0x1\n")
        ),
        lambda: random.choice((b"h\x00", b"h\x01", b"j\x01\0\0\0", b"g0\n", b"g00\n", b"g-1\n", b"g+1\n", b"g9\n")),
        lambda: random.choice(
            (
                b"\x95" + struct.pack("<Q", random.choice((0, 1, 2, 5, 9, 30, 1000, 1 << 63))),
                b"\x80" + bytes((random.choice((1, 2, 4, 5, 6)),)),
                b"\x82\x00",
                b"\x84\xff\xff\xff\xff",
                b"Pab\n",
                b"P\xff\n",
            )
        ),
    )[kind - 10]()
