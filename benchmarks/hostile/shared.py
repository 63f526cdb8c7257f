"""Hostile pickles that hand one large value to as many acts as fit: what each act looks at takes quadratic time."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from benchmarks.hostile.case import Case, repeated


def _text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _lot(opening: bytes, unit: bytes, closing: bytes, size: int) -> bytes:
    """A container that takes so many bytes, as entry 5 of the memo."""
    return opening + unit * (size // len(unit)) + closing + b"q\x050"


LARGE = {
    "a tuple": lambda size: _lot(b"(", b"K\x01", b"t", size),
    "a list": lambda size: _lot(b"](", b"K\x01", b"e", size),
    "a table": lambda size: _lot(b"}(", b"".join(_text(f"{n}") + b"N" for n in range(100)), b"u", size),
    "a text": lambda size: b"X" + struct.pack("<I", size) + b"a" * size + b"q\x050",
    "a dotted text": lambda size: b"X" + struct.pack("<I", size // 2 * 2) + b"a." * (size // 2) + b"q\x050",
    "a Latin text": lambda size: b"V" + b"\xe9" * size + b"\nq\x050",
    "a Greek text": lambda size: b"X" + struct.pack("<I", size // 2 * 2) + b"\xce\xb1" * (size // 2) + b"q\x050",
    "a pickle": lambda size: (
        b"C\xfa\x80\x02(" + b"K\x01" * 123 + b"t" + b"q\x050"
        if size < 300
        else (b"B" + struct.pack("<I", size) + b"\x80\x02(" + b"N" * (size - 5) + b"t." + b"q\x050")
    ),
    "bytes": lambda size: b"B" + struct.pack("<I", size) + b"\xff" * size + b"q\x050",
}
"""Values of so many bytes."""

RECORD = b"cnumpy\ndtype\n(X\2\0\0\0V0\x89\x88tR(K\3X\1\0\0\0|Nh\5h\5K\0K\1K\x10tb0"
ENCODED = b"(c_codecs\nencode\n(h\5X\6\0\0\0latin1tRtR0"
ACTS = {
    "calls of an unknown class": b"cm\nA\nh\5R0",
    "calls with it as argument": b"cm\nA\nh\5\x85R0",
    "new objects": b"cm\nA\nh\5\x810",
    "new objects with keywords": b"cm\nA\n)h\5\x920",
    "calls of os.system": b"cos\nsystem\nh\5R0",
    "calls of OrderedDict": b"ccollections\nOrderedDict\nh\5R0",
    "calls of __newobj__": b"ccopyreg\n__newobj__\nh\5R0",
    "rebuilt tensors": b"ctorch._utils\n_rebuild_tensor_v2\nh\5R0",
    "rebuilt objects": b"ctorch._tensor\n_rebuild_from_type_v2\n(cm\nA\ncm\nB\nh\5h\5tR0",
    "scalars": b"cnumpy.core.multiarray\nscalar\nh\5R0",
    "arrays": b"cnumpy.core.multiarray\n_reconstruct\nh\5R0",
    "record types": RECORD,
    "storages": b"ctorch.storage\n_load_from_bytes\nh\5\x85R0",
    "encoded storages": b"ctorch.storage\n_load_from_bytes\n" + ENCODED,
    "members": b"c__builtin__\ngetattr\n(cm\nA\nh\5tR0",
    "states": b"cm\nA\n)Rh\5b0",
    "states of two halves": b"cm\nA\n)RNh\5\x86b0",
    "states of lists": b"](h\5h\5h\5e}b0",
    "items": b"cm\nA\n)RK\1h\5s0",
    "traps": b"cm\nA\n}X\6\0\0\0appendcm\nB\ns\x85R}b0",
    "computed calls": b"h\5h\5R0",
    "persistent objects": b"h\5Q0",
    "names": b"X\1\0\0\0mh\5\x930",
    "modules": b"h\5X\1\0\0\0m\x930",
    "names, called": b"X\1\0\0\0mh\5\x93)R0",
    "tuples of it": b"h\5\x850",
    "sets of it": b"(h\5\x910",
}
"""What is done with entry 5, again and again."""


def cases() -> Iterator[Case]:
    for value, large in LARGE.items():
        for act, unit in ACTS.items():

            def make(size: int, large: object = large, unit: bytes = unit) -> bytes:
                assert callable(large)
                return repeated(unit, before=b"\x80\x04" + large(size // 2), after=b"N.")(size)

            yield Case(f"shared {value}: {act}", "m.pkl", make)
    for name, unit in {"an object": b"cm\nA\n)Rq\6", "an OrderedDict": b"ccollections\nOrderedDict\n)Rq\6"}.items():
        yield Case(f"shared growing {name}", "m.pkl", repeated(b"K\1Ns}b", before=b"\x80\4" + unit, after=b"."))
    doubled = {
        "tuples": b"h\0h\0\x86q\0000",
        "tables": b"}(K\1h\0K\2h\0uq\0000",
        "objects": b"cm\nA\n)\x81}(K\1h\0K\2h\0ubq\0000",
    }
    for name, unit in doubled.items():
        yield Case(f"shared doubled {name}", "m.pkl", repeated(unit, before=b"\x80\2Nq\0000", after=b"h\0."))
    levels = [b"\x80\2cnumpy\ndtype\n(X\2\0\0\0V0\x89\x88tRq\0(K\3X\1\0\0\0|NNNK\0K\1K\0tb0"]
    for level in range(1, 16):
        before = b"h" + bytes((level - 1,))
        fields = b"}(" + b"".join(_text(f"{n}") + before + b"K\0\x86" for n in range(8)) + b"u"
        names = b"(" + b"".join(_text(f"{n}") for n in range(8)) + b"t"
        state = b"(K\3X\1\0\0\0|N" + names + fields + b"K\0K\1K\x10tb"
        levels.append(b"cnumpy\ndtype\n(X\2\0\0\0V0\x89\x88tR" + state + b"q" + bytes((level,)) + b"0")
    yield Case(
        "shared record types in each other", "m.pkl", repeated(b"".join(levels[1:]), before=levels[0], after=b"N.")
    )
