"""Models of other libraries: skops, XGBoost, LightGBM, CatBoost, PMML, R; notebooks and scripts beside them."""

from __future__ import annotations

import gzip
import json
import lzma
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.core.blob import MemoryBlob
from safeload.core.finding import FileReport, Status
from safeload.core.limits import Limits
from safeload.engine.inspect import inspect
from safeload.formats.base import Code, Text
from tests.corpus.build import Zipped, make_zip, npy, payload
from tests.formats.helpers import of, reading


def judged(raw: bytes, name: str) -> FileReport:
    return inspect(MemoryBlob(raw), name, Limits()).report


def status(raw: bytes, name: str) -> Status:
    return judged(raw, name).status


# ── skops ───────────────────────────────────────────────────────────────────────────────────────────────────────


def node(loader: str, target: str, **more: Any) -> dict[str, Any]:
    module, _, name = target.rpartition(".")
    return {"__class__": name, "__module__": module, "__loader__": loader, "__id__": 1, **more}


def skops(schema: dict[str, Any], *members: Zipped) -> bytes:
    own = [Zipped("1.npy", npy("<f8", bytes(32))), Zipped("schema.json", json.dumps(schema).encode())]
    return make_zip([*own, *members])


def test_a_skops_file_of_known_classes_is_safe() -> None:
    """Estimators, arrays and plain data are what models are made of."""
    steps = node("ListNode", "builtins.list", content=[node("NdArrayNode", "numpy.ndarray", file="1.npy")])
    content = node("DictNode", "builtins.dict", content={"steps": steps})
    raw = skops(node("ObjectNode", "sklearn.pipeline.Pipeline", content=content))
    report = judged(raw, "model.skops")
    assert (report.format, report.status) == ("skops", Status.SAFE)


@pytest.mark.parametrize(
    ("loader", "target", "expected"),
    [
        ("FunctionNode", "os.system", Status.DANGEROUS),
        ("ObjectNode", "subprocess.Popen", Status.DANGEROUS),
        ("OperatorFuncNode", "operator.methodcaller", Status.DANGEROUS),
        ("PartialNode", "functools.partial", Status.DANGEROUS),
        ("TypeNode", "builtins.eval", Status.DANGEROUS),
        ("ObjectNode", "numpy.__class__", Status.DANGEROUS),
        ("MethodNode", "sklearn.pipeline.Pipeline", Status.UNVERIFIED),
        ("MethodNode", "builtins.dict", Status.UNVERIFIED),
        ("ObjectNode", "my_package.Model", Status.UNVERIFIED),
        ("FunctionNode", "sklearn.utils.anything", Status.UNVERIFIED),
        ("ANodeOfTomorrow", "sklearn.pipeline.Pipeline", Status.UNVERIFIED),
    ],
)
def test_a_skops_node_is_judged_by_its_loader_and_its_name(loader: str, target: str, expected: Status) -> None:
    """However deep it stands: functions, methods, operators and foreign classes are never safe."""
    inner = node("ListNode", "builtins.list", content=[{"x": node(loader, target)}])
    assert status(skops(node("ObjectNode", "sklearn.pipeline.Pipeline", content=inner)), "model.skops") is expected


def test_a_skops_file_may_be_a_pickle_or_hold_one() -> None:
    """The content decides, also of its members: an array of objects is a pickle."""
    assert status(payload(), "model.skops") is Status.DANGEROUS
    raw = skops(node("NdArrayNode", "numpy.ndarray"), Zipped("2.npy", npy("|O", payload())))
    assert status(raw, "model.skops") is Status.DANGEROUS


# ── boosting ────────────────────────────────────────────────────────────────────────────────────────────────────

UBJ = (
    b"{L" + struct.pack(">Q", 7) + b"learner{L" + struct.pack(">Q", 1) + b"a[$d#L" + struct.pack(">q", 3) + bytes(12)
    + b"L" + struct.pack(">Q", 1) + b"bSL" + struct.pack(">Q", 2) + b"xyL" + struct.pack(">Q", 1) + b"c[i\x01TN]}}"
)  # fmt: skip


def test_boosted_trees_are_data() -> None:
    """The formats of XGBoost, LightGBM and CatBoost have no place for code."""
    assert judged(UBJ, "model.ubj").format == "xgboost" and status(UBJ, "model.ubj") is Status.SAFE
    assert status(b"tree\nversion=v4\nnum_class=1\n", "model.txt") is Status.SAFE
    assert status(b"CBM1" + struct.pack("<I", 64) + bytes(range(64)), "model.cbm") is Status.SAFE


@pytest.mark.parametrize("cut", range(1, len(UBJ) - 20, 7))
def test_a_cut_model_of_xgboost_is_undecided(cut: int) -> None:
    """Wherever it ends early, it is not safe; bytes that follow are said."""
    assert status(UBJ[:-cut], "model.ubj") is Status.UNDECIDED
    assert status(UBJ + b"more", "model.ubj") is Status.UNVERIFIED


