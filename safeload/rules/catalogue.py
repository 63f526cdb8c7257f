"""What known callables can do, so that a finding can say more than "not listed".

The catalogue only decides how loud a finding is: what is missing here is still outside the allowlist. Its entries come
from public advisories (picklescan, fickling, torch, keras, joblib) and from the documentation of the libraries.
Standard-library modules need no entry to be dangerous; theirs only make the message precise.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType

from safeload.core.names import GlobalName
from safeload.rules.abilities import (
    ANY,
    CODE,
    COMMAND,
    FILE,
    IMPORT,
    LEAK,
    LOADER,
    MAKE,
    NATIVE,
    NETWORK,
    PROCESS,
    RESOLVE,
    UNPICKLE,
)
from safeload.rules.catalogue_libraries import LIBRARY_ABILITIES
from safeload.rules.catalogue_stdlib import STDLIB_ABILITIES
from safeload.rules.stdlib_names import STDLIB

__all__ = [
    "ALIASES",
    "ANY",
    "CODE",
    "COMMAND",
    "FILE",
    "IMPORT",
    "KNOWN",
    "LEAK",
    "LOADER",
    "MAKE",
    "NATIVE",
    "NETWORK",
    "PROCESS",
    "RESOLVE",
    "STDLIB",
    "UNPICKLE",
    "ability",
    "is_stdlib",
    "looks_like",
    "whatever_it_is",
]

KNOWN: Mapping[str, Mapping[str, str]] = MappingProxyType({**STDLIB_ABILITIES, **LIBRARY_ABILITIES})
"""By module, then by name; `*` stands for every other name of the module and of the modules below it."""

_DEEPEST = max(module.count(".") for module in KNOWN) + 1

ALIASES = frozenset(
    (
        *("os", "sys", "subprocess", "posix", "nt", "pty", "shutil", "socket", "ctypes", "importlib", "runpy"),
        *("builtins", "pickle", "marshal", "operator", "system", "popen", "Popen", "check_output", "check_call"),
        *("getoutput", "getstatusoutput", "exec", "eval", "execfile", "execWrapper", "runstring", "getattr"),
        *("setattr", "attrgetter", "methodcaller", "partial", "import_module", "load_module", "resolve_name"),
        *("run_path", "run_module", "urlopen", "urlretrieve", "CDLL", "FunctionType", "CodeType", "LambdaType"),
        "load_library",
    )
)
"""Names that mean the same wherever they are imported from: modules re-export what they import."""


def is_stdlib(module: str) -> bool:
    """Whether a module belongs to the standard library of any Python."""
    return module.partition(".")[0] in STDLIB


_LOOKALIKES = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u0501\u051b\u051d\u04bb\u0491"
    "\u03bf\u03b1\u03b5\u03c1\u03bd\u03b9\u03ba\u03c4\u03c5\u03c7\u03b3",
    "aeopcyxijsdqwhroaepviktuxy",
)
"""Cyrillic and Greek letters that look like Latin ones."""


def looks_like(module: str) -> str:
    """The known module that a name with letters of other alphabets imitates; empty if it imitates none."""
    if module.isascii():
        return ""
    plain = unicodedata.normalize("NFKC", module).casefold().translate(_LOOKALIKES)
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", plain) if letter.isascii())
    if not all(part.isidentifier() for part in plain.split(".")):
        return ""
    return plain if plain.partition(".")[0] in _packages() else ""


@functools.cache
def _packages() -> frozenset[str]:
    """The packages of all known modules, without case."""
    return frozenset(name.partition(".")[0].casefold() for name in (*STDLIB, *KNOWN))


def ability(name: GlobalName) -> str | None:
    """What a callable is known to be able to do; `None` for one that the catalogue does not know."""
    module = name.module
    exact = KNOWN.get(module)
    if exact is not None and name.name in exact:
        return exact[name.name]
    parts = module.split(".", _DEEPEST)[:_DEEPEST]  # a foreign name may have a million
    for length in range(len(parts), 0, -1):
        names = KNOWN.get(".".join(parts[:length]))
        if names is not None and ANY in names:
            return names[ANY]
    return None


def whatever_it_is(name: GlobalName) -> bool:
    """Whether the catalogue has this very name or the whole package, so that being a class is no excuse."""
    exact = KNOWN.get(name.module, {}).get(name.name)
    return bool(exact) if exact is not None else ANY in KNOWN.get(name.module.partition(".")[0], {})
