"""The closure: every Python file that loading, generating or a pipeline of a model could import from the model.

It begins with what the configs name and with the files that libraries look for by name, or with the one file that the
reference is; and follows imports of every form, also into other repositories. What is imported from installed packages
is not part of it.
"""

from __future__ import annotations

import posixpath
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from safeload.core.digest import sha256, tree_digest
from safeload.core.errors import LimitExceeded, MalformedInput, SafeloadError, SourceError, UsageError
from safeload.core.names import Location, escape
from safeload.engine.admission.parts import code_of_parts
from safeload.engine.held import Held
from safeload.engine.options import Options
from safeload.engine.reach import reach
from safeload.engine.request import Request
from safeload.formats.base import Code, Reference
from safeload.formats.python.facts import Edge, Facts, Kind
from safeload.formats.python.reading import read_facts
from safeload.sources.base import Snapshot
from safeload.sources.program import split

_MOST_FILES = 2_000
_HUB = "hubconf.py"
_PACKAGE = "__init__.py"
_BY_NAME = ("custom_generate/generate.py", "pipeline.py", _HUB)
"""Files that libraries import without any config naming them."""
_OTHER = "--"
"""Separates a repository from a module in it: `org/other--modeling.Model`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Where code gets in: what names it, and what is named."""

    why: str
    """Such as `config.json » auto_map.AutoModel`, or a file that a library looks for."""
    target: str
    """As it is written: `modeling_x.XModel`, `org/other--modeling_x.XModel`."""
    file: str
    """The name of the file in the closure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeFile:
    """One file of the closure."""

    name: str
    """Its path in the model; `org/other--path` for one of another repository."""
    source: bytes
    sha256: str
    facts: Facts | None
    """`None` if it could not be read as Python: `fault` says why."""
    fault: MalformedInput | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Something that is imported from the model and is not there, or could not be fetched."""

    importer: str
    """The file or config that asks for it."""
    line: int
    what: str
    optional: bool = False
    """Whether the code does without. If it appears later, that is other code, with another digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closure:
    """All code of a model, as far as it can be followed."""

    entries: tuple[Entry, ...]
    files: tuple[CodeFile, ...]
    missing: tuple[Missing, ...]
    repositories: tuple[tuple[str, str], ...]
    """Other repositories and the commit that was read, or their absolute path."""

    @property
    def digest(self) -> str:
        """`h1:` over names and contents. The same code in another model has the same digest."""
        return tree_digest({file.name: file.sha256 for file in self.files})

    @property
    def imports(self) -> tuple[str, ...]:
        """Every module that is imported from outside the closure, by its top-level name."""
        return tuple(sorted({name for file in self.files if file.facts for name in file.facts.imports}))


def find_closure(snapshot: Snapshot, options: Options, request: Request) -> Closure:
    """Follow the code of a model. Promised: nothing of it runs, and each file is read once.

    Raises:
        SourceError: a file of the model cannot be had.
        LimitExceeded: the code has more files than anybody could read.
    """
    with ExitStack() as stack:
        return _Search(options, request, stack).run(snapshot)


@dataclass(slots=True)
class _Search:
    options: Options
    request: Request
    stack: ExitStack
    models: dict[str, Held] = field(default_factory=dict)
    """By repository; the model itself has the name ''."""
    entries: list[Entry] = field(default_factory=list)
    files: dict[str, CodeFile] = field(default_factory=dict)
    missing: list[Missing] = field(default_factory=list)
    pending: list[tuple[str, str]] = field(default_factory=list)

    def run(self, snapshot: Snapshot) -> Closure:
        self._hold("", snapshot)
        program = split(snapshot.reference)[1]
        entries = [(Entry(why=program, target=program, file=program), "", program)] if program else self._entries()
        for entry, repository, path in dict.fromkeys(entries):  # a part may be named in two ways
            self.entries.append(entry)
            self._want(repository, path, entry.why, 0)
        _check_code_revision(self.request, snapshot, self.entries)
        while self.pending:
            repository, path = self.pending.pop()
            self._read(repository, path)
            if len(self.files) > _MOST_FILES:
                raise LimitExceeded("members", allowed=_MOST_FILES, wanted=len(self.files), where=snapshot.reference)
        others = ((name, held.snapshot) for name, held in self.models.items() if name)
        return Closure(
            entries=tuple(self.entries),
            files=tuple(self.files[name] for name in sorted(self.files)),
            missing=tuple(dict.fromkeys(self.missing)),
            repositories=tuple(sorted((name, found.revision or found.root) for name, found in others)),
        )

    # ── where code gets in ──────────────────────────────────────────────────────────────────────────────────

    def _entries(self) -> Iterator[tuple[Entry, str, str]]:
        own = self.models[""]
        for named in code_of_parts(own):
            file = _name(named.repository, named.file)
            yield Entry(why=escape(named.why), target=named.target, file=file), named.repository, named.file
        configs = [path for path in sorted(own.snapshot.listing) if path.endswith(".json")]
        own.snapshot.fetch(configs)
        for path in configs:
            for part in own.inspect(path).parts:
                if isinstance(part, Reference) and part.kind in ("code", "module"):
                    yield from self._named(part, path)
            own.let_go(path)
        for name in _BY_NAME:
            for path in sorted(own.snapshot.listing):
                if path == name or path.endswith(f"/{name}"):
                    yield Entry(why=path, target=path, file=path), "", path

    def _named(self, part: Reference, config: str) -> Iterator[tuple[Entry, str, str]]:
        repository, other, target = part.target.rpartition(_OTHER)
        folder = "" if other else posixpath.dirname(config)
        module = (target.rpartition(".")[0] or target).replace(".", "/") + ".py"
        # Of a config in a folder: some loaders look beside it, and some at the top. What is there may be imported.
        paths = dict.fromkeys(posixpath.normpath(posixpath.join(base, module)) for base in (folder, ""))
        there = [path for path in paths if not other and path in self.models[""].snapshot.listing]
        if part.kind == "module" and not there:
            return  # a class of an installed library
        why = f"{escape(config)} » {escape(part.location.path or '')}"
        for path in there or list(paths)[:1]:
            yield Entry(why=why, target=part.target, file=_name(repository, path)), repository, path

    # ── files ───────────────────────────────────────────────────────────────────────────────────────────────

    def _hold(self, repository: str, snapshot: Snapshot) -> Held:
        held = self.stack.enter_context(Held(snapshot, self.options.limits))
        self.models[repository] = held
        return held

    def _model(self, repository: str) -> Held:
        if repository not in self.models:
            revision = self.request.code_revision
            found = reach(repository, self.request.access, limits=self.options.limits, revision=revision)
            if revision is not None and found.revision is None:
                raise SourceError(
                    f"the code of {escape(repository)} was not read",
                    where=escape(found.root),
                    why=f"it is a directory here, and code_revision={escape(revision)} names a revision of another one",
                    remedy="leave code_revision out, or work from another directory",
                )
            self._hold(repository, found)
        return self.models[repository]

    def _want(self, repository: str, path: str, importer: str, line: int, *, optional: bool = False) -> None:
        try:
            listing = self._model(repository).snapshot.listing
        except SafeloadError as error:
            what = f"the repository {escape(repository)}: {error.why or error.what}"
            self.missing.append(Missing(importer=importer, line=line, what=what))
            return
        if path in listing:
            self.pending.append((repository, path))
        else:
            what = escape(_name(repository, path))
            self.missing.append(Missing(importer=importer, line=line, what=what, optional=optional))

    def _read(self, repository: str, path: str) -> None:
        name = _name(repository, path)
        if name in self.files:
            return
        held = self._model(repository)
        held.snapshot.fetch([path])
        source = next((part.source for part in held.inspect(path).parts if isinstance(part, Code)), None)
        held.let_go(path)
        file = _code_file(name, source)
        self.files[name] = file
        if file.facts is not None:
            self._named_in(repository, path, file.facts)
            for edge in file.facts.edges:
                self._follow(repository, path, name, edge)
            for module in sorted(file.facts.imports):
                self._beside(repository, path, module)
            if _HUB in held.snapshot.listing:
                for module in sorted(use.name for use in file.facts.uses if use.kind is Kind.IMPORT):
                    self._from_top(repository, module)

    def _follow(self, repository: str, path: str, name: str, edge: Edge) -> None:
        """Read the modules that a relative import may mean, and the packages they lie in."""
        module = edge.module.lstrip(".")
        folder = posixpath.dirname(path)
        for _ in range(len(edge.module) - len(module) - 1):
            if not folder:
                above = f"{escape(edge.module)}, which lies above the model"
                self.missing.append(Missing(importer=name, line=edge.line, what=above, optional=edge.optional))
                return
            folder = posixpath.dirname(folder)
        listing = self._model(repository).snapshot.listing
        base = posixpath.join(folder, module.replace(".", "/")) if module else folder
        found = list(_module_files(base, listing)) if module else []
        for item in edge.names:  # a name may be a module of the package, or something within it
            found += _module_files(posixpath.join(base, item), listing)
        if not found and not module and (package := posixpath.join(base, _PACKAGE)) in listing:
            found = [package]  # a name in the package itself, or all that it names
        elif not found:
            found = [f"{base}.py" if module else posixpath.join(base, f"{(*edge.names, '__init__')[0]}.py")]
        for path in found:
            self._want(repository, path, name, edge.line, optional=edge.optional)
        self.pending.extend((repository, package) for package in _packages(base, listing))

    def _named_in(self, repository: str, path: str, facts: Facts) -> None:
        """A package names modules of its own in texts: in `__all__`, or to import them when somebody asks for them."""
        listing = self._model(repository).snapshot.listing
        for _, text in facts.strings if posixpath.basename(path) == _PACKAGE else ():
            if isinstance(text, str) and text.isidentifier():
                inside = _module_files(posixpath.join(posixpath.dirname(path), text), listing)
                self.pending.extend((repository, found) for found in inside)

    def _beside(self, repository: str, path: str, module: str) -> None:
        """An absolute import may mean a file beside this one: some loaders put its directory on the path."""
        listing = self._model(repository).snapshot.listing
        for found in _module_files(posixpath.join(posixpath.dirname(path), module), listing):
            self.pending.append((repository, found))

    def _from_top(self, repository: str, module: str) -> None:
        """Where `torch.hub` loads it, an absolute import may mean a file of the repository, from its top."""
        parts = module.split(".")
        if parts[0] in sys.stdlib_module_names:
            return
        listing = self._model(repository).snapshot.listing
        for count in range(1, len(parts) + 1):
            self.pending.extend((repository, found) for found in _module_files("/".join(parts[:count]), listing))


def _check_code_revision(request: Request, snapshot: Snapshot, entries: Iterable[Entry]) -> None:
    """The code of the model itself is that of the model's own revision; `code_revision` must not say otherwise.

    Raises:
        UsageError: configs name own code, and it names another revision than the model's.
    """
    asked = request.code_revision
    if asked is None or (snapshot.revision and asked in (snapshot.revision, request.revision or "main")):
        return
    own = [entry for entry in entries if _OTHER not in entry.file and entry.target != entry.file]
    if own:
        raise UsageError(
            f"code_revision={escape(asked)!r} is refused",
            where=f"{escape(snapshot.reference)} » {own[0].why}",
            why="that code lies in the model itself, and is taken as the model's own revision has it",
            remedy="leave code_revision out; revision=… is for the model with its code",
        )


def _name(repository: str, path: str) -> str:
    return f"{repository}{_OTHER}{path}" if repository else path


def _code_file(name: str, source: bytes | None) -> CodeFile:
    location = Location(name)
    if source is None:
        fault = MalformedInput("a file of code cannot be read", where=location, why="it is no Python source")
        return CodeFile(name=name, source=b"", sha256=sha256(b""), facts=None, fault=fault)
    try:
        facts = read_facts(source, location)
    except MalformedInput as error:
        return CodeFile(name=name, source=source, sha256=sha256(source), facts=None, fault=error)
    return CodeFile(name=name, source=source, sha256=sha256(source), facts=facts)


def _module_files(base: str, listing: Iterable[str]) -> Iterator[str]:
    for candidate in (f"{base}.py", f"{base}/__init__.py"):
        if candidate in listing:
            yield candidate


def _packages(base: str, listing: Iterable[str]) -> Iterator[str]:
    folder = base
    while folder:
        if f"{folder}/{_PACKAGE}" in listing:
            yield f"{folder}/{_PACKAGE}"
        folder = posixpath.dirname(folder)
