"""What a pickle would do, written as Python by fickling: for people who audit one. Shown, never run.

fickling decompiles. It is the only reader beside ours that sees a foreign pickle, its words decide nothing, and only
`safeload inspect --pseudo` asks for them. Its own loader and hooks are not used.
"""

from __future__ import annotations

import ast

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


def pseudo_source(reading: Reading, location: Location) -> str:
    """One pickle as Python source that must not be run; or a comment that says why there is none.

    Every line is escaped for a terminal. The text is fickling's opinion: where it differs from what `safeload inspect`
    says of the same bytes, believe neither, and look.

    Raises:
        UsageError: fickling is not installed.
    """
    try:
        from fickling.exception import ResourceExhaustionError, WrongMethodError
        from fickling.fickle import Pickled
    except ImportError:
        raise UsageError(
            "no pseudo-source was made",
            where=location,
            why="fickling, which decompiles pickles, is not installed",
            remedy="pip install 'safeload[fickling]'",
        ) from None
    if reading.end - reading.start > _MOST or reading.opcodes > _OPCODES:
        return f"# not decompiled: it has {reading.opcodes:,} opcodes in {reading.end - reading.start:,} bytes"
    try:
        tree = Pickled.load(reading.blob.read_at(reading.start, reading.end - reading.start)).ast
        if not is_small(tree):
            return "# not decompiled: written out, it would be vast"
        text = ast.unparse(tree)
    except (*_FAULTS, ResourceExhaustionError, WrongMethodError) as error:
        return f"# fickling cannot decompile it: {escape(str(error) or type(error).__name__, 200)}"
    shown, cut = text[:_LONGEST], len(text) > _LONGEST
    lines = [escape(line, _LONGEST) for line in shown.split("\n")]
    return "\n".join([*lines, *(["# … cut"] if cut else [])])


def is_small(tree: ast.AST) -> bool:
    """Whether a tree whose branches may be the same objects is small when each is written out."""
    waiting, count = [tree], 0
    while waiting and count <= _NODES:
        count += 1
        for value in vars(waiting.pop()).values():
            items = value if isinstance(value, list | tuple) else [value]
            waiting += [item for item in items if hasattr(item, "_fields")]
            count += sum(len(item) // 16 for item in items if isinstance(item, str | bytes))
    return not waiting
