"""joblib's pickles, in which the bytes of numpy arrays stand between the opcodes.

After the opcode that completes a `NumpyArrayWrapper`, joblib continues reading behind the array; `pickle` itself
would read the array as opcodes. Both readings are made, and a file in which the second one does something is built
for that.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from safeload.core.blob import Blob
from safeload.core.errors import MalformedInput
from safeload.core.graph import Acting, Build, Call, Dict, Extension, Global, Persistent, Reading, Tuple, Value
from safeload.core.limits import Limits
from safeload.core.machine import read_pickle
from safeload.core.names import GlobalName, Location, escape
from safeload.formats.base import Claims, Format, Irregularity, Part, PickleStream
from safeload.formats.nested import nested_streams
from safeload.formats.pickle_head import JOBLIB, imports_something, is_pickle, mentions_arrays
from safeload.formats.pickle_stream import read_pickles
from safeload.formats.pickled_types import element_of
from safeload.formats.tensors import DIMENSIONS

_WRAPPER = GlobalName("joblib.numpy_pickle", "NumpyArrayWrapper")
_MAKER = GlobalName("copyreg", "_reconstructor")


class _Arrays:
    """The hook that skips arrays, and what it met: pickles of arrays of objects, and what joblib would not write."""

    def __init__(self, location: Location, limits: Limits) -> None:
        self.location, self.limits = location, limits
        self.objects: list[Reading] = []
        self.strange: MalformedInput | None = None
        """Set where joblib asks numpy, or Python, for what nobody can tell from the file: how far its array goes."""

    def length(self, call: Call, blob: Blob, at: int) -> int:
        """How many bytes joblib reads behind the state of a wrapper, before it goes on with the stream."""
        if not _is_wrapper(call) or not call.states:
            return 0
        state = _state(call)
        element = element_of(state.get("dtype"))
        if element is not None and not element.objects:
            count = _count(state.get("shape"))
            if count is not None:
                aligned = state.get("numpy_array_alignment_bytes") is not None  # whatever it is: joblib asks no more
                padding = 1 + int.from_bytes(blob.read_at(at, 1), "little") if aligned else 0
                return padding + count * element.width
        elif element is not None:
            return self._pickled(blob, at)
        why = "an array's type or shape is none that joblib writes"
        self.strange = self.strange or _strange(self.location.at(at), why)
        return self._pickled(blob, at) if element is None else 0

    def _pickled(self, blob: Blob, at: int) -> int:
        reading = read_pickle(blob, at, location=self.location, limits=self.limits)
        self.objects.append(reading)
        return reading.end - at


def _state(call: Call) -> dict[Value, Value]:
    """The attributes of a wrapper; none where they are not given as joblib gives them, once and in one dictionary."""
    state = call.states[0] if len(call.states) == 1 else None
    return dict(state.pairs) if isinstance(state, Dict) else {}


def _count(shape: Value) -> int | None:
    """How many elements an array has; `None` where its shape is not a tuple of lengths."""
    if not isinstance(shape, Tuple) or len(shape.items) > DIMENSIONS:
        return None
    count = 1
    for item in shape.items:
        if not isinstance(item, int) or isinstance(item, bool) or not 0 <= item < 1 << 63:
            return None
        count *= item
    return count


def _strange(place: Location, why: str) -> MalformedInput:
    return MalformedInput(
        "a joblib pickle cannot be read to its end",
        where=place,
        why=f"{why}, so where the array ends is for numpy to say",
        remedy="have its author write it again with joblib.dump",
    )


def read_joblib(blob: Blob, location: Location, limits: Limits) -> Iterator[Part]:
    """The pickle as joblib reads it, the pickles of its arrays of objects, and what `pickle` would make of it."""
    arrays = _Arrays(location, limits)
    objects = arrays.objects
    read: list[Reading] = []
    fault: MalformedInput | None = None
    try:
        for part in read_pickles(blob, location, limits, inline=arrays.length):
            if isinstance(part, PickleStream):
                read.append(part.reading)
                if part.role == "trailing" and mentions_arrays(part.reading.trace):
                    where = location.at(part.reading.start)
                    arrays.strange = arrays.strange or _strange(where, "arrays follow in a second pickle")
            yield part
    except MalformedInput as error:
        fault = error
    for reading in objects:
        yield PickleStream(location=location.at(reading.start), reading=reading, role="member")
        yield from nested_streams(reading, location, limits)
        fault = fault or reading.fault
    known = _names(event for one in (*read, *objects) for event in one.trace)
    yield from _otherwise(blob, location, limits, known, objects)
    if (found := fault or arrays.strange or _made_otherwise(read, location)) is not None:
        raise found


def _made_otherwise(read: Iterable[Reading], location: Location) -> MalformedInput | None:
    """Set where a wrapper may be made by a helper that is handed its class: nobody can tell which object it is."""
    for event in (event for reading in read for event in reading.trace):
        if isinstance(event, Call) and isinstance(event.args, Tuple) and not _is_wrapper(event):
            for given in event.args.items:
                if isinstance(given, Global) and given.name == _WRAPPER:
                    return _strange(location.at(event.offset), "the class of joblib's arrays is handed to a helper")
    return None


def _otherwise(
    blob: Blob, location: Location, limits: Limits, known: set[GlobalName], objects: list[Reading]
) -> Iterator[Part]:
    """What `pickle` would do with the file, if it gets further than the first array.

    An array of objects is a pickle, so that `pickle` goes through it and stops where that ends. It takes what that
    pickle remembered for what the outer one did, and so imports wrong names, or calls what is none to call, and fails.
    """
    plain = read_pickle(blob, location=location, limits=limits)
    builds = (node for node in plain.trace if isinstance(node, Build) and _is_wrapper(node.target))
    first = next((node.offset for node in builds), None)
    if first is None:
        return
    after, doubt, failed = _reached((node for node in plain.trace if node.offset > first), known)
    ends = {reading.end for reading in objects}
    complete = plain.fault is None and not failed and plain.end not in ends
    if complete or (imports_something(after) and not _names(after) <= known) or _calls_a_result(after):
        detail = "pickle reads an array's bytes as opcodes and goes on; joblib skips them"
        yield Irregularity(location=location, kind="joblib-two-readings", detail=detail, two_readings=True)
        yield PickleStream(location=location, reading=plain, role="trailing")
    elif doubt is not None:
        name = f"{escape(doubt.name.module)}.{escape(doubt.name.name)}"
        detail = f"read by pickle instead of joblib, an array of objects would import {name}"
        yield Irregularity(location=location.at(doubt.offset), kind="joblib-other-name", detail=detail)


def _reached(acts: Iterable[Acting], known: set[GlobalName]) -> tuple[list[Acting], Global | None, bool]:
    """The acts that `pickle` comes to, a first import that fails unless there is such a module, and if one fails."""
    reached: list[Acting] = []
    doubt: Global | None = None
    packages, names = {name.module.partition(".")[0] for name in known}, {name.name for name in known}
    for node in acts:
        if isinstance(node, Global) and node.name not in known:
            package, name = node.name.module.partition(".")[0], node.name.name
            foreign = package not in sys.stdlib_module_names
            nothing = package in _WORDS or (foreign and package in names)  # a class is no module
            if name in _OF_NUMPY and (nothing or node.name.module == _WRAPPER.module):
                return reached, doubt, True
            if foreign and (package not in packages or name in names):
                doubt = doubt or node
                continue
        elif isinstance(node, Call) and not isinstance(node.callee, (Global, Call, Persistent, Extension)):
            return reached, doubt, True  # a text, a number or a container: nothing that can be called
        reached.append(node)
    return reached, doubt, False


_WORDS = frozenset(
    {"NumpyArrayWrapper", "subclass", "ndarray", "shape", "order", "dtype", "allow_mmap", "numpy_array_alignment_bytes"}
)
"""What joblib's wrapper remembers, in place of which the pickle of an array remembers modules. None is one."""
_OF_NUMPY = frozenset({"dtype", "ndarray", "scalar"})
"""What the pickle of an array takes from numpy; joblib's module has nothing of that name."""


def _names(acts: Iterable[Acting]) -> set[GlobalName]:
    return {node.name for node in acts if isinstance(node, Global)}


def _calls_a_result(acts: list[Acting]) -> bool:
    """Whether a name that is imported is handed on to be called by another way than its own name."""
    computed = any(isinstance(node, Call) and not isinstance(node.callee, Global) for node in acts)
    return computed and imports_something(acts)


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
