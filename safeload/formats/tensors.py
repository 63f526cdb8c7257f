"""Tensors out of an inert graph: every way in which torch and numpy write them, as ranges of a file.

`TENSOR_HANDLERS` is a table for `construct`. Nothing is computed: a tensor becomes a `TensorView` over the bytes
where they lie, and exists only if it lies wholly within its storage. What is more than one tensor (quantised, sparse,
nested) becomes a `Composite` of views.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from safeload.core.construct import Handler, Named
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.frozen import Frozen, fresh, replace
from safeload.core.graph import Call, Persistent
from safeload.core.limits import Limits
from safeload.core.names import GlobalName, Location, escape
from safeload.formats.base import Storage, TensorView
from safeload.formats.dtypes import storage_dtype, torch_dtype, width_of
from safeload.formats.torch_legacy import storage_key

_NOWHERE = Location("")
DIMENSIONS = 64
"""torch's own bound on the number of dimensions."""
_ALWAYS = 1 << 26
"""Bytes that any tensor may have, however small its storage: expanded views repeat theirs."""


class StorageRef:
    """A storage as one place of the pickle sees it: an element type over a range of bytes."""

    __slots__ = ("dtype", "expansion", "key", "storage")

    def __init__(self, dtype: str, key: str, storage: Storage, expansion: int = Limits().expansion) -> None:
        self.dtype = dtype
        self.key = key
        self.storage = storage
        self.expansion = expansion
        """`Limits.expansion` of whoever reads the file."""


class Composite(Frozen):
    """A tensor made of several: `parts` are plain tensors, `facts` what else is needed to put them together.

    `kind` is `quantised`, `sparse`, `nested`, `meta` (it has a shape and no data), `wrapper` (a subclass whose data
    is in its attributes); of numpy's arrays `structured` (a part for each field), `time` (counts) or `void` (bytes).
    """

    kind: str
    parts: Mapping[str, object]
    facts: Mapping[str, object] = fresh(factory=dict)


def bad(what: str, *, wanted: int | None = None, available: int | None = None) -> MalformedInput:
    """An error about one tensor; the caller knows the place."""
    why = what
    if wanted is not None and available is not None:
        why = f"{what}: {wanted:,} bytes wanted, {available:,} available"
    return MalformedInput("a tensor cannot be read", why=why, remedy="fetch the file again, or ask its author")


def whole(value: object, what: str) -> int:
    """A non-negative integer of at most 63 bits that is no bool."""
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise bad(f"its {what} is not a count")
    return value


def counts(value: object, what: str) -> tuple[int, ...]:
    """A tuple or list of non-negative integers, of at most 64."""
    if not isinstance(value, (tuple, list)) or len(value) > DIMENSIONS:
        raise bad(f"its {what} is not a short list of counts")
    return tuple(whole(item, what) for item in value)


def contiguous(shape: Iterable[int]) -> tuple[int, ...]:
    """The strides of a tensor whose elements follow each other in row order."""
    strides: list[int] = []
    step = 1
    for length in reversed(tuple(shape)):
        strides.append(step)
        step *= max(1, length)
    return tuple(reversed(strides))


def view(
    ref: StorageRef,
    dtype: str,
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    *,
    requires_grad: bool = False,
) -> TensorView:
    """A tensor over a storage, if it fits. Offsets and strides are in elements.

    Raises:
        MalformedInput: it reaches outside of its storage.
        LimitExceeded: it repeats a small storage to more than `Limits.expansion` times its size.
    """
    if len(shape) != len(strides):
        raise bad(f"it has {len(shape)} dimensions and {len(strides)} strides")
    width = width_of(dtype)
    count = 1
    most = 1
    last = offset
    for length, stride in zip(shape, strides, strict=True):
        count *= length
        most *= max(1, length)
        last += (length - 1) * stride
    wanted = (last + 1) * width if count else 0
    available = ref.storage.nbytes
    if wanted > available:
        raise bad("it reaches outside of its storage", wanted=wanted, available=available)
    if most >> 63:  # with a zero among them there are no elements, and torch multiplies them all the same
        raise bad("its shape is larger than anything can be")
    if count * width > max(_ALWAYS, ref.expansion * available):
        ratio = count * width // max(1, available)
        raise LimitExceeded("expansion", allowed=ref.expansion, wanted=ratio)
    return TensorView(
        location=_NOWHERE,
        dtype=dtype,
        shape=shape,
        strides=strides,
        storage_offset=offset,
        storage=ref.storage,
        storage_key=ref.key,
        requires_grad=requires_grad,
    )


