"""What the tests of approvals are made of: code, records about it, and files of records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any

import pytest

from safeload.core.digest import sha256, tree_digest
from safeload.core.errors import ConfigError
from safeload.trust.audit_records import Audit, Audits, Violation
from safeload.trust.audits import parse_audits
from safeload.trust.criteria import Criteria
from safeload.trust.judge import Code

TODAY = date(2026, 11, 28)
HEAD = "version = 1\n"


def days(number: int) -> date:
    return TODAY + timedelta(days=number)


def digest_of(name: str) -> str:
    """The digest of code that is one file `m.py` holding this text."""
    return tree_digest(files_of(name))


def files_of(name: str) -> dict[str, str]:
    return {"m.py": sha256(name.encode())}


A, B, C = (digest_of(name) for name in "abc")


def code(name: str = "a", **more: Any) -> Code:
    known: dict[str, Any] = {"entries": frozenset({"m.M"}), "imports": frozenset({"torch"}), "unfollowed": frozenset()}
    return Code(closure=digest_of(name), files=files_of(name), **(known | more))


def audit(name: str = "a", *, base: str = "", **more: Any) -> Audit:
    """Jo read this code and says that it is safe to run."""
    known: dict[str, Any] = {
        "who": "jo",
        "criteria": frozenset({"safe-to-run"}),
        "entries": frozenset({"m.M"}),
        "imports": frozenset({"torch"}),
        "base": digest_of(base) if base else "",
        "place": "audits.toml » audit[0]",
    }
    known |= more
    known.setdefault("meant", Criteria().implied(known["criteria"]))
    return Audit(closure=digest_of(name), **known)


def records(*items: Audit | Violation, **more: Any) -> Audits:
    return Audits(
        audits=tuple(item for item in items if isinstance(item, Audit)),
        violations=tuple(item for item in items if isinstance(item, Violation)),
        **more,
    )


def table(name: str, **values: Any) -> str:
    """A table of TOML; `_` stands for `-`, and a value that is a text is put between quotes."""
    shown = {key.replace("_", "-"): value if isinstance(value, Raw) else toml(value) for key, value in values.items()}
    return f"[[{name}]]\n" + "".join(f"{key} = {value}\n" for key, value in shown.items())


class Raw(str):
    """TOML as it stands there."""

    __slots__ = ()


def toml(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def full(**values: Any) -> str:
    """A full audit of A, or with other values; `None` leaves one out."""
    known = {"closure": A, "who": "jo", "criteria": ["safe-to-run"], "entries": ["m.M"], "imports": ["torch"]}
    return table("audit", **{key: value for key, value in (known | values).items() if value is not None})


def reading(files: Mapping[str, bytes]) -> Callable[[str], bytes]:
    def read(name: str) -> bytes:
        if name not in files:
            if name.endswith(".sig"):
                return b""
            raise ConfigError("not used", where=name, why="No such file or directory", remedy="ls")
        return files[name]

    return read


def parse(text: str | bytes, files: Mapping[str, bytes] | None = None) -> Audits:
    data = text if isinstance(text, bytes) else (text if "version = " in text else HEAD + text).encode()
    return parse_audits(data, folder="/project", read=reading(files or {}))


def refused(text: str | bytes, files: Mapping[str, bytes] | None = None) -> str:
    """Where and why a file of records is refused."""
    with pytest.raises(ConfigError) as caught:
        parse(text, files)
    assert caught.value.remedy and ".toml" in str(caught.value.where)
    return f"{caught.value.where}: {caught.value.why}"
