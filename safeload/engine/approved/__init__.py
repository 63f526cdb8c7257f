"""Approved code, run from the very bytes that were approved.

1. One function executes, `_execute`, and only bytes whose digest it has just checked.
2. Modules live under a package of their own, named by the digest of the code. Nothing that lies on a disk is imported:
   no cache of modules, no compiled file, no directory of the model. What another process changes has no effect.
3. Only a class or function that the approval names is given out; its module may import the rest of the same code.
4. The source also lies in a private directory, for tracebacks, `inspect` and `save_pretrained`; it is not run from
   there, with one exception: a process that this one starts reads it (`inherit`), and compares it with the name of the
   package, which is the digest.

Not promised: that the code does nothing else than its auditor saw. It runs with all that this process may do.
"""

from __future__ import annotations

import hmac
import importlib
import json
import os
import posixpath
import re
import sys
import threading
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from importlib.util import spec_from_file_location
from types import ModuleType
from typing import Any

from safeload.core.digest import sha256, tree_digest
from safeload.core.errors import MalformedInput, PolicyDenied, VerificationFailed
from safeload.core.finding import Report
from safeload.core.names import Location, escape
from safeload.core.paths import is_safe_relative
from safeload.core.policy import Reason, Verdict
from safeload.engine.approved.imports import builtins_for
from safeload.engine.audit.closure import Closure, Entry
from safeload.sources.failures import os_failure
from safeload.sources.pinned import pin_file
from safeload.sources.store import Store

PACKAGE = "safeload_approved"
"""The package that all approved code lives in. The file of that name, beside `safeload`, holds no code: it is what
lets a process that this one starts find `inherit`."""
ENVIRONMENT = "SAFELOAD_APPROVED"
"""Where this process tells those that it starts in which directories the source lies."""
_CODE = re.compile(rf"{PACKAGE}\.c([0-9a-f]{{64}})(?:\.|\Z)")
_INDEX = "code.json"
_HUB = "hubconf"
"""The module that makes code one of `torch.hub`, where absolute imports mean files beside it."""
_MOST = 64 * 1024 * 1024
_OTHER = "--"
_lock = threading.RLock()
_modules: dict[str, Module] = {}
"""By full name, every module and package of all code that was approved in this process."""
_made: set[str] = set()
"""The full names of the modules that were executed here."""


@dataclass(frozen=True, slots=True)
class Module:
    source: bytes
    sha256: str
    path: str
    """Where the source can be read; empty for a package that is only a folder."""
    is_package: bool
    native: bool = False
    """Whether it is an extension module, which is linked in from `path`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovedCode:
    """Code that may run. Made by `approve` alone."""

    reference: str
    digest: str
    entries: tuple[Entry, ...]
    sources: Mapping[str, bytes] = field(repr=False)
    """The content of each file, by its name in the closure."""
    package: str
    subfolder: str = ""
    capabilities: frozenset[str] | None = None
    """What the code may do while it loads; `None` if no policy says. See `engine.approved.tripwire`."""

    def find(self, repository: str, file: str) -> str | None:
        """The name in the closure of a file that a loader asks for; `None` if no entry of the approval names it.

        transformers looks for the code of a model in a subfolder at the root; other loaders look beside the config.
        """
        inner = f"{repository}{_OTHER}{file}" if repository else file
        within = posixpath.normpath(posixpath.join(self.subfolder, file)) if not repository else inner
        wanted = {entry.file for entry in self.entries}
        return next((name for name in (inner, within) if name in wanted), None)

    def load(self, repository: str, file: str, attribute: str) -> Any:
        """The class or function of this name, its module imported.

        Raises:
            PolicyDenied: the approval does not name it as an entry.
            VerificationFailed: another module stands where this code belongs.
            Exception: whatever the code itself raises while it is imported.
        """
        name = self.find(repository, file)
        module = file.removesuffix(".py").replace("/", ".")
        target = f"{repository}{_OTHER}{module}.{attribute}" if repository else f"{module}.{attribute}"
        for entry in self.entries:
            if entry.file == name and entry.target in (target, name):
                return getattr(import_module(self.package, _module_names(self.package, self.sources)[name]), attribute)
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

    def module(self, file: str) -> ModuleType:
        """The module of a file that is an entry as a whole, such as `pipeline.py`. Raises as `load` does."""
        return sys.modules[str(self.load("", file, "__name__"))]

    @property
    def own(self) -> Mapping[str, bytes]:
        """The files of the model itself, without those of other repositories."""
        return {name: source for name, source in self.sources.items() if _OTHER not in name}


def approve(
    closure: Closure,
    digest: str,
    *,
    reference: str,
    store: Store,
    subfolder: str = "",
    capabilities: frozenset[str] | None = None,
) -> ApprovedCode:
    """Make code ready to run that an approval names by its digest.

    Raises:
        VerificationFailed: the closure is not that code, or its names are not those of modules.
        SourceError: its source could not be written to a private directory.
    """
    sources = {file.name: file.source for file in closure.files}
    package = _verified(sources, digest, reference)
    with _lock:
        if package not in _modules:
            _keep(package, sources, store)
        _install()
    return ApprovedCode(
        reference=reference,
        digest=digest,
        entries=closure.entries,
        sources=sources,
        package=package,
        subfolder=subfolder,
        capabilities=capabilities,
    )


def unusable(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The files whose names cannot be those of modules, each with why. What is approved must be what is imported."""
    seen: dict[str, str] = {}
    for name in sorted(names):
        repository, _, path = name.rpartition(_OTHER)
        module = path.removesuffix(".py").removesuffix("/__init__")
        if not is_safe_relative(path) or not path.endswith(".py") or (repository and not _is_repository(repository)):
            yield name, "its name is no plain path of a Python file"
        elif "." in module:
            yield name, "its name holds a dot, which an import would take for a folder"
        elif (other := seen.setdefault(f"{repository}{_OTHER}{module}", name)) != name:
            yield name, f"an import could mean it or {escape(other)}"


