"""`load`: what `torch.load` returns, made from a reading that cannot act."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal

from safeload.core.errors import MalformedInput, UsageError
from safeload.core.limits import Limits
from safeload.core.names import escape
from safeload.engine.door import Door, opened
from safeload.engine.live import Table, Texts, bring_to_life, names_in
from safeload.engine.live.plain import PLAIN_TABLE
from safeload.engine.live.python2 import texts_for
from safeload.engine.live.unknown import check_choice, refuse, unlisted
from safeload.engine.options import Options
from safeload.formats.base import PickleStream, TensorTable

if TYPE_CHECKING:
    from typing import BinaryIO

    from safeload.torch._memory import Memory

Unknown = Literal["record", "refuse"]


def load(
    f: str | os.PathLike[str] | BinaryIO | bytes,
    map_location: Any = None,
    pickle_module: None = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    unknown: Unknown = "record",
    inert: Collection[str] = (),
    safeload: Options | None = None,
    **pickle_load_args: Any,
) -> Any:
    """Load what `torch.save` wrote, in any of its formats, without running anything in it.

    Promised: what `torch.load(f, weights_only=True)` would return, bit for bit, where that can read the file (but for
    subclasses of tensors, which are records); tensors that shared memory still do. Beside that, numpy arrays,
    paths (as `PurePath`), `Namespace`, dates, `slice` and other plain data; objects of all other classes are `Record`s,
    which hold what the object was made from. Not promised: that the values are what their author says.

    Args:
        f: a path, an open binary file, or bytes. A file is read from where it stands to its end.
        map_location: as for `torch.load`.
        pickle_module: only there to be refused: no unpickler is used.
        weights_only: `None` or `True`; `False` asks for code to run, and is refused.
        mmap: map the tensors instead of reading them, where the file allows it and nobody else can write it. As long
            as tensors live, the file must not be changed.
        unknown: `record` keeps objects of classes that nobody vouched for inert; `refuse` raises, naming all of them.
        inert: `module.Class` names that `unknown="refuse"` lets pass, as inert records.
        safeload: safeload's own options. `Options(unsafe_convert_dangerous=True)` reads the data of a file that was
            judged dangerous; nothing in it runs all the same.

    Raises:
        PolicyDenied: the file is dangerous, or a policy refuses it; with every reason.
        MalformedInput: it cannot be read to its end.
        UsageError: an argument cannot be honoured, or a tensor belongs on a device that is not here.
        SourceError: there is no such file. VerificationFailed: it changed meanwhile.
    """
    options = checked_options(safeload)
    check_choice(unknown, inert)
    texts = _check_arguments(f, pickle_module, weights_only, mmap, pickle_load_args)
    require_torch()
    shown = _shown(f)
    with opened(f, options, remedies={"program": f"its weights alone: safeload.torch.state_dict_of({shown})"}) as door:
        return value_of(
            door,
            map_location=map_location,
            mapped=mmap is True,
            unknown=unknown,
            inert=inert,
            texts=texts,
            shown=shown,
        )


def value_of(
    door: Door,
    *,
    map_location: Any = None,
    mapped: bool = False,
    unknown: Unknown = "record",
    inert: Collection[str] = (),
    texts: Texts | None = None,
    shown: str = "…",
) -> Any:
    """The value of a checkpoint that came in; `shown` is how messages spell the file. Raises as `load` does."""
    from safeload.torch._memory import Memory

    memory = Memory(mapped=mapped, integrity=door.integrity, map_location=map_location)
    stream = _data(door, shown)
    if isinstance(stream, TensorTable):
        from safeload.torch._state import Views

        views = Views(memory)
        return {name: views.tensor(view) for name, view in stream.tensors.items()}
    if unknown == "refuse":
        from safeload.adapt_numpy import numpy_table
        from safeload.torch._tensors import Tensors

        tensors = Tensors(stream, memory, door.limits, None).table()
        known = PLAIN_TABLE | (numpy_table() or Table()) | tensors
        names = unlisted(names_in([stream.reading]), known, inert)
        refuse(names, door.inspected.report, door.location, call=f"safeload.torch.load({shown}, {{}})", inert=inert)

    return live_value(stream, memory, door.limits, texts)


def live_value(stream: PickleStream, memory: Memory, limits: Limits, texts: Texts | None = None) -> object:
    """The value of one pickle of a checkpoint. Raises `MalformedInput`."""
    from safeload.adapt_numpy import array_bytes, numpy_table
    from safeload.torch._tensors import Tensors

    table = PLAIN_TABLE | (numpy_table() or Table())

    def value(part: PickleStream, tensors: Tensors) -> object:
        blob = part.reading.blob
        return bring_to_life(
            part.reading,
            table | tensors.table(),
            location=part.location,
            persistent=tensors.persistent,
            spans=lambda span, is_array: array_bytes(blob, span, is_array),
            texts=texts,
        )

    return value(stream, Tensors(stream, memory, limits, value))


def _data(door: Door, shown: str) -> PickleStream | TensorTable:
    """What of a file `torch.load` would return."""
    where = door.location
    if streams := door.streams("data"):
        if door.inspected.report.format in ("torchscript", "torch-package", "pt2"):
            raise UsageError(
                f"{escape(where.file)!r} was not loaded",
                where=where,
                why="it is a program with weights, not a checkpoint",
                remedy=f"its weights alone: safeload.torch.state_dict_of({shown})",
            )
        return streams[0]
    tables = [part for part in door.inspected.parts if isinstance(part, TensorTable)]
    if tables and door.inspected.report.format == "safetensors":
        return tables[0]
    raise MalformedInput(
        f"{escape(where.file)!r} was not loaded",
        where=where,
        why=f"it is {escape(door.inspected.report.format)}, and torch.load reads checkpoints of torch",
        remedy=f"for tensors of other formats: safeload.torch.state_dict_of({shown})",
    )


def _shown(f: object) -> str:
    """The first argument of a call that a person can paste; dots where it cannot be written out."""
    path = os.fspath(f) if isinstance(f, str | os.PathLike) else ""
    return repr(path) if path and isinstance(path, str) and path.isprintable() and not set(path) & set("{}") else "…"


def checked_options(options: object) -> Options:
    """safeload's options of a call. Raises `UsageError` if they are something else."""
    if options is None:
        return Options()
    if not isinstance(options, Options):
        raise UsageError(
            "safeload= takes safeload's own options",
            why=f"a {type(options).__name__} was given",
            remedy="safeload=safeload.Options(…)",
        )
    return options


