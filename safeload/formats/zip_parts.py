"""The parts of any zip archive. One reader for all kinds, so that a wrong guess of the kind hides nothing.

Kinds: torch checkpoints (`<root>/data.pkl` and its storages), TorchScript programs (whose `constants.pkl` has storages
of its own), exported programs (`.pt2`), numpy collections, parts of distributed checkpoints, and others, in which every
member that begins like a pickle is read as one.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Container, Iterator, Mapping
from operator import itemgetter
from typing import Literal

from safeload.core.blob import Blob
from safeload.core.errors import MalformedInput
from safeload.core.frozen import replace
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.formats.base import Claims, Code, Irregularity, Member, Opaque, Part, PickleStream, Storage, TensorTable
from safeload.formats.inside import account, called, member_of, modest, read_inside
from safeload.formats.pickle_head import head_of, is_pickle
from safeload.formats.pickle_stream import read_pickles
from safeload.formats.unpack import Unpacking
from safeload.formats.zip_archive import LOCAL, Entry, read_archive
from safeload.formats.zip_end import END, has_end, last_directory
from safeload.formats.zip_member import Budget, beginning, check_size, checksum, damaged_member, open_array, open_member

ZIP = Claims(begins=(LOCAL, END), holds=(END,))
Kind = Literal["torch-zip", "torchscript", "pt2", "torch-package", "keras", "npz", "skops", "distcp", "zip"]

_BOOKKEEPING = ("/version", "/byteorder", "/.data/serialization_id", "/.format_version", "/.storage_alignment")
"""What torch writes about an archive in every one; not worth listing."""
_WORDS = frozenset({b"little", b"big", b"3\n"})
"""What stands in three of them."""
_OF_KERAS = (".weights.h5", ".weights.npz", ".weights.json")
"""How Keras calls weights, beside the configuration of their model."""
_NATIVE = (".so", ".dll", ".dylib", ".o", ".a", ".cubin", ".hsaco", ".fatbin", ".spv")
_SOURCES = (".cpp", ".cc", ".cu", ".c", ".h", ".hpp")
"""What compilers of models leave in their archives."""
_EXAMPLES = "/traced_inputs/"
"""Where the storages of example inputs are, of a program that was traced; torch writes them empty."""
_TFLITE = b"TFL3"
"""At offset 4: a model that files are appended to, whose own reader reads them."""
_ARRAY = b"\x93NUMPY"
_SHORT = 256
_LONGEST_SOURCE = 1 << 20
_CONSTANTS = "constants.pkl"
_EXPORTS = ("serialized_exported_program.json", "archive_format")
_PACKAGE = ".data/extern_modules"
_DATA = "data.pkl"
_HEADER = 1 << 12
"""What the header of an array usually costs, for the budget."""
PART = ".distcp"
"""How parts of a distributed checkpoint are called: they are archives one after the other."""


@functools.lru_cache(maxsize=1)  # every kind of archive asks about the same file
def kind_of(head: bytes, tail: bytes, size: int, name: str = "") -> Kind | None:
    """What kind of zip archive a file is, judged by names in its first and last bytes; `None` if it is none."""
    if not head.startswith((LOCAL, END)) and not has_end(tail, size):
        return None
    if name.lower().endswith(PART):
        return "distcp"
    directory = last_directory(tail)
    names = _names_in(directory, b"PK\x01\x02", 28, 46)
    if not directory.startswith(b"PK\x01\x02"):  # it begins before the last bytes, or there is none
        names |= _names_in(head, b"PK\x03\x04", 26, 30)
    if "config.json" in names and (name.lower().endswith(".keras") or any(one.endswith(_OF_KERAS) for one in names)):
        return "keras"
    together = "\0".join(names)  # what is not in it is in none of them
    if _like_script(together) and any(map(_of_script, names)):
        return "torchscript"
    if _like_export(together) and any(map(_of_export, names)):
        return "pt2"
    if _PACKAGE in together and any(map(_of_package, names)):
        return "torch-package"
    if _DATA in together and any(map(_is_data, names)):
        return "torch-zip"
    if "schema.json" in names:
        return "skops"
    if any(name.endswith(".npy") for name in names):
        return "npz"
    return None if head.startswith(_TFLITE, 4) else "zip"


def _names_in(data: bytes, mark: bytes, length_at: int, name_at: int) -> set[str]:
    """The names in the headers that can be seen in a part of an archive."""
    names = set()
    at = data.find(mark)  # a member that is itself an archive, and stored, shows its own as well
    while at >= 0:
        length = int.from_bytes(data[at + length_at : at + length_at + 2], "little")
        names.add(data[at + name_at : at + name_at + length].decode("latin-1").casefold())
        at = data.find(mark, at + 4)
    return names


def _like_script(names: str) -> bool:
    return _CONSTANTS in names or "code/" in names


def _like_export(names: str) -> bool:
    return any(name in names for name in _EXPORTS)


def _of_script(name: str) -> bool:
    return name.rpartition("/")[2] == _CONSTANTS or "/code/" in f"/{name}"


def _of_export(name: str) -> bool:
    return name.rpartition("/")[2] in _EXPORTS


def _of_package(name: str) -> bool:
    return name.endswith(_PACKAGE)


def read_zip(
    blob: Blob,
    location: Location,
    limits: Limits,
    *,
    budget: Budget | None = None,
    numbers: Container[str] = frozenset(),
) -> Iterator[Part]:
    """Everything in a zip archive. Raises the first `MalformedInput` that it met, after yielding the rest.

    `budget` is for files of several archives, which share one; `numbers` are members that hold the elements of tensors
    and are read as nothing else.
    """
    limits = account(limits, blob)
    archive = read_archive(blob, location, limits)
    yield from archive.irregularities
    fault = archive.fault
    entries = [entry for entry in archive.entries if entry.size or not entry.name.endswith("/")]
    yield from _programs(entries, location)
    budget = budget or Budget(blob.size)
    kept = _Kept(blob, location, limits, budget, entries)
    yield from kept.several_roots()
    tables: list[TensorTable] = []
    rest: list[tuple[bool, Entry, str | None]] = []
    for entry in entries:
        root = kept.root_of(entry)
        try:
            if kept.takes(entry, root):
                continue
            if entry.name in numbers:
                storage_of(blob, entry, _at(location, entry), limits)
            else:
                rest.append((not _is_data(entry.name), entry, root))
                kept.hears(entry, root)
        except MalformedInput as error:
            fault = fault or error
    yield from kept.in_their_order()
    rest.sort(key=itemgetter(0))
    for _, entry, root in rest:
        own = kept.constants if entry.name.endswith(_CONSTANTS) else kept.storages
        try:
            if _is_note(blob, entry, location, budget):
                continue
            for part in _member(blob, entry, own.get(root or "", {}), location, limits, budget):
                if isinstance(part, TensorTable):
                    tables.append(part)
                    continue
                yield part
                if isinstance(part, PickleStream):
                    budget.count(limits, _at(location, entry))
        except MalformedInput as error:
            fault = fault or error
        if budget.spent:
            break
    if tables:
        yield _joined(tables, location)
    if fault is not None:
        raise fault


class _Kept:
    """Where the numbers of an archive's checkpoints are: by root, the storages beside its `data.pkl` and those beside
    its `constants.pkl`."""

    def __init__(self, blob: Blob, location: Location, limits: Limits, budget: Budget, entries: list[Entry]) -> None:
        self._blob, self._location, self._limits, self._budget = blob, location, limits, budget
        self.roots = _roots(entries)
        self.storages: dict[str, dict[str, Storage]] = {root: {} for root in self.roots}
        names = {entry.name for entry in entries}
        self.constants: dict[str, dict[str, Storage]] = {
            root: {} for root in self.roots if f"{root}/{_CONSTANTS}".lstrip("/") in names
        }
        self._orders: dict[str, list[bytes]] = {}
        self._only = next(iter(self.roots)) if len(self.roots) == 1 else ""
        self._beneath = f"{self._only}/"

    def several_roots(self) -> Iterator[Part]:
        """Readers disagree about which of several checkpoints is the archive's."""
        if len(self.roots) > 1:
            some = escape(", ".join(itertools.islice(sorted(self.roots), 10)))
            detail = f"checkpoints under {len(self.roots):,} roots: {some}{' …' if len(self.roots) > 10 else ''}"
            yield Irregularity(location=self._location, kind="torch-several-roots", detail=detail, two_readings=True)

    def root_of(self, entry: Entry) -> str | None:
        """The checkpoint that a member belongs to."""
        if self._only:  # as nearly always
            return self._only if entry.name.startswith(self._beneath) else None
        return next((root for root in _prefixes(entry.name) if root in self.roots), None)

    def takes(self, entry: Entry, root: str | None) -> bool:
        """Keep a member that is a storage."""
        if root is None:
            return False
        inside = _inside(entry, root)
        if inside[:5].casefold() == "data/":
            stored, key = self.storages[root], inside[5:]
        elif inside.startswith("constants/") and root in self.constants:
            stored, key = self.constants[root], inside[10:]
        else:
            return False
        if entry.method or entry.encrypted:
            stored[key] = storage_of(self._blob, entry, _at(self._location, entry), self._limits)
        else:  # the same, without a place for what could be wrong
            stored[key] = Storage(blob=self._blob, offset=entry.start, nbytes=entry.packed, big_endian=False)
        return True

    def hears(self, entry: Entry, root: str | None) -> None:
        """Note what a member says of the order of bytes, if it does."""
        if root is not None and entry.name[-9:].casefold() == "byteorder" == _inside(entry, root).casefold():
            content = open_member(self._blob, entry, _at(self._location, entry), self._limits, self._budget)
            self._orders.setdefault(root, []).append(content.read_at(0, 16))

    def in_their_order(self) -> Iterator[Part]:
        """Turn the storages of big-endian checkpoints; say where nobody can know."""
        for root, said in self._orders.items():
            if said[-1] not in (b"little", b"big") or len(set(said)) > 1:
                detail = "the byte order of the storages is not said, or said twice"
                yield Irregularity(location=self._location, kind="torch-byteorder", detail=detail, two_readings=True)
            if said[-1] == b"big":
                for stored in (self.storages, self.constants):
                    stored |= {root: {key: _swapped(one) for key, one in stored.get(root, {}).items()}}


