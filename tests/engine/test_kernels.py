"""Which kernels may run, and what a build of one is: without any library, and with nothing run."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.core.errors import (
    ConfigError,
    LimitExceeded,
    MalformedInput,
    PolicyDenied,
    SafeloadError,
    SourceError,
    UsageError,
    VerificationFailed,
)
from safeload.core.limits import Limits
from safeload.engine.kernels import Wanted, listed, wanted_by
from safeload.engine.kernels import code as kernel_code
from safeload.engine.kernels.audit import audit_kernel, entry
from safeload.engine.kernels.build import Build, KernelFile, fetch, module_names, read_build, snapshot_of
from safeload.engine.options import Options
from safeload.engine.request import Access
from safeload.sources import hfcache
from safeload.trust import layers
from tests.hubserver import Hub, hub  # noqa: F401

BASE = "build/torch-cpu"
FILES: Mapping[str, bytes] = {
    f"{BASE}/__init__.py": b"A = 1\n",
    f"{BASE}/x.so": b"\x7fELF",
    f"{BASE}/metadata.json": b"{}",
}
WANTED = Wanted("acme/relu", "v1")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: Hub) -> Path:  # noqa: F811
    """A project that lists the kernel `acme/relu`, and the layers above it, which are empty."""
    tmp_path.chmod(0o700)
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(layers, "SYSTEM", str(tmp_path / "etc/policy.toml"))
    hub.add("acme/relu", FILES, revision="v1", kernel=True)
    write(lines())
    return tmp_path


def lines(name: str = "acme/relu@v1") -> str:
    found = audit_kernel(name)
    return "".join(entry(found.wanted, build) for build in found.builds)


def write(text: str, path: str = "safeload.toml") -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(f"version = 1\n{text}")


def options(**named: object) -> Options:
    return Options(store=os.path.join(os.getcwd(), "store"), **named)  # type: ignore[arg-type]


def fetched(wanted: Wanted = WANTED) -> Build:
    (kernel,) = listed(wanted, options())
    return fetch(kernel, wanted, Access(), options())


# --- what is asked for -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "wanted"),
    [
        ("org/name", ("org/name", "usual")),
        (" org/name ", ("org/name", "usual")),
        ("org/name@main", ("org/name", "main")),
        ("org/name@v1.2:function", ("org/name", "v1.2")),
        ("org/name:function", ("org/name", "usual")),
        ("paged|org/name", ("org/name", "usual")),
    ],
)
def test_references_are_read_as_the_library_reads_them(reference: str, wanted: tuple[str, str]) -> None:
    """Repository, revision, and a function that does not matter here."""
    assert wanted_by(reference, lambda _: "usual") == Wanted(*wanted)


@pytest.mark.parametrize(
    "reference", ["", "name", "a/b/c", "../x", "/abs/path", "org/", "/name", "o/n@", "-o/n", "o/n\n/x"]
)
def test_what_names_no_repository_is_nothing(reference: str) -> None:
    """Then the caller refuses it."""
    assert wanted_by(reference, lambda _: "usual") is None


@given(st.text(alphabet="ab/@:|.- \n", max_size=20))
def test_any_text_is_read(text: str) -> None:
    """And what comes of it names a repository and a revision."""
    wanted = wanted_by(text, lambda _: "usual")
    assert wanted is None or (wanted.repository.count("/") == 1 and wanted.asked)


# --- who must agree --------------------------------------------------------------------------------------------------


def test_what_is_listed_is_found(project: Path) -> None:
    """By the name that stands beside it and by its commit, in any capitals."""
    (kernel,) = listed(WANTED, options())
    assert listed(Wanted("ACME/Relu", kernel.revision), options()) == (kernel,)


@pytest.mark.parametrize("asked", ["main", "v2", "0" * 40, ""])
def test_another_revision_is_not_listed(project: Path, asked: str) -> None:
    """The message says which one is, and what prints the lines."""
    with pytest.raises(PolicyDenied, match="of that repository they list v1") as caught:
        listed(Wanted("acme/relu", asked), options())
    assert "safeload kernel " in caught.value.remedy


def test_without_any_file_nothing_is_listed(project: Path) -> None:
    """Nor by the built-in policy."""
    Path("safeload.toml").unlink()
    with pytest.raises(PolicyDenied, match="no policy lists"):
        listed(WANTED, options())


@pytest.mark.parametrize("where", ["etc/policy.toml", "config/safeload/policy.toml"])
def test_a_layer_above_must_list_it_too_if_it_lists_any(project: Path, where: str) -> None:
    """A nearer one can only tighten; a layer that says nothing about kernels has no objection."""
    write('[defaults]\npickle = "deny"\n', where)
    assert listed(WANTED, options())
    write(lines(), where)
    assert listed(WANTED, options())
    write(lines().replace("acme/relu", "acme/other"), where)
    with pytest.raises(PolicyDenied, match="this one does not"):
        listed(WANTED, options())
    write('[remote-code]\nkernels = "deny"\n', where)
    with pytest.raises(PolicyDenied, match="no kernels may be used"):
        listed(WANTED, options())


def test_a_layer_above_that_lists_other_bytes_does_not_agree(project: Path) -> None:
    """Two layers that mean different bytes allow neither."""
    write(lines().replace('digest = "h1:', 'digest = "h1:A')[: -len('A"\n') - 1] + '="\n', "etc/policy.toml")
    text = Path("etc/policy.toml").read_text()
    Path("etc/policy.toml").write_text(text[: text.index("digest")] + f'digest = "h1:{"A" * 43}="\n')
    with pytest.raises(PolicyDenied, match="this one does not"):
        listed(WANTED, options())


def test_a_policy_above_may_list_what_the_project_does_not_speak_of(project: Path) -> None:
    """An organisation lists kernels for all its projects."""
    Path("safeload.toml").rename("policy.toml")
    write(Path("policy.toml").read_text().partition("\n")[2], "etc/policy.toml")
    assert listed(WANTED, options())


@pytest.mark.parametrize(
    ("rule", "model"),
    [
        ('[defaults]\nremote-code = "deny"\n', ""),
        ('[[rule]]\nmatch = ["acme/*"]\nremote-code = "deny"\n', ""),
        ('[[rule]]\nmatch = ["org/model"]\nremote-code = "deny"\n', "org/model"),
        ('[[rule]]\nmatch = ["org/model"]\nremote-code = "deny"\n', "hf://ORG/model@main"),
        ('[[rule]]\nmatch = ["path:m"]\nremote-code = "deny"\n', "m"),
    ],
)
def test_a_rule_without_code_has_no_kernels(project: Path, rule: str, model: str) -> None:
    """A rule for the kernel's repository, and one for the model that asks for it; `mode` does not matter."""
    Path("m").mkdir()
    write(rule + 'mode = "warn"\n' + lines())
    with pytest.raises(PolicyDenied, match="remote-code is deny"):
        listed(WANTED, options(), model=model)


