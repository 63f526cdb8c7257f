"""joblib's pickles, in which the bytes of numpy arrays stand between the opcodes.

After the opcode that completes a `NumpyArrayWrapper`, joblib continues reading behind the array; `pickle` itself
would read the array as opcodes. Both readings are made, and a file in which the second one does something is built
for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeload.core.blob import Blob
from safeload.core.errors import MalformedInput
from safeload.core.graph import Acting, Build, Call, Dict, Global, Reading, Tuple, Value
from safeload.core.limits import Limits
from safeload.core.machine import InlineHook, read_pickle
from safeload.core.names import GlobalName, Location
from safeload.formats.base import Claims, Format, Irregularity, Part, PickleStream
from safeload.formats.dtypes import numpy_width
from safeload.formats.nested import nested_streams
from safeload.formats.pickle_head import JOBLIB, imports_something, is_pickle
from safeload.formats.pickle_stream import read_pickles
from safeload.formats.tensors import DIMENSIONS

_WRAPPER = GlobalName("joblib.numpy_pickle", "NumpyArrayWrapper")
_MAKER = GlobalName("copyreg", "_reconstructor")
_DTYPE = GlobalName("numpy", "dtype")


def inline_arrays(location: Location, limits: Limits, objects: list[Reading]) -> InlineHook:
    """The hook that skips arrays; pickles of arrays of objects, which stand there too, go to `objects`."""

    def length(call: Call, blob: Blob, at: int) -> int:
        if not _is_wrapper(call) or not call.states:
            return 0
        state = dict(call.states[-1].pairs) if isinstance(call.states[-1], Dict) else {}
        code = _code(state.get("dtype"))
        if code is None:
            return 0
        if code.lstrip("<>=|").startswith("O"):
            reading = read_pickle(blob, at, location=location, limits=limits)
            objects.append(reading)
            return reading.end - at
        count = 1
        shape = state.get("shape")
        if isinstance(shape, Tuple) and len(shape.items) > DIMENSIONS:
            return 0
        for item in shape.items if isinstance(shape, Tuple) else ():
            if type(item) is not int or not 0 <= item < 1 << 63:
                return 0
            count *= item
        padding = 0
        if type(state.get("numpy_array_alignment_bytes")) is int:
            padding = 1 + int.from_bytes(blob.read_at(at, 1), "little")
        return padding + count * numpy_width(code)

    return length


def _code(value: Value) -> str | None:
    """The type string of a pickled numpy dtype."""
    if isinstance(value, Call) and isinstance(value.callee, Global) and value.callee.name == _DTYPE:
        args = value.args.items if isinstance(value.args, Tuple) else ()
        if args and isinstance(args[0], str):
            return args[0]
    return None


def read_joblib(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    """The pickle as joblib reads it, the pickles of its arrays of objects, and what `pickle` would make of it."""
    objects: list[Reading] = []
    read: list[Reading] = []
    fault: MalformedInput | None = None
    try:
        inline = inline_arrays(location, limits, objects)
        for part in read_pickles(blob, location, limits, inline=inline):
            if isinstance(part, PickleStream):
                read.append(part.reading)
            yield part
    except MalformedInput as error:
        fault = error
    for reading in objects:
        yield PickleStream(location=location.at(reading.start), reading=reading, role="member")
        yield from nested_streams(reading, location, limits)
        fault = fault or reading.fault
    yield from _otherwise(blob, location, limits, _names(event for one in (*read, *objects) for event in one.trace))
    if fault is not None:
        raise fault


def _otherwise(blob: Blob, location: Location, limits: Limits, known: set[GlobalName]) -> Iterator[Part]:
    """What `pickle` would do with the file, if it gets further than the first array.

    An array of objects is a pickle, so that `pickle` imports what stands in it, and then fails: its names are `known`.
    """
    plain = read_pickle(blob, location=location, limits=limits)
    builds = (node for node in plain.trace if isinstance(node, Build) and _is_wrapper(node.target))
    first = next((node.offset for node in builds), None)
    if first is None:
        return
    after = [node for node in plain.trace if node.offset > first]
    if plain.fault is None or (imports_something(after) and not _names(after) <= known) or _calls_a_result(after):
        detail = "pickle reads an array's bytes as opcodes and goes on; joblib skips them"
        yield Irregularity(location=location, kind="joblib-two-readings", detail=detail, two_readings=True)
        yield PickleStream(location=location, reading=plain, role="trailing")


def _names(acts: Iterable[Acting]) -> set[GlobalName]:
    return {node.name for node in acts if isinstance(node, Global)}


def _calls_a_result(acts: list[Acting]) -> bool:
    """Whether a name that is imported is handed on to be called by another way than its own name."""
    computed = any(isinstance(node, Call) and not isinstance(node.callee, Global) for node in acts)
    return computed and imports_something(acts)


def mentions_arrays(reading: Reading) -> bool:
    """Whether a stream imports joblib's array wrapper, so that bytes may stand between its opcodes."""
    return any(isinstance(node, Global) and node.name == _WRAPPER for node in reading.trace)


def _is_wrapper(made: Value) -> bool:
    """Whether an object is joblib's array wrapper; protocols 0 and 1 make it by `copyreg._reconstructor`."""
    if not isinstance(made, Call) or not isinstance(made.callee, Global):
        return False
    args = made.args.items if isinstance(made.args, Tuple) else ()
    kind = args[0] if made.callee.name == _MAKER and args else made.callee
    return isinstance(kind, Global) and kind.name == _WRAPPER


FORMAT = Format(
    name="joblib",
    title="a joblib pickle",
    suffixes=(".joblib", ".pkl", ".pickle", ".sav"),
    sniff=lambda head, tail, size, name: JOBLIB in head and is_pickle(head, size, name),
    read=read_joblib,
    claims=Claims(holds=(JOBLIB,)),
)
