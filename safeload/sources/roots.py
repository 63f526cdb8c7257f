"""Where safeload keeps things, if nobody says otherwise."""

from __future__ import annotations

import os


def default_root() -> str:
    """`$SAFELOAD_HOME`, else `$XDG_CACHE_HOME/safeload`, else `~/.cache/safeload`."""
    if home := os.environ.get("SAFELOAD_HOME"):
        return os.path.abspath(os.path.expanduser(home))
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(os.path.abspath(base), "safeload")