def _inside(entry: Entry, root: str) -> str:
    return entry.name[len(root) :].lstrip("/")


def _joined(tables: list[TensorTable], location: Location) -> TensorTable:
    """The arrays of a collection as one table. Names that stand twice are reported as members are."""
    tensors = {name: view for table in tables for name, view in table.tensors.items()}
    metadata = {name: text for table in tables for name, text in table.metadata.items()}
    return TensorTable(location=location, tensors=tensors, metadata=metadata)


def storage_of(blob: Blob, entry: Entry, place: Location, limits: Limits) -> Storage:
    """The bytes of a member, where they lie in the archive if they are not packed. Raises `MalformedInput`."""
    if entry.encrypted:
        raise damaged_member(place, "it is encrypted")
    content = open_member(blob, entry, place, limits, Budget(0, left=0))
    if entry.method == 0:
        return Storage(blob=blob, offset=entry.start, nbytes=content.size)
    return Storage(blob=content, offset=0, nbytes=content.size)


def _at(location: Location, entry: Entry) -> Location:
    return member_of(location, entry.name)


def _swapped(storage: Storage) -> Storage:
    return Storage(blob=storage.blob, offset=storage.offset, nbytes=storage.nbytes, big_endian=True)


def _roots(entries: list[Entry]) -> set[str]:
    """Every directory that holds a `data.pkl`; torch takes the first member's, whatever that is."""
    return {entry.name[: -len(_DATA)].rstrip("/") for entry in entries if _is_data(entry.name)}


