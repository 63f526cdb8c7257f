"""diffusers itself under `safeload.guard()`: programs, blocks and networks of a model's own run once approved."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.adapters import coded_parts, diffusion, test_modular
from tests.adapters.test_approved import approve, project  # noqa: F401  (a fixture)
from tests.adapters.test_approved_vision import strip

PROGRAM = """
import safeload
safeload.guard()
import diffusers

def modular():
    pipe = diffusers.ModularPipeline.from_pretrained("blocks", trust_remote_code=True)
    pipe.load_components()
    return pipe.unet and pipe.blocks

def custom():
    return diffusers.DiffusionPipeline.from_pretrained("plain", custom_pipeline="program.py", trust_remote_code=True)

def again():
    pipe = diffusers.DiffusionPipeline.from_pretrained("plain")
    return diffusers.DiffusionPipeline.from_pipe(pipe, custom_pipeline="program.py", trust_remote_code=True)

def network():
    return diffusers.AutoModel.from_pretrained("network", trust_remote_code=True)

for load in (modular, custom, again, network):
    try:
        print(load.__name__, type(load()).__module__.partition(".")[0])
    except safeload.PolicyDenied as error:
        print(load.__name__, "refused")
"""
NAMES = ("modular", "custom", "again", "network")


def said(folder: Path) -> list[str]:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert result.returncode == 0, result.stderr
    return [line for line in result.stdout.splitlines() if line.startswith(NAMES)]


@pytest.mark.skipif(not hasattr(__import__("diffusers"), "ModularPipeline"), reason="this diffusers has none")
def test_code_runs_once_it_is_approved(project: Path) -> None:  # noqa: F811
    """Without an approval each is refused; with one, each class is the author's own, from the approved bytes."""
    diffusion.build_ddpm(project / "plain")
    (project / "program.py").write_text(coded_parts.PIPELINE)
    test_modular.build(project / "blocks")
    coded_parts.build_mapped(project / "network")
    for folder in ("blocks", "network"):
        strip(project / folder)
    assert said(project) == [f"{name} refused" for name in NAMES]
    for reference in ("program.py", "blocks", "network"):
        approve(reference)
    assert said(project) == [f"{name} safeload_approved" for name in NAMES]
