"""What must not stand in the package, and how large its parts may be."""

from __future__ import annotations

import ast

import pytest

from tests.architecture.source import ROOT, Source, calls, lines_of_code, sources

CORE = [source for source in sources() if source.ring == "core"]

FORBIDDEN = {
    "eval",
    "exec",
    "__import__",
    "pickle.load",
    "pickle.loads",
    "pickle.Unpickler",
    "pickle._Unpickler",
    "pickle._load",
    "pickle._loads",
    "_pickle.load",
    "_pickle.loads",
    "_pickle.Unpickler",
    "cPickle.loads",
    "dill.load",
    "dill.loads",
    "cloudpickle.load",
    "cloudpickle.loads",
    "marshal.load",
    "marshal.loads",
    "shelve.open",
    "joblib.load",
    "torch.load",
    "torch.jit.load",
    "torch.export.load",
    "torch.package.PackageImporter",
    "numpy.load",
    "np.load",
    "yaml.load",
    "yaml.unsafe_load",
    "runpy.run_path",
    "runpy.run_module",
    "os.system",
    "os.popen",
}


RUNS_CODE = ("safeload.engine.approved", "_execute", "exec")
"""The one function that runs code of a model, once, after it has checked the digest of its bytes."""


def _allowed_lines(source: Source) -> set[int]:
    """The line of the one call of `exec` in the one function that may hold it."""
    module, function, name = RUNS_CODE
    if source.module != module:
        return set()
    (found,) = (node for node in source.tree.body if isinstance(node, ast.FunctionDef) and node.name == function)
    lines = [call.lineno for call, called in calls(source) if called == name]
    assert len(lines) == 1 and found.lineno < lines[0] <= (found.end_lineno or 0)
    return set(lines)


def test_the_package_of_approved_code_holds_none() -> None:
    """The one file outside of `safeload` that is installed does nothing but let a started process find what it may."""
    (path,) = (ROOT / "safeload_approved").rglob("*.py")
    _, *rest = ast.parse(path.read_text(encoding="utf-8")).body
    assert [ast.unparse(node) for node in rest] == [
        "from safeload.engine.approved import inherit",
        "__path__ = []",
        "inherit()",
    ]


EACH = pytest.mark.parametrize("source", sources(), ids=lambda source: source.module)


@EACH
def test_nothing_unpickles_or_evaluates(source: Source) -> None:
    """No file calls an unpickler, `eval`, `exec` or another loader that runs what it reads."""
    wrong = [
        f"{source.at(call.lineno)}: {name}"
        for call, name in calls(source)
        if name in FORBIDDEN and call.lineno not in _allowed_lines(source)
    ]
    assert not wrong, "\n".join(wrong)


@EACH
def test_nothing_inherits_from_an_unpickler(source: Source) -> None:
    """No class derives from `pickle.Unpickler`."""
    wrong = [
        source.at(node.lineno)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef) and any("Unpickler" in ast.dump(base) for base in node.bases)
    ]
    assert not wrong, "\n".join(wrong)


@EACH
def test_no_argument_switches_safety_off(source: Source) -> None:
    """No call passes `allow_pickle=True`, `weights_only=False` or `trust_remote_code=True`."""
    unsafe = {("allow_pickle", True), ("weights_only", False), ("trust_remote_code", True), ("shell", True)}
    wrong = [
        f"{source.at(keyword.value.lineno)}: {keyword.arg}={keyword.value.value!r}"
        for call, _ in calls(source)
        for keyword in call.keywords
        if isinstance(keyword.value, ast.Constant) and (keyword.arg, keyword.value.value) in unsafe
    ]
    assert not wrong, "\n".join(wrong)


# Whatever another's analyser raises becomes a finding or our error.
BROAD = {"safeload.rules.fickling", "safeload.rules.detect_secrets"}


@EACH
def test_no_broad_except(source: Source) -> None:
    """No handler catches everything: it would swallow a refusal."""
    wrong: list[str] = []
    if source.module in BROAD:
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ExceptHandler):
            caught = ast.dump(node.type) if node.type is not None else "id='BaseException'"
            reraised = any(isinstance(inner, ast.Raise) and inner.exc is None for inner in ast.walk(node))
            if "id='Exception'" in caught or ("id='BaseException'" in caught and not reraised):
                wrong.append(source.at(node.lineno))
    assert not wrong, "\n".join(wrong)


LONGER = {"safeload.core.opcodes": 600}  # one function per opcode: apart from each other they are harder to check


@EACH
def test_modules_can_be_read_in_one_sitting(source: Source) -> None:
    """No module is longer than 400 lines of code, but for those listed above with their reason."""
    assert lines_of_code(source) <= LONGER.get(source.module, 400)


@EACH
def test_nothing_is_left_for_later(source: Source) -> None:
    """No TODO, no NotImplementedError, no coverage pragma: what is not there is not promised."""
    words = ["TODO", "FIXME", "NotImplementedError", "pragma: no cover"]
    if source.module == "safeload.index":  # generated; among other names of exceptions, a file may hold this one
        words.remove("NotImplementedError")
    wrong = [
        f"{source.at(number)}: {word}"
        for number, line in enumerate(source.text.splitlines(), 1)
        for word in words
        if word in line
    ]
    assert not wrong, "\n".join(wrong)


def test_the_core_is_small_enough_to_audit() -> None:
    """Core is at most 1,500 lines of code: docstrings, comments and blank lines not counted."""
    sizes = {source.module: lines_of_code(source) for source in CORE}
    assert sum(sizes.values()) <= 1_500, sizes


REFLECTION = {"setattr", "delattr", "vars", "globals", "locals", "open", "input", "print", "compile", "breakpoint"}


@pytest.mark.parametrize("source", CORE, ids=lambda source: source.module)
def test_the_core_touches_no_attribute_by_a_foreign_name(source: Source) -> None:
    """Core has no `open`, `compile`, `setattr` and no `getattr`, but for its own field names of `Limits`."""
    wrong = []
    for call, name in calls(source):
        if name in REFLECTION or name.endswith((".__getattribute__", ".__subclasses__")):
            wrong.append(f"{source.at(call.lineno)}: {name}")
        if name == "getattr" and ast.unparse(call.args[0]) not in ("self.limits", "limits"):
            wrong.append(f"{source.at(call.lineno)}: {ast.unparse(call)}")
    assert not wrong, "\n".join(wrong)
