"""One build of a kernel: its files, read once; for a load, copied into a private directory on the same pass.

A repository of kernels holds builds, `build/<variant>/`, for different machines and libraries. A build is a package of
Python, with native libraries in it, and `metadata.json`. Nothing here runs any of it.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from typing import Any

from safeload.core.digest import tree_digest
from safeload.core.errors import LimitExceeded, MalformedInput, SourceError, VerificationFailed
from safeload.core.limits import Limits
from safeload.core.names import Location, escape
from safeload.core.paths import is_safe_relative
from safeload.engine.kernels import Wanted, refuse_revoked
from safeload.engine.options import Options
from safeload.engine.request import Access
from safeload.sources.base import Snapshot
from safeload.sources.failures import os_failure, quoted
from safeload.sources.hashers import new_hasher
from safeload.sources.hub import hub_snapshot
from safeload.sources.pinned import GIT_SHA1, SHA256
from safeload.sources.store import Store
from safeload.trust.kernels import REPOSITORY, VARIANT, Kernel

BUILDS = "build/"
"""Where the builds of a kernel lie in its repository, each in a folder that is named for what it was built for."""
METADATA = "metadata.json"
_WINDOW = 1 << 20
_MOST_SOURCE = 64 << 20
_NATIVE = re.compile(r"\.(?:so|pyd|dll|dylib)(?:\.[0-9.]+)?\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelFile:
    """One file of a build."""

    path: str
    """In the repository: `build/<variant>/…`."""
    sha256: str
    size: int
    source: bytes | None = None
    """Its content, if it is Python or the build's metadata."""

    @property
    def native(self) -> bool:
        """Whether a loader would link it in."""
        return bool(_NATIVE.search(self.path))


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One build of a kernel, read to the end."""

    repository: str
    revision: str
    variant: str
    files: tuple[KernelFile, ...]
    folder: str = ""
    """A private directory that holds the files; empty if it was only read."""

    @property
    def digest(self) -> str:
        return tree_digest({file.path: file.sha256 for file in self.files})

    @property
    def root(self) -> str:
        """The folder of the package, in the repository.

        Raises:
            MalformedInput: there is no package.
        """
        base = f"{BUILDS}{self.variant}"
        paths = {file.path for file in self.files}
        names = [self.repository.rpartition("/")[2], *_named(self._metadata, "name")]
        for folder in (base, *(f"{base}/{name.replace('-', '_')}" for name in names)):
            if f"{folder}/__init__.py" in paths:
                return folder
        raise MalformedInput(
            f"the build {escape(self.variant)} holds no package",
            where=Location(f"{self.repository}: {base}/__init__.py"),
            why="there is no such file",
            remedy="look at its files: safeload kernel " + quoted(f"{self.repository}@{self.revision}"),
        )

    @property
    def depends(self) -> tuple[Wanted, ...]:
        """The kernels that this one asks for while it is imported.

        Raises:
            MalformedInput: its metadata cannot be read.
        """
        found = []
        for item in self._metadata.get("kernel-depends") or ():
            name = item.get("repo-id") if isinstance(item, dict) else None
            version, revision = (item.get(key) for key in ("version", "revision")) if name else (None, None)
            asked = revision if isinstance(revision, str) else f"v{version}" if type(version) is int else ""
            if not isinstance(name, str) or not REPOSITORY.fullmatch(name) or not asked:
                raise self._unreadable("a kernel that it depends on is not named")
            found.append(Wanted(name, asked))
        return tuple(found)

    @property
    def _metadata(self) -> dict[str, Any]:
        path = f"{BUILDS}{self.variant}/{METADATA}"
        data = next((file.source for file in self.files if file.path == path), None)
        if data is None:
            return {}
        import json

        try:
            found = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise self._unreadable("it is no JSON") from error
        if type(found) is not dict or type(found.get("kernel-depends") or []) is not list:
            raise self._unreadable("it is no table, or what it depends on is no list")
        return found

    def _unreadable(self, why: str) -> MalformedInput:
        where = Location(f"{self.repository}: {BUILDS}{self.variant}/{METADATA}")
        return MalformedInput("the metadata of a kernel cannot be read", where=where, why=why)


def _named(metadata: Mapping[str, object], key: str) -> Iterator[str]:
    value = metadata.get(key)
    if isinstance(value, str) and is_safe_relative(value) and "/" not in value:
        yield value


def snapshot_of(wanted: Wanted, access: Access, options: Options) -> Snapshot:
    """The repository at the commit that is asked for. Raises `SourceError` if it cannot be had."""
    return hub_snapshot(
        wanted.repository,
        reference=wanted.repository,
        limits=options.limits,
        revision=wanted.asked,
        cache_dir=access.cache_dir,
        token=access.token,
        local_files_only=access.local_files_only,
        force_download=access.force_download,
        proxies=access.proxies,
        kind="kernels",
    )


def variants(snapshot: Snapshot) -> tuple[str, ...]:
    """The builds that a repository has."""
    inner = (path.removeprefix(BUILDS) for path in snapshot.listing if path.startswith(BUILDS))
    return tuple(sorted({path.partition("/")[0] for path in inner if "/" in path}))


def fetch(kernel: Kernel, wanted: Wanted, access: Access, options: Options, *, model: str = "") -> Build:
    """A listed build, in a private directory of this process that lives as long as it does.

    Promised: the files have the listed digest; they are the bytes that were digested; no other file lies there.

    Raises:
        VerificationFailed: the repository has other bytes at that commit, or the cache was changed.
        PolicyDenied: one of the files is revoked.
        SourceError: it cannot be fetched or written.
    """
    snapshot = snapshot_of(Wanted(kernel.repository, kernel.revision), access, options)
    area = Store(options.store).view()
    try:
        build = read_build(snapshot, kernel.repository, kernel.variant, options.limits, into=area.path)
        if build.digest != kernel.digest or build.revision != kernel.revision:
            raise VerificationFailed(
                f"the kernel {wanted} was not run",
                mismatches={
                    f"build {escape(kernel.variant)} at {build.revision}": f"its files are {build.digest}, and "
                    f"{escape(kernel.place)} of the policy lists {kernel.digest}"
                },
                remedy=f"safeload cache verify; what it is now: {Wanted(kernel.repository, kernel.revision).command}",
            )
        marks = {f"file-sha256:{file.sha256}": escape(file.path) for file in build.files}
        refuse_revoked(marks, wanted, options, model)
    except BaseException:
        area.close()
        raise
    return build


def read_build(snapshot: Snapshot, repository: str, variant: str, limits: Limits, *, into: str = "") -> Build:
    """Read every file of a build once; with `into`, also write it there. Nothing of it runs.

    Raises:
        SourceError: it is not there, or cannot be fetched.
        VerificationFailed: a file is not what the hub recorded for it.
        MalformedInput: a name cannot be that of a file here, or is that of compiled Python, which nobody can read.
        LimitExceeded: there is more Python in it than anybody could read.
    """
    base = f"{BUILDS}{variant}/"
    paths = sorted(path for path in snapshot.listing if path.startswith(base))
    if not paths:
        builds = ", ".join(map(escape, variants(snapshot))) or "none"
        raise SourceError(
            f"the kernel {escape(repository)} was not read",
            where=f"{escape(repository)} at {snapshot.revision}",
            why=f"it has no build {escape(variant)!r}; it has {builds}",
            remedy=f"safeload kernel {quoted(repository)}",
        )
    for path in paths:
        _check_name(path, variant, repository)
    snapshot.fetch(paths)
    files, left = [], _MOST_SOURCE
    for path in paths:
        file = _read(snapshot, path, min(left, limits.text_bytes), into)
        left -= len(file.source or b"")
        files.append(file)
    return Build(
        repository=repository, revision=snapshot.revision or "", variant=variant, files=tuple(files), folder=into
    )


def _check_name(path: str, variant: str, repository: str) -> None:
    parts = path.split("/")
    if not is_safe_relative(path) or not VARIANT.fullmatch(variant):
        why = "it is no plain path"
    elif path.endswith((".pyc", ".pyo")) or "__pycache__" in parts:
        why = "it is compiled Python, which nobody can read"
    else:
        return
    raise MalformedInput(
        "a file of a kernel cannot be used",
        where=Location(f"{repository}: {path}"),
        why=why,
        remedy="ask its publisher for a build without it",
    )


def _read(snapshot: Snapshot, path: str, most: int, into: str) -> KernelFile:
    """Read one file, and write it in the same pass."""
    kept = path.endswith(".py") or posixpath.basename(path) == METADATA
    with snapshot.open(path) as file:
        recorded = file.recorded
        if kept and file.size > most:
            raise LimitExceeded("text_bytes", allowed=most, wanted=file.size, where=Location(path))
        hashers = {name: new_hasher(name, file.size) for name in {SHA256, recorded.algorithm if recorded else SHA256}}
        source, buffer, offset = bytearray(), memoryview(bytearray(min(_WINDOW, max(file.size, 1)))), 0
        out = _create(into, path) if into else None
        try:
            while count := file.read_into(buffer, offset):
                for hasher in hashers.values():
                    hasher.update(buffer[:count])
                if out is not None:
                    _write(out, buffer[:count], path)
                if kept:
                    source += buffer[:count]
                offset += count
        finally:
            if out is not None:
                os.close(out)
        file.verify_unchanged()
    digests = {name: hasher.hexdigest() for name, hasher in hashers.items()}
    if (
        recorded is not None
        and recorded.algorithm in (SHA256, GIT_SHA1)
        and digests[recorded.algorithm] != recorded.value
    ):
        raise VerificationFailed(
            "a file of a kernel was not used",
            mismatches={escape(path): f"its {recorded.algorithm} is not the one that the hub recorded"},
            remedy="safeload cache verify",
        )
    return KernelFile(path=path, sha256=digests[SHA256], size=offset, source=bytes(source) if kept else None)


def _create(folder: str, path: str) -> int:
    """Make one file, and the directories that it lies in, for this user alone."""
    try:
        within = folder
        for part in path.split("/")[:-1]:
            within = os.path.join(within, part)
            with suppress(FileExistsError):
                os.mkdir(within, 0o700)
        path = os.path.join(folder, path)
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o400)
    except OSError as error:
        raise os_failure(error, "a kernel could not be written", path=path) from error


def _write(descriptor: int, data: memoryview, path: str) -> None:
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError as error:
        raise os_failure(error, "a kernel could not be written", path=path) from error


def module_names(package: str, build: Build) -> dict[str, str]:
    """The full name of the module that each file of a build is, by its path.

    Raises:
        MalformedInput: an import could mean two of them, or a name holds a dot.
    """
    root, names, seen = build.root, dict[str, str](), dict[str, str]()
    for file in build.files:
        inner = file.path.removeprefix(f"{root}/")
        if not file.path.startswith(f"{root}/"):
            continue
        suffix = next((s for s in (".py", *EXTENSION_SUFFIXES) if inner.endswith(s)), "")
        if not (module := inner.removesuffix(suffix) if suffix else ""):
            continue
        module = module.removesuffix("/__init__") if file.path.endswith(".py") else module
        full = package if module == "__init__" else f"{package}.{module.replace('/', '.')}"
        if "." in module or full in seen:
            raise MalformedInput(
                "a file of a kernel cannot be used",
                where=Location(f"{build.repository}: {file.path}"),
                why=f"an import could mean {escape(seen[full])} as well" if full in seen else "its name holds a dot",
                remedy="ask its publisher for a build in which it is named otherwise",
            )
        names[file.path], seen[full] = full, file.path
    return names
