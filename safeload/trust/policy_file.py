"""`safeload.toml`: who may publish what, read strictly. Values, and how to read them; `rules` says what they mean.

1. Unknown keys, repeated keys and unknown names are errors, each with its place, such as `rule[1].require.threshold`.
2. A key file that is missing, a link, or no public key is an error: a signer is never quietly less than was written.
3. What a rule leaves out it has from `[defaults]`; what those leave out is as without any file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from safeload.core.errors import ConfigError
from safeload.core.names import escape
from safeload.trust.criteria import NAME as CRITERION
from safeload.trust.criteria import RUN
from safeload.trust.file_names import POLICY
from safeload.trust.kernels import STANCES, Kernels, read_kernels
from safeload.trust.signers import Signer
from safeload.trust.signers_read import read_signer
from safeload.trust.tables import Table, read_toml

LARGEST = 4 << 20
REMEDY = "correct the file, then: safeload policy check"
LAYERS = ("system", "user", "project")
PICKLE = ("deny", "restricted", "convert")
REMOTE_CODE = ("deny", "audited")
EXTRA_FILES = ("reject", "hide")
INTEGRITY = ("auto", "pinned", "private")
MODES = ("enforce", "warn")
REVERIFY = ("lock", "load")
REVOCABLE = ("key", "cert-sha256", "tree", "file-sha256", "signer")
CAPABILITIES = ("process", "network", "file-write", "file-read", "environment", "native", "deserialisation")
"""What approved code can be kept from while it loads: a part of what an audit finds, by the same names."""
FORMAT_GROUPS = {"tokenizer": frozenset({"json", "text", "sentencepiece", "template"})}
"""Words for several formats."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TREE = re.compile(r"h1:[A-Za-z0-9+/]{43}=")
_SHAPES = {"key": _SHA256, "cert-sha256": _SHA256, "file-sha256": _SHA256, "tree": _TREE}
_SIGNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_HUB_PATTERN = re.compile(r"[A-Za-z0-9._*-]+(?:/[A-Za-z0-9._*-]+)?")
_PATH_PATTERN = re.compile(r"path:[^\x00-\x1f\x7f?\[\]{}]{1,4000}")
Read = Callable[[str], bytes]
Real = Callable[[str], str]
Formats = Callable[[], Collection[str]]
"""Every format there is; asked only if a policy names some."""
"""The bytes of a file that the policy names; raises `ConfigError`."""


