"""The arguments of transformers' loaders: what becomes of each before the genuine call.

Three things can happen to an argument. It says where the model is and how to reach it: then it goes to admission, and
the genuine call gets the admitted directory instead. It would weaken the load: then the call is refused. All others
mean to the library what they always meant.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from safeload.core.errors import UsageError
from safeload.core.names import escape
from safeload.engine.request import Access, Purpose, Request

ACCESS = ("cache_dir", "token", "local_files_only", "force_download", "proxies")
_OLD_ACCESS = ("use_auth_token", "resume_download", "mirror", "local_dir_use_symlinks")
DROPPED = ("_commit_hash", "code_revision", *_OLD_ACCESS)
IMPLEMENTATIONS = ("attn_implementation", "experts_implementation")

_KERNEL = "it is native code from a repository; transformers' own loaders take those that a policy lists"
_REFUSED_IF_TRUE: Mapping[str, tuple[str, str]] = {
    "use_kernels": (_KERNEL, "leave it out"),
    "kernel_config": (_KERNEL, "leave it out"),
    "allow_all_kernels": (
        "it asks for native code of any repository, and only what a policy lists is run",
        "leave it out; a kernel is listed by what this prints: safeload kernel org/name",
    ),
    "custom_generate": ("it is code from a repository", "leave it out"),
    "from_tf": ("transformers 5 cannot read TensorFlow weights", "convert them with transformers 4 first"),
    "from_flax": ("transformers 5 cannot read Flax weights", "convert them with transformers 4 first"),
    "transformers_weights": ("it would name files that were not admitted", "pass a directory that holds those files"),
    "configuration_files": ("it would name files that were not admitted", "pass a directory that holds those files"),
    "auto_map": ("it names code", "leave it out"),
}


def screen(named: dict[str, Any], *, coded: bool = False, kernels: bool = False) -> None:
    """Refuse the arguments that would weaken a load, and take out those that must not reach the library.

    Args:
        coded: the caller honours `code_revision`, and takes it out itself: see `take_request`.
        kernels: the caller sees to kernels, see `_kernels`.

    Raises:
        UsageError: names the argument and what to do instead.
    """
    for name, (why, remedy) in _REFUSED_IF_TRUE.items():
        if named.get(name) and not (kernels and name in ("use_kernels", "kernel_config")):
            raise UsageError(f"{name}={escape(repr(named[name]), 80)} is refused", why=why, remedy=remedy)
    if named.get("weights_only") is False:
        raise UsageError(
            "weights_only=False is refused",
            why="it asks for unpickling, which safeload never does; checkpoints with other objects load without it",
            remedy="leave weights_only out",
        )
    for name in IMPLEMENTATIONS:
        if (repository := next(repositories(named.get(name)), None)) is not None:
            takes_none = name == "experts_implementation"
            if kernels and not takes_none:
                continue
            raise UsageError(
                f"{name}={escape(repository)!r} is refused",
                why="the library has no experts of repositories" if takes_none else _KERNEL,
                remedy=f"{name}='{'grouped_mm' if takes_none else 'sdpa'}', 'eager' or another one that is installed",
            )
    if not coded:
        refuse_code_revision(named)
    for name in ("weights_only", "from_tf", "from_flax", *DROPPED):
        if not (coded and name == "code_revision"):
            named.pop(name, None)


def refuse_code_revision(named: Mapping[str, Any]) -> None:
    """Say where it cannot be honoured; where no code is asked for, it has no meaning.

    Raises:
        UsageError: it is given, and so is trust.
    """
    if named.get("code_revision") is not None and named.get("trust_remote_code"):
        raise UsageError(
            f"code_revision={escape(repr(named['code_revision']), 80)} is refused",
            why="this loader takes code of other repositories as their main branch is",
            remedy="leave it out: other code than the one that was approved is refused anyway",
        )


def repositories(implementation: Any) -> Iterator[str]:
    """The repositories that an `attn_implementation`, a name or a nested dictionary of names, refers to."""
    if isinstance(implementation, str) and "/" in implementation:
        yield implementation
    elif isinstance(implementation, dict):
        for value in implementation.values():
            yield from repositories(value)


def take_request(named: dict[str, Any], purpose: Purpose, native_types: frozenset[str] | None) -> Request:
    """Take out of a call's keywords all that says where the model is, and make the request for its admission."""
    return Request(
        purpose=purpose,
        revision=plain_revision(named.pop("revision", None)),
        subfolder=str(named.pop("subfolder", "") or ""),
        variant=named.pop("variant", None),
        use_safetensors=named.pop("use_safetensors", None),
        gguf_file=named.get("gguf_file"),
        trust_remote_code=named.pop("trust_remote_code", None),
        code_revision=plain_revision(named.pop("code_revision", None)),
        native_types=native_types,
        access=take_access(named),
        adapter=named.pop("adapter_kwargs", None) or None,
    )


def take_access(named: dict[str, Any]) -> Access:
    """How to reach the hub."""
    given = {name: named.pop(name) for name in ACCESS if name in named}
    for name in ("local_files_only", "force_download"):
        if name in given:
            given[name] = bool(given[name])
    return Access(**given)


def plain_revision(revision: Any) -> str | None:
    """The revision as a plain string: the library has a kind of string that equals `main` and carries a commit."""
    if revision is None:
        return None
    commit = getattr(revision, "commit_hash", None)
    return commit if isinstance(commit, str) else str.__str__(revision)


def checked_config(config: Any, kernels: Callable[[list[str]], None] | None = None) -> Any:
    """A config object as it may reach a genuine call: without entries that steer the load to other files.

    The caller's object is left as it is; a copy is returned if something had to go.

    Args:
        kernels: sees to repositories of native code that it names as its attention, see `_kernels.require`.

    Raises:
        UsageError: the config names a repository of native code as an implementation.
    """
    for part in _parts(config):
        for name in ("_attn_implementation_internal", "_experts_implementation_internal"):
            if (repository := next(repositories(vars(part).get(name)), None)) is not None:
                key = name.removesuffix("_internal")
                if kernels is not None and "attn" in name:
                    kernels([*repositories(vars(part).get(name))])
                    continue
                raise UsageError(
                    f"this config asks for {escape(repository)!r}",
                    where=f"config.{key}",
                    why=_KERNEL,
                    remedy=f"config.{key} = 'sdpa', or pass {key[1:]}='sdpa'",
                )
    steering = ("transformers_weights", "fusion_config", "custom_pipelines")
    if any(name in vars(part) for part in _parts(config) for name in steering):
        config = copy.deepcopy(config)
        for part in _parts(config):
            for name in steering:
                vars(part).pop(name, None)
    return config


def _parts(config: Any) -> Iterator[Any]:
    """A config and every config within it."""
    pending, seen = [config], set()
    while pending:
        part = pending.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        pending.extend(value for value in vars(part).values() if is_config(value))


def is_config(value: object) -> bool:
    """Whether a value is one of the library's model configs."""
    return any(base.__name__ == "PreTrainedConfig" for base in type(value).__mro__)
