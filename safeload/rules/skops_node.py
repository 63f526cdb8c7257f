"""A skops file names classes or functions beyond those that models are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.core.names import GlobalName, escape
from safeload.formats.base import Part, Reference
from safeload.rules import samples
from safeload.rules.base import Context, Rule
from safeload.rules.catalogue import ability, is_stdlib

_HOMES = ("sklearn.", "numpy", "scipy.", "xgboost.", "lightgbm.", "catboost.", "quantile_forest.")
"""Packages whose classes skops knows how to make."""
_DATA = {
    "DictNode": frozenset({"builtins.dict", "collections.OrderedDict", "sklearn.utils._bunch.Bunch"}),
    "ListNode": frozenset({"builtins.list"}),
    "TupleNode": frozenset({"builtins.tuple"}),
    "SetNode": frozenset({"builtins.set", "builtins.frozenset"}),
    "SliceNode": frozenset({"builtins.slice"}),
    "BytesNode": frozenset({"builtins.bytes"}),
    "BytearrayNode": frozenset({"builtins.bytearray"}),
    "JsonNode": frozenset({"builtins.str", "builtins.int", "builtins.float", "builtins.bool", "builtins.NoneType"}),
    "DefaultDictNode": frozenset({"collections.defaultdict"}),
    "TypeNode": frozenset({"builtins.str", "builtins.int", "builtins.float", "builtins.bool", "builtins.list"}),
}
"""Plain data, by the loader that makes it."""
_OBJECTS = frozenset(
    {"ObjectNode", "NdArrayNode", "MaskedArrayNode", "DTypeNode", "RandomStateNode", "RandomGeneratorNode"}
    | {"SparseMatrixNode", "TreeNode", "LossNode", "TypeNode", "CythonLossNode", "DictNode", "ReduceNode"}
)
"""Loaders that make objects of the class they name; the others look up functions and methods, or call them."""
_FUNCTIONS = frozenset({"numpy", "scipy.special"})
"""Modules of functions that pipelines apply to numbers."""


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if not isinstance(part, Reference) or part.kind != "skops-node":
        return
    loader, target = part.location.path or "?", part.target
    module, _, name = target.rpartition(".")
    pair = GlobalName(module, name)
    if target in _DATA.get(loader, ()):
        return
    shown = f"{escape(loader, 60)} of {escape(target, 120)}"
    plain = all(step.isidentifier() and (step == "__main__" or not step.startswith("__")) for step in target.split("."))
    if not plain or ability(pair) or (is_stdlib(target) and context.allowlist.get(pair) is None):
        yield rule.finding(
            part.location, f"a {shown}, which is no part of a model", status=Status.DANGEROUS, severity=Severity.HIGH
        )
    elif not _known(loader, module):
        yield rule.finding(part.location, f"a {shown}, which loading it would import and use")


def _known(loader: str, module: str) -> bool:
    return (loader in _OBJECTS and f"{module}.".startswith(_HOMES)) or (
        loader == "FunctionNode" and module in _FUNCTIONS
    )


def _bad() -> Iterable[Part]:
    yield samples.reference("skops-node", "os.system", "schema.json", "FunctionNode")
    yield samples.reference("skops-node", "operator.methodcaller", "schema.json", "OperatorFuncNode")
    yield samples.reference("skops-node", "my_package.Model", "schema.json", "ObjectNode")
    yield samples.reference("skops-node", "builtins.dict", "schema.json", "MethodNode")


def _good() -> Iterable[Part]:
    yield samples.reference("skops-node", "sklearn.linear_model._logistic.LogisticRegression", path="ObjectNode")
    yield samples.reference("skops-node", "numpy.ndarray", path="NdArrayNode")
    yield samples.reference("skops-node", "numpy.sqrt", path="FunctionNode")
    yield samples.reference("skops-node", "builtins.list", path="ListNode")


RULE = Rule(
    id="skops-node",
    title="a skops file names code that models do not need",
    why=(
        "skops replaces pickle by a list of classes to make, and trusts what its user says to trust. Nodes for "
        "functions, methods and operators reach further than their names show (CVE-2025-54412, CVE-2025-54413, "
        "CVE-2025-54886), so anything but data, arrays and the classes of known libraries is reported."
    ),
    status=Status.UNVERIFIED,
    severity=Severity.MEDIUM,
    confidence=Confidence.CERTAIN,
    remedy="do not add these to `trusted=`; ask its author what they are for",
    taxonomy=("CWE-502", "CWE-470", "AML.T0011.000"),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Reference,),
)
