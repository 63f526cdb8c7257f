"""`torch.export`, guarded: an exported program gives its tensors, and its program stays where it is.

    from safeload.torch import export
    weights = export.load("model.pt2").state_dict

torch's own loader unpickles parts of such files without any restriction. `save` is torch's own. Of torch's other names
none loads a file; take them from `torch.export`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from safeload.engine.options import Options
from safeload.torch._program import Inert, read_program, refuse_argument

if TYPE_CHECKING:
    from torch.export import save

__all__ = ("InertProgram", "load", "save")


class InertProgram(Inert):
    """An exported program that was not loaded."""

    @property
    def state_dict(self) -> dict[str, Any]:
        """Its parameters and buffers, by name."""
        return self._named(constant=False)

    @property
    def constants(self) -> dict[str, Any]:
        """Its other tensors, by name."""
        return self._named(constant=True)


def load(
    f: Any,
    *,
    extra_files: dict[str, Any] | None = None,
    expected_opset_version: dict[str, int] | None = None,
    safeload: Options | None = None,
) -> InertProgram:
    """The tensors of what `torch.export.save` wrote; never the program.

    Promised: nothing in the file runs, and nothing is unpickled. Not promised: older files, which keep their
    tensors in a pickle, and tensors of subclasses: these are refused.

    Args:
        f: a path, an open binary file, or bytes.
        extra_files, expected_opset_version: only there to be refused.

    Raises:
        PolicyDenied: the data beside the program is dangerous, or a policy refuses it.
        MalformedInput: it cannot be read to its end, or its tensors are pickled.
        UsageError: it is no exported program, or an argument cannot be honoured.
        SourceError: there is no such file. VerificationFailed: it changed meanwhile.
    """
    if extra_files:
        refuse_argument("extra_files", "members beside the tensors are not handed over", "read them with zipfile")
    if expected_opset_version is not None:
        refuse_argument("expected_opset_version", "the program is not loaded", "leave it out")

    def make(file: str, tensors: dict[str, Any]) -> Inert:
        return InertProgram("an exported program", file, tensors)

    return cast(InertProgram, read_program(f, "pt2", safeload, None, make))


def __getattr__(name: str) -> Any:
    if name == "save":
        from torch.export import save

        return save
    raise AttributeError(f"module 'safeload.torch.export' has no attribute {name!r}: it guards what loads files")
