"""The contract of safeload with a library, at the oldest and the newest version that it supports.

    python -m tools.contract sentence-transformers oldest
    python -m tools.contract peft 0.19.0
    python -m tools.contract science oldest

Puts that one version (of `science`: those of all libraries that arrays go through) over the packages of this
interpreter, in a virtual environment below `build/contract`, and runs every test of what safeload does with it;
programs that the tests start have that version as well. What the library itself needs stays as it is installed,
unless its own metadata says that it cannot work with that: then what it asks for lies in the environment, too.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "contract"
_WARNINGS = ("UserWarning", "FutureWarning", "DeprecationWarning")
_KEPT = {"torch"}
"""What is never exchanged: gigabytes, and not what is tested here."""


@dataclass(frozen=True, slots=True)
class Contract:
    """One library."""

    tests: tuple[str, ...]
    """Files and folders below `tests`."""
    module: str = ""
    """Our adapter, if there is one; it says the oldest version as well."""
    beside: tuple[str, ...] = ()
    """Packages that the library needs without saying so, or that `make test` does not have."""
    extras: tuple[str, ...] = ()
    """Extras of the library whose packages `make test` has: they must be in a version that it takes."""
    together: tuple[str, ...] = ()
    """Not one library: all of these at once, each at its oldest or its newest version."""


_GUARD = ("guarding/test_libraries.py", "guarding/test_adapters.py")
CONTRACTS = {
    "transformers": Contract(
        (
            *("adapters", "guarding", "audit/test_capabilities.py"),
            *("engine/audit/test_approved_loads.py", "engine/test_approved_code.py", "engine/test_rewrite.py"),
        ),
        extras=("kernels",),
    ),
    "sentence-transformers": Contract(
        (
            *("adapters/test_sentence_transformers.py", "adapters/test_sentence_modules.py"),
            *("adapters/test_approved_parts.py", "adapters/test_facades.py", "guarding/test_class_methods.py"),
            *("adapters/test_kernels.py", *_GUARD),
        ),
        "safeload.sentence_transformers",
    ),
    "peft": Contract(
        (
            *("adapters/test_peft.py", "adapters/test_hub.py", "adapters/test_late.py", "adapters/test_pipelines.py"),
            *("adapters/test_diffusers.py", "adapters/test_modular.py", *_GUARD),
        ),
        "safeload.peft",
    ),
    "accelerate": Contract(("adapters/test_accelerate.py", "adapters/test_loading.py", *_GUARD), "safeload.accelerate"),
    "timm": Contract(
        ("adapters/test_timm.py", "adapters/test_late.py", "guarding/test_keras_and_timm.py", _GUARD[0]),
        "safeload.timm",
        ("torchvision",),
    ),
    "diffusers": Contract(
        (
            *("adapters/test_diffusers.py", "adapters/test_approved_parts.py", "adapters/test_custom_pipelines.py"),
            *("adapters/test_modular.py", "adapters/test_kernels.py"),
            *("guarding/test_diffusers_code.py", _GUARD[0]),
        ),
        "safeload.diffusers._surface",
    ),
    "huggingface_hub": Contract(
        (
            *("adapters/test_huggingface_hub.py", "adapters/test_hub.py", "adapters/test_code_revision.py"),
            *("adapters/test_kernels.py", "sources", "engine/test_scan_remote.py", *_GUARD),
        ),
        "safeload.huggingface_hub",
    ),
    "kernels": Contract(
        ("adapters/test_kernels.py", "adapters/test_kernel_builds.py", "sources/test_kernel_repositories.py", _GUARD[0])
    ),
    "keras": Contract(
        (
            *("guarding/test_keras_and_timm.py", "formats/test_keras.py", "formats/test_hdf5.py"),
            *("engine/test_convert_hdf5.py", _GUARD[0]),
        )
    ),
    "scikit-learn": Contract(("doors", "guarding/test_programs.py", "guarding/test_attacks.py", _GUARD[0])),
    "joblib": Contract(("doors", "guarding/test_attacks.py", "guarding/test_programs.py", _GUARD[0])),
    "skops": Contract(("doors/test_skops.py",)),
    "numpy": Contract(("doors", "engine/test_convert_arrays.py", "allowlists", _GUARD[0])),
    "pandas": Contract(("doors", "allowlists", "guarding/test_guard.py", _GUARD[0])),
    "h5py": Contract(("formats/test_keras.py", "formats/test_hdf5.py", "engine/test_convert_hdf5.py")),
    "safetensors": Contract(("engine", "formats", "adapters/test_loading.py")),
    # What a machine has that nobody upgraded: compiled libraries of one time, that were made for each other.
    "science": Contract(
        (
            *("doors", "allowlists", "formats", "engine/test_convert_arrays.py", "engine/test_convert_hdf5.py"),
            *("guarding/test_keras_and_timm.py", "guarding/test_attacks.py", "guarding/test_guard.py", _GUARD[0]),
        ),
        together=(
            *("numpy", "scipy", "pandas", "scikit-learn", "joblib", "skops", "h5py", "keras"),
            *("cloudpickle", "dill", "lz4", "zstandard"),
        ),
    ),
}


def declared() -> dict[str, Requirement]:
    """What pyproject asks for, by name: our extras, else what the tests need."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    groups = [extras["dev"], *(extras[name] for name in extras if name != "dev"), project["dependencies"]]
    found = (Requirement(text) for group in groups for text in group)
    return {canonicalize_name(each.name): each for each in found if each.name != "safeload"}


