"""`safeload keys`, `sign` and `verify`: what they print, what they refuse, and with which exit code."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from safeload.cli.main import main
from tests.trust.signing import authority, key


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration of this test's own, and a working directory without a policy."""
    config = tmp_path / "config"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(config))
    monkeypatch.chdir(tmp_path)
    return config / "safeload" / "keys"


@pytest.fixture
def word(tmp_path: Path) -> str:
    path = tmp_path / "passphrase"
    path.write_text("correct horse\n")
    return str(path)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def said(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_a_new_key_is_encrypted_and_for_nobody_else(home: Path, word: str) -> None:
    """The private half needs its passphrase, and only its owner may read it; the directory likewise."""
    assert main(["keys", "new", "acme", "--passphrase-file", word]) == 0
    assert b"ENCRYPTED" in (home / "acme.pem").read_bytes()
    assert stat.S_IMODE(os.stat(home / "acme.pem").st_mode) == 0o600 and stat.S_IMODE(os.stat(home).st_mode) == 0o700
    assert main(["keys", "new", "plain", "--unsafe-no-passphrase"]) == 0
    assert b"ENCRYPTED" not in (home / "plain.pem").read_bytes()


def test_a_key_is_never_overwritten(home: Path, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither by a new one nor by one that is imported; half of a key is a key."""
    assert main(["keys", "new", "acme", "--passphrase-file", word]) == 0
    before = (home / "acme.pem").read_bytes()
    assert main(["keys", "new", "acme", "--passphrase-file", word]) == 2
    assert main(["keys", "import", "acme", str(home / "acme.pub")]) == 2
    (home / "acme.pub").unlink()
    assert main(["keys", "new", "acme", "--passphrase-file", word]) == 2
    assert (home / "acme.pem").read_bytes() == before and "already" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b", "x.pem", "é", "-x"])
def test_a_name_is_a_name(name: str, word: str, home: Path) -> None:
    """What could be a path is no name, and nothing is written."""
    assert main(["keys", "new", "--passphrase-file", word, "--", name]) == 2
    assert not home.exists()


def test_a_passphrase_comes_from_a_file_or_a_terminal(tmp_path: Path, home: Path) -> None:
    """Without either, with an empty one, or with a file that is not there, no key is made."""
    (tmp_path / "empty").write_text("\n")
    assert main(["keys", "new", "acme"]) == 2
    assert main(["keys", "new", "acme", "--passphrase-file", "empty"]) == 2
    assert main(["keys", "new", "acme", "--passphrase-file", "nowhere"]) == 2
    assert not home.exists() and main(["keys", "list"]) == 0


def test_keys_are_listed_shown_exported_and_imported(
    home: Path, word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A public half that was exported and imported under another name is the same key, and cannot sign."""
    main(["keys", "new", "acme", "--passphrase-file", word])
    capsys.readouterr()
    assert main(["keys", "export", "acme"]) == 0
    (tmp_path / "acme.pub").write_text(capsys.readouterr().out)
    assert main(["keys", "import", "friend", "acme.pub"]) == 0
    capsys.readouterr()
    assert main(["keys", "list", "--json"]) == 0
    ours, friend = said(capsys)["keys"]
    assert ours["fingerprint"] == friend["fingerprint"] and ours["private"] and not friend["private"]
    assert main(["keys", "show", "friend", "--json"]) == 0 and said(capsys)["curve"] == "secp256r1"
    assert main(["keys", "list"]) == 0 and "public half only" in capsys.readouterr().out
    assert main(["keys", "show", "nobody"]) == 2


def test_sign_and_verify(model: Path, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Signed and unchanged is 0; changed is 1, with every file; nobody trusted is 2."""
    main(["keys", "new", "acme", "--passphrase-file", word])
    assert main(["sign", "model", "--key", "acme", "--passphrase-file", word]) == 0
    assert "model.sig" in capsys.readouterr().out
    assert main(["verify", "model", "--key", "acme"]) == 0
    assert "covers 2 of 2" in capsys.readouterr().out
    assert main(["verify", "model"]) == 2
    (model / "config.json").write_text("[]")
    (model / "evil\x1b.py").write_text("")
    assert main(["verify", "model", "--key", "acme"]) == 1
    shown = capsys.readouterr().out
    assert "changed  config.json" in shown and "extra    evil\\x1b.py" in shown and "\x1b" not in shown
    assert main(["verify", "model", "--key", "acme", "--json"]) == 1
    data = said(capsys)
    assert data["ok"] is False and {one["kind"] for one in data["failures"][0]["mismatches"]} == {"changed", "extra"}


def test_the_policy_names_who_is_trusted(model: Path, word: str, tmp_path: Path, home: Path) -> None:
    """Without signers by hand, those of the policy count; and what it revokes counts for nothing."""
    main(["keys", "new", "acme", "--passphrase-file", word])
    main(["sign", "model", "--key", "acme", "--passphrase-file", word])
    (tmp_path / "acme.pub").write_bytes((home / "acme.pub").read_bytes())
    policy = 'version = 1\n[signers.acme]\ntype = "key"\nkeys = [{ file = "acme.pub" }]\n'
    (tmp_path / "safeload.toml").write_text(policy)
    assert main(["verify", "model"]) == 0
    (tmp_path / "safeload.toml").write_text(policy + '[[revoke]]\nsigner = "acme"\nreason = "gone"\n')
    assert main(["verify", "model"]) == 1
    (tmp_path / "safeload.toml").write_text("version = ")
    assert main(["verify", "model"]) == 2


def test_a_wrong_passphrase_signs_nothing(model: Path, word: str, tmp_path: Path) -> None:
    """No half-written bundle, and an error that says so; a key that others may read is not used."""
    main(["keys", "new", "acme", "--passphrase-file", word])
    (tmp_path / "wrong").write_text("wrong\n")
    assert main(["sign", "model", "--key", "acme", "--passphrase-file", "wrong"]) == 2
    assert main(["sign", "model", "--key", "acme"]) == 2
    os.chmod(tmp_path / "config/safeload/keys/acme.pem", 0o644)
    assert main(["sign", "model", "--key", "acme", "--passphrase-file", word]) == 2
    assert main(["sign", "model", "--key", "nobody"]) == 2
    assert main(["sign", "model"]) == 2
    assert sorted(os.listdir(model)) == ["config.json", "model.safetensors"]


def test_half_a_key_cannot_sign(model: Path, home: Path, word: str) -> None:
    """A public half that was imported verifies, and an attempt to sign with it is an error."""
    main(["keys", "new", "acme", "--passphrase-file", word])
    (home / "acme.pem").unlink()
    assert main(["sign", "model", "--key", "acme", "--passphrase-file", word]) == 2


def test_a_disk_that_is_full_leaves_no_half_of_a_key(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be written whole is removed, so that the name stays free."""

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert main(["keys", "new", "acme", "--unsafe-no-passphrase"]) == 2
    assert os.listdir(home) == []


def _pem(private: Any, form: Any = serialization.PrivateFormat.PKCS8) -> bytes:
    none = serialization.NoEncryption()
    made: bytes = private.private_bytes(serialization.Encoding.PEM, form, none)
    return made


@pytest.mark.parametrize(
    ("pem", "words"),
    [
        (b"", "no private key"),
        (_pem(key())[:60], "no private key"),
        (_pem(key()).replace(b"MI", b"XX"), "no private key"),
        (_pem(ed25519.Ed25519PrivateKey.generate()), "not of a kind"),
    ],
)
def test_a_key_that_is_none_signs_nothing(
    model: Path, tmp_path: Path, pem: bytes, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Empty, cut, damaged or of another kind: one clean error."""
    (tmp_path / "key.pem").write_bytes(pem)
    assert main(["sign", "model", "--key", "key.pem"]) == 2
    assert words in capsys.readouterr().err and not (model / "model.sig").exists()


def test_keys_of_openssl_work_as_they_are(model: Path, tmp_path: Path) -> None:
    """A key in either of the two forms that openssl writes signs, and its public half verifies."""
    for number, form in enumerate((serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL)):
        (tmp_path / "key.pem").write_bytes(_pem(key(), form))
        options = ["--overwrite"] if number else []
        assert main(["sign", "model", "--key", "key.pem", *options]) == 0
    public = (
        key().public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    (tmp_path / "key.pub").write_bytes(public)
    assert main(["verify", "model", "--key", "key.pub"]) == 0
    assert main(["verify", "model", "--key", "key.pem"]) == 2  # the private half has no business there


def test_somebody_else_holds_the_key(model: Path, tmp_path: Path) -> None:
    """Emit, sign with openssl, attach: the bundle verifies. Half of the options is a mistake."""
    (tmp_path / "key.pem").write_bytes(_pem(key()))
    public = (
        key().public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    (tmp_path / "key.pub").write_bytes(public)
    assert main(["sign", "model", "--emit-pae", "model.pae"]) == 0
    assert not (model / "model.sig").exists()
    command = ["openssl", "dgst", "-sha256", "-sign", "key.pem", "-out", "model.der", "model.pae"]
    subprocess.run(command, check=True, cwd=tmp_path)
    attach = ["sign", "model", "--attach-signature", "model.der", "--pae", "model.pae", "--key", "key.pub"]
    assert main(attach[:-2]) == 2 and main(attach[:4]) == 2
    assert main(attach) == 0 and main(["verify", "model", "--key", "key.pub"]) == 0


def test_certificates_by_hand(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Roots need a subject; the wrong subject, or subject without roots, is not accepted."""
    leaf = authority().leaf(since="2020-01-01", until="2040-01-01")
    (tmp_path / "key.pem").write_bytes(_pem(key()))
    (tmp_path / "chain.pem").write_bytes(x509.load_der_x509_certificate(leaf).public_bytes(serialization.Encoding.PEM))
    (tmp_path / "root.pem").write_bytes(authority().pem())
    assert main(["sign", "model", "--key", "key.pem", "--certificate", "chain.pem"]) == 0
    assert main(["verify", "model", "--roots", "root.pem", "--subject", "O=ACME", "--subject", "CN=Release *"]) == 0
    assert main(["verify", "model", "--roots", "root.pem", "--subject", "O=Other"]) == 1
    assert main(["verify", "model", "--roots", "root.pem"]) == 2
    assert main(["verify", "model", "--roots", "root.pem", "--subject", "O"]) == 2
    assert main(["verify", "model", "--subject", "O=ACME"]) == 2
    assert main(["verify", "model", "--identity", "a@b"]) == 2
    assert "identity" in capsys.readouterr().err
