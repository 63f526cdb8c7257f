"""The vocabulary of all formats: a reader turns a `Blob` into `Part`s, and never decides.

A format is one file in this folder that defines `FORMAT`. Its reader is total: for any bytes it yields parts, and
ends either normally or with `MalformedInput` after having yielded whatever could be read before the fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from safeload.core.blob import Blob
from safeload.core.graph import Reading
from safeload.core.limits import Limits
from safeload.core.names import Location


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Something a file holds, and where."""

    location: Location


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Raw tensor bytes of a checkpoint: a range of the file it is stored in."""

    blob: Blob
    """The file that the range lies in, so that converters can copy from it directly."""
    offset: int
    """Byte offset of the first byte in `blob`."""
    nbytes: int
    big_endian: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PickleStream(Part):
    """One pickle, read by the inert machine."""

    reading: Reading
    role: str = "data"
    """What a loader does with it: `data` (its value is the checkpoint), `header` (torch's legacy preamble),
    `trailing` (follows the pickle that ordinary loaders stop at), `nested` (bytes inside another pickle), `member`
    (in an archive, beside the checkpoint), `constants` (those of a TorchScript program: a tuple of tensors)."""
    storages: Mapping[str, Storage] = field(default_factory=dict)
    """Tensor bytes by storage key, for `data` streams of torch containers."""
    tensors: Mapping[str, TensorView] = field(default_factory=dict)
    """Whole tensors by persistent id, for torch's tar format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorView(Part):
    """A tensor as bytes in a file. Bounds are checked against the storage before one of these exists."""

    dtype: str
    """torch's name without the prefix: `float32`, `bfloat16`, `float8_e4m3fn`, `complex64`."""
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    """In elements, as torch counts them."""
    storage_offset: int
    """In elements, from the beginning of the storage."""
    storage: Storage
    storage_key: str = ""
    """Equal for tensors that share memory."""
    requires_grad: bool = False
    kind: str = "tensor"
    """`tensor`, `parameter`, `buffer`; components of quantised and sparse tensors are plain tensors."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A box of a larger tensor: where it begins and how large it is in each dimension, and its elements."""

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    view: TensorView
    """Of shape `sizes`, and of the whole tensor's type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardedTensor:
    """A tensor whose elements lie in several places. Its chunks fill it, and no two share an element."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    grid: tuple[int, ...]
    """The shape in which chunks are counted: as many elements in the same (row) order. Usually that of the tensor;
    `(n,)` where a format cuts the flat sequence of elements."""
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorTable(Part):
    """The named tensors of a format that is a table of tensors (safetensors, GGUF, numpy, Flax)."""

    tensors: Mapping[str, TensorView]
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What the file says beside its tensors, by name; values that are no text are JSON (numpy, Flax)."""
    sharded: Mapping[str, ShardedTensor] = field(default_factory=dict)
    """Tensors of the file that lie in pieces; their names are not in `tensors`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NumpyArray(Part):
    """An array of numpy's file format, as its header says it: for who wants numpy's own types, texts included."""

    name: str
    descr: Any
    """The element type as plain data: a code, a list of fields, or a pair with a shape."""
    fortran: bool
    shape: tuple[int, ...]
    storage: Storage
    """Exactly the bytes of the array."""
    header: int
    """Bytes of the header."""
    end: int
    """Where the array ends in its file or member."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member(Part):
    """A member of an archive."""

    name: str
    size: int
    read: bool = False
    """Whether it was read like a file of its own; what was found in it are parts as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Part):
    """A parsed JSON document: plain dict, list, str, int, float, bool and None."""

    data: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Text(Part):
    """Text that steers a program without being one. `role` is `vocabulary`, `prose`, or that of a `Template`."""

    text: str
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Template(Text):
    """A chat template. A kind of its own, so that its rules cost nothing where there is none."""

    role: str = "chat-template"


@dataclass(frozen=True, slots=True, kw_only=True)
class Code(Part):
    """A program. `language` is `python`, `bytecode`, `native` or `torchscript`."""

    language: str
    source: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator(Part):
    """An operation of a model's graph, which the runtime of a framework runs when the model is loaded or called."""

    framework: str
    """`tensorflow`, `tflite`, `onnx`, `torchscript`, `coreml`, `paddle`, `openvino`, `executorch`, `mxnet`."""
    name: str
    domain: str = ""
    """The namespace that the name is of, where a framework has several."""
    arguments: tuple[str, ...] = ()
    """Constant texts that it is given, such as paths and addresses, as the file has them."""
    count: int = 1
    """How often it stands in the file; the location is that of the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Component(Part):
    """An object that a framework makes from a configuration: a class or function by its name, and what it is given."""

    framework: str
    module: str
    """Where the configuration says the name comes from; empty where it does not say."""
    name: str
    registered: str = ""
    """The name under which a program must have registered it, such as `package>Name`."""
    config: Any = None
    """What it is made from: plain JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference(Part):
    """A pointer from this file to another file or repository, in the role that `kind` names."""

    kind: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Opaque(Part):
    """Bytes that no reader of ours understands, or that only stand in for the real file.

    `what` is `unknown`, `empty`, `git-lfs-pointer`, `html-page`, `truncated` …; `detail` is a sentence about it.
    """

    what: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
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
        return (
            head.startswith(self.begins)
            or (head[0] in self.first if head else self.empty)
            or any(head.startswith(data, offset) for offset, data in self.at)
            or (bool(self.named) and name.lower().endswith(self.named))
            or any(data in head or data in tail for data in self.holds)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
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
