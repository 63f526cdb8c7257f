"""What verifying costs, against hashing the same files on all cores and against the reference tool.

    python benchmarks/verify.py [--gigabytes 4] [--rounds 5] [--reference build/interop/bin/python] [--json FILE]

Four files in one directory, in the disk's cache, which is read once before measuring. The sides alternate in each
round; what is told is the median. The reference tool is measured if it is there (`make interop` installs it), by its
API, in its fastest way: whole files, all cores, its import not counted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from safeload.core.envelope import Envelope
from safeload.engine.hashing import PinnedDigests
from safeload.engine.sign import sign
from safeload.engine.verify import examine
from safeload.sources.local import local_snapshot
from safeload.trust.bundle import read_bundle, write_bundle
from safeload.trust.manifest import Piece
from safeload.trust.private_key import PrivateKey, new_private_key
from safeload.trust.signers.certificate import CertificateSigner
from safeload.trust.signers.key import DatedKey, KeySigner

NOT_USED = (
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "encipher_only",
    "decipher_only",
    "crl_sign",
)
REFERENCE = """
import sys, time
from model_signing import hashing, signing, verifying
algorithm, key, public, model, signature = sys.argv[1:]
config = hashing.Config().use_file_serialization(hashing_algorithm=algorithm)
config.set_ignored_paths(paths=["model.sig", "reference.sig"])
if key:
    signing.Config().use_elliptic_key_signer(private_key=key).set_hashing_config(config).sign(model, signature)
start = time.perf_counter()
verifying.Config().use_elliptic_key_verifier(public_key=public).set_hashing_config(config).verify(model, signature)
print(time.perf_counter() - start)
"""


def hashed(folder: Path) -> None:
    """sha256 by hashlib, one file on each core, in windows of a megabyte."""

    def one(path: Path) -> str:
        hasher, buffer = hashlib.sha256(), bytearray(1 << 20)
        with open(path, "rb", buffering=0) as stream:
            while count := stream.readinto(buffer):
                hasher.update(memoryview(buffer)[:count])
        return hasher.hexdigest()

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(one, sorted(folder.glob("*.safetensors"))))


def by_blake3(folder: Path) -> None:
    """The same digests by blake3, as a bundle that names it would ask for them."""
    snapshot = local_snapshot(folder)
    source = PinnedDigests(snapshot.open, close=True)
    source.digests([Piece(path, "blake3") for path in snapshot.listing if path.endswith(".safetensors")])


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def reference(python: Path | None, folder: Path, work: Path, algorithm: str, *, sign: bool = False) -> float | None:
    """How long the reference tool takes; `None` if it is not there."""
    if python is None:
        return None
    signature = work / f"{algorithm}.sig"
    arguments = [algorithm, str(work / "key.pem") if sign else "", str(work / "key.pub"), str(folder), str(signature)]
    done = subprocess.run([str(python), "-c", REFERENCE, *arguments], capture_output=True, text=True, check=True)
    return float(done.stdout)


def certificate(key: PrivateKey) -> tuple[bytes, bytes]:
    """A root in PEM and a leaf of this key in DER."""
    now, root = datetime.now(UTC), new_private_key()
    made = []
    for name, private, ca in (("Root", root, True), ("Release", key, False)):
        usage = dict.fromkeys(NOT_USED, False)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Root")]))
            .public_key(private.public.key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca, None), critical=True)
            .add_extension(x509.KeyUsage(digital_signature=not ca, key_cert_sign=ca, **usage), critical=True)
        )
        if not ca:
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        made.append(builder.sign(root._key, hashes.SHA256()))
    return made[0].public_bytes(serialization.Encoding.PEM), made[1].public_bytes(serialization.Encoding.DER)


def bundles(key: PrivateKey, payload: bytes) -> dict[str, float]:
    """Milliseconds to read and verify one bundle, without its files."""
    now, envelope = datetime.now(UTC), Envelope(payload, b"")
    envelope = Envelope(payload, key.sign(envelope.signed_bytes()))
    root, leaf = certificate(key)
    cases = {
        "key": (KeySigner("", (DatedKey(key.public.pem()),)), write_bundle(envelope)),
        "certificate": (CertificateSigner("", (root,), {"CN": "Release"}), write_bundle(envelope, certificates=[leaf])),
    }
    found = {}
    for name, (signer, data) in cases.items():
        times = [seconds(lambda: signer.verify(read_bundle(data, "m"), now=now)) for _ in range(200)]  # noqa: B023
        found[f"{name} bundle, ms"] = statistics.median(times) * 1000
    return found


def measure(folder: Path, work: Path, gigabytes: float, rounds: int, python: Path | None) -> dict[str, float]:
    block = os.urandom(1 << 20)
    for number in range(4):
        with open(folder / f"model-{number}.safetensors", "wb") as stream:
            for index in range(int(gigabytes * 256)):
                stream.write(index.to_bytes(8, "little") + block[8:])
    key = new_private_key()
    (work / "key.pem").write_bytes(key.pem(None))
    (work / "key.pub").write_bytes(key.public.pem())
    payload = sign(folder, key=key).path.read_bytes()
    shutil.rmtree(os.environ["SAFELOAD_HOME"], ignore_errors=True)
    signers = [KeySigner("", (DatedKey(key.public.pem()),))]

    def first() -> None:
        shutil.rmtree(os.environ["SAFELOAD_HOME"], ignore_errors=True)
        assert examine(folder, signers=signers).ok

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    first()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    for algorithm in ("sha256", "blake3"):
        reference(python, folder, work, algorithm, sign=True)
    times: dict[str, list[float]] = {}
    for _ in range(rounds):
        sides: dict[str, float | None] = {
            "hashlib.sha256, all cores": seconds(lambda: hashed(folder)),
            "verify": seconds(first),
            "verify again": seconds(lambda: examine(folder, signers=signers)),
            "blake3": seconds(lambda: by_blake3(folder)),
            "reference, sha256": reference(python, folder, work, "sha256"),
            "reference, blake3": reference(python, folder, work, "blake3"),
        }
        for side, took in sides.items():
            if took is not None:
                times.setdefault(side, []).append(took)
    del payload
    found = {f"{side}, s": statistics.median(took) for side, took in times.items()}
    return {**found, "memory grew by, MB": grown, **bundles(key, b"x" * 2000)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--reference", type=Path, help="the Python that has model-signing")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="verify-") as temporary:
        folder, work = Path(temporary) / "model", Path(temporary) / "work"
        folder.mkdir()
        work.mkdir()
        os.environ["SAFELOAD_HOME"] = str(work / "home")
        python = options.reference.absolute() if options.reference else None
        found = measure(folder, work, options.gigabytes, options.rounds, python)
    for name, value in found.items():
        print(f"{name:<34} {value:10.3f}")
    ratio = found["verify, s"] / found["hashlib.sha256, all cores, s"]
    print(f"verify takes {ratio:.2f} times what hashing takes (at most 1.05)")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
