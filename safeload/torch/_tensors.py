"""Live tensors out of a reading: makers for everything that torch calls to make them.

Bounds are checked by `formats.tensors` before torch hears of a tensor; sparse and nested ones are checked by torch's
own invariants, which it leaves off by default.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from safeload.core.blob import MemoryBlob
from safeload.core.construct import Named, Record
from safeload.core.errors import MalformedInput
from safeload.core.graph import How, Persistent
from safeload.core.limits import Limits
from safeload.core.names import GlobalName
from safeload.engine.live import Made, Maker, Table
from safeload.formats.base import PickleStream, TensorView
from safeload.formats.dtypes import STORAGE_NAMES, SYNONYMS, width_of
from safeload.formats.pickle_head import is_legacy
from safeload.formats.tensors import (
    TENSOR_HANDLERS,
    StorageRef,
    bad,
    counts,
    persistent_storage,
    view,
    whole,
)
from safeload.formats.torch_legacy import read as read_legacy
from safeload.torch._composite import RAGGED, RAGGED_TENSOR, fits_packed, nested, ragged, several, several_names, sparse
from safeload.torch._memory import Memory, dtypes
from safeload.torch._others import OTHERS

if TYPE_CHECKING:
    import torch

_SHORT = 1 << 16
_QSCHEMES = (
    "per_tensor_affine", "per_channel_affine", "per_tensor_symmetric", "per_channel_symmetric",
    "per_channel_affine_float_qparams",
)  # fmt: skip
_LAYOUTS = ("strided", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc", "jagged")
_TENSOR = GlobalName("torch", "Tensor")
_PARAMETERS = frozenset({GlobalName("torch.nn.parameter", "Parameter"), GlobalName("torch.nn", "Parameter")})
_TYPED = (
    GlobalName("torch._tensor", "_rebuild_from_type_v2"),
    GlobalName("torch._tensor", "_rebuild_from_type"),
    GlobalName("torch.tensor", "_rebuild_from_type"),
)
"""Today's function for tensors with attributes or of subclasses, and what torch 1.5 to 1.12 called for the latter."""
_MARKS = {"_rebuild_tensor_v2": 6, "_rebuild_tensor_v3": 7}
"""Where among the arguments it stands that a tensor is conjugated or negated when it is read."""
_PLAIN = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3")

Value = Callable[[PickleStream, "Tensors"], object]


