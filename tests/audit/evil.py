"""Small modules that do what no model should, each hidden in another way. They are read by tests, never imported.

`{m}` and `{a}` stand for a module and something in it; the line that gives it away ends in `# here`.
"""

from __future__ import annotations

import base64
import codecs

DEEDS = {
    "code-process": ("os", "system"),
    "code-network": ("socket", "create_connection"),
    "code-file-write": ("shutil", "rmtree"),
    "code-environment": ("os", "environ"),
    "code-dynamic": ("runpy", "run_path"),
    "code-deserialisation": ("pickle", "loads"),
    "code-native": ("ctypes", "CDLL"),
}
"""Something in a module, and the rule that must find it."""

HIDINGS = {
    "plainly": "import {m}\n{m}.{a}('x')  # here\n",
    "under another name": "import {m} as torch_utils\ntorch_utils.{a}('x')  # here\n",
    "imported by itself": "from {m} import {a} as forward\nforward('x')  # here\n",
    "through a star": "from {m} import *\n{a}('x')  # here\n",
    "in a function": "def f():\n    import {m} as n\n    return n.{a}('x')  # here\n",
    "behind a condition": "import {m}\nif input():\n    g = {m}.{a}  # here\nelse:\n    g = print\n",
    "by __import__": "__import__('{m}').{a}('x')  # here\n",
    "by __import__ of pieces": "n = '{m0}' + '{m1}'\n__import__(n).{a}('x')  # here\n",
    "by getattr of pieces": "import {m} as o\ngetattr(o, '{a0}' + '{a1}')('x')  # here\n",
    "by importlib": "from importlib import import_module as i\ni('{m}').{a}('x')  # here\n",
    "by characters": "import {m} as o\ngetattr(o, ''.join(chr(c) for c in {chars}))('x')  # here\n",
    "by characters in disguise": "import {m} as o\nk = [chr(c ^ 7) for c in {xored}]\n"
    "getattr(o, ''.join(k))('x')  # here\n",
    "in base64": "import base64, {m}\ngetattr({m}, base64.b64decode('{b64}').decode())('x')  # here\n",
    "in hexadecimal": "import {m}\ngetattr({m}, bytes.fromhex('{hexed}').decode())('x')  # here\n",
    "in rot13": "import codecs, {m}\ngetattr({m}, codecs.decode('{rot}', 'rot13'))('x')  # here\n",
    "backwards": "import {m}\ngetattr({m}, '{backwards}'[::-1])('x')  # here\n",
    "formatted": "import {m}\np, q = '{a0}', '{a1}'\ngetattr({m}, f'{{p}}{{q}}')('x')  # here\n",
    "by percent": "import {m}\ngetattr({m}, '%s%s' % ('{a0}', '{a1}'))('x')  # here\n",
    "replaced": "import {m}\ngetattr({m}, '{a0}-{a1}'.replace('-', ''))('x')  # here\n",
    "in a dictionary": "import {m}\ntable = {{'go': {m}.{a}}}  # here\ntable['go']('x')\n",
    "in a list": "import {m}\nfor f in [{m}.{a}]:  # here\n    f('x')\n",
    "in an attribute": "import {m}\nclass A:\n    run = {m}.{a}  # here\nA().run('x')\n",
    "in self": "class A:\n    def __init__(self):\n        import {m}\n        self.n = {m}\n    def f(self):\n"
    "        return self.n.{a}('x')  # here\n",
    "as a default": "def f(n=__import__('{m}')):\n    return n.{a}('x')  # here\n",
    "in a partial": "import functools, {m}\nf = functools.partial({m}.{a}, 'x')  # here\n",
    "returned": "def g():\n    import {m}\n    return {m}\n\ng().{a}('x')  # here\n",
    "from a lambda": "(lambda: __import__('{m}'))().{a}('x')  # here\n",
    "from sys.modules": "import sys\nsys.modules['{m}'].{a}('x')  # here\n",
    "from __builtins__": "__builtins__['__import__']('{m}').{a}('x')  # here\n",
    "from __dict__": "import {m}\n{m}.__dict__['{a}']('x')  # here\n",
    "from vars": "import {m}\nvars({m})['{a}']('x')  # here\n",
    "from globals": "import {m}\nglobals()['{m}'].{a}('x')  # here\n",
    "by attrgetter": "import operator, {m}\noperator.attrgetter('{a}')({m})('x')  # here\n",
    "by methodcaller": "import operator, {m}\noperator.methodcaller('{a}', 'x')({m})  # here\n",
    "in exec": 'exec("import {m}\\n{m}.{a}(1)")  # here\n',
    "in eval": "eval('__import__(\"{m}\").{a}(1)')  # here\n",
    "in exec of base64": "import base64\nexec(base64.b64decode('{program}'))  # here\n",
    "by a walrus": "if (n := __import__('{m}')):\n    n.{a}('x')  # here\n",
    "through many names": "import {m}\na = {m}\nb = a\nc = b\nd = c\nd.{a}('x')  # here\n",
    "in a decorator": "import {m}\n\n@{m}.{a}  # here\ndef f():\n    pass\n",
    "by resolve_name": "import pkgutil\npkgutil.resolve_name('{m}:{a}')('x')  # here\n",
}
"""Ways to hide it. Beside the rule of the deed, others may speak as well."""


def module(deed: str, hiding: str) -> tuple[str, int]:
    """The source, and the line that gives it away."""
    m, a = DEEDS[deed]
    program = f"import {m}\n{m}.{a}(1)\n"
    source = HIDINGS[hiding].format(
        m=m,
        a=a,
        m0=m[:1],
        m1=m[1:],
        a0=a[:2],
        a1=a[2:],
        chars=[ord(c) for c in a],
        xored=[ord(c) ^ 7 for c in a],
        b64=base64.b64encode(a.encode()).decode(),
        hexed=a.encode().hex(),
        rot=codecs.encode(a, "rot13"),
        backwards=a[::-1],
        program=base64.b64encode(program.encode()).decode(),
    )
    line = next(number for number, text in enumerate(source.splitlines(), 1) if text.endswith("# here"))
    return source, line
