"""What policies and locks say of a model, without loading it: which rule applies, what was found, what is missing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from safeload.core.errors import UsageError
from safeload.core.evidence import Evidence
from safeload.core.finding import Report
from safeload.core.names import Location, escape
from safeload.core.policy import AllOf, NothingDiffers, Reason, Verdict
from safeload.engine import enforce
from safeload.engine.identity import locked_revision, targets
from safeload.engine.lockentry import describe, signable
from safeload.engine.options import Options
from safeload.engine.reach import reach
from safeload.engine.request import Request
from safeload.sources.failures import os_failure
from safeload.trust import layers, rules
from safeload.trust.file_names import POLICY as NAME
from safeload.trust.lockfile import LockedModel
from safeload.trust.policy_file import CAPABILITIES, PolicyFile, Settings
from safeload.trust.rules import Applied

_PLAIN = """\
# Which models may load here. Every key is explained in docs/policy.md; `safeload policy check` reads this file.
version = 1

[defaults]
mode = "enforce"              # enforce | warn
require = "none"              # none | locked | { any = ["acme"] } | { threshold = 2, of = ["acme", "ci"] }
pickle = "convert"            # deny | restricted | convert
remote-code = "audited"       # deny | audited: safeload approve REF
criteria = "safe-to-run"      # safe-to-import | safe-to-run | safe-to-deploy, or one's own of audits.toml
min-auditors = 1
# auditors = ["acme"]         # signers of this file: only their word counts for code, and only if they signed it
extra-files = "reject"        # reject | hide
integrity = "auto"            # auto | pinned | private
"""
_STRICT = """\
# Which models may load here. Every key is explained in docs/policy.md; `safeload policy check` reads this file.
version = 1

[defaults]
mode = "enforce"
require = "locked"            # safeload lock REF
formats = ["safetensors", "gguf", "tokenizer"]
pickle = "deny"
remote-code = "deny"
extra-files = "reject"
integrity = "auto"
"""
_EXAMPLE = """
# [remote-code]
# capabilities = ["none"]     # what approved code may do while it loads; else nobody watches: CAPABILITIES
# kernels = "deny"            # or one [[kernel]] for each that may be used: safeload kernel ORG/NAME
#
# [signers.acme]
# type = "key"
# keys = [{ file = "keys/acme.pub", not-after = 2027-12-31 }]
#
# [[rule]]
# match = ["acme/*", "path:models/acme/**"]
# require = { any = ["acme"] }
#
# [[revoke]]
# key = "<sha256 of the public key's PEM>"
# reason = "laptop stolen"
"""


@dataclass(frozen=True, slots=True)
class Layer:
    """One policy file, and what of it is about the model."""

    applied: Applied
    verdict: Verdict

    @property
    def settings(self) -> Settings:
        return self.applied.settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What was found out about one model. `verdict` is about locks and signers: files are judged when they load."""

    reference: str
    names: tuple[str, ...]
    revision: str | None
    layers: tuple[Layer, ...]
    locks: tuple[tuple[str, bool], ...]
    """Each lock that counts, and whether it names the model."""
    model: LockedModel
    found: enforce.Found
    verdict: Verdict

    @property
    def missing(self) -> tuple[Reason, ...]:
        """What stands against loading it, each with what would satisfy it."""
        return self.verdict.denials()


