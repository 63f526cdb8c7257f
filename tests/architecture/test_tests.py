"""The tests read as the specification: each says its fact in a sentence, and each can fail for it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.architecture.source import ROOT

FILES = sorted((ROOT / "tests").rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef
_FAIL = {"raises", "fail", "warns"}


@cache
def _functions(path: Path) -> tuple[Function, ...]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return tuple(node for node in ast.walk(tree) if isinstance(node, Function))


def _tests(path: Path) -> Iterator[Function]:
    return (one for one in _functions(path) if one.name.startswith("test_"))


def _called(function: Function) -> set[str]:
    """The last names of what it calls."""
    calls = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
    return {func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "") for func in calls}


def _claims(function: Function) -> bool:
    """Whether it says itself what must be so."""
    if any(name in _FAIL or name.startswith("assert_") for name in _called(function)):
        return True
    return any(isinstance(node, ast.Assert | ast.Raise) for node in ast.walk(function))


@cache
def _claiming() -> frozenset[str]:
    """The names of functions of the tests that say what must be so, or call one that does."""
    every = [one for path in FILES for one in _functions(path)]
    known = {one.name for one in every if _claims(one)}
    while more := {one.name for one in every if one.name not in known and _called(one) & known}:
        known |= more
    return frozenset(known)


@pytest.mark.parametrize("path", [path for path in FILES if any(_tests(path))], ids=lambda p: str(p.relative_to(ROOT)))
def test_every_test_says_its_fact_and_claims_it(path: Path) -> None:
    """A docstring, and an `assert`, a `raises`, or a helper that has one: no test passes whatever happens."""
    silent = [one.name for one in _tests(path) if not ast.get_docstring(one)]
    idle = [one.name for one in _tests(path) if not _claims(one) and not _called(one) & _claiming()]
    assert (silent, idle) == ([], [])
