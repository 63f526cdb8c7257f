"""The element types of torch, safetensors, GGUF and numpy, under torch's names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from safeload.core.errors import MalformedInput
from safeload.core.names import GlobalName, escape

WIDTHS: Mapping[str, int] = MappingProxyType(
    {
        "bool": 1,
        "uint8": 1,
        "int8": 1,
        "uint16": 2,
        "int16": 2,
        "uint32": 4,
        "int32": 4,
        "uint64": 8,
        "int64": 8,
        "float16": 2,
        "bfloat16": 2,
        "float32": 4,
        "float64": 8,
        "complex32": 4,
        "bcomplex32": 4,
        "complex64": 8,
        "complex128": 16,
        "float8_e4m3fn": 1,
        "float8_e4m3fnuz": 1,
        "float8_e5m2": 1,
        "float8_e5m2fnuz": 1,
        "float8_e8m0fnu": 1,
        "float4_e2m1fn_x2": 1,
        "qint8": 1,
        "quint8": 1,
        "qint32": 4,
        "quint4x2": 1,
        "quint2x4": 1,
        "bits8": 1,
        "bits16": 2,
        "bits1x8": 1,
        "bits2x4": 1,
        "bits4x2": 1,
        **{f"{sign}int{bits}": 1 for sign in ("", "u") for bits in range(1, 8)},
    }
)
"""Bytes of one element, as torch counts them: `float4_e2m1fn_x2` is two numbers in one element of one byte."""

SYNONYMS = {
    "double": "float64",
    "float": "float32",
    "half": "float16",
    "long": "int64",
    "int": "int32",
    "short": "int16",
    "chalf": "complex32",
    "cfloat": "complex64",
    "cdouble": "complex128",
}
_CODE = r"[<>=|]?([?a-zA-Z])(\d{0,18})(?:\[.*\])?"
_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "BFloat16Storage": "bfloat16",
    "ComplexDoubleStorage": "complex128",
    "ComplexFloatStorage": "complex64",
    "QInt8Storage": "qint8",
    "QInt32Storage": "qint32",
    "QUInt8Storage": "quint8",
    "QUInt4x2Storage": "quint4x2",
    "QUInt2x4Storage": "quint2x4",
    "UntypedStorage": "uint8",
    "_UntypedStorage": "uint8",
}
STORAGE_NAMES = frozenset(_STORAGES)
"""What torch calls its storage classes, in whatever module."""
SAFETENSORS: Mapping[str, str] = MappingProxyType(
    {
        "BOOL": "bool",
        "U8": "uint8",
        "I8": "int8",
        "U16": "uint16",
        "I16": "int16",
        "U32": "uint32",
        "I32": "int32",
        "U64": "uint64",
        "I64": "int64",
        "F16": "float16",
        "BF16": "bfloat16",
        "F32": "float32",
        "F64": "float64",
        "C64": "complex64",
        "F8_E4M3": "float8_e4m3fn",
        "F8_E5M2": "float8_e5m2",
        "F8_E4M3FNUZ": "float8_e4m3fnuz",
        "F8_E5M2FNUZ": "float8_e5m2fnuz",
        "F8_E8M0": "float8_e8m0fnu",
        "F4": "float4_e2m1fn_x2",
    }
)
"""safetensors' name of each element type. `F4` counts numbers and torch pairs of them: halve the last dimension."""

_NUMPY = {
    "b1": "bool",
    "u1": "uint8",
    "i1": "int8",
    "u2": "uint16",
    "i2": "int16",
    "u4": "uint32",
    "i4": "int32",
    "u8": "uint64",
    "i8": "int64",
    "f2": "float16",
    "f4": "float32",
    "f8": "float64",
    "c8": "complex64",
    "c16": "complex128",
    "?": "bool",
}


_BITS = {"F6_E2M3": 6, "F6_E3M2": 6}
"""Types of safetensors that torch has no word for, and whose elements are no whole bytes: they keep their names."""


def width_of(dtype: str) -> int:
    """Bytes of one element of a type.

    Raises:
        MalformedInput: elements of the type are not whole bytes (`bits_of` tells), or there is no such type.
    """
    width = WIDTHS.get(dtype)
    if width is None:
        raise MalformedInput("a tensor cannot be read", why=f"elements of the type {escape(dtype)} are not whole bytes")
    return width


def bits_of(dtype: str) -> int:
    """Bits of one element of a type that one of the readers gave to a tensor."""
    return _BITS.get(dtype) or 8 * width_of(dtype)


def storage_dtype(name: GlobalName) -> str | None:
    """The element type that torch gives to a storage class; raw storages count bytes."""
    return _STORAGES.get(name.name) if _of_torch(name) else None


def torch_dtype(name: GlobalName) -> str | None:
    """The element type that `torch.<name>` is."""
    if name.module != "torch":
        return None
    dtype = SYNONYMS.get(name.name, name.name)
    return dtype if dtype in WIDTHS else None


def numpy_dtype(code: str) -> tuple[str, bool] | None:
    """`(element type, big endian)` for a numpy type string such as `<f4`; `None` for what torch has no word for."""
    order, rest = (code[0], code[1:]) if code[:1] in tuple("<>=|") else ("=", code)
    dtype = _NUMPY.get(rest)
    return None if dtype is None else (dtype, order == ">")


def numpy_width(code: str) -> int:
    """Bytes of one element of a numpy type string; 0 where it does not say."""
    found = re.fullmatch(_CODE, code, re.ASCII)
    if found is None:
        return 0
    count = int(found[2] or "1")
    return 4 * count if found[1] == "U" else count


def _of_torch(name: GlobalName) -> bool:
    return name.module == "torch" or name.module.startswith("torch.")
