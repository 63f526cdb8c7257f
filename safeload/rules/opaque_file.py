"""Nobody here can read the file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.formats.base import Opaque, Part
from safeload.rules import samples
from safeload.rules.base import Context, Rule
from safeload.rules.not_the_file import STANDINS
from safeload.rules.program import PROGRAMS

MEDIA = frozenset(
    {"image", "media", "pdf", "font", "sentencepiece", "npy", "text", "hdf5-data", "tf-checkpoint", "coreml-weights"}
    | {"paddle-parameters", "xgboost", "lightgbm", "catboost", "r-data"}
)
"""`Opaque.what` of content that was recognised, and that no loader of models executes."""


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if not isinstance(part, Opaque) or part.what in MEDIA or part.what in STANDINS or part.what in PROGRAMS:
        return
    if part.what == "part":
        message = "its name says that it is one part of several, and only the whole can be judged"
        yield rule.finding(part.location, message, remedy="join the parts, and scan what comes of it")
        return
    what = "its content is of no format that safeload knows" if part.what == "unknown" else f"it is {part.what}"
    yield rule.finding(part.location, f"{what}, so nobody can say what loading it would do")


def _bad() -> Iterable[Part]:
    yield samples.opaque("unknown", "weights.dat")
    yield samples.opaque("part", "model.zip.001")
    yield samples.opaque("a-thing-nobody-thought-of")


def _good() -> Iterable[Part]:
    yield samples.opaque("image", "logo.png")
    yield samples.opaque("git-lfs-pointer")


RULE = Rule(
    id="opaque-file",
    title="the format of the file is unknown",
    why=(
        "A file that cannot be read cannot be called safe. safeload hands no such file to a library; a scan says that "
        "it is undecided. Text, pictures and other media are recognised and do not count."
    ),
    status=Status.UNDECIDED,
    severity=Severity.LOW,
    confidence=Confidence.CERTAIN,
    remedy="safeload leaves it out of what it admits; for weights, ask for a safetensors version",
    taxonomy=("CWE-829",),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Opaque,),
)
