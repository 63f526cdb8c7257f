"""Loads that need code: refused without an approval, admitted with one, and refused again when anything changed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from safeload.core.digest import sha256
from safeload.core.errors import ConfigError
from safeload.engine.audit.check import check
from safeload.engine.request import Request
from safeload.trust import layers
from tests.engine import signing
from tests.engine.audit.coded import (
    AUTO_MAP,
    BLOCKS,
    DAY,
    MODELING,
    TODAY,
    approved,
    coded,
    key,
    load,
    make_project,
    policy,
    raw_key,
    refusal,
    runs,
)
from tests.engine.models import model, write

TRUSTED = f"""signer = "{{signer}}"
match = ["{{match}}"]
criteria = ["safe-to-run"]
imports = ["torch"]
start = {TODAY}
end = {TODAY}
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return make_project(tmp_path, monkeypatch)


def dumped(document: object) -> bytes:
    return json.dumps(document).encode() + b"\n"


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def test_code_is_refused_with_one_message_that_lists_all_files_and_the_command() -> None:
    """Every file of the closure is named, also one that only an import leads to, and the command that comes next."""
    said = refusal()
    for text in ("modeling_x.py", "blocks.py", "safeload approve m --criteria safe-to-run --as YOU"):
        assert text in said


def test_approved_code_may_run_and_only_for_who_asks() -> None:
    """After the approval the load has the code; a load that does not ask for code is refused or has none."""
    approved()
    assert runs() and not runs(request=Request()) and not runs(request=Request(trust_remote_code=False))


_FIXTURES: dict[str, Callable[[Path], object]] = {
    "unknown type": coded,
    "native type": lambda m: coded(m) and model(m, model_type="bert", auto_map=AUTO_MAP),
    "relative, late": lambda m: coded(m, modeling_x="def f():\n    from . import blocks\n\n\nclass XModel: ...\n"),
    "third-party import": lambda m: coded(m, blocks="import einops\nBlock = 1\n"),
    "tokenizer": lambda m: write(
        coded(m) / "tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["blocks.Block", None]}}
    ),
    "processor": lambda m: write(coded(m) / "processor_config.json", {"auto_map": {"AutoProcessor": "blocks.Block"}}),
    "nested": lambda m: (
        coded(m, auto_map=None, modeling_x="x = 1\n") and model(m, model_type="x", text_config={"auto_map": AUTO_MAP})
    ),
    "generate": lambda m: coded(m, custom_generate__generate="def generate(model): ...\n"),
}


@pytest.mark.parametrize("make", _FIXTURES.values(), ids=_FIXTURES)
def test_every_way_in_needs_an_approval(project: Path, make: Callable[[Path], object]) -> None:
    """Refused before it is approved, admitted after, and refused again once a byte of any file changed."""
    make(project / "w")
    assert not runs("w")
    files = approved("w").audit.files
    assert files and runs("w")
    for name in files:
        good = (project / "w" / name).read_bytes()
        (project / "w" / name).write_bytes(good + b"#")
        assert not runs("w"), name
        (project / "w" / name).write_bytes(good)
        assert runs("w")


def test_the_same_code_in_another_model_needs_no_second_approval(project: Path) -> None:
    """An approval is of code: weights and the name of the model are no part of it."""
    approved()
    write(coded(project / "fine-tuned") / "vocab.txt", "other\n")
    assert runs("fine-tuned")


def test_another_class_of_the_same_code_needs_its_own_approval(project: Path) -> None:
    """What a config may ask for is part of the record; approving one more class leaves the first approval as it is."""
    approved()
    coded(
        project / "other",
        auto_map={"AutoModel": "blocks.Block"},
        modeling_x=MODELING,
        blocks="from . import modeling_x\n",
    )
    coded(project / "twin", auto_map={"AutoModel": "blocks.Block"}, modeling_x=MODELING, blocks=BLOCKS)
    assert not runs("other") and not runs("twin")
    coded(project / "same", auto_map={"AutoModel": "modeling_x.XModel", "AutoModelForCausalLM": "modeling_x.Block"})
    assert "does not name the entries modeling_x.Block" in refusal("same")
    approved("same")
    assert runs() and runs("same")


