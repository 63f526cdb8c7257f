"""Approving: what is written down, what is refused, and what happens to the file."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from safeload.core.digest import sha256
from safeload.core.errors import ConfigError, SafeloadError, SourceError, UsageError
from safeload.engine.audit import recording
from safeload.engine.audit.check import check, suggest
from safeload.engine.lock import lock
from safeload.engine.request import Request
from safeload.sources.store import Store
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
    make_project,
    policy,
    raw_key,
    runs,
)
from tests.engine.models import model, write
from tests.hubserver import Hub, hub  # noqa: F401  (a fixture)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return make_project(tmp_path, monkeypatch)


def said(**more: Any) -> str:
    """Why it is refused; nothing is written."""
    before = sorted(os.listdir())
    with pytest.raises(SafeloadError) as caught:
        approved(**more)
    assert caught.value.remedy and sorted(os.listdir()) == before
    return f"{caught.value.what} {caught.value.why} {caught.value.remedy}"


def test_a_record_names_all_that_is_approved(project: Path) -> None:
    """Files with digests, entries, imports, the day and who: all of it stands in the file, which others may read."""
    done = approved(note="read twice")
    [record] = layers.read_audits("audits.toml").own
    assert record.files.keys() == {"modeling_x.py", "blocks.py"} and record.entries == {"modeling_x.XModel"}
    assert (record.imports, record.who, record.day, record.note) == ({"torch"}, "jo", TODAY, "read twice")
    assert done.path == str(project / "audits.toml") and not done.signed
    assert [one.criteria for one in done.answer.approvals] == ["safe-to-run"]
    assert sorted(os.listdir()) == [".git", "audits.toml", "keys", "m"]


def test_the_file_lies_at_the_root_of_the_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Approving from a folder of the project writes the project's file, and finds it again."""
    (project / "src").mkdir()
    monkeypatch.chdir(project / "src")
    assert approved("../m").path == str(project / "audits.toml") and runs("../m")


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"who": " "}, "nobody is named"),
        ({"who": "\u200b--"}, "holds no letter"),
        ({"who": "jo\ud800"}, "not a character"),
        ({"note": "\udcff"}, "not a character"),
        ({"criteria": "safe"}, "there are no criteria 'safe'"),
        ({"exempt": True}, "needs its last day"),
        ({"exempt": True, "expires": TODAY + DAY, "base": "h1:" + "A" * 43 + "="}, "an exemption was not"),
        ({"expires": TODAY - DAY}, "before today"),
        ({"base": "v1"}, "no digest of code"),
        ({"base": "h1:" + "A" * 42 + "B="}, "no digest of code"),
        ({"unfollowed_named": ["blocks.py:1"]}, "there is no such place"),
    ],
)
def test_what_cannot_be_meant_is_refused(more: dict[str, Any], why: str) -> None:
    """Contradictions and words that mean nothing write no record."""
    assert why in said(**more)


def test_no_criteria_are_no_approval() -> None:
    """An approval without criteria says nothing."""
    from safeload.engine.audit.approve import approve

    with pytest.raises(UsageError, match="no criteria"):
        approve("m", criteria=[], who="jo")


def test_what_changed_since_it_was_read_is_not_approved(project: Path) -> None:
    """Named by the digest of what was read, other code is refused, and the refusal says which code it is."""
    read = check("m").closure.digest
    write(project / "m/blocks.py", BLOCKS + "import os\n")
    with pytest.raises(UsageError, match="not the one that you read") as caught:
        approved(closure=read)
    now = check("m").closure.digest
    assert now in str(caught.value) and approved(closure=now).audit.closure == now


def test_a_delta_from_itself_is_refused() -> None:
    """Code cannot be what changed since itself."""
    digest = approved().audit.closure
    with pytest.raises(UsageError, match="leave --from out"):
        approved(base=digest)


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"modeling_x": None}, "modeling_x.py, which is not there"),
        ({"blocks": None}, "blocks.py, which is not there"),
        ({"blocks": "def f(:\n"}, "blocks.py cannot be approved"),
        ({"blocks": "x = 1\0\n"}, "blocks.py cannot be approved"),
        ({"blocks": b"# coding: none\n"}, "blocks.py cannot be approved"),
        ({"blocks": "exec(open('x').read())\n"}, "--unfollowed blocks.py:1"),
        (
            {"blocks": "import importlib\nif __name__ == '__main__':\n    importlib.import_module(input())\n"},
            "blocks.py:3",
        ),
        ({"blocks": "def f(n):\n    return __import__(n)\n"}, "blocks.py:2"),
        ({"blocks": "import torch\ndef f(n):\n    return getattr(torch, n)\n"}, "blocks.py:3"),
    ],
)
def test_what_nobody_can_have_read_is_refused(project: Path, files: dict[str, Any], why: str) -> None:
    """Missing files, what is no Python, and places that cannot be followed and are not named."""
    coded(project / "n", **files)
    for name in ("modeling_x", "blocks"):
        if name in files and files[name] is None:
            (project / f"n/{name}.py").unlink(missing_ok=True)
    assert why in said(reference="n")


