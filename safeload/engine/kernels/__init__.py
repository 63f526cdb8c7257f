"""Kernels: native code with Python around it, in a repository of its own. What no policy lists does not run.

1. Policies list a kernel as one build, at one commit, by the digest of its files (see `trust.kernels`). No model and
   no config has a say.
2. Every layer that says anything about kernels must list it; one that denies code from repositories denies these too.
3. What a kernel is, `engine.kernels.build` reads; `engine.kernels.code` imports it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from safeload.core.errors import PolicyDenied
from safeload.core.finding import Report
from safeload.core.names import escape
from safeload.core.policy import Policy, Reason, Verdict
from safeload.engine.enforce import format_names
from safeload.engine.options import Options
from safeload.sources.failures import quoted
from safeload.sources.hfcache import find_place
from safeload.sources.hub import is_hub_id
from safeload.trust import layers, rules
from safeload.trust.kernels import REPOSITORY as REPOSITORY
from safeload.trust.kernels import Kernel as Kernel
from safeload.trust.policy_file import PolicyFile

_REFERENCE = re.compile(r"(?:[A-Za-z0-9_]+\|)?(?P<name>[^/:@|]+/[^/:@|]+)(?:@(?P<asked>[^:]+))?(?::[^:]+)?")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A kernel that somebody asks for."""

    repository: str
    asked: str
    """A commit, branch or tag; a version of the `kernels` library is the branch `v1`, `v2` …"""

    def __str__(self) -> str:
        return f"{escape(self.repository)}@{escape(self.asked)}"

    @property
    def command(self) -> str:
        """What prints the lines for a policy."""
        return f"safeload kernel {quoted(f'{self.repository}@{self.asked}')}"


def wanted_by(reference: str, default: Callable[[str], str]) -> Wanted | None:
    """What an implementation such as `org/name`, `org/name@revision:function` or `paged|org/name` asks for.

    Args:
        default: gives the revision of a repository for which none is named.
    """
    found = _REFERENCE.fullmatch(reference.strip())
    if found is None or not REPOSITORY.fullmatch(name := found["name"].strip()):
        return None
    return Wanted(name, (found["asked"] or "").strip() or default(name))


# ── whether it may run ──────────────────────────────────────────────────────────────────────────────────────────────


def listed(wanted: Wanted, options: Options, *, model: str = "", today: date | None = None) -> tuple[Kernel, ...]:
    """The builds that stand for what is wanted, and that every layer of policy is content with.

    Args:
        model: the model that asks for it, whose rules count as well.

    Raises:
        PolicyDenied: there are none; it says why, and names the command that comes next.
        ConfigError: a policy cannot be read or used.
    """
    files, today = _policies(options), today or datetime.now(UTC).date()
    general = [*_objections(files, wanted, model, today)]
    objections = [*general]
    candidates = [kernel for file in files for kernel in file.kernels.listed if kernel.answers(*_key(wanted))]
    good: list[Kernel] = []
    for kernel in candidates:
        against = [*_against(files, kernel, today)]
        objections += against
        if not against and not any(kernel.is_same(other) for other in good):
            good.append(kernel)
    if not candidates:
        objections.append(Reason(_unlisted(files, wanted), f"read it, then: {wanted.command}"))
    if good and not general:
        return tuple(good)
    raise denied(wanted, objections, model)


def denied(wanted: Wanted | str, reasons: Iterable[Reason], model: str = "") -> PolicyDenied:
    """The denial of a kernel, or of several by their names."""
    return PolicyDenied(
        f"the kernel {wanted} was refused",
        verdict=Verdict("kernels", allowed=False, reasons=tuple(dict.fromkeys(reasons))),
        report=Report(target=model or str(wanted)),
    )


def capabilities(options: Options) -> frozenset[str] | None:
    """What kernels may do while they are imported: what every layer lists that lists any; `None` if none does."""
    found = [file.capabilities for file in _policies(options) if file.capabilities is not None]
    return frozenset.intersection(*found) if found else None


