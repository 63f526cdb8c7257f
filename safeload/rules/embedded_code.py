"""Code stands in a place where loaders run it: marshalled functions, expressions in notes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.core.names import GlobalName, Location, escape
from safeload.formats.base import Code, Part, Text
from safeload.rules import samples
from safeload.rules.base import Context, Rule
from safeload.rules.catalogue import ability

_LONGEST = 1 << 16
_NOTES = "metadata"


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if isinstance(part, Code) and part.language == "marshalled":
        size = len(part.source or b"")
        yield rule.finding(
            part.location, f"{size:,} bytes of a marshalled function, which loading runs or prepares to run"
        )
    elif isinstance(part, Text) and part.role == _NOTES and (what := _calls(part.text)):
        evidence = (escape(part.text, 200),)
        message = f"a note holds the expression {what}, and programs evaluate such notes"
        yield rule.finding(part.location, message, evidence=evidence)


def _calls(text: str) -> str:
    """The first call or attribute with underscores of an expression; empty for prose, numbers, lists and dicts."""
    if len(text) > _LONGEST or not any(mark in text for mark in ("(", "import")):
        return ""
    import ast  # only here: it costs more than all rules together

    try:
        tree = ast.parse(text.strip(), mode="exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            return "import"
        if isinstance(node, ast.Call) and isinstance(node.func, (ast.Name, ast.Attribute, ast.Call, ast.Lambda)):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if isinstance(node.func, ast.Name) and not ability(GlobalName("builtins", name)):
                continue  # `author(s)`: nothing that every program has
            return escape(f"{name}(…)", 80)
    return ""


def _bad() -> Iterable[Part]:
    yield Code(location=Location("model.h5", None, None, "model_config"), language="marshalled", source=b"\xe3\0\0\0\0")
    yield Text(location=Location("model.onnx", None, None, "names"), text="__import__('os').getcwd()", role=_NOTES)


def _good() -> Iterable[Part]:
    yield Text(location=Location("model.onnx", None, None, "names"), text="{0: 'person', 1: 'car (red)'}", role=_NOTES)
    yield samples.code("python")


RULE = Rule(
    id="embedded-code",
    title="the model carries code",
    why=(
        "Keras stores functions of Lambda layers as marshalled bytecode, which it turns into functions again when the "
        "model is loaded; nobody can read them here, and unmarshalling alone can crash or take over Python. Programs "
        "for object detection evaluate notes of ONNX files as Python expressions."
    ),
    status=Status.DANGEROUS,
    severity=Severity.HIGH,
    confidence=Confidence.CERTAIN,
    remedy="do not load it; ask its author for a model without code, or for the weights as safetensors",
    taxonomy=("CWE-94", "CWE-502", "AML.T0011.000"),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Code, Text),
)
