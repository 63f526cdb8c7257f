"""What approved code may not do while it loads is stopped, told, and not forgotten."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import safeload.transformers as guarded
from safeload import ConfigError, PolicyDenied
from safeload.engine.admit import admit
from safeload.engine.approved import tripwire
from safeload.engine.request import Request
from safeload.trust.policy_file import CAPABILITIES
from tests.adapters import coded
from tests.adapters.test_approved import approve, project  # noqa: F401  (a fixture)

ACTS = {
    "process": "import subprocess\nsubprocess.run(['true'])",
    "network": "import socket\nwith socket.socket() as s:\n    s.bind(('127.0.0.1', 0))",
    "file-write": "open('made', 'w').close()",
    "file-read": "open('secret').close()",
    "environment": "import os\nos.environ['SAFELOAD_TEST'] = '1'",
    "native": "import ctypes\nctypes.CDLL(None)",
    "deserialisation": "import pickle\npickle.loads(b'cos\\ngetcwd\\n.')",
}
BELT = ("network", "deserialisation", "process")
POLICY = 'version = 1\n[remote-code]\ncapabilities = ["{}"]\n'


def policy(project: Path, *names: str) -> None:  # noqa: F811
    (project / "safeload.toml").write_text(POLICY.format('", "'.join(names)))


def build(project: Path, act: str, *, during: str = "import") -> None:  # noqa: F811
    """A model whose code does something: while it is imported, or when an instance is made."""
    path = coded.build_native(project / "m")
    source = (path / "modeling.py").read_text()
    if during == "import":
        source = f"{source}\n{act}\n"
    else:
        body = act.replace("\n", "\n        ")
        source += f"    def __init__(self, config):\n        super().__init__(config)\n        {body}\n"
    (path / "modeling.py").write_text(source)
    (project / "secret").write_text("s")
    from safeload.engine.audit.approval import unfollowed
    from safeload.engine.audit.approve import closure_of
    from safeload.engine.options import Options

    _, closure = closure_of(str(path), request=Request(), options=Options())
    approve(path, *(part for place in unfollowed(closure) for part in ("--unfollowed", place)))


def load() -> object:
    return guarded.AutoModel.from_pretrained("m", trust_remote_code=True)


@pytest.mark.parametrize("during", ["import", "init"])
@pytest.mark.parametrize("capability", ACTS)
def test_what_is_not_listed_is_stopped(capability: str, during: str, project: Path) -> None:  # noqa: F811
    """With `none`, and with all others listed. Of what no load may do, the seatbelt may hear first."""
    build(project, ACTS[capability], during=during)
    belt = "|the library tried to" if capability in BELT else ""
    for names in (["none"], [name for name in CAPABILITIES if name != capability]):
        policy(project, *names)
        with pytest.raises(PolicyDenied, match=rf"no policy lists, {capability}{belt}"):
            load()
    assert not (project / "made").exists()


@pytest.mark.parametrize("capability", ACTS)
def test_it_needs_no_seatbelt(capability: str, project: Path) -> None:  # noqa: F811
    """The tripwire alone stops each of them."""
    build(project, ACTS[capability])
    with admit("m", request=Request(purpose="model", trust_remote_code=True)) as admission:
        code = admission.code
        assert code is not None
        allowed = frozenset(CAPABILITIES) - {capability}
        with (
            pytest.raises(PolicyDenied, match=f"no policy lists, {capability}") as caught,
            tripwire.Tripwire("m", {code.package: allowed}),
        ):
            code.load("", "modeling.py", "Model")
    (reason,) = caught.value.verdict.denials()
    assert f'capabilities = ["{capability}"]' in reason.remedy.replace("'", '"')


@pytest.mark.parametrize("capability", [name for name in ACTS if name not in BELT])
def test_what_is_listed_is_let_through(capability: str, project: Path) -> None:  # noqa: F811
    """The others of these are stopped by the seatbelt during any load."""
    build(project, ACTS[capability])
    policy(project, capability)
    assert load().origin() == "own"  # type: ignore[attr-defined]


def test_code_that_does_none_of_it_loads(project: Path) -> None:  # noqa: F811
    """Importing installed packages, and reading the model, is nothing that has to be listed."""
    approve(coded.build_relative(project / "m"))
    policy(project, "none")
    assert load().origin() == "own"  # type: ignore[attr-defined]


def test_what_modelling_code_usually_does_is_nothing_to_list(project: Path) -> None:  # noqa: F811
    """Looking for optional packages, warning, and compiling a function with torch."""
    usual = """
