"""How the hub is to be reached is one word everywhere: honoured by whatever takes it, or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from safeload import Access, Request, admit, audit, bom, convert, diff, explain_policy, lock, scan
from safeload.core.errors import LimitExceeded, UsageError
from safeload.core.limits import Limits
from safeload.engine.audit.approve import approve
from safeload.engine.explain import explain
from safeload.engine.kernels.audit import audit_kernel
from safeload.engine.reach import reach
from safeload.engine.templates import find_templates
from tests.hubserver import Hub, hub  # noqa: F401  (a fixture)

ID = "acme/reached"

EVERY: dict[str, Callable[[Access], object]] = {
    "admit": lambda access: admit(ID, request=Request(access=access)),
    "approve": lambda access: approve(ID, criteria=["safe-to-run"], who="ann", request=Request(access=access)),
    "audit": lambda access: audit(ID, request=Request(access=access)),
    "bom": lambda access: bom(ID, access=access),
    "convert": lambda access: convert(f"hf://{ID}", into="out", request=Request(access=access)),
    "diff": lambda access: diff(f"hf://{ID}", f"hf://{ID}", access=access),
    "explain": lambda access: explain(ID, request=Request(access=access)),
    "explain_policy": lambda access: explain_policy(ID, request=Request(access=access)),
    "kernel": lambda access: audit_kernel(ID, access=access),
    "lock": lambda access: lock(ID, access=access),
    "scan": lambda access: scan(ID, request=Request(access=access)),
    "templates": lambda access: find_templates(ID, request=Request(access=access)),
}


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    ("access", "why"),
    [
        (Access(proxies={"https": "http://proxy.example"}), "proxies"),
        (Access(force_download=True, local_files_only=True), "force_download"),
    ],
    ids=["proxies", "force_download"],
)
def test_what_cannot_be_honoured_is_refused_by_every_function(
    hub: Hub,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    access: Access,
    why: str,
) -> None:
    """No function drops a field of `Access` in silence, and none asks the hub before it says so."""
    hub.add(ID, {"config.json": b"{}"})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=why):
        EVERY[name](access)
    assert hub.asked == []


def test_an_audit_fetches_again_if_asked_to(hub: Hub) -> None:  # noqa: F811
    """`force_download` reaches the files of a model whose code is read."""
    hub.add(ID, {"config.json": b'{"auto_map": {"AutoModel": "code.M"}}', "code.py": b"class M: pass\n"})
    for force in (False, False, True):
        hub.fetched.clear()
        audit(ID, request=Request(access=Access(force_download=force)))
    assert "code.py" in hub.fetched


def test_the_limits_of_a_call_count_for_the_listing(tmp_path: Path) -> None:
    """More files than `limits.members` are refused with the caller's number."""
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text("x")
    with pytest.raises(LimitExceeded, match="members"):
        reach(tmp_path, Access(), limits=Limits(members=2))
    assert len(reach(tmp_path, Access(), limits=Limits(members=3)).listing) == 3
