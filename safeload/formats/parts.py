"""The parts that only some files have: tensors, members, texts, code, settings, references and what nobody looks into.

Part of the vocabulary of `base`, where everybody imports them from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from safeload.core.frozen import Frozen, fresh
from safeload.formats.base import Part, Storage


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


class Chunk(NamedTuple):
    """A box of a larger tensor: where it begins and how large it is in each dimension, and its elements."""

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    view: TensorView
    """Of shape `sizes`, and of the whole tensor's type."""


class ShardedTensor(Frozen):
    """A tensor whose elements lie in several places. Its chunks fill it, and no two share an element."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    grid: tuple[int, ...]
    """The shape in which chunks are counted: as many elements in the same (row) order. Usually that of the tensor;
    `(n,)` where a format cuts the flat sequence of elements."""
    chunks: tuple[Chunk, ...]


class TensorTable(Part):
    """The named tensors of a format that is a table of tensors (safetensors, GGUF, numpy, Flax)."""

    tensors: Mapping[str, TensorView]
    metadata: Mapping[str, str] = fresh(factory=dict)
    """What the file says beside its tensors, by name; values that are no text are JSON (numpy, Flax)."""
    sharded: Mapping[str, ShardedTensor] = fresh(factory=dict)
    """Tensors of the file that lie in pieces; their names are not in `tensors`."""


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


class Member(Part):
    """A member of an archive."""

    name: str
    size: int
    read: bool = False
    """Whether it was read like a file of its own; what was found in it are parts as well."""


class Config(Part):
    """A parsed JSON document: plain dict, list, str, int, float, bool and None."""

    data: Any


class Text(Part):
    """Text that steers a program without being one. `role` is `vocabulary`, `prose`, or that of a `Template`."""

    text: str
    role: str


class Template(Text):
    """A chat template. A kind of its own, so that its rules cost nothing where there is none."""

    role: str = "chat-template"


class Code(Part):
    """A program. `language` is `python`, `bytecode`, `native` or `torchscript`."""

    language: str
    source: bytes = b""


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


class Reference(Part):
    """A pointer from this file to another file or repository, in the role that `kind` names."""

    kind: str
    target: str


class Opaque(Part):
    """Bytes that no reader of ours understands, or that only stand in for the real file.

    `what` is `unknown`, `empty`, `git-lfs-pointer`, `html-page`, `truncated` …; `detail` is a sentence about it.
    """

    what: str
    detail: str = ""
