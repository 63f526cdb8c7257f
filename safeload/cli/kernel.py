"""`safeload kernel REF`"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from safeload.cli.output import note, waiting
from safeload.core.names import escape

if TYPE_CHECKING:
    from safeload.core.finding import FileReport
    from safeload.engine.kernels.audit import KernelAudit
    from safeload.engine.kernels.build import Build


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "reference", metavar="REF", help="a repository of kernels on the hub: org/name, or org/name@revision"
    )
    parser.add_argument("--revision", metavar="REV", help="a commit, branch or tag (default: v1)")
    parser.add_argument(
        "--variant", metavar="NAME", action="append", default=[], help="a build to read; may be repeated"
    )
    parser.add_argument("--all", action="store_true", help="read every build there is")
    parser.add_argument("--offline", action="store_true", help="use what the hub's cache holds; connect to nothing")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(parsed: argparse.Namespace) -> int:
    """Print what the builds hold, and the lines that list them in a policy. Nothing in them runs.

    Exit code 1: there is code to read before it is listed; 2: something cannot be read.
    """
    from safeload.engine.kernels.audit import audit_kernel, next_step
    from safeload.engine.request import Access

    with waiting(f"reading the kernel {parsed.reference}"):
        found = audit_kernel(
            parsed.reference,
            revision=parsed.revision,
            chosen=tuple(dict.fromkeys(parsed.variant)),
            everything=parsed.all,
            access=Access(local_files_only=parsed.offline),
        )
    if parsed.json:
        from safeload.reporters.json import dump

        dump(_document(found), sys.stdout)
    else:
        for line in _lines(found):
            print(line)
    if not found.builds:
        note(f"it has {len(found.variants)} builds: {next_step(found)}")
    elif not parsed.json:
        note("once you have read it, add these lines to safeload.toml; then: safeload policy check")
    return max([1, *(report.status.exit_code for reports in found.reports for report in reports)])


def _lines(found: KernelAudit) -> Iterator[str]:
    """A piece of a policy file: all that is said about a build is a comment above its entry."""
    from safeload.engine.kernels.audit import entry

    yield f"# kernel {escape(found.wanted.repository)} at {found.revision}"
    for variant in found.variants:
        read = any(build.variant == variant for build in found.builds)
        yield f"# build {escape(variant)}{'' if read else ', not read'}"
    for build, reports in zip(found.builds, found.reports, strict=True):
        yield ""
        yield from (f"# {line}" for line in _about(build, reports))
        yield entry(found.wanted, build).rstrip()


def _about(build: Build, reports: tuple[FileReport, ...]) -> Iterator[str]:
    for file in build.files:
        kind = "native library " if file.native else ""
        yield f"{kind}{escape(file.path, 400)} ({file.size:,} bytes, sha256 {file.sha256})"
    yield from (
        f"depends on the kernel {wanted}, which must be listed too: {wanted.command}" for wanted in build.depends
    )
    for report in reports:
        for finding in report.findings:
            yield f"{finding.severity!s}: {finding.location}: {escape(finding.message, 400)} [{finding.rule}]"
            yield from (f"    {escape(line, 400)}" for line in finding.evidence)
    if any(file.native for file in build.files):
        yield "nothing is known about what native libraries do: they run with all that the process may do"


def _document(found: KernelAudit) -> dict[str, object]:
    from safeload.core.finding import Report
    from safeload.engine.kernels.audit import entry
    from safeload.reporters import json

    builds = [
        {
            "variant": build.variant,
            "digest": build.digest,
            "files": [
                {"path": file.path, "sha256": file.sha256, "size": file.size, "native": file.native}
                for file in build.files
            ],
            "depends": [str(wanted) for wanted in build.depends],
            "entry": entry(found.wanted, build),
            "report": json.document([Report(target=found.wanted.repository, files=reports)]),
        }
        for build, reports in zip(found.builds, found.reports, strict=True)
    ]
    return {
        "schema": "safeload.kernel/1",
        "repository": found.wanted.repository,
        "asked": found.wanted.asked,
        "revision": found.revision,
        "variants": list(found.variants),
        "builds": builds,
    }
