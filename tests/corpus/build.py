"""Builds every fixture of the formats: benign and hostile files, byte for byte, from this script alone.

    python -m tests.corpus.build DIRECTORY     writes them all

Tests call the functions directly. Nothing here unpickles anything. A payload's only effect, were it to run, is to
create the file that `payload()` names.
"""

from __future__ import annotations

import gzip
import io
import os
import pickle
import struct
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MARKER = "/nonexistent/safeload-marker"


class Payload:
    """Pickles as a call of `os.system` that would create a marker."""

    def __init__(self, marker: str = MARKER) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


def payload(protocol: int = 2, marker: str = MARKER) -> bytes:
    """A pickle that would create the marker."""
    return pickle.dumps(Payload(marker), protocol)


# ── zip, written by hand so that every field can lie ────────────────────────────────────────────────────────────


@dataclass
class Zipped:
    """One member. `local` and `central` override single fields of its two headers."""

    name: str | bytes
    data: bytes
    method: int = 0
    flags: int = 0
    local: dict[str, Any] = field(default_factory=dict)
    central: dict[str, Any] = field(default_factory=dict)
    before: bytes = b""
    """Bytes put in front of the local header."""
    listed: bool = True
    extra: bytes = b""


def make_zip(members: Iterable[Zipped], *, comment: bytes = b"", end: dict[str, int] | None = None) -> bytes:
    """An archive of the members, in order. `end` overrides fields of the end record."""
    out = bytearray()
    directory = bytearray()
    count = 0
    for member in members:
        out += member.before
        packed = _deflate(member.data) if member.method == 8 else member.data
        facts: dict[str, Any] = {
            "name": member.name if isinstance(member.name, bytes) else member.name.encode(),
            "flags": member.flags,
            "method": member.method,
            "crc": zlib.crc32(member.data),
            "packed": len(packed),
            "size": len(member.data),
            "header": len(out),
        }
        own, listed = {**facts, **member.local}, {**facts, **member.central}
        out += struct.pack(
            "<4s5H3I2H",
            b"PK\x03\x04",
            20,
            own["flags"],
            own["method"],
            0,
            0x21,
            own["crc"],
            own["packed"],
            own["size"],
            len(own["name"]),
            len(member.extra),
        )
        out += own["name"] + member.extra + packed
        if not member.listed:
            continue
        count += 1
        directory += struct.pack(
            "<4s6H3I5H2I",
            b"PK\x01\x02",
            20,
            20,
            listed["flags"],
            listed["method"],
            0,
            0x21,
            listed["crc"],
            listed["packed"],
            listed["size"],
            len(listed["name"]),
            0,
            0,
            0,
            0,
            0,
            listed["header"],
        )
        directory += listed["name"]
    said = {"count": count, "size": len(directory), "offset": len(out), "disk": 0, **(end or {})}
    tail = struct.pack(
        "<4s4H2IH",
        b"PK\x05\x06",
        said["disk"],
        0,
        said["count"],
        said["count"],
        said["size"],
        said["offset"],
        len(comment),
    )
    return bytes(out + directory) + tail + comment


def _deflate(data: bytes) -> bytes:
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    return engine.compress(data) + engine.flush()


def checkpoint(data: bytes, storages: dict[str, bytes] | None = None, **options: Any) -> list[Zipped]:
    """The members of a torch checkpoint whose pickle is `data`."""
    members = [Zipped("archive/data.pkl", data, **options), Zipped("archive/byteorder", b"little")]
    members += [Zipped(f"archive/data/{key}", value) for key, value in (storages or {}).items()]
    return [*members, Zipped("archive/version", b"3\n")]


def bomb(size: int = 1 << 30) -> bytes:
    """A deflated `data.pkl` of zeros that is a thousand times larger than its file."""
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = b"".join(engine.compress(bytes(1 << 20)) for _ in range(size >> 20)) + engine.flush()
    member = Zipped("archive/data.pkl", packed, local={"method": 8, "size": size}, central={"method": 8, "size": size})
    return make_zip([member])


def many_members(count: int = 1_000_000) -> bytes:
    """A directory of empty members without names, with ZIP64 records because of their number."""
    record = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, *[0] * 14)
    directory = record * count
    wide = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, len(directory), 0)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, len(directory), 1)
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return directory + wide + locator + end


# ── pickles by opcode ───────────────────────────────────────────────────────────────────────────────────────────


