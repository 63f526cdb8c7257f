"""What one load asks for, in the words of the libraries that safeload stands in front of."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from safeload.core.errors import UsageError

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

    def __post_init__(self) -> None:
        if self.purpose not in get_args(Purpose):
            raise UsageError(
                f"purpose={self.purpose!r} does not exist",
                why=f"it is one of {', '.join(get_args(Purpose))}",
                remedy="Request(purpose='everything')",
            )
        for name in ("use_safetensors", "trust_remote_code"):
            if getattr(self, name) not in (True, False, None):
                raise UsageError(
                    f"{name}={getattr(self, name)!r} is neither True, False nor None",
                    why="a text such as 'false' would count as true",
                    remedy=f"{name}=False",
                )
        for name in ("revision", "variant", "gguf_file", "task", "subfolder"):
            if not isinstance(getattr(self, name), str) and (name == "subfolder" or getattr(self, name) is not None):
                raise UsageError(
                    f"{name}={getattr(self, name)!r} is not a text",
                    why=f"it is a {type(getattr(self, name)).__name__}",
                    remedy=f"leave {name} out",
                )

    @property
    def wants_weights(self) -> bool:
        return self.purpose in ("model", "pipeline", "everything")
