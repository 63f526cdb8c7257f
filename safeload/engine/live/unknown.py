"""Names in a pickle that no table knows: all of them in one refusal, with what each is and how to let it pass."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable

from safeload.core.errors import PolicyDenied, UsageError
from safeload.core.finding import FileReport, Report
from safeload.core.names import GlobalName, Location, escape
from safeload.core.policy import Reason, Verdict
from safeload.engine.allowlists import default_allowlist

_LISTED = 200
_CLASSES = 5


def check_choice(unknown: object, inert: object) -> None:
    """Raise `UsageError` unless the two arguments are what they may be."""
    if unknown not in ("record", "refuse"):
        raise UsageError(
            f"unknown={unknown!r} does not exist",
            why="objects of foreign classes are kept as inert records, or refused",
            remedy="unknown='record', or unknown='refuse'",
        )
    if isinstance(inert, str) or not isinstance(inert, Collection) or not all(isinstance(one, str) for one in inert):
        raise UsageError("inert= is no list of names", why=f"it is {type(inert).__name__}", remedy="inert=['a.B']")


def unlisted(
    names: Iterable[GlobalName], known: Container[GlobalName], inert: Collection[str] = ()
) -> list[GlobalName]:
    """The names that neither a table, nor the shipped allowlist, nor the caller knows."""
    allowlist = default_allowlist()
    return [
        name
        for name in names
        if name not in known and name not in allowlist and f"{name.module}.{name.name}" not in inert
    ]


def refuse(
    names: list[GlobalName],
    report: FileReport,
    location: Location,
    *,
    call: str,
    inert: Collection[str] = (),
    takes_classes: bool = False,
) -> None:
    """Raise `PolicyDenied` that lists every one of these names; nothing if there are none.

    `call` is how a person spells the load, such as `safeload.torch.load(…)`, with `{}` for further arguments;
    `takes_classes`: whether one of these is `classes`.
    """
    if not names:
        return
    listed = sorted({*inert, *(f"{name.module}.{name.name}" for name in names)})
    argument = ", ".join(f"'{escape(name)}'" for name in listed[:_LISTED])
    passing = call.format(f"unknown='refuse', inert=[{argument}]")
    remedy = f"let them stay inert records: {passing}"
    own = [name.name for name in names if _is_class(name) and name.name.isidentifier()]
    if takes_classes and own:
        some = ", ".join([*own[:_CLASSES], *(["…"] if len(own) > _CLASSES else [])])
        made = call.format(f"classes=[{escape(some)}]")
        remedy += f"\n         or have instances of your own classes made, none of whose methods runs: {made}"
    everything = call.format("unknown='record'")
    whole = f"or keep every unknown object inert: {everything}"
    reasons = tuple(
        Reason(
            message=f"{name} ({_kind(name)}) is not on the allowlist",
            remedy=remedy if number == 0 else whole,
            locations=(location,),
        )
        for number, name in enumerate(names)
    )
    if len(reasons) == 1:
        reasons = (Reason(message=reasons[0].message, remedy=f"{remedy}\n         {whole}", locations=(location,)),)
    verdict = Verdict(policy="unknown='refuse'", allowed=False, reasons=reasons)
    what = f"loading {escape(location.file)!r} was refused"
    raise PolicyDenied(what, verdict=verdict, report=Report(target=location.file, files=(report,)), where=location)


def _kind(name: GlobalName) -> str:
    """Which library a name is of, and what such a thing usually is."""
    library = escape(name.module.partition(".")[0], 60)
    if name.module == "__main__":
        return "a class or function of the program that wrote the file"
    return f"{'a class' if _is_class(name) else 'a name'} of {library}"


def _is_class(name: GlobalName) -> bool:
    """Whether a name looks like that of a class."""
    return name.name.rpartition(".")[2][:1].isupper()
