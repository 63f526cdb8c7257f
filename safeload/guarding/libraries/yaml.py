"""PyYAML: loaders that make objects of any class. They are given the safe loader instead.

Beneath them, for loaders that a program makes of those: what looks a name up, or makes an object of a class, refuses.
"""

from __future__ import annotations

from typing import Any

from safeload.guarding.doors import Function, Library

_UNSAFE = frozenset({"Loader", "CLoader", "UnsafeLoader", "CUnsafeLoader"})


def _safe(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a call of `load(stream, Loader)` names a loader that makes plain data, or one of the program's own."""
    loader = args[1] if len(args) > 1 else kwargs.get("Loader")
    return loader is not None and not (
        getattr(loader, "__module__", "").partition(".")[0] == "yaml" and getattr(loader, "__name__", "") in _UNSAFE
    )


def load(stream: Any, Loader: Any = None, *, safeload: Any = None) -> Any:
    """Plain data of a document; what names a class is an error of PyYAML's."""
    import yaml

    return yaml.safe_load(stream)


def load_all(stream: Any, Loader: Any = None, *, safeload: Any = None) -> Any:
    """The same, of all documents of a stream."""
    import yaml

    return yaml.safe_load_all(stream)


LIBRARY = Library(
    name="yaml",
    doors=(
        Function(homes=("yaml:load",), ours=f"{__name__}.load", passes=_safe),
        Function(homes=("yaml:load_all",), ours=f"{__name__}.load_all", passes=_safe),
        *(
            Function(
                homes=(f"yaml.constructor:UnsafeConstructor.{name}",),
                why="the document names a class or function, and this loader would import it",
                remedy="make the loader of yaml.SafeLoader, with a constructor for each tag of its own",
            )
            for name in ("find_python_module", "find_python_name", "make_python_instance")
        ),
        Function(homes=("yaml:unsafe_load",), ours=f"{__name__}.load"),
        Function(homes=("yaml:unsafe_load_all",), ours=f"{__name__}.load_all"),
    ),
)