def test_a_model_without_code_has_nothing_to_approve(project: Path) -> None:
    """The refusal says so."""
    model(project / "plain")
    assert "brings no code along" in said(reference="plain")


@pytest.mark.parametrize("error", ["ImportError", "(ImportError, OSError)", "ModuleNotFoundError", "Exception", ""])
def test_an_import_that_is_tried_may_be_missing(project: Path, error: str) -> None:
    """Code that does without a file can be approved without it; with the file it is other code."""
    tried = f"try:\n    from .kernels import fast\nexcept {error}:\n    fast = None\n".replace("except :", "except:")
    coded(project / "m", blocks=BLOCKS + tried)
    approved()
    assert runs()
    write(project / "m/kernels.py", "fast = 1\n")
    assert not runs()


@pytest.mark.parametrize(
    "tried",
    [
        "try:\n    from .kernels import fast\nexcept ValueError:\n    fast = None\n",
        "try:\n    from .kernels import fast\nfinally:\n    fast = None\n",
        "try:\n    from .kernels import fast\nexcept ImportError:\n    raise\n",
        "try:\n    pass\nexcept ImportError:\n    from .kernels import fast\n",
        "try:\n    def f():\n        from .kernels import fast\nexcept ImportError:\n    pass\n",
        "from .kernels import fast\n",
    ],
)
def test_an_import_that_must_work_may_not(project: Path, tried: str) -> None:
    """An import whose failure nobody handles needs its file."""
    coded(project / "m", blocks=BLOCKS + tried)
    assert "kernels.py, which is not there" in said()


def test_code_in_a_folder_is_approved_with_its_folder(project: Path) -> None:
    """Code of a config in a folder lies beside it or at the top; what is there of both is part of the closure."""
    sub = coded(project / "s/unet")
    (sub / "extra.py").write_text("x = 1\n")
    record = approved("s").audit
    assert record.files.keys() == {"unet/modeling_x.py", "unet/blocks.py"}
    assert runs("s", request=Request(trust_remote_code=True, subfolder="unet"))
    write(project / "s/modeling_x.py", "class XModel: ...\n")
    assert not runs("s", request=Request(trust_remote_code=True, subfolder="unet"))
    assert approved("s").audit.files.keys() == {"unet/modeling_x.py", "unet/blocks.py", "modeling_x.py"}
    for name in ("modeling_x.py", "blocks.py"):
        (sub / name).unlink()
    assert approved("s").audit.files.keys() == {"modeling_x.py"}


# ── the file ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_comments_stay_and_one_record_replaces_another(project: Path) -> None:
    """Approving again replaces the same person's record on the same code, and leaves everything else as it was."""
    approved(criteria="safe-to-import")
    path = project / "audits.toml"
    text = path.read_text()
    path.write_text(text.replace("[[audit]]", "# to be read again\n[[audit]]  # jo's") + "\n# the end\n")
    approved(who="ana")
    approved()
    text = path.read_text()
    assert [one.who for one in layers.read_audits("audits.toml").own] == ["jo", "ana"]
    assert "safe-to-import" not in text and text.index("# to be read again") < text.index("# jo's") < text.index(
        "# the end"
    )


def test_the_mode_of_the_file_stays(project: Path) -> None:
    """Who may read the file is for its owner to say."""
    approved()
    (project / "audits.toml").chmod(0o640)
    approved(who="ana")
    assert stat.S_IMODE((project / "audits.toml").stat().st_mode) == 0o640


def test_a_link_to_the_file_stays_a_link(project: Path, tmp_path: Path) -> None:
    """A project may share a file of records by a link: what it leads to is written."""
    real = tmp_path / "shared.toml"
    real.write_text("version = 1\n")
    (project / "audits.toml").symlink_to(real)
    approved(key=key("jo"))
    assert (project / "audits.toml").is_symlink() and "jo" in real.read_text()
    policy(project / "safeload.toml", '[defaults]\nauditors = ["jo"]\n')
    assert runs()


