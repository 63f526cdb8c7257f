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
from safeload.formats.python.facts import When
from safeload.formats.python.reading import read_facts
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


HANDED_ON = {
    "to a parameter": "import os\ndef f(o):\n    o.system('x')\nf(os)\n",
    "to a lambda": "import os\n(lambda o: o.system('x'))(os)\n",
    "to an object": "import os\nclass A:\n    def __init__(self, m):\n        self.m = m\nA(os).m.system('x')\n",
    "through a list": "import os\nl = []\nl.append(os)\nl[0].system('x')\n",
    "through dict()": "import os\nd = dict(o=os)\nd['o'].system('x')\n",
    "through an unpacked dictionary": "import os\nd = {**{'o': os}}\nd['o'].system('x')\n",
    "through setattr": "import os\nclass A: pass\nsetattr(A, 'o', os)\nA.o.system('x')\n",
    "through zip": "import os\nfor a, b in zip([os], ['x']):\n    a.system(b)\n",
    "through a context": "import os, contextlib\nwith contextlib.nullcontext(os) as o:\n    o.system('x')\n",
    "through a generator": "import os\ndef g():\n    yield os\nnext(g()).system('x')\n",
    "through a property": "import os\nclass A:\n    @property\n    def o(self):\n        return os\nA().o.system(1)\n",
    "through match": "import os\nmatch os:\n    case o:\n        o.system('x')\n",
    "through global": "def f():\n    global g\n    import os\n    g = os\ndef h():\n    g.system('x')\n",
    "through nonlocal": "def f():\n    g = 0\n    def k():\n        nonlocal g\n        import os\n        g = os\n"
    "    g.system('x')\n",
    "through a metaclass": "import os\nclass M(type):\n    def __getattr__(c, n):\n        return getattr(os, n)\n",
    "as part of another module": "import torch\ntorch.os.system('x')\n",
    "out of another module": "from logging import os as l\nl.system('x')\n",
    "to a thread": "import threading, os\nthreading.Thread(target=os.system, args=('x',)).start()\n",
    "to atexit": "import atexit, os\natexit.register(os.system, 'x')\n",
    "to map": "import os\nlist(map(os.system, ['x']))\n",
    "to an operator": "import os\nclass A:\n    __add__ = lambda s, o: os.system(o)\n",
    "to a pickle": "class A:\n    def __reduce__(self):\n        return (__import__('os').system, ('x',))\n",
    "by a library": "import torch.utils.collect_env as c\nc.run('x')\n",
    "from a loader": "import importlib.util as u\nu.find_spec('os').loader.load_module().system('x')\n",
    "from the garbage": "import gc\n[o for o in gc.get_objects()][0].system('x')\n",
    "to others' code": "from transformers import AutoModel\nAutoModel.from_pretrained('a/b', trust_remote_code=True)\n",
}


@pytest.mark.parametrize("way", HANDED_ON)
def test_what_is_handed_on_is_loud(way: str) -> None:
    """A module or function that is handed to where it cannot be followed is a loud finding where it is handed on."""
    assert max(finding.severity for finding in findings(HANDED_ON[way])) >= Severity.HIGH


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
    kinds = ("modeling_*.py", "configuration_*.py", "tokenization_*.py", "processing_*.py")
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
    assert read_facts(source.encode(), Location("m.py")).location == Location("m.py")
