"""Where policy files, locks and records of audits lie, and how they are read: policies and locks once, and again only
when the file is another one.

    system    /etc/safeload/policy.toml
    user      ~/.config/safeload/policy.toml, and $XDG_CONFIG_HOME/safeload/policy.toml
    project   safeload.toml: the one that was named, else the nearest from the working directory up to its project

`audits.toml` lies in the same places, but for `$XDG_CONFIG_HOME`: another record may allow what nothing else does, so
that what the environment says does not count.

1. All count, each by itself. None can loosen another, and no environment variable takes one away: the user's own home
   is the one that the system knows, and what the environment says only adds another place.
2. Above the working directory only the directories up to the project's root (`.git` or `pyproject.toml`) are looked
   at. Without such a root, only the working directory itself is: somebody else may own what lies above.
3. A file that somebody else may write is refused, and so is one that cannot be read.
4. Nothing in a model's directory is read as policy or lock; see `engine.enforce`.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from safeload.core.errors import ConfigError
from safeload.core.names import Location, escape
from safeload.trust import file_names

if TYPE_CHECKING:  # most loads meet none of these files, so what reads them is imported where one is read
    from safeload.trust.audit_records import Audits
    from safeload.trust.lockfile import Lock
    from safeload.trust.policy_file import Formats, PolicyFile

SYSTEM = "/etc/safeload/policy.toml"
SYSTEM_AUDITS = "/etc/safeload/audits.toml"
LOCK_VARIABLE = "SAFELOAD_LOCK"
_LARGEST_KEY = 1 << 20
_MOMENT_NS = 2_100_000_000
"""How coarse the clock of a file system may be: what changed just now may change again without showing."""
_ROOTS = (".git", "pyproject.toml")
T = TypeVar("T")


class _Seen(NamedTuple):
    dev: int
    ino: int
    size: int
    mtime_ns: int
    ctime_ns: int


_CACHE: dict[tuple[str, str], tuple[tuple[tuple[str, _Seen], ...], object]] = {}
"""By use and path: what the file, and those it names, were when it was read; and what it said."""


def user_files() -> tuple[str, ...]:
    """Where this user's policy lies: below the home that the system knows, and below the one of the environment."""
    import pwd

    bases = [os.path.expanduser("~/.config")]
    with suppress(KeyError):  # a user whom the system does not know, as in some containers
        bases.insert(0, os.path.join(pwd.getpwuid(os.geteuid()).pw_dir, ".config"))
    if os.path.isabs(given := os.environ.get("XDG_CONFIG_HOME", "")):
        bases.append(given)
    paths = (os.path.join(os.path.abspath(base), "safeload", "policy.toml") for base in bases)
    return tuple(dict.fromkeys(paths))


def exists(path: str) -> bool:
    """Whether there is anything at `path`. What cannot be told is an error: it must not pass for nothing.

    Raises:
        ConfigError: a directory on the way may not be searched.
    """
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError as error:
        raise _unusable(path, _why(error)) from error
    return True


def nearest(name: str, start: str | None = None, *, roots: dict[str, bool] | None = None) -> str | None:
    """The nearest file of this name, from the working directory up to the root of its project.

    Args:
        roots: which folders are known to begin a project, or not to. For one who looks for several names at once.

    Raises:
        ConfigError: the working directory is gone, so nobody can say which project's file counts.
    """
    try:
        folder = at = os.path.realpath(start) if start else os.getcwd()  # which the system tells without links
    except FileNotFoundError as error:
        raise ConfigError(
            f"{name} was not looked for",
            why="the working directory is not there any more, so nobody can say what project this is",
            remedy="cd to a directory that is there",
        ) from error
    roots = {} if roots is None else roots
    found: str | None = None
    here = False
    while True:
        base = at if at.endswith("/") else f"{at}/"
        if exists(base + name) and found is None:
            found, here = base + name, at == folder
        if base not in roots:
            roots[base] = _is_root(base)
        if roots[base]:
            return found
        parent = os.path.dirname(at)
        if parent == at:  # no project: what lies above the working directory may be anybody's
            return found if here else None
        at = parent


