"""`torch.jit`, guarded: a TorchScript file gives its tensors, and its program stays where it is.

    from safeload.torch import jit
    weights = jit.load("model.pt").state_dict()

TorchScript runs in native code as soon as it is loaded and called, with operators that read files and more; no check in
Python sees what it does. `save` is torch's own. Of torch's other names none loads a file; take them from `torch.jit`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from safeload.engine.options import Options
from safeload.torch._program import Inert, read_program, refuse_argument

if TYPE_CHECKING:
    from torch.jit import save

__all__ = ("InertScript", "load", "save")


class InertScript(Inert):
    """A TorchScript module that was not loaded."""

    def state_dict(self) -> dict[str, Any]:
        """Its tensors by name: parameters, buffers, and whatever other attributes of modules are tensors."""
        return self._named(constant=False)


def load(
    f: Any,
    map_location: Any = None,
    _extra_files: dict[str, Any] | None = None,
    _restore_shapes: bool = False,
    *,
    safeload: Options | None = None,
) -> InertScript:
    """The tensors of what `torch.jit.save` wrote; never the program.

    Promised: nothing in the file runs. Not promised: that names and tensors are those of `state_dict()` alone: a
    TorchScript file does not tell buffers from other attributes that are tensors.

    Args:
        f: a path, an open binary file, or bytes.
        map_location: as for `torch.load`.
        _extra_files, _restore_shapes: only there to be refused.

    Raises:
        PolicyDenied: the data beside the program is dangerous, or a policy refuses it.
        MalformedInput: it cannot be read to its end.
        UsageError: it is no TorchScript file, or an argument cannot be honoured.
        SourceError: there is no such file. VerificationFailed: it changed meanwhile.
    """
    if _extra_files:
        refuse_argument("_extra_files", "members beside the tensors are not handed over", "read them with zipfile")
    if _restore_shapes:
        refuse_argument("_restore_shapes=True", "the program is not loaded", "leave it out")

    def make(file: str, tensors: dict[str, Any]) -> Inert:
        return InertScript("a TorchScript module", file, tensors)

    return cast(InertScript, read_program(f, "torchscript", safeload, map_location, make))


def __getattr__(name: str) -> Any:
    if name == "save":
        from torch.jit import save

        return save
    raise AttributeError(f"module 'safeload.torch.jit' has no attribute {name!r}: it guards what loads files")
