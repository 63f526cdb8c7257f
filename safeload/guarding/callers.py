"""Who may go on unpickling under a guard: modules that read back what this program, or a process of it, wrote.

A guard is about foreign files. Processes that talk to each other and caches that a library keeps for itself unpickle as
well, and hold objects of any class. A call is theirs only if it comes from the code of one of these modules itself; a
module that merely calls what others pass it (a pool, an executor) is none of them. What lies in a cache is as
trustworthy as its folder: see docs/guard.md.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType
    from typing import Any

    from safeload.guarding.state import Settings

MACHINERY: Mapping[str, str] = {
    # processes that talk to each other
    "multiprocessing.connection": "messages between processes",
    "multiprocessing.queues": "messages between processes",
    "multiprocessing.reduction": "messages between processes",
    "multiprocessing.spawn": "what a new process starts from",
    "multiprocess.connection": "messages between processes",
    "multiprocess.queues": "messages between processes",
    "multiprocess.reduction": "messages between processes",
    "multiprocess.spawn": "what a new process starts from",
    "billiard.connection": "messages between processes",
    "billiard.queues": "messages between processes",
    "billiard.spawn": "what a new process starts from",
    "torch.multiprocessing.queue": "messages between processes",
    "torch.multiprocessing.spawn": "the error of a process that failed",
    "torch.distributed.distributed_c10d": "objects that the processes of a training exchange",
    "torch.distributed.rpc.internal": "calls between the processes of a training",
    "accelerate.utils.operations": "objects that the processes of a training exchange",
    "anyio.to_process": "messages between processes",
    "anyio.to_interpreter": "messages between interpreters",
    "joblib.externals.loky.backend": "messages between processes",
    "joblib.externals.loky.cloudpickle_wrapper": "functions for other processes",
    "joblib._memmapping_reducer": "arrays that processes share",
    "loky.backend": "messages between processes",
    "loky.cloudpickle_wrapper": "functions for other processes",
    "distributed.protocol": "messages between the processes of a cluster",
    "ray._private.serialization": "messages between the processes of a cluster",
    "pyspark.serializers": "messages between the processes of a cluster",
    "kombu.serialization": "messages of a task queue, if it is set to pickle",
    "ipykernel.serialize": "messages between processes",
    "ipyparallel.serialize": "messages between processes",
    # caches that libraries write for themselves
    "joblib._store_backends": "joblib.Memory",
    "joblib.memory": "joblib.Memory",
    "torch._inductor": "the cache of compiled graphs",
    "torch._functorch._aot_autograd": "the cache of compiled graphs",
    "torch._dynamo.package": "the cache of compiled graphs",
    "torch._dynamo.pgo": "the cache of profiles",
    "numba.core.caching": "the cache of compiled functions",
    "diskcache.core": "a cache",
    "requests_cache.serializers": "a cache",
    "streamlit.runtime.caching": "a cache",
    "django.core.cache.backends": "a cache",
    "lib2to3.pgen2": "the cache of a grammar",
    "blib2to3.pgen2": "the cache of a grammar",
    "sphinx": "the cache of a project's documents",
}
"""Each with what it unpickles. Modules within count too."""
NOT_OF_IT = frozenset({"torch._inductor.debug", "torch._inductor.fuzzer"})
"""Modules within those that read whatever file the program names."""
_DOORS = frozenset({"safeload.guarding.doors", "safeload.guarding.unpicklers"})


def caller(frame: FrameType) -> dict[str, Any]:
    """The globals of the code that made a call: doors on the way are passed over."""
    following: FrameType | None = frame
    while following is not None and following.f_globals.get("__name__") in _DOORS:
        frame, following = following, following.f_back
    return frame.f_globals if following is None else following.f_globals


def is_machinery(space: dict[str, Any], settings: Settings) -> bool:
    """Whether code with these globals may unpickle by name."""
    if settings.strict:
        return False
    name = module_of(space)
    while name and name not in NOT_OF_IT:
        if name in MACHINERY or name in settings.unsafe_pickles_of:
            return True
        name = name.rpartition(".")[0]
    return False


def belongs(space: dict[str, Any], package: str) -> bool:
    """Whether code with these globals is a module of this package."""
    return module_of(space).partition(".")[0] == package


def module_of(space: dict[str, Any]) -> str:
    """The name of the module that these globals are of; empty if they only say so."""
    name = space.get("__name__")
    module = sys.modules.get(name) if isinstance(name, str) else None
    if not isinstance(name, str) or module is None or getattr(module, "__dict__", None) is not space:
        return ""
    if name == "__main__":  # python -m joblib.externals.loky.backend.popen_loky_posix
        name = getattr(space.get("__spec__"), "name", name)
    return name if isinstance(name, str) else ""