class Tensors:
    """The makers for one stream, and the storages that it refers to.

    Args:
        memory: makes the storages.
        limits: how much the stream may ask for.
        value: makes the value of another stream, for a legacy file within a pickle.
    """

    def __init__(self, stream: PickleStream, memory: Memory, limits: Limits, value: Value | None) -> None:
        self._memory = memory
        self._limits = limits
        self._value = value
        self._location = stream.location
        self._inner = persistent_storage(stream.storages, stream.tensors or None, limits)
        self._roots: dict[str, tuple[StorageRef, torch.UntypedStorage]] = {}
        self._storages: dict[str, Any] = {}
        self._refs: dict[int, tuple[object, StorageRef, StorageRef]] = {}
        self._dtypes = dtypes()
        self._kind = type(self._dtypes["float32"])
        self._from_file: dict[str, torch.Tensor] = {}

    def adopt(self, other: Tensors) -> None:
        """Know the storages of a stream within this one."""
        self._refs |= other._refs

    # ── storages ────────────────────────────────────────────────────────────────────────────────────────────

    def persistent(self, id: object, node: Persistent) -> object:
        """The hook of `construct`."""
        found = self._inner(id, node)
        if isinstance(found, TensorView):  # of the tar format
            key = f"{found.storage_key}/{found.storage.offset}"
            ref = StorageRef(found.dtype, key, found.storage)
            return self._tensor(self._root(ref, "cpu"), ref, found)
        if not isinstance(found, StorageRef) or not isinstance(id, tuple):
            return found
        if found.key not in self._storages:
            root_ref = self._inner(id[:5], node) if len(id) > 5 and id[5] is not None else found
            root = self._root(cast(StorageRef, root_ref), id[3])
            self._storages[found.key] = self._typed(root, cast(StorageRef, root_ref), found)
        return self._storages[found.key]

    def _root(self, ref: StorageRef, device: object) -> torch.UntypedStorage:
        if ref.key not in self._roots:
            self._roots[ref.key] = ref, self._memory.make(ref.storage, ref.dtype, device)
        return self._roots[ref.key][1]

    def _typed(self, root: torch.UntypedStorage, root_ref: StorageRef, ref: StorageRef) -> object:
        """The object that a program gets for a storage, and what is known of it."""
        import torch

        start = ref.storage.offset - root_ref.storage.offset
        part = root if ref is root_ref else root[start : start + ref.storage.nbytes]
        made: object = torch.TypedStorage(wrap_storage=part, dtype=self._dtype(ref.dtype), _internal=True)  # type: ignore[no-untyped-call]
        self._refs[id(made)] = made, ref, root_ref
        return made

    def _dtype(self, name: str) -> torch.dtype:
        if name not in self._dtypes:
            raise bad(f"this torch has no {name}")
        return self._dtypes[name]

    def _storage(self, value: object) -> tuple[torch.UntypedStorage, StorageRef]:
        if id(value) not in self._refs:
            raise bad("it is built from something that is not a storage")
        made, ref, _ = self._refs[id(value)]
        return cast("torch.UntypedStorage", getattr(made, "_untyped_storage", made)), ref

    # ── tensors ─────────────────────────────────────────────────────────────────────────────────────────────

    def _tensor(self, storage: torch.UntypedStorage, ref: StorageRef, found: TensorView) -> torch.Tensor:
        import torch

        if ref.storage.big_endian and width_of(found.dtype) != width_of(ref.dtype):
            raise bad("its elements are in another order than those of its storage")
        made = torch.empty((0,), dtype=self._dtype(found.dtype), device=storage.device)
        made.set_(storage, found.storage_offset, found.shape, found.strides)
        return self._grad(made, found.requires_grad)

    def _grad(self, made: torch.Tensor, wanted: object) -> torch.Tensor:
        if wanted is True:
            if not (made.is_floating_point() or made.is_complex()):
                raise bad("it wants gradients and is not floating")
            made.requires_grad_(True)
        return made

    def _rebuild(self, made: Made) -> object:
        """`_rebuild_tensor` and its successors."""
        if not made.args:
            raise bad("it has no storage")
        storage, ref = self._storage(made.args[0])
        args = (ref, *(_unlive(one) if isinstance(one, self._kind) else one for one in made.args[1:]))
        name = GlobalName("torch._utils", made.name.name)
        if name.name != "_rebuild_tensor" and len(args) > 5:
            _no_hooks(args[5])
        place = _MARKS.get(name.name, 0)
        marks: dict[Any, Any] = {}
        if place and len(args) == place + 1 and isinstance(last := args[-1], dict):
            marks, args = last, args[:place]
        found = TENSOR_HANDLERS[name](args, {}, made.call)
        if not isinstance(found, TensorView):
            raise bad("it is not a plain tensor")
        return _marked(self._tensor(storage, ref, found), marks)

    def _parameter(self, made: Made) -> object:
        import torch

        match made.args:
            case (torch.Tensor() as data, bool() as wanted, hooks) | (
                torch.Tensor() as data,
                bool() as wanted,
                hooks,
                _,
            ):
                _no_hooks(hooks)
                if wanted and not (data.is_floating_point() or data.is_complex()):
                    raise bad("it wants gradients and is not floating")
                value = torch.nn.Parameter(data, wanted)
                value._backward_hooks = OrderedDict()
                return _with_attributes(value, made.args[3] if len(made.args) == 4 else None)
            case (Record(), *_):
                return made.record()
        raise bad("a parameter is built from something that is not a tensor")

    def _from_type(self, made: Made) -> object:
        """`(function, type, arguments, state)`: a tensor with attributes, or of a subclass, which stays inert."""
        import torch

        match made.args:
            case (Named(name=function), Named(name=kind), (dict() as parts,), _) if function == RAGGED:
                if kind != RAGGED_TENSOR:
                    raise bad("it is built by a function that torch does not use for that")
                return _tried(lambda: ragged(parts))
            case (Named(name=function), Named(name=kind), tuple() as args, state) if function in self._makers:
                if function in _TYPED:
                    raise bad("it is built by a function that torch does not use for that")
                value = self._makers[function](made._replace(args=args, name=function))
            case _:
                raise bad("it is built by a function that torch does not use for that")
        if not isinstance(value, torch.Tensor) or (kind != _TENSOR and kind not in _PARAMETERS):
            return Record(Named(name=kind), How.REDUCE, (value,), None, states=[state])
        if kind in _PARAMETERS and not isinstance(value, torch.nn.Parameter):
            value = torch.nn.Parameter(value, value.requires_grad)
        return _with_attributes(value, state)

    def _quantised(self, made: Made) -> object:
        import torch

        match made.args:
            case (source, offset, size, stride, (torch.qscheme() as scheme, *rest), grad, hooks):
                pass
            case _:
                raise bad("its quantisation is not described")
        storage, ref = self._storage(source)
        _no_hooks(hooks)
        shape, strides = counts(size, "shape"), counts(stride, "strides")
        start = whole(offset, "offset")
        if not fits_packed(ref, start, shape, strides):
            view(ref, ref.dtype, start, shape, strides)
        match rest:
            case (float(), int()) if scheme == torch.per_tensor_affine:
                pass
            case ((list() | torch.Tensor()) as scales, (list() | torch.Tensor()) as zeros, int() as axis) if scheme in (
                torch.per_channel_affine,
                torch.per_channel_affine_float_qparams,
            ):
                if not 0 <= axis < len(shape) or not _length(scales) == _length(zeros) == shape[axis]:
                    raise bad("its scales do not fit its shape")
            case _:
                raise bad("its quantisation is not described")
        typed = torch.TypedStorage(wrap_storage=storage, dtype=self._dtype(ref.dtype), _internal=True)  # type: ignore[no-untyped-call]
        return _tried(
            lambda: torch._utils._rebuild_qtensor(  # type: ignore[no-untyped-call]
                typed, start, shape, strides, (scheme, *rest), grad is True, OrderedDict()
            )
        )

    def _sparse(self, made: Made) -> object:
        return _tried(lambda: sparse(made.args))

    def _meta(self, made: Made) -> object:
        import torch

        match made.args:
            case (torch.dtype() as dtype, size, stride, grad):
                shape, strides = counts(size, "shape"), counts(stride, "strides")
                if len(shape) != len(strides):
                    raise bad("its shape and strides differ in length")
                made_one = _tried(lambda: torch.empty_strided(shape, strides, dtype=dtype, device="meta"))
                return self._grad(cast("torch.Tensor", made_one), grad)
        raise bad("a tensor without data is not described")

    def _nested(self, made: Made) -> object:
        found = _tried(lambda: nested(made.args))
        return made.record() if found is None else found

    def _inert(self, made: Made) -> object:
        return made.record()

    # ── other types of torch ────────────────────────────────────────────────────────────────────────────────

    def _size(self, made: Made) -> object:
        import torch

        return torch.Size(counts(made.args[0], "shape") if len(made.args) == 1 else ())

    def _device(self, made: Made) -> object:
        import torch

        match made.args:
            case (str() as kind,) | (str() as kind, None):
                return _tried(lambda: torch.device(kind))
            case (str() as kind, int() as index):
                return _tried(lambda: torch.device(kind, index))
        raise bad("a device is not described")

    def _layout(self, made: Made) -> object:
        import torch

        match made.args:
            case (str() as name,) if name.removeprefix("torch.") in _LAYOUTS and name.startswith("torch."):
                return getattr(torch, name.removeprefix("torch."))
        raise bad("its layout is not one of torch's")

    def _version(self, made: Made) -> object:
        from torch.torch_version import TorchVersion

        match made.args:
            case (str() as text,):
                return TorchVersion(text)
        raise bad("a version is not described")

    def _embedded(self, made: Made) -> object:
        """A storage as plain `pickle` writes it: a whole legacy file in a bytes constant. They do not nest."""
        data = made.args[0] if len(made.args) == 1 else None
        if not isinstance(data, bytes) or not is_legacy(data[:_SHORT]) or self._value is None:
            raise bad("it is built from bytes that are not a legacy torch file")
        for part in read_legacy(MemoryBlob(data), self._location, self._limits):
            if isinstance(part, PickleStream) and part.role == "data":
                inner = Tensors(part, self._memory, self._limits, None)
                value = self._value(part, inner)
                self.adopt(inner)
                return value
        raise bad("it is built from a legacy torch file without data")

    @property
    def _makers(self) -> dict[GlobalName, Maker]:
        utils: dict[str, Maker] = {
            **dict.fromkeys(_PLAIN, self._rebuild),
            "_rebuild_parameter": self._parameter,
            "_rebuild_parameter_with_state": self._parameter,
            "_rebuild_qtensor": self._quantised,
            "_rebuild_sparse_tensor": self._sparse,
            "_rebuild_meta_tensor_no_storage": self._meta,
            "_rebuild_nested_tensor": self._nested,
            "_rebuild_wrapper_subclass": self._inert,
            "_rebuild_device_tensor_from_numpy": self._inert,
            "_rebuild_device_tensor_from_cpu_tensor": self._inert,
        }
        return {
            **{GlobalName("torch._utils", name): maker for name, maker in utils.items()},
            **dict.fromkeys(_TYPED, self._from_type),
            **dict.fromkeys(several_names(), several),
            **OTHERS,
            GlobalName("torch", "Size"): self._size,
            GlobalName("torch", "device"): self._device,
            GlobalName("torch.serialization", "_get_layout"): self._layout,
            GlobalName("torch.torch_version", "TorchVersion"): self._version,
            GlobalName("torch.storage", "_load_from_bytes"): self._embedded,
        }

    def table(self) -> Table:
        """What is made of each name of torch that is known."""
        import torch

        names = {**{name: name for name in self._dtypes}, **SYNONYMS}
        constants: dict[GlobalName, object] = {
            GlobalName("torch", spelled): self._dtypes[name] for spelled, name in names.items() if name in self._dtypes
        }
        constants |= {GlobalName("torch", name): getattr(torch, name) for name in _QSCHEMES}
        modules = ("torch", "torch.cuda", "torch.storage")
        storages = {GlobalName(module, name) for module in modules for name in STORAGE_NAMES}
        return Table(
            makers=self._makers,
            constants=constants,
            named=frozenset({*storages, _TENSOR, *_PARAMETERS, RAGGED, RAGGED_TENSOR}),
        )