def oldest_of(library: str) -> str:
    """The lower bound that pyproject declares, as a release: `5.1` is `5.1.0`."""
    requirement = declared()[canonicalize_name(library)]
    (bound,) = (each.version for each in requirement.specifier if each.operator == ">=")
    return bound + ".0" * (2 - bound.count("."))


def wanted(library: str, asked: str) -> str:
    """What to install: the oldest release, the newest that we allow, or what was asked for."""
    if asked == "newest":
        return str(declared()[canonicalize_name(library)])
    return f"{library}=={oldest_of(library) if asked == 'oldest' else asked}"


def unmet(folder: Path, library: str) -> Iterator[Requirement]:
    """What the packages in a folder ask for, and neither the folder nor this interpreter has."""
    here: dict[str, metadata.Distribution]
    here = {canonicalize_name(each.name): each for each in metadata.distributions(path=[str(folder)])}
    for name, distribution in here.items():
        extras = ("", *(CONTRACTS[library].extras if name == canonicalize_name(library) else ()))
        for requirement in map(Requirement, distribution.requires or ()):
            marker, needed = requirement.marker, canonicalize_name(requirement.name)
            if needed in _KEPT or (marker and not any(marker.evaluate({"extra": extra}) for extra in extras)):
                continue
            version = _version(needed, here)
            if version is None or not requirement.specifier.contains(version, prereleases=True):
                yield requirement


def _version(name: str, here: Mapping[str, metadata.Distribution]) -> str | None:
    try:
        return here[name].version if name in here else metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def is_optional(requirement: Requirement) -> bool:
    """Whether only an extra asks for it. A library may do so before that release is out."""
    return requirement.marker is not None and "extra" in str(requirement.marker)


def environment(folder: Path) -> tuple[Path, Path]:
    """An environment with nothing of its own, over the packages of this interpreter: its interpreter, its packages.

    Not PYTHONPATH: a program that a test starts may have another one, or heed none.
    """
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, symlinks=True)
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))
    behind = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    lines = [f"import site; site.addsitedir({path!r})\n" for path in behind]
    (packages / "behind.pth").write_text("".join(lines), encoding="utf-8")
    return folder / "bin" / "python", packages


def install(folder: Path, library: str, asked: str) -> None:
    """Fill a folder: the library, what it needs beside it, and so on until nothing is unmet."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--target", str(folder)]
    texts = [wanted(each, asked) for each in CONTRACTS[library].together or (library,)]
    missing: set[str] = set()
    for _ in range(10):
        sys.stderr.write(f"{', '.join(texts)}\n")
        subprocess.run([*pip, *texts], check=True)
        found = {f"{each.name}{each.specifier}": each for each in unmet(folder, library)}
        for text in sorted(text for text, each in found.items() if is_optional(each) and text not in missing):
            if subprocess.run([*pip, text], check=False).returncode:
                sys.stderr.write(f"nobody has {text} yet: left as it is\n")
                missing.add(text)
        texts = sorted({f"{each.name}{each.specifier}" for each in unmet(folder, library)} - missing)
        if not texts:
            return
    raise SystemExit(f"{folder}: the requirements do not come to an end: {texts}")


def install_beside(python: Path, library: str) -> None:
    """Install what the library does not ask for, in the release that works with the packages that are kept."""
    texts = [each for each in CONTRACTS[library].beside if _version(each, {}) is None]
    kept = [f"{each}=={metadata.version(each)}" for each in sorted(_KEPT)]
    if texts:
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *texts, *kept], check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("library", choices=CONTRACTS)
    parser.add_argument("version", help="oldest, newest, or a version")
    parser.add_argument("rest", nargs="*", metavar="OPTION", help="options of pytest, after --")
    parsed = parser.parse_args()
    python, packages = environment(BUILD / f"{parsed.library}-{parsed.version}")
    install(packages, parsed.library, parsed.version)
    install_beside(python, parsed.library)
    # Versions of other days warn about each other.
    quiet = [option for kind in _WARNINGS for option in ("-W", f"ignore::{kind}")]
    tests = [f"tests/{name}" for name in CONTRACTS[parsed.library].tests]
    test = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *quiet, *tests]
    sys.stderr.write(f"{' '.join(test[1:])}\n")
    return subprocess.run([*test, *parsed.rest], cwd=ROOT).returncode


if __name__ == "__main__":
    raise SystemExit(main())
