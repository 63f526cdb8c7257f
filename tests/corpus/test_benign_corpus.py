"""What real libraries write is never dangerous, and almost all that torch and numpy write is safe."""

from __future__ import annotations

import functools

import pytest

from safeload.core.finding import FileReport, Status
from tests.corpus.benign import MAKERS
from tests.regressions.files import report, says

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
SAFE = {
    "state-dicts",
    "optimisers",
    "element-types",
    "lightning-like",
    "packed",
    "safetensors",
    "documents",
}
"""Makers of files that hold data alone, as these libraries mean it."""

PROGRAMS = {"torchscript"}
"""Makers of files that hold a program, which nobody here reads to the end."""


@functools.cache
def reports(maker: str) -> tuple[FileReport, ...]:
    return tuple(report(data, name) for name, data in MAKERS[maker]())


@pytest.mark.parametrize("maker", MAKERS)
def test_nothing_benign_is_dangerous_or_unreadable(maker: str) -> None:
    """Every file of the corpus is read to its end, and none is called dangerous."""
    for found in reports(maker):
        allowed = {Status.SAFE, Status.UNVERIFIED} | ({Status.UNDECIDED} if maker in PROGRAMS else set())
        assert found.status in allowed, f"{found.path}\n{says(found)}"


@pytest.mark.parametrize("maker", sorted(SAFE))
def test_data_is_safe(maker: str) -> None:
    """Weights, optimiser states and documents are not even unverified."""
    for found in reports(maker):
        assert found.status is Status.SAFE, f"{found.path}\n{says(found)}"


def test_the_corpus_is_large() -> None:
    """At least 300 files, from every maker."""
    sizes = {maker: len(reports(maker)) for maker in MAKERS}
    assert sum(sizes.values()) >= 300
    assert all(sizes.values()), sizes


def test_hdf5_files_without_keras_are_not_dangerous() -> None:
    """Where h5py is installed: tables of numbers and their attributes."""
    h5py = pytest.importorskip("h5py")
    import io

    for options in ({}, {"compression": "gzip", "chunks": True}):
        out = io.BytesIO()
        with h5py.File(out, "w") as file:
            file.create_dataset("layer/weight", data=[[1.0, 2.0]], **options)
            file.attrs["backend"] = "numpy"
        assert report(out.getvalue(), "weights.h5").status is not Status.DANGEROUS
