"""Admission with locks, policies and signatures: what does not load, and why."""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import Any

import pytest

from safeload.core.errors import ConfigError, PolicyDenied, SafeloadError, SourceError
from safeload.core.policy import AllOf, NothingWorseThan
from safeload.engine.admission.admitted import Admission
from safeload.engine.admit import admit
from safeload.engine.lock import lock
from safeload.engine.options import Options
from safeload.engine.request import Request
from safeload.trust import layers
from tests.engine import signing
from tests.engine.models import age, model, write
from tests.hubserver import Hub, hub  # noqa: F401  (a fixture)

TODAY = datetime.datetime.now(datetime.UTC).date()
DAY = datetime.timedelta(days=1)
KEYS = {name: signing.key() for name in ("a", "b", "c", "old", "new")}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a model in it; no policy of the system or the user."""
    tmp_path.chmod(0o700)
    folder = tmp_path / "project"
    (folder / ".git").mkdir(parents=True)
    model(folder / "m")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("SAFELOAD_LOCK", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(layers, "SYSTEM", str(tmp_path / "etc/policy.toml"))
    for name, key in KEYS.items():
        write(folder / f"keys/{name}.pub", signing.public(key))
    return folder


def policy(folder: Path, text: str, name: str = "safeload.toml") -> Path:
    """Write a policy, with the signers a, b and c."""
    signers = "".join(f'[signers.{n}]\ntype = "key"\nkeys = [{{ file = "keys/{n}.pub" }}]\n' for n in "abc")
    return write(folder / name, f"version = 1\n{signers}{text}")


def load(reference: object = "m", **options: Any) -> Admission:
    request = options.pop("request", None)
    with admit(reference, request=request, options=Options(**options)) as admission:  # type: ignore[arg-type]
        return admission


def denied(reference: object = "m", **options: Any) -> str:
    with pytest.raises(PolicyDenied) as caught:
        load(reference, **options)
    assert all(reason.remedy for reason in caught.value.verdict.denials())
    return str(caught.value)


# ── locks ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_locked_model_loads(project: Path) -> None:
    """What is as locked loads, a second time too, and the admission says by which lock."""
    lock("m")
    age(project)
    for _ in range(2):
        admission = load()
        assert admission.lock is not None and admission.lock.lock == str(project / "safeload.lock")


def test_without_files_nothing_is_asked(project: Path) -> None:
    """No lock, no policy: as before."""
    assert load().lock is None


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


ATTACKS = {
    "changed": lambda m: flip(m / "model.safetensors"),
    "changed: config": lambda m: write(m / "config.json", (m / "config.json").read_bytes() + b" "),
    "changed: unused": lambda m: write(m / "notes.log", "longer than before"),
    "extra": lambda m: write(m / "modeling_evil.py", "x = 1"),
    "missing": lambda m: (m / "vocab.txt").unlink(),
    "extra: pickle": lambda m: write(m / "sub/pytorch_model.bin", b"x"),
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("before", [True, False], ids=["loaded before", "never loaded"])
def test_a_model_that_is_not_the_locked_one_does_not_load(project: Path, attack: str, before: bool) -> None:
    """Each kind of difference is refused with its own word, whether safeload remembers the model or not."""
    write(project / "m/notes.log", "before")
    lock("m")
    age(project)
    if before:
        load()
    ATTACKS[attack](project / "m")
    text = denied()
    assert f"{attack.partition(':')[0]}: " in text and "safeload diff" in text


def test_all_differences_are_told_at_once(project: Path) -> None:
    """A changed, an extra and a missing file make one refusal that names all three."""
    lock("m")
    for attack in ("changed", "extra", "missing"):
        ATTACKS[attack](project / "m")
    text = denied()
    assert all(f"{kind}: " in text for kind in ("changed", "extra", "missing"))


def test_a_lock_holds_whatever_policy_the_caller_has(project: Path) -> None:
    """The most permissive policy of the caller does not take a changed model for the locked one."""
    lock("m")
    ATTACKS["changed"](project / "m")
    from safeload.core.finding import Status

    assert "changed: " in denied(policy=NothingWorseThan(Status.DANGEROUS))


def test_extra_files_can_be_hidden(project: Path, marker: Path) -> None:
    """With `extra-files = "hide"` a file that no lock names is as if it were not there."""
    lock("m")
    policy(project, '[defaults]\nextra-files = "hide"\n')
    write(project / "m/tokenizer.json", "{}")
    admission = load()
    assert not (admission.path / "tokenizer.json").exists()
    assert "tokenizer.json" not in {file.path for file in admission.report.files}


def test_a_directory_that_went_back_is_a_downgrade(project: Path) -> None:
    """What the lock has left behind is told from any other change."""
    lock("m")
    old = (project / "m/vocab.txt").read_bytes()
    write(project / "m/vocab.txt", b"newer\n")
    lock("m", upgrade=True)
    write(project / "m/vocab.txt", old)
    assert "downgrade: " in denied()


def test_the_lock_of_the_environment_adds_and_takes_nothing_away(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`SAFELOAD_LOCK` counts beside the project's lock: it cannot stand in for it."""
    other = tmp_path / "other.lock"
    policy(project, '[defaults]\nrequire = "locked"\n')
    lock("m", options=Options(lock=other))
    lock("keys")
    monkeypatch.setenv("SAFELOAD_LOCK", str(other))
    assert "in no lock" in denied()
    lock("m", options=Options(lock=project / "safeload.lock"))
    assert load().lock is not None
    ATTACKS["changed"](project / "m")
    lock("m", options=Options(lock=other), upgrade=True)
    assert "changed: " in denied()