def named(module: str, name: str) -> bytes:
    """The opcode that imports a global."""
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    data = value.to_bytes((value.bit_length() // 8) + 1, "little", signed=True)
    return b"\x8a" + bytes((len(data),)) + data


def numbers(values: Iterable[int]) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def storage(key: str = "0", count: int = 4, kind: str = "FloatStorage") -> bytes:
    """The persistent id of a storage, as torch writes it."""
    return b"(" + text("storage") + named("torch", kind) + text(key) + text("cpu") + number(count) + b"tQ"


def tensor(
    shape: Iterable[int] = (4,), strides: Iterable[int] = (1,), offset: int = 0, place: bytes | None = None
) -> bytes:
    """A call of `_rebuild_tensor_v2`."""
    hooks = named("collections", "OrderedDict") + b")R"
    inner = (place or storage()) + number(offset) + numbers(shape) + numbers(strides) + b"\x89" + hooks
    return named("torch._utils", "_rebuild_tensor_v2") + b"(" + inner + b"tR"


def state_dict(entries: dict[str, bytes]) -> bytes:
    """A pickle of a dictionary whose values are given by their opcodes."""
    return b"\x80\x02}(" + b"".join(text(key) + value for key, value in entries.items()) + b"u."


# ── other containers ────────────────────────────────────────────────────────────────────────────────────────────


def legacy(data: bytes, keys: list[str], storages: Iterable[tuple[int, bytes]], protocol: int = 2) -> bytes:
    """torch's stream format: `(number of elements, bytes)` for each storage."""
    facts = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    head = b"".join(pickle.dumps(value, protocol) for value in (0x1950A86A20F9469CFC6C, 1001, facts))
    tail = b"".join(struct.pack("<q", count) + raw for count, raw in storages)
    return head + data + pickle.dumps(keys, protocol) + tail


def torch_tar(values: list[float]) -> bytes:
    """A checkpoint from before 0.1.10: one float tensor of two rows, and a view of its storage's end."""
    kind = named("torch", "FloatStorage")
    storages = pickle.dumps(1, 2) + b"\x80\x02" + b"(" + number(11) + text("cpu") + kind + b"t."
    storages += struct.pack(f"<q{len(values)}f", len(values), *values)
    storages += pickle.dumps([(12, 11, 2, len(values) - 2)], 2)
    tensors = pickle.dumps(2, 2)
    for key, root, shape, strides in ((21, 11, (2, len(values) // 2), (len(values) // 2, 1)), (22, 12, (2,), (1,))):
        tensors += b"\x80\x02(" + number(key) + number(root) + named("torch", "FloatTensor") + b"t."
        tensors += struct.pack(f"<iI{2 * len(shape)}qq", len(shape), 0, *shape, *strides, 0)
    data = b"\x80\x02}(" + text("weight") + number(21) + b"Q" + text("view") + number(22) + b"Qu."
    members = {"sys_info": pickle.dumps({}, 2), "pickle": data, "tensors": tensors, "storages": storages}
    return make_tar(members.items())


def make_tar(members: Iterable[tuple[str, bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def safetensors(header: bytes | str, data: bytes = b"", length: int | None = None) -> bytes:
    raw = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def gguf(template: str = "{{ messages }}", tensor_bytes: int = 16) -> bytes:
    """Two values, an array of texts, one float32 tensor and one quantised one."""

    def string(value: str) -> bytes:
        return struct.pack("<Q", len(value.encode())) + value.encode()

    pairs = string("general.architecture") + struct.pack("<I", 8) + string("llama")
    pairs += string("tokenizer.chat_template") + struct.pack("<I", 8) + string(template)
    pairs += string("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 2) + string("a") + string("b")
    infos = string("plain") + struct.pack("<IQQIQ", 2, 2, 2, 0, 0)
    infos += string("packed") + struct.pack("<IQIQ", 1, 32, 2, 32)
    head = b"GGUF" + struct.pack("<IQQ", 3, 2, 3) + pairs + infos
    return head + bytes(-len(head) % 32) + bytes(tensor_bytes) + bytes(32 - tensor_bytes) + bytes(18)


def npy(code: str, data: bytes) -> bytes:
    """A numpy array of four elements."""
    header = f"{{'descr': '{code}', 'fortran_order': False, 'shape': (4,), }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


FIXTURES: dict[str, Callable[[], bytes]] = {
    "benign/checkpoint.bin": lambda: make_zip(checkpoint(state_dict({"weight": tensor()}), {"0": bytes(16)})),
    "benign/legacy.bin": lambda: legacy(state_dict({"w": legacy_tensor()}), ["0"], [(4, bytes(16))]),
    "benign/old.tar": lambda: torch_tar([1.0, 2.0, 3.0, 4.0]),
    "benign/plain.pkl": lambda: pickle.dumps({"a": [1, 2.5, "x"]}, 4),
    "benign/model.safetensors": lambda: safetensors(
        '{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}', bytes(16)
    ),
    "benign/model.gguf": gguf,
    "benign/array.npy": lambda: npy("<f4", bytes(16)),
    "benign/flax_model.msgpack": lambda: (
        b"\x81\xa6params\x81\xa1w\xc7\x11\x01\x93\x91\x01\xa7float32\xc4\x04" + bytes(4)
    ),
    "benign/packed.joblib": lambda: gzip.compress(pickle.dumps({"a": [1, 2.5, "x"]}, 4), mtime=0),
    "hostile/objects.npy": lambda: npy("|O", payload()),
    "hostile/packed.joblib": lambda: gzip.compress(payload(), mtime=0),
    "hostile/packed.distcp": lambda: make_zip(checkpoint(pickle.dumps({}))) + make_zip(checkpoint(payload())),
    "hostile/protocol0.pkl": lambda: payload(0),
    "hostile/protocol5.pkl": lambda: payload(5),
    "hostile/weights.safetensors": lambda: payload(2),
    "hostile/no-stop.pkl": lambda: payload(2)[:-1] + b"\xff\xff",
    "hostile/two-in-a-row.pkl": lambda: pickle.dumps(1) + payload(),
    "hostile/nested.pkl": lambda: pickle.dumps({"state": payload(4)}, 4),
    "hostile/nested-latin.pkl": lambda: pickle.dumps({"state": payload(2)}, 2),
    "hostile/checkpoint.bin": lambda: make_zip(checkpoint(payload())),
    "hostile/side-door.bin": lambda: make_zip([*checkpoint(pickle.dumps({})), Zipped("archive/x.bin", payload())]),
    "hostile/legacy.bin": lambda: legacy(payload(), [], []),
    "hostile/legacy-header.bin": lambda: payload() + legacy(pickle.dumps({}), [], []),
    "hostile/pickle-then-zip.bin": lambda: payload() + make_zip(checkpoint(pickle.dumps({}))),
    "hostile/duplicate.bin": lambda: make_zip([*checkpoint(pickle.dumps({})), *checkpoint(payload())]),
    "hostile/case.bin": lambda: make_zip([*checkpoint(pickle.dumps({})), Zipped("archive/DATA.pkl", payload())]),
    "hostile/local-name.bin": lambda: make_zip(
        [
            Zipped("archive/data.pkl", pickle.dumps({})),
            Zipped("archive/note", payload(), local={"name": b"archive/data.pkl"}),
        ]
    ),
    "hostile/local-method.bin": lambda: make_zip([Zipped("a/data.pkl", payload(), central={"method": 8})]),
    "hostile/hidden.bin": lambda: make_zip(
        [Zipped("a/data.pkl", payload(), listed=False), *checkpoint(pickle.dumps({}))]
    ),
    "hostile/encrypted.bin": lambda: make_zip([Zipped("a/data.pkl", payload(), flags=1)]),
    "hostile/traversal.bin": lambda: make_zip([*checkpoint(pickle.dumps({})), Zipped("../../x.pkl", payload())]),
    "hostile/bomb.bin": lambda: bomb(1 << 26),
    "hostile/many-members.bin": lambda: many_members(200_000),
    "hostile/duplicate-key.safetensors": lambda: safetensors(
        '{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}',
        b"x",
    ),
    "hostile/deep.json": lambda: b"[" * 100_000,
    "hostile/config.json": lambda: b'{"auto_map": {"AutoModel": "other/repo--m.C"}, "attn_implementation": "a/kernel"}',
    "stand-in/pointer.bin": lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
    "stand-in/page.bin": lambda: b"<!DOCTYPE html>\n<html><body>404</body></html>",
    "stand-in/empty.bin": lambda: b"",
}
"""Every fixture by its name; `README.md` says what each shows."""


def legacy_tensor() -> bytes:
    """A tensor over storage 0 of the legacy format, whose ids have a sixth field."""
    place = b"(" + text("storage") + named("torch", "FloatStorage") + text("0") + text("cpu") + number(4) + b"NtQ"
    return tensor(place=place)


def build(into: Path) -> list[Path]:
    """Write every fixture below `into`."""
    written = []
    for name, make in FIXTURES.items():
        path = into / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make())
        written.append(path)
    return written


if __name__ == "__main__":
    print(f"{len(build(Path(sys.argv[1])))} files written")
