"""diffusers, with its loaders guarded: `from safeload.diffusers import X` for any public `X` of the library.

    from safeload.diffusers import DiffusionPipeline, AutoencoderKL                  # was: from diffusers import …

Promised: what these return is what diffusers returns, of exactly its classes; nothing in the files ran but code that
was approved and asked for with `trust_remote_code=True`. Every component that a pipeline names belongs to diffusers or
transformers, or is in an approved file of its folder; so is the class of the pipeline, if it is one of its own, and a
program that a call names with `custom_pipeline=`. Single files in any checkpoint format become safetensors first.
Options of safeload ride in one keyword: `safeload=Options(…)`.

Guarded are all classes with `from_pretrained` or `from_single_file`, and what loads more into a pipeline afterwards:
LoRA weights, textual inversions, IP adapters, components of modular pipelines. All other names are the library's own
objects. Not guarded is whatever your code imports from `diffusers` itself.

Refused, for the time being: connected pipelines, ONNX, flashpack, and pipelines of the library's community by their
names. They are programs, or bring some.

Raises, on use: `PolicyDenied` with every reason; `UsageError` for arguments that would weaken the load, or if the
library is missing or too old; `SourceError`, `MalformedInput`, `VerificationFailed`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffusers import *  # noqa: F403


def __getattr__(name: str) -> Any:
    if name.startswith("_") and name != "__all__":
        raise AttributeError(f"module 'safeload.diffusers' has no attribute {name!r}")
    from safeload.diffusers._surface import show

    value = show(name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    from safeload.diffusers._surface import library

    return [name for name in dir(library()) if not name.startswith("_")]
