"""What `joblib.dump` writes, from nothing but pickle: the bytes of arrays behind the opcode that completes a wrapper.

joblib itself is no dependency of the tests; the files of joblib 1.6 were compared with these byte for byte.
"""

from __future__ import annotations

import io
import pickle
import sys
import types
from typing import Any

import numpy

_ALIGNED = 16


class _Wrapper:
    """Pickles as joblib's wrapper of one array."""

    def __init__(self, array: numpy.ndarray) -> None:
        order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
        self.subclass = numpy.ndarray
        self.shape = array.shape
        self.order = order
        self.dtype = array.dtype
        self.allow_mmap = not array.dtype.hasobject
        self.numpy_array_alignment_bytes = _ALIGNED


class _Pickler(pickle._Pickler):  # type: ignore[name-defined,misc]
    """Python's own pickler, because bytes are written between its opcodes."""

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if type(obj) is not numpy.ndarray:
            super().save(obj, save_persistent_id)
            return
        wrapper = _Wrapper(obj)
        super().save(wrapper)
        if self.proto >= 4:
            self.framer.commit_frame(force=True)
        if obj.dtype.hasobject:
            pickle.dump(obj, self.out, protocol=pickle.HIGHEST_PROTOCOL)
            return
        padding = _ALIGNED - (self.out.tell() + 1) % _ALIGNED
        self.out.write(bytes((padding,)) + b"\xff" * padding)
        self.out.write(obj.tobytes(wrapper.order))


def joblib_dump(value: Any, protocol: int = 4) -> bytes:
    """The bytes of a joblib file without compression."""
    out = io.BytesIO()
    pickler = _Pickler(out, protocol)
    pickler.out = out
    home = types.ModuleType("joblib.numpy_pickle")
    home.NumpyArrayWrapper = _Wrapper  # type: ignore[attr-defined]
    before = {name: sys.modules.get(name) for name in ("joblib", "joblib.numpy_pickle")}
    sys.modules.update({"joblib": types.ModuleType("joblib"), "joblib.numpy_pickle": home})
    _Wrapper.__module__, _Wrapper.__qualname__ = "joblib.numpy_pickle", "NumpyArrayWrapper"
    try:
        pickler.dump(value)
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
    return out.getvalue()
