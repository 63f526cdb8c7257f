"""What the names in a pickle are: allowed, dangerous by themselves or when called, or merely unknown.

Each is looked at once, however often a stream uses it; and how many are looked at, and how many values that acts share,
has a limit: a stream of a megabyte can name a hundred thousand things, and hand one long list to as many calls.
"""

from __future__ import annotations

from safeload.core.allowlist import Allowlist, Entry
from safeload.core.names import GlobalName, escape
from safeload.later import Later
from safeload.rules.catalogue import ALIASES, ability, is_stdlib, looks_like, whatever_it_is

_LOOKS = 1_000_000
"""Values that are looked at for a stream, and one more for each of its bytes: acts may share arguments without end."""


_NAME = 8
"""Characters of a name that count as one value."""
_NAMES = 10_000
"""Different names that are judged; the largest pickles we know have a few hundred."""


class Enough(Exception):
    """So much was looked at that the rest stays unjudged. Never leaves `study`."""


class Account:
    """How many more values may be looked at for a stream of so many bytes."""

    def __init__(self, size: int) -> None:
        self.left = _LOOKS + size

    def look(self, values: int) -> None:
        """Account for values that are looked at once more for each act they are part of.

        Raises:
            Enough: they are so many that acts must share them; what was found until here stays.
        """
        self.left -= values
        if self.left < 0:
            raise Enough("its acts share more values than any pickler lets them")


class Kind:
    """What a name is, whatever is done with it: worked out once, however often it is used."""

    def __init__(self, name: GlobalName, entry: Entry | None) -> None:
        self.name = name
        self.entry = entry
        self.danger = ""
        """Why calling it is dangerous; empty where nothing says so."""
        self.on_sight = False
        """Whether naming it is bad enough."""
        self.able: str | None = None
        """What the catalogue says of a name that is no danger by itself."""
        self.rebuilds = False
        """Whether it is shaped like a constructor, or like a helper that picklers write."""
        self.unlisted = ""
        """What is said of a name outside the allowlist, once it was said."""

    @property
    def text(self) -> str:
        """The name, escaped."""
        return str(self.name)


_CLASS = Later(r"_{0,2}[A-Z]")
_REBUILDER = Later(
    r"_\w{0,80}?(?:re)?(?:build|construct|ctor|unpickle|unreduce|restore|new|make|create|from|load_type)"
    r"|build_|restore_type_tag|newObj"
)
"""Lower-case names of helpers that picklers write: private ones, those of Cython, and a few public ones."""


class Names:
    """The names of one stream."""

    def __init__(self, allowlist: Allowlist, account: Account) -> None:
        self.allowlist = allowlist
        self.account = account
        self.known: dict[GlobalName, Kind] = {}
        self.modules: dict[str, str] = {}  # what is wrong with each

    def kind(self, name: GlobalName) -> Kind:
        """What a name is. Raises `Enough` for one too many."""
        known = self.known.get(name)
        if known is None:
            if len(self.known) >= _NAMES:
                raise Enough(f"it names more than {_NAMES:,} different things")
            known = self.known[name] = self.classify(name)
        return known

    def classify(self, name: GlobalName) -> Kind:
        kind = Kind(name, self.allowlist.get(name))
        if kind.entry is None:
            kind.danger, kind.on_sight = self.danger(name, kind)
        return kind

    def danger(self, name: GlobalName, kind: Kind) -> tuple[str, bool]:
        """Why calling a name is dangerous, and whether naming it is; what else there is to know stays in `kind`."""
        self.account.look((len(name.module) + len(name.name)) // _NAME)  # a few parts may make many long names
        parts = name.name.split(".") if "." in name.name else [name.name]
        kind.able = able = ability(GlobalName(name.module, parts[0]))
        if is_stdlib(name.module):
            why = f"it {able}" if able else "it belongs to the standard library and is outside the allowlist"
            return why, bool(able) or len(parts) > 1
        if name.module not in self.modules:
            self.modules[name.module] = _odd_module(name.module)
        if why := self.modules[name.module]:
            return why, True
        for part in parts:
            if not part.isidentifier():
                return NO_IMPORT, True
        for part in parts:
            if part in ALIASES or (part.startswith("__") and part.endswith("__")):
                return "modules carry this name of the standard library along", True
        if len(parts) > 1 and not all(_CLASS.match(part) for part in parts):
            return "it reaches through an object to another", True
        if able and (not _CLASS.match(parts[-1]) or whatever_it_is(name)):
            return f"it {able}", True
        if len(parts) > 1:
            kind.able = ability(name)
        kind.rebuilds = (_CLASS.match(parts[-1]) or _REBUILDER.match(parts[-1])) is not None
        return "", False


NO_IMPORT = "it is not a name that an import statement could spell"


def _odd_module(module: str) -> str:
    """What is wrong with the name of a module outside the standard library."""
    if imitated := looks_like(module):
        return f"its module only looks like {escape(imitated)}"
    return "" if all(part.isidentifier() for part in module.split(".")) else NO_IMPORT
