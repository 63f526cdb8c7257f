"""Files that a pickle can stand in, honest ones and others. Each takes random choices and a pickle, and gives bytes."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import lzma
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from random import Random

from tests.corpus.build import Zipped, checkpoint, gguf, legacy, make_tar, make_zip, npy, safetensors
from tests.generator.written import counted

GOOD = pickle.dumps({}, 2)
NAMES = (
    *("pytorch_model.bin", "model.pt", "model.pth", "model.ckpt", "model.pkl", "model.pickle", "model", "optimizer.pt"),
    *("model.joblib", "model.dat", "rng_state.pth", "training_args.bin", "scheduler.pt", "model.tar", "model.dill"),
)
WRONG_NAMES = (
    *("model.safetensors", "config.json", "README.md", "logo.png", "vocab.txt", "model.onnx", "model.h5", "x.npy"),
    *("model.gguf", "tokenizer.model", "data.csv", "script.sh", "a.b.c.d", ".gitattributes", "model.7z", "weights.npz"),
)
MEMBERS = ("archive/data.pkl", "data.pkl", "archive/constants.pkl", "x/DATA.PKL", "model/data/0", "archive/version")


def _deflated(choose: Random, data: bytes) -> bytes:
    return make_zip(checkpoint(data, method=8))


def _other_member(choose: Random, data: bytes) -> bytes:
    name = choose.choice(
        (*MEMBERS, "notes.txt", "archive/.data", "data.pkl/", "archive\\data.pkl", "archive/data.pkl.bak")
    )
    return make_zip([*checkpoint(GOOD), Zipped(name, data)])


def _lying(choose: Random, data: bytes) -> bytes:
    """One field of the headers is not true."""
    field, value = choose.choice(
        [
            *(("flags", flag) for flag in (0x1, 0x20, 0x40, 0x800, 0x2000)),
            *(("crc", 0), ("method", 8), ("method", 99), ("size", 1), ("packed", len(data) - 1)),
            *(("name", b"archive/data.pk"), ("name", b""), ("name", b"archive/data.pkl\0.txt")),
        ]
    )
    where = choose.choice(["local", "central", "both"])
    lies = {side: {field: value} for side in ("local", "central") if where in (side, "both")}
    return make_zip(checkpoint(data, **lies))


def _twice(choose: Random, data: bytes) -> bytes:
    members = [Zipped("archive/data.pkl", GOOD)] * choose.randrange(1, 3)
    members.insert(choose.randrange(len(members) + 1), Zipped("archive/data.pkl", data))
    return make_zip(members)


def _hidden(choose: Random, data: bytes) -> bytes:
    return make_zip([Zipped("archive/data.pkl", data, listed=False), *checkpoint(GOOD)])


def _zip_in_zip(choose: Random, data: bytes) -> bytes:
    inner = make_zip(checkpoint(data))
    for _ in range(choose.randrange(1, 4)):
        inner = make_zip([Zipped(choose.choice(("inner.zip", "model.pt", "a/b.bin")), inner)])
    return inner


def _before(choose: Random, data: bytes) -> bytes:
    return choose.choice((b"\0" * 32, b"#!/bin/sh\n", GOOD, gguf(), bytes(4096))) + make_zip(checkpoint(data))


def _both(choose: Random, data: bytes) -> bytes:
    return data + make_zip(checkpoint(GOOD)) if choose.random() < 0.5 else GOOD + make_zip(checkpoint(data))


def _legacy(choose: Random, data: bytes) -> bytes:
    return legacy(data, [], [], protocol=choose.choice((2, 3, 4)))


def _legacy_head(choose: Random, data: bytes) -> bytes:
    return data + legacy(GOOD, [], [])


def _tar(choose: Random, data: bytes) -> bytes:
    members = [("sys_info", GOOD), ("pickle", GOOD), ("tensors", pickle.dumps(0, 2)), ("storages", pickle.dumps(0, 2))]
    at = choose.randrange(len(members))
    members[at] = (members[at][0], data)
    return make_tar(members)


def _tar_file(choose: Random, data: bytes) -> bytes:
    return make_tar([("readme.txt", b"hello"), (choose.choice(("model.ckpt", "a/b.pkl", "weights.bin")), data)])


def _packed(choose: Random, data: bytes) -> bytes:
    pack: Callable[[bytes], bytes] = choose.choice(
        (
            lambda raw: gzip.compress(raw, mtime=0),
            zlib.compress,
            bz2.compress,
            lzma.compress,
            lambda raw: lzma.compress(raw, lzma.FORMAT_ALONE),
        )
    )
    return pack(data)


def _packed_twice(choose: Random, data: bytes) -> bytes:
    return _packed(choose, _packed(choose, data))


def _npz(choose: Random, data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("good.npy", npy("<f4", bytes(16)))
        archive.writestr("bad.npy", npy("|O", data))
    return out.getvalue()


def _nested(choose: Random, data: bytes) -> bytes:
    """A pickle as a constant of a harmless one: something will unpickle it sooner or later."""
    held = b"\x8e" + struct.pack("<Q", len(data)) + data
    for _ in range(choose.randrange(2)):
        inner = b"\x80\x04" + held + b"."
        held = b"B" + struct.pack("<I", len(inner)) + inner
    return b"\x80\x04}" + counted("state") + held + b"s."


def _encoded(choose: Random, data: bytes) -> bytes:
    """A call that decodes and unpickles."""
    encoded = base64.b64encode(data)
    inner = b"cbase64\nb64decode\nB" + struct.pack("<I", len(encoded)) + encoded + b"\x85R"
    return b"\x80\x04cpickle\nloads\n" + inner + b"\x85R."


def _appended(choose: Random, data: bytes) -> bytes:
    header = '{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'
    return safetensors(header, b"x") + make_zip(checkpoint(data))


def _distributed(choose: Random, data: bytes) -> bytes:
    return make_zip(checkpoint(GOOD)) + make_zip(checkpoint(data))


CONTAINERS: dict[str, Callable[[Random, bytes], bytes]] = {
    "bare": lambda choose, data: data,
    "torch-zip": lambda choose, data: make_zip(checkpoint(data)),
    "torch-zip-deflated": _deflated,
    "zip-other-member": _other_member,
    "zip-lying": _lying,
    "zip-twice": _twice,
    "zip-hidden": _hidden,
    "zip-in-zip": _zip_in_zip,
    "zip-behind-something": _before,
    "pickle-and-zip": _both,
    "legacy": _legacy,
    "legacy-head": _legacy_head,
    "torch-tar": _tar,
    "tar": _tar_file,
    "packed": _packed,
    "packed-twice": _packed_twice,
    "npy": lambda choose, data: npy("|O", data),
    "npz": _npz,
    "nested": _nested,
    "encoded": _encoded,
    "behind-safetensors": _appended,
    "distcp": _distributed,
}
