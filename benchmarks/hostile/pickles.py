"""Hostile pickles: every opcode, pair and any triple of opcodes repeated; and what calls, names and constants can cost.

Most sequences end at the first or second repetition, because an operand is missing. Those that go on are found by
reading a short one, and only they are measured.
"""

from __future__ import annotations

import base64
import bz2
import gzip
import itertools
import lzma
import random
import zlib
from collections.abc import Iterator

from benchmarks.hostile.case import Case, numbered, repeated
from safeload.core.blob import MemoryBlob
from safeload.core.machine import read_pickle
from safeload.core.names import Location
from tests.generator.written import written

NAME = b"m\nA\n"
ARGUMENTS = {
    **dict.fromkeys(map(bytes, zip(b"(.012NQRabdeloptsu])}")), b""),
    **dict.fromkeys((b"\x85", b"\x86", b"\x87", b"\x88", b"\x89", b"\x81", b"\x8f", b"\x90", b"\x91"), b""),
    **dict.fromkeys((b"\x92", b"\x93", b"\x94", b"\x97", b"\x98"), b""),
    b"p": b"0\n",
    b"g": b"0\n",
    b"q": b"\x00",
    b"h": b"\x00",
    b"r": b"\0\0\0\0",
    b"j": b"\0\0\0\0",
    b"c": NAME,
    b"i": NAME,
    b"P": b"1\n",
    b"I": b"1\n",
    b"L": b"1L\n",
    b"F": b"1\n",
    b"S": b"'a'\n",
    b"V": b"a\n",
    b"K": b"\1",
    b"M": b"\1\1",
    b"J": b"\1\1\1\1",
    b"G": bytes(8),
    b"\x8a": b"\1\1",
    b"\x8b": b"\1\0\0\0\1",
    b"X": b"\1\0\0\0a",
    b"\x8c": b"\1a",
    b"\x8d": b"\1\0\0\0\0\0\0\0a",
    b"T": b"\1\0\0\0a",
    b"U": b"\1a",
    b"B": b"\1\0\0\0a",
    b"C": b"\1a",
    b"\x8e": b"\1\0\0\0\0\0\0\0a",
    b"\x96": b"\1\0\0\0\0\0\0\0a",
    b"\x95": bytes(8),
    b"\x80": b"\2",
    b"\x82": b"\1",
    b"\x83": b"\1\0",
    b"\x84": b"\1\0\0\0",
}
"""Every opcode but STOP, with the shortest argument that it takes."""
ARGUMENTS.pop(b".")

SEED = 20_261_128

BEGINNINGS = {
    "nothing": b"\x80\x02N",
    "a global": b"\x80\x02cm\nA\nq\x00",
    "a standard one": b"\x80\x02cos\nsystem\nq\x00",
    "an object": b"\x80\x02cm\nA\n)Rq\x00",
    "an allowed object": b"\x80\x02ccollections\nOrderedDict\n)Rq\x00",
    "a list": b"\x80\x02]q\x00",
    "a dictionary": b"\x80\x02}q\x00",
    "a mark": b"\x80\x02cm\nA\nq\x000(",
}
"""What lies on the stack, and as entry 0 of the memo, when a sequence begins."""

_PROBE = 64


def sequences(length: int, *, sample: int = 0, seed: int = SEED) -> Iterator[Case]:
    """Repeated sequences of so many opcodes that a reader follows for long, after each of the beginnings: all of them,
    or as many as `sample` says, drawn with a seed."""
    drawn = random.Random(seed)
    units = itertools.product(ARGUMENTS, repeat=length)
    for codes in (drawn.choices(list(ARGUMENTS), k=length) for _ in range(sample)) if sample else units:
        unit = b"".join(code + ARGUMENTS[code] for code in codes)
        for name, beginning in BEGINNINGS.items():
            probe = read_pickle(MemoryBlob(beginning + unit * _PROBE), location=Location("probe"))
            if probe.opcodes >= len(codes) * _PROBE:
                yield Case(f"pickle {unit!r} on {name}", "m.pkl", repeated(unit, before=beginning, after=b"."))


def _called(argument: object, number: int = 0) -> bytes:
    return b"h\x01" + written(argument) + b"\x85R0"


