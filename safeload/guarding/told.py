"""What a process that was started under guard says at its end: refusals, whether or not the program swallowed them."""

from __future__ import annotations

import atexit
import os
import sys

from safeload.guarding import state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

_SHOWN = 10
_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def tell_at_the_end() -> None:
    """Have this process say what was refused, on standard error, and end tracebacks of refusals where ours begins."""
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> Any:
        from safeload.core.errors import SafeloadError

        if isinstance(error, SafeloadError) and _cut(trace):
            error.__cause__ = error.__context__ = None
        return previous(kind, error, trace)

    sys.excepthook = hook
    atexit.register(_tell, os.getpid())


def _cut(trace: TracebackType | None) -> bool:
    """End a traceback before the first frame of safeload: what it did inside is not what the reader has to mend."""
    while trace is not None:
        following = trace.tb_next
        if following is not None and following.tb_frame.f_code.co_filename.startswith(_OURS):
            trace.tb_next = None
            return True
        trace = following
    return False


def _tell(process: int) -> None:
    found = state.since(0)
    if not found or os.getpid() != process or sys.stderr is None:
        return
    from safeload.core.names import escape

    number = state.count()
    lines = [f"safeload: {number} load{'' if number == 1 else 's'} refused in this process\n"]
    lines += [f"  {escape(error.what, 400)}\n" for error in found[-_SHOWN:]]
    sys.stderr.write("".join(lines))
