"""`load`, `loads` and `Unpickler`: what pickle's would return for plain data, made from a reading that cannot act."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from safeload.adapt_pickle import Unknown, Wish, value_of, wished
from safeload.core.blob import Blob, Extent, MemoryBlob
from safeload.core.errors import MalformedInput, UsageError, VerificationFailed
from safeload.core.names import Location, escape
from safeload.engine.door import opened
from safeload.engine.handed import Given, claimed, plain_file
from safeload.engine.live.cut import cut
from safeload.engine.live.only import only_pickle
from safeload.engine.options import Options
from safeload.sources.pinned import PinnedFile


class EndOfPickles(MalformedInput, EOFError):
    """There is no further pickle: the stream is at its end. An `EOFError`: programs read on until they meet one.

    A pickle that ends in its middle is a plain `MalformedInput`.
    """


def load(
    file: Any,
    *,
    fix_imports: bool = True,
    encoding: str = "ASCII",
    errors: str = "strict",
    buffers: Iterable[Any] | None = (),
    unknown: Unknown = "refuse",
    inert: Collection[str] = (),
    classes: Iterable[type] = (),
    safeload: Options | None = None,
) -> Any:
    """Read the next pickle of an open binary file, without running anything in it, and stop right behind it.

    Promised: for plain data, what `pickle.load` would return, of the same types, with what was one object still one;
    numpy's arrays and scikit-learn's estimators if they are installed. No name in the file is imported or called. Not
    promised: that the values are what their author says.

    Args:
        file: an object with `read` and `readline`. Nothing is read from it beyond the pickle's end.
        fix_imports: whether names of Python 2 in protocols 0 to 2 stand for today's.
        encoding: what strings of Python 2 are: any that extends ASCII, or `bytes` for leaving them so.
        errors: what becomes of those that are not, as for `bytes.decode`.
        buffers: the buffers that protocol 5 kept beside the pickle.
        unknown: `refuse` raises for objects that nobody vouched for, naming all their classes; `record` keeps them
            as inert records.
        inert: `module.Class` names that `unknown="refuse"` lets pass, as inert records.
        classes: classes of the caller's own whose instances may be made, also such that extend a builtin type. None
            of their methods runs, and a class that needs one to (`__setstate__`, an `append` of its own) is refused.
        safeload: safeload's own options.

    Raises:
        EndOfPickles: there is nothing more in the file; it is an `EOFError` as well.
        PolicyDenied: the pickle is dangerous, a policy refuses it, or it names what nobody vouched for.
        MalformedInput: it cannot be read, or builds something from arguments that do not fit.
        UsageError: an argument cannot be honoured.
        VerificationFailed: the file changed meanwhile.
    """
    wish = _wish(
        "safeload.pickle.load(…, {})", fix_imports, encoding, errors, buffers, unknown, inert, classes, safeload
    )
    return _read(file, wish, encoding)


def loads(
    data: Any,
    /,
    *,
    fix_imports: bool = True,
    encoding: str = "ASCII",
    errors: str = "strict",
    buffers: Iterable[Any] | None = (),
    unknown: Unknown = "refuse",
    inert: Collection[str] = (),
    classes: Iterable[type] = (),
    safeload: Options | None = None,
) -> Any:
    """Read the pickle that bytes begin with. Arguments, promises and exceptions are those of `load`."""
    wish = _wish(
        "safeload.pickle.loads(…, {})", fix_imports, encoding, errors, buffers, unknown, inert, classes, safeload
    )
    if isinstance(data, str):
        raise UsageError("nothing was loaded", why="a pickle is bytes, and this is text", remedy="pass the bytes")
    try:
        held = data if type(data) is bytes else bytes(memoryview(data).cast("B"))
    except TypeError:
        raise UsageError(
            "nothing was loaded", why=f"a {type(data).__name__} has no bytes", remedy="pass bytes, or use load(file)"
        ) from None
    return _read(io.BytesIO(held), wish, encoding)


class Unpickler:
    """`pickle.Unpickler`, as far as it only reads. Arguments are those of `load`.

    A subclass may define `persistent_load`: it is the program that makes those objects, from an id that is plain data.
    It may not define `find_class`, which would have the program import what a file names. Each `load` reads one
    pickle by itself: what one remembers, the next cannot refer to.
    """

    def __init__(
        self,
        file: Any,
        *,
        fix_imports: bool = True,
        encoding: str = "ASCII",
        errors: str = "strict",
        buffers: Iterable[Any] | None = (),
        unknown: Unknown = "refuse",
        inert: Collection[str] = (),
        classes: Iterable[type] = (),
        safeload: Options | None = None,
    ) -> None:
        _name_of(file)
        self._file = file
        self._encoding = encoding
        hook = getattr(self, "persistent_load", None)
        self._wish = _wish(
            "safeload.pickle.Unpickler(…, {}).load()",
            fix_imports,
            encoding,
            errors,
            buffers,
            unknown,
            inert,
            classes,
            safeload,
            None if hook is None else lambda id, node: hook(id),
        )

    def __init_subclass__(cls) -> None:
        if "find_class" in vars(cls):
            raise UsageError(
                f"{cls.__name__}.find_class is not used",
                why="it has the program import what a file names",
                remedy="classes=[…] for the classes that the file may hold",
            )

    def load(self) -> Any:
        """The next pickle of the file. Raises as `safeload.pickle.load` does."""
        if not hasattr(self, "_wish"):
            raise UsageError(
                "nothing was loaded", why="Unpickler.__init__ was not called", remedy="super().__init__(file)"
            )
        return _read(self._file, self._wish, self._encoding)

    def find_class(self, module: str, name: str) -> Any:
        """Not honoured. Raises `UsageError`: nothing is imported because a file names it."""
        raise UsageError(
            f"{escape(module)}.{escape(name)} was not imported",
            why="nothing is imported because a file names it",
            remedy="classes=[…] for the classes that the file may hold",
        )


def _wish(
    call: str,
    fix_imports: object,
    encoding: str,
    errors: str,
    buffers: Iterable[Any] | None,
    unknown: Unknown,
    inert: Collection[str],
    classes: Iterable[type],
    options: Options | None,
    persistent: Any = None,
) -> Wish:
    return wished(
        call,
        unknown=unknown,
        inert=inert,
        classes=classes,
        options=options,
        fix_imports=fix_imports,
        encoding=encoding,
        errors=errors,
        buffers=tuple(buffers or ()),
        persistent=persistent,
    )


def _read(file: Any, wish: Wish, encoding: str) -> object:
    """The value of the next pickle; afterwards the file stands behind it.

    Bytes in memory and files on a disk are read where they are. Of anything else exactly one pickle is taken.
    """
    name = _name_of(file)
    place = None if encoding == "bytes" or wish.buffers else _place(file, name)
    if place is not None:
        with place as (blob, start):
            if start >= blob.size:
                raise _ended(name)
            pinned = blob if isinstance(blob, PinnedFile) else None
            rest = Extent(blob, start, blob.size - start)
            value, end = _value(Given(rest, name, pinned, claimed(file) if pinned else ""), wish)
        file.seek(start + end)
        return value
    with ExitStack() as stack:
        beside = plain_file(file)
        if beside is not None:
            stack.enter_context(beside[0])
        return _cut_out(file, name, wish, encoding, beside)


def _cut_out(file: Any, name: str, wish: Wish, encoding: str, beside: tuple[PinnedFile, int] | None) -> object:
    """The value of what the file itself gives; `beside` is the descriptor beneath it, if that is a file's."""
    limits = wish.options.limits
    found = cut(
        _bytes_of(file.read), _bytes_of(file.readline), limits, Location(name), strings_as_bytes=encoding == "bytes"
    )
    if not found.data:
        raise _ended(name)
    if found.readonly:
        buffers = tuple(_readonly(one) if at in found.readonly else one for at, one in enumerate(wish.buffers))
        wish = replace(wish, buffers=buffers)
    given = Given(MemoryBlob(found.data), name)
    if beside is not None:
        pinned, start = beside
        if pinned.read_at(start, len(found.data)) != found.data:
            raise VerificationFailed(
                f"{escape(name)!r} is no longer what was read",
                mismatches={escape(name): "the file on disk has other bytes where the program read these"},
                where=Location(name),
                remedy="open it again",
            )
        given = Given(given.blob, name, pinned, claimed(file))
    value, end = _value(given, wish)
    if end != len(found.data):
        raise MalformedInput("a pickle has two ends", where=Location(name), why=f"at byte {end} and {len(found.data)}")
    return value


