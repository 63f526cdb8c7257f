"""The code changes files."""

from __future__ import annotations

from collections.abc import Iterable

from safeload.core.finding import Confidence, Severity, Status
from safeload.formats.base import Part
from safeload.formats.python.facts import Facts, Kind, Use
from safeload.rules.base import Rule
from safeload.rules.code_use import checking, example, reaches, words

_NAMES = words(
    """
    os.remove os.unlink os.rename os.renames os.replace os.rmdir os.removedirs os.mkdir os.makedirs os.chmod
    os.chown os.symlink os.link os.truncate os.open os.write os.mkfifo os.mknod os.utime shutil tempfile
    zipfile.ZipFile.extractall tarfile.open torch.save numpy.save numpy.savez numpy.savetxt joblib.dump pickle.dump
    safetensors.torch.save_file fileinput mmap.mmap logging.FileHandler logging.handlers sqlite3.connect dbm shelve
    readline.write_history_file io.FileIO os.fdopen torch.from_file torch.UntypedStorage.from_file
    """
)
_METHODS = words(
    """
    write_text write_bytes unlink rmdir mkdir touch symlink_to hardlink_to chmod extractall to_csv to_pickle to_parquet
    to_feather to_hdf to_excel tofile save_file write_text savetxt savez
    """
)


def _chosen(use: Use) -> bool:
    if use.name.endswith(("Path().rename", "Path().replace", "numpy.memmap")):
        return use.kind is Kind.CALL and (not use.name.endswith("memmap") or _mapped(use))
    return reaches(use, _NAMES, _METHODS) or (_opens(use) and writes(use))


def _mapped(use: Use) -> bool:
    """Whether a file is mapped so that it can be written to, as `numpy.memmap` does by itself."""
    mode = use.keywords.get("mode", use.arguments[2] if len(use.arguments) > 2 else "r+")
    return mode not in ("r", "c")


def _opens(use: Use) -> bool:
    return use.kind is Kind.CALL and (
        use.name in OPENERS
        or (use.name.endswith("Path().open") or (use.name.startswith("?") and use.name.endswith(".open")))
    )


def writes(use: Use) -> bool:
    """Whether the mode of an `open` says so, or is not known."""
    position = 0 if use.name.endswith(".open") and use.name not in OPENERS else 1
    given = use.arguments[position : position + 1]
    mode = use.keywords["mode"] if "mode" in use.keywords else given[0] if given else "r"
    return not isinstance(mode, str) or bool(set(mode) & set("wax+"))


OPENERS = frozenset(
    {"builtins.open", "io.open", "codecs.open", "gzip.open", "bz2.open", "lzma.open", "zipfile.ZipFile"}
)


def _bad() -> Iterable[Part]:
    yield example('open("x", "w").write("1")\n')
    yield example('from pathlib import Path\nPath("x").write_text("1")\n')


def _good() -> Iterable[Part]:
    yield example('text = open("x").read()\n')


RULE = Rule(
    id="code-file-write",
    title="the code changes files",
    why=(
        "What code writes outlives the process that loaded the model. The check knows the functions of the "
        "standard library, `open` with a mode that writes, and the writers of torch, numpy and their like."
    ),
    status=Status.UNVERIFIED,
    severity=Severity.MEDIUM,
    confidence=Confidence.LIKELY,
    remedy="read the line; approve the code only if you know why it does that",
    taxonomy=(
        "CWE-73",
        "AML.T0011.000",
    ),
    check=checking(_chosen, "changes files"),
    bad=_bad,
    good=_good,
    looks_at=(Facts,),
)
