"""Scripts for shells and other interpreters: told by `#!` or by their names, and not read."""

from __future__ import annotations

from collections.abc import Iterator

from safeload.core.blob import Blob
from safeload.core.limits import Limits
from safeload.core.names import Location
from safeload.formats.base import Claims, Code, Format, Part
from safeload.formats.inside import called
from safeload.formats.plain_text import is_text

_LANGUAGES = {
    **dict.fromkeys((".sh", ".bash", ".zsh", ".fish", ".ksh", ".csh", ".command"), "shell"),
    **dict.fromkeys((".bat", ".cmd"), "batch"),
    **dict.fromkeys((".ps1", ".psm1"), "PowerShell"),
    **dict.fromkeys((".js", ".mjs", ".cjs", ".ts", ".jsx", ".vbs", ".wsf", ".hta"), "script"),
    **dict.fromkeys((".rb", ".pl", ".php", ".lua", ".jl", ".r", ".java", ".scala", ".groovy"), "script"),
    **dict.fromkeys((".c", ".cc", ".cpp", ".cu", ".cuh", ".h", ".hpp", ".rs", ".go", ".m", ".mm", ".metal"), "source"),
    **dict.fromkeys((".ptx", ".cl", ".glsl", ".hlsl", ".wgsl", ".comp"), "source"),
}
_SUFFIXES = tuple(_LANGUAGES)
_OTHERS = (
    *(".py", ".pyi", ".pyw", ".pyx", ".yaml", ".yml", ".json", ".ipynb", ".jinja", ".jinja2", ".j2", ".md", ".txt"),
    *(".in", ".pmml", ".xml", ".html"),
)
"""Names of formats for which a first line with `#!` is a comment, or nothing."""
_MARKS = (b"#!", b"\xef\xbb\xbf#!")
_LIKE_JSON = (b"{", b"[")
_MOST = 1 << 20


def _language(head: bytes, name: str) -> str | None:
    lower = name.lower()
    if lower.endswith(_OTHERS) or (head.lstrip().startswith(_LIKE_JSON) and not lower.endswith(".js")):
        return None
    if head.startswith(_MARKS):
        line = head[:200].partition(b"\n")[0]
        return "python" if b"python" in line else "shell" if b"sh" in line else "script"
    return next((language for suffix, language in _LANGUAGES.items() if lower.endswith(suffix)), None)


def _read(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    head = blob.read_at(0, 256)
    yield Code(
        location=location,
        language=_language(head, called(location)) or "script",
        source=blob.read_at(0, min(blob.size, _MOST)),
    )


FORMAT = Format(
    name="script",
    title="a script",
    suffixes=_SUFFIXES,
    sniff=lambda head, tail, size, name: is_text(head, size) and _language(head, name) is not None,
    read=_read,
    claims=Claims(begins=_MARKS, named=_SUFFIXES),
)
