"""What a pickle would do to an ordinary unpickler, as a sequence of steps that a person can read.

Each step is one act of the trace: `_2 = builtins.getattr(_1, 'system')`. Results have names, so that what is called
with them can be followed. Steps that the allowlist allows are many in a checkpoint, and are summed up where they follow
each other; a step that a rule has something to say about is always there, up to a limit that is told.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from safeload.core.finding import Status
from safeload.core.graph import Acting, Build, Call, Extension, Global, Persistent
from safeload.core.names import escape
from safeload.formats.base import PickleStream
from safeload.rules.arguments import Arguments
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
    """`import`, `call`, `state`, `persistent`, `extension`, `fault`; `allowed` for several in a row, `more` for the
    rest of very many."""
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
    writer = _Writer(part.reading.end - part.reading.start)
    judged = _verdicts(part, context)
    for node in part.reading.trace:
        verdict = judged.get(node.offset)
        if verdict is not None:
            writer.told(node, verdict)
        elif not isinstance(node, Global):  # an allowed import is told with what is done with it
            writer.allowed(node)
    return writer.finished(part)


def _verdicts(part: PickleStream, context: Context) -> dict[int, Deed]:
    """The worst deed at each offset."""
    judged: dict[int, Deed] = {}
    for deed in studied(part, context).deeds:
        for offset in (deed.offset, *deed.again):
            known = judged.get(offset)
            if known is None or deed.status > known.status:
                judged[offset] = deed
    return judged


class _Writer:
    """Writes steps, keeping few of those that are many."""

    def __init__(self, size: int) -> None:
        self.steps: list[Step] = []
        self.names: dict[int, str] = {}
        self.show = Renderer(self.names)
        self.arguments = Arguments(size)
        self.run: list[Step] = []  # the first allowed steps in a row
        self.run_length = 0
        self.run_calls: Counter[str] = Counter()
        self.omitted = 0
        self.worst: Deed | None = None

    def told(self, node: Acting, verdict: Deed) -> None:
        """A step that something is to be said about."""
        if self.steps and len(self.steps) >= _TOLD:
            self.omitted += 1
            if self.worst is None or verdict.status > self.worst.status:
                self.worst = verdict
            return
        self.end_run()
        act, text = _told(node, self.show, self.names)
        reveals = tuple(escape(item, 400) for item in self.arguments.revealed(node)) if isinstance(node, Call) else ()
        self.steps.append(
            Step(
                offset=node.offset,
                act=act,
                text=text,
                status=verdict.status,
                why=_reason(verdict),
                reveals=reveals,
            )
        )

    def allowed(self, node: Acting) -> None:
        """A step that the allowlist allows: written out only as long as it may stand alone."""
        self.run_length += 1
        if isinstance(node, Call):
            callee = node.callee
            self.run_calls[str(callee.name) if isinstance(callee, Global) else "a computed object"] += 1
        if self.run_length < _SUMMED:
            act, text = _told(node, self.show, self.names)
            self.run.append(Step(offset=node.offset, act=act, text=text))
        elif isinstance(node, (Call, Persistent)):
            self.names[id(node)] = f"_{len(self.names) + 1}"

    def end_run(self) -> None:
        """Allowed steps in a row as one, if they are many."""
        if self.run_length < _SUMMED:
            self.steps += self.run
        else:
            parts = [
                f"{name} ({number:,} times)" if number > 1 else name
                for name, number in self.run_calls.most_common(_KINDS)
            ]
            if len(self.run_calls) > _KINDS:
                parts.append("others")
            if others := self.run_length - self.run_calls.total():
                parts.append(f"{others:,} states and persistent objects")
            self.steps.append(
                Step(offset=self.run[0].offset, act="allowed", text=", ".join(parts), times=self.run_length)
            )
        self.run, self.run_length, self.run_calls = [], 0, Counter()

    def finished(self, part: PickleStream) -> tuple[Step, ...]:
        self.end_run()
        if self.worst is not None:
            text = f"… and {self.omitted:,} more steps to be judged, the worst of which {self.worst.message}"
            self.steps.append(
                Step(
                    offset=self.worst.offset,
                    act="more",
                    text=escape(text, 600),
                    status=self.worst.status,
                    times=self.omitted,
                )
            )
        if (fault := part.reading.fault) is not None:
            step = Step(offset=part.reading.end, act="fault", text="the rest cannot be read", status=Status.UNDECIDED)
            self.steps.append(replace(step, why=fault.why or fault.what))
        return tuple(self.steps)


def _told(node: Acting, show: Renderer, names: dict[int, str]) -> tuple[str, str]:
    """The act in a word, and how it is written. What a call gives is given a name."""
    number = len(names) + 1
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


def _reason(deed: Deed) -> str:
    """What a deed adds to the text of its step."""
    _, colon, why = deed.message.rpartition(": ")
    return why if colon and deed.message.startswith("would") else deed.message
