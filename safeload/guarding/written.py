"""Pickles that this very process wrote: reading exactly those bytes back is no load of anything foreign.

`pickle.loads(pickle.dumps(value))` is how many programs copy. What was written is remembered by its digest, so a pickle
that differs in a bit, or that another process wrote, is a foreign one.
"""

from __future__ import annotations

from _thread import allocate_lock

from safeload.guarding.state import current

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KEPT = 10_000
"""The last pickles that are remembered: 16 bytes of each."""
_digests: dict[bytes, None] = {}
_lock = allocate_lock()


def _digest(data: bytes) -> bytes:
    from hashlib import blake2b  # links in OpenSSL, which a program that pickles nothing need not wait for

    return blake2b(data, digest_size=16).digest()


def note(data: bytes) -> None:
    """Remember a pickle that was just written."""
    digest = _digest(data)
    with _lock:
        _digests.pop(digest, None)
        _digests[digest] = None
        if len(_digests) > _KEPT:
            del _digests[next(iter(_digests))]


def is_own(data: object) -> bool:
    """Whether this process wrote exactly these bytes."""
    if not _digests or type(data) is not bytes:  # anything else could change between here and its use
        return False
    digest = _digest(data)
    with _lock:
        return digest in _digests


def reads_own(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a call of `loads(data)` reads what this process wrote. Under `strict` that makes no difference."""
    settings = current()
    return settings is not None and not settings.strict and bool(args) and is_own(args[0])


def forget() -> None:
    """Forget all of them."""
    with _lock:
        _digests.clear()
