"""Everything else in a model's directory: named for what it is, and by content."""

from __future__ import annotations

import py_compile
import struct
from pathlib import Path

import pytest

from safeload.core.blob import MemoryBlob
from safeload.core.errors import LimitExceeded, MalformedInput
from safeload.core.finding import Status
from safeload.core.limits import Limits
from safeload.engine.inspect import inspect
from safeload.formats.base import Code, Member, Opaque, TensorTable, Text
from tests.corpus.build import gguf, make_tar, payload, torch_tar
from tests.formats.helpers import kinds, of, reading, runs_system, value_of


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "git-lfs-pointer"),
        (b"<!DOCTYPE html><html>", "html-page"),
        (b"\n\n<HTML><head><title>404</title>", "html-page"),
        (b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>', "html-page"),
        (b"", "empty"),
        (bytes(4096), "zeros"),
    ],
)
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "tokenizer.json", "x.gguf"])
def test_stand_ins_are_named(raw: bytes, what: str, name: str) -> None:
    """A file that only stands in for the real one says so, whatever it is called."""
    result = reading(raw, name)
    assert result.formats == ("stand-in",)
    assert [part.what for part in of(result, Opaque)] == [what] and of(result, Opaque)[0].detail
    assert not kinds(result)


@pytest.mark.parametrize("name", ["__init__.py", "README.md", ".gitkeep"])
def test_some_files_may_be_empty(name: str) -> None:
    """An empty module or note is no failed download."""
    assert reading(b"", name).formats != ("stand-in",)


@pytest.mark.parametrize("name", ["chat_template.jinja", "additional_chat_templates/tools.jinja"])
def test_templates_are_text_that_steers(name: str) -> None:
    """Chat templates have their own role."""
    assert of(reading(b"{{ messages }}", name), Text)[0].role == "chat-template"


def test_vocabularies_and_prose_have_different_roles() -> None:
    """Rules look at text by its role."""
    assert of(reading(b"[UNK]\nhello\n", "vocab.txt"), Text)[0].role == "vocabulary"
    assert of(reading(b"# Model\n", "README.md"), Text)[0].role == "prose"


def test_python_is_code() -> None:
    """Source keeps its bytes, whatever encoding they have."""
    assert of(reading(b"import os\n", "modeling.py"), Code)[0].source == b"import os\n"
    assert of(reading("x = 'é'".encode("latin-1"), "modeling.py"), Code)[0].language == "python"


def test_bytecode_is_code_under_any_name(tmp_path: Path) -> None:
    """A compiled module is recognised by its first bytes."""
    source = tmp_path / "m.py"
    source.write_text("x = 1")
    compiled = Path(py_compile.compile(str(source), cfile=str(tmp_path / "m.pyc")) or "")
    for name in ("m.pyc", "weights.bin"):
        assert of(reading(compiled.read_bytes(), name), Code)[0].language == "bytecode"


@pytest.mark.parametrize("head", [b"\x7fELF\x02\x01\x01", b"\xcf\xfa\xed\xfe\x07", b"\0asm\x01\0\0\0", b"!<arch>\nx"])
def test_native_programs_are_code(head: bytes) -> None:
    """Libraries and executables of every system are recognised."""
    assert of(reading(head + bytes(64) + b"\x01", "kernel.bin"), Code)[0].language == "native"


@pytest.mark.parametrize(
    ("raw", "name", "format"),
    [
        (b"\x89PNG\r\n\x1a\n" + b"\x01" * 16, "logo.png", "image"),
        (b"PAR1" + b"\x80" * 16, "data.parquet", "parquet"),
    ],
)
def test_known_formats_are_named_and_not_looked_into(raw: bytes, name: str, format: str) -> None:
    """What is recognised and not read is opaque under its own name."""
    result = reading(raw, name)
    assert result.formats == (format,) and of(result, Opaque)


def test_sentencepiece_models_are_data() -> None:
    """A protocol buffer of pieces is recognised by its form."""

    def piece(text: bytes) -> bytes:
        inner = b"\x0a" + bytes((len(text),)) + text + b"\x15" + struct.pack("<f", 0.0) + b"\x18\x02"
        return b"\x0a" + bytes((len(inner),)) + inner

    raw = b"".join(map(piece, (b"<unk>", b"<s>", b"</s>", "▁a".encode()))) + b"\x12\x03\x0a\x01x"
    result = reading(raw, "spiece.model")
    assert result.formats == ("sentencepiece",) and not kinds(result)


def test_unknown_bytes_are_unknown() -> None:
    """The last resort says that nobody knows the format."""
    assert of(reading(b"\x00\x01\x02\xff" * 9, "x.bin"), Opaque)[0].what == "unknown"


def test_gguf_gives_its_template_and_its_plain_tensors() -> None:
    """Values, templates and tensor positions are read; quantised tensors are listed by type."""
    result = reading(gguf("{{ evil }}"), "m.gguf")
    table = of(result, TensorTable)[0]
    assert result.fault is None and of(result, Text)[0].text == "{{ evil }}"
    assert value_of(table.tensors["plain"]).shape == (2, 2) and table.metadata == {"packed": "Q4_0"}


@pytest.mark.parametrize("cut", range(4, 260, 16))
def test_a_truncated_gguf_is_refused(cut: int) -> None:
    """Wherever it ends early, it is an error with an offset."""
    raw = gguf()
    assert isinstance(reading(raw[:-cut], "m.gguf").fault, MalformedInput)