def test_nothing_is_written_into_a_model(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither if it is the working directory, nor by a name, nor through a link."""
    from safeload.engine.options import Options

    (project / "link").symlink_to("m")
    for name in ("m/audits.toml", "link/audits.toml", "m/../m/a.toml"):
        assert "no say" in said(options=Options(audits=name))
    assert not (project / "m/audits.toml").exists()


@pytest.mark.parametrize("text", ["", "version = 1\naudit = []\n", "version = 2\n", "<<<<<<< a\nversion = 1\n"])
def test_a_file_that_cannot_be_added_to_stays_as_it_is(project: Path, text: str) -> None:
    """An empty file is filled; any other that cannot be read or added to is an error, and is not touched."""
    path = project / "audits.toml"
    path.write_text(text)
    if not text:
        approved()
        assert runs()
        return
    with pytest.raises(ConfigError):
        approved()
    assert path.read_text() == text and not (project / "audits.toml.sig").exists()


def test_two_who_approve_at_once_are_both_in_it(project: Path) -> None:
    """Eight threads that approve under eight names leave eight records and eight signatures, and nothing else."""
    errors: list[SafeloadError] = []

    def work(name: str) -> None:
        try:
            approved(who=name, key=key("jo"))
        except SafeloadError as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(f"jo{letter}",)) for letter in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    found = layers.read_audits("audits.toml")
    assert {one.who for one in found.own} == {f"jo{letter}" for letter in "abcdefgh"}
    assert {json.loads(line)["mediaType"] for line in found.signatures} and len(found.signatures) == 8
    assert sorted(os.listdir()) == [".git", "audits.toml", "audits.toml.sig", "keys", "m"]


def test_an_editor_that_saves_meanwhile_is_noticed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What changed after it was read is not overwritten."""
    approved()
    path = project / "audits.toml"
    changed = path.read_text() + "# by hand\n"
    inner = recording.same_but_for

    def saving(*arguments: Any) -> None:
        inner(*arguments)
        path.write_text(changed)

    monkeypatch.setattr(recording, "same_but_for", saving)
    with pytest.raises(SourceError, match="changed meanwhile"):
        approved(who="ana")
    assert path.read_text() == changed


# ── records of other files ──


def elsewhere(project: Path, **more: Any) -> Path:
    """The file of records as it is on another branch: with one approval more than there is here."""
    path = project / "audits.toml"
    before = {
        name: (project / name).read_bytes() for name in ("audits.toml", "audits.toml.sig") if (project / name).exists()
    }
    approved(**more)
    other = project / "other.toml"
    for suffix in ("", ".sig"):
        if (project / f"audits.toml{suffix}").exists():
            os.replace(project / f"audits.toml{suffix}", f"{other}{suffix}")
    for name, data in before.items():
        (project / name).write_bytes(data)
    assert path.exists() == bool(before)
    return other


@pytest.mark.parametrize("turned", [False, True])
def test_two_branches_are_merged_by_taking(project: Path, turned: bool) -> None:
    """The records of both, their signatures and violations, whichever takes the other; taking again changes nothing."""
    policy(project / "safeload.toml", '[defaults]\nauditors = ["jo", "ana"]\nmin-auditors = 2\n')
    other = elsewhere(project, who="ana", key=key("ana"))
    write(other, other.read_text() + '# found today\n[[violation]]\nmatch = ["Evil/*"]\nreason = "a\\nb"\n')
    approved(key=key("jo"))
    ours = project / "audits.toml"
    assert not runs() and not runs(audits=other)
    store = Store()
    one, two = (ours, other) if not turned else (other, ours)
    before = one.read_text()
    assert recording.take(str(one), str(two), store=store) == (1, 0 if turned else 1)
    found = layers.read_audits(str(one))
    assert {audit.who for audit in found.own} == {"jo", "ana"} and found.violations[0].patterns == ("evil/*",)
    assert runs(audits=one) and one.read_text().startswith(before.rstrip())
    after = one.read_text()
    assert recording.take(str(one), str(two), store=store) == (0, 0) and one.read_text() == after
    assert len(Path(f"{one}.sig").read_bytes().splitlines()) == 2


def test_a_file_of_records_can_begin_with_those_of_another(project: Path) -> None:
    """Where there is no file yet, taking makes one."""
    other = elsewhere(project)
    assert recording.take(str(project / "audits.toml"), str(other), store=Store()) == (1, 0) and runs()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[criteria.ours]\ndescription = "x"\nimplies = ["safe-to-deploy"]\n', "do not mean the same here"),
        ('[criteria.mine]\ndescription = "x"\n', "do not mean the same here"),
        ('[[violation]]\nmatch = ["path:m"]\n', "it is about paths"),
        ("[[violation]]\n", "it needs one of"),
    ],
)
def test_what_would_mean_something_else_is_not_taken(project: Path, text: str, why: str) -> None:
    """Criteria of the same name and another meaning, unknown ones, and paths; nothing is written then."""
    write(project / "audits.toml", 'version = 1\n[criteria.ours]\ndescription = "x"\n')
    name = "mine" if "mine" in text else "ours"
    digest = check("m").closure.digest
    record = f'[[audit]]\nclosure = "{digest}"\nwho = "jo"\ncriteria = ["{name}"]\n' if "criteria" in text else ""
    other = write(project / "other.toml", f"version = 1\n{text}{record}")
    before = (project / "audits.toml").read_text()
    with pytest.raises(ConfigError, match=why):
        recording.take(str(project / "audits.toml"), str(other), store=Store())
    assert (project / "audits.toml").read_text() == before


