"""kernels: native code from the hub."""

from __future__ import annotations

from safeload.guarding.doors import Function, Library

LIBRARY = Library(
    name="kernels",
    doors=(
        Function(
            homes=("kernels:get_kernel", "kernels.utils:get_kernel"),
            why="it is native code from a repository, which no policy lists",
            remedy="once a policy lists it, a model may ask for it: safeload kernel ORG/NAME",
            inside=True,
        ),
    ),
)
