"""The tensors of a program that `torch.export.save` wrote: raw bytes, which a list in JSON describes.

`<root>/data/weights/<model>_weights_config.json` maps each name to a member beside it, an element type, sizes, strides
and an offset; `data/constants/` has the like for constants, which are named `constants.<name>` here, as those of
TorchScript are. What is listed as pickled is no plain tensor and is refused. The program itself is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from safeload.core.blob import Blob
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.frozen import replace
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.formats.base import Storage, TensorTable, TensorView
from safeload.formats.inside import account, member_of
from safeload.formats.strict_json import parse_json
from safeload.formats.tensors import StorageRef, bad, counts, view, whole
from safeload.formats.zip_archive import Entry, read_archive
from safeload.formats.zip_member import Budget, check_size, open_member
from safeload.formats.zip_parts import storage_of

_TYPES = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64",
    9: "complex32", 10: "complex64", 11: "complex128", 12: "bool", 13: "bfloat16", 28: "uint16",
    29: "float8_e4m3fn", 30: "float8_e5m2", 31: "float8_e4m3fnuz", 32: "float8_e5m2fnuz", 33: "float8_e8m0fnu",
    34: "uint32", 35: "uint64",
}  # fmt: skip
"""Element types by their numbers, which are part of the format."""
_STRIDED = 7
_LISTS = (
    ("data/weights/", "_weights_config.json", "", re.compile(r"weight_\d{1,9}\Z", re.ASCII)),
    ("data/constants/", "_constants_config.json", "constants.", re.compile(r"tensor_\d{1,9}\Z", re.ASCII)),
)
"""Where the lists are, what goes before their names, and how members are called: torch unpickles those of any other
name, whatever a list says of them."""


def weights(blob: Blob, location: Location, limits: Limits) -> Iterator[TensorTable]:
    """The table of an archive's tensors; nothing if it has no list of them.

    Raises:
        MalformedInput: a list is not one, a member is missing, or a tensor does not fit into its member.
        LimitExceeded: a list is longer, or lists more tensors, than the limits allow.
    """
    entries: dict[str, Entry | None] = {}
    for entry in read_archive(blob, location, limits).entries:
        entries[entry.name] = None if entry.name in entries else entry
    found: dict[str, TensorView] = {}
    lists = 0
    for name in entries:
        for folder, ending, prefix, called in _LISTS:
            head, hit, model = name.removesuffix(ending).rpartition(folder)
            if not hit or not name.endswith(ending) or "/" in model or (head and not head.endswith("/")):
                continue
            lists += 1
            named = prefix if model == "model" else f"{model}.{prefix}"
            place = member_of(location, name)
            for key, tensor in _listed(blob, entries, name, f"{head}{folder}", called, place, limits):
                if len(found) >= limits.tensors:
                    raise LimitExceeded("tensors", allowed=limits.tensors, wanted=len(found) + 1, where=location)
                where = Location(location.file, location.member, None, named + key)
                found[named + key] = replace(tensor, location=where)
    if lists:
        yield TensorTable(location=location, tensors=found)


def _listed(
    blob: Blob,
    entries: Mapping[str, Entry | None],
    name: str,
    folder: str,
    called: re.Pattern[str],
    place: Location,
    limits: Limits,
) -> Iterator[tuple[str, TensorView]]:
    """The tensors of one list."""
    swapped = _is_big(blob, entries, folder.rpartition("data/")[0], place, limits)
    raw = _content(blob, _only(entries, name), place, limits)
    account(limits, blob).work.parse(raw.size, place)
    document = parse_json(raw.read_at(0, min(raw.size, limits.json_bytes + 1)), place, limits)
    config = document.data.get("config") if isinstance(document.data, dict) else None
    if not isinstance(config, dict) or document.repeated:
        raise MalformedInput(
            "an exported program cannot be read",
            where=place,
            why="it does not list its tensors, or lists one twice",
            remedy="fetch the file again, or ask its author",
        )
    storages: dict[str, Storage] = {}
    for key, entry in config.items():
        try:
            member, meta, kind = _described(entry, called)
            if member not in storages:
                stored = storage_of(blob, _only(entries, folder + member), place, limits)
                storages[member] = replace(stored, big_endian=swapped)
            yield key, replace(_tensor(storages[member], folder + member, meta, limits), kind=kind)
        except MalformedInput as error:
            error.where = Location(place.file, place.member, None, key)
            raise


def _described(entry: Any, called: re.Pattern[str]) -> tuple[str, dict[str, Any], str]:
    """The member, the description and the kind of one tensor."""
    match entry:
        case {"path_name": str() as name, "use_pickle": False, "tensor_meta": dict() as meta} if called.match(name):
            return name, meta, "parameter" if entry.get("is_param") is True else "buffer"
        case {"path_name": str(), "use_pickle": bool()}:
            raise bad("it is pickled, as tensors of subclasses and other objects are")
    raise bad("it is not described")


def _tensor(storage: Storage, key: str, meta: dict[str, Any], limits: Limits) -> TensorView:
    dtype = _TYPES.get(meta.get("dtype", 0)) if type(meta.get("dtype")) is int else None
    if dtype is None or meta.get("layout") != _STRIDED:
        raise bad("its element type or layout is not one that is stored plainly")
    shape = counts([_number(one) for one in _items(meta.get("sizes"))], "shape")
    strides = counts([_number(one) for one in _items(meta.get("strides"))], "strides")
    offset = whole(_number(meta.get("storage_offset")), "offset")
    ref = StorageRef(dtype, key, storage, limits.expansion)
    return view(ref, dtype, offset, shape, strides, requires_grad=meta.get("requires_grad") is True)


def _items(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise bad("it is not described")
    return value


def _number(value: Any) -> Any:
    """A size: `{"as_int": 3}`. Sizes that are symbols have no bytes."""
    return value.get("as_int") if isinstance(value, dict) else None


def _only(entries: Mapping[str, Entry | None], name: str) -> Entry:
    found = entries.get(name)
    if found is None or found.encrypted:
        raise bad(f"the member {escape(name)} is missing, encrypted, or there twice")
    return found


def _content(blob: Blob, entry: Entry, place: Location, limits: Limits) -> Blob:
    check_size(entry, place, limits)
    return open_member(blob, entry, place, limits, Budget(blob.size))


def _is_big(blob: Blob, entries: Mapping[str, Entry | None], root: str, place: Location, limits: Limits) -> bool:
    if f"{root}byteorder" not in entries:
        return False
    order = _content(blob, _only(entries, f"{root}byteorder"), place, limits).read_at(0, 16)
    if order not in (b"little", b"big"):
        raise bad("the order of its bytes is not said")
    return order == b"big"
