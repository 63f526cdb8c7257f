"""`safeload keys new|list|show|export|import`"""

from __future__ import annotations

import argparse
import sys

from safeload.cli.output import note


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    new = actions.add_parser("new", help="make a key pair; the private half is encrypted", allow_abbrev=False)
    _name(new)
    passphrase_arguments(new)
    new.add_argument(
        "--unsafe-no-passphrase", action="store_true", help="do not encrypt it: whoever reads the file can sign"
    )
    new.set_defaults(act=_new)
    listed = actions.add_parser("list", help="list the keys", allow_abbrev=False)
    listed.set_defaults(act=_list)
    show = actions.add_parser("show", help="show a key's fingerprint and where it lies", allow_abbrev=False)
    _name(show)
    show.set_defaults(act=_show)
    export = actions.add_parser("export", help="print the public half, in PEM", allow_abbrev=False)
    _name(export)
    export.set_defaults(act=_export)
    taken = actions.add_parser("import", help="keep a key from a PEM file, public or private", allow_abbrev=False)
    _name(taken)
    taken.add_argument("file", metavar="PEM", help="the file")
    passphrase_arguments(taken)
    taken.add_argument(
        "--unsafe-no-passphrase", action="store_true", help="keep a private key that is not encrypted as it is"
    )
    taken.set_defaults(act=_import)
    for action in (new, listed, show, taken):
        action.add_argument("--json", action="store_true", help="print one JSON document")


def _name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the key's name, such as acme-release")


def passphrase_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--passphrase-file", metavar="FILE", help="the passphrase is the first line of this file; else it is asked for"
    )


def passphrase(parsed: argparse.Namespace, *, twice: bool) -> bytes:
    """The passphrase, from the file or from the terminal; never from the command line, where others see it.

    Raises `UsageError` if there is no terminal to ask on, it is empty, or the two differ; `SourceError` for a file
    that cannot be read.
    """
    from safeload.core.errors import UsageError
    from safeload.trust.keyring import read_key_file

    if parsed.passphrase_file is not None:
        found = read_key_file(parsed.passphrase_file).split(b"\n", 1)[0].rstrip(b"\r")
    elif not sys.stdin.isatty():
        why = "there is no terminal to ask for it"
        raise UsageError("a passphrase is needed", why=why, remedy="--passphrase-file FILE")
    else:
        from getpass import getpass

        try:
            found = getpass("Passphrase: ").encode()
            again = getpass("Once more: ").encode() if twice else found
        except EOFError:
            raise UsageError("nothing was done", why="there was no passphrase") from None
        if again != found:
            raise UsageError("nothing was done", why="the two passphrases differ")
    if not found:
        raise UsageError("nothing was done", why="the passphrase is empty", remedy="--unsafe-no-passphrase, if meant")
    return found


def run(parsed: argparse.Namespace) -> int:
    code: int = parsed.act(parsed)
    return code


def _new(parsed: argparse.Namespace) -> int:
    from safeload.trust.keyring import Keyring

    ring = Keyring()
    ring.require_free(parsed.name)
    ring.new(parsed.name, None if parsed.unsafe_no_passphrase else passphrase(parsed, twice=True))
    _tell(parsed)
    if not parsed.json:
        note(f"sign with it: safeload sign DIR --key {parsed.name}")
        note(f"give others its public half: safeload keys export {parsed.name} > {parsed.name}.pub")
    return 0


def _list(parsed: argparse.Namespace) -> int:
    from safeload.trust.keyring import Keyring

    ring = Keyring()
    found = [_data(ring, name) for name in sorted(ring.names())]
    if parsed.json:
        from safeload.reporters.json import dump

        dump({"schema": "safeload.keys/1", "keys": found}, sys.stdout)
    for key in () if parsed.json else found:
        print(f"{key['name']}  key:{key['fingerprint']}  {'can sign' if key['private'] else 'public half only'}")
    if not found and not parsed.json:
        note(f"no keys in {ring.folder}: safeload keys new NAME")
    return 0


def _show(parsed: argparse.Namespace) -> int:
    _tell(parsed)
    return 0


def _export(parsed: argparse.Namespace) -> int:
    from safeload.trust.keyring import Keyring

    print(Keyring().get(parsed.name).public.pem().decode(), end="")
    return 0


def _import(parsed: argparse.Namespace) -> int:
    from safeload.core.keys import read_public_key
    from safeload.trust.keyring import Keyring, read_key_file
    from safeload.trust.private_key import is_encrypted, read_private_key

    ring, pem = Keyring(), read_key_file(parsed.file)
    ring.require_free(parsed.name)
    if b"PRIVATE KEY" in pem:
        word = None if parsed.unsafe_no_passphrase and not is_encrypted(pem) else passphrase(parsed, twice=False)
        ring.add(parsed.name, read_private_key(pem, word, parsed.file), word)
    else:
        ring.add_public(parsed.name, read_public_key(pem, parsed.file))
    _tell(parsed)
    return 0


def _data(ring: object, name: str) -> dict[str, str]:
    from safeload.trust.keyring import Keyring

    assert isinstance(ring, Keyring)
    key = ring.get(name)
    return {
        "name": key.name,
        "fingerprint": key.public.fingerprint(),
        "curve": key.public.key.curve.name,
        "public": key.public_path,
        "private": key.private_path,
    }


def _tell(parsed: argparse.Namespace) -> None:
    from safeload.trust.keyring import Keyring

    found = _data(Keyring(), parsed.name)
    if parsed.json:
        from safeload.reporters.json import dump

        dump({"schema": "safeload.key/1", **found}, sys.stdout)
        return
    for label in ("name", "fingerprint", "curve", "public", "private"):
        print(f"{label:<12} {found[label] or '-'}")