def explain_policy(
    reference: str | os.PathLike[str], *, request: Request | None = None, options: Options | None = None
) -> Explanation:
    """Say which rule of each layer applies to a model, what was found, and what is missing.

    Of a model on the hub, small files are fetched, and the weights are not: what a rule says of formats, pickles and
    code is shown and not tried.

    Raises what `lock` raises, except that nothing is refused for want of a signer.
    """
    request, options = request or Request(), options or Options()
    text = os.fspath(reference)
    revision = locked_revision(text, request.revision, options) or request.revision
    access = request.access
    snapshot = reach(text, access, revision=revision, limits=options.limits)
    if snapshot.kind == "file":
        raise UsageError(
            f"{escape(text)} was not explained",
            where=Location(snapshot.root),
            why="it is a file, and policies are about models",
            remedy=f"safeload policy explain {escape(os.path.dirname(text) or '.')}",
        )
    guard = enforce.guard_for(snapshot, options, asked=request.revision)
    model, found = describe(snapshot, options, id=snapshot.root, entering=False)
    found = guard.completed(found, model.digests, model.tree)
    evidence = found.into(
        Evidence(reference=text, report=Report(target=text), revision=snapshot.revision, digests=signable(model))
    )
    decisions = tuple((one, rules.decision(one, guard.now.date())) for one in guard.applied)
    return Explanation(
        reference=text,
        names=tuple(name for group in targets(snapshot) for name in group),
        revision=snapshot.revision,
        layers=tuple(Layer(one, policy.decide(evidence)) for one, policy in decisions),
        locks=tuple((lock.path, entry is not None) for lock, entry in guard.entries),
        model=model,
        found=found,
        verdict=AllOf((NothingDiffers(), *(policy for _, policy in decisions))).decide(evidence),
    )


def check(options: Options | None = None) -> tuple[tuple[PolicyFile, ...], tuple[str, ...]]:
    """Read every policy file and lock that counts here; return the policies, and the paths of the locks.

    What they suppress is read as well, though only a scan needs it: a file that is in order is so for every command.

    Raises:
        ConfigError: one of them cannot be used.
    """
    from safeload.engine.scanning.rulebook import require_known
    from safeload.trust.suppressions import suppressions

    options = options or Options()
    own = os.fspath(options.policy) if isinstance(options.policy, str | os.PathLike) else None
    files = layers.policies(own, formats=enforce.format_names)
    for one in files:
        require_known(suppressions(list(one.suppressed), file=one.file))
    return files, tuple(lock.path for lock in layers.locks(None if options.lock is None else os.fspath(options.lock)))


def init(path: str | os.PathLike[str] | None = None, *, strict: bool = False) -> str:
    """Write a policy file to begin with; return its path. What is there is never overwritten.

    Raises:
        UsageError: there is a file already.
        SourceError: it cannot be written.
    """
    target = os.path.abspath(path if path is not None else os.path.join(layers.project_root(), NAME))
    try:
        with open(target, "x", encoding="utf-8") as stream:
            stream.write(
                (_STRICT if strict else _PLAIN) + _EXAMPLE.replace("CAPABILITIES", ", ".join(sorted(CAPABILITIES)))
            )
    except FileExistsError:
        raise UsageError(
            "no policy was written", where=Location(target), why="there is one already", remedy="safeload policy check"
        ) from None
    except OSError as error:
        raise os_failure(error, "the policy was not written", path=target) from error
    return target


def told(applied: Applied) -> Iterator[tuple[str, str]]:
    """The settings as a policy file writes them. What approvals and the tripwire need, only where code may run."""
    settings, need = applied.settings, applied.settings.require
    names = ", ".join(sorted(need.of))
    signed = f"{need.threshold} of {names}" if need.of else ""
    yield "mode", settings.mode
    yield "require", " and ".join(word for word in ("locked" if need.locked else "", signed) if word) or "none"
    yield "formats", ", ".join(sorted(settings.formats)) if settings.formats is not None else "any"
    yield "pickle", settings.pickle
    yield "remote-code", settings.remote_code
    if settings.remote_code == "audited":
        yield "criteria", settings.criteria
        yield "min-auditors", str(settings.min_auditors)
        listed = settings.auditors
        yield "auditors", "anybody, signed or not" if listed is None else ", ".join(sorted(listed)) or "nobody"
        watched = applied.policy.capabilities
        yield "capabilities", "not watched" if watched is None else ", ".join(sorted(watched)) or "none"
        kernels = applied.policy.kernels
        builds = ", ".join(f"{one.repository}@{one.revision} {one.variant}" for one in kernels.listed)
        yield "kernels", "denied" if kernels.denied else builds or "none"
    yield "extra-files", settings.extra_files
    yield "integrity", settings.integrity
