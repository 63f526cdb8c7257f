"""Code that reaches something without naming it plainly: by reflection, by rare statements, by texts for others.

Each source is an attack; the last line that ends in `# here` has to carry a finding of one of the rules.
"""

from __future__ import annotations

import pytest

from safeload.core.finding import Severity
from tests.audit.test_capabilities import findings

PROCESS, DYNAMIC, UNFOLLOWED, PATCHING = "code-process", "code-dynamic", "code-unfollowed", "code-patching"
NATIVE, NETWORK, WRITE, UNPICKLE = "code-native", "code-network", "code-file-write", "code-deserialisation"

FOUND = {
    "get of a namespace": ("import os\nos.__dict__.get('system')('x')  # here\n", PROCESS),
    "get of vars": ("import os\nvars(os).get('system')('x')  # here\n", PROCESS),
    "get of the builtins": ("__builtins__.get('ev' + 'al')('1')  # here\n", DYNAMIC),
    "an object's own getter": ("import os\nos.__getattribute__('system')('x')  # here\n", PROCESS),
    "the getter of object": ("import os\nobject.__getattribute__(os, 'system')('x')  # here\n", PROCESS),
    "the getter of a type": ("import os\ntype(os).__getattribute__(os, 'system')('x')  # here\n", PROCESS),
    "getattr handed on": (
        "import torch, functools as f\nf.reduce(getattr, ['os', 'system'], torch)(1)  # here\n",
        UNFOLLOWED,
    ),
    "setattr handed on": ("import torch\nlist(map(setattr, [torch], ['load'], [1]))  # here\n", UNFOLLOWED),
    "getattr of a tuple": ("import torch\na = (torch, 'os')\ngetattr(*a).popen('x')  # here\n", UNFOLLOWED),
    "two names of attrgetter": (
        "import operator as o, os\no.attrgetter('path', 'system')(os)[1]('x')  # here\n",
        PROCESS,
    ),
    "members": ("import os, inspect\ndict(inspect.getmembers(os))['system']('x')  # here\n", UNFOLLOWED),
    "fields of a format": (
        "import torch, string\nstring.Formatter().get_field('0.os', (torch,), {})  # here\n",
        DYNAMIC,
    ),
    "a chain from nowhere": ("def f(t):\n    t.utils.subprocess.run('x')  # here\n", PROCESS),
    "a private alias": ("import random\nrandom._os.system('x')  # here\n", PROCESS),
    "the module in C": ("import _ctypes\n_ctypes.dlopen('x')  # here\n", NATIVE),
    "a name by default": ("import os\ndef f(n='relu'):\n    return getattr(os, n)  # here\n", UNFOLLOWED),
    "a module by default": ("def f(n='math'):\n    return __import__(n)  # here\n", UNFOLLOWED),
    "code by default": ("def f(n='1'):\n    exec(n)  # here\n", UNFOLLOWED),
    "half a name": ("import os\ndef f(n='b'):\n    return getattr(os, f'a{n}')  # here\n", UNFOLLOWED),
    "a name that grows": ("import torch\ns = 'o'\ns += 's'\ngetattr(torch, s).popen('x')  # here\n", PROCESS),
    "a global of a class": ("class A:\n    global x\n    import os as x\nx.system('y')  # here\n", PROCESS),
    "a walrus in a comprehension": ("import os\n[x := os for _ in [1]]\nx.system('y')  # here\n", PROCESS),
    "a loop that patches": ("import torch\nfor torch.load in [1]:  # here\n    pass\n", PATCHING),
    "a context that patches": ("import torch, io\nwith io.StringIO() as torch.load:  # here\n    pass\n", PATCHING),
    "an annotated patch": ("import torch\ntorch.load: int = 1  # here\n", PATCHING),
    "an update that patches": ("import torch\ntorch.__dict__.update(load=1)  # here\n", PATCHING),
    "vars that patches": ("import torch\nvars(torch).update(load=1)  # here\n", PATCHING),
    "a setter of type": ("import torch\ntype.__setattr__(torch.nn.Module, 'forward', 1)  # here\n", PATCHING),
    "a setter of a module": ("import torch\ntorch.__setattr__('load', 1)  # here\n", PATCHING),
    "a parent that is patched": ("class A:\n    def f(self):\n        type(self).__mro__[1].g = 1  # here\n", PATCHING),
    "a body that is exchanged": ("def f():\n    pass\nf.__code__ = (lambda: 0).__code__  # here\n", PATCHING),
    "a body that is rewritten": ("def f(g):\n    return g.__code__.replace(co_code=b'x')  # here\n", DYNAMIC),
    "where imports are looked for": ("__path__ = ['/x']  # here\nfrom . import evil\n", PATCHING),
    "where a package's imports are": ("import torch\ntorch.__path__.append('/x')  # here\n", DYNAMIC),
    "a text for whoever evaluates it": (
        "import typing\nclass A: ...\nA.__annotations__ = {'a': '__import__(\"os\").system(1)'}  # here\n",
        PROCESS,
    ),
    "the name of a function": (
        "import logging.config as c\nc.dictConfig({'a': {'()': 'os.system', 'command': 'x'}})  # here\n",
        PROCESS,
    ),
    "a configuration": ("import logging.config\nlogging.config.fileConfig('x')  # here\n", DYNAMIC),
    "a codec": ("import codecs\ncodecs.register(print)  # here\n", DYNAMIC),
    "a hook for every layer": (
        "import torch\ntorch.nn.modules.module.register_module_forward_hook(print)  # here\n",
        PATCHING,
    ),
    "a file that is run": ("import runpy\nrunpy.run_path('x.bin')  # here\n", UNFOLLOWED),
    "trust that is computed": ("from x import M\ndef f(t):\n    M.load('a', trust_remote_code=t)  # here\n", DYNAMIC),
    "trust in a dictionary": ("from x import M\nk = {'trust_remote_code': True}  # here\nM.load('a', **k)\n", DYNAMIC),
    "trust set later": ("from x import M\nk = {}\nk['trust_remote_code'] = 1  # here\nM.load('a', **k)\n", DYNAMIC),
    "trust handed on": ("def f(**k): ...\nf(trust_remote_code=True)  # here\n", DYNAMIC),
    "a pipeline of others": ("from diffusers import D\nD.load('a', custom_pipeline='b')  # here\n", DYNAMIC),
    "a kernel by name": ("from x import M\nM.from_pretrained('a', attn_implementation='o/k')  # here\n", NATIVE),
    "a kernel set later": ("def f(m):\n    m.set_attn_implementation('o/k')  # here\n", NATIVE),
    "a compiled package": ("import torch\ntorch._inductor.aoti_load_package('x.pt2')  # here\n", NATIVE),
    "a library of arrays": ("import numpy.ctypeslib as n\nn.load_library('x', '.')  # here\n", NATIVE),
    "a loop's process": ("def f(loop):\n    loop.subprocess_exec(1, 'x')  # here\n", PROCESS),
    "a process of a context": (
        "import multiprocessing as m\nm.get_context('spawn').Process().start()  # here\n",
        PROCESS,
    ),
    "an address": ("import pandas\npandas.read_csv('https://x/y')  # here\n", NETWORK),
    "a download by another name": ("from transformers.utils import cached_file as c\nc('a/b', 'c')  # here\n", NETWORK),
    "pickles by place": ("import numpy\nnumpy.load('x', None, True)  # here\n", UNPICKLE),
    "pickles in a dictionary": ("import numpy\nnumpy.load('x', **{'allow_pickle': True})  # here\n", UNPICKLE),
    "another pickle module": ("import torch\ntorch.load('x', weights_only=True, pickle_module=1)  # here\n", UNPICKLE),
    "an array to a file": ("def f(a):\n    a.tofile('x')  # here\n", WRITE),
    "a path that moves": ("from pathlib import Path\nPath('x').rename('y')  # here\n", WRITE),
}


