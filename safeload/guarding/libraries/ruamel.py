"""ruamel.yaml: `YAML(typ="unsafe")`, and whatever else is made of its constructor of Python's own objects."""

from __future__ import annotations

from safeload.guarding.doors import Function, Library

LIBRARY = Library(
    name="ruamel",
    doors=tuple(
        Function(
            homes=(f"ruamel.yaml.constructor:Constructor.{name}",),
            why="the document names a class or function, and this loader would import it",
            remedy="YAML(typ='safe')",
        )
        for name in ("find_python_module", "find_python_name", "make_python_instance")
    ),
)
