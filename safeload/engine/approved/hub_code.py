"""The code of a repository of `torch.hub`: `hubconf.py` and all that it imports, if it is approved.

As for models: the closure is read and digested, records of audits and policies decide, and the very bytes that were
read are what runs. Findings of the repository's other files play no part: no file of it is loaded here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from safeload.core.errors import UsageError
from safeload.core.evidence import CodeNeed, Evidence
from safeload.core.finding import Report
from safeload.core.names import escape
from safeload.engine.approved import ApprovedCode, approve
from safeload.engine.approved.tripwire import Tripwire
from safeload.engine.audit import approval
from safeload.engine.enforce import guard_for
from safeload.engine.held import Held
from safeload.engine.options import Options
from safeload.engine.request import Request
from safeload.sources.digest_memo import digest_all
from safeload.sources.local import local_snapshot
from safeload.sources.store import Store

CODE = "hubconf.py"


@contextmanager
def approved_code(folder: str, options: Options) -> Iterator[ApprovedCode]:
    """The code of a directory, ready to run, and what watches it while it does.

    Raises:
        PolicyDenied: it is not approved, or a policy refuses it; every reason names the next command.
        UsageError: there is no `hubconf.py`.
        ConfigError: records, policies or locks cannot be used, or lie in the directory.
    """
    snapshot = local_snapshot(folder)
    shown = escape(folder)
    if CODE not in snapshot.listing:
        raise UsageError(
            f"{shown!r} is no repository of torch.hub", why=f"it has no {CODE}", remedy="pass its directory"
        )
    guard = guard_for(snapshot, options, asked=None)
    with Held(snapshot, options.limits) as held:
        code = approval.look(held, [CodeNeed(files=(CODE,), why=CODE)], guard, Request())
        memo = Store(options.store, needed=False).memo
        found = guard.find(code.digests, lambda: digest_all([held.open(path) for path in snapshot.listing], memo), held)
        answer = approval.judged(guard, code.closure, found.signatures)
        report = Report(target=folder)
        evidence = found.into(Evidence(reference=snapshot.reference, report=report, digests=code.digests))
        evidence = code.into(evidence, answer)
        code.beside(guard.policy, answer).decide(evidence).enforce(evidence)
        if not answer.approvals:  # that a policy allows it is not enough
            raise UsageError(
                f"the code of {shown!r} was not run", why="no record approves it", remedy=f"safeload audit {shown}"
            )
        ready = approve(
            code.closure,
            answer.approvals[0].closure,
            reference=snapshot.reference,
            store=Store(options.store),
            capabilities=guard.capabilities,
        )
    with _watched(ready, folder):
        yield ready


def _watched(code: ApprovedCode, folder: str) -> AbstractContextManager[object]:
    """What stops the code from doing what no policy lists, if any lists something."""
    if code.capabilities is None:
        return nullcontext()
    return Tripwire(escape(folder), {code.package: code.capabilities}, readable=[os.path.abspath(folder)])
