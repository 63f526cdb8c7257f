"""`from_single_file`, guarded: the file is admitted as safetensors, and the configs come from an admitted directory."""

from __future__ import annotations

import os
import re
import sys
from typing import Any

from safeload import adapt, adapt_models
from safeload.core.errors import UsageError
from safeload.core.names import escape
from safeload.diffusers import _load
from safeload.diffusers._code import TRAPS
from safeload.engine.request import Access, Request

_HOLDERS = ("pretrained_model_link_or_path", "pretrained_model_link_or_path_or_dict")
_LINK = re.compile(
    r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/(?P<id>[\w.\-]+/[\w.\-]+)/(?:blob|resolve)/"
    r"(?P<revision>[^/?#]+)/(?P<file>[^?#]+)"
)
_ID = re.compile(r"(?P<id>[\w.\-]+/[\w.\-]+)/(?P<file>[^?#:]+)")


def guard_from_single_file(call: adapt.Call) -> Any:
    """Guard `from_single_file` of pipelines and models.

    Raises:
        PolicyDenied: the file or the configs were refused, or the library tried what must not happen.
        UsageError: an argument would weaken the load, or the link leads to no fixed file.
    """
    named = adapt.by_name(call)
    named |= named.pop("kwargs", {}) if isinstance(named.get("kwargs"), dict) else {}
    holder = next((name for name in _HOLDERS if name in named), _HOLDERS[0])
    _load.screen(named)
    if not adapt.is_reference(named.get(holder)) or adapt.within_admitted(named[holder]):
        return call.method(*call.args, **call.kwargs)
    link = os.fspath(named[holder])
    _refuse_original(named)
    access, revision = adapt_models.take_access(named), named.pop("revision", None)
    named.pop("use_safetensors", None)
    named.pop("trust_remote_code", None)
    with adapt_models.Loading(link, call.options) as loading:
        path = _file(link, revision, access, loading)
        named[holder] = path
        _config(named, path, revision, access, loading, pipeline=_load.is_pipeline(call.owner))
        result = loading.run(lambda: call.method(**named, local_files_only=True), TRAPS)
    _load.finish(result, loading)
    return result


def _refuse_original(named: dict[str, Any]) -> None:
    """The settings of the program that trained the model may come from a file of the user's, and from nowhere else."""
    for name in ("original_config", "original_config_file"):
        value = named.get(name)
        if isinstance(value, (str, os.PathLike)) and not os.path.isfile(value):
            raise UsageError(
                f"{name}={escape(str(value))!r} is refused",
                why="there is no such file, and what lies at an address is not fixed",
                remedy="pass a file, or config=MODEL with the configs of diffusers",
            )


def _file(link: str, revision: str | None, access: Access, loading: adapt_models.Loading) -> str:
    """The admitted form of the one file."""
    if os.path.isfile(link):
        admission = loading.admit(link, Request(purpose="model", access=access))
    else:
        found = _LINK.fullmatch(link) or (_ID.fullmatch(link) if "://" not in link else None)
        if found is None:
            raise UsageError(
                f"{escape(link)!r} is no model file",
                why="it is neither a file here nor one of a repository on the hub",
                remedy="download it first, or name it as org/name/file.safetensors",
            )
        named_revision = found.groupdict().get("revision")
        request = Request(purpose="model", revision=revision or named_revision, weights=(found["file"],), access=access)
        admission = loading.admit(found["id"], request)
    files = [file.path for file in admission.files if file.how in ("link", "converted")]
    if not files:
        raise UsageError(
            f"{escape(link)!r} does not exist", why="the repository has no file of that name", remedy="check the name"
        )
    return os.path.join(admission.path, files[0])


def _config(
    named: dict[str, Any],
    path: str,
    revision: str | None,
    access: Access,
    loading: adapt_models.Loading,
    *,
    pipeline: bool,
) -> None:
    """Name the admitted directory of configs: those that the call names, or else that diffusers would look for.

    For a model the library fetches those of the pipeline as well, and takes the folder that it asks for.
    """
    config = named.get("config")
    if config is None and not (named.get("original_config") and not pipeline):
        inferred = _inferred(path, loading)
        config = inferred["pretrained_model_name_or_path"]
        if not pipeline and named.get("subfolder") is None and inferred.get("subfolder"):
            named["subfolder"] = inferred["subfolder"]
    if config is None or not adapt.is_reference(config) or adapt.within_admitted(config):
        return
    chosen = named.pop("config_revision", None) or (revision if pipeline else None)
    configs = Request(purpose="layout", revision=chosen, access=access)
    named["config"] = str(loading.admit(config, configs).path)


def _inferred(path: str, loading: adapt_models.Loading) -> dict[str, Any]:
    """What diffusers takes the checkpoint for, from the names of its tensors: the repository of its configs."""
    import diffusers.loaders.single_file_utils  # noqa: F401  (its functions are found where they were loaded)

    utils = sys.modules["diffusers.loaders.single_file_utils"]
    return dict(loading.run(lambda: utils.fetch_diffusers_config(utils.load_single_file_checkpoint(path))))
