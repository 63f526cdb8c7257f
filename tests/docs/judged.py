"""The file whose explanation docs/judgement.md shows."""

from __future__ import annotations

from tests.corpus.build import checkpoint, make_zip
from tests.generator.written import Built, Called, Name, pickled

_OS = Called(Name("builtins", "__import__"), "os")
_SOURCE = b"aW1wb3J0IG9zOyBvcy5zeXN0ZW0oInRvdWNoIG1hcmtlciIp"
_VALUE = {
    "hooks": Called(Called(Name("builtins", "getattr"), _OS, "system"), "touch marker"),
    "setup": Called(Name("builtins", "exec"), Called(Name("base64", "b64decode"), _SOURCE)),
    "config": Built(Called(Name("my_library.config", "Config")), {"layers": 12}),
    "order": Called(Name("collections", "OrderedDict")),
}
EXAMPLE = make_zip(checkpoint(pickled(_VALUE)))