def _is_repository(name: str) -> bool:
    """Whether it can be the name of a repository. An own file with `--` in its name would read as one, and is none."""
    return name.count("/") == 1 and _OTHER not in name and is_safe_relative(name)


def _verified(sources: Mapping[str, bytes], digest: str, reference: str) -> str:
    """The package of code that has this digest.

    Raises:
        VerificationFailed: the code has another, or names that are none of modules.
    """
    found = tree_digest({name: sha256(source) for name, source in sources.items()})
    if not hmac.compare_digest(found, digest):
        raise VerificationFailed(
            "the code is not the code that was approved", mismatches={reference: "its digest differs"}
        )
    if wrong := dict(unusable(tuple(sources))):
        raise VerificationFailed("the code cannot be imported as it was approved", mismatches=wrong)
    return _package(digest)


def _package(digest: str) -> str:
    return f"{PACKAGE}.c{b64decode(digest.removeprefix('h1:')).hex()}"


# ── names ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _module_names(package: str, files: Mapping[str, bytes]) -> dict[str, str]:
    """The full name of the module of each file."""
    roots = _roots(files)
    names: dict[str, str] = {}
    for name in files:
        repository, _, path = name.rpartition(_OTHER)
        module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        root = f"{package}.{roots[repository]}"
        names[name] = root if module == "__init__" else f"{root}.{module}"
    return names


def _roots(files: Mapping[str, bytes]) -> dict[str, str]:
    """The package of each repository: the model's own is the first."""
    repositories = sorted({"", *(name.rpartition(_OTHER)[0] for name in files)})
    return {repository: f"r{number}" for number, repository in enumerate(repositories)}


# ── the private directory ───────────────────────────────────────────────────────────────────────────────────────────


def _keep(package: str, sources: Mapping[str, bytes], store: Store) -> None:
    """Write the source down, tell later processes where, and register its modules."""
    folder = store.view().path
    roots = _roots(sources)
    places = {name: f"{roots[name.rpartition(_OTHER)[0]]}/{name.rpartition(_OTHER)[2]}" for name in sources}
    for name, source in sources.items():
        _write(os.path.join(folder, places[name]), source)
    _write(os.path.join(folder, _INDEX), json.dumps({"package": package, "files": places}).encode())
    _register(package, sources, {name: os.path.join(folder, place) for name, place in places.items()})
    os.environ[ENVIRONMENT] = os.pathsep.join([*filter(None, [os.environ.get(ENVIRONMENT)]), folder])


def _write(path: str, source: bytes) -> None:
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(path, "xb") as stream:
            stream.write(source)
        os.chmod(path, 0o400)
    except OSError as error:
        raise os_failure(error, "the source of approved code could not be written", path=path) from error


def _register(package: str, sources: Mapping[str, bytes], paths: Mapping[str, str]) -> None:
    names = _module_names(package, sources)
    found = {
        names[name]: Module(source, sha256(source), paths[name], posixpath.basename(paths[name]) == "__init__.py")
        for name, source in sources.items()
    }
    register(package, found)


def register(package: str, modules: Mapping[str, Module]) -> None:
    """Let modules be imported under their full names, which lie in `package`."""
    folder, found = Module(b"", sha256(b""), "", True), dict(modules)
    for name in [*found, package]:
        while name := name.rpartition(".")[0]:
            found.setdefault(name, folder)
    found.setdefault(package, folder)
    found.pop(PACKAGE)
    with _lock:
        _modules.setdefault(PACKAGE, folder)
        _modules.update(found)


def files_beside(module: str) -> Mapping[str, bytes]:
    """All files of the repository that a module of approved code is from, by their path in it; else none."""
    if (code := _CODE.match(module)) is None:
        return {}
    root = f"{PACKAGE}.c{code[1]}.{module[code.end() :].partition('.')[0]}"
    found: dict[str, bytes] = {}
    for name, one in [*_modules.items()]:
        if one.path and (name == root or name.startswith(f"{root}.")):
            path = name.removeprefix(root).removeprefix(".").replace(".", "/")
            file = f"{path}/__init__.py".removeprefix("/") if one.is_package else f"{path}.py"
            found[file] = one.source
    return found


