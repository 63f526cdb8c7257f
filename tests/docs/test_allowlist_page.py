"""docs/allowlists.md lists what is in the folder."""

from __future__ import annotations

import re

from safeload.core.names import GlobalName
from safeload.engine.allowlists import default_allowlist
from tests.docs.allowlist_page import PAGE, page


def test_the_table_is_what_the_files_say() -> None:
    """Libraries, versions and counts. If not: `python -m tests.docs.allowlist_page`."""
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text


def test_what_is_left_out_is_not_listed() -> None:
    """No name of the second table is on an allowlist."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition("## Left out on purpose")
    names = re.findall(r"`([\w.]+\.\w+)`", rest.partition("## To propose")[0])
    assert len(names) >= 8
    assert [name for name in names if GlobalName(*name.rsplit(".", 1)) in default_allowlist()] == []
