"""Hostile files that multiply: one thing listed by many, containers in other containers, and counts that lie."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator

from benchmarks.hostile.archives import tarred, zipped
from benchmarks.hostile.case import Case, nested, numbered, repeated

Wrap = Callable[[bytes], bytes]


def _overlapping(data: bytes, name: str, method: int = 0) -> Callable[[int], bytes]:
    """A zip archive all of whose entries are the same member: each is listed in 46 bytes and its name."""

    def make(size: int) -> bytes:
        packed = data
        if method:
            engine = zlib.compressobj(9, zlib.DEFLATED, -15)
            packed = engine.compress(data) + engine.flush()
        facts = (zlib.crc32(data), len(packed), len(data))
        first = name.format(n=0).encode()
        local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, method, 0, 33, *facts, len(first), 0) + first + packed
        directory, count = [], 0
        while count < 65_535 and len(local) + sum(map(len, directory[:1])) * count < size:
            own = name.format(n=count).encode()
            directory.append(
                struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, method, 0, 33, *facts, len(own), 0, 0, 0, 0, 0, 0)
                + own
            )
            count += 1
        listed = b"".join(directory)
        end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(listed), len(local), 0)
        return local + listed + end

    return make


def _zips() -> Iterator[Case]:
    pickle = b"\x80\x02(" + b"cmy.lib\nThing\n" * 50 + b"t."
    for kind, (name, data) in {
        "pickles": ("{n}.pkl", pickle),
        "one name": ("a.pkl", pickle),
        "texts": ("{n}.json", json.dumps({f"key{n}": [n] for n in range(400)}).encode()),
        "templates": ("{n}.jinja", b"{{ a.b }}" * 500),
        "sources": ("{n}.py", b"import os\nos.system('a')\n" * 200),
        "arrays": (
            "{n}.npy",
            b"\x93NUMPY\1\0\x76\0" + b"{'descr':'|O','fortran_order':False,'shape':(1,)}".ljust(118) + pickle,
        ),
        "archives": ("{n}.zip", zipped([("a.pkl", pickle)])),
        "HDF5": ("{n}.h5", b"\x89HDF\r\n\x1a\n" + bytes(4_000)),
    }.items():
        yield Case(f"layered zip of one member listed often: {kind}", "m.zip", _overlapping(data, name))
        yield Case(f"layered zip of one packed member listed often: {kind}", "m.zip", _overlapping(data, name, 8))


WRAPS: dict[str, tuple[str, Wrap]] = {
    "gzip": (".gz", lambda data: gzip.compress(data, 9, mtime=0)),
    "xz": (".xz", lzma.compress),
    "bz2": (".bz2", bz2.compress),
    "zip": (".zip", lambda data: zipped([("a", data)], zipfile.ZIP_DEFLATED)),
    "tar": (".tar", lambda data: tarred([("a", data)])),
    "npz": (".npz", lambda data: zipped([("a.npy", data)], zipfile.ZIP_DEFLATED)),
}


def _towers() -> Iterator[Case]:
    """A large content under three layers of every two kinds, packed as far as that goes."""
    contents: dict[str, Callable[[int], bytes]] = {
        "zeros": bytes,
        "calls": repeated(b"cos\nsystem\n)R0", after=b"N."),
        "lists": nested(b"[", b"]"),
    }
    for first, (_, one) in WRAPS.items():
        for second, (ending, two) in WRAPS.items():
            for kind, content in contents.items():

                def make(size: int, content: object = content, one: Wrap = one, two: Wrap = two) -> bytes:
                    assert callable(content)
                    return two(one(two(content(size * 20))))

                if first < second:
                    yield Case(f"layered {second} in {first} in {second}: {kind}", f"m{ending}", make)


def _counts() -> Iterator[Case]:
    """A number that promises more than there is, or that makes the reader go round."""
    large = (1 << 62).to_bytes(8, "little")
    yield Case(
        "layered GGUF of as many tensors as a number can say",
        "m.gguf",
        repeated(b"\1", before=b"GGUF\3\0\0\0" + large * 2),
    )
    arrays = b"GGUF\3\0\0\0" + struct.pack("<QQ", 0, 1) + struct.pack("<Q", 1) + b"a" + struct.pack("<I", 9)
    yield Case("layered GGUF of arrays in arrays", "m.gguf", repeated(struct.pack("<IQ", 9, 1), before=arrays))
    yield Case(
        "layered GGUF of wide arrays of empty arrays",
        "m.gguf",
        repeated(struct.pack("<IQ", 9, 0), before=arrays + struct.pack("<IQ", 9, 1 << 20)),
    )
    header = b'{"a":{"dtype":"F32","shape":[' + b"0," * 10
    yield Case(
        "layered safetensors of one shape",
        "m.safetensors",
        lambda size: (
            struct.pack("<Q", size)
            + header
            + b"0," * ((size - len(header) - 30) // 2)
            + b'0],"data_offsets":[0,0]}}'
            + b" " * 60
        ),
    )
    yield Case(
        "layered numpy header of fields",
        "m.npy",
        lambda size: (
            b"\x93NUMPY\3\0"
            + struct.pack("<I", size - 12)
            + b"{'descr':["
            + b"('a','<f4')," * ((size - 80) // 12)
            + b"],'fortran_order':False,'shape':(0,)}".ljust(80)
        ),
    )
    yield Case(
        "layered numpy header of types within each other",
        "m.npy",
        lambda size: (
            b"\x93NUMPY\3\0"
            + struct.pack("<I", size - 12)
            + b"{'descr':"
            + b"[('a'," * (size // 9)
            + b"'<f4'"
            + b")]" * (size // 9)
        ),
    )
    laughs = b"<!DOCTYPE a [<!ENTITY a0 'x'>" + b"".join(
        b"<!ENTITY a%d '&a%d;&a%d;'>" % (n + 1, n, n) for n in range(40)
    )
    yield Case(
        "layered XML of entities in entities",
        "m.pmml",
        repeated(b"&a40;", before=laughs + b"]><PMML>", after=b"</PMML>"),
    )
    anchors = b"a0: &a0 [x,x]\n" + b"".join(b"a%d: &a%d [*a%d,*a%d]\n" % (n + 1, n + 1, n, n) for n in range(40))
    yield Case("layered YAML of anchors in anchors", "config.yaml", repeated(b"- *a40\n", before=anchors + b"b:\n"))
    yield Case(
        "layered YAML of merges",
        "config.yaml",
        numbered(lambda n: b"a%d: &a%d\n  <<: *a%d\n  k%d: 1\n" % (n, n, max(0, n - 1), n)),
    )
    tree = b"\x89HDF\r\n\x1a\n" + bytes((0, 0, 0, 0, 0, 8, 8, 0)) + struct.pack("<HHI", 4, 16, 0)
    tree += struct.pack("<QQQQ", 0, (1 << 64) - 1, 1 << 30, (1 << 64) - 1) + struct.pack("<QQII", 0, 96, 1, 0)
    tree += struct.pack("<QQ", 512, 256)
    loop = b"TREE" + struct.pack("<BBHQQ", 0, 1, 30, 512, 512) + struct.pack("<QQ", 0, 512) * 30 + bytes(8)
    yield Case(
        "layered HDF5 of a tree within itself", "m.h5", lambda size: (tree.ljust(512, b"\0") + loop).ljust(size, b"\0")
    )
    yield Case(
        "layered Jinja of loops in loops", "chat_template.jinja", nested(b"{% for a in range(9) %}", b"{% endfor %}")
    )
    yield Case(
        "layered R lists that name themselves",
        "m.rds",
        repeated(b"\0\0\xff\x01" * 2, before=b"X\n\0\0\0\2\0\4\0\0\0\2\3\0\0\0\0\x13\0\1\0\0"),
    )
    yield Case(
        "layered notebook of outputs",
        "a.ipynb",
        repeated(
            b'{"data":{"text/html":["<a>"]}},',
            before=b'{"nbformat":4,"cells":[{"cell_type":"code","source":"","outputs":[',
            after=b"{}]}]}",
        ),
    )
    yield Case(
        "layered README of links", "README.md", numbered(lambda n: b"[a%d](http://a%d/../b) `os.system`\n" % (n, n))
    )
    yield Case("layered README of one line", "README.md", repeated(b"[a](<b> `"))
    names = b"\0\0\0" + b"\5" + b"\xc0\x80\x80" + b"\x11"
    yield Case(
        "layered 7z of as many files as a number can say",
        "m.7z",
        repeated(names, before=b"7z\xbc\xaf\x27\x1c\0\4" + bytes(24)),
    )
    yield Case("layered Python of brackets", "modeling.py", nested(b"[", b"]"))
    yield Case("layered JSON of one key", "config.json", nested(b'{"auto_map":', b"}", within=b"1"))
    yield Case("layered MessagePack of arrays", "m.msgpack", repeated(b"\x91"))
    yield Case("layered protocol buffers", "m.onnx", lambda size: _messages(size))


def _messages(size: int) -> bytes:
    """Attributes of graphs in attributes, each as long as all that are in it."""
    out = b""
    for number in (7, *(1, 5, 6) * (size // 40)):
        length, tag = len(out), bytes((number << 3 | 2,))
        digits = b""
        while length > 127:
            digits += bytes((length & 127 | 128,))
            length >>= 7
        out = tag + digits + bytes((length,)) + out
        if len(out) > size:
            break
    return b"\x08\7" + out


def cases() -> Iterator[Case]:
    yield from _zips()
    yield from _towers()
    yield from _counts()
