"""What is found in a file stays found, whatever happens afterwards."""

from __future__ import annotations

import pytest

from safeload.core.blob import MemoryBlob
from safeload.core.errors import SourceError
from safeload.core.finding import Status
from safeload.core.limits import Limits
from safeload.engine.scanning.looked import look
from tests.corpus.build import payload


class Failing(MemoryBlob):
    """A file that can be read in places, and not to its end."""

    def sha256(self) -> str:
        raise SourceError("a file could not be read", why="Input/output error", remedy="look at the disk")


@pytest.mark.parametrize(("raw", "worst"), [(payload(), Status.DANGEROUS), (b"\x80\x02}.", Status.UNDECIDED)])
def test_a_digest_that_fails_takes_no_finding_away(raw: bytes, worst: Status) -> None:
    """The file is at least undecided, and what it would do is still in the report."""
    without = look(Failing(raw), "model.pkl", Limits(), shown="model.pkl")
    report = look(Failing(raw), "model.pkl", Limits(), shown="model.pkl", digests=Status.SAFE)
    assert report.status is worst and report.sha256 is None
    assert report.findings[:-1] == without.findings
    assert report.findings[-1].rule == "file-unreadable" and "Input/output error" in report.findings[-1].message
