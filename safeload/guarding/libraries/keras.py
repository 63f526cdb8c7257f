"""Keras: models that hold code, which its own safe mode has failed to stop before. Weights alone are data, and load."""

from __future__ import annotations

from typing import Any

from safeload.guarding.doors import Function, Library

_WHY = "a Keras model can hold code, and this version of safeload has no safe form of its loader"
_REMEDY = "safeload scan FILE; its weights: safeload convert FILE"


def _stays_safe(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a call of `deserialize_keras_object(config, custom_objects, safe_mode)` leaves the safe mode alone."""
    mode = args[2] if len(args) > 2 else kwargs.get("safe_mode")
    return mode is None or mode is True


LIBRARY = Library(
    name="keras",
    doors=(
        Function(
            homes=(
                "keras:load_model",
                "keras.saving:load_model",
                "keras.models:load_model",
                "keras.src.saving.saving_api:load_model",
                "keras.src.saving.saving_lib:load_model",
            ),
            why=_WHY,
            remedy=_REMEDY,
        ),
        Function(
            homes=("keras.src.legacy.saving.legacy_h5_format:load_model_from_hdf5",),
            why=_WHY,
            remedy=_REMEDY,
        ),
        Function(
            homes=(
                "keras.saving:deserialize_keras_object",
                "keras.src.saving.serialization_lib:deserialize_keras_object",
            ),
            why="safe_mode=False runs the code that a config holds",
            remedy="leave safe_mode out",
            passes=_stays_safe,
        ),
        Function(
            homes=(
                "keras.config:enable_unsafe_deserialization",
                "keras.src.saving.serialization_lib:enable_unsafe_deserialization",
            ),
            why="it has Keras run the code that models hold",
            remedy="leave it out",
        ),
    ),
)
