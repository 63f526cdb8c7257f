"""Names in the hub's answers, looked at before the hub's client makes names of files of them.

The client keeps what it fetches under what an answer's headers say: the digest, the commit. From the real hub these are
plain names. Who asks another server (a mirror, `HF_ENDPOINT`) has them from there, and a name with a `/` in it would
lead out of the cache.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import Any

from safeload.core.errors import SourceError
from safeload.core.names import escape

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+=-]{0,199}")
_COMMIT = "X-Repo-Commit"
_MARK = "_safeload_plain_names"
_asking: ContextVar[str] = ContextVar("safeload_asks_hub", default="")
_lock = Lock()


@contextmanager
def plain_names(where: str) -> Iterator[None]:
    """While this lasts, in this thread, the client takes no name from an answer that is not plain.

    Raises:
        SourceError: within, for an answer that has another one. `where` is said in it.
    """
    _install()
    token = _asking.set(where)
    try:
        yield
    finally:
        _asking.reset(token)


def _install() -> None:
    """Stand in front of what asks for a file's headers, once. Whoever else calls it notices nothing."""
    from huggingface_hub import file_download
    from huggingface_hub.errors import HfHubHTTPError

    with _lock:
        genuine = file_download.get_hf_file_metadata
        if getattr(genuine, _MARK, False):
            return

        @functools.wraps(genuine)
        def get_hf_file_metadata(*args: Any, **kwargs: Any) -> Any:
            try:
                answer = genuine(*args, **kwargs)
            except HfHubHTTPError as error:  # "not there" is kept as well, under the commit
                _require(error.response.headers.get(_COMMIT))
                raise
            _require(answer.etag, answer.commit_hash)
            return answer

        setattr(get_hf_file_metadata, _MARK, True)
        file_download.get_hf_file_metadata = get_hf_file_metadata


def _require(*names: str | None) -> None:
    where = _asking.get()
    for name in names:
        if where and name is not None and not _PLAIN.fullmatch(name):
            raise SourceError(
                "the hub's answer was not used",
                where=where,
                why=f"it names what it sends {escape(name, 100)!r}, which is no plain name",
                remedy="check HF_ENDPOINT, then try again",
            )