def test_a_further_import_is_refused(project: Path) -> None:
    """A record that was written by hand and does not list a package does not approve code that imports it."""
    approved()
    text = (project / "audits.toml").read_text()
    write(project / "audits.toml", text.replace('imports = ["torch"]', 'imports = ["numpy"]'))
    assert "does not name the imports torch" in refusal()


@pytest.mark.parametrize("line", ["exec(open('x').read())\n", "import importlib\nimportlib.import_module(input())\n"])
def test_what_cannot_be_followed_must_be_named(project: Path, line: str) -> None:
    """An approval that does not name a computed import or executed text approves nothing."""
    coded(project / "m", blocks=BLOCKS + line)
    place = f"blocks.py:{2 + line.count(chr(10))}"
    approved(unfollowed_named=[place])
    assert runs()
    text = (project / "audits.toml").read_text()
    write(project / "audits.toml", text.replace(f'unfollowed = ["{place}"]\n', ""))
    assert f"does not name the places that cannot be followed {place}" in refusal()


def test_a_violation_beats_the_approval(project: Path) -> None:
    """A violation of the code, of one of its files, or of the model refuses at once, with its reason and place."""
    audit = approved(key=key("jo")).audit
    good = (project / "audits.toml").read_text()
    for line in (
        f'closure = "{audit.closure}"',
        f'file-sha256 = "{audit.files["blocks.py"]}"',
        'match = ["path:m"]',
        'match = ["**"]',
    ):
        write(project / "audits.toml", good + f'[[violation]]\n{line}\nreason = "steals tokens"\n')
        said = refusal()
        assert "is a violation: steals tokens" in said and "violation[0]" in said
    write(project / "audits.toml", good)
    assert runs()


@pytest.mark.parametrize("place", ["etc", "home"])
def test_records_of_the_system_and_the_user_count(project: Path, tmp_path: Path, place: str) -> None:
    """A record in either place approves; a violation in either beats the project's, and no option leaves it out."""
    approved()
    text = (project / "audits.toml").read_text()
    os.replace(project / "audits.toml", write(tmp_path / place / "audits.toml", text))
    assert runs()
    os.replace(tmp_path / place / "audits.toml", project / "audits.toml")
    assert runs()
    write(tmp_path / place / "audits.toml", 'version = 1\n[[violation]]\nmatch = ["**"]\nreason = "not here"\n')
    assert "not here" in refusal() and "not here" in refusal(audits=project / "audits.toml")


