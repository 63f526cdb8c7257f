"""The code builds or loads native code."""

from __future__ import annotations

from collections.abc import Iterable

from safeload.core.finding import Confidence, Severity, Status
from safeload.formats.base import Part
from safeload.formats.python.facts import Facts, Use
from safeload.rules.base import Rule
from safeload.rules.code_use import checking, example, reaches, words

_NAMES = words(
    """
    ctypes cffi torch.utils.cpp_extension torch.ops.load_library torch.classes.load_library torch._inductor
    torch.utils.dlpack kernels.get_kernel kernels.load_kernel kernels.get_local_kernel
    transformers.integrations.hub_kernels cupy.RawKernel cupy.RawModule pycuda numba.cfunc setuptools distutils
    Cython pyximport llvmlite tvm
    """
)
_METHODS = words(
    """
    load_library LoadLibrary
    """
)


def _chosen(use: Use) -> bool:
    return reaches(use, _NAMES, _METHODS)


def _bad() -> Iterable[Part]:
    yield example('import ctypes\nlib = ctypes.CDLL("x.so")\n')
    yield example('from torch.utils.cpp_extension import load\nload(name="x", sources=["x.cpp"])\n')


def _good() -> Iterable[Part]:
    yield example("import torch\ny = torch.ops.aten.relu\n")


RULE = Rule(
    id="code-native",
    title="the code builds or loads native code",
    why=(
        "Native code is outside of anything that reading Python can tell, and outside of Python's audit "
        "hooks. Kernels fetched from a hub count as well."
    ),
    status=Status.UNVERIFIED,
    severity=Severity.HIGH,
    confidence=Confidence.LIKELY,
    remedy="read the line; approve the code only if you know why it does that",
    taxonomy=(
        "CWE-829",
        "AML.T0011.000",
    ),
    check=checking(_chosen, "builds or loads native code"),
    bad=_bad,
    good=_good,
    looks_at=(Facts,),
)
