"""The user's own keys: `NAME.pem`, the private half, encrypted and for nobody else to read, and `NAME.pub`.

They lie in `$XDG_CONFIG_HOME/safeload/keys`, else `~/.config/safeload/keys`. Nothing here trusts them: a policy, or a
command line, names whom it trusts.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from safeload.core.errors import SourceError, UsageError
from safeload.core.keys import PublicKey, read_public_key
from safeload.core.names import Location, escape
from safeload.trust.private_key import PrivateKey, new_private_key, read_private_key

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LARGEST = 1 << 16
"""Bytes of a key file."""


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key of the ring."""

    name: str
    public: PublicKey
    public_path: str
    private_path: str
    """Where the private half lies; empty if only the public one is here."""


class Keyring:
    """Keys in one directory, by name."""

    def __init__(self, folder: str | None = None) -> None:
        self.folder = folder or default_folder()

    def new(self, name: str, passphrase: bytes | None) -> StoredKey:
        """Make a key pair on P-256. Without a passphrase, whoever reads the file can sign.

        Raises `UsageError` if the name is taken or no name, `SourceError` if it cannot be written.
        """
        return self.add(name, new_private_key(), passphrase)

    def add(self, name: str, key: PrivateKey, passphrase: bytes | None) -> StoredKey:
        """Keep a private key and its public half. Raises as `new` does."""
        self.require_free(name)
        self._write(self._path(name, ".pem"), key.pem(passphrase), 0o600)
        self._write(self._path(name, ".pub"), key.public.pem(), 0o644)
        return self.get(name)

    def add_public(self, name: str, key: PublicKey) -> StoredKey:
        """Keep somebody else's public key. Raises as `new` does."""
        self.require_free(name)
        self._write(self._path(name, ".pub"), key.pem(), 0o644)
        return self.get(name)

    def get(self, name: str) -> StoredKey:
        """Raises `UsageError` if there is no such key, `MalformedInput` if its file holds none."""
        public, private = self._path(name, ".pub"), self._path(name, ".pem")
        if not os.path.lexists(public):
            known = ", ".join(sorted(self.names())) or "none yet"
            raise UsageError(
                f"there is no key {name!r}",
                where=self.folder,
                why=f"there are: {known}",
                remedy=f"safeload keys new {name}",
            )
        key = read_public_key(read_key_file(public), Location(public))
        return StoredKey(name, key, public, private if os.path.lexists(private) else "")

    def names(self) -> Iterator[str]:
        """The names of all keys, in no order. None if the directory is not there."""
        try:
            found = os.listdir(self.folder)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _failed("the keys were not listed", self.folder, error) from error
        yield from (name[:-4] for name in found if name.endswith(".pub") and _NAME.fullmatch(name[:-4]))

    def private(self, name: str, passphrase: bytes | None) -> PrivateKey:
        """The private half. Raises `UsageError` if it is not here or the passphrase is wrong."""
        return read_private_key(self.private_pem(name), passphrase, Location(self._path(name, ".pem")))

    def private_pem(self, name: str) -> bytes:
        """The file of the private half as it lies there. Raises `UsageError` if it is not, or others may read it."""
        path = self.get(name).private_path
        if not path:
            raise UsageError(f"the key {name!r} cannot sign", where=self.folder, why="only its public half is here")
        try:
            mode = os.stat(path).st_mode
        except OSError as error:
            raise _failed("the key was not read", path, error) from error
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise UsageError(
                f"the key {name!r} was not used",
                where=Location(path),
                why="others may read it, or write it",
                remedy=f"chmod 600 {path}; and if others did, make a new one",
            )
        return read_key_file(path)

    def _path(self, name: str, suffix: str) -> str:
        if not _NAME.fullmatch(name) or name.endswith((".pem", ".pub")):
            why = "a name consists of letters, digits, '.', '-' and '_', and begins with a letter or digit"
            raise UsageError(f"{escape(name)!r} is no name for a key", why=why, remedy="safeload keys new acme-release")
        return os.path.join(self.folder, name + suffix)

    def require_free(self, name: str) -> None:
        """Raise `UsageError` if there is such a key already, or this is no name."""
        for suffix in (".pem", ".pub"):
            if os.path.lexists(self._path(name, suffix)):
                raise UsageError(
                    f"there is a key {name!r} already",
                    where=Location(self._path(name, suffix)),
                    why="a key that is overwritten is lost",
                    remedy="choose another name, such as one with the year in it",
                )

    def _write(self, path: str, data: bytes, mode: int) -> None:
        try:
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
            with open(descriptor, "wb") as stream:
                os.fchmod(descriptor, mode)
                stream.write(data)
                stream.flush()
                os.fsync(descriptor)
        except FileExistsError as error:  # somebody was faster: theirs stays
            raise _failed("the key was not written", path, error) from error
        except OSError as error:
            with suppress(OSError):  # why it was not written is what counts
                os.unlink(path)
            raise _failed("the key was not written", path, error) from error


def default_folder() -> str:
    """`$XDG_CONFIG_HOME/safeload/keys`, else `~/.config/safeload/keys`."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(base):
        base = os.path.expanduser("~/.config")
    return os.path.join(base, "safeload", "keys")


def read_key_file(path: str) -> bytes:
    """The bytes of a key or certificate file. Raises `SourceError` if it cannot be read or is far too long."""
    try:
        with open(path, "rb") as stream:
            data = stream.read(_LARGEST + 1)
    except OSError as error:
        raise _failed("a key was not read", path, error) from error
    if len(data) > _LARGEST:
        raise SourceError("a key was not read", where=Location(path), why=f"it is longer than {_LARGEST} bytes")
    return data


def _failed(what: str, path: str, error: OSError) -> SourceError:
    return SourceError(what, where=Location(path), why=escape(error.strerror or str(error)), remedy=f"ls -la {path}")