def test_a_lock_that_was_named_must_be_there(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing lock is an error, never the absence of one."""
    with pytest.raises(ConfigError, match="No such file"):
        load(lock="nowhere.lock")
    monkeypatch.setenv("SAFELOAD_LOCK", str(project / "nowhere.lock"))
    with pytest.raises(ConfigError, match="No such file"):
        load()


@pytest.mark.parametrize("name", ["safeload.toml", "safeload.lock"])
def test_a_model_brings_neither_policy_nor_lock(project: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """With the model as working directory, what lies in it is refused as policy and as lock, and not left unread."""
    lock("m")
    text = (project / "safeload.lock").read_bytes() if name.endswith("lock") else b"version = 1\n"
    (project / "safeload.lock").unlink()
    write(project / "m" / name, text)
    load()
    monkeypatch.chdir(project / "m")
    with pytest.raises(ConfigError, match="own directory"):
        load(".")


# ── the hub ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def published(project: Path, hub: Hub) -> str:  # noqa: F811
    """The model on the hub, locked as `main`."""
    commit = hub.add("acme/demo", project / "m")
    lock("acme/demo")
    return commit


@pytest.mark.parametrize("revision", [None, "main"])
def test_the_locked_commit_loads_after_the_branch_moved(
    project: Path,
    hub: Hub,  # noqa: F811
    published: str,
    revision: str | None,
) -> None:
    """Whoever asks for no revision, or for the default branch, gets the one that is locked."""
    hub.add("acme/demo", {"config.json": b"{}"})
    admission = load("acme/demo", request=Request(revision=revision))
    assert admission.revision == published and admission.lock is not None


def test_a_directory_does_not_stand_in_for_a_locked_model(project: Path, hub: Hub, published: str) -> None:  # noqa: F811
    """A local path of the same name is refused; whoever means it says so by its path."""
    model(project / "acme/demo")
    assert "shadowed: " in denied("acme/demo")
    assert load("hf://acme/demo").lock is not None
    load("./acme/demo")
    (project / "safeload.lock").unlink()
    policy(project, '[[rule]]\nmatch = ["acme/*"]\nrequire = "locked"\n')
    assert "in no lock" in denied("acme/demo")
    load("./acme/demo")


def test_one_file_and_one_folder_of_a_locked_model(project: Path, hub: Hub) -> None:  # noqa: F811
    """A part of a locked model is checked as that part, on this machine and in the hub's cache."""
    model(project / "m/sub")
    lock("m")
    assert load("m/sub").lock is not None and load("m/model.safetensors").lock is not None
    flip(project / "m/sub/model.safetensors")
    assert "changed: model.safetensors" in denied("m/sub")
    lock("m/sub")
    assert load("m/sub").lock is not None
    assert "changed: sub/model.safetensors" in denied("m", request=Request(subfolder="sub"))
    flip(project / "m/model.safetensors")
    assert "changed: model.safetensors" in denied("m/model.safetensors")
    write(project / "m/other.safetensors", (project / "m/model.safetensors").read_bytes())
    assert "extra: other.safetensors" in denied("m/other.safetensors")
    hub.add("acme/demo", project / "m")
    lock("acme/demo")
    load("acme/demo")
    cached = next(Path(os.environ["HF_HOME"]).rglob("snapshots/*"))
    assert load(cached / "model.safetensors").lock is not None


def test_a_rule_for_a_path_holds_through_links(project: Path) -> None:
    """Neither a link to the model nor a link in the rule leads around it."""
    (project / "linked").symlink_to("m")
    (project / "place").symlink_to(".")
    for pattern in ("path:./m", "path:place/m", "path:./linked", "path:place/*"):
        policy(project, f'[[rule]]\nmatch = ["{pattern}"]\nrequire = "locked"\n')
        for reference in ("m", "linked", "place/m", "./place/linked", "m/model.safetensors"):
            assert "in no lock" in denied(reference), (pattern, reference)


def test_the_environment_takes_no_policy_of_the_user_away(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user's own file counts wherever `XDG_CONFIG_HOME` and `HOME` point."""
    import pwd

    home = tmp_path / "home"
    write(home / ".config/safeload/policy.toml", b'version = 1\n[defaults]\nrequire = "locked"\n')
    user = pwd.getpwuid(os.geteuid())
    changed = pwd.struct_passwd((*user[:5], str(home), user[6]))
    monkeypatch.setattr(pwd, "getpwuid", lambda _: changed)
    for name in ("XDG_CONFIG_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    assert "in no lock" in denied()


def test_what_cannot_be_looked_for_is_not_absent(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that may not be searched is an error: a policy may lie in it."""
    real = os.lstat

    def searched(path: Any, *more: Any, **named: Any) -> os.stat_result:
        if str(path) == layers.SYSTEM:
            raise PermissionError(13, "Permission denied", path)
        return real(path, *more, **named)

    monkeypatch.setattr(os, "lstat", searched)
    with pytest.raises(ConfigError, match="Permission denied"):
        load()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_somebody_elses_lock_in_a_common_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a directory that everybody may write, what somebody else put there is refused."""
    common = tmp_path / "common"
    model(common / "m")
    common.chmod(0o1777)
    monkeypatch.chdir(common)
    lock("m", options=Options(lock=common / "safeload.lock"))
    load("m")
    os.chown(common / "safeload.lock", 65533, -1)
    with pytest.raises(ConfigError, match="somebody else"):
        load("m")


def test_too_many_signatures_are_refused(project: Path) -> None:
    """A model that brings hundreds of bundles is refused before they are read one by one."""
    policy(project, "")
    for number in range(101):
        write(project / f"m/{number}.oms.sig", b"{}")
    with pytest.raises(SafeloadError, match="limit"):
        load()


def test_the_default_branch_is_not_the_tag_that_is_locked(project: Path, hub: Hub) -> None:  # noqa: F811
    """Who asks for `main` by name where a tag is locked gets no tag in its place: refused."""
    hub.add("acme/demo", project / "m", revision="v1")
    lock("acme/demo", revision="v1")
    flip(project / "m/model.safetensors")
    hub.add("acme/demo", project / "m")
    assert "revision: " in denied("acme/demo", request=Request(revision="main"))
    assert load("acme/demo").lock is not None


def test_another_spelling_is_the_same_entry(project: Path, hub: Hub, published: str) -> None:  # noqa: F811
    """Locking a model by other capitals does not make a second entry, which would stand beside the first."""
    hub.repositories["ACME/Demo"] = hub.repositories["acme/demo"]
    lock("ACME/Demo")
    text = (project / "safeload.lock").read_text()
    assert text.count("[[model]]") == 1
    load("acme/demo")


def test_a_model_locked_before_there_was_a_policy(project: Path) -> None:
    """The lock knows no signer: the signature beside the model is verified, and counts."""
    lock("m")
    policy(project, REQUIRE_A)
    assert "signers needed" in denied()
    signing.sign(project / "m", KEYS["a"])
    assert load().lock is not None


def test_a_moved_tag_is_refused(project: Path, hub: Hub) -> None:  # noqa: F811
    """A tag that is asked for by name, and is another commit than when it was locked."""
    hub.add("acme/demo", project / "m", revision="v1")
    lock("acme/demo", revision="v1")
    assert load("acme/demo", request=Request(revision="v1")).lock is not None
    flip(project / "m/model.safetensors")
    hub.add("acme/demo", project / "m", revision="v1")
    text = denied("acme/demo", request=Request(revision="v1"))
    assert "moved: v1 is " in text and "changed: model.safetensors" in text


def test_another_revision_is_refused(project: Path, hub: Hub, published: str) -> None:  # noqa: F811
    """Not the locked commit, asked for by its own name."""
    flip(project / "m/model.safetensors")
    other = hub.add("acme/demo", project / "m", revision="dev")
    assert f"revision: it is revision {other}" in denied("acme/demo", request=Request(revision="dev"))


def test_an_older_revision_is_a_downgrade(project: Path, hub: Hub, published: str) -> None:  # noqa: F811
    """The commit that the lock has left behind, though it was signed and locked once."""
    flip(project / "m/model.safetensors")
    hub.add("acme/demo", project / "m")
    lock("acme/demo", upgrade=True)
    assert "downgrade: " in denied("acme/demo", request=Request(revision=published))


def _answers_as(hub: Hub, name: str, commit: str) -> None:  # noqa: F811
    from tests.hubserver import _json

    for revision in ("main", "v1"):
        answer = _json({"_id": "0" * 24, "id": name, "sha": commit})
        hub.overrides[f"/api/models/acme/demo/revision/{revision}"] = answer


def test_a_renamed_namespace_is_refused(project: Path, hub: Hub) -> None:  # noqa: F811
    """A hub that answers with another name: refused wherever there is a policy, and if the lock does not know it."""
    commit = hub.add("acme/demo", project / "m", revision="v1")
    _answers_as(hub, "evil/demo", commit)
    assert any("evil/demo" in note for note in load("acme/demo", request=Request(revision="v1")).notes)
    policy(project, "")
    assert "renamed: " in denied("acme/demo", request=Request(revision="v1"))
    hub.overrides.clear()
    lock("acme/demo", revision="v1")
    _answers_as(hub, "evil/demo", commit)
    assert "renamed: " in denied("acme/demo", request=Request(revision="v1"))
    lock("acme/demo", revision="v1", upgrade=True)
    assert load("acme/demo", request=Request(revision="v1")).lock is not None


def test_a_namespace_that_was_registered_anew_is_refused(project: Path, hub: Hub, published: str) -> None:  # noqa: F811
    """Somebody else has the name, and not the commit that is locked."""
    import shutil

    shutil.rmtree(os.environ["HF_HOME"])
    del hub.repositories["acme/demo"]
    flip(project / "m/model.safetensors")
    hub.add("acme/demo", project / "m")
    with pytest.raises(SourceError) as caught:
        load("acme/demo")
    assert any("registered its name" in note for note in caught.value.__notes__)


def test_rules_are_for_the_name_the_hub_has(project: Path, hub: Hub, published: str) -> None:  # noqa: F811
    """Capitals, and the path into the cache, do not lead around the rule of a model."""
    (project / "safeload.lock").unlink()
    load("acme/demo")
    policy(project, '[[rule]]\nmatch = ["acme/*"]\nrequire = "locked"\n')
    hub.repositories["ACME/Demo"] = hub.repositories["acme/demo"]
    cached = next(Path(os.environ["HF_HOME"]).rglob("snapshots/*"))
    for reference in ("acme/demo", "ACME/Demo", cached, cached / "model.safetensors"):
        assert "in no lock" in denied(reference)


# ── signatures ──────────────────────────────────────────────────────────────────────────────────────────────────

REQUIRE_A = '[[rule]]\nmatch = ["path:./m"]\nrequire = { any = ["a"] }\n'


def test_a_model_that_its_signer_signed_loads(project: Path) -> None:
    """Signed by whom the policy names, and unsigned or signed by another one it does not load."""
    policy(project, REQUIRE_A)
    assert "signed by nobody we know" in denied()
    signing.sign(project / "m", KEYS["b"])
    assert "of the 1 signers needed (a)" in denied() and "b (key:" in denied()
    signing.sign(project / "m", KEYS["a"])
    admission = load()
    assert [one.signer for one in admission.signatures] == ["a"]
    assert "model.sig" not in {file.path for file in admission.files}


def test_a_signed_model_that_changed_is_refused_with_both_reasons(project: Path) -> None:
    """What differs from what was signed is told, also where no signature is asked for."""
    signing.sign(project / "m", KEYS["a"])
    flip(project / "m/model.safetensors")
    policy(project, "")
    assert "signature: model.sig does not fit: model.safetensors: changed" in denied()
    policy(project, REQUIRE_A)
    assert "signature: " in denied() and "signers needed" in denied()


def test_k_of_n_needs_k_bundles_of_different_signers(project: Path) -> None:
    """Two of three: one twice is not enough; two different ones are."""
    policy(project, '[[rule]]\nmatch = ["path:./m"]\nrequire = { threshold = 2, of = ["a", "b", "c"] }\n')
    signing.sign(project / "m", KEYS["a"])
    signing.sign(project / "m", KEYS["a"], "again.oms.sig")
    assert "1 of the 2 signers needed (a, b, c)" in denied()
    signing.sign(project / "m", KEYS["c"], "c.oms.sig")
    assert {one.signer for one in load().signatures} == {"a", "c"}


def test_a_store_of_signatures_for_models_of_others(project: Path, hub: Hub) -> None:  # noqa: F811
    """A model that its publisher did not sign loads if somebody whom the policy names signed it elsewhere."""
    commit = hub.add("acme/demo", project / "m")
    policy(project, '[[rule]]\nmatch = ["acme/*"]\nrequire = { any = ["a"] }\n')
    text = (
        (project / "safeload.toml").read_text().replace("version = 1\n", 'version = 1\nsignature-store = "sigs"\n', 1)
    )
    write(project / "safeload.toml", text)
    (project / "sigs").mkdir()
    assert "signed by nobody" in denied("acme/demo")
    files = {p.name: p.read_bytes() for p in (project / "m").iterdir()}
    signing.sign_files(files, KEYS["a"], project / f"sigs/acme--demo@{commit}.sig")
    assert [one.signer for one in load("acme/demo").signatures] == ["a"]
    lock("acme/demo")
    (project / f"sigs/acme--demo@{commit}.sig").unlink()
    assert load("acme/demo").lock is not None


def test_one_key_under_two_names_is_one_signer(project: Path) -> None:
    """A threshold of two is not met by giving the same key to two signers."""
    write(project / "keys/b.pub", signing.public(KEYS["a"]))
    policy(project, '[[rule]]\nmatch = ["path:./m"]\nrequire = { all = ["a", "b"] }\n')
    signing.sign(project / "m", KEYS["a"])
    assert "1 of the 2 signers" in denied()


def rotation(until: datetime.date, since: datetime.date, reverify: str = "") -> str:
    again = f'reverify = "{reverify}"\n' if reverify else ""
    return (
        f'version = 1\n[signers.acme]\ntype = "key"\n'
        f'keys = [{{ file = "keys/old.pub", not-after = {until} }},\n'
        f'        {{ file = "keys/new.pub", not-before = {since} }}]\n'
        f'[[rule]]\nmatch = ["path:./m"]\nrequire = {{ any = ["acme"] }}\n{again}'
    )


def test_rotation_with_overlap(project: Path) -> None:
    """While both keys count either signs; afterwards only the new one lets a model enter."""
    write(project / "safeload.toml", rotation(TODAY + DAY, TODAY - DAY))
    for name in ("old", "new"):
        signing.sign(project / "m", KEYS[name])
        load()
    write(project / "safeload.toml", rotation(TODAY - DAY, TODAY - DAY))
    load()
    signing.sign(project / "m", KEYS["old"])
    assert "counts only until" in denied()
    write(project / "safeload.toml", rotation(TODAY - DAY, TODAY + DAY))
    signing.sign(project / "m", KEYS["new"])
    assert "counts not before" in denied()


def test_a_key_that_ran_out_does_not_break_what_is_locked(project: Path) -> None:
    """Entering the lock needs a key that counts now; loading needs the entry. `reverify = "load"` asks again."""
    write(project / "safeload.toml", rotation(TODAY, TODAY + DAY))
    signing.sign(project / "m", KEYS["old"])
    lock("m")
    write(project / "safeload.toml", rotation(TODAY - DAY, TODAY - DAY))
    assert load().lock is not None
    with pytest.raises(PolicyDenied, match="counts only until"):
        lock("m")
    write(project / "safeload.toml", rotation(TODAY - DAY, TODAY - DAY, "load"))
    assert "counts only until" in denied()


def test_an_unsigned_model_does_not_enter_the_lock(project: Path) -> None:
    """The policy is asked when a model enters, and a refusal leaves no lock behind."""
    policy(project, REQUIRE_A)
    with pytest.raises(PolicyDenied, match="signers needed"):
        lock("m")
    assert not (project / "safeload.lock").exists()
    signing.sign(project / "m", KEYS["a"])
    lock("m")
    (project / "m/model.sig").unlink()
    assert load().lock is not None


REVOCATIONS = {
    "key": lambda entry: f'key = "{signing.fingerprint(KEYS["a"])}"',
    "signer": lambda entry: 'signer = "a"',
    "tree": lambda entry: f'tree = "{entry.tree}"',
    "file-sha256": lambda entry: f'file-sha256 = "{entry.digests["model.safetensors"]}"',
}


@pytest.mark.parametrize("kind", REVOCATIONS)
@pytest.mark.parametrize("locked", [True, False], ids=["locked", "not locked"])
def test_what_is_revoked_does_not_load(project: Path, kind: str, locked: bool) -> None:
    """Key, signer, tree or file: whatever else speaks for the model, and also where the policy only warns."""
    policy(project, '[defaults]\nmode = "warn"\n' + REQUIRE_A)
    signing.sign(project / "m", KEYS["a"])
    _, (done,) = lock("m")
    load()
    if not locked:
        (project / "safeload.lock").unlink()
    revoke = f"[[revoke]]\n{REVOCATIONS[kind](done.model)}\nreason = 'laptop stolen'\n"
    policy(project, '[defaults]\nmode = "warn"\n' + REQUIRE_A + revoke)
    assert f"revoked: {kind}:" in denied() and "laptop stolen" in denied()
    with pytest.raises(PolicyDenied, match="revoked"):
        lock("m", upgrade=True)
    policy(project, REQUIRE_A + revoke + f"since = {TODAY + DAY}\n")
    load()


# ── policy ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_rule_that_only_warns_tells_and_lets_pass(project: Path) -> None:
    """`mode = "warn"` makes a note of what would have been refused; differences stay refusals."""
    policy(project, '[defaults]\nmode = "warn"\nrequire = "locked"\n')
    assert any("policy warning: it is in no lock" in note for note in load().notes)
    lock("m")
    ATTACKS["changed"](project / "m")
    assert "changed: " in denied()


def test_a_rule_that_expired_refuses(project: Path) -> None:
    """An exception that ran out does not fall back to something else."""
    policy(project, f'[[rule]]\nmatch = ["path:./m"]\nexpires = {TODAY - DAY}\n')
    assert "expired on" in denied()
    policy(project, f'[[rule]]\nmatch = ["path:./m"]\nexpires = {TODAY}\n')
    load()


SETTINGS = {
    'formats = ["gguf"]': "formats are gguf",
    'require = "locked"': "in no lock",
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_settings_are_enforced(project: Path, setting: str) -> None:
    """Each setting of a policy refuses with its own reason, which names the file and the part of it."""
    policy(project, f"[defaults]\n{setting}\n")
    text = denied()
    assert SETTINGS[setting] in text and "safeload.toml » defaults" in text


@pytest.mark.parametrize(("setting", "loads"), [("deny", False), ("restricted", True), ("convert", True)])
def test_pickles(project: Path, setting: str, loads: bool) -> None:
    """`deny` refuses every pickle, `restricted` those that name anything outside the allowlist."""
    model(project / "p", pickle=True)
    policy(project, f'[defaults]\npickle = "{setting}"\n')
    if loads:
        load("p")
    else:
        assert "is a pickle" in denied("p")


def test_integrity_is_the_strictest_that_anybody_asks_for(project: Path) -> None:
    """A policy can ask for private copies; the caller cannot ask for less."""
    policy(project, '[defaults]\nintegrity = "private"\n')
    with admit("m", options=Options(integrity="auto")) as admission:
        weights = (admission.path / "model.safetensors").resolve()
    assert weights != (project / "m/model.safetensors").resolve()


def test_a_nearer_layer_can_only_tighten(project: Path, tmp_path: Path) -> None:
    """System, user, project: each must allow, and a project's rule does not loosen theirs."""
    strict, lax = '[defaults]\nrequire = "locked"\n', '[defaults]\nrequire = "none"\nmode = "warn"\n'
    for first in ("etc/policy.toml", "config/safeload/policy.toml"):
        path = write(tmp_path / first, f"version = 1\n{strict}")
        policy(project, lax)
        assert "in no lock" in denied() and str(path) in denied()
        assert "in no lock" in denied(policy=AllOf((NothingWorseThan(),)))
        assert "in no lock" in denied(policy=policy(project, lax, "other.toml"))
        path.unlink()
        load()


def test_a_project_does_not_become_the_signer_of_another_layer(project: Path, tmp_path: Path) -> None:
    """A signer of the same name in the project's file is somebody else, and so is what the project's lock says."""
    write(tmp_path / "etc/keys/a.pub", signing.public(KEYS["a"]))
    policy(tmp_path / "etc", '[defaults]\nrequire = { any = ["a"] }\n', "policy.toml")
    for name in "bc":
        write(tmp_path / f"etc/keys/{name}.pub", signing.public(KEYS[name]))
    write(project / "keys/a.pub", signing.public(KEYS["old"]))
    policy(project, REQUIRE_A)
    signing.sign(project / "m", KEYS["old"])
    assert "(system:a)" in denied()
    signing.sign(project / "m", KEYS["a"], "theirs.oms.sig")
    load()
    lock("m")
    (project / "m/theirs.oms.sig").unlink()
    assert "(system:a)" in denied()


BROKEN = {
    "no TOML": lambda p: write(p, b"version = "),
    "empty": lambda p: write(p, b""),
    "unknown key": lambda p: write(p, b"version = 1\nrequires = 1\n"),
    "a directory": lambda p: p.mkdir(),
    "a link to nowhere": lambda p: p.symlink_to("nowhere"),
    "anybody may write it": lambda p: write(p, b"version = 1\n").chmod(0o666),
    "a missing key": lambda p: write(
        p, b'version = 1\n[signers.x]\ntype = "key"\nkeys = [{ file = "no.pub" }]\n[defaults]\nrequire = "none"\n'
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("place", ["project/safeload.toml", "config/safeload/policy.toml", "etc/policy.toml"])
def test_a_wrong_policy_file_never_means_allowed(project: Path, tmp_path: Path, fault: str, place: str) -> None:
    """Whatever is wrong with a file, in whichever layer: `ConfigError` that names it, and no load."""
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    BROKEN[fault](path)
    with pytest.raises(ConfigError) as caught:
        load()
    assert str(path) in str(caught.value.where) and caught.value.remedy


def test_a_policy_that_was_named_must_be_there(project: Path) -> None:
    """A missing file is an error, never the absence of a policy."""
    with pytest.raises(ConfigError, match="No such file"):
        load(policy="nowhere.toml")


def test_no_variable_of_the_environment_chooses_a_policy(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is none to set: a strict project stays strict."""
    policy(project, '[defaults]\nrequire = "locked"\n')
    lax = write(project / "lax.toml", "version = 1\n")
    for name in ("SAFELOAD_POLICY", "SAFELOAD_CONFIG", "SAFELOAD_TOML"):
        monkeypatch.setenv(name, str(lax))
    assert "in no lock" in denied()


def test_a_second_load_asks_again(project: Path) -> None:
    """A model that safeload remembers is refused as soon as the policy changes."""
    age(project / "m")
    load()
    policy(project, '[defaults]\nrequire = "locked"\n')
    assert "in no lock" in denied()


def test_the_base_of_an_adapter_has_the_same_policy(project: Path) -> None:
    """An adapter that is locked stands on a base that is not: refused."""
    from tests.engine.test_admit import adapter

    adapter(project / "ad", project / "m")
    policy(project, '[defaults]\nrequire = "locked"\n')
    lock("ad")
    with pytest.raises(PolicyDenied, match="in no lock") as caught:
        load("ad")
    assert any("base model" in note for note in caught.value.__notes__)
    lock("m")
    load("ad")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_one_changed_byte_of_the_lock_never_loads_another_model(project: Path, name: str) -> None:
    """Change the model, then any digit of its digest in the lock: still no load."""
    lock("m")
    flip(project / "m" / name)
    good = (project / "safeload.lock").read_bytes()
    for at in range(0, len(good), 37):
        write(project / "safeload.lock", good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.raises(SafeloadError):
            load()
