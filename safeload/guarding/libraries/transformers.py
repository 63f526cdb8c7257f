"""transformers: every class with `from_pretrained`, `pipeline`, and what fetches code."""

from __future__ import annotations

import sys
from typing import Any

from safeload.guarding.doors import Function, Library, Methods

_CODE = "it is code of a model, and safeload runs only what was approved, in the course of a load"
_KERNEL = "it is native code from a repository, which no policy lists"
_LISTED = "once a policy lists it, a model may ask for it: safeload kernel ORG/NAME"
_LOAD = "AutoModel.from_pretrained(…, trust_remote_code=True); see: safeload approve"


def _are_judged(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether whatever the library asks for is held to the policies' lists, as it is once safeload loaded a model."""
    kernels = sys.modules.get("safeload.transformers._kernels")
    return kernels is not None and bool(kernels.is_installed())


LIBRARY = Library(
    name="transformers",
    doors=(
        Methods(
            library="transformers",
            pattern=r"from_pretrained|from_\w*_pretrained|_?from_config",
            ours="safeload.transformers",
            guards="safeload.transformers._surface.guards",
        ),
        Function(homes=("transformers.pipelines:pipeline",), ours="safeload.transformers.pipeline"),
        *(
            Function(
                homes=(f"transformers.dynamic_module_utils:{name}", f"transformers.generation.utils:{name}"),
                why=_CODE,
                remedy=_LOAD,
                inside=True,
            )
            for name in ("get_class_in_module", "get_cached_module_file")
        ),
        *(
            Function(
                homes=(f"transformers.integrations.hub_kernels:{name}",),
                why=_KERNEL,
                remedy=_LISTED,
                inside=True,
                passes=_are_judged,
            )
            for name in ("load_and_register_attn_kernel", "get_kernel")
        ),
    ),
)
