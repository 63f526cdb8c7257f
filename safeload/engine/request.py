"""What one load asks for, in the words of the libraries that safeload stands in front of."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from safeload.core.errors import UsageError
from safeload.core.names import escape
from safeload.core.paths import is_safe_relative

Purpose = Literal[
    "model",
    "config",
    "tokenizer",
    "processor",
    "generation",
    "generate",
    "code",
    "adapter",
    "pipeline",
    "parts",
    "layout",
    "everything",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to reach the hub: the arguments that `huggingface_hub` takes, with its meanings."""

    cache_dir: str | os.PathLike[str] | None = None
    token: str | bool | None = None
    local_files_only: bool = False
    force_download: bool = False
    proxies: Mapping[str, str] | None = None


_OF_ACCESS = frozenset(Access.__annotations__)
_OF_ADAPTERS = _OF_ACCESS | {"revision", "subfolder"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to admit. Everything that decides which files a load would read is here, and nothing else."""

    purpose: Purpose = "everything"
    """`everything` admits all that any loader could want; the others leave out what their loader never reads.
    `adapter` is for a model that is there already: the adapter's base is not followed. `generate` is for a function
    that generates, which needs nothing but its code; `code` is for a reference that is a file of Python itself, as
    `sources.program` reads it. `parts` is for libraries whose models are made of parts in
    folders: sentence-transformers, diffusers; `layout` is that without the weights."""
    revision: str | None = None
    subfolder: str = ""
    variant: str | None = None
    use_safetensors: bool | None = None
    gguf_file: str | None = None
    weights: tuple[str, ...] = ()
    """Names of the weights or their index, best first, for libraries that call them otherwise than transformers does.
    They keep their name, as safetensors and without the variant."""
    without: tuple[str, ...] = ()
    """Parts that are not loaded, because the caller brings them."""
    also: tuple[str, ...] = ()
    """Names under which further weights may lie, best first: those of a language adapter. The first that exists is
    admitted; it is no error if none does."""
    trust_remote_code: bool | None = None
    """`True` asks for code from the model, which needs an approval; `False` and `None` never do."""
    code_revision: str | None = None
    """At which commit, branch or tag the code of *other* repositories is taken; by default as their main branch is."""
    native_types: frozenset[str] | None = None
    """The `model_type`s that the calling library has classes for; `None` if nobody knows."""
    task: str | None = None
    """The pipeline task, where one was named."""
    access: Access = Access()
    adapter: Mapping[str, Any] | None = None
    """`adapter_kwargs`: where the adapter lies and how to reach it, where that differs from the model's. If there is
    no adapter in that place, it has no meaning."""

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
        for name in self.adapter or ():
            if name not in _OF_ADAPTERS:
                raise UsageError(
                    f"adapter_kwargs={{{name!r}: …}} has no meaning here",
                    why=f"known are {', '.join(sorted(_OF_ADAPTERS))}",
                    remedy=f"leave {name} out",
                )

    def of_adapter(self) -> Request:
        """The same request for the adapter that `adapter` names: its own words first, then the model's.

        Raises:
            UsageError: its subfolder lies outside the model.
        """
        own = {name: value for name, value in (self.adapter or {}).items() if value is not None}
        if self.access.token is not None:
            own.pop("token", None)
        access = replace(self.access, **{name: value for name, value in own.items() if name in _OF_ACCESS})
        subfolder = own.get("subfolder", "")
        if isinstance(subfolder, str):  # what it is otherwise, the new request says
            subfolder = "" if subfolder in ("", ".") else posixpath.normpath(subfolder)
            if subfolder and not is_safe_relative(subfolder):
                raise UsageError(
                    f"the adapter's subfolder {escape(subfolder)!r} was not used",
                    why="it must be a plain relative path within the model",
                    remedy="name the adapter itself: from_pretrained(adapter), or model.load_adapter(adapter)",
                )
        revision = own.get("revision", self.revision)
        return replace(self, access=access, revision=revision, subfolder=subfolder, variant=None, gguf_file=None)

    def of_model(self) -> Request:
        """The same request without an adapter."""
        return replace(self, adapter=None)

    def of_base(self) -> Request:
        """The request for the model that an adapter stands on, in the words the adapter was asked for by.

        transformers takes the revision and the variant for both; without it in sight, nobody said anything of the base.
        """
        revision, variant = (None, None) if self.purpose == "everything" else (self.revision, self.variant)
        return replace(
            self, revision=revision, variant=variant, subfolder="", gguf_file=None, weights=(), also=(), adapter=None
        )

    @property
    def wants_weights(self) -> bool:
        """Whether its purpose needs the weights at all."""
        return self.purpose in ("model", "pipeline", "parts", "everything")
