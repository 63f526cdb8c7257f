"""Ways to write down a call so that an unpickler makes it and a reader may overlook it.

Every function gets a source of random choices and returns opcodes. What they spell stays the same: some callable is
called while the stream is read, or the stream stops being readable.
"""

from __future__ import annotations

import _compat_pickle
import struct
from collections.abc import Callable
from random import Random
from typing import Any

from tests.generator.written import Built, Called, Name, written

_PYTHON_2 = {new: old for old, new in _compat_pickle.NAME_MAPPING.items()}
_PYTHON_2_MODULES = {new: old for old, new in _compat_pickle.IMPORT_MAPPING.items() if old not in ("repr", "test")}
"""Without the two names that are also common among modules of users: where nothing maps them, they are not vouched for
and no more."""


# ── text ────────────────────────────────────────────────────────────────────────────────────────────────────────


def text(choose: Random, value: str) -> bytes:
    """A text in any of the opcodes that make one, now and then by way of the memo or the stack."""
    data = value.encode()
    ways = [b"X" + struct.pack("<I", len(data)) + data, b"\x8d" + struct.pack("<Q", len(data)) + data]
    ways.append(b"V" + value.encode("raw_unicode_escape").replace(b"\n", b"\\u000a") + b"\n")
    if len(data) < 256:
        ways.append(b"\x8c" + bytes((len(data),)) + data)
    if value.isascii() and value.isprintable() and not {"'", "\\"} & set(value):
        ways += [b"S'" + data + b"'\n", b'S"' + data + b'"\n', b"S'" + _escaped(choose, value) + b"'\n"]
        ways.append(b"T" + struct.pack("<I", len(data)) + data)
        if len(data) < 256:
            ways.append(b"U" + bytes((len(data),)) + data)
    made = choose.choice(ways)
    key = choose.randrange(200)
    return choose.choice(
        [
            made,
            made,
            made,
            made + b"20",  # DUP, POP
            made + b"q" + bytes((key,)) + b"0h" + bytes((key,)),
            made + b"p%d\n0g%d\n" % (key, key),
            made + b"r" + struct.pack("<I", key) + b"0j" + struct.pack("<I", key),
            b"N" + b"q" + bytes((key,)) + b"0" + made + b"q" + bytes((key,)) + b"0h" + bytes((key,)),
            b"(N1" + made,  # MARK, POP_MARK
        ]
    )


def _escaped(choose: Random, value: str) -> bytes:
    return "".join(f"\\x{ord(c):02x}" if choose.random() < 0.5 else c for c in value).encode()


# ── names ───────────────────────────────────────────────────────────────────────────────────────────────────────


def name(choose: Random, value: Name) -> bytes:
    """A global, by GLOBAL or STACK_GLOBAL, at times under its Python 2 name."""
    module, last = value.module, value.name
    if choose.random() < 0.3:
        module, last = _PYTHON_2.get((module, last), (_PYTHON_2_MODULES.get(module, module), last))
    if choose.random() < 0.5:
        return f"c{module}\n{last}\n".encode()
    return text(choose, module) + text(choose, last) + b"\x93"


def spelled(choose: Random, value: Any) -> bytes:
    """Any value, each of its texts, names and calls spelled anew."""
    match value:
        case str():
            return text(choose, value)
        case Name():
            return name(choose, value)
        case Called():
            return call(choose, value)
        case Built():
            return spelled(choose, value.target) + spelled(choose, value.state) + b"b"
        case tuple():
            return arguments(choose, value)
        case list():
            items = [spelled(choose, item) for item in value]
            return choose.choice([b"](" + b"".join(items) + b"e", b"(" + b"".join(items) + b"l"])
    return written(value)


def arguments(choose: Random, values: tuple[Any, ...]) -> bytes:
    items = b"".join(spelled(choose, value) for value in values)
    short = {0: b")", 1: b"\x85", 2: b"\x86", 3: b"\x87"}
    if len(values) in short and choose.random() < 0.5:
        return items + short[len(values)]
    return b"(" + items + b"t"


# ── calls ───────────────────────────────────────────────────────────────────────────────────────────────────────


def call(choose: Random, value: Called) -> bytes:
    """A call by any opcode that makes one."""
    callee, args = value.callee, value.args
    ways: list[Callable[[], bytes]] = [
        lambda: spelled(choose, callee) + arguments(choose, args) + b"R",
        lambda: b"(" + spelled(choose, callee) + b"".join(spelled(choose, arg) for arg in args) + b"o",
        lambda: spelled(choose, callee) + arguments(choose, args) + b"\x81",
        lambda: spelled(choose, callee) + arguments(choose, args) + b"}\x92",
        lambda: spelled(choose, callee) + arguments(choose, args) + b"}" + text(choose, "key") + b"Ns\x92",
        lambda: arguments(choose, args) + b"q\xfe0" + spelled(choose, callee) + b"h\xfeR",
    ]
    if isinstance(callee, Name):
        line = f"i{callee.module}\n{callee.name}\n".encode()
        ways.append(lambda: b"(" + b"".join(spelled(choose, arg) for arg in args) + line)
    return choose.choice(ways)()


