"""`python -m safeload` is the program `safeload`."""

from __future__ import annotations

from safeload.cli.start import run

if __name__ == "__main__":
    run()
