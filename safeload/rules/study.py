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

from typing import NamedTuple

from safeload.core.allowlist import Allowlist, Effect, Entry, Use
from safeload.core.blob import Blob, Extent, MemoryBlob
from safeload.core.finding import Status
from safeload.core.graph import (
    Acting,
    Build,
    Call,
    Dict,
    Extension,
    Global,
    How,
    List,
    Node,
    Persistent,
    Reading,
    Span,
    Tuple,
    Value,
)
from safeload.core.machine import read_pickle
from safeload.core.names import GlobalName, Location, escape
from safeload.rules.amounts import Amounts
from safeload.rules.arguments import LOUD, LOUD_FOR_NEW, Arguments
from safeload.rules.called_names import NO_IMPORT, Account, Enough, Kind, Names
from safeload.rules.element_types import Types, wrong_state
from safeload.rules.estimators import LOOKED_AT, Estimators
from safeload.rules.handed_on import Handed, Late, again, reaching
from safeload.rules.indirect import (
    Hidden,
    class_of,
    excused,
    hidden_calls,
    looks_up_one,
    plain_bytes,
    spelled,
    wrong_arguments,
)
from safeload.rules.mapped import subclasses
from safeload.rules.render import call_text, callee_text
from safeload.rules.traps import Traps, stateless
from safeload.rules.truncated import cut_line
from safeload.rules.values import globals_as_values
from safeload.rules.zones import looks_zone_up, named_zone, strays

CALL = "call"
IMPORT = "import"
UNLISTED = "unlisted"
BUILD = "build"
WRITE = "write"
AMOUNT = "amount"


class Deed(NamedTuple):
    """Something a pickle would do that the allowlist does not allow."""

    kind: str
    """Which rule reports it: `call`, `import`, `unlisted`, `build`, `write`, `amount`."""
    status: Status
    offset: int
    subject: str
    """The name it is about, escaped; findings about the same subject are grouped."""
    message: str
    evidence: tuple[str, ...]
    again: list[int]
    """Where the very same is done once more: a stream may do it a million times."""


class Study(NamedTuple):
    """Everything that is wrong with one reading, in the order of the stream."""

    deeds: list[Deed]
    unjudged: tuple[int, str] | None
    """From where on nothing was judged, because that would have taken too long, and why."""

    def of(self, kind: str) -> list[Deed]:
        return [deed for deed in self.deeds if deed.kind == kind] if self.deeds else []


def study(reading: Reading, allowlist: Allowlist, *, level: int = 0) -> Study:
    """Judge every act of a reading. Total, and proportional to its bytes; see `Account`."""
    if not reading.trace:  # it only holds data
        return Study([], None)
    student = _Student(reading, allowlist, level)
    student.run()
    return Study(student.deeds, student.unjudged)


_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_STREAMS = 5
_WRITTEN_OUT = 1_000
"""Calls and values of a stream that are written out in a message; findings are listed by the hundred."""
_LEVELS = 4
_STORAGES = 2_000
"""Constants of a stream that torch would load; each holds five pickles, and no file may have more than ten thousand."""
_CONVERTING = frozenset({"builtins", "collections"})
"""Modules whose containers and numbers are made of other objects."""
_FILLED = frozenset({"builtins", "collections", "copyreg", "sklearn.utils._bunch"})
"""Modules of what picklers fill with items."""


