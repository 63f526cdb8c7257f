"""What a kernel's repository holds, for a person who decides whether to list it. Nothing of it runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from safeload.core.allowlist import Allowlist
from safeload.core.errors import MalformedInput, SourceError, UsageError
from safeload.core.finding import FileReport
from safeload.core.names import Location, escape
from safeload.engine.audit.names import misleading
from safeload.engine.kernels import Wanted, wanted_by
from safeload.engine.kernels.build import Build, read_build, snapshot_of, variants
from safeload.engine.options import Options
from safeload.engine.request import Access
from safeload.formats.python.facts import Facts
from safeload.formats.python.reading import read_facts
from safeload.rules import judge
from safeload.rules.base import Context
from safeload.sources.failures import quoted
from safeload.trust.kernels import COMMIT, VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelAudit:
    """A repository of kernels at one commit, and those of its builds that were read."""

    wanted: Wanted
    revision: str
    variants: tuple[str, ...]
    """All builds that there are."""
    builds: tuple[Build, ...]
    reports: tuple[tuple[FileReport, ...], ...]
    """For each build that was read, its Python files with their findings."""


def audit_kernel(
    reference: str,
    *,
    revision: str | None = None,
    chosen: tuple[str, ...] = (),
    everything: bool = False,
    access: Access | None = None,
    options: Options | None = None,
) -> KernelAudit:
    """Read a kernel of the hub: which builds it has, and what is in the chosen ones.

    Promised: the digests are those of the files that were read, each compared with what the hub recorded for it. Not
    promised: that a build without findings is harmless, and nothing at all about native libraries.

    Args:
        reference: `org/name`, or `org/name@revision`; without one, `v1`, which transformers takes of most.
        chosen: the builds to read. Without any, the only one there is.
        everything: read all builds.

    Raises:
        UsageError: it is no name of a repository, or names two revisions.
        SourceError: it cannot be had, or has no such build.
        MalformedInput: a build holds files that nobody can read.
    """
    options = options or Options()
    wanted = wanted_by(reference.removeprefix("hf://"), lambda _: revision or "v1")
    if wanted is None or not VERSION.fullmatch(wanted.asked) or (revision or wanted.asked) != wanted.asked:
        raise UsageError(
            f"{escape(reference)!r} was not read",
            why="it names no kernel, no revision that a policy can list, or two",
            remedy="safeload kernel org/name@revision",
        )
    snapshot = snapshot_of(wanted, access or Access(), options)
    there = variants(snapshot)
    if not there:
        raise SourceError(
            f"the kernel {wanted} was not read",
            where=f"{escape(wanted.repository)} at {snapshot.revision}",
            why="it has no builds: no folder in build/",
            remedy=f"check the name and the revision on https://huggingface.co/kernels/{wanted.repository}",
        )
    chosen = there if everything or (not chosen and len(there) == 1) else chosen
    builds = tuple(read_build(snapshot, wanted.repository, one, options.limits) for one in chosen)
    return KernelAudit(
        wanted=wanted,
        revision=snapshot.revision or "",
        variants=there,
        builds=builds,
        reports=tuple(tuple(_reports(build)) for build in builds),
    )


def entry(wanted: Wanted, build: Build) -> str:
    """The lines that list a build in a policy."""
    version = "" if COMMIT.fullmatch(wanted.asked) else f'version = "{wanted.asked}"\n'
    return (
        f'[[kernel]]\nrepository = "{build.repository}"\n{version}revision = "{build.revision}"\n'
        f'variant = "{build.variant}"\ndigest = "{build.digest}"\n'
    )


def _reports(build: Build) -> Iterator[FileReport]:
    for file in build.files:
        if file.source is None or not file.path.endswith(".py"):
            continue
        location = Location(file.path)
        parts, fault = tuple[Facts, ...](), None
        try:
            parts = (read_facts(file.source, location),)
        except MalformedInput as error:
            fault = error
        found = [*misleading(file.path), *judge(parts, Context(allowlist=Allowlist()), fault=fault, location=location)]
        loudest = tuple(sorted(found, key=lambda finding: -finding.severity))
        yield FileReport(path=file.path, format="python", size=file.size, findings=loudest, sha256=file.sha256)


def next_step(audit: KernelAudit) -> str:
    """What to type to read a build."""
    name = quoted(f"{audit.wanted.repository}@{audit.wanted.asked}")
    return f"safeload kernel {name} --variant NAME"
