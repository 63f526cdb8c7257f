"""Hostile binary files: protocol buffers, and the headers, tables and items of the other formats."""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from collections.abc import Callable, Iterator

from benchmarks.hostile.case import Case, numbered, repeated

HDF5_HEAD = (
    b"\x89HDF\r\n\x1a\n"
    + bytes((0, 0, 0, 0, 0, 8, 8, 0))
    + struct.pack("<HHI", 4, 16, 0)
    + struct.pack("<QQQQ", 0, (1 << 64) - 1, 1 << 30, (1 << 64) - 1)
    + struct.pack("<QQII", 0, 96, 0, 0)
    + bytes(16)
)
"""The superblock of an HDF5 file, whose root group begins right behind it."""


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes((number & 127 | 128,))
        number >>= 7
    return out + bytes((number,))


def field(number: int, data: bytes) -> bytes:
    """A field of a protocol buffer that holds bytes."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def within(make: Callable[[int], bytes], *numbers: int, before: bytes = b"") -> Callable[[int], bytes]:
    """What `make` gives, as a field of a field, innermost number last."""

    def made(size: int) -> bytes:
        data = make(size)
        for number in reversed(numbers):
            data = field(number, data)
        return before + data

    return made


def noise(size: int) -> bytes:
    """Bytes without a pattern, the same each time."""
    state, out = 1, bytearray()
    while len(out) < size:
        state = (state * 6364136223846793005 + 1442695040888963407) & ((1 << 64) - 1)
        out += state.to_bytes(8, "little")
    return bytes(out[:size])


def _protobuf() -> Iterator[Case]:
    onnx = b"\x08\x07"
    node = field(1, b"a") + field(4, b"Relu")
    onnx_units = {
        "empty fields": (b"\x0a\0", (7,)),
        "empty nodes": (field(1, b""), (7,)),
        "nodes": (field(1, node), (7,)),
        "nodes without an operator": (field(1, b"\x0a\0"), (7,)),
        "attributes": (field(5, b"\x0a\0"), (7, 1)),
        "texts": (field(4, b""), (7, 1, 5)),
        "empty tensors": (field(5, b""), (7,)),
        "tensors elsewhere": (field(5, field(13, field(1, b"location") + field(2, b"../a"))), (7,)),
        "notes on tensors": (field(5, field(13, field(1, b"k") + field(2, b"v"))), (7,)),
        "empty notes": (field(13, b""), (7, 5)),
        "sparse tensors": (field(15, field(1, b"")), (7,)),
        "empty graphs": (field(7, b""), ()),
        "graphs in attributes": (field(5, field(6, b"")), (7, 1)),
        "functions": (field(25, field(1, b"f") + field(10, b"d")), ()),
        "empty functions": (field(25, b""), ()),
        "training": (field(20, field(1, b"")), ()),
        "metadata": (field(14, field(1, b"a") + field(2, b"b")), ()),
        "numbers": (b"\x40\x05", (7, 1, 5)),
        "wide numbers": (b"\x41" + bytes(8), (7,)),
        "long numbers": (b"\x40" + b"\xff" * 9 + b"\1", (7,)),
        "groups": (b"\x0b\x0c", (7,)),
        "groups of many": (b"\x0b" * 90 + b"\x0c" * 90, (7,)),
    }
    for name, (unit, numbers) in onnx_units.items():
        yield Case(f"ONNX {name}", "m.onnx", within(repeated(unit), *numbers, before=onnx))
    other = numbered(lambda n: field(1, field(1, b"a") + field(4, b"Op%d" % n) + field(7, b"d%d" % n)))
    yield Case("ONNX different operators", "m.onnx", within(other, 7, before=onnx))
    files = numbered(lambda n: field(5, field(13, field(1, b"location") + field(2, b"../a%d" % n))))
    yield Case("ONNX different files", "m.onnx", within(files, 7, before=onnx))
    deep = field(5, b"")

    def graphs(size: int) -> bytes:
        data = deep
        while len(data) < size // 64:
            data = field(1, field(5, field(6, data)))
        return onnx + field(7, data * 64)

    yield Case("ONNX graphs in graphs", "m.onnx", graphs)
    tensorflow = {
        "empty fields": b"\x0a\0",
        "nodes": field(1, field(1, b"a") + field(2, b"Relu")),
        "nodes of one name": field(1, field(1, b"a") + field(2, b"Relu") + field(3, b"a") * 3),
        "savers of one name": field(1, field(1, b"a") + field(2, b"SaveV2") + field(3, b"a") * 3),
        "joined texts": field(1, field(1, b"a") + field(2, b"StringJoin") + field(3, b"a") * 3),
        "constants": field(
            1,
            field(1, b"a")
            + field(2, b"Const")
            + field(5, field(1, b"value") + field(2, field(8, b"\x08\x07" + field(8, b"x")))),
        ),
        "attributes": field(
            1, field(1, b"a") + field(2, b"A") + field(5, field(1, b"k") + field(2, field(2, b"v"))) * 20
        ),
        "functions": field(2, field(1, field(1, field(1, b"f")) + field(3, field(1, b"a") + field(2, b"Relu")))),
        "empty functions": field(2, field(1, b"")),
        "libraries": field(2, b""),
        "unknown": field(9, b""),
    }
    for name, unit in tensorflow.items():
        start = field(1, field(1, b"a") + field(2, b"Relu"))
        yield Case(f"TensorFlow {name}", "graph.pb", repeated(unit, before=start))
        yield Case(f"SavedModel {name}", "saved_model.pb", within(repeated(unit, before=start), 2, 2, before=b"\x08\1"))
    yield Case("SavedModel graphs", "saved_model.pb", repeated(field(2, field(2, b"\x0a\0")), before=b"\x08\1"))
    yield Case("SavedModel empty graphs", "saved_model.pb", repeated(b"\x12\0", before=b"\x08\1"))
    for number in (1, 2, 9):
        objects = repeated(field(number, field(1, b"a")))
        yield Case(f"SavedModel objects {number}", "saved_model.pb", within(objects, 2, 7, before=b"\x08\1"))
    for op in (b"StringJoin", b"Identity", b"Switch", b"SaveV2", b"Relu"):
        chain = numbered(lambda n, op=op: field(1, field(1, b"n%d" % (n + 1)) + field(2, op) + field(3, b"n%d" % n)))
        yield Case(f"TensorFlow a chain of {op.decode()}", "graph.pb", chain)
        saved = lambda n, op=op: (
            field(1, field(1, b"n%d" % (n + 1)) + field(2, op) + field(3, b"n%d" % n))
            + field(1, field(1, b"s%d" % n) + field(2, b"SaveV2") + field(3, b"n%d" % n))
        )
        yield Case(f"TensorFlow savers of a chain of {op.decode()}", "graph.pb", numbered(saved))
    many = numbered(lambda n: field(1, field(1, b"n%d" % n) + field(2, b"Op%d" % n)))
    yield Case("TensorFlow different operators", "graph.pb", many)
    for file, unit in (
        *(("m.mlmodel", field(200 + n, b"")) for n in (0, 1, 2, 300, 301, 355, 403)),
        *(("m.pdmodel", unit) for unit in (b"\x0a\0", field(1, field(4, field(3, b"relu"))), field(1, field(3, b"a")))),
        *(
            ("keras_metadata.pb", unit)
            for unit in (b"\x0a\0", field(1, field(5, b"{}")), field(1, field(5, b'{"class_name":"Lambda"}')))
        ),
        *(("spm.model", unit) for unit in (b"\x0a\0", field(1, field(1, b"a") + b"\x15\0\0\0\0"))),
        *(
            ("thing.bin", unit)
            for unit in (b"\x0a\0", b"\x12\0", b"\x08\0", b"\x0a\0\x12\0\x3a\0", b"\x0a\2\x0a\0", b"\x3a\2\x0a\0")
        ),
    ):
        before = b"\x08\1\x12\0" if file == "m.mlmodel" else b""
        yield Case(f"{file} {unit!r}", file, repeated(unit, before=before))
    yield Case("CoreML layers", "m.mlmodel", within(repeated(field(1, b"")), 500, before=b"\x08\1\x12\0"))
    yield Case(
        "CoreML operations", "m.mlmodel", within(repeated(field(3, field(1, b"a"))), 502, before=b"\x08\1\x12\0")
    )


def _flatbuffers() -> Iterator[Case]:
    head = b"\x18\0\0\0TFL3" + bytes(12)
    for file, mark in (("m.tflite", b"TFL3"), ("m.pte", b"ET12")):
        for name, unit in {
            "zeros": bytes(4),
            "offsets": b"\x10\0\0\0",
            "near offsets": b"\4\0\0\0",
            "back": b"\xfc\xff\xff\xff",
            "small": b"\4\0\4\0",
        }.items():
            yield Case(f"{file} {name}", file, repeated(unit, before=head.replace(b"TFL3", mark)))
        yield Case(f"{file} noise", file, lambda size, mark=mark: b"\x1c\0\0\0" + mark + noise(size))

    def vector(size: int) -> bytes:
        """A vector of operators that all lie at one place."""
        count = size // 4
        table = struct.pack("<HHH", 12, 8, 0) + struct.pack("<HHH", 4, 0, 0)
        root = struct.pack("<iI", 12 + 0, 0)
        body = struct.pack("<I4s", 20, b"TFL3") + table + root
        return body + struct.pack("<I", count) + b"\x10\0\0\0" * count

    yield Case("m.tflite a vector of one place", "m.tflite", vector)


def _tensors() -> Iterator[Case]:
    def gguf(entries: int, unit: Callable[[int], bytes], share: int, tensors: bool = False) -> Callable[[int], bytes]:
        def make(size: int) -> bytes:
            count = size // share
            head = b"GGUF" + struct.pack("<IQQ", 3, count if tensors else 0, 0 if tensors else count)
            return head + b"".join(unit(n) for n in range(count))

        return make

    def key(number: int) -> bytes:
        return struct.pack("<Q", 6) + b"%06d" % number

    yield Case("GGUF keys", "m.gguf", gguf(1, lambda n: key(n) + struct.pack("<IB", 0, 1), 19))
    yield Case("GGUF texts", "m.gguf", gguf(1, lambda n: key(n) + struct.pack("<IQ", 8, 1) + b"a", 27))
    yield Case("GGUF empty lists", "m.gguf", gguf(1, lambda n: key(n) + struct.pack("<IIQ", 9, 0, 0), 30))
    yield Case("GGUF one key", "m.gguf", gguf(1, lambda n: key(0) + struct.pack("<IB", 0, 1), 19))
    yield Case("GGUF tensors", "m.gguf", gguf(1, lambda n: key(n) + struct.pack("<IQIQ", 1, 0, 0, 0), 38, True))
    template = lambda n: (
        struct.pack("<Q", 30) + b"tokenizer.chat_template.%06d" % n + struct.pack("<IQ", 8, 19) + b"{{ a.__class__.b }}"
    )
    yield Case("GGUF templates", "m.gguf", gguf(1, template, 69))
    for kind, item in ((8, bytes(8)), (0, b"\0"), (9, struct.pack("<IQ", 0, 0))):
        head = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"a"
        make = lambda size, kind=kind, item=item, head=head: (
            head + struct.pack("<IIQ", 9, kind, size // len(item)) + item * (size // len(item))
        )
        yield Case(f"GGUF a list of type {kind}", "m.gguf", make)

    def headed(make: Callable[[int], bytes]) -> Callable[[int], bytes]:
        def made(size: int) -> bytes:
            header = make(size)
            return struct.pack("<Q", len(header)) + header

        return made

    tensor = '"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},'
    for name, unit in {
        "tensors": tensor,
        "numbers": '"%d":1,',
        "shapes": '"%d":{"dtype":"F32","shape":[' + "1," * 50 + '0],"data_offsets":[0,0]},',
        "one name": tensor.replace("%d", "a%.0s"),
        "escaped names": tensor.replace("%d", "\\u0061%d"),
    }.items():
        make = headed(numbered(lambda n, unit=unit: (unit % n).encode(), before=b"{", after=b'"__metadata__":{}}'))
        yield Case(f"safetensors {name}", "m.safetensors", make)
    yield Case(
        "safetensors metadata",
        "m.safetensors",
        headed(numbered(lambda n: b'"%d":"a",' % n, before=b'{"__metadata__":{', after=b'"a":"b"}}')),
    )
    yield Case(
        "safetensors nested",
        "m.safetensors",
        headed(lambda size: b'{"a":' + b"[" * (size // 2) + b"]" * (size // 2) + b"}"),
    )
    yield Case("safetensors spaces", "m.safetensors", headed(repeated(b" ", before=b"{}")))

    def array(make: Callable[[int], bytes]) -> Callable[[int], bytes]:
        return lambda size: (lambda header: b"\x93NUMPY\2\0" + struct.pack("<I", len(header)) + header)(make(size))

    for name, before, unit, after in (
        ("fields", b"{'descr':[", b"('a','<f4'),", b"],'fortran_order':False,'shape':(0,),}"),
        ("brackets", b"{'descr':", b"[", b",'fortran_order':False,'shape':(0,),}"),
        ("dimensions", b"{'descr':'<f4','fortran_order':False,'shape':(", b"1,", b"),}"),
        ("spaces", b"{'descr':'<f4','fortran_order':False,'shape':(0,),}", b" ", b"\n"),
        ("sums", b"{'descr':'<f4','fortran_order':False,'shape':(", b"1+", b"1,),}"),
    ):
        yield Case(f"npy {name}", "m.npy", array(repeated(unit, before=before, after=after)))


def _items() -> Iterator[Case]:
    for name, unit in {
        "nested lists": b"\x91",
        "nested tables": b"\x81\xa1a",
        "empty tables": b"\x80",
        "nothing": b"\xc0",
        "extensions": b"\xc7\0\1",
        "small extensions": b"\xd4\1a",
        "texts": b"\xa1a",
        "arrays": b"\xc7\x0f\1\x93\x91\0\xa7float32\xc4\0",
        "bytes": b"\xc4\0",
    }.items():
        yield Case(f"msgpack {name}", "flax_model.msgpack", repeated(unit))
        counted = lambda size, unit=unit: b"\xdd" + struct.pack(">I", size // len(unit)) + unit * (size // len(unit))
        yield Case(f"msgpack a list of {name}", "flax_model.msgpack", counted)
        table = lambda size, unit=unit: (
            b"\xdf"
            + struct.pack(">I", size // (len(unit) + 5))
            + b"".join(b"\xa4%04d" % (n % 10_000) + unit for n in range(size // (len(unit) + 5)))
        )
        yield Case(f"msgpack a table of {name}", "flax_model.msgpack", table)
    for name, unit in {
        "lists": b"[",
        "tables": b"{",
        "keys": b"{i\1a",
        "counted": b"[#i\0",
        "noop": b"N",
        "numbers": b"i\1",
        "closed": b"[]",
    }.items():
        yield Case(f"UBJSON {name}", "m.ubj", repeated(unit, before=b"{L" + struct.pack(">q", 7) + b"learner"))
    rds = b"X\n\0\0\0\3\0\4\0\0\0\3\5\0"
    for name, unit in {
        "empty lists": b"\0\0\0\x13\0\0\0\0",
        "lists": b"\0\0\0\x13\0\0\0\1",
        "pairs": b"\0\0\0\2",
        "symbols": b"\0\0\0\1\0\4\0\x09\0\0\0\1a",
        "calls": b"\0\0\0\6",
        "closures": b"\0\0\0\3",
        "promises": b"\0\0\0\5",
        "nil": b"\0\0\0\xfe",
        "environments": b"\0\0\0\4\0\0\0\0",
        "attributes": b"\0\0\2\x13\0\0\0\0",
        "bytecode": b"\0\0\0\x15\0\0\0\1",
        "references": b"\0\0\1\xff",
        "texts": b"\0\4\0\x09\0\0\0\1a",
    }.items():
        yield Case(f"R {name}", "m.rds", repeated(unit, before=rds))
        counted = lambda size, unit=unit: (
            rds + b"\0\0\0\x13" + struct.pack(">i", size // len(unit)) + unit * (size // len(unit))
        )
        yield Case(f"R a list of {name}", "m.rds", counted)
        yield Case(
            f"R packed {name}",
            "m.rds",
            lambda size, unit=unit: gzip.compress(rds + unit * (size // len(unit)), mtime=0),
        )


def _hdf5() -> Iterator[Case]:
    header = lambda count, size: struct.pack("<BBHII", 1, 0, count, 1, size) + bytes(4)
    for name, unit in {
        "empty messages": struct.pack("<HHB3x", 0, 0, 0),
        "links": struct.pack("<HHB3x", 6, 24, 0) + b"\1\0\1a" + struct.pack("<Q", 96) + bytes(12),
        "attributes": struct.pack("<HHB3x", 12, 40, 0) + bytes((1, 0, 8, 0, 8, 0, 8, 0)) + b"class_na" + bytes(24),
        "continuations": struct.pack("<HHB3x", 16, 16, 0) + struct.pack("<QQ", 112, 4096),
        "symbol tables": struct.pack("<HHB3x", 17, 16, 0) + struct.pack("<QQ", 96, 96),
        "filters": struct.pack("<HHB3x", 11, 8, 0) + b"\1\1\0\0\0\0\0\0",
        "external files": struct.pack("<HHB3x", 7, 24, 0) + b"\1\0\0\0\1\0\1\0" + bytes(16),
    }.items():
        make = lambda size, unit=unit: (
            HDF5_HEAD + header(min(65_535, size // len(unit)), size) + unit * (size // len(unit))
        )
        yield Case(f"HDF5 {name}", "m.h5", make)
        lot = lambda size, unit=unit: (
            HDF5_HEAD
            + header(2, 32)
            + struct.pack("<HHB3x", 16, 16, 0)
            + struct.pack("<QQ", 144, size)
            + bytes(8)
            + unit * (size // len(unit))
        )
        yield Case(f"HDF5 continued {name}", "m.h5", lot)
    for unit in (
        b"\x89HDF\r\n\x1a\n",
        b"TREE",
        b"SNOD",
        b"HEAP",
        b"OHDR",
        b"GCOL",
        b"FRHP",
        b"BTHD",
        b"OCHK",
        bytes(8),
        b"\xff",
    ):
        yield Case(f"HDF5 {unit!r}", "m.h5", repeated(unit, before=HDF5_HEAD))
    yield Case("HDF5 noise", "m.h5", lambda size: HDF5_HEAD + noise(size))


def _others() -> Iterator[Case]:
    for file in (
        "m.bin",
        "m.pt",
        "m.pkl",
        "m.so",
        "m.pyc",
        "m.joblib",
        "m.onnx",
        "m.engine",
        "m.dat",
        "m.npy",
        "m.7z",
        "m.rds",
        "m.model",
        "m.params",
    ):
        yield Case(f"noise as {file}", file, noise)
        yield Case(f"zeros as {file}", file, bytes)
    for begin in (
        b"\x7fELF",
        b"MZ",
        b"\xca\xfe\xba\xbe",
        b"\0asm",
        b"GGUF",
        b"PK\3\4",
        b"7z\xbc\xaf\x27\x1c",
        b"BZh9",
        b"\xfd7zXZ\0",
        b"\x28\xb5\x2f\xfd",
        b'\x04"M\x18',
        b"\x1f\x8b\x08\0",
    ):
        yield Case(f"noise behind {begin!r}", "m.bin", lambda size, begin=begin: begin + noise(size))
    legacy = b"\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.\x80\x02}.\x80\x02]."
    yield Case("torch legacy with noise", "m.pt", lambda size: legacy + noise(size))
    yield Case(
        "torch legacy with keys",
        "m.pt",
        numbered(lambda n: b"X\4\0\0\0%04d" % (n % 10_000), before=legacy[:-1] + b"(", after=b"e."),
    )
    yield Case("zlib of zeros", "m.pkl", lambda size: zlib.compress(bytes(size * 50)))
    yield Case(
        "JSON of UBJSON keys",
        "m.json",
        lambda size: json.dumps({"learner": {"a" * 10 + str(n): n for n in range(size // 22)}}).encode(),
    )


def cases() -> Iterator[Case]:
    yield from _protobuf()
    yield from _flatbuffers()
    yield from _tensors()
    yield from _items()
    yield from _hdf5()
    yield from _others()
