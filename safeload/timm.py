"""timm, with what loads weights guarded: `from safeload.timm import create_model`.

    from safeload.timm import create_model                                           # was: from timm import …

Promised: the model is what timm makes, with the weights that it would load, and nothing in their files runs.
`hf-hub:org/name@revision`, `local-dir:path`, `pretrained=True`, `checkpoint_path=…` and the `file` of a
`pretrained_cfg` go through admission. Options of safeload ride in one keyword: `safeload=Options(…)`.

`load_checkpoint` and `load_state_dict` of `timm.models` are offered here as well. All other names are the library's own
objects. Not guarded are `timm.models.resume_checkpoint`, which reads the training state that your own program wrote,
and whatever your code imports from `timm` itself.

Raises, on use: `PolicyDenied` with every reason; `UsageError` for weights at an address of their own (`url`), for
arguments that would weaken the load, or if the library is missing or too old; `SourceError`, `MalformedInput`,
`VerificationFailed`.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from safeload import adapt, adapt_after, adapt_library, adapt_models, adapt_submodules
from safeload.core.errors import UsageError
from safeload.core.names import escape
from safeload.engine.admission.admitted import Admission
from safeload.engine.request import Access, Purpose, Request

if TYPE_CHECKING:
    from timm import *  # noqa: F403

HOME = "safeload.timm"
OLDEST = "1.0.22"
_OF_MODELS = ("load_checkpoint", "load_state_dict")
_PREFERRED = (
    "model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.pth",
    "model.pth",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
)
"""What timm looks for in a directory, best first; then anything of these kinds."""
_KINDS = (".safetensors", ".pth", ".pth.tar", ".bin")
_HUB = ("hf-hub:", "hf_hub:", "hf-hub://", "hf_hub://")
_DIRECTORY = ("local-dir:", "local_dir:")
_PREFIXES = sorted((*_HUB, *_DIRECTORY), key=len, reverse=True)
_EMA = ("state_dict_ema", "model_ema")
_ARRAYS = (".npz", ".npy")


def library() -> ModuleType:
    """The installed timm. Raises `UsageError` if it is missing or too old."""
    return adapt_library.library("timm", distribution="timm", oldest=OLDEST, extra="timm")


def __getattr__(name: str) -> Any:
    if name.startswith("_") and name != "__all__":
        raise AttributeError(f"module {HOME!r} has no attribute {name!r}")
    module = library()
    value = getattr(module.models if name in _OF_MODELS else module, name)
    value = adapt_submodules.shown(value, name, home=HOME, guarded=_guarded)
    globals()[name] = value
    return value


def _guarded(value: Any, name: str) -> Any:
    if name == "create_model" and callable(value):
        return adapt.guarded_function(value, module=HOME, guard=_guard_create)
    if name in _OF_MODELS and getattr(value, "__module__", "").startswith("timm."):
        return adapt.guarded_function(value, module=HOME, guard=_guard_checkpoint)
    return value


def __dir__() -> list[str]:
    return sorted({name for name in dir(library()) if not name.startswith("_")} | set(_OF_MODELS))


# --- create_model ---------------------------------------------------------------------------------------------------


def _guard_create(call: adapt.Call) -> Any:
    """Guard `create_model`: whatever it would read is admitted, and the genuine function told to read that."""
    named = adapt.by_name(call)
    name = str(named.get("model_name", ""))
    title = next((name[len(prefix) :] for prefix in _PREFIXES if name.lower().startswith(prefix)), name)
    with adapt_models.Loading(title, call.options) as loading:
        undo = [_source(name, named, loading), _checkpoint(named, "checkpoint_path", loading)]
        model = loading.run(lambda: call.method(**named))
    for step in undo:
        step(model)
    adapt_after.hold_apart(model, loading.keeper)
    return model


def _source(name: str, named: dict[str, Any], loading: adapt_models.Loading) -> Callable[[Any], None]:
    """Admit where the name or the config says that the weights are; return what makes the model show that again."""
    access = Access(cache_dir=named.get("cache_dir"))
    for prefix in _PREFIXES:
        if name.lower().startswith(prefix):
            reference = name[len(prefix) :]
            request = _request(reference, named, access, hub=prefix in _HUB)
            return _whole(prefix, reference, request, named, loading)
    if not named.get("pretrained"):
        return _nothing
    cfg = _config(name, named)
    if cfg.get("state_dict"):
        return _nothing
    if cfg.get("file"):
        path, field = _admitted_file(str(cfg["file"]), loading), cfg["file"]
    elif cfg.get("hf_hub_id"):
        reference, _, revision = str(cfg["hf_hub_id"]).partition("@")
        names = _with_safe([str(cfg["hf_hub_filename"])] if cfg.get("hf_hub_filename") else _PREFERRED)
        request = Request(purpose="model", revision=revision or None, weights=names, access=access)
        admission = loading.admit(reference, request)
        path, field = _only_weights(admission), None
        if cfg.get("custom_load"):
            path = _as_arrays(path, loading)
    elif cfg.get("url"):
        raise UsageError(
            f"{escape(name)!r} has its weights at an address of their own",
            why=f"{escape(str(cfg['url']), 120)} is not a place that safeload resolves to a fixed version",
            remedy="download the file, then: create_model(…, checkpoint_path=file)",
        )
    else:
        return _nothing
    named["pretrained_cfg_overlay"] = {**(named.get("pretrained_cfg_overlay") or {}), "file": path}
    return lambda model: _show(model, {"file": field})


def _request(reference: str, named: dict[str, Any], access: Access, *, hub: bool) -> Request:
    """What timm would read of a repository or directory that has a config."""
    purpose: Purpose = "model" if named.get("pretrained") else "config"
    if hub:
        revision = reference.partition("@")[2]
        return Request(purpose=purpose, revision=revision or None, weights=_PREFERRED, access=access)
    names = sorted(os.listdir(reference)) if os.path.isdir(reference) else []
    others = [name for kind in _KINDS for name in names if name.endswith(kind)]
    return Request(purpose=purpose, weights=(*_PREFERRED, *others), access=access)


def _whole(
    prefix: str, reference: str, request: Request, named: dict[str, Any], loading: adapt_models.Loading
) -> Callable[[Any], None]:
    """A repository or directory with a config, handed over as a directory."""
    hub = prefix in _HUB
    for key in ("file", "url", "hf_hub_id", "source", "state_dict"):
        if (named.get("pretrained_cfg_overlay") or {}).get(key):
            raise UsageError(
                f"pretrained_cfg_overlay={{{key!r}: …}} is refused here",
                why="the name says already where the weights are",
                remedy="name the architecture alone, or leave it out",
            )
    place = reference.partition("@")[0] if hub else os.path.abspath(reference)
    if hub and request.purpose == "model":
        config = loading.admit(place, dataclasses.replace(request, purpose="config")).config or {}
        inner = config.get("pretrained_cfg") or config
        chosen = inner.get("hf_hub_filename") if isinstance(inner, dict) else None
        if isinstance(chosen, str) and chosen:
            request = dataclasses.replace(request, weights=_with_safe([chosen]))
        if isinstance(inner, dict) and inner.get("custom_load"):
            raise UsageError(
                f"{escape(reference)!r} has weights that only timm's own code for one architecture reads",
                why="custom_load is set in its config.json",
                remedy="create_model(architecture, checkpoint_path=file)",
            )
    admission = loading.admit(place, request)
    if request.purpose == "model":
        # By its path: older versions hand whatever lies in a directory to torch.load.
        overlay = {"source": "", "file": _only_weights(admission)}
        named["pretrained_cfg_overlay"] = {**(named.get("pretrained_cfg_overlay") or {}), **overlay}
    named["model_name"] = f"local-dir:{admission.path}"
    named.pop("cache_dir", None)
    if hub:
        return lambda model: _show(model, {"file": None, "source": "hf-hub", "hf_hub_id": reference})
    return lambda model: _show(model, {"file": reference, "source": "local-dir"})


def _config(name: str, named: dict[str, Any]) -> dict[str, Any]:
    """The settings by which timm would find the weights of a model that it knows by name."""
    models = library().models
    given = named.get("pretrained_cfg")
    base: Any = given
    if given is None or isinstance(given, str):
        known = f"{name.partition('.')[0]}.{given}" if given else name
        base = models.get_pretrained_cfg(known, allow_unregistered=True)
    if dataclasses.is_dataclass(base) and not isinstance(base, type):
        base = {field.name: getattr(base, field.name) for field in dataclasses.fields(base)}
    return {**(base or {}), **(named.get("pretrained_cfg_overlay") or {})}


def _with_safe(names: Iterable[str]) -> tuple[str, ...]:
    """The names with what timm prefers to each of them: the same as safetensors."""
    found: dict[str, None] = {}
    for name in names:
        stem = name.rsplit(".", 1)[0]
        alternatives = [f"{stem}.safetensors"] if not name.endswith(".safetensors") else []
        if name == "pytorch_model.bin":
            alternatives.insert(0, "model.safetensors")
        if name.startswith("open_clip_pytorch_model."):
            alternatives.insert(0, "open_clip_model.safetensors")
        found |= dict.fromkeys((*alternatives, name))
    return tuple(found)


def _show(model: Any, fields: dict[str, Any]) -> None:
    """Let a model's config say where its weights came from, as timm would have said it."""
    for holder in (getattr(model, "pretrained_cfg", None), getattr(model, "default_cfg", None)):
        if isinstance(holder, dict):
            for name, value in fields.items():
                holder[name] = value
                if value is None:
                    del holder[name]


