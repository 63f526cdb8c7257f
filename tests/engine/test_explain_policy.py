"""`safeload policy` and `safeload diff`: what they say, and that it is what loading does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from safeload.cli.main import main
from safeload.core.errors import ConfigError, PolicyDenied, SourceError, UsageError
from safeload.engine.admit import admit
from safeload.engine.diff import Change, diff
from safeload.engine.explain_policy import check, explain_policy, init
from safeload.engine.lock import lock
from safeload.trust.layers import read_policy
from tests.engine import signing
from tests.engine.models import write
from tests.engine.test_enforce import ATTACKS, KEYS, REQUIRE_A, flip, policy, project  # noqa: F401  (a fixture)
from tests.hubserver import Hub, hub  # noqa: F401  (a fixture)


@pytest.mark.parametrize("strict", [True, False])
def test_a_policy_to_begin_with(project: Path, strict: bool) -> None:  # noqa: F811
    """What `init` writes can be read, and is never written over something."""
    path = init(strict=strict)
    assert path == str(project / "safeload.toml")
    assert read_policy(path).defaults.require.locked is strict
    before = Path(path).read_bytes()
    with pytest.raises(UsageError, match="there is one already"):
        init(strict=not strict)
    assert Path(path).read_bytes() == before
    with pytest.raises(SourceError):
        init(project / "nowhere/safeload.toml")


def test_the_strict_policy_is_strict(project: Path) -> None:  # noqa: F811
    """An unlocked model does not load with it, a locked one does, a pickled one never."""
    init(strict=True)
    with pytest.raises(PolicyDenied, match="in no lock"):
        admit("m")
    lock("m")
    admit("m").close()


def admitted_files(reference: str) -> set[str]:
    with admit(reference) as admission:
        return {file.path for file in admission.files}


def test_the_plain_policy_changes_nothing(project: Path) -> None:  # noqa: F811
    """What loads without a policy loads with the one to begin with."""
    before = admitted_files("m")
    init()
    assert before and admitted_files("m") == before


STATES = {
    "no policy": lambda folder: None,
    "locked": lambda folder: lock("m"),
    "requires a lock": lambda folder: policy(folder, '[defaults]\nrequire = "locked"\n'),
    "requires a signer": lambda folder: policy(folder, REQUIRE_A),
    "signed": lambda folder: (policy(folder, REQUIRE_A), signing.sign(folder / "m", KEYS["a"])),
    "signed by another": lambda folder: (policy(folder, REQUIRE_A), signing.sign(folder / "m", KEYS["b"])),
    "signed and changed": lambda folder: (
        policy(folder, REQUIRE_A),
        signing.sign(folder / "m", KEYS["a"]),
        ATTACKS["changed"](folder / "m"),
    ),
    "locked and changed": lambda folder: (lock("m"), ATTACKS["changed"](folder / "m")),
    "locked and extra": lambda folder: (lock("m"), ATTACKS["extra"](folder / "m")),
    "revoked": lambda folder: (lock("m"), policy(folder, REQUIRE_A + '[[revoke]]\nsigner = "a"\n')),
    "signed and revoked": lambda folder: (
        signing.sign(folder / "m", KEYS["a"]),
        policy(folder, '[[revoke]]\nsigner = "a"\n'),
    ),
}


@pytest.mark.parametrize("state", STATES)
def test_what_is_explained_is_what_happens(project: Path, state: str) -> None:  # noqa: F811
    """`explain` says that a model may load exactly where it does; where not, it gives the same kinds of reasons."""
    STATES[state](project)
    said = explain_policy("m")
    try:
        admit("m").close()
    except PolicyDenied as denied:
        assert not said.verdict.allowed and said.missing
        kinds = {reason.message.partition(":")[0] for reason in said.missing}
        assert kinds == {reason.message.partition(":")[0] for reason in denied.verdict.denials()}
    else:
        assert said.verdict.allowed and not said.missing


def test_explaining_tells_rule_signer_and_remedy(project: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    """Which part of which file applies, who really signed, and what to do next; nothing foreign is printed raw."""
    policy(project, REQUIRE_A.replace("./m", "./m*"))
    (project / "m").rename(project / "m\x1b")
    signing.sign(project / "m\x1b", KEYS["b"])
    assert main(["policy", "explain", "m\x1b"]) == 1
    out = capsys.readouterr().out
    for text in (
        "rule[0]",
        "require 1 of a",
        f"signed by b (key:{signing.fingerprint(KEYS['b'])}",
        "next: ",
        "refuses",
    ):
        assert text in out
    assert "\x1b" not in out
    assert main(["policy", "explain", "m\x1b", "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["layers"][0]["settings"]["require"] == "1 of a" and not data["verdict"]["allowed"]


def test_a_model_on_the_hub_is_explained_without_its_weights(project: Path, hub: Hub) -> None:  # noqa: F811
    """Small files only are fetched."""
    hub.add("acme/demo", project / "m")
    said = explain_policy("acme/demo")
    assert said.names == ("acme/demo",) and "model.safetensors" not in hub.fetched


def test_checking_reads_everything(project: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    """Every policy and lock that counts here is named; one that cannot be used is an error."""
    assert main(["policy", "check"]) == 0
    policy(project, "")
    lock("m")
    policies, locks = check()
    assert [one.layer for one in policies] == ["project"] and locks == (str(project / "safeload.lock"),)
    assert main(["policy", "check"]) == 0 and "3 signers" in capsys.readouterr().out
    policy(project, '[[suppress]]\nrule = "pickle-no-such-rule"\n')
    with pytest.raises(ConfigError, match="suppress"):
        check()
    policy(project, "")
    write(project / "safeload.lock", b"junk")
    with pytest.raises(ConfigError):
        check()
    assert main(["policy", "check"]) == 2


def test_a_diff_names_each_file(project: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    """Changed, new and gone files, and the tree; nothing, and code 0, for equal models."""
    import shutil

    shutil.copytree(project / "m", project / "n")
    assert [one.what for one in diff("m", "n")] == []
    for attack in ("changed", "extra", "missing"):
        ATTACKS[attack](project / "n")
    changes = {one.what: one for one in diff("m", "n")}
    assert set(changes) == {"tree", "model.safetensors", "modeling_evil.py", "vocab.txt"}
    assert not changes["modeling_evil.py"].before and not changes["vocab.txt"].after
    assert main(["diff", "m", "n"]) == 1 and "+ " in capsys.readouterr().out
    assert main(["diff", "m", "m", "--json"]) == 0


def test_locks_are_compared_with_locks_and_with_models(project: Path) -> None:  # noqa: F811
    """Two locks in all their models, and a lock with one of its models."""
    lock("m")
    write(project / "old.lock", (project / "safeload.lock").read_bytes())
    assert diff("old.lock", "safeload.lock") == () and diff("safeload.lock", "m") == ()
    flip(project / "m/model.safetensors")
    assert {one.what for one in diff("safeload.lock", "m")} == {"tree", "model.safetensors"}
    lock("m", upgrade=True)
    lock("keys")
    found = diff("old.lock", "safeload.lock")
    assert {(one.model, one.what) for one in found} == {("m", "tree"), ("m", "model.safetensors"), ("keys", "model")}
    assert all(isinstance(one, Change) for one in found)
    with pytest.raises(UsageError, match="does not name"):
        diff("old.lock", "keys")


KERNEL = f"""
[[kernel]]
repository = "org/k"
revision = "{"1" * 40}"
variant = "torch-cpu"
digest = "h1:{"A" * 43}="
"""


def test_what_code_needs_is_explained(project: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    """Criteria, auditors, how many, and what the tripwire lets through, as text and as data; with `deny` none of it."""
    assert main(["policy", "explain", "m"]) == 0
    wanted = {
        "remote-code": "audited",
        "criteria": "safe-to-deploy",
        "min-auditors": "2",
        "auditors": "a, b",
        "capabilities": "file-read, network",
        "kernels": "org/k@" + "1" * 40 + " torch-cpu",
    }
    code = '[defaults]\ncriteria = "safe-to-deploy"\nmin-auditors = 2\nauditors = ["b", "a"]\n'
    policy(project, f'{code}[remote-code]\ncapabilities = ["network", "file-read"]\n{KERNEL}')
    capsys.readouterr()
    assert main(["policy", "explain", "m"]) == 0
    text = capsys.readouterr().out
    assert all(f"{key} {value}" in text for key, value in wanted.items())
    assert main(["policy", "explain", "m", "--json"]) == 0
    (layer,) = json.loads(capsys.readouterr().out)["layers"]
    assert layer["settings"].items() >= wanted.items()
    policy(project, '[defaults]\nremote-code = "deny"\n')
    assert main(["policy", "explain", "m"]) == 0
    assert "min-auditors" not in (text := capsys.readouterr().out) and "remote-code deny" in text
    policy(project, "")
    assert main(["policy", "explain", "m"]) == 0
    text = capsys.readouterr().out
    assert "auditors anybody, signed or not" in text and "capabilities not watched" in text and "kernels none" in text
    policy(project, '[remote-code]\nkernels = "deny"\n')
    assert main(["policy", "explain", "m"]) == 0
    assert "kernels denied" in capsys.readouterr().out


def test_a_policy_to_begin_with_names_what_can_be_said_of_code(project: Path) -> None:  # noqa: F811
    """Each commented line of code is one that the reader of policies takes."""
    text = Path(init()).read_text()
    assert all(
        word in text for word in ("criteria", "min-auditors", "# auditors", "# [remote-code]", "deserialisation")
    )
    lines = [line.removeprefix("# ") for line in text.splitlines()]
    table = lines[lines.index("[remote-code]") : lines.index("[remote-code]") + 3]
    policy(project, "\n".join(table) + "\n")
    read = read_policy(str(project / "safeload.toml"))
    assert read.capabilities == frozenset() and read.kernels.denied