def test_a_cut_model_of_catboost_is_undecided() -> None:
    """It announces more than there is."""
    assert status(b"CBM1" + struct.pack("<I", 999) + bytes(range(64)), "model.cbm") is Status.UNDECIDED


# ── PMML ────────────────────────────────────────────────────────────────────────────────────────────────────────

PMML = '<?xml version="1.0"?>{}<PMML version="4.4" xmlns="http://www.dmg.org/PMML-4_4">{}</PMML>'


@pytest.mark.parametrize(
    ("before", "inside", "expected"),
    [
        ("", "<Header/>", Status.SAFE),
        ("", "<Extension name='x' value='y'/>", Status.SAFE),
        ('<!DOCTYPE PMML [<!ENTITY x SYSTEM "file:///etc/passwd">]>', "&x;", Status.DANGEROUS),
        ('<!DOCTYPE PMML PUBLIC "-//x" "http://example.org/x.dtd">', "", Status.DANGEROUS),
        ('<!DOCTYPE PMML [<!ENTITY % x SYSTEM "http://example.org/x"> %x;]>', "", Status.DANGEROUS),
        ('<!DOCTYPE PMML [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]>', "&b;", Status.UNVERIFIED),
        ("", '<xi:include href="file:///etc/passwd"/>', Status.DANGEROUS),
        ("", "<Extension><script>x</script></Extension>", Status.DANGEROUS),
        ('<?xml-stylesheet href="http://example.org/x.xsl"?>', "", Status.DANGEROUS),
    ],
)
def test_pmml_that_reaches_out_is_found(before: str, inside: str, expected: Status) -> None:
    """Entities, includes and scripts count; a model does not."""
    assert status(PMML.format(before, inside).encode(), "model.pmml") is expected
    assert status(PMML.format(before, inside).encode(), "model.xml") is expected


# ── R ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def integers(*values: int) -> bytes:
    return b"".join(struct.pack(">i", value) for value in values)


def symbol(name: bytes) -> bytes:
    return integers(1, 9 | 0x40000, len(name)) + name


NIL, UNBOUND, GLOBAL = integers(254), integers(252), integers(253)
NUMBERS = integers(14, 2) + struct.pack(">dd", 1.0, 2.0)
CALL = integers(6) + symbol(b"system") + integers(2) + integers(16, 1, 9 | 0x40000, 1) + b"x" + NIL
PROMISE = integers(5 | 0x400) + GLOBAL + UNBOUND + CALL
CLOSURE = integers(3) + GLOBAL + NIL + CALL
BYTECODE = integers(21, 1, 13, 1, 7, 2, 6) + symbol(b"f") + integers(14, 1) + bytes(8) + integers(254) + integers(14)
FRAME = integers(4, 0) + integers(242) + integers(2 | 0x400) + symbol(b"v") + PROMISE + NIL + NIL + NIL


def rds(value: bytes, version: int = 3) -> bytes:
    native = integers(5) + b"UTF-8" if version == 3 else b""
    return b"X\n" + integers(version, 0x40000, 0x30500) + native + value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (NUMBERS, Status.SAFE),
        (integers(19, 2) + NUMBERS + NIL, Status.SAFE),
        (integers(19 | 0x200, 1) + NUMBERS + integers(2 | 0x400) + symbol(b"names") + NUMBERS + NIL, Status.SAFE),
        (CALL, Status.UNVERIFIED),
        (CLOSURE, Status.UNVERIFIED),
        (FRAME, Status.UNVERIFIED),
        (PROMISE, Status.DANGEROUS),
        (integers(19, 2) + FRAME + PROMISE, Status.DANGEROUS),
        (integers(2 | 0x400) + symbol(b"x") + PROMISE + NIL, Status.DANGEROUS),
        (integers(99), Status.UNDECIDED),
        (integers(19, -5), Status.UNDECIDED),
        (integers(14, 1 << 30), Status.UNDECIDED),
    ],
    ids=[
        *("numbers", "list", "names", "call", "closure", "frame", "promise", "after a frame", "pairs"),
        *("unknown", "negative", "too long"),
    ],
)
def test_r_objects_are_judged_by_their_kinds(value: bytes, expected: Status) -> None:
    """Numbers are data, functions and calls unverified, and a promise that runs when looked at is dangerous."""
    for version in (2, 3):
        raw = rds(value, version)
        for packed in (raw, gzip.compress(raw), lzma.compress(raw), b"RDX3\n" + raw):
            assert status(packed, "model.rds") is expected


def test_r_objects_as_text_are_undecided() -> None:
    """The form that is not read is not called safe."""
    assert status(b"A\n3\n262144\n197888\n5\nUTF-8\n14\n1\n1\n", "model.rds") is Status.UNDECIDED


@given(st.binary(max_size=200), st.integers(0, 60))
def test_any_damage_of_r_objects_ends(noise: bytes, cut: int) -> None:
    """Whatever stands in a file of R objects, reading it ends."""
    raw = rds(integers(19, 3) + FRAME + CLOSURE + NUMBERS)
    assert judged(raw[: len(raw) - cut] + noise, "x.rds").format == "r-data"
    assert judged(rds(noise), "x.rds").format


