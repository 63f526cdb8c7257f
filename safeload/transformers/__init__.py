"""transformers, with every loader guarded: `from safeload.transformers import X` for any public `X` of the library.

    from safeload.transformers import AutoModel, AutoTokenizer      # was: from transformers import …

Promised: what these return is what transformers returns, of exactly its classes; nothing in the model's files ran; and
`name_or_path` shows what you asked for. Options of safeload ride in one keyword: `safeload=Options(…)`.

Guarded are all classes with `from_pretrained`, `pipeline`, and what loads more into a model afterwards
(`load_adapter`, `generate(custom_generate=…)`, kernels), also where they are reached through submodules
(`transformers.models.bert`). All other names are the library's own objects. Not guarded are the Trainer's own
checkpoints, class methods of loaded classes (`type(model).from_pretrained(…)`), and whatever your code imports from
`transformers` itself.

Raises, on use: `PolicyDenied` with every reason; `UsageError` for arguments that would weaken the load, or if
transformers 5.20 and torch 2.10 or newer are not installed; `SourceError`, `MalformedInput`, `VerificationFailed`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import *  # noqa: F403


def __getattr__(name: str) -> object:
    if name.startswith("_") and name != "__all__":
        raise AttributeError(f"module 'safeload.transformers' has no attribute {name!r}")
    from safeload.transformers._surface import show

    value = show(name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    from safeload.transformers._surface import library

    return [name for name in dir(library()) if not name.startswith("_")]