def _key(wanted: Wanted) -> tuple[str, str]:
    return wanted.repository, wanted.asked


def _unlisted(files: Sequence[PolicyFile], wanted: Wanted) -> str:
    """Why no entry stands for it: there is none, or there is one for something else of that repository."""
    others = {
        f"{kernel.version or 'no version'} ({kernel.revision})"
        for file in files
        for kernel in file.kernels.listed
        if kernel.name == wanted.repository.lower()
    }
    also = f"; of that repository they list {', '.join(map(escape, sorted(others)))}" if others else ""
    return f"it is native code from the repository {escape(wanted.repository)}, and no policy lists {wanted}{also}"


def _objections(files: Sequence[PolicyFile], wanted: Wanted, model: str, today: date) -> Iterator[Reason]:
    """What layers say against any kernel of this repository, or for this model."""
    for file in files:
        if file.kernels.denied:
            yield Reason(
                f'no kernels may be used [{escape(file.file)} » remote-code.kernels = "deny"]',
                "leave the kernel out, or ask whoever keeps that file",
            )
        for names in ((wanted.repository.lower(),), *_names(model)):
            one = rules.apply(file, names)
            if one.settings.remote_code == "deny":
                yield Reason(
                    f"a kernel is code from a repository, and remote-code is deny for {escape(names[0])} "
                    f"[{escape(one.place)}]",
                    f'a rule for {escape(names[0])} that says remote-code = "audited"',
                )
            if one.rule and one.rule.expires and one.rule.expires < today:
                yield Reason(
                    f"the rule for {escape(names[0])} expired on {one.rule.expires} [{escape(one.place)}]",
                    "renew the rule, or remove it",
                )


def _names(model: str) -> tuple[tuple[str, ...], ...]:
    """A model's names for rules, as far as its reference tells them."""
    if not model:
        return ()
    name = model.removeprefix("hf://").partition("@")[0]
    if not os.path.lexists(model):
        return ((name.lower(),),)
    real = os.path.realpath(model)
    if place := find_place(real):
        return ((place[0].repository.lower(),),)
    return ((f"path:{real}",), (model.lower(),)) if is_hub_id(model) else ((f"path:{real}",),)


def _against(files: Sequence[PolicyFile], kernel: Kernel, today: date) -> Iterator[Reason]:
    """What layers say against one listed build."""
    shown = f"{escape(kernel.repository)} at {kernel.revision}, build {escape(kernel.variant)}"
    for file in files:
        if file.kernels.has_stance:
            same = [other for other in file.kernels.listed if other.is_same(kernel)]
            if not same:
                yield Reason(
                    f"{shown}: other layers list it, and this one does not [{escape(file.file)} » kernel]",
                    "list it there as well, or ask whoever keeps that file",
                )
            elif all(other.expires and other.expires < today for other in same):
                yield Reason(
                    f"{shown}: its entry expired on {same[0].expires} [{escape(file.file)} » {same[0].place}]",
                    "read it again, and write a new day",
                )
        yield from _revoked(file, today, {f"tree:{kernel.digest}": shown})


def refuse_revoked(marks: Mapping[str, str], wanted: Wanted, options: Options, model: str) -> None:
    """Raise `PolicyDenied` if a layer revokes one of these marks, such as `file-sha256:…`; each with what it is."""
    today = datetime.now(UTC).date()
    if found := [reason for file in _policies(options) for reason in _revoked(file, today, marks)]:
        raise denied(wanted, found, model)


def _policies(options: Options) -> tuple[PolicyFile, ...]:
    own = None if isinstance(options.policy, Policy) else os.fspath(options.policy)
    return layers.policies(own, formats=format_names)


def _revoked(file: PolicyFile, today: date, marks: Mapping[str, str]) -> Iterator[Reason]:
    for one in file.revoked:
        if one.mark in marks and (one.since is None or one.since <= today):
            why = f": {escape(one.reason)}" if one.reason else ""
            yield Reason(
                f"{marks[one.mark]} is revoked{why} [{escape(file.file)} » revoke]", "use another commit of it, or none"
            )
