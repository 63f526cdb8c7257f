"""Importing a kernel that a policy lists, from the bytes that were digested.

1. Its Python is in memory, in a package of its own that is named by the digest (`safeload_approved.k…`), beside the
   approved code of models and under its rules: no `__pycache__`, no directory on the path, also for later imports.
2. Native libraries cannot be linked in from memory. They lie in a private directory that only this user can enter, and
   every file there is digested again straight before the package is imported; an extension module once more straight
   before it is linked in.
3. A kernel is imported once in a process, however many models ask for it.

Not promised: anything against this user's other programs, which could write that directory between the last look and
the linker's own; or that native code does no more than its reader saw. It runs with all that this process may do.
"""

from __future__ import annotations

import hmac
import os
import stat
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType

from safeload.core.errors import VerificationFailed
from safeload.core.names import escape
from safeload.engine import approved
from safeload.engine.kernels import Wanted
from safeload.engine.kernels.build import Build, module_names
from safeload.sources.pinned import pin_file

_lock = threading.RLock()
_imported: dict[str, ModuleType] = {}
"""By the digest of the build."""

Using = Callable[[Mapping[str, ModuleType]], AbstractContextManager[object]]
"""Makes the kernels that a kernel depends on available to it, by their repositories, while it is imported."""


def loaded(digest: str) -> ModuleType | None:
    """The kernel that was imported from these bytes before, if it was."""
    return _imported.get(digest)


def package_of(digest: str) -> str:
    """The package that a kernel of this digest lives in."""
    return f"{approved.PACKAGE}.k{b64decode(digest.removeprefix('h1:')).hex()}"


def import_kernel(
    build: Build,
    depend: Callable[[Wanted], ModuleType] | None = None,
    using: Using | None = None,
    watching: AbstractContextManager[object] | None = None,
) -> ModuleType:
    """Import a build that was fetched; once in a process.

    Args:
        depend: gives a kernel that this one depends on.
        using: makes those available.
        watching: is entered while the code runs: a tripwire.

    Raises:
        VerificationFailed: a file in the private directory is not what was digested, or is not from there; or another
            module stands where this one belongs.
        MalformedInput: it holds no package, or an import could mean two of its files.
        Exception: whatever the code raises while it is imported.
    """
    with _lock:
        if (known := _imported.get(build.digest)) is not None:
            return known
        package = package_of(build.digest)
        names = module_names(package, build)
        depends = {wanted.repository: depend(wanted) for wanted in build.depends} if depend else {}
        by_path = {file.path: file for file in build.files}
        modules = {
            full: approved.Module(
                source=by_path[path].source or b"",
                sha256=by_path[path].sha256,
                path=os.path.join(build.folder, path),
                is_package=path.endswith("/__init__.py"),
                native=by_path[path].source is None,
            )
            for path, full in names.items()
        }
        verify(build)
        approved.register(package, modules)
        with watching or nullcontext(), using(depends) if using and depends else nullcontext():
            module = approved.import_module(package, package)
        _imported[build.digest] = module
        return module


def verify(build: Build) -> None:
    """Compare the private directory with what was digested.

    Raises:
        VerificationFailed: a file differs, is missing, is a link, or is one too many.
    """
    wrong: dict[str, str] = {}
    found = dict(_walk(build.folder))
    for file in build.files:
        mode = found.pop(file.path, None)
        if mode is None:
            wrong[escape(file.path)] = "it is gone"
        elif not stat.S_ISREG(mode):
            wrong[escape(file.path)] = "it is no file"
        else:
            with pin_file(os.path.join(build.folder, file.path)) as opened:
                if not hmac.compare_digest(opened.sha256(), file.sha256):
                    wrong[escape(file.path)] = "it is not what was digested"
    wrong |= dict.fromkeys(map(escape, found), "it was put there by somebody else")
    if wrong:
        raise VerificationFailed(f"the kernel {escape(build.repository)} was not run", mismatches=wrong)


def _walk(folder: str) -> Iterator[tuple[str, int]]:
    """Everything in a directory that is none itself, with its mode."""
    pending = [""]
    while pending:
        within = pending.pop()
        with os.scandir(os.path.join(folder, within)) as entries:
            for entry in entries:
                path = f"{within}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    pending.append(f"{path}/")
                else:
                    yield path, entry.stat(follow_symlinks=False).st_mode
