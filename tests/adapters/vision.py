"""torchvision for tests: timm and some of transformers import it.

Where its compiled part does not fit the installed torch (a CPU build of torch beside a CUDA build of torchvision), its
operators are declared without an implementation; no test calls one.
"""

from __future__ import annotations

import re
from importlib import util
from pathlib import Path

import torch

_DECLARED: list[torch.library.Library] = []


def prepare() -> bool:
    """Make torchvision importable; `False` if it is not installed."""
    spec = util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return False
    try:
        import torchvision
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        _DECLARED.append(library)
        text = (Path(spec.origin).parent / "_meta_registrations.py").read_text()
        for name in dict.fromkeys(re.findall(r'register_(?:meta|fake)\("(?:torchvision::)?(\w+)"', text)):
            library.define(f"{name}(Tensor a) -> Tensor")
        import torchvision  # noqa: F401
    return True
