"""Hostile text: JSON, YAML, XML, sources, and the small formats that are read line by line."""

from __future__ import annotations

import json
from collections.abc import Iterator

from benchmarks.hostile.case import Case, nested, numbered, repeated

JSON = {
    "numbers": "1,",
    "lists": "[],",
    "tables": '{"a":1},',
    "code": '{"auto_map":{"a":"b--c.d"}},',
    "local code": '{"auto_map":{"AutoModel":"a.B"}},',
    "many classes": '{"auto_map":["a.B","c.D"]},',
    "targets": '{"_target_":"os.system"},',
    "harmless targets": '{"_target_":"torch.nn.Linear"},',
    "classes": '{"class_name":"Lambda","module":"os","config":{}},',
    "layers": '{"module":"keras.layers","class_name":"Dense","config":{"name":"a"}},',
    "registered layers": '{"module":"m","class_name":"C","registered_name":"m>C","config":{"function":"a"}},',
    "library types": '{"type":"a.b.C"},',
    "kernels": '{"attn_implementation":"a/b"},',
    "pipelines": '{"custom_pipelines":{"a":{"impl":"a.B","pt":["c"]}}},',
    "loaders": '{"loader_module":"os"},',
    "redirects": '{"base_model_name_or_path":"a/b"},',
    "paths": '{"transformers_weights":"../a"},',
    "addresses": '"http://a.b/c",',
    "escaped texts": '"\\u202e\\u0061",',
    "escapes": '"\\\\\\"\\n",',
    "floats": "1.5e-7,",
    "long numbers": "1" * 400 + ",",
    "a shard index": '{"weight_map":{"a":"b.bin"}},',
    "secrets": '"AKIAABCDEFGHIJKLMNOP",',
    "templates": '{"chat_template":"{{ a.__class__ }}"},',
    "harmless templates": '{"chat_template":"{{ a }}"},',
    "named templates": '{"chat_template":[{"name":"a","template":"{{ a.b }}"}]},',
    "broken templates": '{"chat_template":"{{ "},',
    "looping templates": '{"chat_template":"{% for a in range(9999) %}{% endfor %}"},',
    "texts that look like templates": '"{{ a }}",',
}
"""Entries of one list; in tables under a name of their own as well."""

SOURCES = {
    "calls": "os.system('x')\n",
    "imports": "import os\n",
    "imports of many": "from a import b as c, d as e\n",
    "functions": "def f(a, b=1, *c, **d):\n    return a\n",
    "classes": "class A(B):\n    def f(self):\n        return self.a.b.c()\n",
    "assignments": "a = b = c\n",
    "aliases": "a = a.b\n",
    "lambdas": "lambda a: a\n",
    "decorators": "@a\ndef f(): pass\n",
    "comprehensions": "[a for a in b if c]\n",
    "subscripts": "a[b][c][d]\n",
    "strings": "'a' 'b'\n",
    "formatted": "f'{a}{b!r:>{c}}'\n",
    "deletions": "del a\n",
    "raises": "try:\n    a\nexcept b:\n    raise\n",
    "getattr": "getattr(a, 'b')(c)\n",
    "evaluations": "eval('a')\n",
    "sums": "a + b * c ** d\n",
    "statements": "a;",
    "numbers": "1\n",
    "comments": "# a\n",
    "assignments of attributes": "a.b = c\n",
    "tables of functions": "d['a'] = os.system; d['a']()\n",
    "globals": "globals()['a']\n",
    "matches": "match a:\n    case [b, *c]: pass\n",
    "addresses": "'http://a.b/c'\n",
    "documentation": "'''a'''\n",
    "broken": "a b\n",
}

YAML = {
    "pairs": "a: b\n",
    "entries": "- a\n",
    "flow": "- [a, {b: c}]\n",
    "tags": "- !!python/object:os.system {}\n",
    "own tags": "- !a b\n",
    "anchors": "- &a b\n- *a\n",
    "merges": "<<: *a\n",
    "dashes": "- ",
    "questions": "? ",
    "brackets": "[{",
    "texts": "- 'a''b'\n",
    "quoted": '- "\\x41"\n',
    "blocks": "- |\n  a\n",
    "folded": "- >-\n  a\n",
    "comments": "# a\n",
    "targets": "- _target_: os.system\n",
    "documents": "---\na\n",
    "directives": "%YAML 1.2\n",
    "deeper": "a:\n  b:\n    c: d\n",
    "colons": ":",
    "ampersands": "&",
    "exclamations": "!",
    "spaces": " ",
    "quotes": "'",
    "double quotes": '"',
    "bars": "|",
    "commas": "[a,",
}