def _is_root(base: str) -> bool:
    """Whether a project begins in this folder; `base` ends with a slash."""
    return any(os.path.lexists(base + root) for root in _ROOTS)


def project_root() -> str:
    """The nearest directory upward that is the root of a project; else the working directory."""
    folder = at = os.path.realpath(os.getcwd())
    while not _is_root(at if at.endswith("/") else f"{at}/"):
        if at == os.path.dirname(at):
            return folder
        at = os.path.dirname(at)
    return at


def policies(
    chosen: str | None = None,
    *,
    formats: Formats | None = None,
    system: str | None = None,
    roots: dict[str, bool] | None = None,
) -> tuple[PolicyFile, ...]:
    """Every policy file that counts. `chosen` stands in for the project's; `roots` as for `nearest`.

    Raises:
        ConfigError: one of them cannot be read or used, or the chosen one is not there.
    """
    found: list[PolicyFile] = []
    places = [("system", system or SYSTEM), *(("user", path) for path in user_files())]
    for layer, path in (*places, ("project", chosen or nearest(file_names.POLICY, roots=roots))):
        if path is not None and (path == chosen or exists(path)):
            found.append(read_policy(path, layer=layer, formats=formats))
    return tuple(found)


def read_policy(path: str, *, layer: str = "project", formats: Formats | None = None) -> PolicyFile:
    """Read one policy file with the files it names.

    Raises:
        ConfigError: it cannot be read or used.
    """
    from safeload.trust import policy_file

    path = os.path.abspath(path)
    folder = os.path.realpath(os.path.dirname(path))

    def make(data: bytes, seen: list[tuple[str, _Seen]]) -> PolicyFile:
        def read(named: str) -> bytes:
            inner = os.path.join(folder, named)
            data, what = _read(inner, most=_LARGEST_KEY, follow=False)
            seen.append((inner, what))
            return data

        return policy_file.parse_policy(
            data, file=path, layer=layer, folder=folder, read=read, real=os.path.realpath, formats=formats
        )

    return _cached(f"policy-{layer}", path, policy_file.LARGEST, make)


def read_lock(path: str) -> Lock:
    """Read one lock file.

    Raises:
        ConfigError: it cannot be read or used.
    """
    from safeload.trust import lockfile

    path = os.path.abspath(path)
    return _cached("lock", path, lockfile.LARGEST, lambda data, _: lockfile.parse_lock(data, file=path))


def locks(chosen: str | None = None, *, roots: dict[str, bool] | None = None) -> tuple[Lock, ...]:
    """The locks that count: the chosen one; else that of the project and that of `SAFELOAD_LOCK`, where they exist.

    Raises:
        ConfigError: one of them cannot be read or used, or one that was named is not there.
    """
    if chosen is not None:
        return (read_lock(chosen),)
    named = os.environ.get(LOCK_VARIABLE) or None
    found = [path for path in (nearest(file_names.LOCK, roots=roots), named) if path is not None]
    return tuple(read_lock(path) for path in dict.fromkeys(map(os.path.abspath, found)))


def user_audits() -> str | None:
    """Where this user's own records of audits lie: below the home that the system knows, whatever the environment says.

    `None` for a user whom the system does not know.
    """
    import pwd

    try:
        home = pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        return None
    return os.path.join(home, ".config", "safeload", file_names.AUDITS)


def audits(chosen: str | None = None) -> tuple[Audits, ...]:
    """The records of audits that count: the system's, the user's, and the project's. Read anew every time.

    Args:
        chosen: stands in for the project's file.

    Raises:
        ConfigError: one, or a file that it imports, cannot be read or used; or the one that was named is not there.
    """
    found: dict[str, str] = {}
    for path in (SYSTEM_AUDITS, user_audits(), chosen or nearest(file_names.AUDITS)):
        if path is not None and (path == chosen or exists(path)):
            found.setdefault(os.path.realpath(path), path)
    return tuple(read_audits(path) for path in found.values())