def require_torch() -> None:
    """Raise `UsageError` if torch is not installed."""
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError as error:
        raise UsageError("nothing was loaded", why="torch is not installed", remedy="pip install torch") from error


def _check_arguments(f: object, pickle_module: object, weights_only: object, mmap: object, more: Any) -> Texts | None:
    if pickle_module is not None:
        raise UsageError(
            "pickle_module was not used", why="an unpickler runs what a file says", remedy="leave pickle_module out"
        )
    if weights_only not in (None, True):
        raise UsageError(
            "weights_only=False was not honoured",
            why="it asks torch to run whatever the file says",
            remedy="leave it out: what is not data comes back as inert records",
        )
    if mmap not in (None, True, False):
        raise UsageError(f"mmap={mmap!r} was not honoured", why="it is True or False", remedy="mmap=True")
    if mmap and not (isinstance(f, str) or hasattr(f, "__fspath__")):
        raise UsageError(
            "mmap=True was not honoured", why="only a file that is named can be mapped", remedy="pass its path"
        )
    more = dict(more)
    encoding, errors = more.pop("encoding", None), more.pop("errors", "strict")
    if more:
        raise UsageError(
            f"{escape(sorted(more)[0])!r} was not honoured",
            why="of an unpickler's arguments there are only encoding and errors here",
            remedy="leave it out",
        )
    return None if encoding is None else texts_for(encoding, errors)
