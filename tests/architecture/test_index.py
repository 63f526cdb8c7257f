"""The index of formats, rules and allowlists: it repeats what the files say, and can only save work."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import safeload.formats
import safeload.rules
from safeload import index
from safeload.core.blob import MemoryBlob
from safeload.core.names import Location
from safeload.engine import allowlists
from safeload.formats.base import Claims
from safeload.registry import modules
from tests.architecture.source import ROOT
from tools.index import TARGET, text


def test_the_index_is_what_the_files_say() -> None:
    """The committed index is the one that the files make. If not: `python -m tools.index`."""
    assert TARGET.read_text(encoding="utf-8") == text()


def test_every_module_of_a_registry_is_found(tmp_path: Path) -> None:
    """Files and packages count; private ones, other files and folders that are no packages do not."""
    for name in ("one.py", "_two.py", "three.toml", "__init__.py"):
        (tmp_path / name).write_text("")
    for name in ("four", "five", "__pycache__"):
        (tmp_path / name).mkdir()
    (tmp_path / "four" / "__init__.py").write_text("")
    (tmp_path / "one.py").write_text("1")
    assert modules([str(tmp_path)]) == {"four": 0, "one": 1}


def test_a_package_that_is_no_directory_is_listed_by_its_loader() -> None:
    """Where the folder cannot be listed, the import system says what is there."""
    assert modules(["/nowhere/at/all"]) == {}


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_format_and_a_rule_that_the_index_does_not_name_are_asked() -> None:
    """Without an index, or with one of other files, everything is imported, and the reports are the same."""
    scan = """
        import pathlib, tempfile
        from safeload import index
        {change}
        from safeload.core.blob import MemoryBlob
        from safeload.core.limits import Limits
        from safeload.engine.inspect import inspect
        for data in (b"cos\\nsystem\\n(S'true'\\ntR.", b"GGUF", b"import os", b"{{}}", b""):
            print(inspect(MemoryBlob(data), "model.bin", Limits()).report)
    """
    whole = run(scan.format(change="pass"))
    assert whole.count("FileReport") == 5
    changes = ["index.FORMATS.clear()", "index.RULES.clear()", "index.ALLOWLISTS.clear()"]
    for table in ("FORMATS", "RULES"):
        changes.append(f"index.{table} |= {{name: (0, ()) for name in index.{table}}}")
    for change in changes:
        assert run(scan.format(change=change)) == whole


def test_an_entry_without_a_file_does_not_count() -> None:
    """What the index names and the folder does not have is neither imported nor missed."""
    code = """
        from safeload import index
        index.FORMATS["gone"] = (-1, (("gone", (".bin",), False, None),))
        index.RULES["gone"] = (-1, ("safeload.formats.base.Part",))
        from safeload import formats, rules
        print(any(format.name == "gone" for format in formats.formats()), len(rules.all_rules()) > 10)
    """
    assert run(code).split() == ["False", "True"]


def test_an_edited_allowlist_is_read_from_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a file is not the one that the index was made from, the file counts."""
    monkeypatch.setattr(allowlists, "ALLOWLISTS", {**index.ALLOWLISTS, "torch.toml": (0, ())})
    read = allowlists.default_allowlist.__wrapped__()
    assert type(read).__name__ == "Allowlist"
    monkeypatch.undo()
    indexed = allowlists.default_allowlist.__wrapped__()
    assert type(indexed).__name__ == "_Indexed"
    assert set(indexed) == set(read) and len(indexed) == len(read)
    for entry in read:
        assert entry.name in indexed and indexed.get(entry.name) == entry
    assert indexed.get(type(entry.name)("os", "system")) is None


BEGINNINGS = st.sampled_from(
    [
        b"PK\x03\x04",
        b"\x80\x02",
        b"\x80\x04",
        b"GGUF",
        b"\x93NUMPY",
        b"{",
        b" {",
        b"\x1f\x8b\x08",
        b"\x89HDF\r\n\x1a\n",
        b"\x08\x07\x12",
        b"\n\x05",
        b"<html",
        b"version https://git-lfs",
        b"\x7fELF",
        b"MZ",
        b"\x00" * 16,
        b"",
        b"\xde\x00",
        b"\x81\xa1a",
        b"import ",
        b"{{ x }}",
        b"x\x9c",
        b"BZh9",
        b"(dp0",
        b"c",
        b"I",
        b"L",
        b"\x8a",
        b'10000000{"a"',
    ]
)
NAMES = st.sampled_from(["model.bin", "a.pb", "config.json", "x.py", "t.jinja", "f.msgpack", "m.onnx", "s.model", "x"])


@given(BEGINNINGS, st.binary(max_size=64), st.sampled_from([b"", b"PK\x05\x06" + bytes(18), b"}"]), NAMES)
def test_no_sniffer_says_yes_where_its_claims_say_no(begin: bytes, middle: bytes, end: bytes, name: str) -> None:
    """A format's claims are what its sniffer needs in any case: asking them first loses no file."""
    data = begin + middle + end
    for format in safeload.formats.formats():
        if format.claims is not None and not format.claims.allow(data, data, name):
            assert not format.sniff(data, data, len(data), name), format.name


@given(st.binary(max_size=40), NAMES)
def test_claims_say_yes_only_where_something_is_shown(data: bytes, name: str) -> None:
    """Empty claims allow nothing; each kind of claim allows what it names."""
    assert not Claims().allow(data, data, name)
    assert Claims(begins=(data[:4],)).allow(data, data, name)
    assert Claims(at=((3, data[3:5]),)).allow(data, b"", name) or len(data) < 3
    assert Claims(holds=(data[10:20],)).allow(b"", data, name)
    assert Claims(named=(name[-2:].lower(),)).allow(data, data, name)
    assert Claims(empty=True).allow(data, data, name) is (not data)
    assert Claims(first=data[:1]).allow(data, data, name) is bool(data)


def test_a_scan_imports_only_what_a_file_can_be() -> None:
    """Of formats and rules, a configuration needs a few; a module that cannot matter is not loaded."""
    code = """
        import sys
        from safeload.core.blob import MemoryBlob
        from safeload.core.limits import Limits
        from safeload.engine.inspect import inspect
        inspect(MemoryBlob(b'{"model_type": "bert"}'), "config.json", Limits())
        print(*sorted(name for name in sys.modules if name.startswith(("safeload.formats.", "safeload.rules."))))
    """
    loaded = set(run(code).split())
    absent = {"formats.flax", "formats.gguf", "formats.npy", "formats.zip_parts", "formats.safetensors", "rules.study"}
    assert "safeload.formats.json_config" in loaded
    assert not loaded & {f"safeload.{name}" for name in absent}


def test_identify_gives_what_all_sniffers_together_give() -> None:
    """With the index and without it, a file has the same formats in the same order."""
    files = [(b"GGUF" + bytes(40), "x.gguf"), (b"\x80\x02}q\x00.", "a.pkl"), (b"{}", "config.json"), (b"", "x.bin")]
    for data, name in files:
        claimed = [f for f in safeload.formats.formats() if not f.fallback and f.sniff(data, data, len(data), name)]
        assert list(safeload.formats.identify(MemoryBlob(data), name)) == claimed
        assert safeload.formats.read(MemoryBlob(data), Location(name)).formats == tuple(f.name for f in claimed)
