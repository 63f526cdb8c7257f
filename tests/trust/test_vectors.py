"""The specification's vectors and the bundles of four past releases verify, or fail, as they should."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from safeload.core.errors import UsageError
from safeload.engine.verify import examine
from safeload.trust.signers import Signer
from safeload.trust.signers.certificate import CertificateSigner
from safeload.trust.signers.key import DatedKey, KeySigner
from safeload.trust.signers.keyless import KeylessSigner, newest_key
from tests.architecture.source import ROOT

OMS = ROOT / "tests/data/oms"
KEYS = OMS / "historical/keys"
NOW = datetime(2026, 6, 1, tzinfo=UTC)
RELEASES = ("v0.3.1", "v1.0.0", "v1.0.1", "v1.1.0")
ISSUER, WHO = "https://sigstore.verify.ibm.com/oauth2", "stefanb@us.ibm.com"


def trusted_root() -> bytes:
    """The production root that `sigstore` brings along; a user would pin their own copy."""
    found = importlib.util.find_spec("sigstore")
    assert found is not None and found.origin is not None
    return next(Path(found.origin).parent.glob("_store/*tuf-repo-cdn.sigstore.dev/trusted_root.json")).read_bytes()


def keyless(**options: object) -> KeylessSigner:
    root = trusted_root()
    given = {"identity": WHO, "issuer": ISSUER, "trusted_root_sha256": hashlib.sha256(root).hexdigest(), **options}
    return KeylessSigner("ibm", trusted_root_json=root, **given)


def signer(method: str) -> Signer:
    if method == "elliptic-key":
        return KeySigner("upstream", (DatedKey((KEYS / "signing-key-pub.pem").read_bytes()),))
    if method == "certificate":
        return CertificateSigner("upstream", ((KEYS / "ca-cert.pem").read_bytes(),), {"CN": "intermediate-ca"})
    return keyless()


@pytest.mark.parametrize("method", ["elliptic-key", "certificate", "sigstore"])
@pytest.mark.parametrize("release", RELEASES)
def test_what_past_releases_signed_verifies(release: str, method: str) -> None:
    """Every method of every release, offline. In 1.0.1's models lies a file that nobody signed: it is extra there."""
    folder = OMS / "historical" / f"{release}-{method}"
    found = examine(folder, signers=[signer(method)], now=NOW)
    if release == "v1.0.1":
        assert [(one.path, one.kind) for one in found.report.mismatches] == [("ignore-me", "extra")]
    else:
        assert found.ok and {"signme-1"} <= found.signatures[0].covers <= {"signme-1", "signme-2"}
        assert "ignore-me" not in found.signatures[0].covers


@pytest.mark.parametrize("method", ["elliptic-key", "certificate", "sigstore"])
@pytest.mark.parametrize("release", RELEASES)
def test_what_past_releases_signed_fails_when_changed(tmp_path: Path, release: str, method: str) -> None:
    """One other byte in a file, and nothing verifies."""
    for file in (OMS / "historical" / f"{release}-{method}").iterdir():
        if file.name != "ignore-me":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    path = tmp_path / "signme-1"
    path.write_bytes(path.read_bytes() + b"!")
    # The only file of a model that was signed as `.` keeps its name: that is in the subject.
    found = examine(tmp_path, signers=[signer(method)], now=NOW)
    assert not found.ok and [(one.path, one.kind) for one in found.report.mismatches] == [("signme-1", "changed")]


@pytest.mark.parametrize("name", ["key", "certificate", "sigstore"])
def test_the_valid_vectors_have_the_form(name: str, tmp_path: Path) -> None:
    """Those whose signer we know verify over the files they are for; in the others nothing but the signer is wrong."""
    bundle = OMS / f"spec-v1.0/valid/{name}.bundle.json"
    folder = tmp_path / "model"
    folder.mkdir()
    source = "v1.1.0-sigstore" if name == "sigstore" else "v1.1.0-elliptic-key"
    for file in ("signme-1", "signme-2", "ignore-me"):
        (folder / file).write_bytes((OMS / "historical" / source / file).read_bytes())
    known = {"key": "elliptic-key", "certificate": "certificate", "sigstore": "sigstore"}[name]
    assert examine(folder, signers=[signer(known)], bundles=[str(bundle)], now=NOW).ok


@pytest.mark.parametrize("path", sorted((OMS / "spec-v1.0").glob("invalid*/*.json")), ids=lambda path: path.stem)
def test_the_invalid_vectors_fail(path: Path) -> None:
    """None of them verifies for anybody, and each reason is said."""
    signers = [signer(method) for method in ("elliptic-key", "certificate", "sigstore")]
    found = examine(OMS / "historical/v1.1.0-elliptic-key", signers=signers, bundles=[str(path)], now=NOW)
    assert not found.ok and found.report.failures[0].why


FOLDER = OMS / "historical/v1.1.0-sigstore"


@pytest.mark.parametrize(
    "options",
    [{"identity": "evil@us.ibm.com"}, {"issuer": "https://accounts.google.com"}, {"identity": "", "workflow": "*"}],
)
def test_a_keyless_signature_of_somebody_else_fails(options: dict[str, str]) -> None:
    """Account and issuer must both be the ones that are meant."""
    found = examine(FOLDER, signers=[keyless(**options)], now=NOW)
    assert not found.ok and found.report.failures[0].signers["ibm"]


def test_a_keyless_signer_pins_its_root() -> None:
    """A root that is another file, or too old for the policy, or names nobody, is an error and never a denial."""
    with pytest.raises(UsageError, match="trusted root"):
        keyless(trusted_root_sha256="0" * 64)
    with pytest.raises(UsageError, match="not named"):
        keyless(identity="")
    with pytest.raises(UsageError, match="too old"):
        examine(
            FOLDER, signers=[keyless(max_root_age=timedelta(days=1))], now=newest_key(trusted_root()) + timedelta(2)
        )
    age = timedelta(days=90)
    assert examine(FOLDER, signers=[keyless(max_root_age=age)], now=newest_key(trusted_root()) + age).ok


def test_without_the_library_a_keyless_signature_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not skipped and not a failure among others: the error has the command that installs it."""
    trusted = keyless()
    monkeypatch.setitem(sys.modules, "sigstore", None)
    with pytest.raises(UsageError, match="keyless") as missing:
        examine(FOLDER, signers=[trusted], now=NOW)
    assert "safeload[sigstore]" in missing.value.remedy
