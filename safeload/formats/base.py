"""The vocabulary of all formats: a reader turns a `Blob` into `Part`s, and never decides.

A format is one file in this folder that defines `FORMAT`. Its reader is total: for any bytes it yields parts, and
ends either normally or with `MalformedInput` after having yielded whatever could be read before the fault.

Here is what the scan of any file needs. The other parts are in `parts`, and are found here, too: making thirteen
classes takes a tenth of the time that a small pickle does, which has none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from safeload.core.blob import Blob
from safeload.core.frozen import Frozen, fresh
from safeload.core.graph import Reading
from safeload.core.limits import Limits
from safeload.core.names import Location

if TYPE_CHECKING:
    from safeload.formats.parts import (
        Chunk as Chunk,
    )
    from safeload.formats.parts import (
        Code as Code,
    )
    from safeload.formats.parts import (
        Component as Component,
    )
    from safeload.formats.parts import (
        Config as Config,
    )
    from safeload.formats.parts import (
        Member as Member,
    )
    from safeload.formats.parts import (
        NumpyArray as NumpyArray,
    )
    from safeload.formats.parts import (
        Opaque as Opaque,
    )
    from safeload.formats.parts import (
        Operator as Operator,
    )
    from safeload.formats.parts import (
        Reference as Reference,
    )
    from safeload.formats.parts import (
        ShardedTensor as ShardedTensor,
    )
    from safeload.formats.parts import (
        Template as Template,
    )
    from safeload.formats.parts import (
        TensorTable as TensorTable,
    )
    from safeload.formats.parts import (
        TensorView as TensorView,
    )
    from safeload.formats.parts import (
        Text as Text,
    )

_ELSEWHERE = frozenset(
    {
        "Chunk",
        "Code",
        "Component",
        "Config",
        "Member",
        "NumpyArray",
        "Opaque",
        "Operator",
        "Reference",
        "ShardedTensor",
        "Template",
        "TensorTable",
        "TensorView",
        "Text",
    }
)


def __getattr__(name: str) -> Any:
    if name in _ELSEWHERE:
        from safeload.formats import parts

        return getattr(parts, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class Part(Frozen):
    """Something a file holds, and where."""

    location: Location


class Storage(Frozen):
    """Raw tensor bytes of a checkpoint: a range of the file it is stored in."""

    blob: Blob
    """The file that the range lies in, so that converters can copy from it directly."""
    offset: int
    """Byte offset of the first byte in `blob`."""
    nbytes: int
    big_endian: bool = False


class PickleStream(Part):
    """One pickle, read by the inert machine."""

    reading: Reading
    role: str = "data"
    """What a loader does with it: `data` (its value is the checkpoint), `header` (torch's legacy preamble),
    `trailing` (follows the pickle that ordinary loaders stop at), `nested` (bytes inside another pickle), `member`
    (in an archive, beside the checkpoint), `constants` (those of a TorchScript program: a tuple of tensors)."""
    storages: Mapping[str, Storage] = fresh(factory=dict)
    """Tensor bytes by storage key, for `data` streams of torch containers."""
    tensors: Mapping[str, TensorView] = fresh(factory=dict)
    """Whole tensors by persistent id, for torch's tar format."""


class Irregularity(Part):
    """A container or encoding is not as its specification says, so that two readers may disagree about it."""

    kind: str
    """A short stable word such as `zip-duplicate-name`, listed by the rule that judges it."""
    detail: str
    two_readings: bool = False
    """True where real readers are known to get different content from the same bytes."""


Reader = Callable[[Blob, Location, Limits], Iterator[Part]]
"""Yields parts; may raise `MalformedInput` (with a location) at the point where reading must end."""

Sniffer = Callable[[bytes, bytes, int, str], bool]
"""`(head, tail, size, name) -> claims`: the first and the last 64 KiB at most, the size, and the file's name.
A sniffer decides by content; formats without any magic (JSON, text) may use the name to break ties."""


class Claims(Frozen):
    """What a file must show before a format is asked whether it is one: any one of these. It costs next to nothing,
    and spares the import of formats that cannot be meant. The sniffer looks closer."""

    begins: tuple[bytes, ...] = ()
    """Its first bytes."""
    first: bytes = b""
    """Its first byte is one of these."""
    at: tuple[tuple[int, bytes], ...] = ()
    """Bytes at an offset in the first 64 KiB."""
    holds: tuple[bytes, ...] = ()
    """Bytes anywhere in the first or the last 64 KiB."""
    named: tuple[str, ...] = ()
    """The end of its name, in lower case."""
    empty: bool = False
    """It has no bytes."""

    def allow(self, head: bytes, tail: bytes, name: str) -> bool:
        """Whether a file may be of the format."""
        if head.startswith(self.begins) or (head[0] in self.first if head else self.empty):
            return True
        if self.named and name.lower().endswith(self.named):
            return True
        for offset, data in self.at:
            if head.startswith(data, offset):
                return True
        return any(data in head or (tail is not head and data in tail) for data in self.holds)


class Format(Frozen):
    """One file format: how to recognise it and how to read it."""

    name: str
    title: str
    """A noun phrase for people: `a torch checkpoint (zip)`."""
    suffixes: tuple[str, ...]
    """Names that announce this format; a disagreement with the content is a finding."""
    sniff: Sniffer
    read: Reader
    fallback: bool = False
    """Tried only when no format that is not a fallback claims the file."""
    claims: Claims | None = None
    """What a file must show before `sniff` is asked; `None` asks for every file, and costs every scan an import."""
