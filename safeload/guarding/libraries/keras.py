"""Keras: models that hold code, which its own safe mode has failed to stop before."""

from __future__ import annotations

from safeload.guarding.doors import Function, Library

LIBRARY = Library(
    name="keras",
    doors=(
        Function(
            homes=(
                "keras:load_model",
                "keras.saving:load_model",
                "keras.models:load_model",
                "keras.src.saving.saving_api:load_model",
            ),
            why="a Keras model can hold code, and this version of safeload has no safe form of its loader",
            remedy="safeload scan FILE; its weights: safeload convert FILE",
        ),
    ),
)