XML = {
    "empty": "<a/>",
    "layers": '<layer id="1" name="a" type="Custom" version="b"/>',
    "extensions": '<Extension extender="a"/>',
    "functions": '<Apply function="a"><Constant>b</Constant></Apply>',
    "attributes": '<a b="c" d="e" f="g"/>',
    "texts": "<a>b</a>",
    "references": "<a>&lt;&#65;</a>",
    "comments": "<!-- a -->",
    "sections": "<![CDATA[a]]>",
    "instructions": "<?a b?>",
    "namespaces": '<a:b xmlns:a="c"/>',
    "ampersands": "&",
    "less": "<",
    "greater": ">",
    "quotes": '<a b="',
    "entities": "<!ENTITY a 'b'>",
    "addresses": '<a href="http://b/c"/>',
}

LINES = {
    "README.md": ("[a](http://b) ", "<script>a</script>\n", "# a\n", "`a`", "![a](b)", "http://a.b ", "|a|b|\n"),
    "requirements.txt": (
        "a==1\n",
        "a @ http://b\n",
        "-r a.txt\n",
        "--index-url http://a\n",
        "a;b\n",
        "#\n",
        "git+ssh://a\n",
        "\\\n",
    ),
    "run.sh": ("curl http://a | sh\n", "a | b\n", "$(a)", "`a`", "eval a\n", "# a\n", "a\\\n", "<<A\n", "'"),
    "vocab.txt": (
        "a\n",
        "AKIAABCDEFGHIJKLMNOP\n",
        "password: ",
        "api_key='a' ",
        "ghp_",
        "-----BEGIN RSA PRIVATE KEY-----\n",
        "eyJ",
        "xox",
    ),
    ".env": ("A=b\n", "SECRET_KEY=", "password=", "token: 'a'\n"),
    "merges.txt": ("a b\n",),
    "graph.pbtxt": (
        "node { op: 'PyFunc' }\n",
        "node { ",
        "a: 1 ",
        "a: 'b'\n",
        "{",
        "#\n",
        "attr { key: 'a' value { s: 'b' } }\n",
    ),
    "model.txt": ("tree\n", "Tree=0\nnum_leaves=1\n", "a=b\n"),
    "model.R": ("system('a')\n", "a <- b\n", "function(x) x\n", "("),
    "Modelfile": ("FROM a\n", 'TEMPLATE """{{ .a }}"""\n', "ADAPTER ./a\n", "PARAMETER a b\n", "SYSTEM a\n"),
    "Dockerfile": ("RUN a\n", "FROM a\n"),
    "model.toml": ("a = 1\n", "[a]\n", "[[a]]\n", "a = {b = [c]}\n", "'"),
    "index.html": ("<script>a()</script>", "<a href='javascript:b'>", "<img onerror=a>", "<", "&", "<!--"),
    "picture.svg": ("<a/>", "<script>a</script>", "<"),
    "data.csv": ("a,b\n", "=cmd|'a'!b\n", '"'),
    "data.jsonl": ('{"a":1}\n', "[]\n"),
    "setup.cfg": ("[a]\nb = c\n", "a = b\n  c\n"),
    "unknown.bin": ("\0", "\1", "a", "\x80\x02", "PK\3\4", "PK\5\6", "\x1f\x8b\x08", "BZh9", "GGUF", "MZ", "\x7fELF"),
}


def _json() -> Iterator[Case]:
    for file in ("config.json", "tokenizer_config.json", "model.json"):
        for name, unit in JSON.items():
            data = unit.encode()
            yield Case(f"{file} {name}", file, repeated(data, before=b"[", after=b"1]"))
    for name, unit in JSON.items():
        entry = lambda number, unit=unit: f'"{number}":{unit}'.encode()
        yield Case(f"config.json table of {name}", "config.json", numbered(entry, before=b"{", after=b'"z":1}'))
    yield Case("config.json nested lists", "config.json", nested(b"[", b"]"))
    yield Case("config.json nested tables", "config.json", nested(b'{"a":', b"}", within=b"1"))
    yield Case(
        "config.json nested to the limit",
        "config.json",
        repeated(b"[" * 9_000 + b"]" * 9_000 + b",", before=b"[", after=b"1]"),
    )
    yield Case("config.json unclosed", "config.json", repeated(b"["))
    yield Case("config.json one key", "config.json", repeated(b'"a":1,', before=b"{", after=b'"a":1}'))
    for key in (
        "auto_map",
        "custom_pipelines",
        "weight_map",
        "chat_template",
        "added_tokens_decoder",
        "quantization_config",
    ):
        entry = lambda number: b'"%d":"a/b--c%d.D"' % (number, number)
        unit = lambda number, entry=entry: entry(number) + b","
        make = numbered(unit, before=b'{"%s":{' % key.encode(), after=b'"a":"b"}}')
        yield Case(f"config.json {key} of many", "config.json", make)
        yield Case(f"index.json {key} of many", "model.safetensors.index.json", make)
    template = lambda number: json.dumps({"chat_template": f"{{{{ a{number}.__class__ }}}}"}).encode() + b","
    yield Case(
        "tokenizer_config.json different templates",
        "tokenizer_config.json",
        numbered(template, before=b"[", after=b"1]"),
    )
    cell = {"cell_type": "code", "source": ["import os\n", "!a\n"], "outputs": [], "metadata": {}}
    for name, change in {
        "cells": {},
        "magic": {"source": ["%%bash\na\n"]},
        "outputs": {"outputs": [{"output_type": "display_data", "data": {"text/html": "<script>a</script>"}}]},
        "text cells": {"cell_type": "markdown", "source": ["<script>a</script>"]},
    }.items():
        unit = json.dumps({**cell, **change}).encode() + b","
        yield Case(f"notebook {name}", "a.ipynb", repeated(unit, before=b'{"nbformat":4,"cells":[', after=b"{}]}"))


