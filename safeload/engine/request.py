"""What one load asks for, in the words of the libraries that safeload stands in front of."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Purpose = Literal["model", "config", "tokenizer", "processor", "generation", "adapter", "pipeline", "everything"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to reach the hub: the arguments that `huggingface_hub` takes, with its meanings."""

    cache_dir: str | os.PathLike[str] | None = None
    token: str | bool | None = None
    local_files_only: bool = False
    force_download: bool = False
    proxies: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to admit. Everything that decides which files a load would read is here, and nothing else."""

    purpose: Purpose = "everything"
    """`everything` admits all that any loader could want; the others leave out what their loader never reads.
    `adapter` is for a model that is there already: the adapter's base is not followed."""
    revision: str | None = None
    subfolder: str = ""
    variant: str | None = None
    use_safetensors: bool | None = None
    gguf_file: str | None = None
    also: tuple[str, ...] = ()
    """Names under which further weights may lie, best first: those of a language adapter. The first that exists is
    admitted; it is no error if none does."""
    trust_remote_code: bool | None = None
    """`True` asks for code from the model, which needs an approval; `False` and `None` never do."""
    native_types: frozenset[str] | None = None
    """The `model_type`s that the calling library has classes for; `None` if nobody knows."""
    task: str | None = None
    """The pipeline task, where one was named."""
    access: Access = Access()
    adapter: Mapping[str, Any] | None = None
    """`adapter_kwargs`: revision, subfolder and token of an adapter that differ from the model's."""

    @property
    def wants_weights(self) -> bool:
        return self.purpose in ("model", "pipeline", "everything")
