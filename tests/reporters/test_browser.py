"""The page in a real browser, where there is one: it filters, and nothing in it runs but its own script."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from safeload.core.finding import Status
from safeload.engine.scanning.baseline import fingerprint
from safeload.engine.scanning.rulebook import cards
from safeload.reporters.base import About
from tests.reporters.hostile import BREAKOUTS, Scanned
from tests.reporters.reports import EVIL, file, finding, report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")


def shown(page: Path, profile: Path) -> str:
    """The document after its scripts ran."""
    command = [
        *(str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
        *(f"--user-data-dir={profile}", "--virtual-time-budget=2000", "--dump-dom", page.as_uri()),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def test_the_page_filters_and_runs_nothing_foreign(tmp_path: Path) -> None:
    """Its script counts the files; a script that stood in a name, or was put into the page, does not run."""
    hostile = report(*(file(f"{index}{text}", finding("x", message=text)) for index, text in enumerate(BREAKOUTS)))
    scan = Scanned(reports=(EVIL, hostile), errors=(), about=About(rules=cards(), fingerprint=fingerprint, all=True))
    text = scan.written("html")
    page = tmp_path / "report.html"
    page.write_text(text)
    dom = shown(page, tmp_path / "profile")
    count = len(BREAKOUTS) + 2
    assert f"{count} of {count} files" in dom
    assert re.search(r"<title>safeload scan</title>", dom)
    # Even markup that got into the page could not act: the policy names the one script that may run.
    slipped = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    page.write_text(text.replace("</main>", f"{slipped}</main>"))
    assert "<title>safeload scan</title>" in shown(page, tmp_path / "profile")


PROBE = """
const said = [];
const say = () => said.push(shown.textContent + " " + document.querySelectorAll(".file:not([hidden])").length);
form.elements.text.value = "  EVIL.bin ";
form.dispatchEvent(new Event("input"));
say();
form.elements.text.value = "";
form.querySelector("input[value=safe]").checked = false;
form.dispatchEvent(new Event("input"));
say();
const folded = document.querySelector("details:not([open])");
document.getElementById("expand").click();
said.push(folded.open);
document.getElementById("expand").click();
said.push(folded.open);
document.title = said.join("; ");
"""


def test_files_are_filtered_and_unfolded(tmp_path: Path) -> None:
    """Text and statuses hide what does not fit, whatever the case; the button opens all, then closes all."""
    unverified = file("a.pkl", finding("a.pkl", status=Status.UNVERIFIED, message="names x"))
    scan = Scanned(reports=(EVIL, report(unverified)), errors=(), about=About(rules=cards(), fingerprint=fingerprint))
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", scan.written("html"))  # to let the probe in
    page = tmp_path / "report.html"
    page.write_text(text.replace("</body>", f"<script>{PROBE}</script></body>"))
    dom = shown(page, tmp_path / "profile")
    title = re.search(r"<title>(.*)</title>", dom)
    assert title and title[1] == "1 of 3 files 1; 2 of 3 files 2; true; false"
