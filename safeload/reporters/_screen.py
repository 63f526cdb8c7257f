"""Where the terminal's report is written: lines of styled pieces, and tables of them.

On a terminal `rich` draws them. Elsewhere nobody sees colours, and to load `rich` would take longer than most scans:
there the same words are written plainly, one line for each line and each row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TextIO

if TYPE_CHECKING:
    from rich.console import Console

Piece = str | tuple[str, str]
"""A text, or a text and its style."""
Column = tuple[str, str]
"""A heading, and `left`, `right` or `fold`: the one column that may be broken into several lines."""


class Screen(Protocol):
    """Interprets nothing in what it prints: no markup, no emoji names, no highlighting."""

    def line(self, *pieces: Piece) -> None:
        """One line, never broken."""
        ...

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[Piece]]) -> None: ...


_PIPED_WIDTH = 160
"""Columns where the output is no terminal that could say how wide it is."""


def console(stream: TextIO) -> Console:
    """A console that interprets nothing in what it prints: no markup, no emoji names, no highlighting."""
    from rich.console import Console

    class Unbroken(Console):
        def on_broken_pipe(self) -> None:
            """Whoever read our output has seen enough: the command line knows what to do."""
            raise BrokenPipeError

    width = None if stream.isatty() else _PIPED_WIDTH
    return Unbroken(file=stream, width=width, markup=False, emoji=False, highlight=False, soft_wrap=False)


def screen(stream: TextIO) -> Screen:
    """What draws on a stream."""
    return _Rich(stream) if stream.isatty() else _Plain(stream)


def _text(piece: Piece) -> str:
    return piece if isinstance(piece, str) else piece[0]


class _Plain:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def line(self, *pieces: Piece) -> None:
        self._stream.write("".join(map(_text, pieces)).rstrip() + "\n")

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[Piece]]) -> None:
        texts = [[heading for heading, _ in columns], *([_text(piece) for piece in row] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
        texts.insert(1, ["─" * width for width in widths])
        for row in texts:
            cells = zip(row, columns, widths, strict=True)
            padded = (text.rjust(width) if side == "right" else text.ljust(width) for text, (_, side), width in cells)
            self.line("  ", "   ".join(padded))
        self.line()


class _Rich:
    def __init__(self, stream: TextIO) -> None:
        self._console = console(stream)

    def line(self, *pieces: Piece) -> None:
        from rich.text import Text

        self._console.print(Text.assemble(*pieces), soft_wrap=True)

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[Piece]]) -> None:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE)
        for heading, side in columns:
            fold: Any = {"overflow": "fold"} if side == "fold" else {"no_wrap": True}
            table.add_column(heading, justify="right" if side == "right" else "left", **fold)
        for row in rows:
            table.add_row(*(Text.assemble(piece) for piece in row))
        self._console.print(table)
