"""torchrun: each process of a group admits the model and its approved code for itself, and they train together."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.adapters import coded
from tests.adapters.test_approved import approve, project  # noqa: F401  (a fixture)
from tests.adapters.test_approved_vision import strip

PROGRAM = """
import torch, torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from safeload import PolicyDenied
from safeload.transformers import AutoModel
dist.init_process_group("gloo")
rank = dist.get_rank()
try:
    AutoModel.from_pretrained("unread", trust_remote_code=True)
except PolicyDenied:
    refused = True
model = AutoModel.from_pretrained("m", trust_remote_code=True)
before = torch.cat([p.detach().flatten().clone() for p in model.parameters()])
trained = DistributedDataParallel(model, find_unused_parameters=True)
optimiser = torch.optim.SGD(trained.parameters(), lr=0.1)
trained(torch.tensor([[2, 7 + rank, 3]])).last_hidden_state.square().sum().backward()
optimiser.step()
after = torch.cat([p.detach().flatten() for p in model.parameters()])
both = [torch.empty_like(after) for _ in range(2)]
dist.all_gather(both, after)
same, still = torch.equal(*both), torch.equal(before, after)
with open(f"rank{rank}", "w") as told:  # of one output, lines would mix
    told.write(f"{model.origin()} {type(model).__module__} {same} {still} {refused}")
dist.destroy_process_group()
"""


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    """Two processes of the program, in `folder`, each with one thread."""
    (folder / "train.py").write_text(PROGRAM)
    root = str(Path(__file__).parents[2])
    arguments = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "train.py"]
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env={**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no distributed package")
def test_a_step_of_two_processes(project: Path) -> None:  # noqa: F811
    """Both have the class of the same digest, and the same weights after one step; both refuse what nobody read."""
    path = coded.build_late(project / "m")
    strip(path)
    coded.build_native(project / "unread")
    approve(path)
    done = run(project)
    assert done.returncode == 0, done.stderr
    first, second = ((project / f"rank{rank}").read_text().split() for rank in (0, 1))
    assert first == second and first[0] == "own"
    assert first[1].startswith("safeload_approved.c") and first[2:] == ["True", "False", "True"]
