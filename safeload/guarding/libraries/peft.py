"""PEFT: adapters and their configs."""

from __future__ import annotations

from safeload.guarding.doors import Library, Methods

LIBRARY = Library(name="peft", doors=(Methods(library="peft", pattern=r"from_pretrained", ours="safeload.peft"),))
