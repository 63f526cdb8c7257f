"""`custom_pipeline=`: the class of a pipeline in a file that the call names, run if that file is approved.

diffusers takes the argument for, in this order: a file of the model, by its name without the ending; a file of Python
here; a directory here with a `pipeline.py`; a repository on the hub with a `pipeline.py`; a pipeline of its own
community, which it would fetch as it is now. Here it is the same, and each but the last is a reference of its own:
`model/name.py`, `path/file.py`, `hf://org/name/pipeline.py`.
"""

from __future__ import annotations

import os
import shlex
from typing import Any

from safeload import adapt, adapt_models
from safeload.core.errors import UsageError
from safeload.core.names import escape
from safeload.diffusers._code import pair_of, require_switch
from safeload.engine.admission.admitted import Admission
from safeload.engine.approved.program import file_of_model, file_on_hub
from safeload.engine.request import Access, Request

_FILE = "pipeline.py"
_FETCH = "hf download diffusers/community-pipelines-mirror {file} --repo-type dataset --local-dir ."
_ARGUMENT, _REVISION = "custom_pipeline", "custom_revision"


def take(
    named: dict[str, Any],
    model: Admission | None,
    trusted: bool | None,
    access: Access,
    loading: adapt_models.Loading,
) -> Admission | None:
    """Admit the code that a call names, and let the call name what was admitted; `None` if it names none.

    Args:
        model: what is loaded beside it; `None` where nothing is.

    Raises:
        PolicyDenied: nobody approved it.
        UsageError: it is not asked for with `trust_remote_code=True`, or is nothing that can be approved.
    """
    asked, revision = named.pop(_ARGUMENT, None), named.pop(_REVISION, None)
    if asked is None:
        if revision is not None:
            raise UsageError(
                f"{_REVISION}= alone has no meaning", why=f"it is that of {_ARGUMENT}=", remedy="leave it out"
            )
        return None
    if not adapt.is_reference(asked) or not os.fspath(asked):
        raise UsageError(
            f"{_ARGUMENT}={escape(repr(asked), 80)} is refused", why="it names no file", remedy="pass a text or a path"
        )
    reference = _reference(os.fspath(asked), model, access)
    if revision is not None and not reference.startswith("hf://"):
        raise UsageError(f"{_REVISION}= is refused", why=f"{escape(reference)} has no revisions", remedy="leave it out")
    if "@" in reference and revision is not None:
        raise UsageError(
            f"{_REVISION}= is refused", why="that file comes with the model, at its revision", remedy="leave it out"
        )
    request = Request(purpose="code", revision=revision, trust_remote_code=trusted or None, access=access)
    admission = loading.admit(reference, request)
    require_switch(admission)
    assert admission.code is not None  # it needs code, so that without an approval it was refused
    file = next(iter({entry.file for entry in admission.code.entries}))
    named[_ARGUMENT] = os.path.join(admission.path, file)
    return admission


def _reference(asked: str, model: Admission | None, access: Access) -> str:
    """What the argument names, as a reference that can be approved.

    Raises:
        UsageError: there is no such file, or nothing that keeps it as it is.
    """
    if model is not None and (own := _in_model(asked, model, access)):
        return own
    if model is not None and pair_of(model) is not None:
        raise UsageError(
            f"{escape(model.reference)!r} is a pipeline of its own class",
            why=f"diffusers takes that one, and not the one that {_ARGUMENT}= names",
            remedy=f"leave {_ARGUMENT} out",
        )
    if asked.endswith(".py"):
        if not os.path.isfile(asked):
            raise UsageError(f"{_ARGUMENT}={escape(asked)!r} does not exist", why="there is no such file here")
        return asked
    if os.path.isfile(here := os.path.join(asked, _FILE)):
        return here
    if os.path.isdir(asked):
        raise UsageError(f"{_ARGUMENT}={escape(asked)!r} is refused", why=f"the directory holds no {_FILE}")
    if "/" not in asked:
        file = shlex.quote(f"main/{escape(asked)}.py")
        raise UsageError(
            f"{_ARGUMENT}={escape(asked)!r} is refused",
            why="the model has no such file, and a community pipeline is whatever the library would fetch today from "
            "diffusers/community-pipelines-mirror, under that name, without asking for trust",
            remedy=f"fetch it once: {_FETCH.format(file=file)}; read it, then: safeload approve {file}; "
            f"and name the file: {_ARGUMENT}='main/{escape(asked)}.py'",
        )
    if (found := file_on_hub(asked, _FILE)) is None:
        raise UsageError(f"{_ARGUMENT}={escape(asked)!r} is refused", why="it is neither here nor a name on the hub")
    return found


def _in_model(asked: str, model: Admission, access: Access) -> str | None:
    """The file of that name at the top of the model, if it has one."""
    name = f"{asked}.py"
    if "/" in name or os.sep in name:
        return None
    return file_of_model(model.reference, model.revision, name, access)
