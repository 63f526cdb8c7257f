"""The real Keras and timm under guard, where they are installed: Keras is in the tests' environment, timm needs
torchvision."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.guarding import programs

TRY = """
    def attempt(name, load):
        try:
            print(name, "|", type(load()).__name__, "|", os.path.exists(marker))
        except Exception as error:
            print(name, "|", type(error).__name__, "|", os.path.exists(marker))
"""
KERAS = (
    """
    import os, sys
    os.environ["KERAS_BACKEND"] = "torch"
    import keras
    from keras.models import load_model
    folder, marker = sys.argv[1:]
    def path(name):
        return os.path.join(folder, name)
"""
    + TRY
    + """
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(3)])
    acts = keras.layers.Lambda(lambda x: (open(marker, "w").close(), x)[1])
    evil = keras.Sequential([keras.layers.Input((2,)), acts])
    model.save(path("model.keras"))
    model.save(path("model.h5"))
    model.save_weights(path("model.weights.h5"))
    evil.save(path("evil.keras"))
    os.path.exists(marker) and os.remove(marker)  # the layer ran when its model was made, which was no load
    serialised = keras.saving.serialize_keras_object(evil)
    inner = keras.src.saving
    attempt("load_model", lambda: load_model(path("model.keras")))
    attempt("saving", lambda: keras.saving.load_model(path("model.h5")))
    attempt("evil", lambda: keras.models.load_model(path("evil.keras"), safe_mode=False))
    attempt("inner", lambda: inner.saving_lib.load_model(path("evil.keras"), safe_mode=False))
    attempt("legacy", lambda: keras.src.legacy.saving.legacy_h5_format.load_model_from_hdf5(path("model.h5")))
    attempt("config", lambda: keras.saving.deserialize_keras_object(serialised, safe_mode=False))
    attempt("switch", lambda: keras.config.enable_unsafe_deserialization())
    attempt("weights", lambda: model.load_weights(path("model.weights.h5")))
    attempt("harmless config", lambda: keras.Sequential.from_config(model.get_config()))
"""
)
TIMM = (
    """
    import argparse, os, sys
    import timm, torch
    from timm.models import load_checkpoint, load_state_dict
    folder, marker = sys.argv[1:]
    def path(name):
        return os.path.join(folder, name)
"""
    + TRY
    + """
    class Touch:
        def __reduce__(self):
            return open, (marker, "w")
    def fresh():
        return timm.create_model("test_vit", num_classes=3)
    torch.save({"state_dict": fresh().state_dict(), "args": argparse.Namespace(lr=1)}, path("good.pth"))
    torch.save({"state_dict": {"a": Touch()}}, path("evil.pth"))
    for name in ("good.pth", "evil.pth"):
        attempt(name, lambda: timm.create_model("test_vit", num_classes=3, checkpoint_path=path(name)))
        attempt(name, lambda: load_checkpoint(fresh(), path(name)))
        attempt(name, lambda: load_state_dict(path(name), weights_only=False))
        attempt(name, lambda: load_state_dict(path(name), True, "cpu", False))
"""
)


def rows(program: str, tmp_path: Path, marker: Path) -> list[str]:
    result = programs.guarded(programs.write(tmp_path / "app.py", program), tmp_path, marker)
    assert result.returncode == 0, result.stderr
    return [line for line in result.stdout.splitlines() if " | " in line]


@pytest.mark.skipif(importlib.util.find_spec("keras") is None, reason="keras is not installed")
def test_keras_loads_weights_and_no_models(tmp_path: Path, marker: Path) -> None:
    """Every way to a model is refused, the inner and the old ones too; weights and configs without code load."""
    assert rows(KERAS, tmp_path, marker) == [
        *(
            f"{name} | PolicyDenied | False"
            for name in ("load_model", "saving", "evil", "inner", "legacy", "config", "switch")
        ),
        "weights | NoneType | False",
        "harmless config | Sequential | False",
    ]


@pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="timm needs torchvision, and is not installed")
def test_timm_loads_through_its_adapter(tmp_path: Path, marker: Path) -> None:
    """What is benign loads, also where the program asks for unpickling; what is not is refused."""
    assert rows(TIMM, tmp_path, marker) == [
        *(f"good.pth | {kind} | False" for kind in ("VisionTransformer", "_IncompatibleKeys", "dict", "dict")),
        *["evil.pth | PolicyDenied | False"] * 4,
    ]