@pytest.mark.parametrize("way", FOUND)
def test_what_is_reached_another_way_is_found(way: str) -> None:
    """Reflection, unusual statements and texts for somebody else are found at their line, by the rule of the deed."""
    source, rule = FOUND[way]
    line = next(number for number, text in enumerate(source.splitlines(), 1) if text.endswith("# here"))
    found = [one for one in findings(source) if one.rule == rule and one.location.path == f"line {line}"]
    assert found and max(one.severity for one in found) >= Severity.MEDIUM, source


QUIET = {
    "none": "from x import M\nM.load('a', trust_remote_code=None, attn_implementation='eager')\n",
    "off": "from x import M\nk = {'trust_remote_code': False}\nM.load('a', trust_remote_code=False, **k)\n",
    "evaluation": "from transformers import AutoModel\nAutoModel.from_config(1).eval()\n",
    "an operator": "import torch\ntorch.ops.aten.relu(1)\n",
    "a system's name": "import platform\nplatform.system()\n",
    "a message": "raise ValueError('call forward(x) or model.generate(y) first')\n",
    "a parameter's name": "names = ['model.layers.weight', 'self.attention.output']\n",
    "an address that is parsed": "from urllib.parse import urlparse\nurlparse('https://x/y')\n",
    "an address that is compared": "def f(x):\n    return x.startswith('https://')\n",
    "counting": "import multiprocessing\nmultiprocessing.cpu_count()\n",
    "adding up": "def f(xs):\n    n = 0\n    for x in xs:\n        n += x.size()\n    return n\n",
}


@pytest.mark.parametrize("way", QUIET)
def test_what_only_looks_like_it_is_left_alone(way: str) -> None:
    """Arguments that switch nothing on, names of parameters, messages and comparisons are no finding of note."""
    assert not [one for one in findings(QUIET[way]) if one.severity >= Severity.MEDIUM and one.rule != NETWORK]
    assert not [one for one in findings(QUIET[way]) if one.severity >= Severity.HIGH]


def test_a_rare_part_of_the_standard_library_is_told() -> None:
    """A module of the standard library that no rule knows is a finding, so that nothing is passed over in silence."""
    assert {"code-dynamic"} == {one.rule for one in findings("import _testcapi\n_testcapi.run_in_subinterp('x')\n")}


def test_a_text_that_is_no_code_adds_no_import() -> None:
    """A text that reads like an import is no import of the code, for nobody executes it."""
    from safeload.core.names import Location
    from safeload.formats.python.reading import read_facts

    facts = read_facts(b"x = 'import evil; evil.run()'\n", Location("m.py"))
    assert facts.imports == frozenset() and not facts.edges and not facts.unfollowed


def test_many_additions_are_no_tower() -> None:
    """A name to which something is added a thousand times is followed, and is not too involved."""
    assert not findings("x = 'a'\n" + "x += 'b'\n" * 1_000)
