"""The code imports or runs what is only known when it runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.core.names import escape
from safeload.formats.base import Part
from safeload.formats.python.facts import Facts, Kind
from safeload.rules.base import Context, Rule
from safeload.rules.code_use import GATES, at_line, example, reaches, words

_PLAIN = ("builtins.pickle", "builtins.os", "builtins.sys")
"""Names that are bound nowhere: a source that uses them fails."""
_REACHING = words(
    """
    builtins.getattr builtins.setattr builtins.delattr builtins.vars builtins.__import__ builtins.exec builtins.eval
    builtins.compile importlib.import_module importlib.__import__ pkgutil.resolve_name pydoc.locate operator.attrgetter
    operator.methodcaller inspect.getmembers builtins.object.__getattribute__ builtins.type.__getattribute__
    """
)
"""Functions that are told by a text what they reach."""
_RUNNERS = words(
    """
    runpy code.InteractiveInterpreter code.InteractiveConsole code.interact importlib.util.spec_from_file_location
    importlib.util.spec_from_loader importlib.machinery.SourceFileLoader importlib.machinery.SourcelessFileLoader
    importlib.machinery.ExtensionFileLoader zipimport marshal.load marshal.loads types.FunctionType types.CodeType imp
    torch.hub.load torch.ops.load_library torch.package.PackageImporter typing.get_type_hints
    """
)
_GATES = re.compile(r"an attribute of (?:os|sys|builtins|subprocess|importlib|ctypes|socket|shutil|posix|types)[\w.]* ")


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if isinstance(part, Facts):
        for place in part.unfollowed:
            mild = place.what.startswith("an attribute") and not _GATES.match(place.what)
            severity = Severity.LOW if mild else None
            yield at_line(rule, part, place.line, escape(place.what, 200), severity=severity)
        for use in part.uses:
            if use.kind is Kind.NAME and use.name.rpartition(".")[2] in GATES and use.name not in _PLAIN:
                text = f"hands on the module {escape(use.name, 80)}, so that nobody can see what is called in it"
                yield at_line(rule, part, use.line, text)
            elif use.kind is Kind.NAME and use.name in _REACHING and not use.inside:
                text = f"hands on {escape(use.name, 80)}, so that nobody can see what it is called with"
                yield at_line(rule, part, use.line, text)
            elif use.kind is Kind.CALL and reaches(use, _RUNNERS):
                yield at_line(rule, part, use.line, f"{escape(use.name, 80)} runs what does not stand in this code")


def _bad() -> Iterable[Part]:
    yield example("import os\n\n\ndef f(module, command):\n    module.run(command)\n\n\nf(os, 'true')\n")
    yield example("import importlib\n\n\ndef f(name):\n    return importlib.import_module(name)\n")
    yield example("exec(open('setup.txt').read())\n")


def _good() -> Iterable[Part]:
    yield example("from .blocks import Block\n")


RULE = Rule(
    id="code-unfollowed",
    title="the code imports or runs what is only known when it runs",
    why=(
        "An approval covers the files that were read. Where the name of an import, or the text that is executed, is "
        "computed, nobody can say by reading what runs; an approval has to name each such place."
    ),
    status=Status.UNVERIFIED,
    severity=Severity.HIGH,
    confidence=Confidence.CERTAIN,
    remedy="read the line, and find out what it can reach before you approve it",
    taxonomy=("CWE-470", "CWE-95"),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Facts,),
)
