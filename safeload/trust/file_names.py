"""What the files are called that say whom to trust. Who only looks whether there is one needs nothing that reads it."""

from __future__ import annotations

POLICY = "safeload.toml"
LOCK = "safeload.lock"
AUDITS = "audits.toml"
