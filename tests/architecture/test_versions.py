"""The oldest version of a library that an adapter supports is said once, and everywhere the same."""

from __future__ import annotations

import re
import tomllib
from importlib import import_module

import pytest

from tests.architecture.source import ROOT
from tools.contract import CONTRACTS


@pytest.mark.parametrize("library", CONTRACTS)
def test_the_oldest_version_is_the_same_everywhere(library: str) -> None:
    """In the adapter, in the extra that installs it, and in the documentation."""
    oldest = import_module(CONTRACTS[library].module).OLDEST
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert f"{library}>={oldest}" in extras[library]
    page = (ROOT / "docs" / "adapters.md").read_text(encoding="utf-8")
    name = library.replace("-", "_")
    assert re.search(rf"^\| `{name}` \| `safeload\.{name}` \| {re.escape(oldest)} \|", page, re.MULTILINE)
