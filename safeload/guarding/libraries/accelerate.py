"""accelerate: checkpoints into models that are there already."""

from __future__ import annotations

from safeload.guarding.doors import Function, Library

LIBRARY = Library(
    name="accelerate",
    doors=(
        Function(
            homes=(
                "accelerate:load_checkpoint_in_model",
                "accelerate.utils.modeling:load_checkpoint_in_model",
            ),
            ours="safeload.accelerate.load_checkpoint_in_model",
        ),
        Function(
            homes=(
                "accelerate:load_checkpoint_and_dispatch",
                "accelerate.big_modeling:load_checkpoint_and_dispatch",
            ),
            ours="safeload.accelerate.load_checkpoint_and_dispatch",
        ),
    ),
)