def test_a_rule_for_another_model_has_no_say(project: Path) -> None:
    """Rules are for the models they match."""
    write('[[rule]]\nmatch = ["org/other"]\nremote-code = "deny"\n' + lines())
    assert listed(WANTED, options(), model="org/model")


@pytest.mark.parametrize(
    "text",
    ['[[rule]]\nmatch = ["acme/*"]\nexpires = 2020-01-01\n', '[[rule]]\nmatch = ["org/m"]\nexpires = 2020-01-01\n'],
)
def test_a_rule_that_expired_refuses(project: Path, text: str) -> None:
    """As it refuses its models."""
    write(text + lines())
    with pytest.raises(PolicyDenied, match="expired"):
        listed(WANTED, options(), model="org/m")


def test_an_entry_that_expired_refuses(project: Path) -> None:
    """Its last day is its last day."""
    for day, good in (("2020-01-01", False), ("2999-01-01", True)):
        write(lines() + f"expires = {day}\n")
        if good:
            assert listed(WANTED, options())
        else:
            with pytest.raises(PolicyDenied, match="its entry expired"):
                listed(WANTED, options())


def test_a_revocation_beats_everything(project: Path) -> None:
    """Of the build, by its digest; of any file in it, when it is fetched."""
    (kernel,) = listed(WANTED, options())
    write(lines() + f'[[revoke]]\ntree = "{kernel.digest}"\nreason = "backdoor"\n')
    with pytest.raises(PolicyDenied, match="revoked: backdoor"):
        listed(WANTED, options())
    one = fetched_file_digest()
    write(lines() + f'[[revoke]]\nfile-sha256 = "{one}"\n')
    with pytest.raises(PolicyDenied, match=r"x\.so is revoked"):
        fetched()
    write(lines() + f'[[revoke]]\nfile-sha256 = "{one}"\nsince = 2999-01-01\n')
    assert fetched()


def fetched_file_digest() -> str:
    build = audit_kernel("acme/relu@v1").builds[0]
    return next(file.sha256 for file in build.files if file.path.endswith(".so"))