def _nothing(model: Any) -> None:
    """Nothing to make good."""


# --- checkpoints ----------------------------------------------------------------------------------------------------


def _guard_checkpoint(call: adapt.Call) -> Any:
    """Guard `load_checkpoint` and `load_state_dict`."""
    named = adapt.by_name(call)
    adapt_models.refuse_unpickling(named)
    with adapt_models.Loading(str(named.get("checkpoint_path")), call.options) as loading:
        _checkpoint(named, "checkpoint_path", loading, use_ema=bool(named.get("use_ema", True)))
        result = loading.run(lambda: call.method(**named))
    if "model" not in named:
        result = {name: tensor.clone() for name, tensor in result.items()}  # they outlive the directory
    loading.keeper.close()
    return result


def _checkpoint(
    named: dict[str, Any], name: str, loading: adapt_models.Loading, *, use_ema: bool = True
) -> Callable[[Any], None]:
    """Admit the file that an argument names."""
    if named.get(name):
        reference = adapt_models.reference_in(named, name)
        if reference is not None:
            named[name] = _admitted_file(reference, loading, use_ema=use_ema)
    return _nothing


def _admitted_file(reference: str, loading: adapt_models.Loading, *, use_ema: bool = True) -> str:
    """The path of an admitted file of weights.

    Raises:
        UsageError: it holds two sets of weights, of which safeload hands over the other one than timm would take.
    """
    if not os.path.isfile(reference):
        raise UsageError(
            f"{escape(reference)!r} is no checkpoint", why="there is no such file", remedy="pass the path of a file"
        )
    admission = loading.admit(reference, Request(purpose="model"))
    if use_ema and any(f"'{entry}" in left.reason for entry in _EMA for left in admission.left_out):
        raise UsageError(
            f"{escape(reference)!r} holds averaged weights beside the others",
            why="timm would take the averaged ones",
            remedy=f"safeload convert {escape(reference)} --keys state_dict_ema., or use_ema=False",
        )
    path = _only_weights(admission)
    return _as_arrays(path, loading) if reference.lower().endswith(_ARRAYS) else path


def _only_weights(admission: Admission) -> str:
    """The admitted file of weights. Raises `UsageError` if there is none."""
    found = [file.path for file in admission.files if file.how in ("link", "converted")]
    if not found:
        raise UsageError(
            f"{escape(admission.reference)!r} has no weights that timm would load",
            why="no file of it has such a name",
            remedy=f"safeload scan {escape(admission.reference)}",
        )
    return os.path.join(admission.path, found[0])


def _as_arrays(path: str, loading: adapt_models.Loading) -> str:
    """The same weights as numpy's archive, for architectures that read those with code of their own."""
    import numpy as np
    from safetensors.numpy import load_file

    folder = tempfile.TemporaryDirectory(prefix="safeload-", ignore_cleanup_errors=True)
    loading.keeper.extend(_Folder(folder))
    target = os.path.join(folder.name, "weights.npz")
    arrays: dict[str, Any] = load_file(path)
    np.savez(target, **arrays)
    loading.admitted[folder.name] = loading.title
    return target


class _Folder:
    """A directory that goes when its keeper does."""

    def __init__(self, folder: tempfile.TemporaryDirectory[str]) -> None:
        self._folder = folder

    def close(self) -> None:
        self._folder.cleanup()
