"""torchvision, where it is installed, has to be importable before transformers looks for it."""

from tests.adapters import vision

vision.prepare()
