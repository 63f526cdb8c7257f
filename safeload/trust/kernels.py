"""Kernels in a policy file: `[[kernel]]`, each a build of a repository at a commit, by the digest of its files.

1. A kernel is native code with Python around it, in a repository of its own. What no layer lists does not run.
2. An entry is about one build (`build/<variant>/` in the repository), at one commit, with exactly these bytes.
3. `version` is the branch or tag that it stands for: what asks for that name gets the listed commit, wherever the name
   points by then. Without it, only what asks for the commit itself gets it.
4. Every layer that says anything about kernels must list it; `kernels = "deny"` lists none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from safeload.core.names import escape
from safeload.trust.tables import Table

STANCES = ("listed", "deny")
TREE = re.compile(r"h1:[A-Za-z0-9+/]{43}=")
COMMIT = re.compile(r"[0-9a-f]{40}")
_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?"
REPOSITORY = re.compile(rf"{_PART}/{_PART}")
VARIANT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/-]{0,199}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """One build that may run."""

    repository: str
    """As it is written; the hub does not tell capitals apart, see `name`."""
    revision: str
    variant: str
    digest: str
    """`h1:` over the files of the build, by their paths in the repository."""
    version: str = ""
    expires: date | None = None
    reason: str = ""
    place: str = ""
    """Where in the policy file it stands."""

    @property
    def name(self) -> str:
        return self.repository.lower()

    def answers(self, repository: str, asked: str) -> bool:
        """Whether it is what `asked`, a commit, branch or tag of a repository, stands for."""
        return self.name == repository.lower() and asked in {self.revision, self.version} - {""}

    def is_same(self, other: Kernel) -> bool:
        """Whether another entry is about the same bytes of the same build."""
        mine = (self.name, self.revision, self.variant, self.digest)
        return mine == (other.name, other.revision, other.variant, other.digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernels:
    """What one policy file says about kernels."""

    listed: tuple[Kernel, ...] = ()
    denied: bool = False

    @property
    def has_stance(self) -> bool:
        return bool(self.listed) or self.denied


def read_kernels(top: Table, stance: str | None) -> Kernels:
    """The tables `[[kernel]]` of a policy file. `stance` is what `[remote-code] kernels` says.

    Raises:
        ConfigError: an entry cannot be used, or two contradict each other.
    """
    listed: list[Kernel] = []
    for table in top.tables("kernel"):
        kernel = Kernel(
            repository=table.pattern("repository", REPOSITORY, "the name of a repository, org/name"),
            revision=table.pattern("revision", COMMIT, "a commit of 40 hexadecimal digits"),
            variant=table.pattern("variant", VARIANT, "the name of a build, such as torch-cpu"),
            digest=table.pattern("digest", TREE, "a digest, h1:…"),
            version=table.pattern("version", VERSION, "a branch or tag, such as v1", ""),
            expires=table.day("expires"),
            reason=table.text("reason", ""),
            place=table.path,
        )
        table.end()
        _refuse_contradiction(table, kernel, listed)
        listed.append(kernel)
    if stance == "deny" and listed:
        top.refuse("kernel", '[remote-code] says kernels = "deny", and these are listed')
    return Kernels(listed=tuple(listed), denied=stance == "deny")


def _refuse_contradiction(table: Table, kernel: Kernel, others: Iterable[Kernel]) -> None:
    """One name must stand for one commit, and one build of a commit for one digest."""
    for other in others:
        if other.name != kernel.name:
            continue
        if kernel.version and kernel.version == other.version and kernel.revision != other.revision:
            table.refuse("version", f"{other.place} says that {escape(kernel.version)} is another commit")
        if (other.revision, other.variant) == (kernel.revision, kernel.variant):
            table.refuse("digest", f"{other.place} is about the same build")
