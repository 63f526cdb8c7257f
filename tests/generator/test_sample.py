"""A sample of the generated files: each is dangerous or undecided. `make nightly` judges many more."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from safeload.core.finding import Status
from tests.generator.callables import stdlib_callables
from tests.generator.containers import CONTAINERS
from tests.generator.make import made
from tests.regressions.files import report, says

CHUNK = 100


@pytest.mark.parametrize("chunk", range(6))
def test_generated_files_are_dangerous_or_undecided(chunk: int, marker: Path) -> None:
    """Whatever is called, however it is spelled and wherever it stands: never safe, and never only unverified."""
    for number in range(chunk * CHUNK, (chunk + 1) * CHUNK):
        file = made(number, marker=str(marker))
        found = report(file.data, file.name)
        assert found.status in (Status.DANGEROUS, Status.UNDECIDED), f"{file.recipe}\n{says(found)}"


def test_the_sample_is_wide() -> None:
    """It has every container; most gadgets occur once; and most files can be read to the end."""
    files = [made(number) for number in range(600)]
    for container in CONTAINERS:
        assert any(f" in {container} as " in file.recipe for file in files), container
    assert max(Counter(file.data for file in files).values()) == 1
    assert sum(report(file.data, file.name).status is Status.DANGEROUS for file in files) > 500


def test_a_number_is_a_file() -> None:
    """The same number and seed give the same bytes; another seed gives others."""
    assert made(7) == made(7)
    assert made(7) != made(7, seed=1)


def test_the_callables_are_found_without_running_them() -> None:
    """Among them are modules that nobody would import to look at."""
    names = {f"{module}.{name}" for module, name in stdlib_callables()}
    assert {"posix.system", "os.popen", "antigravity.webbrowser", "idlelib.run.Executive.runcode"} <= names
