"""Hostile archives: many small members of every kind, archives within archives, and headers without end."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Iterator

from benchmarks.hostile.case import Case, one_per, repeated

MEMBERS: dict[str, tuple[str, bytes]] = {
    "empty files": ("{n}", b""),
    "pickles": ("{n}.pkl", b"\x80\x02N."),
    "pickles that call": ("{n}.pkl", b"\x80\x02cos\nsystem\n)R."),
    "tables": ("{n}.json", b"{}"),
    "configs": ("{n}/config.json", b'{"auto_map":{"AutoModel":"a.B"}}'),
    "templates": ("{n}.jinja", b"{{ a.__class__ }}"),
    "sources": ("{n}.py", b"import os\nos.system('a')\n"),
    "arrays": (
        "{n}.npy",
        b"\x93NUMPY\1\0\x76\0" + b"{'descr':'<f4','fortran_order':False,'shape':(0,),}".ljust(117) + b"\n",
    ),
    "texts": ("{n}.txt", b"a"),
    "HDF5": ("{n}.h5", b"\x89HDF\r\n\x1a\n" + bytes(88)),
    "ONNX": ("{n}.onnx", b"\x08\x07\x3a\x02\x0a\x00"),
    "noise": ("{n}", b"\x01\x02\x03\x04\xff\xfe"),
    "YAML": ("{n}.yaml", b"a: !!python/object:os.system {}\n"),
    "XML": ("{n}.pmml", b"<PMML/>"),
    "safetensors": ("{n}.safetensors", b"\2\0\0\0\0\0\0\0{}"),
    "GGUF": ("{n}.gguf", b"GGUF\3\0\0\0" + bytes(16)),
    "storages": ("archive/data/{n}", b"1234"),
    "long names": ("a/" * 100 + "{n}", b""),
    "names that lead out": ("../{n}", b""),
    "one name": ("a", b"\x80\x02N."),
    "odd names": ("\u202e{n}", b""),
}


def zipped(members: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return file.getvalue()


def tarred(members: list[tuple[str, bytes]]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return file.getvalue()


def _many(
    name: str, data: bytes, overhead: int, join: Callable[[list[tuple[str, bytes]]], bytes]
) -> Callable[[int], bytes]:
    def make(size: int) -> bytes:
        count = max(1, size // (overhead + 2 * len(name.encode()) + len(data)))
        return join([(name.format(n=number), data) for number in range(count)])

    return make


def _packed(size: int, pack: Callable[[bytes], bytes]) -> list[tuple[str, bytes]]:
    made = [pack(b"%d" % number) for number in range(max(1, size // 160))]
    return [(f"{number}.pkl.x", data) for number, data in enumerate(made)]


def _towers() -> Iterator[Case]:
    def tower(join: Callable[[list[tuple[str, bytes]]], bytes], ending: str, wide: int) -> Callable[[int], bytes]:
        def make(size: int) -> bytes:
            data = b"\x80\x02N."
            while len(data) * wide < size:
                data = join([(f"{number}.{ending}", data) for number in range(wide)])
            return data

        return make

    yield Case("zip in zip", "m.zip", tower(zipped, "zip", 4))
    yield Case("zip in zip, packed", "m.zip", tower(lambda members: zipped(members, zipfile.ZIP_DEFLATED), "zip", 16))
    yield Case("tar in tar", "m.tar", tower(tarred, "tar", 3))
    yield Case("tar in tar, packed", "m.tgz", lambda size: gzip.compress(tower(tarred, "tar", 4)(size * 20), mtime=0))


def cases() -> Iterator[Case]:
    deflated = lambda members: zipped(members, zipfile.ZIP_DEFLATED)
    for name, (pattern, data) in MEMBERS.items():
        yield Case(f"zip of {name}", "m.zip", _many(pattern, data, 76, zipped))
        yield Case(f"zip of packed {name}", "m.zip", _many(pattern, data, 78, deflated))
        if len(pattern) < 90:
            yield Case(f"tar of {name}", "m.tar", _many(pattern, data, 1_024, tarred))
            packed = _many(pattern, data, 1_024, tarred)
            yield Case(
                f"packed tar of {name}", "m.tgz", lambda size, make=packed: gzip.compress(make(size * 20), mtime=0)
            )
    yield Case("npz of arrays", "m.npz", _many(*MEMBERS["arrays"], 76, zipped))
    yield Case("Keras archive of files", "m.keras", _many(*MEMBERS["tables"], 76, zipped))
    torch = lambda members: zipped([("archive/data.pkl", b"\x80\x02}."), ("archive/version", b"3"), *members])
    for name in ("storages", "sources", "pickles"):
        yield Case(f"torch archive of {name}", "m.pt", _many(*MEMBERS[name], 76, torch))
    for name, pack in {"gzip": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}.items():
        yield Case(f"zip of {name}", "m.zip", lambda size, pack=pack: zipped(_packed(size, pack)))
        yield Case(f"{name} of zeros", "m.pkl", lambda size, pack=pack: pack(bytes(size * 100)))
        yield Case(f"{name} streams", "m.pkl", one_per(40, lambda n, pack=pack: pack(b"%d" % n), b"".join))
    yield from _towers()
    for name, unit in {
        "ends": b"PK\5\6" + bytes(18),
        "ends alone": b"PK\5\6",
        "local headers": b"PK\3\4" + bytes(26),
        "local marks": b"PK\3\4",
        "central headers": b"PK\1\2" + bytes(42),
        "descriptors": b"PK\7\x08" + bytes(12),
        "large ends": b"PK\6\6" + bytes(52),
        "locators": b"PK\6\7" + bytes(16),
    }.items():
        yield Case(f"zip {name}", "m.zip", repeated(unit, before=b"PK\3\4" + bytes(26)))
        yield Case(
            f"zip {name}, ended", "m.zip", repeated(unit, before=b"PK\3\4" + bytes(26), after=b"PK\5\6" + bytes(18))
        )
    yield Case("tar blocks of nothing", "m.tar", lambda size: tarred([("a", b"")])[:512] + bytes(size))
    yield Case("7z names", "m.7z", repeated(b"a\0", before=b"7z\xbc\xaf\x27\x1c\0\4" + bytes(24)))
