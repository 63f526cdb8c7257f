"""`[[kernel]]` in a policy file: what it may say, and the place of everything that it may not."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.core.errors import ConfigError
from safeload.trust.kernels import Kernel
from safeload.trust.policy_file import PolicyFile, parse_policy

A, B = "a" * 40, "b" * 40
ONE, TWO = "h1:" + "A" * 43 + "=", "h1:" + "B" * 43 + "="
ENTRY = f"""[[kernel]]
repository = "Acme/relu"
version = "v1"
revision = "{A}"
variant = "torch-cpu"
digest = "{ONE}"
"""


def read(text: str) -> PolicyFile:
    return parse_policy(f"version = 1\n{text}".encode(), read=lambda _: b"")


def test_an_entry_is_read_as_it_stands() -> None:
    """With its place, for messages."""
    (kernel,) = read(ENTRY + 'expires = 2027-01-31\nreason = "TICKET"\n').kernels.listed
    assert kernel == Kernel(
        repository="Acme/relu", revision=A, variant="torch-cpu", digest=ONE, version="v1",
        expires=datetime.date(2027, 1, 31), reason="TICKET", place="kernel[0]",
    )  # fmt: skip


def test_a_file_without_any_has_no_stance() -> None:
    """It neither lists nor denies; one that says so does."""
    assert not read("").kernels.has_stance
    assert not read('[remote-code]\nkernels = "listed"\n').kernels.has_stance
    assert read('[remote-code]\nkernels = "deny"\n').kernels.denied
    assert read(ENTRY).kernels.has_stance


def test_kernels_and_capabilities_stand_in_one_table() -> None:
    """Either may be left out, and an empty table is still an error."""
    both = read('[remote-code]\nkernels = "deny"\ncapabilities = ["none"]\n')
    assert both.kernels.denied and both.capabilities == frozenset()
    assert read('[remote-code]\nkernels = "deny"\n').capabilities is None
    with pytest.raises(ConfigError, match="capabilities"):
        read("[remote-code]\n")


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ('"Acme/relu"', '"relu"', "repository"),
        ('"Acme/relu"', '"Acme/../relu"', "repository"),
        ('"Acme/relu"', '"Acme/relu\\n"', "repository"),
        ('"Acme/relu"', "1", "repository"),
        (A, "main", "revision"),
        (A, A[:39], "revision"),
        (A, A.upper(), "revision"),
        ('"torch-cpu"', '"../cpu"', "variant"),
        ('"torch-cpu"', '"a/b"', "variant"),
        ('"torch-cpu"', '""', "variant"),
        (ONE, ONE[:-1], "digest"),
        (ONE, "sha256:" + "a" * 64, "digest"),
        ('"v1"', '"v1:x"', "version"),
        ('"v1"', '""', "version"),
        ("digest =", "digests =", "digest"),
        ("version =", "tag =", "tag"),
    ],
)
def test_what_cannot_be_meant_is_an_error_with_its_place(old: str, new: str, place: str) -> None:
    """A name that is none, a commit that could move, a build outside its folder, a key that does not exist."""
    with pytest.raises(ConfigError, match=rf"kernel\[0\].*{place}"):
        read(ENTRY.replace(old, new, 1))


@pytest.mark.parametrize("missing", ["repository", "revision", "variant", "digest"])
def test_nothing_is_filled_in(missing: str) -> None:
    """Each of the four is needed."""
    lines = [line for line in ENTRY.splitlines() if not line.startswith(missing)]
    with pytest.raises(ConfigError, match=missing):
        read("\n".join(lines))


@pytest.mark.parametrize(
    ("other", "place"),
    [
        (ENTRY.replace(A, B), "version"),
        (ENTRY.replace("Acme", "acme").replace(A, B).replace("cpu", "cuda"), "version"),
        (ENTRY.replace(ONE, TWO), "digest"),
        (ENTRY, "digest"),
        (ENTRY.replace('version = "v1"\n', "").replace("Acme", "ACME"), "digest"),
    ],
)
def test_two_that_contradict_each_other_are_an_error(other: str, place: str) -> None:
    """One name must stand for one commit, and one build for one digest, however the repository is spelled."""
    with pytest.raises(ConfigError, match=rf"kernel\[1\].*{place}"):
        read(ENTRY + other)


def test_builds_and_versions_stand_side_by_side() -> None:
    """Several builds of a commit, and several commits under names of their own."""
    more = ENTRY.replace("cpu", "cuda").replace(ONE, TWO) + ENTRY.replace("v1", "v2").replace(A, B)
    assert len(read(ENTRY + more).kernels.listed) == 3


def test_to_deny_and_to_list_contradict_each_other() -> None:
    """Nobody could tell which is meant."""
    with pytest.raises(ConfigError, match="deny"):
        read('[remote-code]\nkernels = "deny"\n' + ENTRY)


@given(st.text(max_size=20), st.text(max_size=45))
def test_an_entry_answers_for_its_own_names_alone(repository: str, asked: str) -> None:
    """For its repository, whatever capitals, and its commit or version; never for an empty name."""
    (kernel,) = read(ENTRY).kernels.listed
    (bare,) = read(ENTRY.replace('version = "v1"\n', "")).kernels.listed
    assert kernel.answers(repository, asked) == (repository.lower() == "acme/relu" and asked in (A, "v1"))
    assert bare.answers("ACME/relu", A) and not bare.answers("Acme/relu", "v1") and not bare.answers("Acme/relu", "")
