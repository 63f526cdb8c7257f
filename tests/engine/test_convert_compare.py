"""Comparing two checkpoints says which tensors are equal, which differ and by how much, and which are missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from safeload.core.blob import MemoryBlob
from safeload.core.errors import MalformedInput, SourceError
from safeload.engine.convert.compare import Compared, compare
from safeload.engine.convert.job import convert
from safeload.engine.convert.numbers import blocks, distance, numbers
from tests.engine import models
from tests.engine.checkpoints import saved
from tests.engine.test_convert import DTYPES, LAYOUTS, STATE, B, W, noise
from tests.engine.views import bare_view, raw, view_of


def compared(folder: Path, one: Any, other: Any, **options: Any) -> dict[str, Compared]:
    """What comparing a pickled value with safetensors (or another pickled value) finds, by name."""
    first = models.write(folder / "one.bin", saved(one))
    content = save(other) if isinstance(other, dict) else saved(other)
    second = models.write(folder / "other", content)
    return {found.name: found for found in compare(first, second, **options).tensors}


def test_equal_checkpoints_are_equal(tmp_path: Path) -> None:
    """Strided or not, in another order, in another format: the same elements are equal."""
    value = {"b": W.t(), "a": B.half()}
    found = compared(tmp_path, value, {"a": B.half(), "b": W.t().contiguous()})
    assert {name: (one.outcome, one.detail) for name, one in found.items()} == {"a": ("equal", ""), "b": ("equal", "")}


def test_differences_are_counted_and_measured(tmp_path: Path) -> None:
    """How many elements differ, and the largest difference."""
    other = W.clone()
    other[1, 2] += 0.5
    other[2, 3] -= 3
    found = compared(tmp_path, {"w": W}, {"w": other})["w"]
    assert (found.outcome, found.differing, found.largest) == ("differs", 2, 3.0)


@pytest.mark.parametrize("dtype", [name for name in DTYPES if name != "bool"])
def test_differences_are_measured_in_every_type(tmp_path: Path, dtype: str) -> None:
    """The largest difference is what torch computes."""
    kind = getattr(torch, dtype)
    one, other = torch.tensor([1.0, 2.0, 0.5, 4.0]).to(kind), torch.tensor([1.0, 2.0, 1.0, 2.0]).to(kind)
    found = compared(tmp_path, {"w": one}, {"w": other})["w"]
    away = (one.to(torch.complex128) - other.to(torch.complex128)).abs().max().item()
    assert found.largest == pytest.approx(away)


def test_missing_tensors_are_named(tmp_path: Path) -> None:
    """What only one of the two has, from either side."""
    found = compared(tmp_path, {"w": W, "only": B}, {"w": W, "extra": B})
    assert {name: one.outcome for name, one in found.items()} == {"w": "equal", "only": "missing", "extra": "missing"}
    assert found["only"].detail.startswith("the second")
    assert found["extra"].detail.startswith("the first")


def test_other_shapes_and_types_differ(tmp_path: Path) -> None:
    """A tensor in another shape or type is no equal one, though its numbers be."""
    found = compared(tmp_path, {"s": W, "t": B, "h": B}, {"s": W.reshape(4, 3), "t": B.half(), "h": B.half() + 1})
    assert (found["s"].outcome, found["s"].detail) == ("differs", "shape [3, 4] and [4, 3]")
    assert (found["t"].outcome, found["t"].largest) == ("differs", 0.0)
    assert "dtype float32 and float16" in found["t"].detail
    assert found["h"].largest == 1.0


def test_tied_weights_that_were_stored_once_are_equal(tmp_path: Path) -> None:
    """A name whose memory the other file stores under another name is not missing; if that differs, it differs."""
    found = compared(tmp_path, {"embed": W, "head": W}, {"embed": W})
    assert (found["head"].outcome, found["head"].detail) == ("equal", "stored as embed")
    found = compared(tmp_path, {"embed": W, "head": W}, {"embed": W + 1})
    assert found["head"].outcome == "differs"


def test_metadata_says_which_name_stands_for_another(tmp_path: Path) -> None:
    """What `shared="drop"` left out is found again, from either side."""
    path = models.write(tmp_path / "x.bin", saved({"a": W, "b": W}))
    conversion = convert(path, shared="drop")
    assert conversion.path is not None
    assert compare(path, conversion.path).equal
    assert compare(conversion.path, path).equal


def test_names_of_the_first_are_changed_as_for_converting(tmp_path: Path) -> None:
    """A conversion with other names is compared with the options it was made with."""
    value = {"state_dict": {"model.w": W}, "z": torch.ones(2, dtype=torch.complex128)}
    path = models.write(tmp_path / "x.ckpt", saved(value))
    options: dict[str, Any] = {"rename": {"state_dict.model.": "m."}, "views": {"complex128": "float64"}}
    conversion = convert(path, **options)
    assert conversion.path is not None
    assert not compare(path, conversion.path).equal
    assert compare(path, conversion.path, **options).equal


def test_numbers_that_are_none_are_equal_by_their_bits(tmp_path: Path) -> None:
    """A NaN equals itself; against a number it is infinitely far; a zero with another sign differs in its bits only."""
    nan = torch.tensor([float("nan"), 1.0])
    assert compared(tmp_path, {"w": nan}, {"w": nan.clone()})["w"].outcome == "equal"
    assert compared(tmp_path, {"w": nan}, {"w": torch.ones(2)})["w"].largest == float("inf")
    signed = compared(tmp_path, {"w": torch.tensor([0.0])}, {"w": torch.tensor([-0.0])})["w"]
    assert (signed.outcome, signed.differing, signed.detail) == ("differs", 0, "the same numbers in other bits")


def test_a_truncated_checkpoint_is_an_error(tmp_path: Path) -> None:
    """What cannot be read to its end is not compared as far as it goes."""
    good = models.write(tmp_path / "a.bin", saved(STATE))
    for cut in (0.3, 0.9):
        bad = models.write(tmp_path / "b.bin", saved(STATE)[: int(len(saved(STATE)) * cut)])
        with pytest.raises(MalformedInput):
            compare(good, bad)
        with pytest.raises(MalformedInput):
            compare(bad, good)
    with pytest.raises(SourceError):
        compare(good, tmp_path / "gone")


def test_hostile_checkpoints_are_compared_without_running(tmp_path: Path, marker: Path) -> None:
    """Comparing reads: what a pickle would run does not run, and its tensors are compared."""
    from tests.engine.test_convert import Evil

    found = compared(tmp_path, {"w": W, "x": Evil(f"touch {marker}")}, {"w": W})
    assert found["w"].outcome == "equal"


@pytest.mark.parametrize("dtype", [*DTYPES, "complex128"])
def test_numbers_are_those_of_torch(dtype: str) -> None:
    """Elements are decoded to the numbers that torch says they are."""
    tensor = noise(dtype, 512)
    found = torch.tensor(numbers(raw(tensor), dtype), dtype=torch.float64)
    wanted = torch.view_as_real(tensor).flatten() if tensor.is_complex() else tensor
    assert torch.equal(found.nan_to_num(nan=7.5), wanted.to(torch.float64).nan_to_num(nan=7.5))


def test_types_that_are_no_numbers() -> None:
    """For packed types there are bytes and no numbers."""
    assert numbers(b"\x12", "float4_e2m1fn_x2") is None


@pytest.mark.parametrize("layout", LAYOUTS)
def test_blocks_are_the_elements_in_order(layout: str) -> None:
    """However a view is laid out, its blocks joined are its elements, each block of the same size but the last."""
    view = LAYOUTS[layout](noise("float32", 3, 4, 6))
    found = list(blocks(view_of(view), 7))
    assert b"".join(found) == raw(view)
    assert all(len(block) == 28 for block in found[:-1])


def test_a_source_that_becomes_shorter_is_an_error() -> None:
    """Bytes that are gone are not compared as equal."""
    with pytest.raises(MalformedInput, match="end early"):
        list(blocks(bare_view(MemoryBlob(b"1234"), shape=(2,), strides=(1,)), 4))


def test_the_distance_of_nothing_is_nothing() -> None:
    """No numbers do not differ."""
    assert distance((), ()) == (0, 0.0)