@dataclass(frozen=True, slots=True)
class Require:
    """What a model needs: an entry in a lock, and signatures of `threshold` of `of`."""

    locked: bool = False
    of: frozenset[str] = frozenset()
    threshold: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What holds for a model. The defaults are what holds without a file."""

    mode: str = "enforce"
    require: Require = Require()
    reverify: str = ""
    """`lock` or `load`; empty: `lock` in a project's file, `load` in those above it."""
    formats: frozenset[str] | None = None
    pickle: str = "convert"
    remote_code: str = "audited"
    criteria: str = RUN
    """What approvals of code must say, at least."""
    min_auditors: int = 1
    auditors: frozenset[str] | None = None
    """The signers whose approvals count, if signed; `None` takes anybody's."""
    extra_files: str = "reject"
    integrity: str = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What holds for the models that one of `patterns` matches."""

    patterns: tuple[str, ...]
    settings: Settings
    place: str
    expires: date | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """Something that must not be trusted any more, whatever else speaks for it."""

    kind: str
    value: str
    since: date | None = None
    reason: str = ""

    @property
    def mark(self) -> str:
        return f"{self.kind}:{self.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFile:
    """One policy file."""

    file: str
    layer: str = "project"
    defaults: Settings = Settings()
    signers: Mapping[str, Signer] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    revoked: tuple[Revocation, ...] = ()
    store: str = ""
    """A directory of signatures of models that one does not own; see `signature_store`."""
    suppressed: tuple[Mapping[str, Any], ...] = ()
    """The tables `[[suppress]]`, as they stand there."""
    capabilities: frozenset[str] | None = None
    """What approved code may do while it loads; `None` if the file does not say."""
    kernels: Kernels = field(default_factory=Kernels)


def parse_policy(
    data: bytes,
    *,
    file: str = POLICY,
    layer: str = "project",
    folder: str = "",
    read: Read,
    real: Real = str,
    formats: Formats | None = None,
) -> PolicyFile:
    """Read a policy file. Total: any bytes give a policy or the error.

    Args:
        folder: the absolute directory that relative paths of models start from.
        read: gives the bytes of the files that it names.
        real: gives a path without links; models are known by theirs.
        formats: gives every format there is; names that are none of them are errors.

    Raises:
        ConfigError: something in it cannot be used; with the place.
    """
    top = read_toml(data, file=file, most=LARGEST, remedy=REMEDY)
    version = top.number("version", least=1)
    if version != 1:
        top.refuse("version", f"this safeload knows version 1, and not {version}")
    signers: dict[str, Signer] = {}
    named = top.table("signers")
    for name in named.names() if named else ():
        assert named is not None
        table = named.table(name)
        if table is None or not _SIGNER.fullmatch(name):
            named.refuse(name, "a signer is a table with a plain name")
        signers[name] = read_signer(name, table, read)
    table = top.table("defaults")
    defaults = _settings(table, Settings(), signers, formats) if table else Settings()
    if table:
        table.end()
    capabilities, stance = _remote_code(top)
    policy = PolicyFile(
        file=file,
        layer=layer,
        defaults=defaults,
        signers=signers,
        rules=tuple(_rule(item, defaults, signers, formats, folder, real) for item in top.tables("rule")),
        revoked=tuple(_revocation(item) for item in top.tables("revoke")),
        store=_store(top, folder),
        suppressed=_suppressed(top),
        capabilities=capabilities,
        kernels=read_kernels(top, stance),
    )
    top.end()
    _refuse_twins(top, policy.rules)
    return policy


def _settings(table: Table, base: Settings, signers: Mapping[str, Signer], formats: Formats | None) -> Settings:
    return Settings(
        mode=table.choice("mode", MODES, base.mode),
        require=_require(table, base.require, signers),
        reverify=table.choice("reverify", REVERIFY, base.reverify),
        formats=_formats(table, base.formats, formats),
        pickle=table.choice("pickle", PICKLE, base.pickle),
        remote_code=table.choice("remote-code", REMOTE_CODE, base.remote_code),
        criteria=table.pattern("criteria", CRITERION, f"the name of criteria, such as {RUN}", base.criteria),
        **_auditors(table, base, signers),
        extra_files=table.choice("extra-files", EXTRA_FILES, base.extra_files),
        integrity=table.choice("integrity", INTEGRITY, base.integrity),
    )


def _auditors(table: Table, base: Settings, signers: Mapping[str, Signer]) -> dict[str, Any]:
    names = table.texts("auditors", None)
    if names == ():
        table.refuse("auditors", "it names nobody")
    for index, name in enumerate(names or ()):
        if name not in signers:
            table.refuse(f"auditors[{index}]", f"there is no signer {escape(name)!r}: [signers.{escape(name)}]")
    auditors = base.auditors if names is None else frozenset(names)
    least = table.number("min-auditors", base.min_auditors, least=1)
    if auditors is not None and least > len(auditors):
        table.refuse("min-auditors", f"{least} of {len(auditors)} can never be met")
    return {"min_auditors": least, "auditors": auditors}


def _require(table: Table, base: Require, signers: Mapping[str, Signer]) -> Require:
    value = table.raw("require")
    if value is None:
        return base
    if value in ("none", "locked"):
        return Require(locked=value == "locked")
    if type(value) is not dict:
        table.refuse("require", 'it must be "none", "locked", or a table with threshold and of, any, or all')
    asked = Table(value, file=table.file, path=table.at("require"), remedy=table.remedy)
    words = [word for word in ("of", "any", "all") if word in asked]
    if len(words) != 1:
        asked.refuse("", "it needs one of: of (with threshold), any, all")
    of = asked.texts(words[0])
    if not of:
        asked.refuse(words[0], "it names nobody")
    for index, name in enumerate(of):
        if name not in signers:
            asked.refuse(f"{words[0]}[{index}]", f"there is no signer {escape(name)!r}: [signers.{escape(name)}]")
    if words[0] == "of":
        threshold = asked.number("threshold", least=1)
        if threshold > len(of):
            asked.refuse("threshold", f"{threshold} of {len(of)} can never be met")
    else:
        threshold = len(of) if words[0] == "all" else 1
    locked = asked.flag("locked")
    asked.end()
    return Require(locked=locked, of=frozenset(of), threshold=threshold)


def _formats(table: Table, base: frozenset[str] | None, formats: Formats | None) -> frozenset[str] | None:
    names = table.texts("formats", None)
    if names is None:
        return base
    known = None if formats is None else frozenset(formats())
    found: set[str] = set()
    for index, name in enumerate(names):
        if name not in FORMAT_GROUPS and known is not None and name not in known:
            table.refuse(f"formats[{index}]", f"there is no format {escape(name)!r}: {', '.join(sorted(known))}")
        found |= FORMAT_GROUPS.get(name, frozenset({name}))
    return frozenset(found)


def _rule(
    table: Table, base: Settings, signers: Mapping[str, Signer], formats: Formats | None, folder: str, real: Real
) -> Rule:
    patterns = table.texts("match")
    if not patterns:
        table.refuse("match", "it matches nothing")
    rule = Rule(
        patterns=tuple(
            dict.fromkeys(
                pattern
                for index, text in enumerate(patterns)
                for pattern in with_real(model_pattern(table, index, text, folder), real)
            )
        ),
        settings=_settings(table, base, signers, formats),
        place=table.path,
        expires=table.day("expires"),
        reason=table.text("reason", ""),
    )
    table.end()
    return rule


def model_pattern(table: Table, index: int, text: str, folder: str) -> str:
    """A pattern as models are named: the hub's in small letters, which it does not tell apart; paths absolute."""
    key = f"match[{index}]"
    if text == "**":
        return text
    if not text.startswith("path:"):
        if not _HUB_PATTERN.fullmatch(text) or "**" in text:
            table.refuse(key, f"{escape(text)!r} is no pattern for a model: org/name, org/*, */*, ** or path:/…")
        return text.lower()
    path = text.removeprefix("path:").removeprefix("./")
    parts = path.removeprefix("/").removesuffix("/").split("/")
    if not _PATH_PATTERN.fullmatch(text) or any(part in (".", "..") for part in parts):
        table.refuse(
            key, f"{escape(text)!r} is no pattern for a path: only * and ** are special, and no .. may be in it"
        )
    if "" in parts[path == "/" :] or path.startswith("~"):  # what could never match would silently be no rule
        table.refuse(key, f"{escape(text)!r} matches no path: it has an empty part, or a ~ that nobody would expand")
    path = path if path == "/" else path.removesuffix("/")
    if not path.startswith("/"):
        if not folder:
            table.refuse(key, "it must be an absolute path here")
        path = f"{folder.rstrip('/')}/{path}"
    return f"path:{path}"


