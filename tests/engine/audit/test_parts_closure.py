"""The closure of models that are made of parts: what `modules.json` and `model_index.json` name is in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from safeload.engine.audit.approve import closure_of
from safeload.engine.audit.closure import Closure
from safeload.engine.options import Options
from safeload.engine.request import Access, Request
from tests.engine.audit.coded import approved, make_project, refusal, runs
from tests.engine.models import model, write_all

CLASS = "class Own: ...\n"
PARTS = Request(purpose="parts", trust_remote_code=True)
OFFLINE = Request(access=Access(local_files_only=True))
LIBRARIES = {"sentence_transformers": CLASS, "pylate": CLASS}
POOLING = "sentence_transformers.models.Pooling"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return make_project(tmp_path, monkeypatch)


def closure(reference: str = "p") -> Closure:
    return closure_of(reference, request=OFFLINE, options=Options())[1]


def names(reference: str = "p") -> list[str]:
    return [file.name for file in closure(reference).files]


def targets(reference: str = "p") -> set[tuple[str, str]]:
    return {(entry.target, entry.file) for entry in closure(reference).entries}


def sentences(folder: Path, *kinds: str, **files: Any) -> Path:
    """A model of modules of these classes; `__` in a name stands for a directory."""
    model(folder)
    listed = [{"idx": i, "name": str(i), "path": f"{i}_M", "type": kind} for i, kind in enumerate(kinds)]
    write_all(folder, {f"{i}_M/config.json": b"{}" for i in range(len(kinds))})
    write_all(folder, {"modules.json": json.dumps(listed)})
    return write_all(folder, {f"{name.replace('__', '/')}.py": text for name, text in files.items()})


def pipeline(folder: Path, index: dict[str, Any], **files: Any) -> Path:
    write_all(folder, {"model_index.json": json.dumps({"_class_name": "DDPMPipeline", **index})})
    write_all(folder, {f"{name}/config.json": b"{}" for name in index if not name.startswith("_")})
    return write_all(folder, {f"{name.replace('__', '/')}.py": text for name, text in files.items()})


# --- sentence-transformers ------------------------------------------------------------------------------------------


def test_a_module_of_the_authors_own_is_in_the_closure(project: Path) -> None:
    """The file at the top that the type names, and what it imports; once, though it is named in two ways."""
    sentences(project / "p", POOLING, "custom_st.Own", custom_st="from .more import x\n" + CLASS, more="x = 1\n")
    assert names() == ["custom_st.py", "more.py"]
    assert [entry.target for entry in closure().entries] == ["custom_st.Own"]


def test_a_router_and_a_tokenizer_of_words_lead_to_code(project: Path) -> None:
    """Classes that are named in the configs of a module, not in `modules.json` itself."""
    words = "sentence_transformers.models.WordEmbeddings"
    path = sentences(project / "p", "sentence_transformers.models.Router", words, routed=CLASS, words=CLASS)
    write_all(path, {"0_M/router_config.json": json.dumps({"types": {"query": "routed.Own"}})})
    write_all(path, {"1_M/wordembedding_config.json": json.dumps({"tokenizer_class": "words.Own"})})
    assert targets() == {("routed.Own", "routed.py"), ("words.Own", "words.py")}


@pytest.mark.parametrize(
    "kind",
    [
        "subprocess.Popen",
        "my_package.models.Layer",
        "custom.inner.Own",
        "Own",
        "",
        "a/b.Own",
        "sentence_transformers.Own",
        "pylate.Own",
    ],
)
def test_a_class_that_no_file_holds_stays_refused(kind: str, project: Path) -> None:
    """Also beside code that is approved, and where the model has a file of that path: the library would import
    whatever is installed under that name."""
    sentences(project / "p", "custom_st.Own", kind, custom_st=CLASS, custom__inner=CLASS, a__b=CLASS, **LIBRARIES)
    assert targets() >= {("custom_st.Own", "custom_st.py")}
    approved("p")
    assert "no approval can cover" in refusal("p", request=PARTS)


def test_parts_run_after_the_approval_and_not_after_a_change(project: Path) -> None:
    """Each file of the closure counts, and a module more as well."""
    path = sentences(project / "p", "custom_st.Own", custom_st="from .more import x\n" + CLASS, more="x = 1\n")
    for text in ("custom_st.py", "more.py", "safeload approve p --criteria safe-to-run --as YOU"):
        assert text in refusal("p", request=PARTS)
    approved("p")
    assert runs("p", request=PARTS)
    for name in ("custom_st.py", "more.py"):
        before = (path / name).read_bytes()
        (path / name).write_bytes(before + b"\n")
        assert "changed since jo read it" in refusal("p", request=PARTS)
        (path / name).write_bytes(before)
    assert runs("p", request=PARTS)
    sentences(path, "custom_st.Own", "late_st.Own", late_st=CLASS)
    assert "late_st.py" in refusal("p", request=PARTS)


def test_code_of_another_repository_is_followed(project: Path) -> None:
    """`org/other--file.Class` is what the library accepts; what cannot be had makes the code unfit for approval."""
    sentences(project / "p", "acme/code--custom_st.Own")
    (missing,) = closure().missing
    assert "acme/code" in missing.what and not missing.optional


@pytest.mark.parametrize("text", ["[1]", "{}", '[{"type": "a.B", "path": "../x"}]', '[{"type": 1, "path": "x"}]', "["])
def test_a_list_of_modules_that_cannot_be_used_names_no_code(text: str, project: Path) -> None:
    """The load of such a model is refused before it comes to code; the rest of the closure is there."""
    path = sentences(project / "p", "custom_st.Own", custom_st=CLASS)
    write_all(path, {"modules.json": text, "pipeline.py": CLASS})
    assert names() == ["pipeline.py"]


# --- diffusers ------------------------------------------------------------------------------------------------------


def test_a_pipeline_and_its_components_are_in_the_closure(project: Path) -> None:
    """The pipeline's class is in a file at the top, that of a component in its folder; a class says which."""
    index = {"_class_name": ["mine", "Own"], "unet": ["net", "Own"], "vae": ["net", "Own"]}
    pipeline(
        project / "p",
        index,
        mine=CLASS,
        unet__net="from .more import x\n" + CLASS,
        vae__net=CLASS,
        unet__more="x = 1\n",
    )
    assert names() == ["mine.py", "unet/more.py", "unet/net.py", "vae/net.py"]
    assert targets() == {("mine.Own", "mine.py"), ("unet.net.Own", "unet/net.py"), ("vae.net.Own", "vae/net.py")}


