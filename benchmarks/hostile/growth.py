"""Shapes in which readers could take more than proportional time: each made at some size, and at four times that.

    python -m benchmarks.hostile --growth [--family JSON] [--part 1/4]

Every format has an alphabet, of the fragments that its reader looks at. Of each, of every two in a row, and of three
that are drawn with a seed, a file is filled: repeated, and opened and closed around each other.
"""

from __future__ import annotations

import itertools
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.hostile.binaries import HDF5_HEAD
from benchmarks.hostile.case import Case, nested, repeated

SEED = 20_261_128
TRIPLES = 40
"""Threes of each alphabet that are drawn."""


@dataclass(frozen=True)
class Alphabet:
    """What files of one format are made of."""

    name: str
    file: str
    fragments: tuple[bytes, ...]
    before: bytes = b""
    after: bytes = b""
    pairs: tuple[tuple[bytes, bytes], ...] = ()
    """Fragments that open and close."""


def _texts(*fragments: str) -> tuple[bytes, ...]:
    return tuple(fragment.encode() for fragment in fragments)


ALPHABETS = (
    Alphabet(
        "Jinja",
        "chat_template.jinja",
        _texts(
            *("{{", "}}", "{%", "%}", "{#", "#}", "{{ a }}", "{% if a %}", "{% endif %}", "{% for a in b %}", "'", '"'),
            *(
                "{% set a = a ~ a %}",
                "{{ a|b }}",
                "{{ a.b['c'] }}",
                "{% macro a() %}",
                "{% endmacro %}",
                "\\",
                "\n",
                " ",
            ),
            *("{% raw %}", "{% endraw %}", "-", "x", "{{ 'a'", "~", "|", "__class__", "{% else %}", "{% endfor %}"),
        ),
        pairs=((b"{{ (", b") }}"), (b"{% if a %}", b"{% endif %}"), (b"{% for a in b %}", b"{% endfor %}")),
    ),
    Alphabet(
        "Python",
        "modeling.py",
        _texts(
            *(
                "a = b\n",
                "import os\n",
                "def f():\n",
                "    a = b\n",
                "class A(B):\n",
                "os.system(a)\n",
                "a.b.c()\n",
                "\\\n",
            ),
            *(
                "from a import *\n",
                "a = a + 'b'\n",
                "x = [a for a in b]\n",
                "'",
                '"""',
                "#",
                "(",
                ")",
                "lambda: ",
                "\n",
            ),
            *(
                "global a\n",
                "try:\n    a\nexcept:\n    b\n",
                "a[b] = c\n",
                "del a\n",
                "@a\n",
                "f'{a}'\n",
                " ",
                "\t",
                ";",
            ),
            *(
                "getattr(a, 'b')\n",
                "exec(a)\n",
                "a = b = c\n",
                "for a in b:\n    a = a.b\n",
                "if a: b\n",
                "not ",
                "a, ",
            ),
        ),
        pairs=((b"(", b")"), (b"[", b"]"), (b"{", b"}"), (b"f(", b")"), (b"not ", b"")),
    ),
    Alphabet(
        "JSON",
        "config.json",
        _texts(
            *(
                '"a",',
                "1,",
                "[],",
                "{},",
                '{"a":1},',
                '"auto_map",',
                '{"auto_map":{"A":"b.C"}},',
                '"os.system",',
                " ",
                "\n",
            ),
            *(
                '{"_target_":"a.b"},',
                '"{{ a }}",',
                '{"chat_template":"{{ a }}"},',
                '"gASV' + "A" * 20 + '",',
                '"\\u0061",',
            ),
            *(
                '"a.so",',
                "\"__import__('os')\",",
                '"../a",',
                '"http://a",',
                '"eval(",',
                "1e5,",
                '{"class_name":"A"},',
                "null,",
            ),
        ),
        before=b"[",
        after=b"1]",
        pairs=((b"[", b"]"), (b'{"a":', b"}"), (b'{"config":', b"}"), (b'{"auto_map":', b"}")),
    ),
    Alphabet(
        "YAML",
        "config.yaml",
        _texts(
            *(
                "a: b\n",
                "- a\n",
                "  a: b\n",
                "- - ",
                "? ",
                ": ",
                "[",
                "]",
                "{",
                "}",
                "&a ",
                "*a ",
                "!!python/object:a.b ",
                "|\n",
            ),
            *(
                "'",
                '"',
                "#",
                "\n",
                " ",
                "---\n",
                "<<: *a\n",
                "_target_: a.b\n",
                "a: |\n  b\n",
                ">\n",
                "!a ",
                ", ",
                "\t",
                "%",
            ),
        ),
        pairs=((b"[", b"]"), (b"{a: ", b"}"), (b"- ", b"")),
    ),
    Alphabet(
        "TOML",
        "pyproject.toml",
        _texts(
            "a = 1\n",
            "[a]\n",
            "[[a]]\n",
            "a.b = 'c'\n",
            '"""',
            "'''",
            "[",
            "]",
            "{",
            "=",
            "#",
            "\n",
            " ",
            "a = [\n",
            "'",
        ),
        pairs=((b"[", b"]"),),
    ),
    Alphabet(
        "text",
        "notes.txt",
        _texts(
            *(
                "gASV",
                "A" * 20,
                "A" * 24 + " ",
                "os.",
                "os.system",
                "a.so ",
                ".so",
                "__import__(",
                "(",
                ")",
                "{{",
                "}}",
                "__a",
            ),
            *(
                "|attr",
                "{",
                "eval(",
                "lambda ",
                ":",
                "\n",
                " ",
                "=",
                "H4sI" + "A" * 20,
                "80 05 ",
                "\\x80",
                "80",
                "<",
                "-",
                "'",
            ),
            *(
                "_target_: a\n",
                "a = os.b\n",
                "import ",
                "subprocess.run(",
                "http://",
                "hf_",
                "AKIA",
                "-----BEGIN ",
                "${a:",
            ),
        ),
    ),
    Alphabet(
        "notebook",
        "a.ipynb",
        _texts(
            '{"cell_type":"code","source":["import os\\n"]},',
            '{"cell_type":"code","source":"!ls"},',
            '{"cell_type":"markdown","source":"<script>"},',
            '{"cell_type":"code","outputs":[{"data":{"text/html":"<a>"}}],"source":""},',
            "{},",
            "1,",
        ),
        before=b'{"nbformat":4,"cells":[',
        after=b"1]}",
    ),
    Alphabet(
        "tokenizer",
        "tokenizer.json",
        _texts(
            '"a":1,',
            '"b":[],',
            '"c":{},',
            '"added_tokens":[{"content":"<a>"}],',
            '"model":{"vocab":{"a":1}},',
            '"\\u00e9":1,',
        ),
        before=b"{",
        after=b'"version":"1.0"}',
    ),
    Alphabet(
        "XML",
        "m.pmml",
        _texts(
            "<a>",
            "</a>",
            "<a/>",
            "<a b='c'/>",
            "<!--",
            "-->",
            "<![CDATA[",
            "]]>",
            "&amp;",
            "&a;",
            "a",
            "<?a?>",
            "<",
            ">",
            " ",
        ),
        before=b"<PMML>",
        after=b"</PMML>",
        pairs=((b"<a>", b"</a>"),),
    ),
    Alphabet(
        "protobuf",
        "m.onnx",
        (
            *(
                b"\x0a\0",
                b"\x08\1",
                b"\x3a\0",
                b"\x3a\2\x0a\0",
                b"\x12\1a",
                b"\x0b",
                b"\x0c",
                b"\x0d\0\0\0\0",
                b"\x09" + bytes(8),
            ),
            *(b"\xc2\x0c\0", b"\x3a\4\x0a\2\x22\0", b"\x80\x80\x80\x80\x08\0", b"\xff", b"\0", b"\x0a\4\x3a\2\x0a\0"),
        ),
        before=b"\x08\7",
    ),
    Alphabet(
        "HDF5",
        "m.h5",
        (
            *(
                b"TREE",
                b"SNOD",
                b"HEAP",
                b"OHDR",
                b"GCOL",
                bytes(8),
                b"\xff" * 8,
                struct.pack("<Q", 96),
                b"\1\0",
                b"OCHK",
            ),
            *(struct.pack("<HHB3x", 16, 16, 0) + struct.pack("<QQ", 112, 4096), struct.pack("<HHB3x", 0, 0, 0)),
        ),
        before=HDF5_HEAD,
    ),
    Alphabet(
        "zip",
        "m.zip",
        (
            *(
                b"PK\3\4" + bytes(26),
                b"PK\1\2" + bytes(42),
                b"PK\5\6" + bytes(18),
                b"PK\6\6" + bytes(52),
                b"PK\6\7" + bytes(16),
            ),
            *(b"PK\7\x08" + bytes(12), b"PK", b"\x80\2N.", bytes(8), b"\xff" * 8, b"a"),
        ),
        before=b"PK\3\4" + bytes(26),
        after=b"PK\5\6" + bytes(18),
    ),
)


def _fragments(alphabet: Alphabet) -> Iterator[bytes]:
    yield from alphabet.fragments
    yield from map(b"".join, itertools.product(alphabet.fragments, repeat=2))
    drawn = random.Random(SEED)
    for _ in range(TRIPLES):
        yield b"".join(drawn.choices(alphabet.fragments, k=3))


def cases() -> Iterator[Case]:
    """Every shape of every alphabet."""
    for alphabet in ALPHABETS:
        for unit in dict.fromkeys(_fragments(alphabet)):
            make = repeated(unit, before=alphabet.before, after=alphabet.after)
            yield Case(f"{alphabet.name} {unit!r}", alphabet.file, make)
        for opening, closing in alphabet.pairs:
            for fragment in alphabet.fragments:
                around: Callable[[int], bytes] = nested(
                    opening, closing, before=alphabet.before, within=fragment, after=alphabet.after
                )
                yield Case(f"{alphabet.name} {opening!r} around {fragment!r}", alphabet.file, around)
                begun = repeated(opening + fragment, before=alphabet.before, after=alphabet.after)
                yield Case(f"{alphabet.name} {opening!r} begun before {fragment!r}", alphabet.file, begun)
