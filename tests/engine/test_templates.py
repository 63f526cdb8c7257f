"""Where models keep chat templates, which of them are known, and how they differ from a trusted one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from safeload.core.errors import PolicyDenied, SourceError, UsageError
from safeload.core.finding import Status
from safeload.engine.admit import admit
from safeload.engine.request import Request
from safeload.engine.templates import differences, digest_of, find_templates, known_templates
from tests.corpus.build import gguf
from tests.engine.models import model

EVIL = "{{ ''.__class__ }}"
HONEST = "{% for m in messages %}{{ m.content }}{% endfor %}"


def places(text: str) -> dict[str, str | bytes]:
    """Every file that libraries take a template from, with this one in it."""
    listed = [{"name": "default", "template": HONEST}, {"name": "tool_use", "template": text}]
    return {
        "chat_template.jinja": text,
        "additional_chat_templates/tool_use.jinja": text,
        "decision_template.jinja": text,
        "tokenizer_config.json": json.dumps({"chat_template": text}),
        "tokenizer_config.json#list": json.dumps({"chat_template": listed}),
        "tokenizer_config.json#table": json.dumps({"chat_template": {"default": HONEST, "tool_use": text}}),
        "tokenizer_config.json#escaped": json.dumps({"chat_template": text}).replace("chat_", "ch\\u0061t_"),
        "chat_template.json": json.dumps({"chat_template": text}),
        "processor_config.json": json.dumps({"chat_template": text}),
        "model.gguf": gguf(text),
    }


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name.partition("#")[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


@pytest.mark.parametrize("name", places(EVIL))
def test_a_dangerous_template_is_found_wherever_it_stands(tmp_path: Path, name: str) -> None:
    """Files of its own, configs in each of their forms, and GGUF."""
    found = find_templates(write(tmp_path, name, places(EVIL)[name]))
    assert found.status is Status.DANGEROUS
    assert [one.text for one in found.templates if one.status is Status.DANGEROUS] == [EVIL]


@pytest.mark.parametrize("name", [name for name in places(EVIL) if not name.endswith(".gguf")])
def test_a_dangerous_template_denies_wherever_it_stands(tmp_path: Path, name: str) -> None:
    """The default policy, with no file, refuses to hand it over; an honest one in its place is handed over."""
    with pytest.raises(PolicyDenied, match="template"):
        admit(write(model(tmp_path / "evil"), name, places(EVIL)[name]))
    with admit(write(model(tmp_path / "honest"), name, places(HONEST)[name])) as admission:
        assert admission.verdict.allowed


def test_a_dangerous_template_in_gguf_denies(tmp_path: Path) -> None:
    """Programs that read GGUF render without a sandbox."""
    with pytest.raises(PolicyDenied, match=r"chat_template"):
        admit(write(tmp_path, "model.gguf", gguf(EVIL)))


def test_templates_have_the_names_that_programs_ask_for_them_by(tmp_path: Path) -> None:
    """`default` and those of lists, tables and files."""
    for name in ("additional_chat_templates/tool_use.jinja", "tokenizer_config.json#list"):
        write(tmp_path, name, places(HONEST)[name])
    assert [one.name for one in find_templates(tmp_path).templates] == ["tool_use", "default", "tool_use"]


def test_a_digest_is_that_of_the_text_however_it_is_kept() -> None:
    """Line ends, and those at the end, differ between files and JSON."""
    assert digest_of("a\r\nb\n\n") == digest_of("a\nb")
    assert digest_of("a\nb ") != digest_of("a\nb")


def test_the_table_of_known_templates_is_well_formed() -> None:
    """Every entry has a digest of its own or a name of its own, and says where it was measured."""
    known = known_templates()
    assert len(known) > 40
    assert len({(one.name, one.sha256) for one in known}) == len(known)
    for one in known:
        assert len(one.sha256) == 64 and int(one.sha256, 16)
        assert one.source.startswith(("trl ", "transformers "))


def test_a_template_of_transformers_is_known(tmp_path: Path) -> None:
    """The library's own default for SmolVLM, in a model of that type."""
    from transformers.models.smolvlm.processing_smolvlm import DEFAULT_CHAT_TEMPLATE

    write(tmp_path, "config.json", '{"model_type": "smolvlm"}')
    (one,) = find_templates(write(tmp_path, "chat_template.jinja", DEFAULT_CHAT_TEMPLATE + "\n")).templates
    assert "smolvlm (transformers)" in {known.name for known in one.known}


def test_a_template_that_is_not_known_is_compared_with_those_of_its_type(tmp_path: Path) -> None:
    """What the type's known templates are is said; that it is none of them is no finding."""
    write(tmp_path, "config.json", '{"model_type": "smolvlm"}')
    found = find_templates(write(tmp_path, "chat_template.jinja", HONEST))
    assert found.templates[0].known == ()
    assert "smolvlm (transformers)" in {known.name for known in found.expected}
    assert found.status is Status.SAFE


def test_a_difference_from_a_trusted_template_is_shown(tmp_path: Path) -> None:
    """By name where there are several; a single trusted one is compared with all."""
    trusted = find_templates(write(tmp_path / "a", "chat_template.jinja", HONEST))
    same = find_templates(write(tmp_path / "b", "tokenizer_config.json", json.dumps({"chat_template": HONEST})))
    other = find_templates(write(tmp_path / "c", "chat_template.jinja", HONEST + "\nObey."))
    assert differences(trusted, same) == {}
    assert "+Obey." in differences(trusted, other)["chat_template.jinja"]


def test_there_must_be_something_to_compare_with(tmp_path: Path) -> None:
    """A model without a template is no trusted one."""
    empty = find_templates(write(tmp_path / "a", "config.json", "{}"))
    with pytest.raises(UsageError, match="nothing was compared"):
        differences(empty, find_templates(write(tmp_path / "b", "chat_template.jinja", HONEST)))


def test_a_config_that_cannot_be_read_is_not_passed_over(tmp_path: Path) -> None:
    """A broken file may hold a template for another parser."""
    found = find_templates(write(tmp_path, "tokenizer_config.json", '{"chat_template": "{{ x'))
    assert found.status is Status.UNDECIDED
    assert found.faults


def test_a_model_in_a_folder_has_the_templates_of_that_folder(tmp_path: Path) -> None:
    """As a load of the folder takes them: neither those beside it count, nor those of a folder that begins alike."""
    write(tmp_path, "chat_template.jinja", EVIL)
    write(tmp_path, "inner-old/chat_template.jinja", EVIL)
    write(tmp_path, "inner/chat_template.jinja", HONEST)
    write(tmp_path, "inner/config.json", '{"model_type": "llama"}')
    found = find_templates(tmp_path, request=Request(subfolder="inner"))
    assert [one.location.file for one in found.templates] == ["inner/chat_template.jinja"]
    assert (found.status, found.model_type) == (Status.SAFE, "llama")
    assert find_templates(tmp_path).status is Status.DANGEROUS


@pytest.mark.parametrize("folder", ["absent", "../x", "/etc"])
def test_a_folder_that_is_not_there_has_no_templates(folder: str, tmp_path: Path) -> None:
    """It is an error, and not a model without any."""
    write(tmp_path, "chat_template.jinja", HONEST)
    with pytest.raises((SourceError, UsageError)):
        find_templates(tmp_path, request=Request(subfolder=folder))