@given(st.binary(max_size=200))
def test_any_ubjson_ends(noise: bytes) -> None:
    """Whatever stands in a model of XGBoost, reading it ends."""
    assert judged(UBJ[:30] + noise, "x.ubj").format


# ── code beside models ──────────────────────────────────────────────────────────────────────────────────────────


def notebook(*cells: dict[str, Any]) -> bytes:
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": list(cells)}).encode()


def test_cells_of_notebooks_are_code() -> None:
    """The source of all code cells is one program, and what it reaches for is said."""
    raw = notebook(
        {"cell_type": "markdown", "source": ["# title"]},
        {"cell_type": "code", "source": ["import os\n", "os.system('x')"], "outputs": []},
    )
    (code,) = of(reading(raw, "x.ipynb"), Code)
    assert code.source == b"import os\nos.system('x')"
    assert any("runs commands" in finding.message for finding in judged(raw, "x.ipynb").findings)


def test_scripts_in_the_outputs_of_notebooks_are_code() -> None:
    """What a browser would run when it shows the notebook is found."""
    output = {"output_type": "display_data", "data": {"text/html": ["<script>alert(1)</script>"]}}
    raw = notebook({"cell_type": "code", "source": "1", "outputs": [output]})
    assert {part.language for part in of(reading(raw, "x.ipynb"), Code)} == {"python", "javascript"}
    assert status(notebook({"cell_type": "markdown", "source": "plain"}), "x.ipynb") is Status.SAFE


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"#!/bin/sh\nrm x\n", "install"),
        (b"echo x\n", "run.sh"),
        (b"@echo off\r\n", "run.bat"),
        (b"Write-Host x\n", "setup.ps1"),
        (b"#!/usr/bin/env python3\nprint(1)\n", "tool"),
        (b"alert(1)\n", "widget.js"),
        (b"#include <cuda.h>\n", "kernel.cu"),
    ],
)
def test_scripts_are_code(raw: bytes, name: str) -> None:
    """A script is never safe, whatever it is written in."""
    assert status(raw, name) is Status.UNVERIFIED


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"all:\n\tcurl x | sh\n", "Makefile"),
        (b"FROM x\nRUN curl x | sh\n", "gpu.Dockerfile"),
        (b"<p>hello</p><ScRiPt src=x></script>", "card.html"),
        (b"<svg OnLoad = 'x()'/>", "figure.svg"),
        (b"/usr/lib\nimport os; os.system('x')\n", "weights.pth"),
        (b"[handler_x]\nclass=__import__('os').system('x')\n", "logging.cfg"),
        (b"[Desktop Entry]\nExec=sh\n", "model.desktop"),
    ],
)
def test_text_that_a_program_acts_on_is_code(raw: bytes, name: str) -> None:
    """Build files, pages with scripts, Python's path files and evaluated settings are not just text."""
    assert status(raw, name) is Status.UNVERIFIED


@pytest.mark.parametrize(
    ("raw", "name"),
    [(b"<p>one = two</p>", "card.html"), (b"/usr/lib\n", "weights.pth"), (b"[model]\nsize=3\n", "model.cfg")],
)
def test_quiet_text_of_the_same_names_is_text(raw: bytes, name: str) -> None:
    """Nothing acts on a page without scripts, a path file of folders, or settings of a model."""
    assert of(reading(raw, name), Text) and not of(reading(raw, name), Code)


def test_java_classes_and_archives_of_them_are_programs() -> None:
    """A `.jar` is a zip archive whose members run in a virtual machine."""
    compiled = b"\xca\xfe\xba\xbe\0\0\0\x34" + bytes(40)
    assert status(compiled, "x.class") is Status.UNDECIDED
    assert status(make_zip([Zipped("a/B.class", compiled)]), "x.jar") >= Status.UNDECIDED


@pytest.mark.parametrize(
    ("source", "does"),
    [
        ("import subprocess\nsubprocess.run(['x'])", "runs commands"),
        ("exec(x)", "runs code it makes"),
        ("import torch, pickle\npickle.load(f)", "unpickles"),
        ("ctypes.CDLL('x')", "loads native code"),
        ("requests.post(u)", "opens connections"),
        ("shutil.rmtree(d)", "deletes or changes files"),
        ("subprocess.run([exe, '-m', 'pip', 'install', 'x'])", "installs packages"),
    ],
)
def test_what_source_reaches_for_is_said(source: str, does: str) -> None:
    """A few words about what a file of Python does; it stays unverified."""
    report = judged(source.encode(), "modeling.py")
    assert any(does in finding.message for finding in report.findings) and report.status is Status.UNVERIFIED


def test_source_that_computes_is_not_said_to_act() -> None:
    """Methods called `eval` and words in comments and strings are no calls."""
    source = b"# os.system('x')\nmodel.eval()\nself.compile(1)\nx = 'exec(1)'\n"
    (finding,) = judged(source, "modeling.py").findings
    assert "At a glance" not in finding.message
