"""safeload's own options: what one call asks of safeload, beside what it asks of the library it wraps."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from safeload.core.errors import UsageError
from safeload.core.limits import Limits
from safeload.core.policy import DEFAULT_POLICY, Policy

DEFAULT_LIMITS = Limits()
Integrity = Literal["auto", "pinned", "private"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options of one load, scan or admission.

    Raises:
        UsageError: a value is not one of those documented.
    """

    policy: Policy | str | os.PathLike[str] = DEFAULT_POLICY
    """Decides, from the evidence, whether the model may load; or a policy file, which then stands in for the
    project's own `safeload.toml`. The policies of the system and of the user count beside either, and a project's
    counts beside the default."""
    lock: str | os.PathLike[str] | None = None
    """The `safeload.lock` that counts; else the project's, and that of `$SAFELOAD_LOCK`."""
    audits: str | os.PathLike[str] | None = None
    """The `audits.toml` whose approvals of code count; else the project's."""
    integrity: Integrity = "auto"
    """How the bytes that were judged stay the bytes that are used. `auto`: a reflink where the file system can,
    else the pinned descriptor, or a private copy where others could write the file. `pinned`: the descriptor, or an
    error. `private`: always a copy that only this user can write."""
    limits: Limits = DEFAULT_LIMITS
    """How much foreign bytes may ask for."""
    unsafe_convert_dangerous: bool = False
    """Convert the weights of pickles that were judged dangerous. Nothing in them runs, here as ever; but the author
    of such a file tried to run code on your machine, so think twice about trusting what the weights do."""
    second_opinion: bool = False
    """Ask fickling about each pickle as well (`pip install 'safeload[fickling]'`), when scanning. It adds findings, and
    takes none away."""
    secret_opinion: bool = False
    """Ask detect-secrets about each text as well (`pip install 'safeload[secrets]'`), when scanning. It adds findings,
    takes none away, and changes no verdict."""
    store: str | os.PathLike[str] | None = None
    """Where conversions and admitted directories are kept; `$SAFELOAD_HOME`, else `~/.cache/safeload`."""

    @property
    def judge(self) -> Policy:
        """The policy, for jobs that know no policy files. Raises `UsageError` if it is one."""
        if isinstance(self.policy, Policy):
            return self.policy
        raise UsageError(
            "the policy file was not used",
            where=os.fspath(self.policy),
            why="policy files decide what loads, and this only reads or converts",
            remedy="Options(policy=DEFAULT_POLICY)",
        )

    def __post_init__(self) -> None:
        if self.integrity not in ("auto", "pinned", "private"):
            raise UsageError(
                f"integrity={self.integrity!r} does not exist",
                why="it is one of auto, pinned, private",
                remedy="Options(integrity='auto')",
            )
        if not isinstance(self.policy, Policy | str | os.PathLike):
            raise UsageError(
                "policy is not a policy", why=f"{type(self.policy).__name__} has no decide()", remedy="Options()"
            )
        if isinstance(self.policy, type):
            raise UsageError(
                "policy is not a policy",
                why=f"{self.policy.__name__} is a class, and its objects are policies",
                remedy=f"Options(policy={self.policy.__name__}())",
            )
        if not isinstance(self.limits, Limits):
            raise UsageError("limits are not Limits", why=f"they are a {type(self.limits).__name__}", remedy="Limits()")
        if not isinstance(self.unsafe_convert_dangerous, bool):
            raise UsageError(
                f"unsafe_convert_dangerous={self.unsafe_convert_dangerous!r} is neither True nor False",
                why="a text such as 'false' would count as true",
                remedy="Options(unsafe_convert_dangerous=False)",
            )
        if self.lock is not None and not isinstance(self.lock, str | os.PathLike):
            raise UsageError("lock is not a path", why=f"it is a {type(self.lock).__name__}", remedy="Options()")
        for name in ("second_opinion", "secret_opinion"):
            if not isinstance(getattr(self, name), bool):
                raise UsageError(
                    f"{name}={getattr(self, name)!r} is neither True nor False",
                    why="a text such as 'false' would count as true",
                    remedy=f"Options({name}=True)",
                )
        if self.audits is not None and not isinstance(self.audits, str | os.PathLike):
            raise UsageError("audits is not a path", why=f"it is a {type(self.audits).__name__}", remedy="Options()")
        if self.store is not None and not isinstance(self.store, str | os.PathLike):
            raise UsageError("store is not a path", why=f"it is a {type(self.store).__name__}", remedy="Options()")
