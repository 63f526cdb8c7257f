"""Both ways with the reference tool of OpenSSF Model Signing: it verifies what we sign, and we verify what it signs.

    python tools/interop_oms.py --reference build/interop/bin/python

The reference tool (`model-signing`, with `pyOpenSSL`, which it imports and does not ask for) stands in a virtual
environment of its own: `make interop` makes it. What either side must refuse is tried as well.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CURVES = {"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1()}
FILES = {"config.json": b"{}", "model.safetensors": b"weights" * 1000, "sub/vocab.txt": b"words", "empty": b""}
API = """
import sys
from model_signing import hashing, signing
config = hashing.Config()
getattr(config, "use_%s_serialization" % sys.argv[1])(hashing_algorithm=sys.argv[2])
if sys.argv[1] == "shard":
    config.use_shard_serialization(hashing_algorithm=sys.argv[2], shard_size=1000)
signer = signing.Config().use_elliptic_key_signer(private_key=sys.argv[3])
signer.set_hashing_config(config).sign(sys.argv[4], sys.argv[5])
"""


class Bench:
    """A directory with keys, certificates and models, and the two tools."""

    def __init__(self, folder: Path, reference: Path) -> None:
        self.folder = folder
        self.reference = reference
        self.failed = 0
        self.done = 0

    def model(self, name: str) -> Path:
        """A fresh model."""
        where = self.folder / name
        for path, data in FILES.items():
            (where / path).parent.mkdir(parents=True, exist_ok=True)
            (where / path).write_bytes(data)
        return where

    def theirs(self, *arguments: str | Path) -> int:
        return self._run([self.reference.with_name("model_signing"), "--log-level", "ERROR", *arguments])

    def theirs_by_api(self, *arguments: str | Path) -> int:
        return self._run([self.reference, "-c", API, *arguments])

    def ours(self, *arguments: str | Path) -> int:
        return self._run([sys.executable, "-m", "safeload", *arguments])

    def _run(self, command: list[str | Path]) -> int:
        done = subprocess.run([os.fspath(part) for part in command], capture_output=True, text=True, timeout=120)
        self.last = done.stdout + done.stderr
        return done.returncode

    def expect(self, what: str, code: int, *, accepted: bool) -> None:
        good = (code == 0) is accepted
        self.done += 1
        self.failed += not good
        sys.stdout.write(f"{'ok  ' if good else 'FAIL'} {what}: {'accepted' if code == 0 else 'refused'}\n")
        if not good:
            sys.stdout.write(self.last)

    def keys(self) -> None:
        """One key for each curve, and a chain of three certificates."""
        for name, curve in CURVES.items():
            private = ec.generate_private_key(curve)
            (self.folder / f"{name}.pem").write_bytes(_private(private))
            form = serialization.PublicFormat.SubjectPublicKeyInfo
            (self.folder / f"{name}.pub").write_bytes(
                private.public_key().public_bytes(serialization.Encoding.PEM, form)
            )
        root, between, leaf = (ec.generate_private_key(ec.SECP384R1()) for _ in range(3))
        made = [
            ("root", _certificate("Root", "Root", root, root, ca=True)),
            ("intermediate", _certificate("Intermediate", "Root", between, root, ca=True)),
            ("leaf", _certificate("Release 1", "Intermediate", leaf, between, ca=False)),
        ]
        for name, certificate in made:
            (self.folder / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (self.folder / "leaf.pem").write_bytes(_private(leaf))
        chain = [(self.folder / f"{name}.crt").read_bytes() for name in ("leaf", "intermediate")]
        (self.folder / "chain.crt").write_bytes(b"".join(chain))


def _private(private: ec.EllipticCurvePrivateKey) -> bytes:
    none = serialization.NoEncryption()
    return private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, none)


def _certificate(
    subject: str, issuer: str, private: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey, *, ca: bool
) -> x509.Certificate:
    now = datetime.now(UTC)
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=not ca, key_cert_sign=ca, crl_sign=False, decipher_only=False, **usage),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
    )
    if not ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
    return builder.sign(by, hashes.SHA256())


def _spoiled(model: Path) -> Iterator[str]:
    """The model in each state that must not verify."""
    path = model / "config.json"
    path.write_bytes(b"[]")
    yield "a changed file"
    path.write_bytes(FILES["config.json"])
    (model / "evil.py").write_bytes(b"print()")
    yield "an extra file"
    (model / "evil.py").unlink()
    path.rename(model / "config2.json")
    yield "a renamed file"
    (model / "config2.json").rename(path)


def by_key(bench: Bench) -> None:
    """Each curve, each way."""
    for curve in CURVES:
        private, public = bench.folder / f"{curve}.pem", bench.folder / f"{curve}.pub"
        for who in ("we", "they"):
            model = bench.model(f"{who}-{curve}")
            bundle = model / "model.sig"
            if who == "we":
                assert bench.ours("sign", model, "--key", private) == 0, bench.last
            else:
                assert bench.theirs("sign", "key", "--private_key", private, "--signature", bundle, model) == 0, (
                    bench.last
                )
            _both(
                bench,
                model,
                f"{who} sign with {curve}",
                lambda m=model, p=public: bench.ours("verify", m, "--key", p),
                lambda m=model, p=public: bench.theirs(
                    "verify", "key", "--public_key", p, "--signature", m / "model.sig", m
                ),
            )


def by_certificate(bench: Bench) -> None:
    """A chain of three, each way."""
    root = bench.folder / "root.crt"
    for who in ("we", "they"):
        model = bench.model(f"{who}-certificate")
        bundle, leaf = model / "model.sig", bench.folder / "leaf.pem"
        if who == "we":
            assert bench.ours("sign", model, "--key", leaf, "--certificate", bench.folder / "chain.crt") == 0, (
                bench.last
            )
        else:
            signing: list[str | Path] = ["--signing_certificate", bench.folder / "leaf.crt"]
            chain: list[str | Path] = ["--certificate_chain", bench.folder / "intermediate.crt"]
            code = bench.theirs(
                "sign", "certificate", "--private_key", leaf, *signing, *chain, "--signature", bundle, model
            )
            assert code == 0, bench.last
        _both(
            bench,
            model,
            f"{who} sign with a certificate",
            lambda m=model: bench.ours("verify", m, "--roots", root, "--subject", "CN=Release *"),
            lambda m=model: bench.theirs(
                "verify", "certificate", "--certificate_chain", root, "--signature", m / "model.sig", m
            ),
        )


def _both(bench: Bench, model: Path, what: str, ours: Callable[[], int], theirs: Callable[[], int]) -> None:
    bench.expect(f"{what}, we verify", ours(), accepted=True)
    bench.expect(f"{what}, they verify", theirs(), accepted=True)
    for state in _spoiled(model):
        bench.expect(f"{what}, we verify {state}", ours(), accepted=False)
        bench.expect(f"{what}, they verify {state}", theirs(), accepted=False)


def by_api(bench: Bench) -> None:
    """Every form that the reference tool can write through its API; its own command line reads only one of them."""
    for method in ("file", "shard"):
        for algorithm in ("sha256", "blake2", "blake3"):
            model = bench.model(f"api-{method}-{algorithm}")
            code = bench.theirs_by_api(method, algorithm, bench.folder / "p256.pem", model, model / "model.sig")
            assert code == 0, bench.last
            verify = ("verify", model, "--key", bench.folder / "p256.pub")
            bench.expect(f"they sign {method}s with {algorithm}, we verify", bench.ours(*verify), accepted=True)
            for state in _spoiled(model):
                bench.expect(f"  … {state}", bench.ours(*verify), accepted=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", required=True, type=Path, help="the Python that has model-signing")
    reference = parser.parse_args().reference.absolute()
    folder = Path(tempfile.mkdtemp(prefix="interop-"))
    try:
        bench = Bench(folder, reference)
        bench.keys()
        by_key(bench)
        by_certificate(bench)
        by_api(bench)
    finally:
        shutil.rmtree(folder)
    sys.stdout.write(f"{bench.done - bench.failed} of {bench.done} as they should be\n")
    return 1 if bench.failed else 0


if __name__ == "__main__":
    sys.exit(main())
