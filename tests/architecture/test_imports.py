"""The import table of the design: arrows point inward."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import pytest

from tests.architecture.source import Import, Source, imports, sources


@dataclass(frozen=True, slots=True)
class Row:
    """What one ring may import: rings or modules of ours, and third-party libraries (by module, if only there)."""

    ours: tuple[str, ...]
    theirs: tuple[str, ...] = ()
    theirs_in: tuple[tuple[str, str], ...] = ()
    """`(module, library)`: a library that one module may import; lazily, unless the row says otherwise."""


BELOW = ("registry", "index", "later")

TABLE = {
    # Below everything: what is known of registries without importing them.
    "registry": Row(()),
    "index": Row(()),
    "later": Row(()),  # patterns that are compiled when they are needed
    "core": Row(("core",), theirs_in=(("core.keys", "cryptography"),)),
    # zstd is what the standard library cannot unpack before Python 3.14; it comes with an extra.
    "formats": Row(("core", "formats", *BELOW), theirs_in=(("formats.unpack_extra", "zstandard"),)),
    # Rules about code look at what `formats.python` reads, those about templates at what `formats.jinja` does; their
    # examples are read by it, as those of pickles by core.
    "rules": Row(
        ("core", "rules", "formats.base", "formats.python", "formats.jinja", *BELOW),
        theirs_in=(("rules.fickling", "fickling"), ("rules.detect_secrets", "detect_secrets")),
    ),
    "allowlists": Row(("core", "allowlists")),
    "trust": Row(
        ("core", "trust"),
        theirs_in=(
            ("trust.signers.certificate", "cryptography"),
            ("trust.signers.keyless", "cryptography"),
            ("trust.signers.keyless", "sigstore"),
            ("trust.signers.keyless", "sigstore_models"),
            ("trust.private_key", "cryptography"),
        ),
    ),
    "sources": Row(
        ("core", "sources", *BELOW),
        theirs_in=(
            ("sources.hub", "huggingface_hub"),
            ("sources.hub_answers", "huggingface_hub"),
            ("sources.hub_wire", "huggingface_hub"),
            ("sources.hashers", "blake3"),
            ("sources.fsspec_ranges", "fsspec"),
        ),
    ),
    # h5py and its numpy: the structure of HDF5 files that somebody asks to convert (docs/decisions/0006). bandit: a
    # second analyser of code, for who asks for it.
    "engine": Row(
        ("core", "formats", "rules", "allowlists", "trust", "sources", "engine", "__version__", *BELOW),
        theirs_in=(
            ("engine.convert.hdf5", "h5py"),
            ("engine.convert.hdf5", "numpy"),
            ("engine.audit.second", "bandit"),
        ),
    ),
    "reporters": Row(
        ("core", "reporters", *BELOW),
        ("rich",),
        (("reporters._bill", "cyclonedx"), ("reporters._bill", "packageurl")),
    ),
    # The demonstration is an adapter with a command of its own, so the command line may start that one adapter.
    # So is what writes skops files: objects are an adapter's business, and a command may ask for them.
    # `safeload run` starts a program under guard.
    "cli": Row(
        ("core", "trust", "engine", "reporters", "cli", "demo", "guarding", "to_skops", "__version__", *BELOW),
        ("rich",),
    ),
    "__main__": Row(("cli",)),
    # The package itself is a table of names; its static twin under TYPE_CHECKING names their homes.
    "": Row(("core", "engine", "guarding")),
}
SHARED = ("adapt", "adapt_after", "adapt_library", "adapt_models", "adapt_submodules")
SENTENCES = ("adapt_sentences", "adapt_sentence_loads")
ADAPTERS = {
    "adapt": Row(("core", "engine", "adapt")),
    "transformers": Row(
        ("core", "engine", "adapt", "adapt_after", "adapt_submodules", "transformers"), ("transformers", "torch")
    ),
    "adapt_library": Row(("core",)),
    "adapt_submodules": Row(("core", "adapt")),
    "adapt_models": Row(("core", "engine", "adapt", "adapt_after", "transformers")),
    # Libraries that stand on transformers: what loads within them is guarded as it is there.
    "adapt_sentences": Row(("engine", "transformers")),
    "adapt_sentence_loads": Row(("core", "engine", "transformers")),
    "adapt_sentence_modules": Row(("core", *SHARED, *SENTENCES)),
    "sentence_transformers": Row(
        ("core", "engine", *SHARED, *SENTENCES, "adapt_sentence_modules", "transformers"), ("sentence_transformers",)
    ),
    "peft": Row(("core", "engine", *SHARED, "transformers"), ("peft",)),
    "accelerate": Row(("core", "engine", *SHARED), ("accelerate",)),
    "diffusers": Row(("core", "engine", *SHARED, "diffusers", "transformers"), ("diffusers",)),
    "timm": Row(("core", "engine", *SHARED), ("timm", "numpy", "safetensors")),
    "huggingface_hub": Row(("core", "engine", *SHARED), ("huggingface_hub",)),
    "demo": Row(("core", "engine", "transformers", "demo"), ("transformers", "torch")),
    # Doors name their counterparts, and find them when somebody comes: no adapter is imported for a guard to be on.
    "guarding": Row(
        ("core", "engine", "adapt", "registry", "guarding"),
        theirs_in=(
            ("guarding.start.sitecustomize", "sitecustomize"),
            ("guarding.pytest_plugin", "pytest"),
            ("guarding.libraries.yaml", "yaml"),
        ),
    ),
    # Adapters of what reads single files make objects of readings, so they know the formats' vocabulary.
    "adapt_numpy": Row(("core", "engine", "formats", "sources"), ("numpy",)),
    "adapt_pickle": Row(
        ("core", "engine", "formats", "rules", "adapt_numpy", "adapt_pandas", "adapt_sklearn"), ("numpy",)
    ),
    "adapt_pandas": Row(("core", "engine", "adapt_pandas"), ("numpy", "pandas")),
    "adapt_sklearn": Row(("core", "engine", "formats", "adapt_numpy", "adapt_sklearn"), ("numpy", "scipy", "sklearn")),
    "numpy": Row(("core", "engine", "formats", "adapt_numpy", "adapt_pickle", "numpy"), ("numpy",)),
    "joblib": Row(("core", "engine", "formats", "adapt_numpy", "adapt_pickle", "joblib"), ("numpy",)),
    "pandas": Row(("core", "engine", "adapt_pickle", "pandas")),
    "to_skops": Row(("core", "engine", "joblib"), ("skops",)),
    "pickle": Row(("core", "engine", "sources", "adapt_pickle", "pickle")),
    "torch": Row(("core", "engine", "formats", "sources", "adapt_numpy", "torch"), ("torch",)),
}
EAGER = {
    "core.keys",
    "trust.private_key",
    "transformers",
    "adapt",
    "adapt_pandas._arrays",
    "adapt_pandas._arrow",
    "adapt_pandas._checks",
    "adapt_pandas._crowds",
    "adapt_pandas._frame",
    "adapt_pandas._index",
    "adapt_pandas._moments",
    "adapt_pandas._sparse",
    "adapt_pandas._table",
    "adapt_sklearn._categories",
    "adapt_sklearn._checks",
    "adapt_sklearn._compiled",
    "adapt_sklearn._random",
    "adapt_sklearn._scipy",
    "adapt_sklearn._sparse_rows",
}
"""Modules that may import their library when they are imported: whoever imports them wants just that."""


def _row(source: Source) -> Row:
    table = TABLE | ADAPTERS
    name = source.module.removeprefix("safeload.") if source.ring else ""
    for ring in (name, source.ring, source.ring.split("_")[0]):
        if ring in table:
            return table[ring]
    raise AssertionError(f"{source.module} is in no row of the import table: is it an adapter?")


def _allowed(source: Source, found: Import) -> str | None:
    """Why an import is wrong, or None."""
    row = _row(source)
    top = found.module.split(".")[0]
    if top == "safeload":
        inner = found.module.removeprefix("safeload").removeprefix(".")
        if inner == "" and "__version__" in row.ours:
            return None
        ok = any(inner == ours or inner.startswith(f"{ours}.") for ours in row.ours)
        return None if ok else f"may not import {found.module}"
    if top in sys.stdlib_module_names:
        return None
    own = source.module.removeprefix("safeload.")
    if top not in row.theirs and (own, top) not in row.theirs_in:
        return f"may not import the library {top}"
    if found.at_top and not found.typing_only and own not in EAGER:
        return f"must import {top} where it is used, not when it is loaded itself"
    return None


@pytest.mark.parametrize("source", sources(), ids=lambda source: source.module)
def test_arrows_point_inward(source: Source) -> None:
    """A file imports only what its row of the design's table names."""
    wrong = [f"{source.at(found.line)}: {why}" for found in imports(source) if (why := _allowed(source, found))]
    assert not wrong, "\n".join(wrong)