def _is_data(name: str) -> bool:
    if not name.endswith(("l", "L")):  # nothing else is folded into what ends so
        return False
    lower = name.casefold()
    return lower.endswith(_DATA) and (len(lower) == len(_DATA) or lower[-len(_DATA) - 1] == "/")


def _prefixes(name: str) -> Iterator[str]:
    """The directories above a name, the longest first."""
    while name:
        name = name.rpartition("/")[0]
        yield name


def _member(
    blob: Blob, entry: Entry, storages: Mapping[str, Storage], location: Location, limits: Limits, budget: Budget
) -> Iterator[Part]:
    place = _at(location, entry)
    readable, excess = beginning(entry, place, limits)
    content = open_member(blob, readable, place, limits, budget)
    data = _is_data(entry.name)
    if content.read_at(0, len(_ARRAY)) == _ARRAY:
        from safeload.formats import npy

        whole = open_array(blob, entry, place, limits) if excess is not None else content
        budget.spend(min(whole.size, _HEADER), place)
        yield from npy.read_npy(whole, place, limits, name=entry.name.removesuffix(".npy"))
        return
    head = head_of(content)
    budget.spend(len(head), place)
    if not data and not is_pickle(head, content.size, entry.name):
        yield from _file(blob, entry, place, limits, budget)
        return
    budget.spend(content.size, place)
    if (kind := _program(entry.name)) is not None:
        from safeload.formats.script_code import script_operators

        yield from script_operators(content.read_at(0, min(content.size, limits.json_bytes)), place, kind)
    if excess is None and entry.crc and checksum(content) not in (None, entry.crc):
        detail = "the checksum of a pickle is not the one the archive records"
        yield Irregularity(location=place, kind="zip-checksum", detail=detail)
    if content.size < readable.size:
        detail = f"a pickle has {content.size:,} bytes, and {entry.size:,} according to the archive"
        yield Irregularity(location=place, kind="zip-size-wrong", detail=detail)
    try:
        yield from _streams(content, place, modest(limits, entry.packed), storages)
    except MalformedInput as error:
        raise excess or error from None
    if excess is not None:
        raise excess


