"""Pickles that this very process wrote: reading exactly those bytes back is no load of anything foreign.

`pickle.loads(pickle.dumps(value))` is how many programs copy. What was written is remembered by its digest, so a pickle
that differs in a bit, or that another process wrote, is a foreign one.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

_KEPT = 10_000
"""The last pickles that are remembered: 16 bytes of each."""
_digests: OrderedDict[bytes, None] = OrderedDict()
_lock = threading.Lock()


def _digest(data: bytes) -> bytes:
    from hashlib import blake2b  # links in OpenSSL, which a program that pickles nothing need not wait for

    return blake2b(data, digest_size=16).digest()


def note(data: bytes) -> None:
    """Remember a pickle that was just written."""
    digest = _digest(data)
    with _lock:
        _digests[digest] = None
        _digests.move_to_end(digest)
        if len(_digests) > _KEPT:
            _digests.popitem(last=False)


def is_own(data: object) -> bool:
    """Whether this process wrote exactly these bytes."""
    if not _digests or type(data) is not bytes:  # anything else could change between here and its use
        return False
    digest = _digest(data)
    with _lock:
        return digest in _digests


def forget() -> None:
    """Forget all of them."""
    with _lock:
        _digests.clear()