def _calls(name: str, callee: bytes) -> Iterator[Case]:
    """A callable that is given many, long, or packed constants."""
    before = b"\x80\x03" + callee + b"q\x010"
    after = b"N."

    def case(kind: str, argument: object) -> Case:
        assert callable(argument)
        make = numbered(lambda number: _called(argument(number)), before=before, after=after)
        return Case(f"pickle {name} of {kind}", "m.pkl", make)

    def noise(number: int, length: int) -> bytes:
        found = b"".join(zlib.crc32(b"%d %d" % (number, i)).to_bytes(4, "little") for i in range(length // 4))
        return found[:length]

    yield case("small numbers", lambda n: n % 7)
    yield case("short texts", lambda n: f"{n}")
    yield case("packed lines", lambda n: zlib.compress(b"%d import " % n + b"z" * 50_000))
    yield case("packed base64", lambda n: base64.b64encode(zlib.compress(b"%d import " % n + b"z" * 8_000)))
    yield case("noise in base64", lambda n: base64.b64encode(noise(n, 600)).decode())
    yield case("short noise in base64", lambda n: base64.b64encode(noise(n, 12)).decode())
    yield case("noise in hexadecimal", lambda n: noise(n, 400).hex())
    yield case("tables", lambda n: {f"k{i}": f"v{n}" for i in range(30)})
    yield case("lists in lists", lambda n: [[[[n]]]])
    for text in (
        "a",
        "/",
        "a.",
        "a ",
        "http://a",
        "$(",
        "../",
        "import ",
        "A1",
        "\\\\a",
        "=",
        "%41",
        "a@b.c ",
        "\u202e",
    ):
        yield case(f"repeated {text!r}", lambda n, text=text: (text * 4_000)[: 4_000 - n % 100])
        yield case(f"short {text!r}", lambda n, text=text: text + str(n))


def _names() -> Iterator[Case]:
    def case(kind: str, unit: str, after: bytes = b"N.") -> Case:
        return Case(f"pickle {kind}", "m.pkl", numbered(lambda n: (unit % n).encode(), before=b"\x80\x03", after=after))

    yield case("names of one module", "cm\nA%d\n0")
    yield case("short modules", "cm%d\nA\n0")
    yield case("modules, called", "cm%d.lib\nThing\n)R0")
    yield case("modules, given states", "cm%d\nA\n}b0")
    yield case("classes, called", "cmy.lib\nThing%d\n)R0")
    yield case("classes, given states", "cmy.lib\nThing%d\n)R}b0")
    yield case("functions, called", "cm\nf%d\n)R0")
    yield case("names of os", "cos\nA%d\n0")
    yield case("names of os, called", "cos\nA%d\n)R0")
    yield case("names of torch", "ctorch.a%d\nA\n0")
    yield case("names of Python 2", "c__builtin__\na%d\n0")
    yield case("dotted names", "cm\na.b%d\n0")
    yield case("letters of other alphabets", "c\u0430m%d.lib\nThing\n)R0")
    yield case("names with spaces", "cm \nA%d\n0")
    yield case("names that do not show", "cm\u202e\nA%d\n0")
    yield case("instances", "(im%d\nA\n0")
    yield case("objects", "(cm%d\nA\no0")
    yield case("long names", "cm\n" + "a." * 100 + "a%d\n0")
    yield case("long modules", "c" + "a." * 100 + "a%d\nA\n0")
    yield case("allowed ones with wrong arguments", "ccollections\nOrderedDict\n(I%d\ntR0")
    yield case("an enumeration's members", "cgetattr\nA\n0c__builtin__\ngetattr\n(cm\nA\nVA%d\ntR0")
    yield case("names as arguments", "cm\nA\n(cm%d\nB\ntR0")
    yield case("persistent names", "Pa%d\n0")
    yield Case("pickle one long module", "m.pkl", repeated(b"a.", before=b"\x80\x03c", after=b"a\nThing\n)R."))
    yield Case("pickle one long name", "m.pkl", repeated(b"a.", before=b"\x80\x03ca\n", after=b"a\n)R."))


def _constants() -> Iterator[Case]:
    def case(kind: str, unit: object) -> Case:
        assert callable(unit)
        make = numbered(lambda n: written(unit(n)), before=b"\x80\x04(", after=b"t.")
        return Case(f"pickle constants: {kind}", "m.pkl", make)

    yield case("pickles", lambda n: b"\x80\x02N." + n.to_bytes(3, "little"))
    yield case("pickles that call", lambda n: b"\x80\x02cos\nsystem\n)R." + n.to_bytes(3, "little"))
    yield case("pickles behind junk", lambda n: b"\x80\x02}.\xff" + b"\x80\x02(" * 200 + n.to_bytes(3, "little"))
    yield case("pickles in base64", lambda n: base64.b64encode(b"\x80\x02cos\nsystem\n%d)R." % n).decode())
    yield case("gzip", lambda n: gzip.compress(b"%d" % n, mtime=0))
    yield case("zlib", lambda n: zlib.compress(b"%d" % n))
    yield case("bz2", lambda n: bz2.compress(b"%d" % n))
    yield case("xz", lambda n: lzma.compress(b"%d" % n))
    yield case("broken xz", lambda n: b"\xfd7zXZ\0%d" % n)
    yield case("broken bz2", lambda n: b"BZh9%d" % n)
    yield case("broken zip", lambda n: b"PK\3\4%d" % n)
    yield case("broken zlib", lambda n: b"\x78\x9c%d" % n)
    for begin in (b"c", b"(", b"\x80\x04", b"\x93", b"}", b"X"):
        yield case(f"bytes of {begin!r}", lambda n, begin=begin: begin * 8 + b"%d" % n)
        yield case(f"texts of {begin!r}", lambda n, begin=begin: (begin * 8 + b"\x80%d" % n).decode("latin-1"))
    yield Case("pickle octal escapes", "m.pkl", repeated(b"\\101", before=b"S'", after=b"'\n."))
    yield Case("pickle Unicode escapes", "m.pkl", repeated(b"\\u0041", before=b"V", after=b"\n."))
    yield Case("pickle a number of a megabyte", "m.pkl", repeated(b"1", before=b"I", after=b"\n."))
    yield Case("pickle numbers of 1,700 bytes", "m.pkl", repeated(b"I" + b"9" * 1_690 + b"\n0", after=b"N."))
    yield Case("pickle odd numbers", "m.pkl", repeated(b"I 1\n0", after=b"N."))


def _streams() -> Iterator[Case]:
    for unit in (b"N.", b"\x80\x02N.", b"cm\nA\n.", b"cos\nsystem\n)R.", b"\x80\x02cm\nA\n)R.", b"I1\n.", b"}."):
        yield Case(f"pickle streams {unit!r}", "m.pkl", repeated(unit))
    for unit in (
        *(b"\x80\x02(", b"\x80\x02]", b"\x80\x02(" + b"x" * 20, b"\x80\x02" + b"N0" * 10, b"cabc\ndef\n"),
        *(
            b"cos\nsystem\n",
            b"c",
            b"(",
            b"ca\n",
            b"cos\nsystem\n)R.",
            b"cos\nsystem\n)R\xff",
            b"\x80\x02cm\nA\n)R.\xff",
        ),
    ):
        yield Case(f"pickle strays {unit!r}", "m.pkl", repeated(unit, before=b"\x80\x02}.\xff"))
    yield Case("pickle begun with a text", "m.bin", repeated(b"\x80\x02]", before=b"X\x05\0\0\0aaaaa\xff"))
    for unit in (b"h\x00h\x00\x86q\x00", b"h\x00h\x00)Rq\x00", b"]h\x00aq\x00", b"}h\x00h\x00sq\x00"):
        yield Case(
            f"pickle growing {unit!r}", "m.pkl", repeated(unit + b"0", before=b"\x80\x02cm\nA\nq\x000", after=b"h\x00.")
        )
        tail = b"cos\nsystem\nh\x00\x85R0" * 4_000
        yield Case(
            f"pickle grown {unit!r} as argument",
            "m.pkl",
            repeated(unit + b"0", before=b"\x80\x02cm\nA\nq\x000", after=tail + b"h\x00."),
        )
    rebuilt = (
        b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0"
        b"0X\x03\0\0\0cpuK\x01tQK\0K\x01\x85K\x01\x85\x89NtR0"
    )
    yield Case("pickle tensors", "m.pkl", repeated(rebuilt, before=b"\x80\x02", after=b"N."))
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR0"
    yield Case("pickle arrays", "m.pkl", repeated(array, before=b"\x80\x02", after=b"N."))
    member = b"c__builtin__\ngetattr\n(cm\nA\nVA\ntR0"
    yield Case("pickle members", "m.pkl", repeated(member, before=b"\x80\x02", after=b"N."))
    storage = written(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.\x80\x02}.\x80\x02].")
    loaded = b"ctorch.storage\n_load_from_bytes\n" + storage + b"\x85R0"
    yield Case("pickle storages in bytes", "m.pkl", repeated(loaded, before=b"\x80\x04", after=b"N."))


def cases() -> Iterator[Case]:
    """Everything but the repeated sequences of opcodes."""
    yield from _calls("calls of a class", b"cmy.lib\nThing\n")
    yield from _calls("calls of os.system", b"cos\nsystem\n")
    yield from _names()
    yield from _constants()
    yield from _streams()