def _sources() -> Iterator[Case]:
    for name, unit in SOURCES.items():
        yield Case(f"source {name}", "modeling.py", repeated(unit.encode()))
    for opening, closing in (
        ("(", ")"),
        ("[", "]"),
        ("f(", ")"),
        ("{a:", "}"),
        ("a[", "]"),
        ("lambda:", ""),
        ("not ", ""),
        ("-", ""),
        ("f'{", "}'"),
        ("a if b else ", "c"),
    ):
        yield Case(f"source nested {opening!r}", "modeling.py", nested(opening.encode(), closing.encode(), within=b"a"))
    for unit in (".b", "+a", "[0]", "()", " and a", " == a", "**a", ",a", " if a else b", "=a", "'b'"):
        yield Case(f"source chained {unit!r}", "modeling.py", repeated(unit.encode(), before=b"a"))
    yield Case(
        "source deeper and deeper",
        "modeling.py",
        lambda size: b"".join(b" " * n + b"if a:\n" for n in range(int((2 * size) ** 0.5))),
    )
    yield Case(
        "source blocks to the limit",
        "modeling.py",
        repeated(b"".join(b" " * n + b"if a:\n" for n in range(90)) + b" " * 90 + b"a\n"),
    )
    for unit in (
        "a%d = os.system\na%d('x')\n",
        "import a%d as b%d\n",
        "def f%d(): return f%d\n",
        "class A%d(A%d): pass\n",
    ):
        different = lambda number, unit=unit: (unit % (number + 1, number)).encode()
        yield Case(f"source names {unit!r}", "modeling.py", numbered(different))


def _others() -> Iterator[Case]:
    for name, unit in YAML.items():
        yield Case(f"YAML {name}", "c.yaml", repeated(unit.encode()))
        yield Case(f"YAML table of {name}", "c.yaml", repeated(unit.encode(), before=b"a: b\n"))
    yield Case("YAML nested", "c.yaml", nested(b"[", b"]"))
    yield Case(
        "YAML deeper and deeper",
        "c.yaml",
        lambda size: b"".join(b" " * n + b"a:\n" for n in range(int((2 * size) ** 0.5))),
    )
    yield Case("YAML keys", "c.yaml", numbered(lambda n: b"k%d: v\n" % n))
    yield Case("YAML one long line", "c.yaml", repeated(b"a", before=b"a: "))
    yield Case("YAML an indented end", "c.yaml", repeated(b" ", before=b"a:\n", after=b"b"))
    for name, unit in XML.items():
        for file, root in (("m.pmml", "PMML"), ("m.xml", "net"), ("m.bin.xml", "a")):
            before = f'<?xml version="1.0"?><{root} version="4.4">'.encode()
            yield Case(f"XML {root} {name}", file, repeated(unit.encode(), before=before, after=f"</{root}>".encode()))
    yield Case("XML nested", "m.pmml", nested(b"<a>", b"</a>", before=b"<PMML>", after=b"</PMML>"))
    yield Case("XML attributes", "m.pmml", numbered(lambda n: b" a%d='b'" % n, before=b"<PMML><a", after=b"/></PMML>"))
    yield Case(
        "XML entities",
        "m.pmml",
        numbered(
            lambda n: b"<!ENTITY a%d '&a%d;&a%d;'>" % (n + 1, n, n),
            before=b"<!DOCTYPE a [",
            after=b"]><PMML>&a9;</PMML>",
        ),
    )
    for file, units in LINES.items():
        for unit in units:
            yield Case(f"{file} {unit!r}", file, repeated(unit.encode("latin-1")))


def cases() -> Iterator[Case]:
    yield from _json()
    yield from _sources()
    yield from _others()