class _Student:
    def __init__(self, reading: Reading, allowlist: Allowlist, level: int) -> None:
        self.reading = reading
        self.level = level
        self.allowlist = allowlist
        self.deeds: list[Deed] = []
        self.done: dict[tuple[str, str, str, tuple[str, ...]], Deed] = {}
        self.alike: dict[tuple[GlobalName, How], tuple[tuple[Deed, ...], bool, bool]] = {}
        self.noted: list[Deed] = []  # what was said of the call at hand
        self.unjudged: tuple[int, str] | None = None
        self.account = Account(reading.end - reading.start)
        self.names = Names(allowlist, self.account)
        self.amounts = Amounts(reading.end - reading.start)
        self.traps = Traps()
        self.handed_on = Handed(allowlist)
        self.late = Late()
        self.arguments = Arguments(reading.end - reading.start)
        self.written_out = 0
        self.settled: dict[Node | int, tuple[tuple[Deed, ...], Entry | None]] = {}  # by what states are set on
        self.sprung: dict[Call, str] = {}  # why the states or items of a call are a trap
        self.estimators = Estimators(reading, self.account.look)
        self.types = Types(self.account.look)
        self.data: dict[tuple[int, type], bool] = {}  # by the identity of bytes: whether torch would load only data
        # Nodes hash by identity; `id` would be an event to every audit hook.
        self.reported: set[Global] = set()  # those that a call or state already accounts for
        self.excused: set[Global] = set()  # … and those whose only uses are known to be harmless
        self.lookups: set[Call] = set()  # how named time zones are made: harmless where that is all that is done
        self.cut = cut_line(reading)

    def run(self) -> None:
        imports: list[Global] = []
        node: Acting | None = None
        try:
            for node in self.reading.trace:
                late = self.late.noted(node)
                if isinstance(node, Global):
                    imports.append(node)
                elif isinstance(node, Build):
                    self.build(node, late)
                else:
                    self.act(node)
            if self.excused:
                self.excused -= globals_as_values(self.reading)
            for one in strays(self.reading, self.lookups) if self.lookups else ():
                why = "it looks an attribute up, and more is done with that than making a named time zone"
                self.dangerous_call(one, "builtins.getattr", why)
            for call, why in self.estimators.wrong():
                self.unlooked(call, why)
            self.excused |= subclasses(self.reading, imports)
            for node in imports:
                self.imported(node)
        except Enough as enough:
            assert node is not None, "only what is judged takes time"
            self.unjudged = (node.offset, str(enough))
        self.deeds.sort(key=lambda deed: deed.offset)

    def act(self, node: Acting) -> None:
        if isinstance(node, Call):
            self.judge(node)
            if node.items or node.pairs:
                self.written(node)
        elif isinstance(node, Extension):
            message = f"uses entry {node.code} of the process's extension registry, which can be any function"
            self.add(IMPORT, Status.DANGEROUS, node.offset, f"extension {node.code}", message)

    def add(
        self, kind: str, status: Status, offset: int, subject: str, message: str, evidence: tuple[str, ...] = ()
    ) -> None:
        said = (kind, subject, message, evidence)
        known = self.done.get(said)
        if known is None:
            self.done[said] = known = Deed(kind, status, offset, subject, message, evidence, [])
            self.deeds.append(known)
        else:
            known.again.append(offset)
        self.noted.append(known)

    def in_words(self, value: Value) -> str:
        """A value or call as a person would write it; beyond the first thousand only what kind of thing it is."""
        self.written_out += 1
        if self.written_out <= _WRITTEN_OUT:
            return call_text(value) if isinstance(value, Call) else callee_text(value)
        if isinstance(value, Call) and isinstance(value.callee, Global):
            return f"{self.kind(value.callee.name).text}(…)"
        return "a computed object"

    # ── names ───────────────────────────────────────────────────────────────────────────────────────────────

    def kind(self, name: GlobalName) -> Kind:
        return self.names.kind(name)

    def entry_of(self, made: Value) -> Entry | None:
        """The entry of what a call calls."""
        return self.kind(made.callee.name).entry if isinstance(made, Call) and isinstance(made.callee, Global) else None

    def imported(self, node: Global) -> None:
        """Judge an import that no call or state accounted for already."""
        if node in self.reported or node in self.excused:
            return
        kind = self.kind(node.name)
        if kind.entry is not None:
            return
        if kind.on_sight and not (kind.danger == NO_IMPORT and node.offset == self.cut):
            message = f"would import {kind.text}: {kind.danger}"
            self.add(IMPORT, Status.DANGEROUS, node.offset, kind.text, message)
        elif kind.danger:
            message = f"would import {kind.text} from the standard library, which is outside the allowlist"
            self.add(UNLISTED, Status.UNVERIFIED, node.offset, kind.text, message)
        else:
            self.unlisted(node, kind, node.offset)

    def unlisted(self, node: Global, kind: Kind, offset: int) -> None:
        self.reported.add(node)
        if not kind.unlisted:
            library = escape(node.name.module.partition(".")[0])
            why = "which is outside the allowlist: an ordinary reader would import"
            kind.unlisted = f"names {kind.text}, {why} {library}"
        self.add(UNLISTED, Status.UNVERIFIED, offset, kind.text, kind.unlisted)

    # ── calls ───────────────────────────────────────────────────────────────────────────────────────────────

    def judge(self, call: Call) -> None:
        """Judge a call of the trace; of one callable without arguments, whose calls are all alike, only the first."""
        callee, plain = call.callee, call.how is How.NEWOBJ
        if not isinstance(callee, Global) or not _without_arguments(call) or callee.name in LOOKED_AT:
            self.called(callee, call, plain=plain)
            return
        alike = (callee.name, call.how)
        if (known := self.alike.get(alike)) is None:
            self.noted = []
            self.called(callee, call, plain=plain)
            self.alike[alike] = (tuple(self.noted), callee in self.reported, callee in self.excused)
            return
        deeds, reported, excused = known
        for deed in deeds:
            deed.again.append(call.offset)
        if reported:
            self.reported.add(callee)
        if excused:
            self.excused.add(callee)

    def called(self, callee: Value, call: Call, *, plain: bool, level: int = 0) -> None:
        """Judge the call of `callee`; `plain` where only `__new__` runs and the constructor does not."""
        callee = class_of(callee)
        if not isinstance(callee, Global):
            if named_zone(call) is None:
                self.computed(callee, call)
            return
        kind = self.kind(callee.name)
        if kind.entry is not None:
            self.allowed(kind.entry, call, plain=plain, level=level)
        elif looks_zone_up(call) and level == 0:
            self.excused.add(callee)
            self.lookups.add(call)
        elif callee.name in LOOKED_AT and level == 0:
            self.estimator(callee, call)
        elif excused(callee.name, call, self.allowlist) or self.loads_only_data(callee, call):
            self.excused.add(callee)
        elif kind.danger:
            self.dangerous(callee, call, kind.danger)
        else:
            self.foreign(callee, kind, call, plain=plain)

    def estimator(self, callee: Global, call: Call) -> None:
        """One whose numbers compiled code follows: as harmless as those numbers, which are looked at last of all."""
        self.estimators.add(call)
        self.excused.add(callee)

    def unlooked(self, call: Call, why: str) -> None:
        text = self.kind(call.callee.name).text if isinstance(call.callee, Global) else ""
        message = f"makes a {text}, whose numbers compiled code follows without looking: {why}"
        self.add(UNLISTED, Status.UNVERIFIED, call.offset, text, message)

    def loads_only_data(self, callee: Global, call: Call) -> bool:
        """Whether a call is torch's loading of a storage from bytes in this stream, and those were read and allowed."""
        if callee.name != ("torch.storage", "_load_from_bytes") or self.level >= _LEVELS:
            return False
        items = call.args.items if isinstance(call.args, Tuple) else ()
        if len(items) != 1:
            return False
        same = (id(spelled(items[0])), type(items[0]))  # a text, or bytes that a call makes of it
        if same not in self.data:
            if len(self.data) >= _STORAGES:
                raise Enough(f"it has more than {_STORAGES:,} constants that torch would load")
            self.data[same] = self.holds_only_data(plain_bytes(items[0]))
        return self.data[same]

    def holds_only_data(self, data: Value) -> bool:
        if not isinstance(data, (bytes, Span)):
            return False
        blob: Blob = MemoryBlob(data) if isinstance(data, bytes) else Extent(self.reading.blob, data.start, data.length)
        place, offset = Location("bytes"), 0
        for number in range(_LEGACY_STREAMS):
            inner = read_pickle(blob, offset, location=place)
            if inner.fault is not None or inner.anomalies or (number == 0 and inner.value != _MAGIC):
                return False
            found = study(inner, self.allowlist, level=self.level + 1)
            if found.deeds or found.unjudged is not None:
                return False
            offset = inner.end
        return True

    def computed(self, callee: Value, call: Call) -> None:
        what = "a persistent object" if isinstance(callee, Persistent) else self.in_words(callee)
        self.dangerous_call(call, what, "what is called here is only known while it runs")

    def dangerous(self, callee: Global, call: Call, why: str) -> None:
        self.reported.add(callee)
        self.dangerous_use(call, callee.name, why)

    def dangerous_use(self, call: Call, name: GlobalName, why: str) -> None:
        self.dangerous_call(call, self.kind(name).text, why)

    def dangerous_call(self, call: Call, subject: str, why: str) -> None:
        """The deed of a call; beyond the first thousand of a stream without the arguments, which take time to write."""
        if self.written_out >= _WRITTEN_OUT:
            self.add(CALL, Status.DANGEROUS, call.offset, subject, f"would call {subject}(…): {why}")
        else:
            evidence = tuple(f"{kind}: {text}" for kind, text in self.arguments.signs(call))
            message = f"would call {self.in_words(call)}: {why}"
            self.add(CALL, Status.DANGEROUS, call.offset, subject, message, evidence)

    def foreign(self, callee: Global, kind: Kind, call: Call, *, plain: bool) -> None:
        """Rules 2 and 4: a callable of a library, outside the allowlist and unknown to the catalogue."""
        signs = self.arguments.signs(call)
        if signs and (found := {sign for sign, _ in signs} & (LOUD_FOR_NEW if plain else LOUD)):
            self.dangerous(callee, call, f"nobody vouches for it, and its arguments hold {_list(sorted(found))}")
        elif not plain and kind.able and not _without_arguments(call):
            self.dangerous(callee, call, f"it {kind.able}")
        elif plain or kind.rebuilds:
            self.unlisted(callee, kind, call.offset)
        else:
            self.dangerous(callee, call, "it is a function outside the allowlist, and no pickler's own helper")

    def allowed(self, entry: Entry, call: Call, *, plain: bool, level: int) -> None:
        """Judge the use of an allowlisted name against its entry."""
        name = entry.name
        if isinstance(call.args, Tuple) and call.args.items:
            self.account.look(len(call.args.items))
            self.sized(name, call)
        if entry.use is Use.NAME:
            self.misused(call, name, f"calls {name}, which is allowed only as a value")
        elif entry.use is Use.NEW and not plain and not _without_arguments(call):
            self.misused(call, name, f"calls the constructor of {name} with arguments, as no pickler does")
        elif entry.use is Use.MEMBER and not looks_up_one(call):
            self.dangerous_use(call, name, "it does not look up a member, but makes a class of its arguments")
        elif not _keyless(call):
            what = f"gives keyword arguments to {name}, as no pickler does"
            if entry.effect is Effect.RECORD:
                self.misused(call, name, what)
            else:
                self.dangerous_use(call, name, "its keyword arguments reach what no pickler writes")
        elif why := wrong_arguments(name, call) or self.handed_on.wrong(name, call):
            self.dangerous_use(call, name, why)
        elif entry.effect is not Effect.RECORD and name != ("collections", "defaultdict"):
            # The factory of a defaultdict is judged as a name: nothing calls it while the file is read.
            self.handed(name, call, level)

    def sized(self, name: GlobalName, call: Call) -> None:
        """Account for what an allowlisted callable makes of sizes, and of what it takes over."""
        if what := self.amounts.excess(name, call):
            self.add(AMOUNT, Status.UNDECIDED, call.offset, self.kind(name).text, f"{what}: {self.in_words(call)}")

    def handed(self, name: GlobalName, call: Call, level: int) -> None:
        """Judge what an allowlisted helper is given: some call it, some look into it."""
        hidden = hidden_calls(name, call)
        for inner in hidden:
            self.hidden(inner, call, level + 1)
        told = {inner.callee for inner in hidden}
        for argument in call.args.items if isinstance(call.args, Tuple) else ():
            if isinstance(argument, Global) and argument not in told:
                given = self.kind(argument.name).entry
                if given is not None and given.use in (Use.NEW, Use.NAME):
                    self.misused(call, argument.name, f"hands {argument.name} to {name}, which might call it")
            elif isinstance(argument, Call) and isinstance(argument.callee, Global) and name.module in _CONVERTING:
                given = self.kind(argument.callee.name).entry
                if given is not None and (given.use is Use.NEW or given.effect is Effect.RECORD):
                    made = argument.callee.name
                    self.misused(call, made, f"converts an object of {made} by {name}, which calls methods of it")

    def hidden(self, inner: Hidden, call: Call, level: int) -> None:
        """A call that an allowlisted helper would make for the stream."""
        if isinstance(inner.args, List):
            self.account.look(len(inner.args.items))
        args = Tuple(tuple(inner.args.items), 1) if isinstance(inner.args, List) else inner.args
        if level > _LEVELS or not isinstance(args, Tuple):
            self.computed(inner.callee, call)
            return
        made = Call(inner.callee, args, inner.kwargs, How.NEWOBJ if inner.plain else How.REDUCE, call.offset, 1)
        self.called(inner.callee, made, plain=inner.plain, level=level)

    def misused(self, call: Call, subject: GlobalName, message: str) -> None:
        evidence = (self.in_words(call),) if self.written_out < _WRITTEN_OUT else ()
        self.add(UNLISTED, Status.UNVERIFIED, call.offset, str(subject), message, evidence)

    # ── states and items ────────────────────────────────────────────────────────────────────────────────────

    def build(self, node: Build, late: str) -> None:
        """Judge the setting of a state. What is said of the target alone is worked out once."""
        target, state, offset = node.target, node.state, node.offset
        same = target if isinstance(target, Node) else id(target)
        known = self.settled.get(same)
        if known is None:
            self.noted = []
            self.state_set_on(target, offset)
            known = self.settled[same] = tuple(self.noted), self.entry_of(target)
        else:
            for deed in known[0]:
                deed.again.append(offset)
        if not isinstance(target, Call):
            return
        if why := late or again(target, known[1], node) or reaching(state, self.account.look):
            message = f"would set a state on {self.in_words(target)}, {why}"
            self.add(BUILD, Status.DANGEROUS, offset, str(class_of(target.callee)), message)
        if type(state) is not Tuple:
            return
        self.amounts.state(state)
        if self.sets_class(state):
            message = f"would change the class of {self.in_words(target)} after it was made"
            self.add(BUILD, Status.DANGEROUS, offset, "__class__", message)

    def state_set_on(self, target: Value, offset: int) -> None:
        if isinstance(target, Global):
            self.reported.add(target)
            subject = self.kind(target.name).text
            message = f"would set attributes on {subject} itself, for the whole process"
            self.add(BUILD, Status.DANGEROUS, offset, subject, message)
        elif not isinstance(target, Call):
            what = self.in_words(target)
            self.add(BUILD, Status.DANGEROUS, offset, what, f"would set attributes on {what}, which no call made")
        else:
            entry = self.entry_of(target)
            if entry is not None and entry.use is Use.MEMBER:
                message = f"would set attributes on {self.in_words(target)}, which the whole process shares"
                self.add(BUILD, Status.DANGEROUS, offset, str(entry.name), message)
            self.trapped(target, entry, offset)

    def sets_class(self, state: Value) -> bool:
        """Whether the half of a state that goes through `setattr` names `__class__`."""
        if not (isinstance(state, Tuple) and len(state.items) == 2 and isinstance(state.items[1], Dict)):
            return False
        pairs = state.items[1].pairs
        self.account.look(len(pairs))
        return any(key == "__class__" for key, _ in pairs if isinstance(key, str))

    def trapped(self, call: Call, entry: Entry | None, offset: int) -> None:
        """Something that an unpickler would call instead of setting a state or adding items."""
        name = call.callee.name if isinstance(call.callee, Global) else None
        message = self.sprung.get(call)  # a reading is complete, so all that is said of an object holds throughout
        if message is None:
            why = self.trap(call, name, entry)
            message = self.sprung[call] = f"would set a state or items on {self.in_words(call)}, {why}" if why else ""
        if message:
            self.add(BUILD, Status.DANGEROUS, offset, str(name or "a computed object"), message)

    def trap(self, call: Call, name: GlobalName | None, entry: Entry | None) -> str:
        if entry is not None and entry.effect is not Effect.RECORD and stateless(entry.name):
            return "which may be any object that it was handed"
        if wrong := wrong_state(call, self.types):
            return wrong
        if (name is None or name.module != "collections") and (found := self.traps.sprung(call)):
            return f"whose {found} would be called instead"
        return ""

    def written(self, call: Call) -> None:
        """Items that would be written into a tensor or array, one foreign index at a time."""
        entry = self.entry_of(call)
        if call.items:
            self.trapped(call, entry, call.offset)
        if entry is not None and entry.effect is not Effect.RECORD and entry.name.module not in _FILLED:
            message = f"would write items into {self.in_words(call)} while it is being read"
            self.add(WRITE, Status.DANGEROUS, call.offset, str(entry.name), message)


def _list(words: list[str]) -> str:
    return " and ".join(("an " if word[0] in "aeiou" else "a ") + word if word != "code" else word for word in words)


def _without_arguments(call: Call) -> bool:
    return isinstance(call.args, Tuple) and not call.args.items and _keyless(call)


def _keyless(call: Call) -> bool:
    return call.kwargs is None or (isinstance(call.kwargs, Dict) and not call.kwargs.pairs)
