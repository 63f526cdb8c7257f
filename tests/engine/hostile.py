"""Files made to exhaust whoever reads them, by name; and what scanning and admitting one of them costs.

Run as a program, it judges one directory in a process of its own and prints how that ended and what it took:

    python tests/engine/hostile.py <directory>
"""

from __future__ import annotations

import json
import struct
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

CONFIG = b'{"model_type": "bert", "dtype": "float32"}'
GIB2 = (1 << 31) - 1


def doubled(times: int) -> bytes:
    """`x = (x, x)`, so often that nobody can walk over it: sixty steps make a tree of a billion billion leaves."""
    return b")" + b"2\x86" * times


def zip_of(entries: list[tuple[bytes, bytes, int, int]], *, claimed: int | None = None, repeat: int = 1) -> bytes:
    """A zip of `(name, packed bytes, method, size)`, whose last entry the directory lists `repeat` times."""
    body, directory, last = b"", b"", b""
    for name, data, method, size in entries:
        crc = zlib.crc32(data) if method == 0 else 0
        rest = struct.pack("<HHHHHIIIHH", 20, 0, method, 0, 0, crc, len(data), size, len(name), 0)
        last = b"PK\x01\x02" + struct.pack("<H", 20) + rest + struct.pack("<HHHII", 0, 0, 0, 0, len(body)) + name
        directory += last
        body += b"PK\x03\x04" + rest + name + data
    directory += last * (repeat - 1)
    count = claimed if claimed is not None else len(entries) + repeat - 1
    large = struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, count, count, len(directory), len(body))
    locator = struct.pack("<IQI", 0, len(body) + len(directory), 1)
    end = struct.pack("<HHHHIIH", 0, 0, min(count, 0xFFFF), min(count, 0xFFFF), len(directory), len(body), 0)
    return b"".join((body, directory, b"PK\x06\x06", large, b"PK\x06\x07", locator, b"PK\x05\x06", end))


def bomb() -> bytes:
    """A torch zip whose one storage is a gigabyte of zeros, deflated a thousandfold."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = b"".join([squeeze.compress(bytes(1 << 20)) for _ in range(1 << 10)] + [squeeze.flush()])
    return zip_of(
        [(b"a/data.pkl", b"\x80\x02}.", 0, 4), (b"a/version", b"3\n", 0, 2), (b"a/data/0", zeros, 8, 1 << 30)]
    )


TENSOR = (
    b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\1\0\0\x000X\3\0\0\0cpuK\1tQ"
    b"K\0K\1\x85K\1\x85\x89ccollections\nOrderedDict\n)RtR"
)
"""One number, in storage `0`."""


def torch_zip(value: bytes) -> bytes:
    """A torch zip with one storage of one number, and this value."""
    body = b"\x80\x02" + value + b"."
    return zip_of([(b"a/data.pkl", body, 0, len(body)), (b"a/data/0", bytes(4), 0, 4)])


def expanded() -> bytes:
    """A tensor of one number in a shape of a billion billion."""
    shape = b"\x8a\x08" + (1 << 60).to_bytes(8, "little") + b"\x85"
    return TENSOR.replace(b"K\1\x85K\1\x85", shape + b"K\0\x85")


def members() -> bytes:
    """A torch zip that lists a million members."""
    return zip_of([(b"a/data.pkl", b"\x80\x02}.", 0, 4), (b"a/data/0", b"", 0, 0)], repeat=1_000_000)


def header(text: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file with this header."""
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def tensors(count: int) -> bytes:
    table = {f"t{i}": {"dtype": "U8", "shape": [1], "data_offsets": [i, i + 1]} for i in range(count)}
    return header(json.dumps(table).encode(), bytes(count))


