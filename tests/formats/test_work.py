"""What one file may ask of its readers: an account that is overdrawn ends as undecided, and what came before counts."""

from __future__ import annotations

import gzip
import json
import re
import struct
import sys
import tracemalloc
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.hostile import archives
from safeload.core.blob import MemoryBlob
from safeload.core.errors import LimitExceeded
from safeload.core.finding import FileReport, Status
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.engine.inspect import inspect
from safeload.formats import coreml, inside, suspects, wrapped, zip_parts
from safeload.formats.base import Irregularity, Reference
from safeload.formats.jinja import lexer
from safeload.formats.jinja.lexer import tokens
from safeload.formats.protobuf import Field
from safeload.formats.strict_json import parse_json, weight
from tests.corpus.build import Zipped, make_tar, make_zip, payload
from tests.effort import lines
from tests.formats.helpers import of, reading
from tests.generator.written import written


def judged(raw: bytes, name: str) -> FileReport:
    return inspect(MemoryBlob(raw), name, Limits()).report


# ── texts that are packed into few bytes ────────────────────────────────────────────────────────────────────────

LONG = 6 << 20
TEXTS: dict[str, Callable[[], bytes]] = {
    "config.json": lambda: b"[" + b"1," * (LONG // 2) + b"1]",
    "modeling.py": lambda: b"a = b\n" * (LONG // 6),
    "config.yaml": lambda: b"a: b\n" * (LONG // 5),
    "chat_template.jinja": lambda: b"{{ a }}" * (LONG // 7),
    "model.pmml": lambda: b"<PMML>" + b"<a/>" * (LONG // 4) + b"</PMML>",
    "notes.txt": lambda: b"the quick brown fox " * (LONG // 20),
    "model.safetensors": lambda: struct.pack("<Q", LONG) + b"{" + b" " * (LONG - 2) + b"}",
    "model.gguf": lambda: (
        b"GGUF\3\0\0\0"
        + struct.pack("<QQ", 0, 40)
        + b"".join(
            struct.pack("<Q", 2) + b"%02d" % n + struct.pack("<IQ", 8, LONG // 40) + b"a" * (LONG // 40)
            for n in range(40)
        )
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_that_is_packed_into_few_bytes_is_not_parsed(name: str) -> None:
    """A few kilobytes may unpack to any text, of which parsing takes a second for a megabyte and JSON twenty times the
    memory. It is undecided before it is in memory, and says so."""
    raw = gzip.compress(TEXTS[name](), 1, mtime=0)
    assert len(raw) < 200_000
    result = reading(raw, f"{name}.gz")
    assert isinstance(result.fault, inside.Overdrawn) and "8 times its size" in result.fault.why
    assert judged(raw, f"{name}.gz").status is Status.UNDECIDED


@pytest.mark.parametrize("unit", [b"[],", b"{},", b'{"a":1},', b"[[]],", b'{"":{}},'])
def test_a_document_that_would_take_far_more_memory_than_its_file_is_not_parsed(unit: bytes) -> None:
    """Four kilobytes unpack to four megabytes of empty lists, which take Python 120: undecided, and it says so."""
    text = b"[" + unit * ((4 << 20) // len(unit) - 8) + b"1]"
    raw = gzip.compress(text, mtime=0)
    tracemalloc.start()
    result = reading(raw, "config.json.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(result.fault, inside.Overdrawn) and "memory" in result.fault.why
    assert peak < 60 << 20
    assert judged(raw, "config.json.gz").status is Status.UNDECIDED


def test_packed_tokenizers_are_parsed() -> None:
    """They are the heaviest that there are: hundreds of thousands of entries and pairs, each on a line of its own."""
    random = Random(3)
    words = ["\u0120" + "".join(random.choices("etaoinshrdlucmfwypvbgkqjxz", k=6)) for _ in range(120_000)]
    vocab = {word: number for number, word in enumerate(words)}
    tokenizer = {"model": {"vocab": vocab, "merges": [[word[:2], word[2:]] for word in words]}}
    text = json.dumps(tokenizer, ensure_ascii=False, indent=2).encode()
    raw = gzip.compress(text, mtime=0)
    assert len(text) > 5 * len(raw)
    assert reading(raw, "tokenizer.json.gz").fault is None


@given(
    st.recursive(
        st.integers() | st.text(max_size=9) | st.floats(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=9), inner),
    )
)
def test_the_weight_of_a_document_is_no_less_than_what_its_objects_take(value: object) -> None:
    """Numbers, texts, lists and tables together, as Python says how large each is; a third of them may be missed."""
    document = parse_json(json.dumps(value).encode(), Location("x"), Limits())
    sizes, stack = 0, [document.data]
    while stack:
        one = stack.pop()
        sizes += sys.getsizeof(one)
        stack += [*one, *one.values()] if isinstance(one, dict) else one if isinstance(one, list) else []
    assert weight(json.dumps(value).encode()) * 1.5 + 300 >= sizes


def test_a_call_before_such_a_text_is_dangerous_and_one_behind_it_is_not_safe() -> None:
    """What the account leaves out makes nothing better."""
    bomb = (f"{number}/config.json" for number in range(3))
    texts = [(name, b"[" + b"1," * (1 << 20) + b"1]") for name in bomb]
    for members, least in (
        ([("model.pkl", payload()), *texts], Status.DANGEROUS),
        ([*texts, ("model.pkl", payload())], Status.UNDECIDED),
    ):
        raw = gzip.compress(make_tar(members), 1, mtime=0)
        assert judged(raw, "model.tar.gz").status >= least


def test_honest_texts_are_not_touched_by_it() -> None:
    """What is not packed may be read by each of its readers, and packed text has a fifth of its size or more."""
    text = b"{" + b",".join(b'"token %d": %d' % (number, number * 7919 % 100_003) for number in range(200_000)) + b"}"
    for raw, name in ((text, "vocab.json"), (gzip.compress(text, mtime=0), "vocab.json.gz")):
        assert reading(raw, name).fault is None


# ── members, keys and constants that are many ───────────────────────────────────────────────────────────────────


def test_members_behind_a_spent_account_are_not_even_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Local headers of thirty bytes make thirty thousand members of a megabyte."""
    [case] = [case for case in archives.cases() if case.name == "zip local headers"]
    opened = 0

    def counting(*args: Any, **options: Any) -> Any:
        nonlocal opened
        opened += 1
        return original(*args, **options)

    original = zip_parts.open_member
    monkeypatch.setattr(zip_parts, "open_member", counting)
    assert judged(case.make(100_000), "m.zip").status is Status.UNDECIDED
    members = 100_000 // 30  # each is opened once to see how it begins
    assert members < opened < members + 1_000 + 100_000 // 256 + 10


def test_a_pickle_behind_very_many_members_is_dangerous_all_the_same() -> None:
    """What is spent are files to look into; the pickles of an archive have accounts of their own."""
    raw = make_zip([*(Zipped(f"{number}.txt", b"x") for number in range(1_500)), Zipped("model.pkl", payload())])
    assert judged(raw, "m.zip").status is Status.DANGEROUS


def test_packed_constants_count_as_several_files() -> None:
    """Each is opened as an archive would be; a call in one before the account is spent is dangerous."""
    noise = b"".join(written(gzip.compress(b"%d" % number, mtime=0)) for number in range(1_500))
    acting = written(gzip.compress(payload(), mtime=0))
    assert judged(b"\x80\x04(" + noise + b"t.", "m.pkl").status is Status.UNDECIDED
    assert judged(b"\x80\x04(" + noise + acting + b"t.", "m.pkl").status >= Status.UNDECIDED
    assert judged(b"\x80\x04(" + acting + b"t.", "m.pkl").status is Status.DANGEROUS
    assert wrapped._OPENED > 1


def test_keys_of_gguf_that_stand_twice_are_told_a_hundred_times() -> None:
    """A hundred thousand of them are no more findings, and keys are counted by what they cost."""
    key = struct.pack("<Q", 1) + b"a" + struct.pack("<IB", 0, 1)
    raw = b"GGUF\3\0\0\0" + struct.pack("<QQ", 0, 300) + key * 300
    assert len([part for part in of(reading(raw, "m.gguf"), Irregularity) if part.kind == "gguf-duplicate-key"]) == 100
    many = b"GGUF\3\0\0\0" + struct.pack("<QQ", 0, 110_000) + key * 110_000
    assert isinstance(reading(gzip.compress(many, mtime=0), "m.gguf.gz").fault, LimitExceeded)


@pytest.mark.parametrize("number", [200, 201, 202, 300, 500, 502, 556])
def test_nothing_is_looked_for_in_empty_models_of_core_ml(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte has three hundred thousand of them."""
    looked = 0

    def counting(self: coreml._Model, field: Field, *path: int) -> Any:
        nonlocal looked
        looked += 1
        return original(self, field, *path)

    original = coreml._Model.inside
    monkeypatch.setattr(coreml._Model, "inside", counting)
    tag = bytes(((number << 3 | 2) & 0x7F | 0x80, (number << 3 | 2) >> 7))
    judged(b"\x08\x01\x12\x00" + (tag + b"\0") * 300, "m.mlmodel")
    assert looked == 0
    judged(b"\x08\x01\x12\x00" + b"\xc2\x0c\x02\x0a\x00" * 3, "m.mlmodel")
    assert looked == 3


# ── what stands behind very many other things ───────────────────────────────────────────────────────────────────

MANY = 30_000
FILLED: dict[str, tuple[str, bytes, bytes, bytes, bytes]] = {
    "YAML tags": ("config.yaml", b"", b"- !a b\n", b"- !!python/object/apply:os.system [id]\n", b""),
    "YAML values": ("config.yaml", b"", b"_target_: a.b\n", b"_target_: os.system\n", b""),
    "lines": ("notes.txt", b"", b"a = os.b\n", b"z: os.system\n", b""),
    "empty lines": ("notes.txt", b"os.a\n", b"eval\n" * 5, b"z: os.system\n", b""),
    "settings": ("notes.txt", b"", b"_target_: torch.nn.Linear\n", b"_target_: os.system\n", b""),
    "comments of requirements": ("requirements.txt", b"", b"# http://a.b\n", b"git+https://a.b/c\n", b""),
    "cells": (
        *("a.ipynb", b'{"nbformat":4,"cells":[', b'{"cell_type":"markdown","source":""},'),
        *(b'{"cell_type":"code","source":"import os\\nos.system(1)"},', b"{}]}"),
    ),
    "links": ("m.pmml", b"<PMML>", b'<?xml-stylesheet href="http://a/b"?>', b"<script>a</script>", b"</PMML>"),
}


@pytest.mark.parametrize("kind", FILLED)
def test_nothing_is_passed_over_in_silence(kind: str) -> None:
    """What is alike is told once and costs no budget; where there is too much that differs, the file is undecided."""
    name, before, unit, last, after = FILLED[kind]
    alone = judged(before + last + after, name).status
    assert alone is not Status.SAFE
    assert judged(before + unit * (MANY // (1 + len(unit) // 40)) + last + after, name).status is not Status.SAFE


@pytest.mark.parametrize(
    ("name", "unit"),
    [("a.yaml", "- !a%d b\n"), ("a.yaml", "_target_: a.b%d\n"), ("a.txt", "os.a%d\n"), ("a.txt", "_target_: a.b%d\n")],
)
def test_too_many_different_things_are_undecided(name: str, unit: str) -> None:
    """They are more than anybody writes, and what stands behind them is not looked at."""
    raw = "".join(unit % number for number in range(21_000)).encode()
    assert isinstance(reading(raw, name).fault, inside.Overdrawn)
    assert judged(raw, name).status >= Status.UNDECIDED


def test_a_long_comment_of_addresses_is_gone_through_once() -> None:
    """A list of requirements may be one line."""
    for times in (500, 2_000):
        raw = b"#" + b" http://a.b" * times + b"\ngit+https://a.b/c\n"
        assert [part.target for part in of(reading(raw, "requirements.txt"), Reference)] == ["git+https://a.b/c"]
    few, more = (
        lines(lambda times=times: judged(b"#" + b" http://a.b" * times, "requirements.txt")) for times in (500, 2_000)
    )
    assert more < 4 * few


@pytest.mark.parametrize("unit", ["{#%}", "{% raw %}\n", "{# {% raw %}"])
def test_what_ends_no_comment_is_looked_for_once(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four times as many beginnings of comments, or of raw text, take four times the searching, not sixteen times."""

    class Counting(str):
        searched = 0

        def find(self, *args: Any) -> int:
            Counting.searched += 1
            return str.find(self, *args)

    class Ends:
        searched = 0

        def search(self, text: str, at: int) -> None:
            Ends.searched += 1

    monkeypatch.setattr(lexer, "_END_RAW", Ends())
    list(tokens(Counting(unit * 500), text=True))
    assert Counting.searched <= 1 and Ends.searched <= 1 and Counting.searched + Ends.searched > 0


# ── the first look at texts ─────────────────────────────────────────────────────────────────────────────────────

_SPELLED = re.compile(
    r"(?<![A-Za-z0-9+/_-])(?:gA[A-X]|e[AFJN]|H4sI|Qlp|/Td6|UEsD|KLUv|BCJN|Y[123]|K[CFGH]|4w|Yw|Z0F|80(?=0[0-5])|63(?=[5-7])"
    r"|28(?=[4-7])|1[fF]8[bB]08|78(?:9[cC]|[dD][aA])|504[bB]0304)[A-Za-z0-9+/_-]{20}"
)
_GATES = "os|posix|nt|subprocess|builtins|__builtin__|importlib|pty|runpy|ctypes|pickle|marshal|_posixsubprocess"
_NAMED = re.compile(
    rf"(?<![\w.])(?:{_GATES})[.:/][A-Za-z_]|__import__|\w\.(?:so|dll|dylib|pyd)[\"']?(?:\s*$|[\s/>])", re.MULTILINE
)
PIECES = [
    "os",
    "nt",
    ".",
    ":",
    "/",
    "x",
    "_",
    "é",
    " ",
    "\n",
    ".so",
    ".pyd",
    '"',
    "posix",
    "__import__",
    "gAX",
    "80",
    "05",
]
PIECES += ["a" * 9, "B" * 12, "-", "+", "Y1", "63", "5", "builtins", "\t", "\x85", "__builtin__"]


@given(st.lists(st.sampled_from(PIECES), max_size=9).map("".join))
def test_the_quick_search_finds_what_the_plain_one_would(text: str) -> None:
    """The patterns are written so that `re` passes quickly over what cannot be meant; these say what they mean."""
    assert suspects._spells(text) is (_SPELLED.search(text) is not None)
    assert suspects._names(text) is (_NAMED.search(text) is not None)
