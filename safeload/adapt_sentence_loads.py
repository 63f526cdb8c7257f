"""What a load of sentence-transformers is made of, of a whole model or of one of its modules: the arguments that
say where it comes from, what may not be imported meanwhile, and where approved classes come from instead."""

from __future__ import annotations

import inspect
import os
import sys
from typing import Any

from safeload.core.errors import PolicyDenied, UsageError
from safeload.core.names import escape
from safeload.engine.request import Access, Request
from safeload.engine.seatbelt import Answers, Trap, worn
from safeload.transformers import _arguments
from safeload.transformers._code import Approved
from safeload.transformers._load import native_types

INNER = (
    *("model_kwargs", "processor_kwargs", "tokenizer_kwargs", "config_kwargs"),
    *("model_args", "automodel_args", "tokenizer_args", "config_args"),  # as they were called before
)
OUTER_ONLY = ("revision", "subfolder", "trust_remote_code", "local_files_only", *_arguments.ACCESS)
_BY_NAME, _IN_FILES = "import_from_string", "import_module_class"
"""Functions of the library: the first imports a class by its name, the second knows files of models as well."""
_OLD_ROUTER = "sentence_transformers.models.Router"
_LOOKS = "sentence_transformers.multi_vector_encoder.model"
"""Where the library only looks what kind of class it is, and goes on without an answer."""
_IMPORTS = ("sentence_transformers.", "torch.")
_UNSUPPORTED = ("gguf_file", "adapter_kwargs", "state_dict", "config", "offload_state_dict")


def traps() -> tuple[Trap, ...]:
    """Where the library imports a class by its name, in every place that has this function."""
    homes = [name for name in [*sys.modules] if name.startswith("sentence_transformers.")]
    return tuple(
        Trap(home, _BY_NAME, "import a class by its name", ImportError if home == _LOOKS else None, judge=_import)
        for home in homes
        if _BY_NAME in vars(sys.modules[home])
    )


def answers(approved: Approved) -> Answers:
    """Old routers import classes by their names alone, wherever they are. They get those that are approved instead."""
    router = sys.modules.get(_OLD_ROUTER)
    if not approved or router is None or _BY_NAME not in vars(router) or _IN_FILES in vars(router):
        return {}

    def imported(dotted_path: str) -> Any:
        if dotted_path.startswith(_IMPORTS):
            return inspect.unwrap(vars(router)[_BY_NAME])(dotted_path)
        module, _, name = dotted_path.rpartition(".")
        belt = worn()
        assert belt is not None  # only a belt asks
        for code in approved:
            if "." not in module and code.find("", f"{module}.py") is not None:
                try:
                    return code.load("", f"{module}.py", name)
                except PolicyDenied as denial:
                    belt.remember(denial)
                    raise
        belt.refuse(_import(dotted_path))

    return {(name, _BY_NAME): imported for name, module in [*sys.modules.items()] if module is router}  # it has two


def _import(dotted_path: object, *_: object, **__: object) -> str:
    """What it does: nothing worth a word for the library's own classes and the layers of torch. Where a class is in no
    file of the model, the library would go on to import whatever is installed under that name."""
    return "" if str(dotted_path).startswith(_IMPORTS) else f"import {escape(str(dotted_path))}"


# --- arguments ------------------------------------------------------------------------------------------------------


def take_access(named: dict[str, Any]) -> Access:
    """How to reach the hub, taken out of the call."""
    cache = named.pop("cache_folder", None) or named.pop("cache_dir", None)
    given = {
        "cache_dir": cache or os.environ.get("SENTENCE_TRANSFORMERS_HOME"),
        "token": named.pop("token", None) or named.pop("use_auth_token", None),
        "local_files_only": bool(named.pop("local_files_only", False)),
    }
    return Access(**given)


def take_request(named: dict[str, Any], access: Access, *, subfolder: str = "") -> Request:
    """Screen the arguments, and make the request.

    Raises:
        UsageError: one of them would weaken the load, or cannot be honoured.
    """
    if (backend := named.get("backend", "torch")) != "torch":
        raise UsageError(
            f"backend={escape(repr(backend))} is refused",
            why="safeload guards the torch backend; the others read programs of the model with a library of their own",
            remedy="leave backend out",
        )
    _arguments.screen(named)
    chosen: dict[str, Any] = {"variant": None, "use_safetensors": None}
    for group in INNER:
        if not named.get(group):
            continue
        inner = named[group] = dict(named[group])
        _arguments.screen(inner)
        for name in (*OUTER_ONLY, *_UNSUPPORTED):
            if inner.get(name):
                raise UsageError(
                    f"{group}={{{name!r}: …}} is refused",
                    why="it would load something else than was admitted",
                    remedy=f"pass {name} to the model itself" if name in OUTER_ONLY else f"leave {name} out",
                )
            inner.pop(name, None)
        chosen |= {name: inner.pop(name) for name in chosen if name in inner}
    return Request(
        purpose="parts",
        revision=named.pop("revision", None),
        subfolder=subfolder,
        trust_remote_code=named.pop("trust_remote_code", None) or None,
        native_types=native_types(),
        access=access,
        **chosen,
    )
