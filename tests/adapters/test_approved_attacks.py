"""What an attacker may try between an approval and the code that runs: none of it has an effect."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
import threading
import types
from pathlib import Path
from typing import Any

import pytest
import torch

import safeload.transformers as guarded
from safeload import PolicyDenied, UsageError
from safeload.cli.main import main
from safeload.core.errors import SafeloadError, VerificationFailed
from safeload.engine import approved
from safeload.engine.audit import closure as closures
from tests.adapters import coded, payloads, repos
from tests.adapters.test_approved import approve, project  # noqa: F401  (a fixture)
from tests.hubserver import Hub, hub  # noqa: F401  (a fixture)

IDS = torch.tensor([[2, 7, 3]])


def load(path: str = "m") -> Any:
    return guarded.AutoModel.from_pretrained(path, trust_remote_code=True)


def evil(marker: Path) -> str:
    return payloads.CODE.format(str(marker)) + "\n"


# --- places that code is looked for in -------------------------------------------------------------------------------


def test_nothing_is_taken_from_the_module_cache(
    project: Path,  # noqa: F811
    marker: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A file planted in `HF_MODULES_CACHE`, which the library puts on the path, does not run."""
    approve(coded.build_unknown(project / "m"))
    cache = project / "modules"
    for module in ("transformers.dynamic_module_utils", "transformers.utils.hub"):
        monkeypatch.setattr(sys.modules[module], "HF_MODULES_CACHE", str(cache))
    monkeypatch.syspath_prepend(str(cache))
    for folder in (cache, cache / "transformers_modules", cache / "transformers_modules/m", cache / approved.PACKAGE):
        folder.mkdir(exist_ok=True)
        for name in ("__init__.py", "modeling.py", "configuration.py"):
            (folder / name).write_text(evil(marker))
    assert load().origin() == "own"
    assert not any("transformers_modules" in name for name in sys.modules)


def test_no_compiled_file_runs(project: Path, marker: Path) -> None:  # noqa: F811
    """A `.pyc` whose time and size are those of the source runs with plain Python; here it is never looked at."""
    path = coded.build_unknown(project / "m")
    approve(path)
    for name in ("modeling.py", "configuration.py"):
        source = path / name
        compiled = Path(importlib.util.cache_from_source(str(source)))
        compiled.parent.mkdir(exist_ok=True)
        import importlib._bootstrap_external as external  # type: ignore[import-not-found,unused-ignore]

        stat = source.stat()
        code = compile(evil(marker), str(source), "exec")
        compiled.write_bytes(external._code_to_timestamp_pyc(code, int(stat.st_mtime), stat.st_size))
    assert load().origin() == "own"


def test_no_compiled_file_beside_the_readable_copy_runs(project: Path, marker: Path) -> None:  # noqa: F811
    """Nor one in the private directory, if the same user plants it there."""
    approve(coded.build_unknown(project / "m"))
    model = load()
    module = sys.modules[type(model).__module__]
    source = Path(module.__file__ or "")
    before = source.read_bytes()
    source.chmod(0o600)
    source.write_text(evil(marker))
    try:
        del sys.modules[module.__name__]
        assert load().origin() == "own"
    finally:
        source.write_bytes(before)


