"""The pickle would make far more of a few bytes than it holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.formats.base import Part, PickleStream
from safeload.rules import samples
from safeload.rules.base import Context, Rule
from safeload.rules.deeds import every
from safeload.rules.study import AMOUNT


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    yield from every(rule, part, context, AMOUNT)


_MANY = b"\x8a\x06\x00\x10\xa5\xd4\xe8\x00"
"""A million millions."""


def _bad() -> Iterable[Part]:
    yield samples.pickled(samples.call("builtins", "bytearray", _MANY))
    yield samples.pickled(samples.call("torch", "FloatTensor", _MANY))
    yield samples.pickled(samples.call("builtins", "list", samples.call("builtins", "range", _MANY)[2:-1]))
    yield samples.pickled(samples.call("fractions", "Fraction", samples.text("1e999999999")))


def _good() -> Iterable[Part]:
    yield samples.pickled(samples.call("builtins", "bytearray", b"K\x10"))
    yield samples.pickled(samples.call("fractions", "Fraction", samples.text("1e9")))


RULE = Rule(
    id="pickle-takes-memory",
    title="unpickling would make far more than the file holds",
    why=(
        "An array, a tensor, a row of bytes or a number can be written as its size alone. Making it runs nothing, and "
        "takes all memory of the machine, or days. This adds up what such sizes of one pickle ask for, and names each "
        "beyond one gigabyte and 64 times the pickle itself. Picklers write such objects with their contents."
    ),
    status=Status.UNDECIDED,
    severity=Severity.MEDIUM,
    confidence=Confidence.LIKELY,
    remedy="do not load it with anything else; ask its author for a safetensors version",
    taxonomy=("CWE-400", "CWE-770"),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(PickleStream,),
)
