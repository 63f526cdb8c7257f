"""Checkpoints in which one storage is described in two ways: torch believes the first mention of it.

Found by comparing with torch.load: reading each mention by itself gave other tensors than torch does.
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Callable

import pytest
import torch

from safeload.core.errors import MalformedInput
from safeload.formats.tree import named_tensors, tree
from tests.formats.helpers import data, kinds, reading, same, saved, value_of
from tests.rules.streams import text

RAW = struct.pack("<8f", *range(8))
MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}."


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def view(key: str, offset: int, count: int) -> bytes:
    return b"(" + text(key) + number(offset) + number(count) + b"t"


def tensor(kind: str, count: int, *, key: str = "0", part: bytes = b"") -> bytes:
    """One tensor of four elements over a storage of that type."""
    storage = b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text("cpu") + number(count) + part
    rest = b"tQK\0(K\x04t(K\x01t\x89ccollections\nOrderedDict\n)RtR"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + rest


def legacy(one: bytes, other: bytes) -> bytes:
    value = b"\x80\x02}(" + text("one") + one + text("other") + other + b"u."
    return MAGIC + value + pickle.dumps(["0"], 2) + struct.pack("<q", 8) + RAW


def rewritten(raw: bytes, change: Callable[[str, bytes], tuple[str, bytes]]) -> bytes:
    """The same archive with other members."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(out, "w") as new:
        for member in old.namelist():
            new.writestr(*change(member, old.read(member)))
    return out.getvalue()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (tensor("FloatStorage", 8, part=b"N"), tensor("IntStorage", 8, part=b"N")),
        (tensor("FloatStorage", 8, part=view("v", 0, 4)), tensor("FloatStorage", 8, part=view("v", 4, 4))),
        (tensor("FloatStorage", 8, part=view("v", 0, 4)), tensor("FloatStorage", 8, part=view("v", 0, 8))),
        (tensor("FloatStorage", 8, part=b"N"), tensor("FloatStorage", 8, part=view("0", 4, 4))),
    ],
    ids=["two types", "two places", "two lengths", "a view named as its storage"],
)
def test_one_storage_described_in_two_ways(one: bytes, other: bytes) -> None:
    """Two types or places of one storage are refused: readers differ in which they take."""
    with pytest.raises(MalformedInput, match="tensor cannot be read"):
        tree(data(reading(legacy(one, other))))


def test_mentions_that_agree_are_one_storage() -> None:
    """The same type and view twice, and a shorter mention of a whole storage, are what programs write."""
    one = tensor("FloatStorage", 8, part=view("v", 2, 4))
    named = named_tensors(tree(data(reading(legacy(one, one)))))
    assert value_of(named["other"]).tolist() == [2.0, 3.0, 4.0, 5.0]
    named = named_tensors(
        tree(data(reading(legacy(tensor("FloatStorage", 8, part=b"N"), tensor("FloatStorage", 4, part=b"N")))))
    )
    assert value_of(named["other"]).tolist() == [0.0, 1.0, 2.0, 3.0]


def test_members_are_found_without_regard_to_case() -> None:
    """torch looks members up without regard to case: the byte order and storages are found as it finds them."""
    wanted = torch.arange(4.0)
    swapped = wanted.view(torch.uint8).reshape(4, 4).flip(1).reshape(-1).view(torch.float32)

    def change(name: str, content: bytes) -> tuple[str, bytes]:
        name = name.replace("byteorder", "BYTEORDER").replace("data/0", "DATA/0")
        return name, b"big" if name.endswith("BYTEORDER") else content

    raw = rewritten(saved({"w": swapped}), change)
    result = reading(raw)
    assert not kinds(result)
    assert same(value_of(named_tensors(tree(data(result)))["w"]), wanted)
    assert same(torch.load(io.BytesIO(raw), weights_only=True)["w"], wanted)


def test_a_dictionary_made_by_a_call_keeps_its_names() -> None:
    """`dict(…)` of a dictionary is that dictionary, as for any unpickler."""

    def change(name: str, content: bytes) -> tuple[str, bytes]:
        called = content[:2] + b"cbuiltins\ndict\n" + content[2:-1] + b"\x85R."
        return name, called if name.endswith("data.pkl") else content

    raw = rewritten(saved({"w": torch.arange(4.0)}), change)
    assert list(named_tensors(tree(data(reading(raw))))) == ["w"]