def _is_note(blob: Blob, entry: Entry, location: Location, budget: Budget) -> bool:
    """Whether a member is what torch notes about an archive, and nothing else: of seven members, five."""
    if entry.size > _SHORT or entry.method or not entry.name.endswith(_BOOKKEEPING):
        return False
    note = blob.read_at(entry.start, entry.packed)
    if not _says_little(note) and (note.startswith(_ARRAY) or is_pickle(note, len(note), entry.name)):
        return False
    budget.spend(len(note), location if budget.affords(len(note)) else _at(location, entry))
    return True


def _says_little(note: bytes) -> bool:
    """Whether a note is one of those that torch writes: of digits, or a word. None of them begins any pickle that
    acts, nor ends one: that takes a full stop."""
    return note in _WORDS or note.isdigit()


def _file(blob: Blob, entry: Entry, place: Location, limits: Limits, budget: Budget) -> Iterator[Part]:
    """A member that does not begin like a pickle, read in whatever format it is."""
    name = entry.name.casefold()
    check_size(entry, place, limits)
    if name.endswith(_BOOKKEEPING) and entry.size <= _SHORT:
        return
    if not entry.size and _EXAMPLES in f"/{name}":
        yield Member(location=place, name=entry.name, size=0, read=True)
        return
    account(limits, blob).work.more(place)
    content = open_member(blob, entry, place, limits, budget)
    if (kind := _program(name)) is not None:
        yield from _script(entry, content, place, kind, limits, budget)
        return
    budget.spend(entry.packed, place)
    if isinstance(content, Unpacking):
        content.work = account(limits, blob).work
    if entry.crc and not entry.encrypted and checksum(content) not in (None, entry.crc):
        detail = "the checksum of a member is not the one the archive records"
        yield Irregularity(location=place, kind="zip-checksum", detail=detail)
    yield Member(location=place, name=entry.name, size=entry.size, read=True)
    named = _named_code(name)
    for part in read_inside(content, place, modest(limits, entry.packed), stored=entry.packed):
        named = None if isinstance(part, Code) else named
        yield part
    if named is not None:
        yield Code(location=place, language=named)
    if entry.encrypted:
        raise damaged_member(place, "it is encrypted")


def _script(entry: Entry, content: Blob, place: Location, kind: str, limits: Limits, budget: Budget) -> Iterator[Part]:
    """A part of a program: its operators, and that it is one."""
    from safeload.formats.script_code import SOURCE, script_operators

    budget.spend(content.size, place)
    yield from script_operators(content.read_at(0, min(content.size, limits.json_bytes)), place, kind)
    if kind == SOURCE:
        source = content.read_at(0, content.size) if content.size <= _LONGEST_SOURCE else b""
        yield Code(location=place, language="torchscript", source=source)
    else:
        yield Member(location=place, name=entry.name, size=entry.size, read=True)
    if entry.encrypted:
        raise damaged_member(place, "it is encrypted")


def _streams(content: Blob, place: Location, limits: Limits, storages: Mapping[str, Storage]) -> Iterator[Part]:
    """The pickles of a member: the checkpoint's own, those of a program, or a file with any that stands beside them."""
    name = called(place)
    if _is_data(name):
        yield from read_pickles(content, place, limits, storages=storages)
    elif not name.endswith(_CONSTANTS):
        yield from read_inside(content, place, limits, stored=content.size)
    else:
        for part in read_pickles(content, place, limits):
            if isinstance(part, PickleStream) and part.role == "data":
                part = replace(part, role="constants", storages=storages)
            yield part


def _programs(entries: list[Entry], location: Location) -> Iterator[Part]:
    names = [entry.name.casefold() for entry in entries]
    together = "\0".join(names)
    if _like_script(together) and any(map(_of_script, names)):
        detail = "a TorchScript program: its operators run in native code as soon as it is loaded and called"
        yield Opaque(location=location, what="torchscript", detail=detail)
    if _like_export(together) and any(map(_of_export, names)):
        detail = "an exported program: torch.export.load unpickles parts of it without restriction"
        yield Opaque(location=location, what="pt2", detail=detail)
    if _PACKAGE in together and any(map(_of_package, names)):
        detail = "a torch.package archive: importing from one runs the Python code in it"
        yield Opaque(location=location, what="torch-package", detail=detail)


def _named_code(name: str) -> str | None:
    """The language of what compilers of models leave behind, which its content may not show."""
    if name.endswith((".pyc", ".pyo")):
        return "bytecode"
    return "C++" if name.endswith(_SOURCES) else "native" if name.endswith(_NATIVE) else None


def _program(name: str) -> str | None:
    """How operators are written in a member that is a part of a program, as `script_code` calls it; or `None`."""
    name = name.casefold()  # torch's reader looks names up without regard to case
    base = name.rpartition("/")[2]
    if "/code/" in f"/{name}" and base.endswith(".py"):
        return "source"
    if base == "bytecode.pkl":
        return "bytecode"
    return "exported" if base.startswith("serialized_exported_program") or "/models/" in f"/{name}" else None