@pytest.mark.parametrize("shadow", ["numpy.py", "numpy/__init__.py"])
def test_the_model_does_not_shadow_an_installed_package(
    shadow: str,
    project: Path,  # noqa: F811
    marker: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever works in the directory of the model has it on the path; a file named like a package is not imported."""
    path = coded.build_third_party(project / "m")
    source = path / "modeling.py"
    source.write_text(source.read_text().replace("import numpy", "import colorsys2, numpy"))
    (path / "colorsys2.py").write_text(evil(marker))
    (path / shadow).parent.mkdir(exist_ok=True)
    (path / shadow).write_text(evil(marker))
    approve(path)
    monkeypatch.chdir(path)
    monkeypatch.syspath_prepend("")
    with pytest.raises(PolicyDenied, match="execute the code in"):
        load(str(path))


def test_a_module_of_the_package_s_name_does_not_run(
    project: Path,  # noqa: F811
    marker: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`safeload_approved.py` in the working directory, first on the path."""
    path = coded.build_unknown(project / "m")
    approve(path)
    (project / "safeload_approved.py").write_text(evil(marker))
    monkeypatch.syspath_prepend(str(project))
    for name in [name for name in sys.modules if name.startswith(approved.PACKAGE)]:
        monkeypatch.delitem(sys.modules, name)
    assert load().origin() == "own"


# --- between the check and the import --------------------------------------------------------------------------------


def test_a_file_that_is_swapped_all_the_time(project: Path, marker: Path) -> None:  # noqa: F811
    """A thread replaces the code without a pause: each load is refused, or runs what was approved."""
    path = coded.build_unknown(project / "m")
    approve(path)
    good = (path / "modeling.py").read_text()
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for text in (evil(marker) + good, good):
                draft = path / ".draft"
                draft.write_text(text)
                draft.replace(path / "modeling.py")

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(8):
            try:
                assert load().origin() == "own"
            except SafeloadError:
                continue
    finally:
        stop.set()
        thread.join()


def test_what_was_checked_is_what_runs(
    project: Path,  # noqa: F811
    marker: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The file changes right after it was read: what was read runs, once more."""
    path = coded.build_late(project / "m")
    approve(path)
    genuine = closures.find_closure

    def find(*args: Any) -> Any:
        found = genuine(*args)
        for name in ("configuration.py", "late.py", "modeling.py"):
            (path / name).write_text(evil(marker))
        return found

    monkeypatch.setattr("safeload.engine.audit.approval.find_closure", find)
    assert load().origin() == "own"


def test_a_link_out_of_the_model_is_refused(project: Path, marker: Path) -> None:  # noqa: F811
    """Code that is a symbolic link to a file elsewhere can be neither approved nor run."""
    path = coded.build_unknown(project / "m")
    outside = project / "outside.py"
    (path / "modeling.py").rename(outside)
    (path / "modeling.py").symlink_to(outside)
    with pytest.raises(SafeloadError):
        load()
    assert main(["approve", "m", "--criteria", "safe-to-run", "--as", "jo"]) != 0
    assert not coded.RAN


def test_a_link_put_in_afterwards_has_no_effect(project: Path, marker: Path) -> None:  # noqa: F811
    """A file of the closure becomes a link to something else."""
    path = coded.build_unknown(project / "m")
    approve(path)
    (project / "evil.py").write_text(evil(marker))
    (path / "modeling.py").unlink()
    (path / "modeling.py").symlink_to(project / "evil.py")
    with pytest.raises(SafeloadError):
        load()


# --- names -----------------------------------------------------------------------------------------------------------


def test_a_module_that_stands_in_the_place_is_refused(project: Path) -> None:  # noqa: F811
    """Whoever knows the digest can name the module beforehand; then nothing is imported."""
    approve(coded.build_unknown(project / "m"))
    name = type(load()).__module__
    genuine = {key: sys.modules.pop(key) for key in [*sys.modules] if key.startswith(name.rpartition(".")[0])}
    made = {key for key in approved._made if key in genuine}
    approved._made.difference_update(made)
    planted = types.ModuleType(name)
    planted.Model = object  # type: ignore[attr-defined]
    sys.modules[name] = planted
    try:
        with pytest.raises(PolicyDenied, match="stands in its place"):
            load()
    finally:
        sys.modules.update(genuine)
        approved._made.update(made)


def test_code_does_not_import_that_of_another_model(project: Path) -> None:  # noqa: F811
    """The package that approved code lives in is no library: who imports it cannot be approved."""
    approve(coded.build_unknown(project / "a"))
    other = type(load("a")).__module__
    path = coded.build_native(project / "b")
    source = path / "modeling.py"
    source.write_text(f"from {other} import Model as Other\n" + source.read_text())
    with pytest.raises(UsageError, match="where the code of other models lies"):
        from safeload.engine.audit.approve import approve as write

        write(str(path), criteria=["safe-to-run"], who="jo")
    with pytest.raises(PolicyDenied, match="where the code of other models lies"):
        load("b")


def test_two_models_with_the_same_code_share_it(project: Path) -> None:  # noqa: F811
    """One approval, one class, imported once: a fine-tune needs no second audit."""
    approve(coded.build_unknown(project / "a"))
    shutil.copytree(project / "a", project / "b")
    state = {name: tensor + 1 for name, tensor in repos.bert_state().items() if tensor.is_floating_point()}
    repos.write_safetensors(project / "b/model.safetensors", state)
    a, b = load("a"), load("b")
    assert type(a) is type(b)
    assert not torch.equal(a(IDS).last_hidden_state, b(IDS).last_hidden_state)
    assert len(coded.RAN) == 2


@pytest.mark.parametrize("build", [coded.build_native, coded.build_unknown], ids=["native", "unknown"])
def test_two_models_with_the_same_names_stay_apart(build: Any, project: Path) -> None:  # noqa: F811
    """Each gets its own class, in whichever order they are loaded, though file, class and model type are the same."""
    for word in ("one", "two"):
        source = build(project / word) / "modeling.py"
        source.write_text(source.read_text().replace('"own"', f'"{word}"'))
        approve(word)
    loaded = [load(word) for word in ("one", "two", "one")]
    assert [model.origin() for model in loaded] == ["one", "two", "one"]


def test_approved_code_is_not_left_behind_for_others(project: Path) -> None:  # noqa: F811
    """A head that the library lacks is registered by it under its own config; a model without code does not get it."""
    path = coded.build_native(project / "m")
    repos.rewrite(path / "config.json", auto_map={"AutoModelForCTC": "modeling.Model"})
    approve(path)
    model = guarded.AutoModelForCTC.from_pretrained("m", trust_remote_code=True)
    assert model.origin() == "own"
    plain = repos.build_safetensors(project / "plain")
    with pytest.raises(ValueError, match="Unrecognized configuration class"):
        guarded.AutoModelForCTC.from_pretrained(str(plain))


def test_another_class_of_an_approved_file_is_refused(project: Path) -> None:  # noqa: F811
    """The approval names the class: a config that is changed to name another one is not approved."""
    path = coded.build_native(project / "m")
    source = path / "modeling.py"
    source.write_text(source.read_text() + "class Other(Model):\n    pass\n")
    approve(path)
    repos.rewrite(path / "config.json", auto_map={"AutoModel": "modeling.Other"})
    with pytest.raises(PolicyDenied, match=r"does not name the entries modeling\.Other"):
        load()
    assert not coded.RAN


def test_only_entries_are_given_out(project: Path) -> None:  # noqa: F811
    """Whatever a loader asks for, the code itself gives out what the approval names."""
    approve(coded.build_relative(project / "m"))
    from safeload.engine.admit import admit
    from safeload.engine.request import Request

    with admit("m", request=Request(purpose="model", trust_remote_code=True)) as admission:
        code = admission.code
        assert code is not None
        assert code.load("", "modeling.py", "Model").__name__ == "Model"
        for file, name in (("modeling.py", "sys"), ("blocks.py", "Config"), ("late.py", "word"), ("../m.py", "x")):
            with pytest.raises(PolicyDenied, match="is no entry of the approved code"):
                code.load("", file, name)
        with pytest.raises(PolicyDenied):
            code.load("other/repo", "modeling.py", "Model")


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["a--b.py"], "no plain path"),
        (["org/other--a--b.py"], "no plain path"),
        (["/etc--x.py"], "no plain path"),
        (["../x.py"], "no plain path"),
        (["x.txt"], "no plain path"),
        (["modeling.v2.py"], "holds a dot"),
        (["org/other--a.b.py"], "holds a dot"),
        (["modeling.py", "modeling/__init__.py"], "an import could mean it or modeling.py"),
    ],
)
def test_names_that_could_be_read_two_ways_cannot_run(names: list[str], why: str) -> None:
    """`--` stands for another repository, a dot for a folder, and a package hides a module of its name."""
    assert any(why in told for _, told in approved.unusable(names))
    assert not [*approved.unusable(["modeling.py", "org/other--modeling.py", "layers/__init__.py"])]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("a--b.py", "import importlib; other = importlib.import_module('.a--b', __package__)"),
        ("modeling/__init__.py", "from . import modeling"),
    ],
)
def test_a_closure_with_such_a_name_is_refused(name: str, line: str, project: Path) -> None:  # noqa: F811
    """It can neither be approved nor loaded, and the file is named."""
    path = coded.build_native(project / "m")
    coded.write(path, name, "")
    with (path / "modeling.py").open("a") as file:
        file.write(f"{line}\n")
    assert main(["approve", "m", "--criteria", "safe-to-run", "--as", "jo"]) == 2
    with pytest.raises(PolicyDenied, match=f"{name} cannot be approved"):
        load()
    assert not coded.RAN


# --- other repositories ----------------------------------------------------------------------------------------------


def test_code_of_another_repository(project: Path, hub: Hub) -> None:  # noqa: F811
    """It is named in full, approved with the model, runs, and is refused when its branch moves."""
    code = coded.build_unknown(project / "code")
    hub.add("acme/code", code)
    path = coded.build_elsewhere(project / "m")
    with pytest.raises(PolicyDenied) as caught:
        load()
    assert "acme/code--configuration.py" in str(caught.value) and "acme/code--modeling.py" in str(caught.value)
    approve(path)
    assert load().origin() == "own"
    coded.RAN.clear()
    (code / "modeling.py").write_text((code / "modeling.py").read_text() + "\n")
    hub.add("acme/code", code)
    with pytest.raises(PolicyDenied, match=r"acme/code--modeling\.py changed"):
        load()
    assert not coded.RAN


def test_code_of_another_repository_is_written_into_no_directory(project: Path, hub: Hub) -> None:  # noqa: F811
    """Whoever reads the directory would fetch that repository as it is by then."""
    hub.add("acme/code", coded.build_unknown(project / "code"))
    approve(coded.build_elsewhere(project / "m"))
    assert main(["admit", "m", "--into", "out", "--trust-remote-code"]) == 2
    assert not (project / "out").exists()


def test_saved_code_of_another_repository_is_new_code(project: Path, hub: Hub) -> None:  # noqa: F811
    """`save_pretrained` brings it into the model, under other names: it has to be approved there."""
    hub.add("acme/code", coded.build_unknown(project / "code"))
    approve(coded.build_elsewhere(project / "m"))
    load().save_pretrained("saved")
    with pytest.raises(PolicyDenied):
        load("saved")
    approve("saved")
    assert load("saved").origin() == "own"


def test_a_model_of_the_hub(project: Path, hub: Hub) -> None:  # noqa: F811
    """By its name: approved at one commit, the same code at the next one needs nothing, other code is refused."""
    path = coded.build_unknown(project / "src")
    hub.add("acme/model", path)
    with pytest.raises(PolicyDenied, match="nobody approved"):
        load("acme/model")
    approve("acme/model")
    assert load("acme/model").origin() == "own"
    (path / "README.md").write_text("another commit\n")
    hub.add("acme/model", path)
    assert load("acme/model").origin() == "own"
    coded.RAN.clear()
    (path / "configuration.py").write_text((path / "configuration.py").read_text() + "\n")
    hub.add("acme/model", path)
    with pytest.raises(PolicyDenied, match=r"configuration\.py changed"):
        load("acme/model")
    assert not coded.RAN


# --- the record ------------------------------------------------------------------------------------------------------


def test_a_violation_an_expiry_and_a_denial_stop_approved_code(project: Path) -> None:  # noqa: F811
    """What was approved stops running when a record or a policy says so."""
    path = coded.build_unknown(project / "m")
    approve(path)
    assert load().origin() == "own"
    records = project / "audits.toml"
    good = records.read_text()
    digest = re.findall(r"h1:[A-Za-z0-9+/]{43}=", good)[0]
    records.write_text(good + f'\n[[violation]]\nclosure = "{digest}"\nreason = "it phones home"\n')
    with pytest.raises(PolicyDenied, match="it phones home"):
        load()
    records.write_text(good)
    assert load().origin() == "own"
    (project / "safeload.toml").write_text('version = 1\n[defaults]\nremote-code = "deny"\n')
    with pytest.raises(PolicyDenied):
        load()
    (project / "safeload.toml").write_text("version = 1\n[defaults]\nmin-auditors = 2\n")
    with pytest.raises(PolicyDenied, match="1 of the 2 auditors"):
        load()
    (project / "safeload.toml").unlink()
    approve(path, "--expires", "2099-12-31")
    records.write_text(records.read_text().replace("2099-12-31", "2020-12-31"))
    with pytest.raises(PolicyDenied, match="expired"):
        load()


def test_approved_bytes_are_compared_before_they_run(project: Path) -> None:  # noqa: F811
    """The last check stands beside `exec`: bytes that are not those of the digest do not run."""
    module = approved.Module(b"x = 1", "0" * 64, "", False)
    with pytest.raises(VerificationFailed):
        approved._execute(module, types.ModuleType("m"))
    assert os.path.exists(approved.__file__)
