"""The page with the code of a model: readable without a script, beside the older version, and hostile text inert."""

from __future__ import annotations

import io
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.core.names import Location
from safeload.reporters._code import CodeFile, CodePage, highlighted, write_page

HOSTILE = "</style><script>alert(1)</script><img src=x onerror='alert(1)'>\" ' & \u202e\u200b\x1b]0;x\x07"
TAGS = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "main",
        "h1",
        "h2",
        "dl",
        "dt",
        "dd",
        "ol",
        "ul",
        "li",
        "a",
        "b",
    ),
    *("code", "small", "div", "i", "span", "p", "details", "summary"),
}
VOID = {"meta"}


class Page(HTMLParser):
    """Collects tags, attributes and text, and checks that what is opened is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def finding(message: str, line: int, name: str = "m.py") -> Finding:
    return Finding(
        rule="code-process",
        status=Status.UNVERIFIED,
        severity=Severity.HIGH,
        confidence=Confidence.CERTAIN,
        location=Location(name, None, None, f"line {line}"),
        message=message,
        remedy="",
    )


def rendered(*files: CodeFile, beside: str = "", title: str = "The code of x") -> str:
    stream = io.StringIO()
    write_page(CodePage(title=title, facts=(("code", title),), files=files, beside=beside), stream)
    return stream.getvalue()


def test_hostile_text_is_text(tmp_path: object) -> None:
    """Names, sources, messages and titles that are markup stay words; what is not shown is spelled."""
    source = f"# {HOSTILE}\nx = '''{HOSTILE}'''\n{HOSTILE}\n".encode()
    file = CodeFile(name=HOSTILE, source=source, old=source[5:], findings=(finding(HOSTILE, 1, HOSTILE),))
    text = rendered(file, beside=HOSTILE, title=HOSTILE)
    page = Page(text)
    assert set(page.tags) <= TAGS and "script" not in page.tags
    assert page.attributes <= {"lang", "charset", "http-equiv", "content", "name", "class", "id", "href"}
    assert not {"\u202e", "\u200b", "\x1b", "\x07"} & set(text)
    assert page.open == []


def test_the_page_allows_itself_nothing_but_its_style() -> None:
    """No script, no network, no form; the style by its digest."""
    text = rendered(CodeFile(name="m.py", source=b"x = 1\n"))
    assert "default-src 'none'; style-src 'sha256-" in text
    assert "script" not in text.partition("</style>")[2]
    assert "http" not in text.partition("</style>")[2]


def test_code_is_highlighted_and_findings_stand_at_their_line() -> None:
    """Keywords, strings, comments and numbers; each finding is below its line and linked from the list."""
    text = rendered(CodeFile(name="m.py", source=b"import os\nos.system('x')  # y\n", findings=(finding("starts", 2),)))
    for piece in (
        "<span class='k'>import</span>",
        "<span class='s'>&#x27;x&#x27;</span>",
        "<span class='c'># y</span>",
    ):
        assert piece in text
    assert "href='#f0l2'" in text and "id='f0l2'" in text
    assert text.index("id='f0l2'") < text.index("<p class='said high'>")


def test_the_older_version_stands_beside_it() -> None:
    """What was changed, added and removed is marked; long runs that are the same are folded away."""
    old = "".join(f"a{i} = {i}\n" for i in range(100))
    new = old.replace("a5 = 5\n", "a5 = 'five'\n") + "b = 1\n"
    text = rendered(CodeFile(name="m.py", source=new.encode(), old=old.encode()), beside="org/model 1234")
    assert "org/model 1234" in text
    assert "row changed" in text and "<details><summary>" in text
    assert "row gone" in rendered(CodeFile(name="m.py", source=b"", old=b"x\ny\n"), beside="old")


def test_a_finding_is_never_folded_away() -> None:
    """Lines that are the same as before are shown if something was found in them."""
    source = "".join(f"a{i} = {i}\n" for i in range(100)).encode()
    found = (finding("here", 50),)
    assert "<details>" not in rendered(CodeFile(name="m.py", source=source, old=source, findings=found), beside="old")


@pytest.mark.parametrize(
    "source", [b"def broken(:\n  '''", b"\xff\xfe\x00", b"x" * 10_000, b"\t\tx\r\ny\rz", b"  a\n b\n", b""]
)
def test_what_is_no_python_is_shown_all_the_same(source: bytes) -> None:
    """Every line is there, plain where the tokenizer gives up."""
    assert Page(rendered(CodeFile(name="m.py", source=source))).open == []


@given(st.text(alphabet="ab'\"#\\\n\t {}()f<&=1\u202e", max_size=80))
def test_highlighting_keeps_every_character(text: str) -> None:
    """What the lines say, without their markup, is the source."""
    shown = "\n".join(Page(f"<code>{line}</code>").text for line in highlighted(text.encode()))
    assert shown == text.replace("\t", "    ").replace("\u202e", "\\u202e")
