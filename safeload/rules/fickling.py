"""fickling, the only reader beside ours that sees a foreign pickle: the one file that calls it.

It decompiles: for people who audit a pickle (`safeload inspect --pseudo`), and for its own analyses, a second opinion
(`safeload scan --with fickling`). It sees bytes that were cut from the very reading that was judged, and runs nothing;
its own loader and hooks are not used.
"""

from __future__ import annotations

import ast
import contextlib
import io
from typing import NamedTuple

from safeload.core.errors import UsageError
from safeload.core.graph import Reading
from safeload.core.names import Location, escape

_MOST = 1 << 22
"""Bytes of a pickle that is decompiled."""
_OPCODES = 200_000
_NODES = 1_000_000
"""Parts of the source tree that are written out: what a pickle refers to twice, fickling writes twice."""
_LONGEST = 1 << 20
"""Characters that are shown."""
_FAULTS = (ValueError, TypeError, LookupError, AttributeError, RuntimeError, ArithmeticError, StopIteration)
"""What fickling raises for pickles that it cannot follow, beside errors of its own."""


class Opinion(NamedTuple):
    """One result of fickling's analyses."""

    level: str
    """Its own name for how bad that is, such as `LIKELY_UNSAFE`; `FAILED` where it gave up."""
    analysis: str
    about: str
    """The import, variable or code it is about; foreign text."""


def require() -> None:
    """Make sure that fickling can be asked.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import fickling.fickle  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "fickling was asked for, and is not installed",
            why=str(error),
            remedy="pip install 'safeload[fickling]'",
        ) from None


def pseudo_source(reading: Reading, location: Location) -> str:
    """One pickle as Python source that must not be run; or a comment that says why there is none.

    Every line is escaped for a terminal. The text is fickling's opinion: where it differs from what `safeload inspect`
    says of the same bytes, believe neither, and look.

    Raises:
        UsageError: fickling is not installed.
    """
    require()
    from fickling.exception import ResourceExhaustionError, WrongMethodError
    from fickling.fickle import Pickled

    if reading.end - reading.start > _MOST or reading.opcodes > _OPCODES:
        return f"# not decompiled: it has {reading.opcodes:,} opcodes in {reading.end - reading.start:,} bytes"
    try:
        tree = Pickled.load(reading.blob.read_at(reading.start, reading.end - reading.start)).ast
        if not _is_small(tree):
            return "# not decompiled: written out, it would be vast"
        text = ast.unparse(tree)
    except (*_FAULTS, ResourceExhaustionError, WrongMethodError) as error:
        return f"# fickling cannot decompile it: {escape(str(error) or type(error).__name__, 200)}"
    shown, cut = text[:_LONGEST], len(text) > _LONGEST
    lines = [escape(line, _LONGEST) for line in shown.split("\n")]
    return "\n".join([*lines, *(["# … cut"] if cut else [])])


def analyse(data: bytes) -> tuple[Opinion, ...]:
    """What fickling's analyses say about one pickle; nothing if it finds nothing. Runs nothing of it.

    Raises:
        UsageError: fickling is not installed.
    """
    require()
    from fickling.analysis import check_safety
    from fickling.fickle import Pickled

    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        try:
            pickled = Pickled.load(data)
            if not _is_small(pickled.ast):  # its analyses write the program out, which may double at every opcode
                return (Opinion("FAILED", "too large", "written out, the program would be vast"),)
            results = check_safety(pickled).results
            return tuple(
                Opinion(result.severity.name, str(result.analysis_name), str(result.trigger or ""))
                for result in results
            )
        except Exception as error:  # noqa: BLE001 (another's analyser may raise anything; it is told, not swallowed)
            return (Opinion("FAILED", type(error).__name__, str(error)),)


def _is_small(tree: ast.AST) -> bool:
    """Whether a tree whose branches may be the same objects is small when each is written out."""
    waiting, count = [tree], 0
    while waiting and count <= _NODES:
        count += 1
        for value in vars(waiting.pop()).values():
            items = value if isinstance(value, list | tuple) else [value]
            waiting += [item for item in items if hasattr(item, "_fields")]
            count += sum(len(item) // 16 for item in items if isinstance(item, str | bytes))
    return not waiting
