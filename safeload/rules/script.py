"""What a pickle would do to an ordinary unpickler, as a sequence of steps that a person can read.

Each step is one act of the trace: `_2 = builtins.getattr(_1, 'system')`. Results have names, so that what is called
with them can be followed. Steps that the allowlist allows are many in a checkpoint, and are summed up where they follow
each other; a step that a rule has something to say about is always there, up to a limit that is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from safeload.core.finding import Status
from safeload.core.graph import Build, Call, Event, Extension, Global, Persistent, Value
from safeload.core.names import escape
from safeload.formats.base import PickleStream
from safeload.rules.arguments import revealed
from safeload.rules.base import Context
from safeload.rules.deeds import studied
from safeload.rules.render import Renderer
from safeload.rules.study import Deed

_TOLD = 500
"""Steps with something to say about them that are told one by one."""
_SUMMED = 3
"""Allowed steps in a row that are told as one."""
_KINDS = 5
"""Callables that are named when they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One act, or several in a row that are allowed."""

    offset: int
    act: str
    """`import`, `call`, `state`, `items`, `persistent`, `extension`, `fault`; `allowed` for several in a row."""
    text: str
    """The act as a person would write it, escaped."""
    status: Status = Status.SAFE
    """What this step alone makes of the file."""
    why: str = ""
    """Why it is not safe."""
    reveals: tuple[str, ...] = ()
    """What the arguments hide, decoded and escaped."""
    times: int = 1


def script(part: PickleStream, context: Context) -> tuple[Step, ...]:
    """The steps of one pickle, in order. Total, and proportional to the trace."""
    told: list[Step] = []
    allowed: list[Step] = []
    omitted: list[Step] = []
    for step in _steps(part, context):
        if step.status is Status.SAFE:
            allowed.append(step)
        elif len(told) >= _TOLD:
            omitted.append(step)
        else:
            told += [*_summed(allowed), step]
            allowed = []
    told += _summed(allowed)
    if omitted:
        worst = max(omitted, key=lambda step: step.status)
        text = f"… and {len(omitted):,} more steps like these, the worst of which: {worst.text}"
        told.append(replace(worst, text=text, times=len(omitted)))
    if part.reading.fault is not None:
        fault = part.reading.fault
        why = fault.why or fault.what
        told.append(
            Step(offset=part.reading.end, act="fault", text="the rest cannot be read", status=Status.UNDECIDED, why=why)
        )
    return tuple(told)


def _summed(steps: list[Step]) -> Iterator[Step]:
    """Allowed steps in a row as one, if they are many."""
    if len(steps) < _SUMMED:
        yield from steps
        return
    calls = Counter(step.text.partition(" = ")[2].partition("(")[0] for step in steps if step.act == "call")
    parts = [f"{name} ({number:,} times)" if number > 1 else name for name, number in calls.most_common(_KINDS)]
    if len(calls) > _KINDS:
        parts.append("others")
    others = len(steps) - sum(calls.values())
    if others:
        parts.append(f"{others:,} states, items and persistent objects")
    yield Step(offset=steps[0].offset, act="allowed", text=", ".join(parts), times=len(steps))


def _steps(part: PickleStream, context: Context) -> Iterator[Step]:
    judged: dict[int, Deed] = {}
    for deed in studied(part, context).deeds:
        known = judged.get(deed.offset)
        if known is None or deed.status > known.status:
            judged[deed.offset] = deed
    names: dict[int, str] = {}
    show = Renderer(names)
    for event in part.reading.trace:
        act, text = _told(event, show, names)
        if act == "import" and event.offset not in judged:
            continue  # it is told with what is done with it
        verdict = judged.get(event.offset)
        node = event.node
        yield Step(
            offset=event.offset,
            act=act,
            text=text,
            status=verdict.status if verdict else Status.SAFE,
            why=_reason(verdict, text) if verdict else "",
            reveals=tuple(escape(item, 400) for item in revealed(node)) if verdict and isinstance(node, Call) else (),
        )
        if isinstance(node, Call) and (node.items or node.pairs):
            yield _filled(node, show)


def _told(event: Event, show: Renderer, names: dict[int, str]) -> tuple[str, str]:
    """The act in a word, and how it is written. What a call gives is given a name."""
    node, number = event.node, len(names) + 1
    if isinstance(node, Call):
        text = show.call(node)
        names[id(node)] = f"_{number}"
        return "call", f"_{number} = {text}"
    if isinstance(node, Build):
        return "state", f"{show.value(node.target)}.__setstate__({show.value(node.state)})"
    if isinstance(node, Persistent):
        names[id(node)] = f"_{number}"
        return "persistent", f"_{number} = persistent_load({show.value(node.id)})"
    if isinstance(node, Extension):
        return "extension", f"extension {node.code} of the process's registry"
    assert isinstance(node, Global)
    return "import", f"from {escape(node.name.module)} import {escape(node.name.name)}"


def _filled(call: Call, show: Renderer) -> Step:
    """What is put into an object that a call made."""
    count = len(call.items) + len(call.pairs)
    first: Value = next(iter(call.items or [key for key, _ in call.pairs[:1]]))
    text = f"{show.value(call)} is given {count:,} items, the first of which is {show.value(first)}"
    return Step(offset=call.offset, act="items", text=text)


def _reason(deed: Deed, text: str) -> str:
    """What a deed adds to the text of its step."""
    _, colon, why = deed.message.rpartition(": ")
    return why if colon and deed.message.startswith("would") else deed.message
