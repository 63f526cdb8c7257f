"""The explanation that docs/judgement.md shows is the one that the program gives."""

from __future__ import annotations

import io

from safeload.cli.explain import write_text
from safeload.core.blob import MemoryBlob
from safeload.core.limits import Limits
from safeload.engine.explain import explained_file
from safeload.engine.inspect import inspect
from tests.docs.judged import EXAMPLE
from tests.docs.pages import ROOT


def test_the_explanation_shown_is_the_programs() -> None:
    """Word for word, for the file in `judged.py`."""
    out = io.StringIO()
    write_text([explained_file(inspect(MemoryBlob(EXAMPLE), "pytorch_model.bin", Limits()))], out)
    assert f"```text\n{out.getvalue().rstrip()}\n```" in (ROOT / "docs/judgement.md").read_text(encoding="utf-8")
