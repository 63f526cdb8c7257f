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
    import gc

    # A reading makes many objects that all live until its end: looking for garbage among them costs more than reading.
    gc.set_threshold(100_000, 50, 1_000)
    from safeload.cli import main

    try:
        main.run()
    finally:
        gc.freeze()  # all that there is ends now: nobody has to look for garbage in it
