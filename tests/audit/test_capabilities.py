"""What code can do is found at its line, however it is hidden; ordinary model code is left alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import transformers

from safeload.core.allowlist import Allowlist
from safeload.core.errors import MalformedInput
from safeload.core.finding import Finding, Severity
from safeload.core.names import Location
from safeload.formats.python.facts import When, read_facts
from safeload.rules import judge
from safeload.rules.base import Context
from tests.audit.evil import DEEDS, HIDINGS, module

MODELS = Path(transformers.__file__).parent / "models"


def findings(source: str | bytes) -> tuple[Finding, ...]:
    data = source.encode() if isinstance(source, str) else source
    return judge([read_facts(data, Location("m.py"))], Context(allowlist=Allowlist()))


def places(source: str | bytes) -> set[tuple[str, str | None]]:
    return {(finding.rule, finding.location.path) for finding in findings(source)}


@pytest.mark.parametrize("hiding", HIDINGS)
@pytest.mark.parametrize("deed", DEEDS)
def test_a_deed_is_found_at_its_line(deed: str, hiding: str) -> None:
    """Each capability hidden in each way is found by its rule, at the line that gives it away."""
    source, line = module(deed, hiding)
    assert (deed, f"line {line}") in places(source), source


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ("def f(name):\n    return __import__(name)\n", "code-unfollowed"),
        ("import os\ndef f(name):\n    return getattr(os, name)\n", "code-unfollowed"),
        ("exec(open('x').read())\n", "code-unfollowed"),
        ("x = ''.__class__.__base__.__subclasses__()\n", "code-dynamic"),
        ("def f(g):\n    return g.gi_frame.f_globals\n", "code-dynamic"),
        ("import sys\nsys.path.insert(0, '/x')\n", "code-dynamic"),
        ("open('x', mode='wb')\n", "code-file-write"),
        ("import pathlib\n(pathlib.Path('x') / 'y').write_bytes(b'')\n", "code-file-write"),
        ("def f(path):\n    path.write_text('x')\n", "code-file-write"),
        ("import torch\ntorch.load('x', weights_only=False)\n", "code-deserialisation"),
        ("import torch\nload = torch.load\n", "code-deserialisation"),
        ("import torch\ntorch.ops.load_library('x.so')\n", "code-native"),
        ("from kernels import get_kernel\nget_kernel('a/b')\n", "code-native"),
        ("import torch.nn as nn\nnn.Module.__call__ = print\n", "code-patching"),
        ("p = '~/.ba' + 'shrc'\n", "code-persistence"),
        ("\u0455um = 1\n", "code-obfuscation"),
        ("x = 1  # \u202e\n", "code-obfuscation"),
        ("x = 1" + " " * 200 + "; y = 2\n", "code-obfuscation"),
        ("x = '" + "QUJD" * 400 + "'\n", "code-obfuscation"),
        ("x\u200b = 1\n".replace("x\u200b", "s = '\u200b'; x"), "code-obfuscation"),
    ],
)
def test_other_deeds(source: str, rule: str) -> None:
    """What cannot be followed, what leads to the interpreter's insides, and what is hidden from the eye is found."""
    assert rule in {finding.rule for finding in findings(source)}


def test_import_time_is_louder_than_call_time() -> None:
    """What happens as soon as a module is imported, also through a function that it calls, is reported louder."""
    [early] = [f for f in findings("import os\ndef f():\n    os.system('x')\nf()\n") if f.rule == "code-process"]
    [late] = [f for f in findings("import os\ndef f():\n    os.system('x')\n") if f.rule == "code-process"]
    never = findings("import os\nif __name__ == '__main__':\n    os.system('x')\n")
    assert early.severity > late.severity > max(finding.severity for finding in never)


def test_typing_is_not_imported() -> None:
    """What stands under TYPE_CHECKING never happens."""
    facts = read_facts(b"from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import os\n", Location("m.py"))
    assert {use.when for use in facts.uses if use.name == "os"} == {When.NEVER}


def benign() -> list[Path]:
    """Modelling code as it is written: every sixth file of the installed transformers."""
    kinds = ("modeling_*.py", "configuration_*.py", "tokenization_*.py")
    return [path for kind in kinds for path in sorted(MODELS.glob(f"*/{kind}"))[::6]]


def test_benign_code_is_quiet() -> None:
    """In hundreds of files of model code, every loud finding points at a line that does what it says."""
    loud = [
        (path.name, finding)
        for path in benign()
        for finding in findings(path.read_bytes())
        if finding.severity >= Severity.HIGH
    ]
    assert len(benign()) >= 200
    plain = re.compile(
        r"FrozenBatchNorm2d\._load_from_state_dict = "
        r"|importlib|import_module|__import__|sys\.modules|exec\(|eval\(|torch\.load|pickle|get_kernel"
    )
    assert not [(name, f.message) for name, f in loud if not plain.search(" ".join(f.evidence))]
    assert len(loud) <= len(benign()) / 10


@pytest.mark.parametrize(
    "data",
    [
        b"def f(:\n",
        b"# coding: utf-7\nx = 1\n",
        b"# -*- coding: rot13 -*-\nx = 1\n",
        b"\xef\xbb\xbf# coding: latin-1\nx = 1\n",
        b"x = '\xff'\n",
        b"x = 1\0\n",
        b"(" * 100_000,
        b"-" * 100_000 + b"1",
        b"a" + b".b" * 50_000,
        b"x = " + b"9" * 5_000,
        b"x" * (1 << 22),
        b"match x:\n  case 1 if\n",
    ],
    ids=range(12),
)
def test_bad_source_is_an_error_with_a_place(data: bytes) -> None:
    """Source that is broken, too long, too deep or in a hidden encoding ends in our error, never in a crash."""
    with pytest.raises(MalformedInput) as caught:
        read_facts(data, Location("m.py"))
    assert str(caught.value.where).startswith("m.py") and caught.value.remedy


@pytest.mark.parametrize(
    "source",
    [
        "\n".join(f"a{i} = a{i + 1}" for i in range(2_000)),
        "x = x + x\n" * 500,
        "a = b\nb = a\n" * 300,
        "f = lambda: f()\nf()()()\n",
        "def f():\n    return g()\ndef g():\n    return f()\nf()\n",
        "x = 'a'\n" + "x = x * 100000\n" * 20,
        "x = " + "[" * 90 + "]" * 90,
        "x = '%999999999d' % 1\n",
        "x = 1 << 99999999999\ny = 10 ** 10 ** 10\n",
        "x = {}\n" + "".join(f"x[{i}] = x\n" for i in range(500)),
        "x = ''" + ".replace('a', 'b')" * 90 + "\n",
    ],
    ids=range(11),
)
def test_involved_source_ends(source: str) -> None:
    """Names that depend on themselves, towers of calls and numbers without bound are read in bounded steps."""
    read_facts(source.encode(), Location("m.py"))
