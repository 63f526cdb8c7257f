"""PEFT: adapters, their configs and their weights."""

from __future__ import annotations

from safeload.guarding.doors import Function, Library, Methods

LIBRARY = Library(
    name="peft",
    doors=(
        Methods(library="peft", pattern=r"from_pretrained", ours="safeload.peft"),
        Function(
            homes=("peft:load_peft_weights", "peft.utils.save_and_load:load_peft_weights"),
            ours="safeload.peft.load_peft_weights",
        ),
    ),
)
