"""The table is for people: complete, short, and deaf to what files are called."""

from __future__ import annotations

import io
import unicodedata

import pytest

from safeload.core.errors import SourceError
from safeload.core.finding import Report
from safeload.reporters import find, names
from safeload.reporters.terminal import MANY, size
from tests.reporters.reports import EVIL, EVIL_NAMES, file, report


def written(*reports: Report, errors: tuple[SourceError, ...] = ()) -> str:
    out = io.StringIO()
    find("terminal").write(reports, errors, out)
    return out.getvalue()


def test_every_file_and_finding_is_named() -> None:
    """Each file has a row; each finding says where, what, and what comes next."""
    text = written(EVIL)
    for word in ("org/model", "model.safetensors", "evil.bin", "calls os.system", "@ 17", "pickle-dangerous-call"):
        assert word in text
    assert "next: safeload scan model" in text
    assert text.rstrip().endswith("2 files: 1 dangerous, 1 safe")


def test_hostile_names_do_not_reach_the_terminal() -> None:
    """No control, bidirectional or invisible character of a name is printed; markup stays text."""
    text = written(EVIL_NAMES)
    assert all(unicodedata.category(character) not in ("Cc", "Cf") for character in text.replace("\n", ""))
    assert "[red]x[/red]" in text
    assert ":skull:" in text


def test_no_colour_where_there_is_no_terminal() -> None:
    """A file or pipe gets plain text."""
    assert "\x1b" not in written(EVIL)


def test_a_long_name_is_folded_not_cut() -> None:
    """All of a name can be read, however long it is."""
    name = "x" * 290 + "END"
    assert "END" in written(report(file(name)))


def test_many_safe_files_are_counted() -> None:
    """A large directory shows what matters and says how many files it left out."""
    files = [file(f"shard-{index}.safetensors") for index in range(MANY + 1)]
    text = written(report(*files, *EVIL.files))
    assert "evil.bin" in text
    assert f"… and {MANY + 2} safe files" in text
    assert "shard-3." not in text


def test_a_file_that_the_load_leaves_out_is_marked() -> None:
    """A reader sees at once that the dangerous file is not the one that is loaded."""
    assert "safe (left out)" in written(report(file("a", used=False)))


def test_an_error_of_one_target_is_part_of_the_report() -> None:
    """What could not be looked at is said, next to what could."""
    assert "not found" in written(EVIL, errors=(SourceError("'y' was not found"),))


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (1_000, "1 kB"), (1_500_000, "1.5 MB"), (999_600, "1 MB"), (10**15, "1e+03 TB")],
)
def test_sizes_are_short(number: int, text: str) -> None:
    """Three digits and a unit."""
    assert size(number) == text


def test_the_folder_is_the_list_of_outputs() -> None:
    """Each file of the folder is an output of that name, and there is no other list."""
    assert {"terminal", "json"} <= set(names())
    for name in names():
        assert find(name).name == name
