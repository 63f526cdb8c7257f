"""`safeload.toml`: what it may say, and the place of everything that it may not."""

from __future__ import annotations

import contextlib
import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeload.core.errors import ConfigError
from safeload.trust.policy_file import PolicyFile, Require, parse_policy
from tests.engine import signing

KEY = signing.public(signing.key())
FILES = {
    "acme.pub": KEY,
    "root.pem": b"-----BEGIN CERTIFICATE-----\n",
    "junk.pub": b"-----BEGIN PUBLIC KEY-----\nAAAA\n",
}
PRIVATE = b"-----BEGIN PRIVATE KEY-----\n"
SIGNER = '[signers.acme]\ntype = "key"\nkeys = [{ file = "acme.pub" }]\n'
FULL = f"""version = 1
signature-store = "sigs"
[defaults]
mode = "enforce"
require = "locked"
formats = ["safetensors", "tokenizer"]
pickle = "deny"
remote-code = "deny"
extra-files = "hide"
integrity = "private"
{SIGNER}
[signers.two]
type = "key"
keys = [{{ file = "acme.pub", not-before = 2026-01-01, not-after = 2027-03-31 }}]
[[rule]]
match = ["ACME/*", "path:models/**"]
require = {{ threshold = 2, of = ["acme", "two"], locked = true }}
mode = "warn"
reverify = "load"
expires = 2027-01-31
reason = "TICKET"
[[revoke]]
key = "{"a" * 64}"
since = 2026-11-20
reason = "stolen"
[[suppress]]
anything = 1
"""


def read(path: str) -> bytes:
    if path == "private.pem":
        return PRIVATE
    if path not in FILES:
        raise ConfigError("not used", where=path, why="No such file or directory", remedy="ls")
    return FILES[path]


def parse(text: str | bytes, **more: object) -> PolicyFile:
    data = text if isinstance(text, bytes) else text.encode()
    return parse_policy(data, folder="/project", read=read, formats=lambda: ["safetensors", "gguf"], **more)  # type: ignore[arg-type]


