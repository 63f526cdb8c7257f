"""Signing a model: digest every file, say so in a statement, sign it, write the bundle beside the files.

A directory is signed as OpenSSF Model Signing 1.0 says (`files`, sha256), so that its reference tool verifies it. A
statement (`*.intoto.json`, such as `convert` writes) is signed as it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safeload.core.envelope import PAYLOAD_TYPE, Envelope
from safeload.core.errors import MalformedInput, SourceError, UsageError
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.core.paths import is_safe_relative
from safeload.engine.hashing import PinnedDigests, Progress
from safeload.engine.whole import remove_drafts, write_whole
from safeload.sources.local import local_snapshot
from safeload.sources.store import Store
from safeload.trust.bundle import write_bundle
from safeload.trust.manifest import NEVER_SIGNED, model_statement, read_manifest
from safeload.trust.signature_store import NAME, is_bundle

if TYPE_CHECKING:
    from safeload.core.keys import PublicKey
    from safeload.trust.private_key import PrivateKey

STATEMENT_SUFFIX = ".intoto.json"


@dataclass(frozen=True, slots=True)
class Signed:
    """A signature that was written."""

    path: Path
    """The bundle."""
    files: tuple[str, ...]
    """What it covers."""
    identity: str
    """`key:<sha256>`, or `cert:<sha256>` of the leaf."""


def sign(
    path: str | os.PathLike[str],
    *,
    key: PrivateKey,
    certificates: bytes = b"",
    output: str | os.PathLike[str] | None = None,
    ignore: Collection[str] = (),
    overwrite: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Signed:
    """Sign every file of a directory, or a statement, and write the bundle.

    Promised: the bundle appears whole or not at all. Not promised: that anybody trusts the key.

    Args:
        path: a directory; or a statement, `*.intoto.json`.
        key: the private key: `trust.keyring.Keyring().private(name, passphrase)`.
        certificates: the chain of the key's certificate in PEM, the leaf first, for the method *certificate*.
        output: where the bundle goes; `model.sig` in the directory, if absent.
        ignore: paths in the directory that are left out, with all beneath them. The bundle says so.
        overwrite: whether a bundle that is there may be replaced.
        progress: called from any thread after each file that was digested.

    Raises:
        UsageError: the output exists, or the certificate is not of this key.
        SourceError: a file cannot be read, or the bundle not be written.
        MalformedInput: there is nothing to sign, or a name or certificate that cannot be signed with.
        VerificationFailed: a file changed meanwhile.
    """
    target = output_of(path, output)
    refuse_existing(target, overwrite=overwrite)
    chain = chain_of(certificates, key.public) if certificates else ()
    envelope = prepare(path, output=target, ignore=ignore, progress=progress)
    return write(target, Envelope(envelope.payload, key.sign(envelope.signed_bytes())), key.public, chain)


def prepare(
    path: str | os.PathLike[str],
    *,
    output: Path,
    ignore: Collection[str] = (),
    progress: Callable[[Progress], None] | None = None,
) -> Envelope:
    """The envelope without its signature: `signed_bytes()` is what a key elsewhere has to sign. Raises as `sign`."""
    where = os.fspath(path)
    if where.endswith(STATEMENT_SUFFIX) and not os.path.isdir(where):
        payload = _read(where)
        read_manifest(payload, Location(where))
        return Envelope(payload, b"")
    if not os.path.isdir(where):
        raise UsageError(
            f"{escape(where)!r} was not signed",
            where=Location(where),
            why=f"a directory can be signed, or a statement that ends in {STATEMENT_SUFFIX}",
            remedy=f"safeload sign {escape(os.path.dirname(where) or '.')}",
        )
    for name in ignore:
        if not is_safe_relative(name):
            raise UsageError(f"{escape(name)!r} cannot be left out", why="it is no path in the model")
    remove_drafts(os.fspath(output))  # else what a killed one left would be signed as a part of the model
    snapshot = local_snapshot(where, limits=Limits())
    apart = {name for name in snapshot.listing if is_bundle(name)} | {_inside(where, output), *ignore} - {""}
    names = [name for name in snapshot.listing if not _beneath(name, (*NEVER_SIGNED, *apart))]
    sizes = {name: snapshot.listing[name].size or 0 for name in names}
    source = PinnedDigests(snapshot.open, Store(needed=False).memo, close=True, sizes=sizes, progress=progress)
    base = os.path.basename(os.path.abspath(where)) or "model"
    return Envelope(model_statement(base, source.sha256(names), ignored=apart), b"")


def attach(
    pae: bytes,
    signature: bytes,
    *,
    public: PublicKey,
    output: Path,
    certificates: bytes = b"",
    overwrite: bool = False,
) -> Signed:
    """Make the bundle of a signature that was made elsewhere (an HSM, a KMS, `openssl dgst -sign`) over `pae`.

    Raises `UsageError` if the signature is not of this key over these bytes; else as `sign`.
    """
    refuse_existing(output, overwrite=overwrite)
    chain = chain_of(certificates, public) if certificates else ()
    envelope = Envelope(_payload_of(pae), signature)
    if not public.verifies(signature, envelope.signed_bytes()):
        raise UsageError(
            "the signature was not attached",
            why="it is not of this key over these bytes, with the hash of its curve and in DER",
            remedy="openssl dgst -sha256 -sign KEY.pem -out model.der model.pae",
        )
    return write(output, envelope, public, chain)


def output_of(path: str | os.PathLike[str], output: str | os.PathLike[str] | None) -> Path:
    """Where the bundle goes."""
    if output is not None:
        return Path(output)
    where = Path(path)
    if where.name.endswith(STATEMENT_SUFFIX):
        return where.with_name(where.name.removesuffix(STATEMENT_SUFFIX) + ".sigstore.json")
    return where / NAME


def refuse_existing(target: Path, *, overwrite: bool) -> None:
    """Raise `UsageError` if the bundle is there and may not be replaced."""
    if os.path.lexists(target) and not overwrite:
        raise UsageError(
            "nothing was signed",
            where=Location(os.fspath(target)),
            why="there is a signature already",
            remedy="--output another.oms.sig for a further signer, or --overwrite to replace it",
        )


def chain_of(pem: bytes, public: PublicKey) -> tuple[bytes, ...]:
    """The certificates of a chain in DER, the leaf first. Raises `UsageError` if the leaf is not of this key."""
    from safeload.trust.signers.certificate import chain_from_pem

    chain, leaf = chain_from_pem(pem)
    if leaf != public.pem():
        raise UsageError(
            "nothing was signed",
            why="the first certificate is not of this key",
            remedy="put the leaf first in the file",
        )
    return chain


def write(target: Path, envelope: Envelope, public: PublicKey, chain: Sequence[bytes]) -> Signed:
    """Write the bundle in one step, and say what it covers."""
    from hashlib import sha256

    manifest = read_manifest(envelope.payload, Location(os.fspath(target)))
    data = write_bundle(envelope, key_hint=public.fingerprint(), certificates=chain)
    write_whole(os.fspath(target), data, failed="the signature was not written")
    identity = f"cert:{sha256(chain[0]).hexdigest()}" if chain else f"key:{public.fingerprint()}"
    return Signed(target, tuple(sorted(manifest.paths)), identity)


def _payload_of(pae: bytes) -> bytes:
    prefix = b"DSSEv1 %d %b " % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode())
    length, space, payload = pae.removeprefix(prefix).partition(b" ")
    if not pae.startswith(prefix) or not space or length != b"%d" % len(payload):
        raise MalformedInput(
            "the signature was not attached",
            why="these are not the bytes that --emit-pae wrote",
            remedy="safeload sign DIR --emit-pae model.pae",
        )
    return payload


def _inside(folder: str, output: Path) -> str:
    """The path of the output within the directory; empty if it lies elsewhere."""
    inner = os.path.relpath(os.path.abspath(output), os.path.abspath(folder))
    return "" if inner.startswith("..") else inner


def _beneath(name: str, tops: Collection[str]) -> bool:
    return any(name == top or name.startswith(f"{top}/") for top in tops)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError as error:
        raise SourceError("a statement was not read", where=Location(path), why=escape(str(error.strerror))) from error