def test_a_gguf_that_claims_too_much_is_refused() -> None:
    """Counts are checked before anything of that size is read."""
    huge = struct.pack("<IQQ", 3, 1 << 60, 0)
    assert isinstance(reading(b"GGUF" + huge, "m.gguf").fault, LimitExceeded)
    array = struct.pack("<IQQQ", 3, 0, 1, 1) + b"k" + struct.pack("<IIQ", 9, 4, 1 << 62)
    assert isinstance(reading(b"GGUF" + array, "m.gguf").fault, MalformedInput)
    nested = struct.pack("<IQQQ", 3, 0, 1, 1) + b"k" + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 20_000
    assert isinstance(reading(b"GGUF" + nested, "m.gguf").fault, LimitExceeded)


def test_a_key_that_stands_twice_in_gguf_is_two_readings() -> None:
    """Equal keys are reported."""
    pair = struct.pack("<Q", 1) + b"k" + struct.pack("<II", 4, 1)
    assert "gguf-duplicate-key" in kinds(reading(b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + pair * 2, "m.gguf"))


def test_pickles_in_any_tar_are_read() -> None:
    """Members are told by content; others are listed."""
    result = reading(make_tar([("a/x.bin", payload()), ("b.txt", b"hello")]), "x.tar")
    assert runs_system(result) and [part.name for part in of(result, Member, read=True)] == ["a/x.bin", "b.txt"]


@pytest.mark.parametrize("member", ["sys_info", "pickle", "tensors", "storages"])
def test_a_call_in_any_member_of_torchs_tar_is_seen(member: str) -> None:
    """torch unpickles four members; each is read."""
    names = ("sys_info", "pickle", "tensors", "storages")
    raw = make_tar([(name, payload() if name == member else b"\x80\x02K\x00.") for name in names])
    assert runs_system(reading(raw, "old.pt"))


def test_equal_names_in_a_tar_are_two_readings() -> None:
    """Some readers take the first member of a name, some the last; both are read."""
    result = reading(make_tar([("pickle", b"\x80\x02N."), ("pickle", payload())]), "old.pt")
    assert "tar-duplicate-name" in kinds(result) and runs_system(result)


def test_a_tar_that_goes_on_after_its_end_is_reported() -> None:
    """What follows the end mark is no padding."""
    assert "trailing-data" in kinds(reading(torch_tar([1.0, 2.0]) + bytes(512) + payload(), "old.pt"))


@pytest.mark.parametrize("cut", [600, 2000, 5000, 11_000])
def test_a_truncated_tar_is_undecided(cut: int) -> None:
    """A tar cut anywhere in its members is refused with a place."""
    raw = torch_tar([float(value) for value in range(2000)])
    end = len(raw.rstrip(b"\0"))
    assert isinstance(reading(raw[: max(600, end - cut)], "old.pt").fault, MalformedInput)


def test_a_tensor_table_of_a_tar_is_checked() -> None:
    """A tensor of the oldest format must lie in its storage."""
    raw = torch_tar([1.0, 2.0, 3.0, 4.0])
    at = raw.index(struct.pack("<iIqqqq", 2, 0, 2, 2, 2, 1)) + 8
    result = reading(raw[:at] + struct.pack("<q", 9) + raw[at + 8 :], "old.pt")
    assert result.fault is not None and "outside of its storage" in result.fault.why


def test_long_text_is_not_kept() -> None:
    """Nobody reads a vocabulary of megabytes: it is named and left where it is."""
    result = reading(b"word\n" * 4_000_000, "vocab.txt")
    assert [part.what for part in of(result, Opaque)] == ["text"] and not of(result, Text)


def test_long_source_is_a_limit() -> None:
    """Source is read whole, within the limit on text."""
    assert isinstance(reading(b"x = 1\n" * 100, "m.py", Limits(text_bytes=100)).fault, LimitExceeded)


def test_a_vocabulary_may_hold_any_character() -> None:
    """Control characters are words of real vocabularies; NUL is not, and elsewhere they make a file unknown."""
    assert of(reading(b"[UNK]\n\x0b\n\x01\n\x1f\n", "vocab.txt"), Text)[0].role == "vocabulary"
    assert not of(reading(b"[UNK]\n\x00\n", "vocab.txt"), Text)
    assert not of(reading(b"some words\x01\x02\n", "notes"), Text)


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"Rar!\x1a\x07\x00" + bytes(60), "rar"),
        (b"Rar!\x1a\x07\x01\x00" + bytes(60), "rar"),
        (b"PK\x07\x08PK\x03\x04" + bytes(60), "split-zip"),
        (b"\4\0\0\0\1\0\0\0\3\0\0\0V 1\x0d\0\0\0nn.Sequential", "torch7"),
        (b"\x12\x01" + bytes(40), "mxnet"),
        (b"B\0C\0N\0\0\0" + bytes(40), "cntk"),
    ],
    ids=["rar4", "rar5", "split", "torch7", "mxnet", "cntk"],
)
def test_what_is_only_recognised_is_undecided(raw: bytes, name: str) -> None:
    """Formats that nobody here reads are called by their names, and never safe; alone and in an archive."""
    assert reading(raw, "model.bin").formats == (name,)
    assert inspect(MemoryBlob(raw), "model.bin", Limits()).report.status is Status.UNDECIDED
    packed = make_tar([("model.bin", raw)])
    assert inspect(MemoryBlob(packed), "model.tar", Limits()).report.status is Status.UNDECIDED
