"""`safeload verify REF`"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from safeload.cli.output import waiting
from safeload.core.names import escape

if TYPE_CHECKING:
    from safeload.engine.verify import Verification
    from safeload.trust.signers import Signer


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reference", metavar="REF", help="a directory, a file, or a model on the hub such as org/name")
    parser.add_argument("--revision", metavar="REV", help="for models on the hub: a commit, branch or tag")
    parser.add_argument("--offline", action="store_true", help="use what the hub's cache holds; connect to nothing")
    parser.add_argument("--partial", action="store_true", help="files that were signed may be missing, as in a cache")
    parser.add_argument("--bundle", metavar="FILE", action="append", default=[], help="a signature that lies elsewhere")
    parser.add_argument("--store", metavar="DIR", help="a directory of detached signatures, ORG--NAME@COMMIT.sig")
    parser.add_argument("--original", metavar="PATH", help="the signature of what a conversion was made from")
    parser.add_argument(
        "--policy", metavar="FILE", help="the policy whose signers are trusted (default: safeload.toml)"
    )
    by_hand = parser.add_argument_group("signers by hand, instead of those of the policy")
    by_hand.add_argument("--key", metavar="NAME|PEM", action="append", default=[], help="a public key")
    by_hand.add_argument("--roots", metavar="PEM", action="append", default=[], help="certificate authorities")
    by_hand.add_argument(
        "--subject", metavar="ATTR=PATTERN", action="append", default=[], help="with --roots: 'O=ACME', 'CN=Release *'"
    )
    by_hand.add_argument("--san", metavar="PATTERN", action="append", default=[], help="with --roots: a name it is for")
    by_hand.add_argument(
        "--eku", choices=("code-signing", "code-signing-or-absent"), default="code-signing", help="with --roots"
    )
    by_hand.add_argument(
        "--unsafe-ignore-expiry", action="store_true", help="with --roots: accept certificates that have expired"
    )
    by_hand.add_argument("--identity", metavar="NAME", help="keyless: the account that signed")
    by_hand.add_argument("--workflow", metavar="PATTERN", help="keyless: ORG/REPO/.github/workflows/FILE@REF instead")
    by_hand.add_argument("--issuer", metavar="URL", help="keyless: where that account is")
    by_hand.add_argument("--trusted-root", metavar="FILE", help="keyless: Sigstore's trusted root, which you checked")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(parsed: argparse.Namespace) -> int:
    """Verify and say what holds. 0: signed by whom you trust; 1: it is not, or something differs; 2: an error."""
    from safeload.engine.request import Access
    from safeload.engine.verify import examine, trusted_by_policy

    signers = _by_hand(parsed)
    named, revoked = trusted_by_policy(parsed.policy)
    with waiting(f"verifying {parsed.reference}") as tell:
        found = examine(
            parsed.reference,
            signers=signers or named,
            bundles=parsed.bundle,
            store=parsed.store,
            partial=parsed.partial,
            revision=parsed.revision,
            access=Access(local_files_only=parsed.offline),
            original=parsed.original,
            revoked=revoked,
            progress=lambda at: tell(f"{at} "),
        )
    if parsed.json:
        from safeload.reporters.json import dump

        dump(_data(found), sys.stdout)
    else:
        _tell(found)
    return 0 if found.ok else 1


def _by_hand(parsed: argparse.Namespace) -> list[Signer]:
    from hashlib import sha256

    from safeload.core.errors import UsageError
    from safeload.trust.keyring import Keyring, read_key_file
    from safeload.trust.signature_store import read_file

    signers: list[Signer] = []
    for key in parsed.key:
        from safeload.cli.sign import _is_file
        from safeload.trust.signers.key import DatedKey, KeySigner

        pem = read_key_file(key) if _is_file(key) else Keyring().get(key).public.pem()
        signers.append(KeySigner("" if _is_file(key) else key, (DatedKey(pem),)))
    if parsed.roots:
        from safeload.trust.signers.certificate import CertificateSigner

        subject = dict(_pair(text) for text in parsed.subject)
        signers.append(
            CertificateSigner(
                "",
                tuple(read_file(path) for path in parsed.roots),
                subject=subject,
                san=tuple(parsed.san),
                eku=parsed.eku,
                expiry="unsafe-ignore" if parsed.unsafe_ignore_expiry else "enforce",
            )
        )
    elif parsed.subject or parsed.san or parsed.unsafe_ignore_expiry:
        raise UsageError("nothing was verified", why="--subject, --san and --unsafe-ignore-expiry go with --roots")
    if parsed.identity or parsed.workflow or parsed.issuer or parsed.trusted_root:
        from safeload.trust.signers.keyless import KeylessSigner

        if not parsed.trusted_root or not parsed.issuer:
            raise UsageError(
                "nothing was verified",
                why="a keyless signer needs --identity or --workflow, --issuer and --trusted-root",
            )
        root = read_file(parsed.trusted_root)
        signers.append(
            KeylessSigner(
                "",
                parsed.issuer,
                root,
                sha256(root).hexdigest(),
                identity=parsed.identity or "",
                workflow=parsed.workflow or "",
            )
        )
    return signers


def _pair(text: str) -> tuple[str, str]:
    from safeload.core.errors import UsageError

    attribute, equals, pattern = text.partition("=")
    if not equals or not pattern:
        raise UsageError(f"{escape(text)!r} is no pattern for a subject", remedy="--subject 'CN=Release *'")
    return attribute, pattern


def _tell(found: Verification) -> None:
    from safeload.cli.output import coloured

    good, bad, end = ("\x1b[32m", "\x1b[1;31m", "\x1b[0m") if coloured(sys.stdout) else ("", "", "")
    commit = f" @ {found.revision}" if found.revision else ""
    print(f"{escape(found.reference)}{commit}: {len(found.files)} files")
    for one in found.signatures:
        who = escape(one.signer) or "the signer that was given"
        print(f"  {good}signed{end}   by {who}: {one.identity}")
        print(f"           {escape(one.bundle)} covers {len(one.covers)} of {len(found.files)} files")
    for failure in found.report.failures:
        print(f"  {bad}no{end}       {escape(failure.bundle)}: {failure.why}")
        for item in failure.mismatches:
            print(f"             {item.kind:<8} {escape(item.path)}")
    if not found.signatures and not found.report.failures:
        print(f"  {bad}no{end}       there is no signature")
    for path in found.uncovered if found.signatures else ():
        print(f"  not covered by any signature: {escape(path)}")
    for origin in found.origins:
        signed = f"signed by {', '.join(map(escape, origin.signed_by))}" if origin.signed_by else "signature not shown"
        sources = ", ".join(origin.sources) or f"{len(origin.inputs)} files that are not named by origin"
        print(f"  made     from {sources} ({signed})")
        print(f"           by {origin.builder}, as {', '.join(map(escape, origin.stated_by))} says")


def _data(found: Verification) -> dict[str, object]:
    return {
        "schema": "safeload.verification/1",
        "reference": found.reference,
        "revision": found.revision,
        "ok": found.ok,
        "files": list(found.files),
        "uncovered": list(found.uncovered),
        "signatures": [
            {
                "signer": one.signer,
                "identity": one.identity,
                "method": one.method,
                "bundle": one.bundle,
                "bundle_sha256": one.bundle_sha256,
                "root": one.root,
                "statement": one.statement,
                "covers": sorted(one.covers),
            }
            for one in found.signatures
        ],
        "failures": [
            {
                "bundle": one.bundle,
                "why": one.why,
                "signed_by": one.signed_by,
                "mismatches": [{"path": item.path, "kind": item.kind} for item in one.mismatches],
            }
            for one in found.report.failures
        ],
        "origins": [
            {
                "builder": one.builder,
                "sources": list(one.sources),
                "inputs": dict(one.inputs),
                "stated_by": list(one.stated_by),
                "signed_by": list(one.signed_by),
            }
            for one in found.origins
        ],
    }
