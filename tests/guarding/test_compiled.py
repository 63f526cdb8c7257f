"""What `torch.compile` made, and torch reads back: pickles and code, wherever the file came from."""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

import safeload
from safeload.core.errors import PolicyDenied
from tests.guarding.test_libraries import importable

torch = pytest.importorskip("torch")


class _Acting:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.target,)


def _artifact(path: Path, target: Path) -> str:
    """A file as `CompiledArtifact.save` writes it, whose pickle acts."""
    from torch._inductor.codecache import torch_key
    from torch._inductor.standalone_compile import AOTCompiledArtifact
    from torch.utils._appending_byte_serializer import BytesWriter

    writer = BytesWriter()
    for part in (AOTCompiledArtifact.AOT_HEADER, torch_key(), pickle.dumps(_Acting(target))):
        writer.write_bytes(part)
    path.write_bytes(writer.to_bytes())
    return str(path)


def _read(path: str) -> None:
    """Reads it; what then is no compiled function is not missed."""
    from torch._inductor import CompiledArtifact

    try:
        CompiledArtifact.load(path=path, format="binary")
    except (AttributeError, TypeError, AssertionError):
        return


def test_a_compiled_artifact_is_refused(tmp_path: Path, marker: Path) -> None:
    """torch unpickles it as it unpickles its own caches, which a guard lets go on; a file that is named is none."""
    _read(_artifact(tmp_path / "plain.bin", tmp_path / "plain"))
    assert (tmp_path / "plain").exists(), "the file acts"
    path = _artifact(tmp_path / "artifact.bin", marker)
    with safeload.guard() as guard, pytest.raises(PolicyDenied, match="compiled code"):
        _read(path)
    assert guard.refused and not marker.exists()


@pytest.mark.parametrize("name", ["CompiledArtifact", "CacheCompiledArtifact", "AOTCompiledArtifact"])
@pytest.mark.parametrize("format", ["binary", "unpacked"])
def test_every_kind_of_artifact_is_refused(name: str, format: str, tmp_path: Path) -> None:
    """Whatever it is written as, and whichever class is asked to read it."""
    home = importlib.import_module("torch._inductor.standalone_compile")
    with safeload.guard(), pytest.raises(PolicyDenied, match=f"{name}.load was refused"):
        getattr(home, name).load(path=str(tmp_path), format=format)


def test_a_program_may_say_that_it_wrote_them(tmp_path: Path) -> None:
    """The module that the refusal speaks of reads its own artifacts, as it does without a guard."""
    path = _artifact(tmp_path / "own.bin", tmp_path / "read")
    with safeload.guard(unsafe_pickles_of=[__name__]) as guard:
        _read(path)
    assert (tmp_path / "read").exists() and not guard.refused


def _compiled_function(path: Path) -> None:
    with path.open("rb") as file:
        torch.compiler.load_compiled_function(file)


def _caches(path: Path) -> None:
    torch.compiler.load_cache_artifacts(path.read_bytes())


def _mobile(path: Path) -> None:
    importlib.import_module("torch.jit.mobile")._load_for_lite_interpreter(str(path))


def _precompiled(path: Path) -> None:
    importlib.import_module("torch.compiler.precompile").load(path, path)


def _source(path: Path) -> None:
    importlib.import_module("torch._inductor.standalone_compile").load_from_python(path.read_text("latin-1"))


READERS: dict[str, tuple[Callable[[Path], None], str]] = {
    "load_compiled_function": (_compiled_function, "torch.compiler"),
    "load_cache_artifacts": (_caches, "torch.compiler"),
    "_load_for_lite_interpreter": (_mobile, "torch.jit.mobile"),
    "load": (_precompiled, "torch.compiler.precompile"),
    "load_from_python": (_source, "torch._inductor.standalone_compile"),
}


@pytest.mark.parametrize("name", READERS)
def test_every_reader_of_compiled_code_is_refused(name: str, tmp_path: Path, marker: Path) -> None:
    """Of those that the installed torch has: nothing of the file is looked at."""
    read, home = READERS[name]
    if not importable(home) or not hasattr(importlib.import_module(home), name):
        pytest.skip("newer than the installed torch")
    path = tmp_path / "file"
    path.write_bytes(pickle.dumps(_Acting(marker), 0))
    with safeload.guard() as guard, pytest.raises(PolicyDenied, match=r"it is compiled code|it is a program"):
        read(path)
    assert guard.refused and not marker.exists()


HUB: dict[str, Callable[..., object]] = {
    "list": lambda hub, **more: hub.list("somebody/net:main", skip_validation=True, **more),
    "help": lambda hub, **more: hub.help("somebody/net:main", "net", skip_validation=True, **more),
}


@pytest.mark.parametrize("name", HUB)
def test_the_hub_runs_no_code_to_say_what_it_has(
    name: str, tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`torch.hub.list` and `help` import a repository's code, as `load` does: not under a guard, if nobody read it."""
    import torch.hub

    folder = tmp_path / "hub" / "somebody_net_main"
    folder.mkdir(parents=True)
    acts = f"import pathlib\npathlib.Path({str(marker)!r}).touch()\ndef net():\n    'A net.'\n"
    (folder / "hubconf.py").write_text(acts, "utf-8")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with safeload.guard() as guard, pytest.raises(PolicyDenied):
        HUB[name](torch.hub, trust_repo=True)
    assert guard.refused and not marker.exists()
    assert HUB[name](torch.hub, trust_repo=True) in (["net"], ["net", "pathlib"], "A net.")
    assert marker.exists()
    marker.unlink()