def with_real(pattern: str, real: Real) -> Iterator[str]:
    """The pattern, and for a path the same one with the links in its literal beginning followed."""
    yield pattern
    if pattern.startswith("path:"):
        path = pattern.removeprefix("path:")
        literal, star, rest = path.partition("*")
        head, slash, tail = literal.rpartition("/") if star else (literal, "", "")
        yield f"path:{real(head or '/').rstrip('/')}{slash}{tail}{star}{rest}"


def _revocation(table: Table) -> Revocation:
    kinds = [kind for kind in REVOCABLE if kind in table]
    if len(kinds) != 1:
        table.refuse("", f"it needs exactly one of {', '.join(REVOCABLE)}")
    kind = kinds[0]
    value = table.pattern(kind, _SHAPES.get(kind, _SIGNER), "a digest" if kind in _SHAPES else "a signer's name")
    revocation = Revocation(kind=kind, value=value, since=table.day("since"), reason=table.text("reason", ""))
    table.end()
    return revocation


def _store(top: Table, folder: str) -> str:
    path: str = top.text("signature-store", "")
    if not path or path.startswith("/"):
        return path
    if not folder:
        top.refuse("signature-store", "it must be an absolute path here")
    return f"{folder.rstrip('/')}/{path}"


def _suppressed(top: Table) -> tuple[Mapping[str, Any], ...]:
    """The tables `[[suppress]]`, which are about findings: whoever applies them reads them."""
    value = top.raw("suppress")
    if value is None:
        return ()
    if type(value) is not list or not all(type(item) is dict for item in value):
        top.refuse("suppress", "it must be a list of tables")
    return tuple(value)


def _remote_code(top: Table) -> tuple[frozenset[str] | None, str | None]:
    """`[remote-code]`: what approved code may do, `capabilities = ["none"]` or those that there are; and kernels."""
    table = top.table("remote-code")
    if table is None:
        return None, None
    stance = table.choice("kernels", STANCES, None)
    names = table.texts("capabilities", *([None] if stance else []))
    if names is None:
        table.end()
        return None, stance
    if not names or (len(names) > 1 and "none" in names):
        table.refuse("capabilities", 'it must be ["none"] alone, or some of ' + ", ".join(CAPABILITIES))
    for index, name in enumerate(names):
        if name not in (*CAPABILITIES, "none"):
            table.refuse(f"capabilities[{index}]", f"{escape(name)!r} is none of {', '.join(CAPABILITIES)}")
    table.end()
    return frozenset(names) - {"none"}, stance


def _refuse_twins(top: Table, rules: tuple[Rule, ...]) -> None:
    seen: dict[str, str] = {}
    for rule in rules:
        for pattern in rule.patterns:
            if pattern in seen:
                raise ConfigError(
                    f"{escape(top.file)} was not used",
                    where=f"{escape(top.file)} » {rule.place}.match",
                    why=f"{escape(pattern)!r} is also in {seen[pattern]}, and neither is more specific",
                    remedy=REMEDY,
                )
            seen[pattern] = rule.place
