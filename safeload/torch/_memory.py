"""Storages: the bytes of a file as torch's memory, on the device that the caller wants.

A storage is read once, whatever refers to it, so that what was shared stays shared. Bytes are read into memory of
torch's own, or mapped: privately, so that writing to a tensor never reaches the file.
"""

from __future__ import annotations

import ctypes
import mmap as _mmap
from typing import TYPE_CHECKING, Any

from safeload.core.blob import Blob
from safeload.core.errors import UsageError
from safeload.core.names import escape
from safeload.engine.options import Integrity
from safeload.engine.read_into import read_into
from safeload.formats.base import Storage
from safeload.formats.dtypes import width_of
from safeload.formats.window import outermost
from safeload.sources.pinned import PinnedFile

if TYPE_CHECKING:
    import torch


class Memory:
    """Makes storages of a file's bytes.

    Args:
        mapped: whether to map what can be mapped.
        integrity: `private` maps nothing, `auto` only files that nobody else can write.
        map_location: as for `torch.load`.
    """

    def __init__(self, *, mapped: bool, integrity: Integrity, map_location: Any = None) -> None:
        if mapped and integrity == "private":
            raise UsageError(
                "nothing was loaded",
                why="a mapped file is no private copy",
                remedy="mmap=False, or Options(integrity='auto')",
            )
        self._mapped = mapped
        self._integrity = integrity
        self._map_location = _checked_location(map_location)
        self._mappings: dict[int, tuple[PinnedFile, _mmap.mmap]] = {}

    def make(self, storage: Storage, dtype: str, device: object = "cpu") -> torch.UntypedStorage:
        """The bytes of a storage; `dtype` says what its elements are, where their order has to be turned.

        Raises:
            MalformedInput: the bytes are not there.
            UsageError: they belong on a device that is not here.
        """
        made = self._map(storage, dtype) or self._read(storage.blob, storage.offset, storage.nbytes)
        if storage.big_endian and width_of(dtype) > 1:
            made.byteswap(dtypes()[dtype])  # type: ignore[no-untyped-call]
        return self._placed(made, device)

    def _map(self, storage: Storage, dtype: str) -> torch.UntypedStorage | None:
        blob, start = outermost(storage.blob, storage.offset)
        if not self._mapped or storage.big_endian or not storage.nbytes or not isinstance(blob, PinnedFile):
            return None
        if start % width_of(dtype) or (self._integrity == "auto" and not blob.exclusive):
            return None
        import torch

        if id(blob) not in self._mappings:
            self._mappings[id(blob)] = blob, _mmap.mmap(blob.fileno(), blob.size, access=_mmap.ACCESS_COPY)
        mapping = self._mappings[id(blob)][1]
        return torch.frombuffer(mapping, dtype=torch.uint8, count=storage.nbytes, offset=start).untyped_storage()

    def _read(self, blob: Blob, start: int, nbytes: int) -> torch.UntypedStorage:
        import torch

        made = torch.empty(nbytes, dtype=torch.uint8, device="cpu").untyped_storage()
        if nbytes:
            # Straight into torch's memory, which stays where it is as long as `made` is held here.
            memory = (ctypes.c_ubyte * made.nbytes()).from_address(made.data_ptr())
            read_into(blob, memoryview(memory).cast("B"), start)
        return made

    def _placed(self, storage: torch.UntypedStorage, device: object) -> torch.UntypedStorage:
        """The storage where `map_location` says, by torch's own rules."""
        import torch

        place = device.decode("ascii", "replace") if isinstance(device, bytes) else device
        if not isinstance(place, str) or len(place) > 100:
            place = "cpu"
        wanted = self._map_location
        if isinstance(wanted, dict):
            place = wanted.get(place, place)
        elif isinstance(wanted, str | torch.device):
            place = str(wanted)
        elif wanted is not None:
            moved = wanted(storage, place)
            moved = moved._untyped_storage if isinstance(moved, torch.TypedStorage) else moved
            if moved is not None:
                if not isinstance(moved, torch.UntypedStorage) or moved.nbytes() < storage.nbytes():
                    raise UsageError(
                        "map_location was not honoured",
                        why="the function returned no storage with room for what it was given",
                        remedy="map_location='cpu'",
                    )
                return moved
        if place == "cpu":
            return storage
        from torch.serialization import default_restore_location

        try:
            return default_restore_location(storage, place)  # type: ignore[no-any-return, no-untyped-call]
        except (RuntimeError, AssertionError, ValueError) as error:
            raise UsageError(
                "a tensor was not loaded",
                why=f"it belongs on the device {escape(place, 60)!r}: {escape(str(error).partition('.')[0])}",
                remedy="map_location='cpu'",
            ) from error


def _checked_location(wanted: Any) -> Any:
    """What `map_location` may be: text, a device, a function, or a dictionary of texts."""
    import torch

    if isinstance(wanted, bytes):
        wanted = wanted.decode("ascii", "replace")
    fits = wanted is None or isinstance(wanted, str | torch.device) or callable(wanted)
    if isinstance(wanted, dict):
        fits = all(isinstance(place, str) for pair in wanted.items() for place in pair)
    if not fits:
        raise UsageError(
            "map_location was not honoured",
            why="it is neither a device, nor a dictionary of their names, nor a function",
            remedy="map_location='cpu'",
        )
    return wanted


def dtypes() -> dict[str, torch.dtype]:
    """torch's element types, by the names that our readers use."""
    import torch

    from safeload.formats.dtypes import WIDTHS

    return {name: getattr(torch, name) for name in WIDTHS if hasattr(torch, name)}
