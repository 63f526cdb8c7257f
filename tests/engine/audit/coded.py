"""Models that bring code, and a project that approves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from safeload.core.errors import PolicyDenied
from safeload.engine.admission.admitted import Admission
from safeload.engine.admit import admit
from safeload.engine.audit.approve import Approval, approve
from safeload.engine.options import Options
from safeload.engine.request import Request
from safeload.trust import layers
from safeload.trust.private_key import PrivateKey
from tests.engine import signing
from tests.engine.models import model, write, write_all

TODAY = datetime.now(UTC).date()
DAY = timedelta(days=1)
MODELING = "import torch\nfrom .blocks import Block\n\n\nclass XModel(torch.nn.Module):\n    block = Block()\n"
BLOCKS = "class Block:\n    pass\n"
AUTO_MAP = {"AutoModel": "modeling_x.XModel"}
TRUSTED = Request(trust_remote_code=True)
_KEYS = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("jo", "ana", "eve", "acme")}


def key(name: str) -> PrivateKey:
    return PrivateKey(_KEYS[name])


def raw_key(name: str) -> ec.EllipticCurvePrivateKey:
    return _KEYS[name]


def coded(folder: Path, *, auto_map: Any = AUTO_MAP, **files: Any) -> Path:
    """A model of a type that nobody has, and its code; `__` in a name stands for a directory."""
    model(folder, model_type="x", auto_map=auto_map)
    code = {"modeling_x": MODELING, "blocks": BLOCKS} | files
    return write_all(folder, {f"{name.replace('__', '/')}.py": text for name, text in code.items() if text is not None})


def make_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a coded model `m` in it, and no records or policies of the system and the user."""
    tmp_path.chmod(0o700)
    folder = tmp_path / "project"
    (folder / ".git").mkdir(parents=True)
    coded(folder / "m")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(layers, "SYSTEM", str(tmp_path / "etc/policy.toml"))
    monkeypatch.setattr(layers, "SYSTEM_AUDITS", str(tmp_path / "etc/audits.toml"))
    monkeypatch.setattr(layers, "user_audits", lambda: str(tmp_path / "home/audits.toml"))
    for name in _KEYS:
        write(folder / f"keys/{name}.pub", signing.public(raw_key(name)))
    return folder


def policy(path: Path, text: str, keys: str = "keys") -> Path:
    """Write a policy that knows the signers jo, ana, eve and acme."""
    signers = "".join(f'[signers.{n}]\ntype = "key"\nkeys = [{{ file = "{keys}/{n}.pub" }}]\n' for n in _KEYS)
    return write(path, f"version = 1\n{signers}{text}")


def approved(reference: object = "m", *, who: str = "jo", criteria: str = "safe-to-run", **more: Any) -> Approval:
    return approve(str(reference), criteria=[criteria], who=who, **more)


def load(reference: object = "m", *, request: Request = TRUSTED, **options: Any) -> Admission:
    with admit(str(reference), request=request, options=Options(**options)) as admission:
        return admission


def runs(reference: object = "m", **options: Any) -> bool:
    """Whether the code may run; a refusal must say what to do."""
    try:
        return load(reference, **options).code is not None
    except PolicyDenied as error:
        assert all(reason.remedy for reason in error.verdict.denials())
        return False


def refusal(reference: object = "m", **options: Any) -> str:
    with pytest.raises(PolicyDenied) as caught:
        load(reference, **options)
    return str(caught.value)
