"""Names, digests and started processes: what `safeload.engine.approved` promises without any library."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.core.digest import sha256, tree_digest
from safeload.core.errors import VerificationFailed
from safeload.engine import approved
from safeload.engine.audit.closure import Closure, CodeFile, Entry
from safeload.sources.store import Store

PARTS = st.sampled_from(["a", "b", "__init__", "a.b", "", "..", "a--b", "import", "é", "A"])
PATHS = st.lists(PARTS, min_size=1, max_size=3).map(lambda parts: "/".join(parts) + ".py")
NAMES = st.tuples(st.sampled_from(["", "org/one--", "org/two--", "x--"]), PATHS).map("".join)


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test begins like a new process."""
    monkeypatch.setattr(approved, "_modules", {})
    monkeypatch.setattr(approved, "_made", set())
    monkeypatch.delenv(approved.ENVIRONMENT, raising=False)
    for name in [name for name in sys.modules if name.startswith(approved.PACKAGE)]:
        monkeypatch.delitem(sys.modules, name)


def closure_of(sources: dict[str, bytes], entry: str = "m.C", file: str = "m.py") -> tuple[Closure, str]:
    files = tuple(
        CodeFile(name=name, source=source, sha256=sha256(source), facts=None) for name, source in sources.items()
    )
    found = Closure(
        entries=(Entry(why="config.json", target=entry, file=file),), files=files, missing=(), repositories=()
    )
    return found, found.digest


def ready(sources: dict[str, bytes]) -> approved.ApprovedCode:
    closure, digest = closure_of(sources)
    return approved.approve(closure, digest, reference="model", store=Store(None))


@given(st.sets(NAMES, max_size=6))
def test_files_that_can_run_have_modules_of_their_own(names: set[str]) -> None:
    """Whatever the names: either one is refused, or no two files share a module."""
    if not dict(approved.unusable([*names])):
        modules = approved._module_names("p", dict.fromkeys(names, b""))
        assert len(set(modules.values())) == len(names)


@given(st.dictionaries(NAMES, st.binary(max_size=3), min_size=1, max_size=4), NAMES, st.binary(max_size=3))
def test_another_byte_or_name_is_another_package(sources: dict[str, bytes], name: str, source: bytes) -> None:
    """The package is named by all names and all contents."""
    other = {**sources, name: source}
    digests = [tree_digest({key: sha256(value) for key, value in one.items()}) for one in (sources, other)]
    assert (approved._package(digests[0]) == approved._package(digests[1])) == (sources == other)


def test_another_digest_is_refused() -> None:
    """What an approval names is compared with what was read."""
    closure, _ = closure_of({"m.py": b"class C: pass"})
    _, other = closure_of({"m.py": b"class D: pass"})
    with pytest.raises(VerificationFailed, match="its digest differs"):
        approved.approve(closure, other, reference="model", store=Store(None))


def test_names_that_cannot_be_modules_are_refused() -> None:
    """Also if somebody approved them."""
    closure, digest = closure_of({"m.py": b"", "a.b.py": b""})
    with pytest.raises(VerificationFailed, match="holds a dot"):
        approved.approve(closure, digest, reference="model", store=Store(None))


def test_code_runs_once_and_is_found_by_its_digest() -> None:
    """Modules, packages and relative imports are those that Python would give."""
    package = {"p/__init__.py": b"from .q import x", "p/q.py": b"x = 3"}
    code = ready({"m.py": b"from .p import x\nclass C: value = x", **package})
    made = code.load("", "m.py", "C")
    assert made.value == 3 and made.__module__ == f"{code.package}.r0.m"
    assert code.load("", "m.py", "C") is made
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(f"{code.package}.r0.q")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(f"{approved.PACKAGE}.c{'0' * 64}.r0.m")


def test_a_package_that_is_told_to_look_elsewhere_imports_nothing_from_there(tmp_path: Path) -> None:
    """Code that changes where its package is looked for does not get what lies there, also if it catches the error."""
    (tmp_path / "evil.py").write_text("RAN = True\n")
    looks = f"__path__.append({str(tmp_path)!r})\n".encode()
    code = ready({"p/__init__.py": looks, "m.py": b"from . import p\nfrom .p import evil\nclass C: pass\n"})
    with pytest.raises(VerificationFailed, match="told to look elsewhere"):
        code.load("", "m.py", "C")
    assert f"{code.package}.r0.p.evil" not in sys.modules


def test_a_star_imports_what_the_package_names_from_the_approved_bytes() -> None:
    """The modules of `__all__` are found like all others; what is not part of the code is not there."""
    package = {"p/__init__.py": b"__all__ = ['inner']\n", "p/inner.py": b"A = 1\n"}
    code = ready({**package, "m.py": b"from .p import *\nclass C:\n    a = inner.A\n"})
    assert code.load("", "m.py", "C").a == 1
    code = ready({"p/__init__.py": b"__all__ = ['inner']\n", "m.py": b"from .p import *\nclass C: pass\n"})
    with pytest.raises(AttributeError):
        code.load("", "m.py", "C")


def test_what_a_module_raises_comes_out_and_it_can_be_tried_again() -> None:
    """Nothing of a failed import is kept."""
    code = ready({"m.py": b"raise ZeroDivisionError"})
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            code.load("", "m.py", "C")


def test_the_readable_copy_is_only_for_its_owner() -> None:
    """Directories 0700, files 0400."""
    code = ready({"m.py": b"class C: pass"})
    path = Path(sys.modules[code.load("", "m.py", "C").__module__].__file__ or "")
    assert path.stat().st_mode & 0o777 == 0o400
    assert path.parent.stat().st_mode & 0o077 == 0


INDEXES = st.one_of(
    st.binary(max_size=40),
    st.recursive(st.none() | st.text(max_size=4) | st.integers(), lambda inner: st.lists(inner, max_size=3)).map(
        lambda value: json.dumps(value).encode()
    ),
    st.dictionaries(
        st.sampled_from(["package", "files"]),
        st.one_of(st.just("PACKAGE"), st.none(), st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=2)),
    ).map(lambda value: json.dumps(value).encode()),
)


@given(INDEXES)
def test_a_directory_that_is_none_of_ours_gives_nothing(tmp_path_factory: pytest.TempPathFactory, index: bytes) -> None:
    """Whatever lies where the environment points: the import fails as one of a module that is not there."""
    package = f"{approved.PACKAGE}.c{'1' * 64}"
    folder = tmp_path_factory.mktemp("foreign")
    (folder / "code.json").write_bytes(index.replace(b"PACKAGE", package.encode()))
    (folder / "m.py").write_bytes(b"raise SystemExit")
    before = os.environ.get(approved.ENVIRONMENT)
    os.environ[approved.ENVIRONMENT] = f"{folder}{os.pathsep}/nowhere{os.pathsep}"
    try:
        approved.inherit()
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(f"{package}.r0.m")
    finally:
        os.environ.pop(approved.ENVIRONMENT)
        if before is not None:
            os.environ[approved.ENVIRONMENT] = before


def test_a_directory_that_says_another_name_gives_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of the package is compared with what was read, and not believed."""
    package = f"{approved.PACKAGE}.c{'2' * 64}"
    (tmp_path / "code.json").write_text(json.dumps({"package": package, "files": {"m.py": "m.py"}}))
    (tmp_path / "m.py").write_text("raise SystemExit")
    monkeypatch.setenv(approved.ENVIRONMENT, str(tmp_path))
    approved.inherit()
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(f"{package}.r0.m")