def test_what_others_trust_and_import_is_not_taken(project: Path) -> None:
    """Only the records of the file itself: publishers, imports and what came by those stay theirs."""
    pin = sha256(write(project / "third.toml", 'version = 1\n[[violation]]\nmatch = ["a/b"]\n').read_bytes())
    trusted = (
        f'[[trusted]]\nsigner = "acme"\nmatch = ["**"]\ncriteria = ["safe-to-run"]\nstart = {TODAY}\nend = {TODAY}\n'
    )
    imported = f'[imports.third]\nfile = "third.toml"\nsha256 = "{pin}"\n'
    other = write(project / "other.toml", f"version = 1\n{trusted}{imported}")
    assert recording.take(str(project / "audits.toml"), str(other), store=Store()) == (0, 0)
    found = layers.read_audits("audits.toml")
    assert not found.publishers and not found.imports and not found.violations


# ── check and suggest ─────────────────────────────────────────────────────────────────────────────────────────


def test_one_approval_may_not_be_enough(project: Path) -> None:
    """Approving says at once what is still lacking."""
    policy(project / "safeload.toml", "[defaults]\nmin-auditors = 2\n")
    assert "1 of the 2 auditors needed" in " ".join(approved().answer.reasons)
    assert approved(who="ana").answer.approvals


def test_broken_records_elsewhere_are_told_and_do_not_undo_the_approval(tmp_path: Path) -> None:
    """The record is written, and the answer says that the records of the system cannot be read."""
    write(tmp_path / "etc/audits.toml", "version = 3\n")
    done = approved()
    assert not done.answer.approvals and "etc/audits.toml was not used" in done.answer.reasons[0]
    (tmp_path / "etc/audits.toml").unlink()
    assert runs()


def test_suggested_is_the_smallest_difference_to_what_is_approved(project: Path) -> None:
    """Of several records, the one that leaves the least to read; none that is expired, weaker, or a violation."""
    near = approved().audit
    coded(project / "far", blocks="class Block:\n    x = 1\n" * 50)
    far = approved("far").audit
    coded(project / "new", modeling_x=MODELING + "# longer\n" * 40, blocks="class Block:\n    x = 1\n" * 50)
    found = suggest(check("new"))
    assert found.audit is not None and (found.audit.closure, found.changed) == (far.closure, ("modeling_x.py",))
    text = (project / "audits.toml").read_text()
    write(project / "audits.toml", text + f'[[violation]]\nclosure = "{far.closure}"\n')
    found = suggest(check("new"))
    assert found.audit is not None and found.audit.closure == near.closure and len(found.changed) == 2
    policy(project / "safeload.toml", '[defaults]\ncriteria = "safe-to-deploy"\n')
    found = suggest(check("new"))
    assert found.audit is None and found.changed == ("blocks.py", "modeling_x.py") and found.bytes > 1_000


def test_a_delta_from_the_suggestion_approves(project: Path) -> None:
    """What is suggested is what --from takes; a chain of two works as well, and a violation below breaks it."""
    first = approved().audit
    write(project / "m/blocks.py", BLOCKS + "x = 1\n")
    second = approved(base=suggest(check("m")).audit.closure, who="ana").audit  # type: ignore[union-attr]
    write(project / "m/blocks.py", BLOCKS + "x = 2\n")
    third = approved(base=second.closure)
    assert runs() and third.answer.approvals[0].who == "ana, jo"
    text = (project / "audits.toml").read_text()
    write(project / "audits.toml", text + f'[[violation]]\nclosure = "{first.closure}"\n')
    assert not runs()


def test_unsigned_records_are_told() -> None:
    """A check says which records nobody signed whom a policy knows."""
    approved()
    approved(who="ana", key=key("ana"))
    assert [one.who for one in check("m").unsigned] == ["jo", "ana"]
    policy(Path("safeload.toml"), "[defaults]\n")
    assert [one.who for one in check("m").unsigned] == ["jo"]