def test_the_environment_chooses_no_records(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record below HOME or XDG_CONFIG_HOME of the environment approves nothing."""
    monkeypatch.undo()
    monkeypatch.chdir(project)
    monkeypatch.setattr(layers, "SYSTEM_AUDITS", str(tmp_path / "none"))
    approved()
    text = (project / "audits.toml").read_text()
    (project / "audits.toml").unlink()
    for folder in ("config", "home/.config"):
        write(tmp_path / folder / "safeload/audits.toml", text)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert not runs()


def test_expiry_refuses(project: Path) -> None:
    """The day after its last day a record does not count."""
    approved(expires=TODAY + DAY)
    assert runs()
    text = (project / "audits.toml").read_text()
    write(project / "audits.toml", text.replace(f"expires = {TODAY + DAY}", f"expires = {TODAY - DAY}"))
    assert "it expired on" in refusal()


def test_a_record_from_the_future_does_not_count(project: Path) -> None:
    """If a record is of a day to come, the clock of this machine was turned back, or somebody wrote nonsense."""
    approved()
    text = (project / "audits.toml").read_text()
    write(project / "audits.toml", text.replace(f"date = {TODAY}", f"date = {TODAY + 30 * DAY}"))
    assert "one of the two is wrong" in refusal()


# ── policies ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_policy_says_which_criteria(project: Path) -> None:
    """Weaker criteria are refused, and the next command names those that are demanded."""
    policy(project / "safeload.toml", '[defaults]\ncriteria = "safe-to-deploy"\n')
    approved()
    said = refusal()
    assert "safe-to-deploy is needed" in said and "safeload approve m --criteria safe-to-deploy --as YOU" in said
    approved(criteria="safe-to-deploy")
    assert runs()


def test_too_few_auditors_are_refused(project: Path) -> None:
    """One person is not two, whatever their names look like."""
    policy(project / "safeload.toml", "[defaults]\nmin-auditors = 2\n")
    approved()
    assert "1 of the 2 auditors needed" in refusal()
    approved(who="J\u043e")
    assert "1 of the 2 auditors needed" in refusal()
    approved(who="ana")
    assert runs()


def test_named_auditors_must_have_signed(project: Path) -> None:
    """Unsigned, signed by another key, forged, and changed after it was signed: none of them counts."""
    policy(project / "safeload.toml", '[defaults]\nauditors = ["jo", "ana"]\n')
    approved()
    assert "signed by nobody of ana, jo" in refusal()
    approved(key=key("eve"))
    assert "signed by nobody of ana, jo" in refusal()
    approved(key=key("jo"))
    assert runs()
    signatures = (project / "audits.toml.sig").read_bytes()
    text = (project / "audits.toml").read_text()
    for old, new in (('"jo"', '"joe"'), ("safe-to-run", "safe-to-deploy"), ('"torch"]', '"torch", "requests"]')):
        write(project / "audits.toml", text.replace(old, new))
        assert "signed by nobody of ana, jo" in refusal(), new
    write(project / "audits.toml", text)
    assert runs()
    by_eve, by_jo = map(json.loads, signatures.splitlines())
    mixed = by_jo | {"dsseEnvelope": by_eve["dsseEnvelope"]}
    by_jo["dsseEnvelope"]["signatures"][0]["sig"] = by_jo["dsseEnvelope"]["signatures"][0]["sig"][::-1]
    for forged in (b"", *map(dumped, (by_eve, mixed, by_jo)), b"junk\n" * 20):
        (project / "audits.toml.sig").write_bytes(forged)
        assert not runs()
    (project / "audits.toml.sig").write_bytes(b"junk\n\xff\n{}\n" + signatures)
    assert runs()


def test_two_keys_are_two_auditors(project: Path) -> None:
    """Where auditors are named, keys are counted: one key under two names in the file is one."""
    policy(project / "safeload.toml", '[defaults]\nauditors = ["jo", "ana"]\nmin-auditors = 2\n')
    approved(key=key("jo"))
    approved(who="ana", key=key("jo"))
    assert "1 of the 2 auditors needed" in refusal()
    approved(who="ana", key=key("ana"))
    assert runs()


def test_a_revoked_key_approves_nothing(project: Path) -> None:
    """After a key was stolen, what it signed does not count any more."""
    approved(key=key("jo"))
    for line in (f'key = "{signing.fingerprint(raw_key("jo"))}"', 'signer = "jo"'):
        policy(project / "safeload.toml", f'[defaults]\nauditors = ["jo"]\n[[revoke]]\n{line}\n')
        assert "signed by nobody of jo" in refusal()
    policy(project / "safeload.toml", '[defaults]\nauditors = ["jo"]\n')
    assert runs()


def test_a_layer_above_knows_its_own_auditors(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project cannot become the system's auditor by calling its own signer so."""
    monkeypatch.setattr(layers, "SYSTEM", str(tmp_path / "etc/policy.toml"))
    policy(project / "safeload.toml", "[defaults]\n")
    write(tmp_path / "etc/keys/jo.pub", signing.public(raw_key("acme")))
    system = '[signers.jo]\ntype = "key"\nkeys = [{ file = "keys/jo.pub" }]\n[defaults]\nauditors = ["jo"]\n'
    write(tmp_path / "etc/policy.toml", f"version = 1\n{system}")
    approved(key=key("jo"))
    assert "signed by nobody of system:jo" in refusal()
    approved(key=key("acme"))
    assert runs()


def test_who_may_write_the_records_cannot_add_to_what_was_signed(project: Path) -> None:
    """Neither stronger meanings of criteria, nor publishers, nor mappings approve where auditors are named."""
    own = '[criteria.glance]\ndescription = "x"\nimplies = ["safe-to-import"]\n'
    write(project / "audits.toml", f"version = 1\n{own}")
    policy(project / "safeload.toml", '[defaults]\nauditors = ["jo"]\n')
    approved(criteria="glance", key=key("jo"))
    text, signatures = (project / "audits.toml").read_text(), (project / "audits.toml.sig").read_bytes()
    assert not runs()
    write(project / "audits.toml", text.replace('["safe-to-import"]', '["safe-to-deploy"]'))
    assert not runs()
    signing.sign(project / "m", raw_key("jo"))
    trusted = TRUSTED.format(signer="jo", match="**")
    write(project / "audits.toml", text + f"[[trusted]]\n{trusted}")
    assert "a model's signature is no audit" in refusal()
    silent = text.replace('implies = ["safe-to-import"]\n', "")
    theirs = write(project / "theirs.toml", silent)
    (project / "theirs.toml.sig").write_bytes(signatures)
    pin = sha256(theirs.read_bytes())
    mapped = f'[imports.x]\nfile = "theirs.toml"\nsha256 = "{pin}"\ncriteria-map = {{ glance = ["safe-to-run"] }}\n'
    write(project / "audits.toml", f"version = 1\n{mapped}")
    assert not runs()
    policy(project / "safeload.toml", "[defaults]\n")
    assert runs()


def test_a_trusted_publisher_approves_what_it_signed(project: Path) -> None:
    """Code that the publisher signed as part of the model runs without an audit, and not after a byte changed."""
    policy(project / "safeload.toml", "[defaults]\n")
    trusted = TRUSTED.format(signer="acme", match="path:m")
    write(project / "audits.toml", f"version = 1\n[[trusted]]\n{trusted}")
    assert "acme did not sign" in refusal()
    signing.sign(project / "m", raw_key("acme"))
    assert runs() and check("m").approved
    append(project / "m/blocks.py", "#")
    assert not runs() and not check("m").approved


def test_a_policy_that_only_warns_does_not_let_code_run(project: Path) -> None:
    """What ran cannot be taken back: `mode = "warn"` makes no difference."""
    policy(project / "safeload.toml", '[defaults]\nmode = "warn"\ncriteria = "safe-to-deploy"\n')
    approved()
    assert not runs()


def test_an_approval_does_not_lift_a_policy_that_forbids_code(project: Path) -> None:
    """`remote-code = "deny"` stays."""
    policy(project / "safeload.toml", '[defaults]\nremote-code = "deny"\n')
    approved()
    assert not runs()


# ── what a model cannot do ────────────────────────────────────────────────────────────────────────────────────


def test_a_model_brings_no_records_along(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An audits.toml in the model is no record; if the working directory is the model, it is an error."""
    approved()
    (project / "audits.toml").rename(project / "m/audits.toml")
    assert not runs()
    monkeypatch.chdir(project / "m")
    with pytest.raises(ConfigError, match="no say in how it is judged"):
        load(project / "m")


@pytest.mark.parametrize("link", ["file", "folder"])
def test_a_link_into_the_model_brings_none_either(project: Path, link: str) -> None:
    """A file of records that really lies in the model is an error, however it is reached."""
    approved()
    (project / "audits.toml").rename(project / "m/audits.toml")
    if link == "file":
        (project / "audits.toml").symlink_to("m/audits.toml")
        options = {}
    else:
        (project / "link").symlink_to("m")
        options = {"audits": "link/audits.toml"}
    with pytest.raises(ConfigError, match="no say in how it is judged"):
        load(**options)


def test_records_that_others_may_write_are_refused(project: Path) -> None:
    """A file that everybody may write approves nothing."""
    approved()
    (project / "audits.toml").chmod(0o666)
    with pytest.raises(ConfigError, match="everybody may write it"):
        load()


def test_an_import_that_is_a_link_is_refused(project: Path) -> None:
    """The file that an import names is read as itself, never through a link."""
    them = write(project / "real.toml", "version = 1\n")
    (project / "acme.toml").symlink_to("real.toml")
    pin = sha256(them.read_bytes())
    write(project / "audits.toml", f'version = 1\n[imports.acme]\nfile = "acme.toml"\nsha256 = "{pin}"\n')
    with pytest.raises(ConfigError, match="it is a link"):
        load()


def test_a_broken_file_of_records_is_an_error_and_no_empty_one(project: Path) -> None:
    """Records that cannot be read stop the load: a violation might stand in them."""
    write(project / "audits.toml", "version = 1\n[[violation]]\n")
    with pytest.raises(ConfigError, match="violation"):
        load()
    with pytest.raises(ConfigError):
        load(audits="none.toml")