def test_every_ring_of_the_design_is_there() -> None:
    """The folders are those that the design names, each a package."""
    rings = {source.ring for source in sources() if source.path.parent.parent.name == "safeload"}
    assert {"core", "formats", "rules", "sources", "engine", "reporters", "cli", "trust"} <= rings


MAY_IMPORT = {
    "__future__",
    "_compat_pickle",  # the table of Python 2 names that the pickle protocol refers to
    "base64",
    "binascii",
    "codecs",
    "collections",
    "dataclasses",
    "enum",
    "functools",
    "hashlib",
    "hmac",
    "itertools",
    "json",
    "math",
    "posixpath",
    "re",
    "string",
    "struct",
    "types",
    "typing",
    "unicodedata",
}
"""The part of the standard library that core may use: none of it does input or output, or asks the clock."""


@pytest.mark.parametrize(
    "source", [source for source in sources() if source.ring == "core"], ids=lambda source: source.module
)
def test_the_core_cannot_act(source: Source) -> None:
    """Core uses only those modules of the standard library that do no input or output and import nothing by name."""
    allowed = MAY_IMPORT | {"safeload"} | ({"cryptography"} if source.module == "safeload.core.keys" else set())
    wrong = [
        f"{source.at(found.line)}: {found.module}"
        for found in imports(source)
        if found.module.split(".")[0] not in allowed
    ]
    assert not wrong, "\n".join(wrong)
