"""Approved code, run from the very bytes that were approved.

1. One function executes, `_execute`, and only bytes whose digest it has just checked.
2. Modules live under a package of their own, named by the digest of the code. Nothing that lies on a disk is imported:
   no cache of modules, no compiled file, no directory of the model. What another process changes has no effect.
3. Only a class or function that the approval names is given out; its module may import the rest of the same code.
4. The source also lies in a private directory, for tracebacks, `inspect` and `save_pretrained`; it is never run there.

Not promised: that the code does nothing else than its auditor saw. It runs with all that this process may do.
"""

from __future__ import annotations

import hmac
import importlib
import os
import posixpath
import sys
import threading
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from safeload.core.digest import sha256, tree_digest
from safeload.core.errors import PolicyDenied, VerificationFailed
from safeload.core.finding import Report
from safeload.core.names import Location, escape
from safeload.core.policy import Reason, Verdict
from safeload.engine.audit.closure import Closure, Entry
from safeload.sources.failures import os_failure
from safeload.sources.store import Store

PACKAGE = "safeload_approved"
"""The package that all approved code lives in. There is no such file anywhere."""
_OTHER = "--"
_lock = threading.RLock()
_modules: dict[str, _Module] = {}
"""By full name, every module and package of all code that was approved in this process."""


@dataclass(frozen=True, slots=True)
class _Module:
    source: bytes
    sha256: str
    path: str
    """Where the source can be read; empty for a package that is only a folder."""
    is_package: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovedCode:
    """Code that may run. Made by `approve` alone."""

    reference: str
    digest: str
    entries: tuple[Entry, ...]
    names: Mapping[str, str]
    """The full name of the module of each file."""
    subfolder: str = ""

    def find(self, repository: str, file: str) -> str | None:
        """The name in the closure of a file that a loader asks for; `None` if no entry of the approval names it."""
        inner = f"{repository}{_OTHER}{file}" if repository else file
        within = posixpath.normpath(posixpath.join(self.subfolder, file)) if not repository else inner
        wanted = [entry.file for entry in self.entries]
        return next((name for name in (within, inner) if name in wanted), None)

    def load(self, repository: str, file: str, attribute: str) -> Any:
        """The class or function of this name, its module imported.

        Raises:
            PolicyDenied: the approval does not name it as an entry.
            Exception: whatever the code itself raises while it is imported.
        """
        name = self.find(repository, file)
        module = file.removesuffix(".py").replace("/", ".")
        target = f"{repository}{_OTHER}{module}.{attribute}" if repository else f"{module}.{attribute}"
        for entry in self.entries:
            if entry.file == name and entry.target in (target, name):
                return getattr(importlib.import_module(self.names[entry.file]), attribute)
        reason = Reason(
            f"{escape(target)} is no entry of the approved code",
            f"safeload audit {escape(self.reference)}",
            (Location(file),),
        )
        raise PolicyDenied(
            f"loading {escape(self.reference)!r} was stopped half way",
            verdict=Verdict("code", allowed=False, reasons=(reason,)),
            report=Report(target=self.reference),
        )


def approve(closure: Closure, digest: str, *, reference: str, store: Store, subfolder: str = "") -> ApprovedCode:
    """Make code ready to run that an approval names by its digest.

    Raises:
        VerificationFailed: the closure is not that code.
        SourceError: its source could not be written to a private directory.
    """
    digests = {file.name: sha256(file.source) for file in closure.files}
    if not hmac.compare_digest(tree_digest(digests), digest):
        raise VerificationFailed(
            "the code is not the code that was approved", mismatches={reference: "its digest differs"}
        )
    package = f"{PACKAGE}.c{b64decode(digest.removeprefix('h1:')).hex()}"
    repositories = sorted({_split(name)[0] for name in digests} | {""})
    names = {name: _module_name(package, repositories, name) for name in digests}
    with _lock:
        if package not in _modules:
            _register(package, closure, names, digests, repositories, store)
        if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
            sys.meta_path.insert(0, _Finder())
    return ApprovedCode(reference=reference, digest=digest, entries=closure.entries, names=names, subfolder=subfolder)


def _split(name: str) -> tuple[str, str]:
    repository, _, path = name.rpartition(_OTHER)
    return repository, path


def _module_name(package: str, repositories: Sequence[str], name: str) -> str:
    repository, path = _split(name)
    module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    root = f"{package}.r{repositories.index(repository)}"
    return root if module == "__init__" else f"{root}.{module}"


def _register(
    package: str,
    closure: Closure,
    names: Mapping[str, str],
    digests: Mapping[str, str],
    repositories: Sequence[str],
    store: Store,
) -> None:
    folder = store.view().path
    found: dict[str, _Module] = {}
    for file in sorted(closure.files, key=lambda file: file.name.endswith("/__init__.py")):  # a package wins
        repository, inner = _split(file.name)
        path = os.path.join(folder, f"r{repositories.index(repository)}", inner)
        _write(path, file.source)
        is_package = posixpath.basename(inner) == "__init__.py"
        found[names[file.name]] = _Module(file.source, digests[file.name], path, is_package)
    for name in [*found, package]:
        while name := name.rpartition(".")[0]:
            found.setdefault(name, _Module(b"", sha256(b""), "", True))
    found.setdefault(package, _Module(b"", sha256(b""), "", True))
    _modules.update({name: module for name, module in found.items() if name not in _modules})


def _write(path: str, source: bytes) -> None:
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(path, "xb") as stream:
            stream.write(source)
        os.chmod(path, 0o400)
    except OSError as error:
        raise os_failure(error, "the source of approved code could not be written", path=path) from error


class _Finder(MetaPathFinder):
    """Finds approved modules by their full name, and nothing else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        found = _modules.get(fullname)
        if found is None:
            return None
        return ModuleSpec(fullname, _Loader(found), origin=found.path or None, is_package=found.is_package)


class _Loader(Loader):
    """Loads one module from its bytes."""

    def __init__(self, module: _Module) -> None:
        self._module = module

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        if self._module.path:
            module.__file__ = self._module.path
        _execute(self._module, module)

    def get_source(self, fullname: str) -> str:
        """For tracebacks and `inspect`."""
        from importlib.util import decode_source

        return decode_source(self._module.source)

    def is_package(self, fullname: str) -> bool:
        return self._module.is_package


def _execute(code: _Module, module: ModuleType) -> None:
    """Run a module. The one place in safeload where code of a model runs: bytes of an approved closure, no others.

    Raises:
        VerificationFailed: they are not.
        Exception: whatever the code raises.
    """
    if not hmac.compare_digest(sha256(code.source), code.sha256):
        raise VerificationFailed(
            "a module was not run", mismatches={module.__name__: "its bytes are not those approved"}
        )
    exec(compile(code.source, code.path or f"<{module.__name__}>", "exec", dont_inherit=True), module.__dict__)