def refused(text: str | bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert caught.value.remedy
    return f"{caught.value.where}: {caught.value.why}"


@pytest.mark.parametrize(
    ("written", "pattern"),
    [
        ("path:a/*/", "path:/project/a/*"),
        ("path:./a/", "path:/project/a"),
        ("path:/", "path:/"),
        ("path:/a/", "path:/a"),
    ],
)
def test_a_slash_at_the_end_of_a_path_says_nothing(written: str, pattern: str) -> None:
    """A model's path has none: a pattern that kept it would match nothing, and its rule be none."""
    (rule,) = parse(f'version = 1\n[[rule]]\nmatch = ["{written}"]').rules
    assert pattern in rule.patterns and not any(one.endswith("/") for one in rule.patterns if one != "path:/")


def test_everything_that_it_can_say() -> None:
    """Each setting is taken; a rule has what it leaves out from the defaults; hub names are in small letters."""
    policy = parse(FULL)
    (rule,) = policy.rules
    assert rule.patterns == ("acme/*", "path:/project/models/**")
    assert rule.settings.require == Require(locked=True, of=frozenset({"acme", "two"}), threshold=2)
    assert (rule.settings.mode, rule.settings.pickle, rule.settings.reverify) == ("warn", "deny", "load")
    assert rule.expires == datetime.date(2027, 1, 31) and policy.defaults.require == Require(locked=True)
    assert policy.defaults.formats == {"safetensors", "json", "text", "sentencepiece", "template"}
    assert policy.revoked[0].mark == "key:" + "a" * 64 and policy.suppressed == ({"anything": 1},)
    assert policy.store == "/project/sigs"


def test_sugar_for_thresholds() -> None:
    """`any` is a threshold of one, `all` of everybody."""
    for word in ("any", "all"):
        rule = f'[[rule]]\nmatch = ["a/b"]\nrequire = {{ {word} = ["acme"] }}\n'
        assert parse(f"version = 1\n{SIGNER}{rule}").rules[0].settings.require.threshold == 1


RULE = f'version = 1\n{SIGNER}[[rule]]\nmatch = ["x/y"]\n[[rule]]\nmatch = ["a/b"]\n'
WRONG = {
    "version: a number is missing": "",
    "version: this safeload knows version 1": "version = 2",
    "version: it must be a number": 'version = "1"',
    "rules: there is no such key": "version = 1\n[[rules]]\n",
    "defaults.requires: there is no such key": "version = 1\n[defaults]\nrequires = 1",
    "defaults.mode: it must be one of enforce, warn": 'version = 1\n[defaults]\nmode = "off"',
    "defaults.pickle: it must be one of": 'version = 1\n[defaults]\npickle = "allow"',
    "defaults.integrity: it must be a text": "version = 1\n[defaults]\nintegrity = 1",
    "defaults.formats[0]: there is no format 'safetensor'": 'version = 1\n[defaults]\nformats = ["safetensor"]',
    "defaults.formats[1]: 'gguf' is there twice": 'version = 1\n[defaults]\nformats = ["gguf", "gguf"]',
    "defaults.require: it must be": 'version = 1\n[defaults]\nrequire = "signed"',
    "Cannot overwrite a value": "version = 1\nversion = 1",
    "rule[1].require.threshold: 2 of 1 can never be met": RULE + 'require = { threshold = 2, of = ["acme"] }',
    "rule[1].require.threshold: a number is missing": RULE + 'require = { of = ["acme"] }',
    "rule[1].require.threshold: it must lie": RULE + 'require = { threshold = 0, of = ["acme"] }',
    "rule[1].require.any[0]: there is no signer 'acne'": RULE + 'require = { any = ["acne"] }',
    "rule[1].require.all: it names nobody": RULE + "require = { all = [] }",
    "rule[1].require: it needs one of": RULE + 'require = { any = ["acme"], all = ["acme"] }',
    "rule[1].require.atleast: there is no such key": RULE + 'require = { any = ["acme"], atleast = 1 }',
    "rule[1].expires: it must be a date": RULE + "expires = 2027-01-31T00:00:00Z",
    "rule[0].match: it matches nothing": "version = 1\n[[rule]]\nmatch = []",
    "rule[0].match: a list of texts is missing": "version = 1\n[[rule]]\nrequire = 'locked'",
    "rule[0].match[0]: 'a/b/c' is no pattern": 'version = 1\n[[rule]]\nmatch = ["a/b/c"]',
    "rule[0].match[0]: 'a?' is no pattern": 'version = 1\n[[rule]]\nmatch = ["a?"]',
    "rule[0].match[0]: 'a/**' is no pattern": 'version = 1\n[[rule]]\nmatch = ["a/**"]',
    "rule[0].match[0]: 'path:../x' is no pattern": 'version = 1\n[[rule]]\nmatch = ["path:../x"]',
    "rule[0].match[0]: 'path:~/x' matches no path": 'version = 1\n[[rule]]\nmatch = ["path:~/x"]',
    "rule[0].match[0]: 'path:a//*' matches no path": 'version = 1\n[[rule]]\nmatch = ["path:a//*"]',
    "rule[0].match[0]: 'path:/*//' matches no path": 'version = 1\n[[rule]]\nmatch = ["path:/*//"]',
    "rule[1].match: 'x/y' is also in rule[0]": 'version = 1\n[[rule]]\nmatch = ["X/y"]\n[[rule]]\nmatch = ["x/Y"]',
    "revoke[0]: it needs exactly one of": 'version = 1\n[[revoke]]\nreason = "x"',
    "revoke[0].key: it must be a digest": 'version = 1\n[[revoke]]\nkey = "abc"',
    "revoke[0].keys: there is no such key": 'version = 1\n[[revoke]]\nsigner = "x"\nkeys = []',
    "signers.acme.type: it must be one of": 'version = 1\n[signers.acme]\ntype = "pgp"',
    "signers.acme.type: a text is missing": "version = 1\n[signers.acme]\n",
    "signers.acme: it must be a table": "version = 1\nsigners = { acme = 1 }",
    "signers.a b: a signer is a table with a plain name": 'version = 1\n[signers."a b"]\ntype = "key"',
    "signers.acme.keys: it has none": 'version = 1\n[signers.acme]\ntype = "key"\nkeys = []',
    "signers.acme.keys[0].file: No such file": 'version = 1\n[signers.acme]\ntype = "key"\nkeys = [{ file = "x" }]',
    "signers.acme.keys[0].file: private.pem is a private key": (
        'version = 1\n[signers.acme]\ntype = "key"\nkeys = [{ file = "private.pem" }]'
    ),
    "signers.acme.keys[0].file: root.pem does not hold": (
        'version = 1\n[signers.acme]\ntype = "key"\nkeys = [{ file = "root.pem" }]'
    ),
    "signers.acme: ": 'version = 1\n[signers.acme]\ntype = "key"\nkeys = [{ file = "junk.pub" }]',
    "signers.acme.keys[0].not-after: it lies before": (
        'version = 1\n[signers.acme]\ntype = "key"\n'
        'keys = [{ file = "acme.pub", not-before = 2027-01-02, not-after = 2027-01-01 }]'
    ),
    "signers.acme.keys[0].not_after: there is no such key": (
        'version = 1\n[signers.acme]\ntype = "key"\nkeys = [{ file = "acme.pub", not_after = 2027-01-01 }]'
    ),
    "signers.nv.subject: an authority vouches for many": (
        'version = 1\n[signers.nv]\ntype = "certificate"\nroots = ["root.pem"]'
    ),
    "signers.nv.roots: it has none": 'version = 1\n[signers.nv]\ntype = "certificate"\nroots = []',
    "signers.ci.trusted-root: a table": 'version = 1\n[signers.ci]\ntype = "keyless"\nissuer = "i"\nidentity = "x"',
    "signers.ci.trusted-root.sha256: the file's is": (
        'version = 1\n[signers.ci]\ntype = "keyless"\nissuer = "i"\nidentity = "x"\n'
        f'trusted-root = {{ file = "acme.pub", sha256 = "{"0" * 64}" }}'
    ),
    "suppress: it must be a list of tables": "version = 1\nsuppress = 1",
    "it is not UTF-8": b"version = 1 # \xff",
    "merge conflict": "version = 1\n<<<<<<< HEAD\n",
    "it is nested too deep": "x = " + "[" * 100_000,
}


@pytest.mark.parametrize("reason", WRONG)
def test_whatever_is_wrong_has_a_place(reason: str) -> None:
    """Unknown keys, wrong kinds, wrong words, names of nobody, files that are none: each with where and why."""
    assert reason in refused(WRONG[reason])


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_give_a_policy_or_our_error(data: bytes) -> None:
    """The parser ends in a policy or in `ConfigError`, for any bytes."""
    with contextlib.suppress(ConfigError):
        parse(data)


_LINES = FULL.splitlines()
_VALUES = st.sampled_from(
    ["1", "-1", '""', '"x"', "[]", "[[]]", "{}", "[{}]", "true", "1.5", "2027-01-01", "[1]", '["**"]']
)


@given(st.integers(0, len(_LINES) - 1), _VALUES, st.integers(0, len(_LINES)), st.sampled_from(_LINES))
@settings(max_examples=300)
def test_any_line_in_any_place_gives_a_policy_or_our_error(at: int, value: str, where: int, other: str) -> None:
    """A value of another kind, and a line in another place, end in a policy or in `ConfigError`."""
    lines = list(_LINES)
    lines[at] = f"{lines[at].partition('=')[0]}= {value}"
    lines.insert(where, other)
    with contextlib.suppress(ConfigError):
        parse("\n".join(lines))


@given(st.integers(0, len(FULL) - 1), st.integers(0, 255))
@settings(max_examples=300)
def test_one_changed_byte_never_drops_a_rule(at: int, byte: int) -> None:
    """A damaged policy is refused, or still holds as many rules, revocations and signers as before.

    Comments are the exception: `#` hides the rest of a line, which nobody can tell from a comment that was meant.
    """
    changed = FULL.encode()[:at] + bytes([byte]) + FULL.encode()[at + 1 :]
    if byte == ord("#"):
        return
    try:
        policy = parse(changed)
    except ConfigError:
        return
    assert (len(policy.rules), len(policy.revoked), len(policy.signers)) == (1, 1, 2)


def test_what_approvals_of_code_need() -> None:
    """Criteria, how many auditors, and whose word counts; a rule has what it leaves out from the defaults."""
    assert (
        parse("version = 1\n").defaults.criteria == "safe-to-run" and parse("version = 1\n").defaults.auditors is None
    )
    text = f'version = 1\n{SIGNER}[defaults]\ncriteria = "ours"\nauditors = ["acme"]\n[[rule]]\nmatch = ["a/b"]\n'
    policy = parse(text)
    for one in (policy.defaults, policy.rules[0].settings):
        assert (one.criteria, one.min_auditors, one.auditors) == ("ours", 1, {"acme"})


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('criteria = "Safe To Run"', "defaults.criteria: it must be the name of criteria"),
        ('criteria = ["safe-to-run"]', "defaults.criteria: it must be a text"),
        ("min-auditors = 0", "defaults.min-auditors: it must lie between 1"),
        ("min-auditors = true", "defaults.min-auditors: it must be a number"),
        ("auditors = []", "defaults.auditors: it names nobody"),
        ('auditors = ["acme", "acme"]', "defaults.auditors[1]: 'acme' is there twice"),
        ('auditors = ["acne"]', "defaults.auditors[0]: there is no signer 'acne'"),
        ('auditors = ["acme"]\nmin-auditors = 2', "defaults.min-auditors: 2 of 1 can never be met"),
    ],
)
def test_approvals_that_nobody_can_give_are_errors(line: str, why: str) -> None:
    """Unknown signers, nobody, no number, and more auditors than there are names."""
    assert why in refused(f"version = 1\n{SIGNER}[defaults]\n{line}\n")
