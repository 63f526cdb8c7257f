"""What is known of the operators of graphs, by framework. One answer for the rules that judge them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from safeload.core.names import escape
from safeload.formats.base import Operator
from safeload.rules import operators_onnx, operators_paddle, operators_tensorflow, operators_torch
from safeload.rules.catalogue import CODE, FILE
from safeload.rules.wordlist import words

_PLAIN = re.compile(r"(?!.{0,400}\.\.)[\w.@+ -][\w.@+ /-]{0,400}\Z")
"""A name within the directory of the model."""
_GIVEN, _COMPUTED = "<given by the caller>", "<computed>"
"""How readers say where a path comes from, if it is no constant."""
_WRITES = frozenset({"SaveV2", "Save", "SaveSlices", "MergeV2Checkpoints"})


class Known(NamedTuple):
    """What an operator does: `reaches` in a clause, empty if it only computes; `listed` if somebody looked at it."""

    listed: bool
    reaches: str = ""


def known(operator: Operator) -> Known:
    """What is known of an operator. One that nobody listed may be anything."""
    judge = _JUDGES.get(operator.framework)
    return judge(operator) if judge else Known(False)


def _tensorflow(operator: Operator) -> Known:
    name = operator.name
    if name in operators_tensorflow.REACHES:
        return Known(True, operators_tensorflow.REACHES[name])
    if (form := operators_tensorflow.BY_TEXT.get(name)) is not None:
        odd = [text for text in operator.arguments if not form.fullmatch(text)]
        return Known(True, f"{FILE}: {escape(odd[0], 120)}" if odd else "")
    if name in operators_tensorflow.PATHS:
        return _path(operator)
    return Known(operator.domain == "function" or name in operators_tensorflow.COMPUTES)


def _path(operator: Operator) -> Known:
    for text in operator.arguments:
        if text == _COMPUTED and operator.name not in _WRITES:
            return Known(False)
        if text == _COMPUTED:
            return Known(True, "writes files whose name the graph computes")
        if text != _GIVEN and not _PLAIN.match(text):
            verb = "writes" if operator.name in _WRITES else "reads"
            return Known(True, f"{verb} {escape(text, 120)}, which the graph chooses")
    return Known(True)


def _onnx(operator: Operator) -> Known:
    if operator.name in operators_onnx.REACHES:
        return Known(True, operators_onnx.REACHES[operator.name])
    if operator.domain.startswith("function"):
        return Known(True)
    return Known(operator.name in operators_onnx.COMPUTES.get(operator.domain, ()))


def _torch(operator: Operator) -> Known:
    if operator.name in operators_torch.REACHES:
        return Known(True, operators_torch.REACHES[operator.name])
    return Known(operator.domain in operators_torch.OWN)


def _tflite(operator: Operator) -> Known:
    """Custom operators; those of TensorFlow have its names after `Flex`."""
    if operator.name.startswith("Flex"):
        return _tensorflow(replace(operator, name=operator.name[4:]))
    return Known(operator.name in _TFLITE)


def _coreml(operator: Operator) -> Known:
    """Layers by number and operations by name are the runtime's own; custom ones are classes of an application."""
    return Known(operator.domain != "custom" and operator.name.replace("_", "").isalnum())


def _openvino(operator: Operator) -> Known:
    return Known(_OPSET.fullmatch(operator.domain) is not None and operator.name.isalnum())


def _paddle(operator: Operator) -> Known:
    if operator.name in operators_paddle.REACHES:
        return Known(True, operators_paddle.REACHES[operator.name])
    return Known(operator.name in operators_paddle.COMPUTES)


def _text(operator: Operator) -> Known:
    """A graph as text, whose paths nobody follows."""
    found = _tensorflow(operator)
    return Known(False) if operator.name in operators_tensorflow.PATHS else found


def _caffe(operator: Operator) -> Known:
    """Layers are the library's own, but for those that import a Python module."""
    return Known(True, CODE) if operator.name == "Python" else Known(operator.name.isidentifier())


_OPSET = re.compile(r"opset\d{1,3}")
_TFLITE = words(
    "TFLite_Detection_PostProcess Convolution2DTransposeBias MaxPoolingWithArgmax2D MaxUnpooling2D "
    "TransformTensorBilinear TransformLandmarks Landmarks2TransformMatrix AudioSpectrogram Mfcc NumericVerify"
)
"""Custom operators that the runtime and its companions bring along."""
_JUDGES: dict[str, Callable[[Operator], Known]] = {
    "tensorflow": _tensorflow,
    "onnx": _onnx,
    "torchscript": _torch,
    "tflite": _tflite,
    "tensorflow-text": _text,
    "caffe": _caffe,
    "coreml": _coreml,
    "openvino": _openvino,
    "paddle": _paddle,
    "tflite-builtin": lambda operator: Known(True),
}


def shown(operator: Operator) -> str:
    """An operator as a person would write it."""
    domain = f"{escape(operator.domain, 80)}::" if operator.domain and operator.domain != "function" else ""
    times = f" ({operator.count:,} times)" if operator.count > 1 else ""
    return f"{operator.framework} operator {domain}{escape(operator.name, 120)}{times}"