PICKLES: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "one byte": lambda: b"\x80",
    "nested tuples": lambda: b"\x80\x02)" + b"\x85" * 100_000 + b".",
    "nested lists": lambda: b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "nested calls": lambda: b"\x80\x02" + b"cbuiltins\nlist\n(" * 50_000 + b"tR" * 50_000 + b".",
    "a length of 2 GiB": lambda: b"\x80\x02X" + struct.pack("<I", GIB2) + b"x" * 80,
    "bytes of 2 GiB": lambda: b"\x80\x03B" + struct.pack("<I", GIB2) + b"x" * 80,
    "bytes of 8 EiB": lambda: b"\x80\x04\x8e" + struct.pack("<Q", (1 << 63) - 1) + b"x" * 80,
    "a bytearray of 8 EiB": lambda: b"\x80\x05\x96" + struct.pack("<Q", (1 << 63) - 1) + b"x" * 80,
    "a frame of 8 EiB": lambda: b"\x80\x04\x95" + struct.pack("<Q", (1 << 63) - 1) + b"N.",
    "an integer of 2 GiB": lambda: b"\x80\x02\x8b" + struct.pack("<i", GIB2) + b"\x01" * 80,
    "an integer of a million digits": lambda: b"I" + b"9" * 1_000_000 + b"\n.",
    "memo index 2**31": lambda: b"\x80\x02Nr" + struct.pack("<I", 1 << 31) + b".",
    "memo index of a million digits": lambda: b"Np" + b"9" * 1_000_000 + b"\n.",
    "invalid UTF-8": lambda: b"\x80\x02X\x02\x00\x00\x00\xff\xfe.",
    "a million marks": lambda: b"\x80\x02" + b"(" * 1_000_000 + b".",
    "a million duplicates": lambda: b"\x80\x02N" + b"2" * 1_000_000 + b".",
    "a billion billion leaves": lambda: b"\x80\x02" + doubled(60) + b".",
    "a key of a billion billion leaves": lambda: b"\x80\x02}" + doubled(60) + b"Ns.",
    "a set of a billion billion leaves": lambda: b"\x80\x04\x8f(" + doubled(60) + b"\x90.",
    "two such keys": lambda: b"\x80\x02}" + doubled(40) + b"Ns" + doubled(40) + b"Ns.",
    "a state dict of them": lambda: b"\x80\x02}X\x05\x00\x00\x00model" + doubled(60) + b"s.",
    "a tensor in a billion billion places": lambda: torch_zip(TENSOR + b"\x85" + b"2\x86" * 60),
    "a tensor under a billion billion names": lambda: torch_zip(
        b"}X\1\0\0\0w" + TENSOR + b"s" + b"q\x010}X\1\0\0\0ah\1sX\1\0\0\0bh\1s" * 60
    ),
    "a tensor of a billion billion numbers": lambda: torch_zip(b"}X\1\0\0\0w" + expanded() + b"s"),
    "ten thousand pickles": lambda: b"\x80\x02N." * 100_000,
    "a zip bomb": bomb,
    "a million members": members,
    "members that are claimed": lambda: zip_of([(b"a/data.pkl", b"N.", 0, 2)], claimed=1 << 62),
    "garbage": lambda: bytes(range(256)) * 4000,
    "zeros": lambda: bytes(10 << 20),
    "a tar of nothing": lambda: b"pickle" + bytes(94) + b"0000644\x00" * 3 + b"77777777777\x00" + bytes(376),
    "a torch legacy head": lambda: b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.",
}
"""Contents of a `pytorch_model.bin`."""

SAFETENSORS: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "seven bytes": lambda: bytes(7),
    "a header of 2 GiB": lambda: header(b"{}", length=1 << 31),
    "a header of 16 EiB": lambda: header(b"{}", length=(1 << 64) - 1),
    "no JSON": lambda: header(b"{" * 100),
    "deep JSON": lambda: header(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "invalid UTF-8": lambda: header(b'{"\xff": 1}'),
    "an enormous shape": lambda: header(
        b'{"a":{"dtype":"F32","shape":[4611686018427387904,4611686018427387904],"data_offsets":[0,4]}}', bytes(4)
    ),
    "a number of a million digits": lambda: header(
        b'{"a":{"dtype":"F32","shape":[' + b"9" * 1_000_000 + b'],"data_offsets":[0,4]}}', bytes(4)
    ),
    "a long rank": lambda: header(
        b'{"a":{"dtype":"F32","shape":[' + b"1," * 500_000 + b'1],"data_offsets":[0,4]}}', bytes(4)
    ),
    "overlapping": lambda: header(
        b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}',
        bytes(6),
    ),
    "past the end": lambda: header(b'{"a":{"dtype":"U8","shape":[99],"data_offsets":[0,99]}}', bytes(4)),
    "a key twice": lambda: header(b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},' * 2 + b'"c":1}', bytes(4)),
    "a pickle": lambda: b"\x80\x02}q\x00.",
    "a hundred thousand tensors and a hole": lambda: tensors(100_000) + b"x",
}
"""Contents of a `model.safetensors`, all of them wrong."""

CONFIGS: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "deep": lambda: b'{"a":' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}",
    "deep and cut": lambda: b'{"a":' * 1_000_000,
    "a number of a million digits": lambda: b'{"a":' + b"9" * 1_000_000 + b"}",
    "invalid UTF-8": lambda: b'{"a": "\xff\xfe"}',
    "UTF-16": lambda: CONFIG.decode().encode("utf-16"),
    "zeros": lambda: bytes(1 << 20),
    "open string": lambda: b'{"a": "' + b"x" * 1_000_000,
    "an array": lambda: b"[1, 2, 3]",
}
"""Contents of a `config.json`."""


def _peak() -> int:
    """The most memory that this process had, without what its parent had before it."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def judge(path: str) -> dict[str, object]:
    """Scan and admit a directory; tell how each ended."""
    from safeload.core.errors import SafeloadError
    from safeload.engine.admit import admit
    from safeload.engine.scan import scan

    scan(path[:0] or __file__)  # modules are imported before the clock starts
    before = time.process_time()
    report = scan(path)
    scanned = time.process_time() - before
    try:
        admit(path).close()
        ended, text, where = "admitted", "", ""
    except SafeloadError as error:
        ended, text, where = type(error).__name__, str(error), str(error.where)
    return {
        "scanned": scanned,
        "admitted": time.process_time() - before - scanned,
        "peak": _peak(),
        "statuses": {file.path: file.status.name for file in report.files},
        "ended": ended,
        "text": text,
        "where": where,
    }


if __name__ == "__main__":
    json.dump(judge(sys.argv[1]), sys.stdout)
