"""Which of several listed builds of a kernel is for this machine. All are listed: a wrong guess is no danger."""

from __future__ import annotations

import platform

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from safeload.transformers._kernels import fitness
from safeload.trust.kernels import VARIANT

MACHINE = f"{platform.machine().lower()}-{platform.system().lower()}"
TORCH = "torch" + "".join(torch.__version__.split(".")[:2])


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch built for CUDA 12.8."""
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.version, "hip", None)


@pytest.mark.parametrize(
    "variant",
    [
        "torch-cpu",
        "torch-universal",
        "torch-noarch",
        f"{TORCH}-cxx11-cpu-{MACHINE}",
        f"torch-cpu-{MACHINE}",
        "linux",
        "x",
    ],
)
def test_builds_for_this_machine_fit(variant: str) -> None:
    """Those for any machine do as well."""
    assert fitness(variant) is not None


@pytest.mark.parametrize(
    "variant",
    [
        "torch19-cpu",
        "torch-cpu-sparc-linux",
        "torch-cpu-x86_64-plan9-windows",
        "torch-metal-aarch64-darwin",
        "torch-npu",
    ],
)
def test_builds_for_others_do_not(variant: str) -> None:
    """Another torch, machine, system, or device."""
    assert fitness(variant) is None


def test_the_closest_one_is_best(cuda: None) -> None:
    """A build for this version of CUDA, one for any, one for the processor, one that says nothing."""
    ranks = [fitness(f"torch-{word}") for word in ("cu128", "cuda", "cpu", "universal")]
    assert ranks == sorted(ranks, key=lambda rank: -(rank or 0)) and len({*ranks}) == 4
    assert fitness("torch-cu126") is None and fitness("torch-rocm63") is None


@given(st.from_regex(VARIANT, fullmatch=True))
def test_any_name_of_a_build_is_judged(variant: str) -> None:
    """Nothing that a policy can list is an error here."""
    assert fitness(variant) in (None, 0, 1, 2, 3)
