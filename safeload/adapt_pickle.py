"""What the doors for pickles share: the wish of a caller, and the live value of a stream that came in.

Tables of known globals are put together here, in one order for all doors: plain data, numpy, the estimators of
scikit-learn and their kin, and what the caller hands over.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Literal

from safeload.adapt_numpy import array_bytes, numpy_table
from safeload.core.allowlist import Use
from safeload.core.errors import MalformedInput, UsageError
from safeload.core.graph import Call, Extension, Global, Persistent
from safeload.core.names import GlobalName
from safeload.engine.allowlists import default_allowlist
from safeload.engine.door import Door
from safeload.engine.live import Table, Texts, bring_to_life, names_in
from safeload.engine.live.plain import PLAIN_TABLE
from safeload.engine.live.python2 import texts_for
from safeload.engine.live.unknown import check_choice, refuse, unlisted
from safeload.engine.options import Options
from safeload.formats.base import PickleStream
from safeload.rules.zones import named_zone

Unknown = Literal["record", "refuse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What one call asks for beside the value."""

    call: str
    """How a person spells the load, with `{}` for further arguments."""
    unknown: Unknown = "refuse"
    inert: Collection[str] = ()
    options: Options = field(default_factory=Options)
    classes: Table = field(default_factory=Table)
    """Makers for classes that the caller handed over."""
    texts: Texts | None = None
    fix_imports: bool = True
    buffers: Sequence[object] = ()
    persistent: Callable[[object, Persistent], object] | None = None


def wished(
    call: str,
    *,
    unknown: Unknown,
    inert: Collection[str],
    classes: Iterable[type],
    options: object,
    fix_imports: object = True,
    encoding: str = "ASCII",
    errors: str = "strict",
    buffers: Sequence[object] = (),
    persistent: Callable[[object, Persistent], object] | None = None,
) -> Wish:
    """The wish that these arguments of a call make. Raises `UsageError` for what cannot be honoured."""
    check_choice(unknown, inert)
    if options is None:
        options = Options()
    if not isinstance(options, Options):
        raise UsageError(
            "safeload= takes safeload's own options",
            why=f"a {type(options).__name__} was given",
            remedy="safeload=safeload.Options(…)",
        )
    given: tuple[type, ...] = tuple(classes) if not isinstance(classes, str | type) else (classes,)
    handed = Table()
    if given:
        from safeload.engine.live.classes import table_for

        handed = table_for(given)
    return Wish(
        call=call,
        unknown=unknown,
        inert=inert,
        options=options,
        classes=handed,
        texts=None if encoding == "bytes" else texts_for(encoding, errors),
        fix_imports=bool(fix_imports),
        buffers=buffers,
        persistent=persistent,
    )


def value_of(door: Door, stream: PickleStream, wish: Wish, *, more: Table | None = None, spans: Any = None) -> object:
    """The live value of a stream.

    Args:
        more: makers that only this door has.
        spans: as for `bring_to_life`; bytes are read into memory if absent.

    Raises:
        PolicyDenied: it names what nobody vouched for, and the caller asked for a refusal; with every name.
        MalformedInput: its arguments do not fit.
    """
    reading = stream.reading
    if not wish.fix_imports:
        for act in reading.trace:
            if isinstance(act, Global):
                act.name = act.written
    names = names_in([reading])
    table = _known({node.name for node in reading.trace if isinstance(node, Global)}, names, wish, more)
    if wish.unknown == "refuse":
        missing = unlisted(names, table, wish.inert)
        refuse(missing, door.inspected.report, door.location, call=wish.call, inert=wish.inert, takes_classes=True)
        _refuse_computed(stream)
    blob = reading.blob
    return bring_to_life(
        reading,
        table,
        location=stream.location,
        persistent=wish.persistent or _no_persistent,
        spans=spans or (lambda span, is_array: array_bytes(blob, span, is_array)),
        texts=wish.texts,
        buffers=wish.buffers,
        strict=wish.unknown == "refuse",
    )


def _known(every: set[GlobalName], names: list[GlobalName], wish: Wish, more: Table | None) -> Table:
    """What is made of the globals of a stream: only of those, and no library is imported that none of them is of."""
    if not every:
        return Table()
    parts = [PLAIN_TABLE.only(every)]
    if any(name.module.startswith(("numpy", "dill.")) for name in every):
        parts.append((numpy_table() or Table()).only(every))
    parts += [_estimators(names), _frames(names, wish), *([] if more is None else [more]), wish.classes.only(every)]
    return functools.reduce(operator.or_, parts)


def _estimators(names: Iterable[GlobalName]) -> Table:
    """What is known of scikit-learn, scipy and the rest of numpy, if the file names any of it."""
    known = any(name.module.startswith(("sklearn.", "scipy.", "numpy.ma", "numpy.random")) for name in names)
    known = known or any(name.module == "numpy" and _only_named(name) for name in names)
    if not known or find_spec("numpy") is None:
        return Table()
    from safeload.adapt_sklearn import sklearn_table

    return sklearn_table(names)


def _only_named(name: GlobalName) -> bool:
    """Whether a name is a function that is a value and nothing else, such as `numpy.log1p`."""
    entry = default_allowlist().get(name)
    return entry is not None and entry.use is Use.NAME


def _frames(names: Iterable[GlobalName], wish: Wish) -> Table:
    """What is known of pandas, if the file names any of it. Raises `UsageError` where it is missing and asked for."""
    from safeload.adapt_pandas import installed, names_pandas, pandas_table

    if not names_pandas(names):
        return Table()
    if wish.unknown == "refuse" and not installed():
        raise UsageError(
            "a file holds objects of pandas", why="pandas is not installed", remedy="pip install 'safeload[pandas]'"
        )
    return pandas_table(names)


def _refuse_computed(stream: PickleStream) -> None:
    """Raise for what names would not show: objects of the program by number, and calls of what a call returned."""
    for act in stream.reading.trace:
        if isinstance(act, Extension):
            raise MalformedInput(
                "a pickle names something by a number",
                where=stream.location.at(act.offset),
                why="what the numbers of copyreg's registry mean depends on the program",
                remedy="ask its author for a pickle without them",
            )
        if isinstance(act, Call) and not isinstance(act.callee, Global) and named_zone(act) is None:
            raise MalformedInput(
                "a pickle calls what it does not name",
                where=stream.location.at(act.offset),
                why="the callable would be known only while it runs",
                remedy="unknown='record' keeps it inert",
            )


def _no_persistent(id: object, node: Persistent) -> object:
    raise MalformedInput(
        "a pickle refers to objects of the program that wrote it",
        why="it has a persistent id",
        remedy="for files of torch: safeload.torch.load(…); else: a subclass of safeload.pickle.Unpickler "
        "with persistent_load",
    )
