"""Locks for tests."""

from __future__ import annotations

from safeload.core.evidence import VerifiedSignature
from safeload.trust.lockfile import Lock, LockedFile, LockedModel, pointer_oid

A, B, C = "a" * 64, "b" * 64, "c" * 64
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def signed(*covers: str, signer: str = "acme", identity: str = f"key:{A}") -> VerifiedSignature:
    return VerifiedSignature(
        signer=signer,
        identity=identity,
        covers=frozenset(covers),
        fingerprints=frozenset({A}),
        bundle="model.sig",
        bundle_sha256=B,
        root=f"sha256:{C}",
        statement="https://model_signing/signature/v1.0",
    )


def model(**more: object) -> LockedModel:
    files = (
        LockedFile(path="config.json", size=89, sha256=A, git=COMMIT),
        LockedFile(path='dïr/"we\\ird".txt', size=0, sha256=C),
        LockedFile(path="model.safetensors", size=7, sha256=B, git=pointer_oid(B, 7), lfs=True, xet=C, blake3=A),
    )
    given: dict[str, object] = {
        "id": "acme/demo",
        "hub": "https://huggingface.co",
        "requested": "main",
        "revision": COMMIT,
        "files": files,
    }
    return LockedModel(**(given | more))


def lock() -> Lock:
    return Lock(
        (
            model(
                signatures=(signed(*(f.path for f in model().files)), signed("config.json", signer="ci")),
                superseded=("h1:old",),
                closure=model().tree,
                entry={"AutoModel": "modeling_x.X"},
            ),
            model(id="models/mine", hub="", requested="", revision="", converted_from=("pkg:huggingface/a/b@c#d",)),
        ),
        "safeload.lock",
    )