import importlib.metadata, importlib.util, inspect, random, warnings
import torch
from transformers.utils import is_flash_attn_2_available, logging
logger = logging.get_logger(__name__)
importlib.metadata.version("torch")
importlib.util.find_spec("flash_attn")
is_flash_attn_2_available()
@torch.jit.script
def add(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return a + b
inspect.getsource(Model)
random.random()
warnings.formatwarning("usual", UserWarning, __file__, 1)
try:
    import xformers
except ImportError:
    xformers = None
"""
    build(project, usual)
    policy(project, "none")
    assert load().origin() == "own"  # type: ignore[attr-defined]


def test_without_a_policy_nothing_is_watched(project: Path) -> None:  # noqa: F811
    """The approval is the wall; the tripwire is for who asks for it."""
    build(project, ACTS["file-write"])
    assert load().origin() == "own"  # type: ignore[attr-defined]
    assert (project / "made").exists()


def test_catching_the_refusal_does_not_help(project: Path) -> None:  # noqa: F811
    """It is raised again when the load ends."""
    build(project, "try:\n    open('made', 'w')\nexcept BaseException:\n    pass")
    policy(project, "none")
    with pytest.raises(PolicyDenied, match="file-write"):
        load()
    assert not (project / "made").exists()


TWO_FACED = """
import io
class Path:
    def __init__(self, *faces):
        self.faces = [*faces]
    def __fspath__(self):
        return self.faces.pop(0) if len(self.faces) > 1 else self.faces[0]
    def __eq__(self, other):
        return True
    def __str__(self):
        raise ValueError
    def __hash__(self):
        return 0
try:
    io.FileIO(Path({given!r}, "/dev/null"), {mode!r}).close()
except BaseException:
    pass
"""


@pytest.mark.parametrize(("given", "mode", "capability"), [("secret", "r", "file-read"), ("made", "w", "file-write")])
def test_a_path_with_two_faces_is_stopped(
    given: str,
    mode: str,
    capability: str,
    project: Path,  # noqa: F811
) -> None:
    """An object that says `/dev/null` to the tripwire, equals anything, and has no text, is not believed."""
    build(project, TWO_FACED.format(given=given, mode=mode))
    policy(project, "none")
    with pytest.raises(PolicyDenied, match=f"no policy lists, {capability}"):
        load()
    assert not (project / "made").exists()


def test_a_thread_of_the_code_is_watched(project: Path) -> None:  # noqa: F811
    """Code that starts a thread has its frames there."""
    act = """import threading
def work():
    try:
        open('made', 'w').close()
    except Exception:
        pass
thread = threading.Thread(target=work)
thread.start()
thread.join()"""
    build(project, act)
    policy(project, "none")
    with pytest.raises(PolicyDenied, match="file-write"):
        load()
    assert not (project / "made").exists()


def test_afterwards_nothing_is_watched(project: Path) -> None:  # noqa: F811
    """The tripwire is about loading; what the model does later is not its business."""
    path = coded.build_native(project / "m")
    with (path / "modeling.py").open("a") as file:
        file.write("    def later(self):\n        open('made', 'w').close()\n")
    approve(path)
    policy(project, "none")
    load().later()  # type: ignore[attr-defined]
    assert (project / "made").exists()
    assert not tripwire._set


@pytest.mark.parametrize(
    "text", ["capabilities = []", 'capabilities = ["none", "process"]', 'capabilities = ["proces"]', "x = 1", ""]
)
def test_a_list_that_means_nothing_is_an_error(text: str, project: Path) -> None:  # noqa: F811
    """A typing mistake must not loosen anything."""
    approve(coded.build_native(project / "m"))
    (project / "safeload.toml").write_text(f"version = 1\n[remote-code]\n{text}\n")
    with pytest.raises(ConfigError, match=r"capabilities|remote-code"):
        load()


def test_every_name_has_events() -> None:
    """What a policy can list and what is watched are the same."""
    assert set(tripwire._EVENTS.values()) | {"file-write"} == set(CAPABILITIES)
    assert "tests" in sys.modules