def indirect(choose: Random, value: Called) -> Called:
    """The same call through something that calls, finds or makes it."""
    callee = value.callee
    if not isinstance(callee, Name):
        return value
    ways = [
        value,
        value,
        value,
        Called(Called(Name("functools", "partial"), callee, *value.args)),
        Called(Name("builtins", "list"), Called(Name("builtins", "map"), callee, [*value.args])),
        Called(Name("functools", "reduce"), callee, [1, 2]),
        Called(Called(Name("builtins", "getattr"), Name(callee.module, "x"), callee.name), *value.args),
        Called(Called(Name("operator", "attrgetter"), callee.name), Called(Name("importlib", "import_module"), "x")),
        Called(Called(Name("operator", "methodcaller"), callee.name, *value.args), Name(callee.module, "x")),
        Called(Called(Name("pkgutil", "resolve_name"), f"{callee.module}:{callee.name}"), *value.args),
        Called(Called(Name("pydoc", "locate"), f"{callee.module}.{callee.name}"), *value.args),
        Called(Name("operator", "call"), callee, *value.args),
        Called(Name("copyreg", "__newobj__"), callee, *value.args),
        Called(Name("copyreg", "_reconstructor"), callee, callee, None),
        Called(Name("collections", "defaultdict"), Called(Name("functools", "partial"), callee)),
        Called(Name("torch._tensor", "_rebuild_from_type_v2"), callee, Name("torch", "Tensor"), value.args, {}),
        Called(Name("weakref", "finalize"), Called(Name("collections", "OrderedDict")), callee),
        Called(Name("unittest.mock", "_importer"), f"{callee.module}.{callee.name}"),
        Called(Called(Name("types", "FunctionType"), Called(Name("types", "CodeType"), 0), {}), *value.args),
        Called(Called(callee), *value.args),
        Called(Name("pickle", "loads"), b"\x80\x04" + written(value) + b"."),
        Called(Name("builtins", "eval"), Called(Name("codecs", "decode"), b"6578", "hex")),
    ]
    return choose.choice(ways)


# ── around a call ───────────────────────────────────────────────────────────────────────────────────────────────

ODD_NUMBERS = (b"I01\n", b"I00\n", b"I 10 \n", b"I1_0\n", b"L1L\n", b"L1\n", b"F1_0\n", b"F 1\n", b"I0x10\n", b"I+1\n")


def around(choose: Random, made: bytes) -> bytes:
    """What keeps the call and changes what stands beside it."""
    ways: list[Callable[[], bytes]] = [
        lambda: made,
        lambda: made,
        lambda: made + b"0N",
        lambda: b"(" + made + b"1N",
        lambda: b"N" + made + b"0",
        lambda: made + b"2\x86",
        lambda: b"N" + made,  # a value left on the stack
        lambda: b"](" + made + b"e",
        lambda: b"}" + text(choose, "state_dict") + made + b"s",
        lambda: b"}" + made + b"Ns",
        lambda: b"(" + made + b"\x91",
        lambda: b"\x8f(" + made + b"\x90",
        lambda: made + b"}b",
        lambda: made + b"N}" + text(choose, "__class__") + b"Ns\x86b",
        lambda: made + b"}" + text(choose, "__setstate__") + made + b"sb",
        lambda: made + b"(" + b"K\x01" + b"e",
        lambda: b"cargparse\nNamespace\n)\x81}" + text(choose, "hook") + made + b"sb",
        lambda: b"ccollections\nOrderedDict\n)R" + text(choose, "x") + made + b"s",
        lambda: made + b"Q",
        lambda: b"N0" * choose.randrange(2_000) + made,
        lambda: b"V" + b"A" * choose.randrange(70_000) + b"\n0" + made,
        lambda: b"B" + struct.pack("<I", size := choose.randrange(70_000)) + bytes(size) + b"0" + made,
        lambda: b"\x8c\x04name0" + b"".join(b"N" + b"\x94" for _ in range(50)) + b"0" * 50 + made,
        lambda: choose.choice(ODD_NUMBERS) + b"0" + made,
        lambda: b"\x80" + bytes((choose.randrange(6),)) + made,
        lambda: made + b"\x80" + bytes((choose.randrange(6),)),
        lambda: b"Psome persistent id\n0" + made,
        lambda: b"K\x01Q" + made + b"R",
        lambda: b"\x82\x07" + made + b"R",
        lambda: b"(" * choose.randrange(50) + made,
        lambda: b"\x97" + made,
        lambda: b"\x96" + struct.pack("<Q", 3) + b"abc0" + made,
    ]
    return choose.choice(ways)()


def framed(choose: Random, body: bytes) -> bytes:
    """FRAMEs that fit, that are cut in two, and that lie."""
    cut = choose.randrange(len(body) + 1)

    def frame(length: int) -> bytes:
        return b"\x95" + struct.pack("<Q", max(0, length))

    return choose.choice(
        [
            body,
            body,
            body,
            frame(len(body)) + body,
            frame(cut) + body,
            frame(len(body) + choose.randrange(1, 9)) + body,
            frame(0) + body,
            frame(1 << 62) + body,
            frame(4) + frame(len(body)) + body,
        ]
    )


def ended(choose: Random, body: bytes) -> bytes:
    """STOP, or what comes instead of it or behind it."""
    good = b"\x80\x04}."
    return choose.choice(
        [
            *(body + b".",) * 6,
            body + b"\xff",
            body,
            body + b".." + good,
            body + b"." + good,
            body + b".\n\n" + b"x" * choose.randrange(200),
            good + body + b".",
            good + good + b"\x80\x02" + body + b".",
            good + b"\0" * choose.randrange(200) + b"\x80\x04" + body + b".",
            body + b"h\xff.",
            body + b"X\xff\xff\xff\x7f",
        ]
    )


def pickle_of(choose: Random, value: Called) -> bytes:
    """A whole stream in which the call is made."""
    body = spelled(choose, indirect(choose, value))
    for _ in range(choose.choice((0, 1, 1, 2, 3))):
        body = around(choose, body)
    start = choose.choice([b"", *(b"\x80" + bytes((protocol,)) for protocol in (0, 1, 2, 3, 4, 5))])
    return start + ended(choose, framed(choose, body))
