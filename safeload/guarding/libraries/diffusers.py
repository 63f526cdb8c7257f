"""diffusers: pipelines, models, schedulers, single files."""

from __future__ import annotations

from safeload.guarding.doors import Library, Methods

LIBRARY = Library(
    name="diffusers",
    doors=(Methods(library="diffusers", pattern=r"from_pretrained|from_single_file", ours="safeload.diffusers"),),
)
