"""Errors: their tree, their words, and that they survive being sent to another process."""

from __future__ import annotations

import copy
import pickle

import pytest

from safeload.core import errors
from safeload.core.errors import (
    ConfigError,
    LimitExceeded,
    MalformedInput,
    PolicyDenied,
    SafeloadError,
    SourceError,
    UsageError,
    VerificationFailed,
)
from safeload.core.evidence import Evidence
from safeload.core.finding import Confidence, FileReport, Finding, Report, Severity, Status
from safeload.core.names import Location
from safeload.core.policy import DEFAULT_POLICY

CLASSES = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
FINDING = Finding(
    rule="r",
    status=Status.DANGEROUS,
    severity=Severity.HIGH,
    confidence=Confidence.CERTAIN,
    location=Location("a.bin", "data.pkl", 3),
    message="it calls os.system",
    remedy="do not use it",
)
REPORT = Report(target="m", files=(FileReport(path="a.bin", format="pickle", size=1, findings=(FINDING, FINDING)),))


def denied() -> PolicyDenied:
    evidence = Evidence(reference="org/m", report=REPORT)
    with pytest.raises(PolicyDenied) as caught:
        DEFAULT_POLICY.decide(evidence).enforce(evidence)
    return caught.value


EXAMPLES = [
    SafeloadError("stopped"),
    UsageError("stopped", why="because"),
    ConfigError("stopped", where="safeload.toml » a[1]", remedy="fix it"),
    SourceError("stopped", where=Location("f"), why="w", remedy="r"),
    MalformedInput("stopped", where=Location("f", "m", 1), why="w", remedy="r"),
    LimitExceeded("nodes", allowed=10, wanted=20_000, where=Location("f")),
    VerificationFailed("stopped", mismatches={"a": "differs", "b": "is missing"}),
    VerificationFailed("stopped", mismatches={"a": "differs"}, where="w", why="said otherwise", remedy="r"),
    denied(),
]


def test_there_is_an_example_of_each() -> None:
    """The tests below cover every error there is."""
    assert {type(example) for example in EXAMPLES} == set(CLASSES)


@pytest.mark.parametrize("kind", CLASSES)
def test_no_error_is_one_that_libraries_catch(kind: type[Exception]) -> None:
    """Libraries catch these and try something less safe, so none of ours is one of them."""
    assert issubclass(kind, SafeloadError)
    assert not issubclass(kind, (OSError, ValueError, RuntimeError, TypeError, ImportError, LookupError, EOFError))


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_errors_survive_pickling(error: SafeloadError, protocol: int) -> None:
    """An error that crosses a process keeps its type, its words and all its data."""
    for twin in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is type(error)
        assert str(twin) == str(error) and twin.args == error.args
        assert vars(twin) == vars(error)


def test_a_message_has_four_parts_in_order() -> None:
    """What was stopped, where, why, next; and no line for what is not said."""
    error = SourceError("it was stopped", where=Location("f", offset=1), why="because", remedy="do this")
    assert str(error).splitlines() == ["it was stopped", "  where: f @ 1", "  why:   because", "  next:  do this"]
    assert str(SafeloadError("it was stopped")) == "it was stopped"


def test_a_limit_says_how_to_raise_it() -> None:
    """Which limit, which value, what was asked for, and the option to paste."""
    error = LimitExceeded("nodes", allowed=10, wanted=20_000)
    assert (error.limit, error.allowed, error.wanted) == ("nodes", 10, 20_000)
    assert "20,000 is more than the 10 allowed" in str(error) and "Limits(nodes=20000)" in str(error)


def test_a_failed_verification_lists_every_mismatch() -> None:
    """Each differing place is in the message, unless another reason is given, and in the data."""
    error = VerificationFailed("stopped", mismatches={"a": "differs", "b": "is missing"})
    assert "a: differs; b: is missing" in str(error) and error.mismatches == {"a": "differs", "b": "is missing"}


def test_a_denial_lists_every_item_once() -> None:
    """A refusal names each refused thing and each remedy once, and carries verdict and report."""
    error = denied()
    assert str(error).count("it calls os.system") == 1 and str(error).count("do not use it") == 1
    assert "a.bin » data.pkl @ 3" in str(error)
    assert error.report is REPORT and not error.verdict.allowed