def test_a_policy_in_the_cache_of_kernels_is_none(project: Path) -> None:
    """What lies in a fetched repository cannot list the repository."""
    from safeload.engine.enforce import refuse_within

    fetched()
    snapshot = snapshot_of(WANTED, Access(), options())
    place = next(Path.cwd().rglob("kernels--acme--relu/snapshots/*"))
    (place / "safeload.toml").write_text("version = 1\n")
    with pytest.raises(ConfigError, match="own directory"):
        refuse_within(snapshot, str(place / "safeload.toml"))


# --- the files -------------------------------------------------------------------------------------------------------


def test_a_build_is_copied_into_a_private_directory(project: Path) -> None:
    """Only these files, only for this user, and the bytes that were digested."""
    build = fetched()
    found = {str(path.relative_to(build.folder)): path for path in Path(build.folder).rglob("*") if path.is_file()}
    assert {*found} == {*FILES} and all(path.read_bytes() == FILES[name] for name, path in found.items())
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o400 for path in found.values())
    assert all(
        stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in [Path(build.folder), *Path(build.folder).rglob("*")]
    )
    kernel_code.verify(build)


def test_other_bytes_leave_nothing_behind(project: Path, hub: Hub) -> None:  # noqa: F811
    """The directory is gone again, and the message names both digests."""
    shutil.rmtree(hfcache.default_cache())
    hub.served["acme/relu", f"{BASE}/__init__.py"] = b"A = 2\n"
    with pytest.raises(VerificationFailed):
        fetched()
    assert not [*(Path("store/v1/views")).glob("*")]


def test_a_listed_digest_that_is_not_that_of_the_commit_is_refused(project: Path, hub: Hub) -> None:  # noqa: F811
    """The hub is honest, and the policy is about something else."""
    commit = hub.add("acme/relu", {**FILES, f"{BASE}/__init__.py": b"A = 2\n"}, revision="v1", kernel=True)
    text = Path("safeload.toml").read_text()
    old = text.partition('revision = "')[2][:40]
    Path("safeload.toml").write_text(text.replace(old, commit))
    with pytest.raises(VerificationFailed, match="lists h1:"):
        fetched()
    assert not [*(Path("store/v1/views")).glob("*")]


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "x.so").chmod(0o600) or (folder / "x.so").write_bytes(b"\x7fELG"),
        lambda folder: (folder / "x.so").unlink(),
        lambda folder: (folder / "y.so").write_bytes(b""),
        lambda folder: (folder / "sub").symlink_to("/"),
        lambda folder: (folder / "x.so").unlink() or (folder / "x.so").symlink_to("/etc/hostname"),
        lambda folder: (folder / "__pycache__").mkdir() or (folder / "__pycache__/a.pyc").write_bytes(b""),
        lambda folder: os.mkfifo(folder / "pipe"),
    ],
)
def test_a_private_directory_that_was_touched_is_refused(project: Path, change: object) -> None:
    """A byte, a file less, a file more, a link, a pipe: noticed straight before the import."""
    build = fetched()
    change(Path(build.folder) / BASE)  # type: ignore[operator]
    with pytest.raises(VerificationFailed):
        kernel_code.import_kernel(build)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("__pycache__/a.cpython-311.pyc", "compiled Python"),
        ("a.pyc", "compiled Python"),
        ("a.pyo", "compiled Python"),
        ("a\\b.py", "no plain path"),
        ("con.py", "no plain path"),
        ("a\u202eb.py", "no plain path"),
    ],
)
def test_files_that_nobody_can_read_are_refused(project: Path, hub: Hub, name: str, why: str) -> None:  # noqa: F811
    """Before anything is written."""
    hub.add("acme/bad", {**FILES, f"{BASE}/{name}": b""}, revision="v1", kernel=True)
    with pytest.raises(MalformedInput, match=why):
        audit_kernel("acme/bad@v1")


def test_more_python_than_anybody_reads_is_refused(project: Path) -> None:
    """A limit, as on all foreign text."""
    snapshot = snapshot_of(WANTED, Access(), options())
    with pytest.raises(LimitExceeded):
        read_build(snapshot, "acme/relu", "torch-cpu", Limits(text_bytes=3))


def test_a_build_that_is_not_there_is_an_error(project: Path, hub: Hub) -> None:  # noqa: F811
    """The message names those that are."""
    with pytest.raises(SourceError, match="torch-cpu"):
        audit_kernel("acme/relu@v1", chosen=("torch-cuda",))
    hub.add("acme/none", {"README.md": b""}, revision="v1", kernel=True)
    with pytest.raises(SourceError, match="no builds"):
        audit_kernel("acme/none@v1")


def build(files: Mapping[str, bytes], repository: str = "acme/relu") -> Build:
    found = (
        KernelFile(path=f"{BASE}/{path}", sha256="0" * 64, size=len(data), source=data) for path, data in files.items()
    )
    return Build(repository=repository, revision="a" * 40, variant="torch-cpu", files=tuple(found))