def is_source(path: str | os.PathLike[str]) -> bool:
    """Whether a file is the readable copy of a module of approved code."""
    wanted = os.path.abspath(path)
    return any(one.path == wanted for one in [*_modules.values()])


def inherit() -> None:
    """Let this process, which another one started, import what was approved there. Called by the package itself.

    Promised: the code that is imported is the code whose digest its package is named by, read once and compared.
    """
    with _lock:
        _modules.setdefault(PACKAGE, Module(b"", sha256(b""), "", True))
        _install()


def _inherit(package: str) -> None:
    """Register code that the process which started this one approved, if its directory is still there."""
    for folder in filter(None, os.environ.get(ENVIRONMENT, "").split(os.pathsep)):
        try:
            index = json.loads(_read(folder, _INDEX))
            if index["package"] != package:
                continue
            places = {str(name): str(place) for name, place in index["files"].items()}
            sources = {name: _read(folder, place) for name, place in places.items() if is_safe_relative(place)}
            digest = tree_digest({name: sha256(source) for name, source in sources.items()})
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, MalformedInput):
            continue  # it is gone, or none of ours; then the import fails, and says which module is not there
        if _package(digest) == package and not dict(unusable([*sources])):
            _register(package, sources, {name: os.path.join(folder, place) for name, place in places.items()})
            return


def _read(folder: str, name: str) -> bytes:
    descriptor = os.open(os.path.join(folder, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as stream:
        data = stream.read(_MOST + 1)
    if len(data) > _MOST:
        raise ValueError("too long")
    return data


# ── importing ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _install() -> None:
    """See that nothing else is asked before us where these modules are."""
    if not sys.meta_path or not isinstance(sys.meta_path[0], _Finder):
        sys.meta_path[:] = [_Finder(), *(finder for finder in sys.meta_path if not isinstance(finder, _Finder))]


def import_module(package: str, name: str) -> ModuleType:
    """Import one module of approved code.

    Raises:
        VerificationFailed: somebody put another module in its place, or in that of one it may import.
    """
    _install()
    _refuse_strangers(package)
    module = importlib.import_module(name)
    _refuse_strangers(package)
    return module


def _refuse_strangers(package: str) -> None:
    strangers = {
        name: "a module that is not approved stands in its place"
        for name in [*sys.modules]
        if (name == package or name.startswith(f"{package}.")) and name not in _made
    }
    if strangers:
        raise VerificationFailed("approved code was not imported", mismatches=strangers)


class _Finder(MetaPathFinder):
    """Finds approved modules by their full name, and nothing else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _modules and (code := _CODE.match(fullname)):
            with _lock:
                if (package := f"{PACKAGE}.c{code[1]}") not in _modules:
                    _inherit(package)
        found = _modules.get(fullname)
        if found is None:
            if path and fullname.startswith(f"{PACKAGE}."):  # a package of ours looks nowhere, by itself
                raise VerificationFailed(
                    "a module was not imported", mismatches={fullname: "its package was told to look elsewhere"}
                )
            return None
        if found.native:
            return spec_from_file_location(fullname, found.path, loader=_NativeLoader(fullname, found))
        return ModuleSpec(fullname, _Loader(found), origin=found.path or None, is_package=found.is_package)


class _Loader(Loader):
    """Loads one module from its bytes."""

    def __init__(self, module: Module) -> None:
        self._module = module

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        if self._module.path:
            module.__file__ = self._module.path
        root = ".".join(module.__name__.split(".")[:3])
        if f"{root}.{_HUB}" in _modules:
            module.__dict__["__builtins__"] = builtins_for(root, [*_modules])
        _made.add(module.__name__)
        try:
            _execute(self._module, module)
        except BaseException:
            _made.discard(module.__name__)
            raise

    def get_source(self, fullname: str) -> str:
        """For tracebacks and `inspect`."""
        from importlib.util import decode_source

        return decode_source(self._module.source)

    def is_package(self, fullname: str) -> bool:
        return self._module.is_package


class _NativeLoader(ExtensionFileLoader):
    """Links one extension module in, from a private directory; its bytes are looked at straight before."""

    def __init__(self, name: str, module: Module) -> None:
        super().__init__(name, module.path)
        self._sha256 = module.sha256

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        with pin_file(self.path) as file:
            if not hmac.compare_digest(file.sha256(), self._sha256):
                raise VerificationFailed(
                    "a module was not linked in", mismatches={spec.name: "its bytes are not those listed"}
                )
            module = super().create_module(spec)
        _made.add(spec.name)
        return module


def _execute(code: Module, module: ModuleType) -> None:
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
