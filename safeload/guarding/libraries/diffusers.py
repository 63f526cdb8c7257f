"""diffusers: pipelines, models, schedulers, single files."""

from __future__ import annotations

from safeload.guarding.doors import Library, Methods

LIBRARY = Library(
    name="diffusers",
    doors=(Methods(library="diffusers", pattern=r"from_(?:pretrained|single_file|pipe)", ours="safeload.diffusers"),),
)
