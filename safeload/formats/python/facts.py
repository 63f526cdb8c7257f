"""What a source uses: every name from outside, in full, with its place and when it happens."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from safeload.formats.base import Part
from safeload.formats.python import folding
from safeload.formats.python.source import Source


class When(enum.Enum):
    """When something happens."""

    IMPORT = "import"
    """As soon as the module is imported."""
    CALL = "call"
    """When somebody calls a function of it."""
    NEVER = "never"
    """Only when the file is run as a program, or never: `if __name__ == "__main__"`, `if TYPE_CHECKING`."""


class Kind(enum.Enum):
    """What is done with a name."""

    CALL = "call"
    NAME = "name"
    """It is named, and so can be called wherever it gets to."""
    IMPORT = "import"
    ASSIGN = "assign"
    """It, or an attribute of it, is replaced."""


@dataclass(frozen=True, slots=True)
class Use:
    """One use of one thing from outside."""

    name: str
    """In full: `os.system`, `builtins.open`, `?.write_text` for an attribute of something unknown."""
    kind: Kind
    line: int
    when: When
    arguments: tuple[folding.Plain | None, ...] = ()
    """Of a call: the positional arguments that are constants, and `None` for the others."""
    keywords: Mapping[str, folding.Plain | None] = field(default_factory=dict)
    inside: str = ""
    """Of what stands in a text that is executed: the function that executes it."""


@dataclass(frozen=True, slots=True)
class Edge:
    """An import of another file of the same code."""

    module: str
    """As written from this file: `.blocks`, `..common.layers`."""
    names: tuple[str, ...]
    """What is imported from it: modules, or names within one."""
    line: int
    optional: bool = False
    """Whether the code goes on if it is not there: the import is tried, and its failure is handled."""


@dataclass(frozen=True, slots=True)
class Unfollowed:
    """A place where what is imported, executed or looked up depends on what is only known when it runs."""

    what: str
    line: int


class Facts(Part):
    """Everything that one module says about itself."""

    source: Source
    uses: tuple[Use, ...]
    edges: tuple[Edge, ...]
    unfollowed: tuple[Unfollowed, ...]
    classes: tuple[str, ...]
    """The names of its top-level classes and functions."""
    texts: tuple[tuple[int, folding.Plain], ...]
    """Text and bytes put together from pieces, by line: what a reader does not see at a glance."""
    strings: tuple[tuple[int, str | bytes], ...]
    """Every text that is written out, by line, without docstrings."""
    spelled: tuple[tuple[int, str], ...]
    """Identifiers that hold other than ASCII letters, as they are written, by line."""

    @property
    def imports(self) -> frozenset[str]:
        """Top-level names of all modules imported from outside the code."""
        names = {use.name.partition(".")[0] for use in self.uses if use.kind is Kind.IMPORT}
        return frozenset(name for name in names if name)
