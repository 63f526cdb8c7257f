"""Signers as a policy file writes them: `[signers.<name>]`."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256

from safeload.core.errors import ConfigError, SafeloadError
from safeload.core.names import escape
from safeload.trust.signers import Signer
from safeload.trust.signers.certificate import CertificateSigner
from safeload.trust.signers.key import DatedKey, KeySigner
from safeload.trust.signers.keyless import KeylessSigner
from safeload.trust.tables import Table

Read = Callable[[str], bytes]
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PUBLIC, _CERTIFICATE = b"-----BEGIN PUBLIC KEY-----", b"-----BEGIN CERTIFICATE-----"
_PRIVATE = b"PRIVATE KEY-----"


def read_signer(name: str, table: Table, read: Read) -> Signer:
    """The signer that a table describes.

    Raises:
        ConfigError: something is missing, unknown or unreadable; with the place.
    """
    kind = table.choice("type", ("key", "certificate", "keyless"))
    try:
        signer = {"key": _key, "certificate": _certificate, "keyless": _keyless}[kind](name, table, read)
    except ConfigError:
        raise
    except SafeloadError as error:  # what the signer itself says of its parts
        table.refuse("", error.why or error.what)
    table.end()
    return signer


def _key(name: str, table: Table, read: Read) -> Signer:
    keys: list[DatedKey] = []
    for item in table.tables("keys"):
        key = DatedKey(_pem(item, "file", read, _PUBLIC), item.day("not-before"), item.day("not-after"))
        if key.not_before and key.not_after and key.not_before > key.not_after:
            item.refuse("not-after", "it lies before not-before")
        item.end()
        keys.append(key)
    if not keys:
        table.refuse("keys", "it has none")
    return KeySigner(name, tuple(keys))


def _certificate(name: str, table: Table, read: Read) -> Signer:
    roots = table.texts("roots")
    pems = tuple(_checked(table, f"roots[{i}]", path, read, _CERTIFICATE) for i, path in enumerate(roots))
    if not pems:
        table.refuse("roots", "it has none")
    subject = table.table("subject")
    pattern = {attribute: subject.text(attribute) for attribute in subject.names()} if subject else {}
    san = table.texts("san", ())
    if not pattern and not san:
        table.refuse("subject", "an authority vouches for many: subject or san must say whom you mean")
    return CertificateSigner(
        name,
        pems,
        subject=pattern,
        san=san,
        eku=table.choice("eku", ("code-signing", "code-signing-or-absent"), "code-signing"),
        expiry=table.choice("expiry", ("enforce", "unsafe-at-signing", "unsafe-ignore"), "enforce"),
    )


def _keyless(name: str, table: Table, read: Read) -> Signer:
    root = table.table("trusted-root") or table.refuse("trusted-root", "a table with file and sha256 is missing")
    data = root_data = _bytes(root, "file", root.text("file"), read)
    digest = root.pattern("sha256", _SHA256, "64 hexadecimal digits")
    root.end()
    if sha256(data).hexdigest() != digest:
        root.refuse("sha256", f"the file's is {sha256(data).hexdigest()}")
    identity, workflow = table.text("identity", ""), table.text("workflow", "")
    if bool(identity) == bool(workflow):
        table.refuse("identity", "it needs either identity or workflow")
    days = table.number("max-root-age", None, least=1, most=36500)
    return KeylessSigner(
        name,
        table.text("issuer"),
        root_data,
        digest,
        identity=identity,
        workflow=workflow,
        max_root_age=None if days is None else timedelta(days=days),
    )


def _pem(table: Table, key: str, read: Read, begins: bytes) -> bytes:
    return _checked(table, key, table.text(key), read, begins)


def _checked(table: Table, key: str, path: str, read: Read, begins: bytes) -> bytes:
    data = _bytes(table, key, path, read)
    if _PRIVATE in data:
        table.refuse(key, f"{escape(path)} is a private key, which belongs nowhere near a policy: name the public one")
    if begins not in data:
        table.refuse(key, f"{escape(path)} does not hold {begins.decode().strip('-')!r}")
    return data


def _bytes(table: Table, key: str, path: str, read: Read) -> bytes:
    try:
        return read(path)
    except ConfigError as error:
        table.refuse(key, error.why)
