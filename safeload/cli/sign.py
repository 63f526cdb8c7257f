"""`safeload sign DIR --key NAME|PEM`"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from safeload.cli.keys import passphrase, passphrase_arguments
from safeload.cli.output import note, waiting

if TYPE_CHECKING:
    from safeload.core.keys import PublicKey
    from safeload.engine.sign import Signed
    from safeload.trust.private_key import PrivateKey


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="DIR", help="a directory, or a statement that ends in .intoto.json")
    parser.add_argument(
        "--key", metavar="NAME|PEM", help="a name made by `keys new`, or a file: private to sign, public to attach"
    )
    parser.add_argument(
        "--certificate", metavar="PEM", help="the chain of the key's certificate, the leaf first: sign by certificate"
    )
    passphrase_arguments(parser)
    parser.add_argument("--output", metavar="FILE", help="where the signature goes (default: model.sig in DIR)")
    parser.add_argument("--overwrite", action="store_true", help="replace a signature that is there")
    parser.add_argument(
        "--ignore", metavar="PATH", action="append", default=[], help="leave this path out; the signature says so"
    )
    parser.add_argument(
        "--emit-pae",
        metavar="FILE",
        help="write the bytes that a key elsewhere (HSM, KMS, openssl) must sign; stop there",
    )
    parser.add_argument(
        "--attach-signature", metavar="FILE", help="make the bundle of such a signature (DER); needs --pae and --key"
    )
    parser.add_argument("--pae", metavar="FILE", help="with --attach-signature: what --emit-pae wrote")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the path")


def run(parsed: argparse.Namespace) -> int:
    """Sign, or do half of it for a key that lies elsewhere."""
    from safeload.core.errors import UsageError
    from safeload.engine.sign import attach, output_of, prepare, refuse_existing, sign

    if bool(parsed.attach_signature) != bool(parsed.pae) or (parsed.emit_pae and parsed.attach_signature):
        raise UsageError(
            "nothing was signed",
            why="--attach-signature goes with --pae, and --emit-pae with neither",
            remedy="safeload sign DIR --emit-pae model.pae; then --attach-signature SIG --pae model.pae --key PUB",
        )
    output = output_of(parsed.path, parsed.output)
    if parsed.emit_pae:
        refuse_existing(output, overwrite=parsed.overwrite)
        with waiting(f"digesting {parsed.path}") as tell:
            envelope = prepare(parsed.path, output=output, ignore=parsed.ignore, progress=lambda at: tell(f"{at} "))
        _write(parsed.emit_pae, envelope.signed_bytes())
        print(parsed.emit_pae)
        after = f"--attach-signature SIG --pae {parsed.emit_pae} --key PUB"
        note(f"sign these bytes, then: safeload sign {parsed.path} {after}")
        return 0
    if not parsed.key:
        raise UsageError(
            "nothing was signed", why="no key was named", remedy="--key NAME, made by safeload keys new NAME"
        )
    chain = _read(parsed.certificate) if parsed.certificate else b""
    if parsed.attach_signature:
        signed = attach(
            _read(parsed.pae),
            _read(parsed.attach_signature),
            public=_public(parsed.key),
            output=output,
            certificates=chain,
            overwrite=parsed.overwrite,
        )
    else:
        refuse_existing(output, overwrite=parsed.overwrite)
        key = private_key(parsed)
        with waiting(f"signing {parsed.path}") as tell:
            signed = sign(
                parsed.path,
                key=key,
                certificates=chain,
                output=output,
                ignore=parsed.ignore,
                overwrite=parsed.overwrite,
                progress=lambda at: tell(f"{at} "),
            )
    _tell(parsed, signed)
    return 0


def _is_file(key: str) -> bool:
    return os.sep in key or key.endswith((".pem", ".pub", ".key")) or os.path.isfile(key)


def private_key(parsed: argparse.Namespace) -> PrivateKey:
    """The private key that `--key` names. Raises `UsageError` if there is none, or its passphrase is wrong."""
    from safeload.trust.keyring import Keyring
    from safeload.trust.private_key import is_encrypted, read_private_key

    pem = _read(parsed.key) if _is_file(parsed.key) else Keyring().private_pem(parsed.key)
    word = passphrase(parsed, twice=False) if is_encrypted(pem) else None
    return read_private_key(pem, word, parsed.key)


def _public(key: str) -> PublicKey:
    from safeload.core.keys import read_public_key
    from safeload.trust.keyring import Keyring

    return read_public_key(_read(key), key) if _is_file(key) else Keyring().get(key).public


def _read(path: str) -> bytes:
    from safeload.trust.signature_store import read_file

    return read_file(path)


def _write(path: str, data: bytes) -> None:
    from safeload.core.errors import SourceError

    try:
        Path(path).write_bytes(data)
    except OSError as error:
        raise SourceError("nothing was written", where=path, why=str(error.strerror)) from error


def _tell(parsed: argparse.Namespace, signed: Signed) -> None:
    if parsed.json:
        from safeload.reporters.json import dump

        dump(
            {
                "schema": "safeload.signed/1",
                "bundle": os.fspath(signed.path),
                "identity": signed.identity,
                "files": list(signed.files),
            },
            sys.stdout,
        )
        return
    note(f"{len(signed.files)} files signed by {signed.identity}")
    print(signed.path)