def read_audits(path: str) -> Audits:
    """Read one file of records with the files it imports, and the signatures beside each.

    Raises:
        ConfigError: it cannot be read or used.
    """
    return parse_audits(path, audits_bytes(path))


def audits_bytes(path: str) -> bytes:
    """The bytes of a file of records. Raises as `read_audits` does."""
    from safeload.trust import audits as audit_file

    return _read(os.path.abspath(path), most=audit_file.LARGEST, follow=True)[0]


def signatures(path: str) -> tuple[bytes, ...]:
    """The signatures beside one file of records. Raises as `read_audits` does."""
    from safeload.trust import audits as audit_file

    beside = os.path.realpath(path) + audit_file.SIGNATURES
    lines = _read(beside, most=audit_file.LARGEST, follow=False)[0].splitlines() if exists(beside) else []
    return tuple(line for line in lines if line.strip())


def parse_audits(path: str, data: bytes) -> Audits:
    """Read these bytes as the file of records at `path`. Raises as `read_audits` does."""
    from safeload.trust import audits as audit_file

    path = os.path.abspath(path)
    folder = os.path.dirname(os.path.realpath(path))

    def read(named: str) -> bytes:
        inner = os.path.join(folder, named)
        if inner.endswith(audit_file.SIGNATURES) and not exists(inner):
            return b""
        return _read(inner, most=audit_file.LARGEST, follow=False)[0]

    signatures = read(os.path.basename(os.path.realpath(path)) + audit_file.SIGNATURES)
    return audit_file.parse_audits(
        data, file=path, folder=folder, read=read, real=os.path.realpath, signatures=signatures
    )


def _cached(use: str, path: str, most: int, make: Callable[[bytes, list[tuple[str, _Seen]]], T]) -> T:
    key = (use, path)
    known = _CACHE.get(key)
    if known is not None and all(_stat(name) == what for name, what in known[0]):
        return known[1]  # type: ignore[return-value]  # the use says what it is
    data, what = _read(path, most=most, follow=True)
    seen = [(path, what)]
    made = make(data, seen)
    if all(time.time_ns() - what.ctime_ns > _MOMENT_NS for _, what in seen):
        _CACHE[key] = (tuple(seen), made)
    return made


def _stat(path: str) -> _Seen | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return _Seen(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _read(path: str, *, most: int, follow: bool) -> tuple[bytes, _Seen]:
    """The bytes of a regular file that nobody else may write, and what it was."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW))
    except (OSError, ValueError) as error:
        why = "it is a link, and what it leads to may change" if _is_link(path) and not follow else _why(error)
        raise _unusable(path, why) from error
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise _unusable(path, "it is not a regular file")
    with open(descriptor, "rb") as stream:
        if found.st_mode & stat.S_IWOTH:
            raise _unusable(path, "everybody may write it", f"chmod o-w {escape(path)}")
        if found.st_uid not in (0, os.geteuid()) and _open_to_all(os.path.dirname(os.path.realpath(path))):
            raise _unusable(path, "somebody else put it into a directory that everybody may write")
        if found.st_size > most:
            raise _unusable(path, f"it has {found.st_size:,} bytes, and more than {most:,} are not read")
        data = stream.read(most + 1)
    if len(data) != found.st_size:
        raise _unusable(path, "it changed while it was read", "try again")
    return data, _Seen(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _open_to_all(folder: str) -> bool:
    return bool(os.stat(folder).st_mode & stat.S_IWOTH)


def _is_link(path: str) -> bool:
    return "\0" not in path and os.path.islink(path)


def _why(error: OSError | ValueError) -> str:
    return (error.strerror or "it cannot be opened") if isinstance(error, OSError) else "its name is none"


def _unusable(path: str, why: str, remedy: str = "") -> ConfigError:
    return ConfigError(
        f"{escape(path)} was not used", where=Location(path), why=why, remedy=remedy or f"ls -l {escape(path)}"
    )