@pytest.mark.parametrize(
    ("files", "names"),
    [
        ({"__init__.py": b""}, {"__init__.py": "p"}),
        ({"relu/__init__.py": b"", "relu/a.py": b"", "b.py": b""}, {"relu/__init__.py": "p", "relu/a.py": "p.a"}),
        ({"__init__.py": b"", "a/__init__.py": b"", "a/b.py": b""}, {"a/__init__.py": "p.a", "a/b.py": "p.a.b"}),
        ({"__init__.py": b"", "_x.abi3.so": b""}, {"_x.abi3.so": "p._x"}),
        ({"my_op/__init__.py": b"", "metadata.json": b'{"name": "my-op"}'}, {"my_op/__init__.py": "p"}),
        ({"__init__.py": b"", "lib.so.1": b"", "a.txt": b""}, {"__init__.py": "p"}),
    ],
)
def test_modules_are_named_by_their_place(files: Mapping[str, bytes], names: Mapping[str, str]) -> None:
    """In a package at the top of the build, or in one that is named for the kernel."""
    found = {path.removeprefix(f"{BASE}/"): name for path, name in module_names("p", build(files)).items()}
    assert names.items() <= found.items()


@pytest.mark.parametrize(
    "files",
    [
        {"__init__.py": b"", "a.py": b"", "a/__init__.py": b""},
        {"__init__.py": b"", "a.py": b"", "a.so": b""},
        {"__init__.py": b"", "a.abi3.so": b"", "a.so": b""},
        {"__init__.py": b"", "a.b.py": b""},
        {"__init__.py": b"", "__init__.so": b""},
        {"a.py": b""},
        {},
    ],
)
def test_names_that_an_import_could_read_in_two_ways_are_refused(files: Mapping[str, bytes]) -> None:
    """And a build that is no package."""
    with pytest.raises(MalformedInput):
        module_names("p", build(files))


@pytest.mark.parametrize(
    "about",
    [b"", b"[]", b"{", b'{"kernel-depends": 1}', b'{"kernel-depends": [1]}', b'{"kernel-depends": [{"repo-id": "x"}]}',
     b'{"kernel-depends": [{"repo-id": "a/b"}]}', b'{"kernel-depends": [{"repo-id": "a/b", "version": "1"}]}',
     b'{"kernel-depends": [{"repo-id": "../b", "version": 1}]}', b"[" * 100_000, b"\xff"],
)  # fmt: skip
def test_broken_metadata_is_an_error_with_its_place(about: bytes) -> None:
    """Never a kernel whose dependencies are overlooked."""
    with pytest.raises(MalformedInput, match=r"metadata"):
        _ = build({"__init__.py": b"", "metadata.json": about}).depends


def test_dependencies_are_read() -> None:
    """By version or revision."""
    about = {"kernel-depends": [{"repo-id": "a/b", "version": 2}, {"repo-id": "a/c", "revision": "main"}]}
    made = build({"__init__.py": b"", "metadata.json": json.dumps(about).encode()})
    assert made.depends == (Wanted("a/b", "v2"), Wanted("a/c", "main"))


@given(st.binary(max_size=60))
def test_any_metadata_gives_dependencies_or_the_error(data: bytes) -> None:
    """Total."""
    try:
        found = build({"__init__.py": b"", "metadata.json": data}).depends
    except SafeloadError as error:
        assert error.why
    else:
        assert isinstance(found, tuple)


# --- the command -----------------------------------------------------------------------------------------------------


def test_two_revisions_or_none_that_can_be_listed_are_a_mistake(project: Path) -> None:
    """Nothing is guessed."""
    for reference, revision in (("acme/relu@v1", "v2"), ("acme", None), ('acme/relu@v"1', None), ("./acme/relu", None)):
        with pytest.raises(UsageError):
            audit_kernel(reference, revision=revision)


def test_the_lines_are_those_of_a_policy(project: Path, hub: Hub) -> None:  # noqa: F811
    """For a commit without a version; with as many builds as were read."""
    commit = audit_kernel("acme/relu").revision
    assert "version" not in lines(f"acme/relu@{commit}")
    hub.add("acme/two", {**FILES, "build/torch-cuda/__init__.py": b""}, revision="v1", kernel=True)
    assert not audit_kernel("acme/two").builds
    both = audit_kernel("acme/two", everything=True)
    write("".join(entry(both.wanted, one) for one in both.builds))
    assert len(listed(Wanted("acme/two", "v1"), options())) == 2