def test_code_of_another_repository_is_approved_at_its_commit(project: Path, hub: Hub) -> None:  # noqa: F811
    """The files of the other repository are in the record under its name; a new commit there is other code."""
    code = {"modeling_x.py": MODELING.encode(), "blocks.py": BLOCKS.encode(), "config.json": b"{}"}
    hub.add("org/other", code)
    weights = (project / "m/model.safetensors").read_bytes()
    config = json.dumps({"model_type": "x", "auto_map": {"AutoModel": f"org/other--{AUTO_MAP['AutoModel']}"}}).encode()
    hub.add("org/model", {"config.json": config, "model.safetensors": weights})
    record = approved("org/model").audit
    assert record.files.keys() == {"org/other--modeling_x.py", "org/other--blocks.py"}
    assert record.model == "org/model" and len(record.revision) == 40 and runs("org/model")
    hub.add(
        "org/other", {"modeling_x.py": MODELING.encode() + b"#", "blocks.py": BLOCKS.encode(), "config.json": b"{}"}
    )
    assert not runs("org/model")


def test_the_commit_of_the_lock_is_what_is_approved(project: Path, hub: Hub) -> None:  # noqa: F811
    """Approving a model that is locked reads the commit that a load would use, not what the branch became."""
    weights = (project / "m/model.safetensors").read_bytes()
    config = json.dumps({"model_type": "x", "auto_map": AUTO_MAP}).encode()
    files = {"config.json": config, "model.safetensors": weights, "blocks.py": BLOCKS.encode()}
    first = hub.add("org/model", files | {"modeling_x.py": MODELING.encode()})
    lock("org/model")
    hub.add("org/model", files | {"modeling_x.py": b"import os\n"})
    assert approved("org/model").audit.revision == first and runs("org/model")


# ── what an enemy would try ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("auto_map", "line"),
    [
        ({"AutoModel": "modeling_x.X\ud800"}, ""),
        (AUTO_MAP, "__import__('\\ud800')\n"),
        (AUTO_MAP, "import importlib\nimportlib.import_module('.\\udcff', __package__)\n"),
    ],
)
def test_names_that_are_no_text_are_refused(project: Path, auto_map: Any, line: str) -> None:
    """Half a character in a class or an import cannot be written down, and is an error of ours, not a crash."""
    coded(project / "n", auto_map=auto_map, blocks=BLOCKS + line)
    assert "cannot be approved" in said(reference="n") and not runs("n")


@pytest.mark.parametrize("name", ['m"odeling', "m'odeling", "m#odeling", "[[audit]]", "m]odeling"])
def test_names_that_toml_means_something_by_are_written_as_they_are(project: Path, name: str) -> None:
    """Quotes, comments and headers in the names of files and classes stay what they are."""
    coded(project / "n", auto_map={"AutoModel": f"{name}.X\n[[audit]]"}, **{name: "from .blocks import Block\n"})
    done = approved("n", who='jo"\n[[violation]]\n', note="'''\n\"\"\"")
    approved("n", who="ana")
    approved("n", who='jo"\n[[violation]]\n')
    found = layers.read_audits("audits.toml")
    assert not found.violations and len(found.own) == 2 and done.audit.files.keys() == {f"{name}.py", "blocks.py"}
    assert runs("n")


@pytest.mark.parametrize("name", ["audits.toml", "audits.toml.sig"])
def test_what_is_no_file_is_not_read(project: Path, name: str) -> None:
    """A pipe or a directory in the place of the records is an error, at once."""
    approved()
    (project / name).unlink(missing_ok=True)
    os.mkfifo(project / name, 0o600)
    with pytest.raises(ConfigError, match="not a regular file"):
        runs()
    (project / name).unlink()
    (project / name).mkdir()
    with pytest.raises(ConfigError):
        approved()


def test_a_model_cannot_say_who_it_is(project: Path) -> None:
    """Patterns are about where a model lies, and not about what its config calls it."""
    policy(project / "safeload.toml", "[defaults]\n")
    trusted = '[[trusted]]\nsigner = "acme"\nmatch = ["acme/*"]\ncriteria = ["safe-to-run"]\nimports = ["torch"]\n'
    write(project / "audits.toml", f"version = 1\n{trusted}start = {TODAY}\nend = {TODAY}\n")
    model(project / "m", model_type="x", auto_map=AUTO_MAP, _name_or_path="acme/model")
    signing.sign(project / "m", raw_key("acme"))
    assert not runs()
