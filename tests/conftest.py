"""What every test shares: the canary, markers that must not appear, and an environment of its own."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import canary as _canary

_canary.install()

# Shared machines are slow at times: how long an example takes is not what these tests are about. In CI the examples are
# the same every time, so that a red run is about the change; at a developer's they differ, and look further.
settings.register_profile(
    "safeload", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("safeload")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse names that differ between workers: a parameter shown by its address needs an id of its own."""
    for item in items:
        if " at 0x" in item.nodeid:
            raise pytest.UsageError(f"{item.nodeid}: a parameter is shown by its address; give it an id")


@pytest.fixture(autouse=True)
def canary() -> Iterator[_canary.Canary]:
    """Fail the test if anything acted while safeload was reading; see `tests/canary.py` for what counts.

    A test that expects something to act calls `canary.heard()`, which returns what happened and forgets it.
    """
    _canary.CANARY.heard()
    yield _canary.CANARY
    songs = _canary.CANARY.heard()
    if songs:
        pytest.fail("something acted while safeload was reading:\n  " + "\n  ".join(map(str, songs)), pytrace=False)


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    """The file that every payload of this test creates if it runs. It must not exist when the test ends."""
    path = tmp_path / "MARKER"
    yield path
    assert not path.exists(), "a payload ran: it created the marker"


@pytest.fixture
def touch(marker: Path) -> Callable[[], tuple[str, str, str]]:
    """The usual payload: `(module, name, argument)` of a call that creates the marker."""
    return lambda: ("os", "system", f"touch {marker}")


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Fresh paths for stores; making each directory by itself would cost more than most tests."""
    base = tmp_path_factory.mktemp("homes")
    return (base / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def private_environment(homes: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test its own safeload store, and none of the user's hub settings."""
    monkeypatch.setenv("SAFELOAD_HOME", str(next(homes)))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "SAFELOAD_LOCK"):
        monkeypatch.delenv(name, raising=False)
