"""The code replaces parts of other packages."""

from __future__ import annotations

from collections.abc import Iterable

from safeload.core.finding import Confidence, Severity, Status
from safeload.formats.base import Part
from safeload.formats.python.facts import Facts, Kind, Use
from safeload.rules.base import Rule
from safeload.rules.code_use import checking, example

_SETTERS = ("builtins.setattr", "builtins.delattr", "unittest.mock.patch", "wrapt.wrap_function_wrapper")
_SETTINGS = ("torch.backends.", "os.environ")
"""Switches that libraries offer to be set; the environment has a rule of its own."""


_PARENTS = frozenset({"__mro__", "__bases__", "__base__"})
_INSIDES = (".__code__", ".__globals__", ".__closure__", ".__builtins__", ".__path__", ".__loader__", ".__spec__")
_HOOKS = ("torch.nn.modules.module.register_module_", "copyreg.pickle", "unittest.mock.patch")
"""What sets itself into everybody's way."""


def _chosen(use: Use) -> bool:
    if use.kind is Kind.ASSIGN:
        if not _PARENTS.isdisjoint(use.name.split(".")) or use.name.endswith(_INSIDES):
            return True  # of a class that is reached from another one, or of a function or module itself
        outside = "." in use.name or use.name.endswith("[]")
        return "()" not in use.name and outside and not use.name.startswith((*_SETTINGS, "?"))
    if use.kind is not Kind.IMPORT and use.name.startswith(_HOOKS):
        return True
    return use.kind is Kind.CALL and use.name in _SETTERS[2:]


def _bad() -> Iterable[Part]:
    yield example("import torch\ntorch.nn.Linear.forward = lambda self, x: x\n")
    yield example("import builtins\nbuiltins.open = print\n")


def _good() -> Iterable[Part]:
    yield example("class A:\n    def __init__(self, size):\n        self.size = size\n")
    yield example("import torch\ntorch.backends.cudnn.benchmark = True\n")


RULE = Rule(
    id="code-patching",
    title="the code replaces parts of other packages",
    why=(
        "A function of another package that is replaced stays replaced for the whole process, for code that has "
        "nothing to do with the model: checks can be switched off that way, and data passed on."
    ),
    status=Status.UNVERIFIED,
    severity=Severity.MEDIUM,
    confidence=Confidence.LIKELY,
    remedy="read the line; approve the code only if you know what it replaces, and why",
    taxonomy=("CWE-913", "AML.T0011.000"),
    check=checking(_chosen, "replaces parts of other packages"),
    bad=_bad,
    good=_good,
    looks_at=(Facts,),
)
