"""The code builds or loads native code."""

from __future__ import annotations

from collections.abc import Iterable

from safeload.core.finding import Confidence, Severity, Status
from safeload.formats.base import Part
from safeload.formats.python.facts import Facts, Kind, Use
from safeload.rules.base import Rule
from safeload.rules.catalogue import NATIVE
from safeload.rules.code_use import catalogued, checking, example, reaches, words

_NAMES = words(
    """
    ctypes cffi torch.utils.cpp_extension torch.ops.load_library torch.classes.load_library torch._inductor
    torch.utils.dlpack kernels.get_kernel kernels.load_kernel kernels.get_local_kernel
    transformers.integrations.hub_kernels cupy.RawKernel cupy.RawModule pycuda numba.cfunc setuptools distutils
    Cython pyximport llvmlite tvm torch._export.aot_load torch._C._aoti torch.cuda._compile_kernel triton.compile
    tensorrt onnxruntime.SessionOptions.register_custom_ops_library _imp
    """
)
_METHODS = words(
    """
    load_library LoadLibrary load_op_library load_extension register_custom_ops_library aoti_load_package aot_load
    get_kernel use_kernel_forward_from_hub load_inline create_dynamic
    """
)


def _chosen(use: Use) -> bool:
    if use.name.startswith(("torch.ops.", "torch._ops.", "torch.classes.")):
        return reaches(use, _NAMES, _METHODS)  # each is an operator that somebody loaded
    return reaches(use, _NAMES, _METHODS) or catalogued(use, NATIVE) or _kernel(use)


_KERNELS = ("attn_implementation", "experts_implementation", "_attn_implementation")
_SWITCHES = ("use_kernels", "kernel_config", "allow_all_kernels")


def _kernel(use: Use) -> bool:
    """Whether a call names a repository of native code, as loaders of transformers take it."""
    if use.kind is not Kind.CALL:
        return False
    named = [use.keywords.get(key) for key in _KERNELS]
    if use.name.rpartition(".")[2] == "set_attn_implementation":
        named += use.arguments
    return any(isinstance(name, str) and "/" in name for name in named) or any(
        use.keywords.get(switch, 0) != 0 for switch in _SWITCHES
    )


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
