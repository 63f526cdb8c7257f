"""Which model it is: what looks like another one does not get that one's rules, nor its place in a lock."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from safeload.core.errors import ConfigError, PolicyDenied, SafeloadError
from safeload.engine.admission.admitted import Admission
from safeload.engine.admit import admit
from safeload.engine.lock import lock
from safeload.engine.options import Options
from safeload.engine.request import Request
from safeload.trust import layers
from safeload.trust.lockfile import Lock, parse_lock
from safeload.trust.locktext import dump
from tests.engine.models import model, write

COMMIT = "a" * 40
STRICT = 'version = 1\n[defaults]\npickle = "deny"\n[[rule]]\nmatch = ["acme/*"]\npickle = "convert"\n'


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with nothing in it; no policy of the system or the user, and a cache of the user's own."""
    tmp_path.chmod(0o700)
    folder = tmp_path / "project"
    (folder / ".git").mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(layers, "SYSTEM", str(tmp_path / "etc/policy.toml"))
    return folder


def load(reference: object, **options: object) -> Admission:
    with admit(reference, request=Request(purpose="model"), options=Options(**options)) as admission:  # type: ignore[arg-type]
        return admission


def cached(cache: Path) -> Path:
    """A pickled model in a folder that looks like a cache, of acme's by its name."""
    (cache / "models--acme--demo/blobs").mkdir(parents=True)
    return model(cache / "models--acme--demo/snapshots" / COMMIT, pickle=True)


def entries(project: Path, *ids: str) -> Lock:
    """A lock of the model `m` under these names."""
    lock("m", options=Options(lock=project / "one.lock"))
    (entry,) = parse_lock((project / "one.lock").read_bytes()).models
    (project / "one.lock").unlink()
    return Lock(tuple(replace(entry, id=id) for id in ids))


@pytest.mark.parametrize("name", ["", "/pytorch_model.bin"])
def test_a_folder_that_looks_like_a_cache_does_not_get_the_rules_of_whom_it_names(project: Path, name: str) -> None:
    """An archive may hold `models--acme--demo/snapshots/…`: what is asked of any folder is asked of it too."""
    write(project / "safeload.toml", STRICT)
    with pytest.raises(PolicyDenied, match="defaults"):
        load(f"{cached(project / 'download')}{name}")


@pytest.mark.parametrize("name", ["", "/pytorch_model.bin"])
def test_in_the_users_own_cache_a_model_is_known_by_its_name(project: Path, tmp_path: Path, name: str) -> None:
    """The cache that the hub's client fills says which model a folder is."""
    write(project / "safeload.toml", STRICT)
    load(f"{cached(tmp_path / 'cache')}{name}")


def test_a_rule_about_the_path_suits_a_cache_elsewhere(project: Path) -> None:
    """A cache in another place is named by its path as well."""
    write(project / "safeload.toml", STRICT + '[[rule]]\nmatch = ["path:download/**"]\npickle = "convert"\n')
    load(cached(project / "download"))


@pytest.mark.parametrize("name", ["", "/pytorch_model.bin"])
@pytest.mark.parametrize("place", ["elsewhere", "cached"])
def test_a_rule_about_a_path_is_about_what_a_link_there_leads_to(
    project: Path, tmp_path: Path, place: str, name: str
) -> None:
    """An archive may hold a link: it frees nothing from the rule about the folder that it lies in."""
    where = cached(tmp_path / "cache") if place == "cached" else model(tmp_path / "elsewhere", pickle=True)
    (project / "m").mkdir()
    (project / "m/x").symlink_to(where)
    load(f"m/x{name}")
    write(project / "safeload.toml", 'version = 1\n[[rule]]\nmatch = ["path:m/**"]\npickle = "deny"\n')
    with pytest.raises(PolicyDenied, match="rule"):
        load(f"m/x{name}")
    load(f"{where}{name}")


def test_a_link_does_not_lead_to_looser_rules(project: Path, tmp_path: Path) -> None:
    """What is asked of the folder itself is asked by whatever link it is named; a path of no rule asks nothing more."""
    where = model(tmp_path / "elsewhere", pickle=True)
    (project / "m").mkdir()
    (project / "m/x").symlink_to(where)
    loose = '[[rule]]\nmatch = ["path:m/**"]\npickle = "convert"\n'
    own = f'[[rule]]\nmatch = ["path:{where}"]\npickle = "{{}}"\n'
    for text in (f'[defaults]\npickle = "deny"\n{loose}', loose + own.format("deny")):
        write(project / "safeload.toml", f"version = 1\n{text}")
        with pytest.raises(PolicyDenied):
            load("m/x")
    write(project / "safeload.toml", f'version = 1\n[defaults]\npickle = "deny"\n{own.format("convert")}')
    load("./m/x")


def test_a_file_is_in_no_lock_that_lies_beside_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock about the folder it lies in is the folder's own: it satisfies nobody who asks for a locked model."""
    folder = model(project / "m")
    made = entries(project, ".")
    write(folder / "safeload.lock", dump(made))
    write(folder / "pyproject.toml", "")
    monkeypatch.chdir(folder)
    with pytest.raises(ConfigError, match="lies in the directory that it names"):
        load("model.safetensors")


@pytest.mark.parametrize("other", ["./m", "m/", "x/../m", "{}/m", "link"])
def test_a_lock_that_names_one_directory_twice_is_refused(project: Path, other: str) -> None:
    """Of two entries for one directory nobody can say which one counts, however each of them spells it."""
    model(project / "m")
    (project / "link").symlink_to("m")
    (project / "safeload.lock").write_bytes(dump(entries(project, "m", other.format(project))))
    for attempt in (lambda: load("m"), lambda: lock("m"), lambda: lock(check=True)):
        with pytest.raises(SafeloadError, match="are one directory"):
            attempt()
