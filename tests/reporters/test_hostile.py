"""No text of a model gets out of its place in any output."""

from __future__ import annotations

import html.parser
import json
import re
import unicodedata
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given, settings
from markdown_it import MarkdownIt

from safeload.core.names import escape
from safeload.reporters import names
from safeload.reporters.html import _ours, policy
from tests.reporters.hostile import Scanned, scans

DATA = ("json", "sarif", "cyclonedx", "codequality")


def test_every_output_is_tried() -> None:
    """A new output has to be named here, and thereby thought about."""
    assert set(names()) == {*DATA, "terminal", "html", "markdown", "junit", "github"}


@pytest.mark.parametrize("name", names())
@settings(max_examples=30)
@given(scan=scans())
def test_nothing_invisible_is_written(name: str, scan: Scanned) -> None:
    """No output holds a control, bidirectional or other invisible character but the line end, nor a lone surrogate."""
    text = scan.written(name)
    text.encode("utf-8")
    assert not {unicodedata.category(character) for character in text.replace("\n", "")} & {
        "Cc",
        "Cf",
        "Cs",
        "Co",
        "Zl",
    }


@pytest.mark.parametrize("name", DATA)
@settings(max_examples=30)
@given(scan=scans())
def test_data_is_ascii_and_parses(name: str, scan: Scanned) -> None:
    """What programs read is one JSON document in ASCII."""
    text = scan.written(name)
    assert text.isascii() and json.loads(text) is not None


@given(scan=scans())
def test_a_message_in_sarif_has_no_link_and_no_placeholder(scan: Scanned) -> None:
    """Brackets are escaped, and braces around a number are doubled."""
    run = json.loads(scan.written("sarif"))["runs"][0]
    said = [result["message"]["text"] for result in run["results"]]
    said += [each["message"]["text"] for each in run["invocations"][0].get("toolExecutionNotifications", [])]
    for text in said:
        plain = text.replace("\\\\", "")
        assert not re.search(r"(?<!\\)[\[\]]", plain)
        assert not re.search(r"(?<!\{)\{\d+\}", plain)


TAGS = {
    *("html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "h3", "p", "div", "b", "ul", "ol", "li"),
    *("form", "input", "label", "button", "span", "details", "summary", "code", "pre", "script"),
}
ATTRIBUTES = {
    *("lang", "charset", "http-equiv", "content", "name", "class", "id", "hidden", "type", "value", "checked"),
    *("placeholder", "aria-label", "autocomplete", "role", "data-status", "open"),
}


class Page(html.parser.HTMLParser):
    """The tags, attributes and scripts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.within: list[str] = []
        self.text = ""
        self.code: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "input"):
            self.within.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.within.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.within and self.within[-1] in ("script", "style"):
            self.code.append(data)
        else:
            self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError("a comment")


@given(scan=scans())
def test_a_page_holds_only_our_markup(scan: Scanned) -> None:
    """Every tag and attribute is one of ours, tags are balanced, and the only code is the style and the script."""
    page = Page(scan.written("html"))
    assert page.within == []
    assert set(page.tags) <= TAGS and {name for name, _ in page.attributes} <= ATTRIBUTES
    assert page.code == [_ours("report.css"), _ours("report.js")]
    for report in scan.reports:
        for finding in report.findings:
            assert escape(finding.message, 4_000) in page.text


def test_a_page_may_do_nothing_but_show_itself() -> None:
    """Its own policy forbids every source but one style and one script, by digest."""
    said = policy()
    assert said.startswith("default-src 'none'; ") and said.count("'sha256-") == 2
    assert "unsafe" not in said and "http" not in said


@given(scan=scans())
def test_markdown_shows_foreign_text_as_code_alone(scan: Scanned) -> None:
    """No link, image, HTML or heading comes from a text of a model."""
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    text = scan.written("markdown")
    headings = 0
    for token in parser.parse(text):
        assert token.type != "html_block"
        headings += token.type == "heading_open"
        for inner in token.children or ():
            assert inner.type in (
                "text",
                "code_inline",
                "strong_open",
                "strong_close",
                "em_open",
                "em_close",
                "softbreak",
            )
            if inner.type == "text":
                assert "owned" not in inner.content and "evil" not in inner.content
    files = sum(bool(file.findings) for report in scan.reports for file in report.files)
    assert headings == 1 + len(scan.reports) + files + len(scan.errors) + bool(scan.about.notes)


@given(scan=scans())
def test_junit_is_xml_with_our_elements(scan: Scanned) -> None:
    """It parses, and every element is one of JUnit's."""
    top = ElementTree.fromstring(scan.written("junit"))
    assert {element.tag for element in top.iter()} <= {
        *("testsuites", "testsuite", "testcase", "failure", "error", "skipped")
    }
    assert len(top.findall("./testsuite/testcase")) == sum(len(report.files) for report in scan.reports) + len(
        scan.errors
    )


@given(scan=scans())
def test_each_annotation_is_one_command(scan: Scanned) -> None:
    """As many lines as there is to say, each a command of ours."""
    lines = scan.written("github").splitlines()
    assert len(lines) == scan.findings + len(scan.errors) + len(scan.about.notes) + 1
    for line in lines:
        assert re.fullmatch(r"::(error|warning|notice) (file=[^:,]*,)?title=[^:,]*::.*", line)