def test_a_pipeline_that_is_only_there_is_in_the_closure(project: Path) -> None:
    """`pipeline.py`, which a call may ask for without any config that names it."""
    pipeline(project / "p", {}, pipeline=CLASS)
    assert targets() == {("pipeline.py", "pipeline.py")}


@pytest.mark.parametrize("pair", [["subprocess", "Popen"], ["net.inner", "Own"], ["../net", "Own"], ["net", "Own.x"]])
def test_a_component_that_no_file_holds_stays_refused(pair: list[str], project: Path) -> None:
    """The library would take it from whatever is imported already."""
    pipeline(project / "p", {"_class_name": ["mine", "Own"], "unet": pair}, mine=CLASS, net=CLASS, unet__net=CLASS)
    approved("p")
    assert "no approval can cover" in refusal("p", request=PARTS)


def test_a_pipeline_runs_after_the_approval_and_not_after_a_change(project: Path) -> None:
    """Also where only a component's code changed."""
    index = {"_class_name": ["mine", "Own"], "unet": ["net", "Own"]}
    path = pipeline(project / "p", index, mine=CLASS, unet__net=CLASS)
    assert all(name in refusal("p", request=PARTS) for name in ("mine.py", "unet/net.py", "safeload approve p"))
    approved("p")
    assert runs("p", request=PARTS)
    (path / "unet/net.py").write_text(CLASS + "\n")
    assert "unet/net.py changed since jo read it" in refusal("p", request=PARTS)
