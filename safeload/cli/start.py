"""The program `safeload`, from its first line. What is only to be run under guard does not wait for a parser."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def run() -> NoReturn:
    """Do what the command line says, and end with its exit code."""
    if sys.argv[1:2] == ["run"]:
        from safeload.cli.run import straight

        straight(sys.argv[2:])
    from safeload.cli import main

    main.run()