def _value(given: Given, wish: Wish) -> tuple[object, int]:
    """The value of a pickle, and where it ends."""
    with opened(given, wish.options, reader=only_pickle) as door:
        (stream,) = door.streams("data")
        return value_of(door, stream, wish), stream.reading.end


# ── where the bytes are ─────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _at(blob: Blob, start: int) -> Iterator[tuple[Blob, int]]:
    yield blob, start


@contextmanager
def _on_disk(pinned: PinnedFile, start: int) -> Iterator[tuple[Blob, int]]:
    with pinned:
        yield pinned, start
        pinned.verify_unchanged()


def _place(file: Any, name: str) -> AbstractContextManager[tuple[Blob, int]] | None:
    """Where a file's bytes can be read without moving it; `None` if only its `read` knows."""
    if type(file) is io.BytesIO:
        return _at(MemoryBlob(file.getvalue()), file.tell())
    found = plain_file(file)
    return None if found is None else _on_disk(*found)


def _name_of(file: Any) -> str:
    """What messages call the file. Raises `AttributeError` for what is none, as pickle does."""
    methods = getattr(file, "readline", None), getattr(file, "read", None)
    if not all(map(callable, methods)):
        raise AttributeError("file must have 'read' and 'readline' attributes")
    name = getattr(file, "name", None) if isinstance(file, io.IOBase) else None
    return os.path.basename(name) or "<stream>" if isinstance(name, str) else "<stream>"


def _bytes_of(method: Callable[..., Any]) -> Callable[..., bytes]:
    def read(*args: int) -> bytes:
        data = method(*args)
        if not isinstance(data, bytes | bytearray | memoryview):
            raise UsageError("nothing was loaded", why="the file is open as text", remedy="open it with mode 'rb'")
        return bytes(data)

    return read


def _readonly(buffer: Any) -> Any:
    view = memoryview(buffer)
    return buffer if view.readonly else view.toreadonly()


def _ended(name: str) -> EndOfPickles:
    return EndOfPickles("there is no further pickle", where=Location(name), why="the file is at its end")
