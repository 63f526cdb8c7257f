"""Programs for torch's runtimes: never safe, and what they call is listed."""

from __future__ import annotations

import io
import warnings
import zipfile

import pytest
import torch
from torch import nn

from safeload.core.finding import Status
from safeload.formats.base import Code, Opaque, Operator
from tests.formats.helpers import of, reading
from tests.formats.verdicts import rules, status

SOURCE = b"""class M(Module):
  def forward(self: __torch__.M,
    x: Tensor) -> Tensor:
    %s
    return torch.relu(x)
"""


def archive(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return out.getvalue()


def script(line: bytes) -> bytes:
    return archive(
        **{"m/data.pkl": b"\x80\x02}.", "m/constants.pkl": b"\x80\x02).", "m/code/__torch__.py": SOURCE % line}
    )


@pytest.mark.parametrize(
    "line",
    [
        b'y = torch.from_file("/etc/passwd", False, 10)',
        b'y = ops.aten.from_file("/etc/passwd")',
        b'y = torch . # a note\n      from_file("/etc/passwd")',
        b'y = ops.image.write_file("/tmp/x", x)',
        b'y = ops.torchaudio.sox_io_load_audio_file("x")',
        b'y = prim.rpc_async("worker", "f")',
    ],
)
def test_operators_that_reach_out_are_dangerous(line: bytes) -> None:
    """TorchScript has operators that open files and connect, however the source spells the call."""
    assert "operator-reaches-out" in rules(script(line), "model.pt")


def test_the_case_of_names_hides_nothing() -> None:
    """torch's reader looks members up without regard to case."""
    data = {"m/data.pkl": b"N.", "m/constants.pkl": b"N."}
    raw = archive(**data, **{"m/CODE/__torch__.PY": SOURCE % b"y = torch.from_file('x')"})
    assert "operator-reaches-out" in rules(raw, "model.pt")


def test_a_plain_program_is_undecided() -> None:
    """Nothing bad was seen, and it is a program all the same."""
    raw = script(b"y = torch.conv2d(x, x)")
    assert status(raw, "model.pt") is Status.UNDECIDED and "operator-unlisted" not in rules(raw, "model.pt")


def test_operators_of_other_libraries_are_named() -> None:
    """Custom operators and classes come from a library that somebody must load."""
    assert "operator-unlisted" in rules(script(b"y = ops.my_library.my_op(x)"), "model.pt")
    assert "operator-unlisted" in rules(script(b"y = annotate(__torch__.torch.classes.my.Thing, x)"), "model.pt")


def test_what_torch_writes_is_listed() -> None:
    """A real program, scripted and for mobile: its operators are found in both ways of writing them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.jit.script(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    out = io.BytesIO()
    torch.jit.save(program, out)
    raw = out.getvalue()
    result = reading(raw, "model.pt")
    assert {"linear", "relu"} <= {part.name for part in of(result, Operator)}
    assert "program" in rules(raw, "model.pt") and "operator-unlisted" not in rules(raw, "model.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mobile = program._save_to_buffer_for_lite_interpreter()
    assert {"aten"} <= {part.domain for part in of(reading(mobile, "model.ptl"), Operator)}
    assert status(mobile, "model.ptl") is Status.UNDECIDED


def test_exported_programs_list_their_operators() -> None:
    """`.pt2`: the targets of calls in the JSON of the program, and the native code of AOTInductor."""
    graph = b'{"target": "torch.ops.aten.relu.default", "t": "torch.ops.evil.run.default"}'
    raw = archive(
        **{"m/archive_format": b"pt2", "m/models/model.json": graph, "m/data/aotinductor/model/a.so": b"\x7fELF"}
    )
    result = reading(raw, "model.pt2")
    assert {(part.domain, part.name) for part in of(result, Operator)} == {("aten", "relu"), ("evil", "run")}
    assert of(result, Code)[0].language == "native" and status(raw, "model.pt2") is Status.UNDECIDED


@pytest.mark.parametrize("name", ["a.so", "A.SO", "a.cubin", "a.cpp", "a.PY", "a.pyc"])
@pytest.mark.parametrize("size", [10, (1 << 20) + 1])
def test_code_in_archives_is_never_safe(name: str, size: int) -> None:
    """Whatever its size and the case of its name."""
    raw = archive(**{f"x/{name}": b"\7" * size})
    assert of(reading(raw, "x.zip"), Code) and status(raw, "x.zip") > Status.SAFE


def test_packages_of_torch_are_undecided() -> None:
    """`torch.package`: Python modules beside pickles that import them."""
    raw = archive(
        **{"p/.data/extern_modules": b"", "p/.data/version": b"6", "p/m.py": b"import os\n", "p/x/x.pkl": b"N."}
    )
    result = reading(raw, "model.pt")
    assert result.formats == ("torch-package",) and of(result, Opaque, what="torch-package")
    assert status(raw, "model.pt") is Status.UNDECIDED
    evil = archive(**{"p/.data/extern_modules": b"", "p/x/x.pkl": b"cos\nsystem\n(S'true'\ntR."})
    assert status(evil, "model.pt") is Status.DANGEROUS
