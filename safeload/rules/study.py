"""What one pickle would do to an ordinary unpickler, judged against the allowlist.

Several rules look at the same reading, so it is studied once. Every import, call, state and extension code of the
trace is judged; what is not allowed becomes an `Deed` for the rule that owns its kind.

A name is allowed only if the allowlist has exactly that pair, and it is used as its entry says. For the rest:

1. a name of the standard library, one in the catalogue, one that reaches through an object, or one that modules
   re-export from there, is dangerous to call;
2. so is a function of any other library whose arguments are a command, code, an address or a pickle, or that is not
   shaped like the constructors and rebuilding helpers that picklers write;
3. a callee that is itself computed is dangerous: nothing says what it will be;
4. everything else outside the allowlist is unverified.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from safeload.core.allowlist import Allowlist, Effect, Entry, Use
from safeload.core.blob import Blob, Extent, MemoryBlob
from safeload.core.finding import Status
from safeload.core.graph import (
    Build,
    Call,
    Dict,
    Extension,
    Global,
    How,
    List,
    Persistent,
    Reading,
    Span,
    Tuple,
    Value,
)
from safeload.core.machine import read_pickle
from safeload.core.names import GlobalName, Location, escape
from safeload.rules.arguments import LOUD, LOUD_FOR_NEW, Arguments
from safeload.rules.catalogue import ALIASES, ability, is_stdlib, looks_like, whatever_it_is
from safeload.rules.element_types import wrong_state
from safeload.rules.indirect import Hidden, class_of, excused, hidden_calls, looks_up_one, plain_bytes, wrong_arguments
from safeload.rules.render import call_text, callee_text
from safeload.rules.traps import Traps, stateless
from safeload.rules.values import globals_as_values

CALL = "call"
IMPORT = "import"
UNLISTED = "unlisted"
BUILD = "build"
WRITE = "write"


class Deed(NamedTuple):
    """Something a pickle would do that the allowlist does not allow."""

    kind: str
    """Which rule reports it: `call`, `import`, `unlisted`, `build`, `write`."""
    status: Status
    offset: int
    subject: str
    """The name it is about, escaped; findings about the same subject are grouped."""
    message: str
    evidence: tuple[str, ...] = ()


class Study:
    """Everything that is wrong with one reading, in the order of the stream."""

    __slots__ = ("deeds",)

    def __init__(self, deeds: list[Deed]) -> None:
        self.deeds = deeds

    def of(self, kind: str) -> list[Deed]:
        return [deed for deed in self.deeds if deed.kind == kind]


def study(reading: Reading, allowlist: Allowlist, *, level: int = 0) -> Study:
    """Judge every act of a reading. Total, and proportional to the trace."""
    student = _Student(reading, allowlist, level)
    student.run()
    return Study(student.deeds)


class _Kind(NamedTuple):
    """What a name is, whatever is done with it."""

    entry: Entry | None = None
    danger: str = ""
    """Why calling it is dangerous; empty where nothing says so."""
    on_sight: bool = False
    """Whether naming it is bad enough."""


_CLASS = re.compile(r"_{0,2}[A-Z]")
_REBUILDER = re.compile(
    r"_\w{0,80}?(?:re)?(?:build|construct|ctor|unpickle|unreduce|restore|new|make|create|from|load_type)"
    r"|build_|restore_type_tag|newObj"
)
"""Lower-case names of helpers that picklers write: private ones, those of Cython, and a few public ones."""

_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_STREAMS = 5
_WRITTEN_OUT = 1_000
"""Dangerous calls of a stream that are told with their arguments; findings are listed by the hundred."""
_LEVELS = 4


class _Student:
    def __init__(self, reading: Reading, allowlist: Allowlist, level: int) -> None:
        self.reading = reading
        self.level = level
        self.allowlist = allowlist
        self.deeds: list[Deed] = []
        self.names: dict[GlobalName, _Kind] = {}
        self.told: dict[GlobalName, tuple[str, str]] = {}  # what is said of a name, however often it is used
        self.traps = Traps()
        self.arguments = Arguments()
        self.written_out = 0
        self.stated: dict[GlobalName, tuple[str, str]] = {}
        self.reported: set[int] = set()  # identities of globals that a call or state already accounts for
        self.excused: set[int] = set()  # … and of those whose only uses are known to be harmless

    def run(self) -> None:
        imports: list[Global] = []
        for node in self.reading.trace:
            if isinstance(node, Call):
                self.called(node.callee, node, plain=node.how is How.NEWOBJ)
                if node.items or node.pairs:
                    self.written(node)
            elif isinstance(node, Build):
                self.build(node, node.offset)
            elif isinstance(node, Global):
                imports.append(node)
            elif isinstance(node, Extension):
                message = f"uses entry {node.code} of the process's extension registry, which can be any function"
                self.add(IMPORT, Status.DANGEROUS, node.offset, f"extension {node.code}", message)
        if self.excused:
            self.excused -= globals_as_values(self.reading)
        for name in imports:
            self.imported(name)
        self.deeds.sort(key=lambda deed: deed.offset)

    def add(
        self, kind: str, status: Status, offset: int, subject: str, message: str, evidence: tuple[str, ...] = ()
    ) -> None:
        self.deeds.append(Deed(kind, status, offset, subject, message, evidence))

    # ── names ───────────────────────────────────────────────────────────────────────────────────────────────

    def kind(self, name: GlobalName) -> _Kind:
        known = self.names.get(name)
        if known is None:
            known = self.names[name] = self.classify(name)
        return known

    def classify(self, name: GlobalName) -> _Kind:
        entry = self.allowlist.get(name)
        if entry is not None:
            return _Kind(entry)
        parts = name.name.split(".")
        able = ability(GlobalName(name.module, parts[0]))
        if is_stdlib(name.module):
            why = f"it {able}" if able else "it belongs to the standard library and is outside the allowlist"
            return _Kind(danger=why, on_sight=bool(able) or len(parts) > 1)
        if imitated := looks_like(name.module):
            return _Kind(danger=f"its module only looks like {escape(imitated)}", on_sight=True)
        if not all(part.isidentifier() for part in (*parts, *name.module.split("."))):
            return _Kind(danger="it is not a name that an import statement could spell", on_sight=True)
        if any(part in ALIASES or (part.startswith("__") and part.endswith("__")) for part in parts):
            return _Kind(danger="modules carry this name of the standard library along", on_sight=True)
        if len(parts) > 1 and not all(_CLASS.match(part) for part in parts):
            return _Kind(danger="it reaches through an object to another", on_sight=True)
        if able and (not _CLASS.match(parts[-1]) or whatever_it_is(name)):
            return _Kind(danger=f"it {able}", on_sight=True)
        return _Kind()

    def imported(self, node: Global) -> None:
        """Judge an import that no call or state accounted for already."""
        if id(node) in self.reported or id(node) in self.excused:
            return
        kind = self.kind(node.name)
        if kind.entry is not None:
            return
        name = str(node.name)
        if kind.on_sight:
            self.add(IMPORT, Status.DANGEROUS, node.offset, name, f"would import {name}: {kind.danger}")
        elif kind.danger:
            message = f"would import {name} from the standard library, which is outside the allowlist"
            self.add(UNLISTED, Status.UNVERIFIED, node.offset, name, message)
        else:
            self.unlisted(node, node.offset)

    def unlisted(self, node: Global, offset: int) -> None:
        self.reported.add(id(node))
        told = self.told.get(node.name)
        if told is None:
            library = escape(node.name.module.partition(".")[0])
            message = f"names {node.name}, which is outside the allowlist: an ordinary reader would import {library}"
            told = self.told[node.name] = (str(node.name), message)
        self.add(UNLISTED, Status.UNVERIFIED, offset, *told)

    # ── calls ───────────────────────────────────────────────────────────────────────────────────────────────

    def called(self, callee: Value, call: Call, *, plain: bool, level: int = 0) -> None:
        """Judge the call of `callee`; `plain` where only `__new__` runs and the constructor does not."""
        callee = class_of(callee)
        if not isinstance(callee, Global):
            self.computed(callee, call)
            return
        kind = self.kind(callee.name)
        if kind.entry is not None:
            self.allowed(kind.entry, call, plain=plain, level=level)
        elif excused(callee.name, call, self.allowlist) or self.loads_only_data(callee, call):
            self.excused.add(id(callee))
        elif kind.danger:
            self.dangerous(callee, call, kind.danger)
        else:
            self.foreign(callee, call, plain=plain)

    def loads_only_data(self, callee: Global, call: Call) -> bool:
        """Whether a call is torch's loading of a storage from bytes in this stream, and those were read and allowed."""
        if callee.name != ("torch.storage", "_load_from_bytes") or self.level >= _LEVELS:
            return False
        items = call.args.items if isinstance(call.args, Tuple) else ()
        data = plain_bytes(items[0]) if len(items) == 1 else None
        if not isinstance(data, (bytes, Span)):
            return False
        blob: Blob = MemoryBlob(data) if isinstance(data, bytes) else Extent(self.reading.blob, data.start, data.length)
        place, offset = Location("bytes"), 0
        for number in range(_LEGACY_STREAMS):
            inner = read_pickle(blob, offset, location=place)
            if inner.fault is not None or inner.anomalies or (number == 0 and inner.value != _MAGIC):
                return False
            if study(inner, self.allowlist, level=self.level + 1).deeds:
                return False
            offset = inner.end
        return True

    def computed(self, callee: Value, call: Call) -> None:
        what = "a persistent object" if isinstance(callee, Persistent) else "a computed object"
        if self.written_out < _WRITTEN_OUT and not isinstance(callee, Persistent):
            what = callee_text(callee)
        self.dangerous_call(call, what, "what is called here is only known while it runs")

    def dangerous(self, callee: Global, call: Call, why: str) -> None:
        self.reported.add(id(callee))
        self.dangerous_use(call, callee.name, why)

    def dangerous_use(self, call: Call, name: GlobalName, why: str) -> None:
        self.dangerous_call(call, str(name), why)

    def dangerous_call(self, call: Call, subject: str, why: str) -> None:
        """The deed of a call; beyond the first thousand of a stream without the arguments, which take time to write."""
        self.written_out += 1
        if self.written_out > _WRITTEN_OUT:
            self.add(CALL, Status.DANGEROUS, call.offset, subject, f"would call {subject}(…): {why}")
        else:
            evidence = tuple(f"{kind}: {text}" for kind, text in self.arguments.signs(call))
            self.add(CALL, Status.DANGEROUS, call.offset, subject, f"would call {call_text(call)}: {why}", evidence)

    def foreign(self, callee: Global, call: Call, *, plain: bool) -> None:
        """Rules 2 and 4: a callable of a library, outside the allowlist and unknown to the catalogue."""
        found = {kind for kind, _ in self.arguments.signs(call)} & (LOUD_FOR_NEW if plain else LOUD)
        last = callee.name.name.rpartition(".")[2]
        if found:
            self.dangerous(callee, call, f"nobody vouches for it, and its arguments hold {_list(sorted(found))}")
        elif not plain and (able := ability(callee.name)) and not _without_arguments(call):
            self.dangerous(callee, call, f"it {able}")
        elif plain or _CLASS.match(last) or _REBUILDER.match(last):
            self.unlisted(callee, call.offset)
        else:
            self.dangerous(callee, call, "it is a function outside the allowlist, and no pickler's own helper")

    def allowed(self, entry: Entry, call: Call, *, plain: bool, level: int) -> None:
        """Judge the use of an allowlisted name against its entry."""
        name = entry.name
        if entry.use is Use.NAME:
            self.misused(call, name, f"calls {name}, which is allowed only as a value")
        elif entry.use is Use.NEW and not plain and not _without_arguments(call):
            self.misused(call, name, f"calls the constructor of {name} with arguments, as no pickler does")
        elif entry.use is Use.MEMBER and not looks_up_one(call):
            self.dangerous_use(call, name, "it does not look up a member, but makes a class of its arguments")
        elif why := wrong_arguments(name, call):
            self.dangerous_use(call, name, why)
        elif entry.effect is not Effect.RECORD and name != ("collections", "defaultdict"):
            # The factory of a defaultdict is judged as a name: nothing calls it while the file is read.
            self.handed(name, call, level)

    def handed(self, name: GlobalName, call: Call, level: int) -> None:
        """Judge what an allowlisted helper is given: some call it, some look into it."""
        hidden = hidden_calls(name, call)
        for inner in hidden:
            self.hidden(inner, call, level + 1)
        told = {id(inner.callee) for inner in hidden}
        for argument in call.args.items if isinstance(call.args, Tuple) else ():
            if isinstance(argument, Global) and id(argument) not in told:
                given = self.kind(argument.name).entry
                if given is not None and given.use in (Use.NEW, Use.NAME):
                    self.misused(call, argument.name, f"hands {argument.name} to {name}, which might call it")
            elif isinstance(argument, Call) and isinstance(argument.callee, Global) and name.module == "builtins":
                given = self.kind(argument.callee.name).entry
                if given is not None and given.use is Use.NEW:
                    made = argument.callee.name
                    self.misused(call, made, f"converts an object of {made} by {name}, which calls methods of it")

    def hidden(self, inner: Hidden, call: Call, level: int) -> None:
        """A call that an allowlisted helper would make for the stream."""
        args = Tuple(tuple(inner.args.items), 1) if isinstance(inner.args, List) else inner.args
        if level > _LEVELS or not isinstance(args, Tuple):
            self.computed(inner.callee, call)
            return
        made = Call(inner.callee, args, None, How.NEWOBJ if inner.plain else How.REDUCE, call.offset, 1)
        self.called(inner.callee, made, plain=inner.plain, level=level)

    def misused(self, call: Call, subject: GlobalName, message: str) -> None:
        self.written_out += 1
        evidence = (call_text(call),) if self.written_out <= _WRITTEN_OUT else ()
        self.add(UNLISTED, Status.UNVERIFIED, call.offset, str(subject), message, evidence)

    # ── states and items ────────────────────────────────────────────────────────────────────────────────────

    def build(self, node: Build, offset: int) -> None:
        target = node.target
        if isinstance(target, Global):
            self.reported.add(id(target))
            subject, message = self.states_of(target)
            self.add(BUILD, Status.DANGEROUS, offset, subject, message)
        elif not isinstance(target, Call):
            what = callee_text(target)
            self.add(BUILD, Status.DANGEROUS, offset, what, f"would set attributes on {what}, which no call made")
        else:
            entry = self.kind(target.callee.name).entry if isinstance(target.callee, Global) else None
            if entry is not None and entry.use is Use.MEMBER:
                message = f"would set attributes on {call_text(target)}, which the whole process shares"
                self.add(BUILD, Status.DANGEROUS, offset, str(entry.name), message)
            self.trapped(target, entry, offset)
            if _sets_class(node.state):
                message = f"would change the class of {call_text(target)} after it was made"
                self.add(BUILD, Status.DANGEROUS, offset, "__class__", message)

    def states_of(self, target: Global) -> tuple[str, str]:
        """A global whose attributes would be set, and what to say of it: put into words once, however often it is."""
        known = self.stated.get(target.name)
        if known is None:
            subject = str(target.name)
            known = (subject, f"would set attributes on {subject} itself, for the whole process")
            self.stated[target.name] = known
        return known

    def trapped(self, call: Call, entry: Entry | None, offset: int) -> None:
        """Something that an unpickler would call instead of setting a state or adding items."""
        name = call.callee.name if isinstance(call.callee, Global) else None
        why = ""
        if entry is not None and entry.effect is not Effect.RECORD and stateless(entry.name):
            why = "which may be any object that it was handed"
        elif wrong := wrong_state(call):
            why = wrong
        elif (name is None or name.module != "collections") and (found := self.traps.sprung(call)):
            why = f"whose {found} would be called instead"
        if why:
            message = f"would set a state or items on {call_text(call)}, {why}"
            self.add(BUILD, Status.DANGEROUS, offset, str(name or "a computed object"), message)

    def written(self, call: Call) -> None:
        """Items that would be written into a tensor or array, one foreign index at a time."""
        entry = self.kind(call.callee.name).entry if isinstance(call.callee, Global) else None
        if call.items:
            self.trapped(call, entry, call.offset)
        if entry is not None and entry.effect is Effect.REBUILD and entry.name.module != "copyreg":
            message = f"would write items into {call_text(call)} while it is being read"
            self.add(WRITE, Status.DANGEROUS, call.offset, str(entry.name), message)


def _list(words: list[str]) -> str:
    return " and ".join(("an " if word[0] in "aeiou" else "a ") + word if word != "code" else word for word in words)


def _without_arguments(call: Call) -> bool:
    empty = isinstance(call.args, Tuple) and not call.args.items
    return empty and (call.kwargs is None or (isinstance(call.kwargs, Dict) and not call.kwargs.pairs))


def _sets_class(state: Value) -> bool:
    """Whether the half of a state that goes through `setattr` names `__class__`."""
    if not (isinstance(state, Tuple) and len(state.items) == 2 and isinstance(state.items[1], Dict)):
        return False
    return any(key == "__class__" for key, _ in state.items[1].pairs if isinstance(key, str))