def persistent_storage(
    storages: Mapping[str, Storage], tensors: Mapping[str, TensorView] | None = None, limits: Limits | None = None
) -> Callable[[object, Persistent], object]:
    """The `persistent` hook of `construct` for torch's containers.

    Args:
        storages: the bytes of each storage, by key.
        tensors: whole tensors by key, as the tar format refers to them.
        limits: bounds on repeated views; the defaults of `Limits` if absent.
    """
    expansion = (limits or Limits()).expansion
    known: dict[str | None, StorageRef] = {}

    def load(id: object, node: Persistent) -> object:
        match id:
            case (("storage" | b"storage"), kind, key, _, count, *rest) if len(rest) <= 1:
                part = rest[0] if rest else None
                found = _storage(storages, kind, key, count, part)
                # torch makes a storage or view once, as its first mention says; no program writes two that differ.
                own = storage_key(part[0] if isinstance(part, tuple) else key)
                first = known.setdefault(own, found)
                if (first.key, first.dtype) != (found.key, found.dtype) or (part and first.storage != found.storage):
                    raise bad(f"its storage {escape(found.key)} is described in two ways")
                return StorageRef(found.dtype, found.key, found.storage, expansion)
            case ("module" | b"module", module, *_):
                return module  # a class that the legacy format saved with its source
            case (module, _, _) if tensors is not None:
                return module
        name = storage_key(id)
        if tensors is not None and name is not None and name in tensors:
            return tensors[name]
        raise bad("it refers to data of a kind that torch does not write")

    return load


def _storage(storages: Mapping[str, Storage], kind: object, key: object, count: object, part: object) -> StorageRef:
    dtype = storage_dtype(kind.name) if isinstance(kind, Named) else None
    name = storage_key(key)
    if dtype is None or name is None:
        raise bad("its storage has no known type or key")
    width = width_of(dtype)
    nbytes = whole(count, "storage size") * width
    storage = storages.get(name)
    if storage is None:
        raise bad(f"its storage {escape(name)} is not in the file", wanted=nbytes, available=0)
    if nbytes > storage.nbytes:
        raise bad(f"its storage {escape(name)} is too small", wanted=nbytes, available=storage.nbytes)
    if part is None:
        return StorageRef(dtype, name, storage if nbytes == storage.nbytes else replace(storage, nbytes=nbytes))
    match part:
        case (key, offset, length):
            start, size = whole(offset, "view offset") * width, whole(length, "view size") * width
            if start + size > nbytes:
                raise bad("a view reaches outside of its storage", wanted=start + size, available=nbytes)
            return StorageRef(
                dtype, f"{name}/{storage_key(key)}", replace(storage, offset=storage.offset + start, nbytes=size)
            )
    raise bad("its storage is a view of a kind that torch does not write")


# ── what torch calls to make tensors, with its argument order ───────────────────────────────────────────────────


def _ref(value: object) -> StorageRef:
    if not isinstance(value, StorageRef):
        raise bad("it is built from something that is not a storage")
    return value


def dtype_of(value: object) -> str:
    """The element type that a `torch.<dtype>` global names."""
    dtype = torch_dtype(value.name) if isinstance(value, Named) else None
    if dtype is None:
        raise bad("its element type is not one of torch's")
    return dtype


def _take(args: tuple[Any, ...], least: int, most: int) -> tuple[Any, ...]:
    if not least <= len(args) <= most:
        raise bad(f"torch builds it from {least} to {most} arguments, and {len(args)} are given")
    return args + (None,) * (most - len(args))