def _unlive(value: torch.dtype) -> Named:
    """An element type as `formats.tensors` knows it."""
    return Named(name=GlobalName("torch", str(value).removeprefix("torch.")))


def _marked(made: torch.Tensor, marks: dict[Any, Any]) -> torch.Tensor:
    """A tensor whose values are its bytes conjugated or negated, as torch does that: when they are read."""
    import torch

    if any(key not in ("conj", "neg") or not isinstance(value, bool) for key, value in marks.items()):
        raise bad("it has marks that torch does not write")
    if not any(marks.values()):
        return made
    plain = made.detach()
    if marks.get("conj"):
        if not made.is_complex():
            raise bad("it is conjugated and not complex")
        plain = torch.conj(plain)
    if marks.get("neg"):
        plain = torch._neg_view(plain)
    return plain.requires_grad_(made.requires_grad)


def _no_hooks(hooks: object) -> None:
    """torch writes an empty dictionary, whatever hooks a tensor had."""
    if hooks is not None and not (isinstance(hooks, dict) and not hooks):
        raise bad("it comes with hooks, which would be code")


def _length(values: Any) -> int:
    return len(values) if isinstance(values, list) else int(values.numel())


def _with_attributes(value: torch.Tensor, state: object) -> torch.Tensor:
    """Give a tensor the attributes that it was saved with; never one that hides its own."""
    for layer in state if isinstance(state, tuple) and len(state) == 2 else (state,):
        if layer is None:
            continue
        if not isinstance(layer, dict) or not all(isinstance(key, str) for key in layer):
            raise bad("its attributes are not named")
        for key, item in layer.items():
            if hasattr(type(value), key):
                raise bad("it comes with an attribute that hides one of its own")
            vars(value)[key] = item
    return value


def _tried(work: Callable[[], object]) -> object:
    """torch's own checks, in our words."""
    try:
        return work()
    except (RuntimeError, ValueError, TypeError, OverflowError) as error:
        raise MalformedInput("a tensor cannot be read", why=str(error).partition("\n")[0][:300]) from None