def _rebuild_tensor(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
    storage, offset, size, stride = _take(args, 4, 4)
    ref = _ref(storage)
    return view(ref, ref.dtype, whole(offset, "offset"), counts(size, "shape"), counts(stride, "strides"))


def _rebuild_tensor_v2(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
    storage, offset, size, stride, grad, _, marks = _take(args, 6, 7)
    ref = _ref(storage)
    _refuse_marks(marks)
    where = whole(offset, "offset")
    return view(ref, ref.dtype, where, counts(size, "shape"), counts(stride, "strides"), requires_grad=grad is True)


def _rebuild_tensor_v3(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
    storage, offset, size, stride, grad, _, kind, marks = _take(args, 7, 8)
    _refuse_marks(marks)
    where, dtype = whole(offset, "offset"), dtype_of(kind)
    return view(
        _ref(storage), dtype, where, counts(size, "shape"), counts(stride, "strides"), requires_grad=grad is True
    )


def _refuse_marks(marks: object) -> None:
    """A lazily conjugated or negated tensor has other values than its bytes."""
    if isinstance(marks, dict) and any(marks.values()):
        raise MalformedInput(
            "a tensor cannot be read",
            why="it is conjugated or negated lazily, so its bytes are not its values",
            remedy="safeload.torch.load gives its values; its author can save it after .resolve_conj().resolve_neg()",
        )


def _rebuild_parameter(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
    data, grad, _, _ = _take(args, 3, 4)
    if isinstance(data, TensorView):
        return replace(data, kind="parameter", requires_grad=grad is True)
    return data


def _rebuild_from_type_v2(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
    """`(function, type, arguments, state)`: a tensor subclass, or a tensor with attributes."""
    function, _, inner, state = _take(args, 4, 4)
    handler = TENSOR_HANDLERS.get(function.name) if isinstance(function, Named) else None
    if handler is None or handler is _rebuild_from_type_v2 or not isinstance(inner, tuple):
        raise bad("it is built by a function that torch does not use for that")
    made = handler(inner, {}, call)
    return replace(made, facts={**made.facts, "state": state}) if isinstance(made, Composite) else made


def _rebuild_qtensor(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
    storage, offset, size, stride, params, _, _ = _take(args, 7, 7)
    if not isinstance(params, tuple) or not params or not isinstance(params[0], Named):
        raise bad("its quantisation is not described")
    ref = _ref(storage)
    data = view(ref, ref.dtype, whole(offset, "offset"), counts(size, "shape"), counts(stride, "strides"))
    parts: dict[str, object] = {"values": data}
    facts: dict[str, object] = {"scheme": params[0].name.name}
    for name, value in zip(("scale", "zero_point", "axis"), params[1:], strict=False):
        (parts if isinstance(value, TensorView) else facts)[name] = value
    return Composite(kind="quantised", parts=parts, facts=facts)


_SPARSE = {
    "torch.sparse_coo": ("indices", "values"),
    "torch.sparse_csr": ("crow_indices", "col_indices", "values"),
    "torch.sparse_csc": ("ccol_indices", "row_indices", "values"),
    "torch.sparse_bsr": ("crow_indices", "col_indices", "values"),
    "torch.sparse_bsc": ("ccol_indices", "row_indices", "values"),
}


def _rebuild_sparse_tensor(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
    layout, data = _take(args, 2, 2)
    names = _SPARSE.get(layout) if isinstance(layout, str) else None
    if names is None or not isinstance(data, tuple) or len(data) not in (len(names) + 1, len(names) + 2):
        raise bad("its sparse layout is not one of torch's")
    facts = {"layout": layout, "shape": counts(data[len(names)], "shape")}
    return Composite(kind="sparse", parts=_views(zip(names, data, strict=False)), facts=facts)


def _rebuild_nested_tensor(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
    names = ("values", "sizes", "strides", "offsets")
    return Composite(kind="nested", parts=_views(zip(names, _take(args, 4, 4), strict=True)))


def _views(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    parts = dict(pairs)
    if not all(isinstance(part, (TensorView, Composite)) for part in parts.values()):
        raise bad("a component of it is not a tensor")
    return parts


def _rebuild_meta(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
    dtype, size, stride, _ = _take(args, 4, 4)
    facts = {"dtype": dtype_of(dtype), "shape": counts(size, "shape"), "strides": counts(stride, "strides")}
    return Composite(kind="meta", parts={}, facts=facts)


def _rebuild_wrapper(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
    kind, dtype, size, *_ = _take(args, 8, 8)
    facts = {"type": kind, "dtype": dtype_of(dtype), "shape": counts(size, "shape")}
    return Composite(kind="wrapper", parts={}, facts=facts)


def _rebuild_device_tensor(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
    """A tensor of another device, saved as one of the CPU or as a numpy array; it is converted to its type on load."""
    data, kind, _, _ = _take(args, 4, 4)
    made = getattr(data, "view", None) if not isinstance(data, TensorView) else data
    if not isinstance(made, TensorView):
        raise bad("it is built from something that is not a tensor")
    if made.dtype != dtype_of(kind):
        raise bad(f"it is stored as {made.dtype} and would be converted to {dtype_of(kind)}")
    return made


def _size(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
    return counts(args[0], "shape") if len(args) == 1 else ()


def _layout(args: tuple[Any, ...], kwargs: dict[str, Any], call: Call) -> object:
    match args:
        case (str() as name,) if name in _SPARSE or name in ("torch.strided", "torch.jagged"):
            return name
    raise bad("its layout is not one of torch's")


_MAKERS: Mapping[str, Handler] = {
    "_rebuild_tensor": _rebuild_tensor,
    "_rebuild_tensor_v2": _rebuild_tensor_v2,
    "_rebuild_tensor_v3": _rebuild_tensor_v3,
    "_rebuild_parameter": _rebuild_parameter,
    "_rebuild_parameter_with_state": _rebuild_parameter,
    "_rebuild_qtensor": _rebuild_qtensor,
    "_rebuild_sparse_tensor": _rebuild_sparse_tensor,
    "_rebuild_nested_tensor": _rebuild_nested_tensor,
    "_rebuild_meta_tensor_no_storage": _rebuild_meta,
    "_rebuild_wrapper_subclass": _rebuild_wrapper,
    "_rebuild_device_tensor_from_numpy": _rebuild_device_tensor,
    "_rebuild_device_tensor_from_cpu_tensor": _rebuild_device_tensor,
    "_rebuild_xla_tensor": _rebuild_device_tensor,
}
TENSOR_HANDLERS: dict[GlobalName, Handler] = {
    **{GlobalName("torch._utils", name): handler for name, handler in _MAKERS.items()},
    GlobalName("torch._tensor", "_rebuild_from_type_v2"): _rebuild_from_type_v2,
    GlobalName("torch.tensor", "_rebuild_from_type_v2"): _rebuild_from_type_v2,
    GlobalName("torch", "Size"): _size,
    GlobalName("torch.serialization", "_get_layout"): _layout,
}
"""Handlers for `construct`: what torch and numpy call to make tensors."""
