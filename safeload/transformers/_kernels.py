"""Kernels: where transformers asks for native code of a repository, it gets what a policy lists, or nothing.

The library has `kernels` fetch a repository and import it in one step, from many places, some of them long after the
load: a forward, a change of mode, a compilation. So the functions that do it are replaced for the whole process, once
safeload loads a model in it:

1. what transformers, another library of models, or approved code asks for must be listed, and comes from
   `engine.kernels.code`; what the user's own code asks of `kernels` directly is the user's;
2. before layers are exchanged for kernels, a run in which nothing is given finds out which ones the library would use
   here; all must be listed, or the call is refused with all that are not;
3. what is not listed looks like a kernel that does not exist, because libraries then compute in plain torch. Where one
   was named by the caller, the call has been refused before.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import platform
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import FrameType, ModuleType
from typing import Any, NoReturn

from safeload.adapt import run
from safeload.core.errors import PolicyDenied, SafeloadError, UsageError
from safeload.core.names import escape
from safeload.core.policy import Reason
from safeload.engine.approved import PACKAGE
from safeload.engine.approved.tripwire import Tripwire
from safeload.engine.kernels import REPOSITORY, Kernel, Wanted, capabilities, denied, listed, wanted_by
from safeload.engine.kernels import code as kernel_code
from safeload.engine.kernels.build import Build, fetch
from safeload.engine.options import Options
from safeload.engine.request import Access
from safeload.engine.seatbelt import taken_off, worn
from safeload.transformers._arguments import repositories

_HUB = "transformers.integrations.hub_kernels"
_MARK = "_safeload_gate"
_ASKERS = ("transformers", "diffusers", "peft", "accelerate", "sentence_transformers", PACKAGE)
_BETWEEN = frozenset({"kernels", "safeload", "torch"}) | sys.stdlib_module_names - {"__main__"}
"""Modules that only pass a call on. Where nothing else is met, as in a new thread, a library counts as who asks."""
_lock = threading.RLock()
_builds: dict[tuple[str, str, str], Build] = {}
"""By repository, commit and digest: what was fetched in this process."""
_granted: dict[tuple[str, str], ModuleType] = {}
"""By repository and revision: what was given out in this process. A forward, of which nobody can say under which
options its model was loaded, gets it again."""


@dataclass(frozen=True, slots=True)
class Asker:
    """For which model, and under which options, a call asks."""

    reference: str = ""
    options: Options = field(default_factory=Options)
    access: Access = field(default_factory=Access)
    named: list[str] = field(default_factory=list)
    """What the call names, that needs the package `kernels`."""


_NOBODY = Asker()
_asker: ContextVar[Asker] = ContextVar("safeload_kernel_asker", default=_NOBODY)
_trying: ContextVar[list[Wanted] | None] = ContextVar("safeload_kernel_trying", default=None)
_own: ContextVar[bool] = ContextVar("safeload_kernel_own", default=False)


@contextmanager
def asking(reference: str, options: Options, access: Access | None = None) -> Iterator[None]:
    """Everything within is asked for by the load of this model, or by something that is done to it."""
    token = _asker.set(Asker(reference, options, access or Access()))
    try:
        yield
    finally:
        _asker.reset(token)


def prepare(*origins: object) -> None:
    """Straight before a genuine call that makes a model: replace the library's functions before it calls one.

    They are bound when the library imports a module of its own, which imports whatever packages it finds; so that is
    done with a seatbelt on, under which no code comes from these origins.

    Raises:
        UsageError: the call named kernels, and the library has no `kernels` that it takes.
    """
    asker = _asker.get()
    if _HUB not in sys.modules and importlib.util.find_spec("kernels") is not None:
        _import(_HUB, origins)
    install()
    if asker.named and not is_installed():
        raise UsageError(
            f"{', '.join(dict.fromkeys(asker.named))} is refused",
            why="transformers finds no version of the package `kernels` that it takes",
            remedy=f"pip install 'kernels{_versions()}'",
        )


# --- what a call names ----------------------------------------------------------------------------------------------


def require(references: Iterable[str], config: Any = None, *, layers: bool = False) -> None:
    """See that all kernels that a call names may run, and fetch them; nothing is imported yet.

    Args:
        references: such as `org/name@revision:function`.
        config: a `KernelConfig`, if one is given.
        layers: layers are to be exchanged; for which kernels, the library says later.

    Raises:
        PolicyDenied: some are not listed: every one of them is a reason.
        VerificationFailed: a repository has other bytes than are listed.
        UsageError: something that is named is no kernel, or lies in a local directory.
    """
    wanted = [_read(reference) for reference in references] + [*_of_config(config)]
    asker, reasons = _asker.get(), dict[Reason, None]()
    chosen: list[tuple[Wanted, Kernel]] = []
    for one in dict.fromkeys(wanted):
        try:
            chosen.append((one, _choose(one, asker)))
        except PolicyDenied as denial:
            reasons |= dict.fromkeys(denial.verdict.denials())
    if reasons:
        names = ", ".join(map(str, dict.fromkeys(wanted)))
        raise denied(names, reasons, asker.reference)
    asker.named.extend(filter(None, ("use_kernels=True" * layers, "kernel_config=…" * bool(config))))
    asker.named.extend(str(one) for one in wanted)
    for one, kernel in chosen:
        _fetched(one, kernel, asker)


def require_named(named: Mapping[str, Any]) -> None:
    """The same for the arguments of a loader. Raises as `require` does."""
    config, attention = named.get("kernel_config"), repositories(named.get("attn_implementation"))
    require(attention, config, layers=bool(named.get("use_kernels")))


def _versions() -> str:
    from transformers.utils import import_utils

    least, most = (getattr(import_utils, f"KERNELS_{which}_VERSION", "") for which in ("MIN", "MAX"))
    return f">={least},<{most}" if least and most else ""


def _read(reference: str) -> Wanted:
    wanted = wanted_by(reference, _usual_revision)
    if wanted is None:
        raise UsageError(
            f"{escape(reference)!r} is refused",
            why="it names native code, and not as org/name, org/name@revision or org/name:function",
            remedy="attn_implementation='sdpa', 'eager' or another one that is installed",
        )
    return wanted


def _usual_revision(repository: str) -> str:
    """The version that the library takes where none is named."""
    if _HUB not in sys.modules:
        _import(_HUB, [_asker.get().reference])
    version = getattr(sys.modules.get(_HUB), "get_attn_kernel_version", None)
    return f"v{version(repository) if version is not None else 1}"


def _of_config(config: Any) -> Iterator[Wanted]:
    """What a `KernelConfig` names in so many words. What it leaves to the device is found out when layers are changed.

    Raises:
        UsageError: it names a local directory, or nothing that can be read.
    """
    mapping = getattr(config, "kernel_mapping", None)
    if config and mapping is None:
        raise UsageError(
            f"kernel_config={escape(repr(config), 80)} is refused",
            why="it is no KernelConfig",
            remedy="kernel_config=transformers.KernelConfig({…})",
        )
    if getattr(config, "use_local_kernel", False):
        raise UsageError(
            "kernel_config with use_local_kernel=True is refused",
            why="policies list kernels of repositories, and a directory here is none",
            remedy="put it into a repository on the hub, and list it: safeload kernel org/name",
        )
    for value in mapping.values() if isinstance(mapping, dict) else ():
        name, about = value if isinstance(value, tuple) and len(value) == 2 else (value, {})
        if isinstance(name, str) and isinstance(about, Mapping):
            revision, version = about.get("revision"), about.get("version")
            asked = str(revision) if revision is not None else f"v{1 if version is None else version}"
            yield Wanted(_repository(name.partition(":")[0]), asked)


def _repository(name: object) -> str:
    if not isinstance(name, str) or not REPOSITORY.fullmatch(name):
        raise UsageError(f"{escape(str(name))!r} is refused", why="it is not the name of a repository, org/name")
    return name


def judge_attention(attn_implementation: object, *_: object, **__: object) -> str:
    """For the trap on the library's own way in: nothing, if the kernel is listed; else the load is refused for it."""
    wanted = wanted_by(str(attn_implementation), _usual_revision)
    if wanted is None or not is_installed():
        return "fetch native code from a repository"
    try:
        with taken_off():
            _choose(wanted, _asker.get())
    except PolicyDenied as denial:
        if (belt := worn()) is not None:
            belt.remember(denial)
        raise
    return ""


def judge_kernel(*_: object, **__: object) -> str:
    """For the traps on `get_kernel`: nothing, where this module stands behind it."""
    return "" if is_installed() else "fetch native code from a repository"


# --- giving one -----------------------------------------------------------------------------------------------------


def _choose(wanted: Wanted, asker: Asker) -> Kernel:
    """The listed build that fits this machine.

    Raises:
        PolicyDenied: none is listed, or none of those fits.
    """
    builds = listed(wanted, asker.options, model=asker.reference)
    fitting = [(rank, kernel) for kernel in builds if (rank := fitness(kernel.variant)) is not None]
    if not fitting:
        names = ", ".join(escape(kernel.variant) for kernel in builds)
        reason = Reason(f"of the kernel {wanted} a policy lists {names}, which is not for this machine", wanted.command)
        raise denied(str(wanted), [reason], asker.reference)
    return max(fitting, key=lambda one: (one[0], one[1].variant))[1]


def fitness(variant: str) -> int | None:
    """How well a build fits this machine and its torch; `None` if it does not. Every listed one is as safe to try."""
    import torch

    words = variant.lower().split("-")
    if len(words) > 1 and words[-1] in ("linux", "darwin", "windows"):
        machine = {"arm64": "aarch64", "amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
        if words[-1] != platform.system().lower() or {"arm64": "aarch64"}.get(words[-2], words[-2]) != machine:
            return None
    major, minor = re.match(r"(\d+)\.(\d+)", torch.__version__).groups()  # type: ignore[union-attr]
    if (made := re.match(r"torch(\d+)\Z", words[0])) and made[1] != f"{major}{minor}":
        return None
    cuda, rocm = torch.version.cuda, torch.version.hip
    best = 0
    for word in words[1:]:
        if word == "cpu":
            best = max(best, 1)
        elif found := re.match(r"(cuda|cu|rocm)(\d*)\Z", word):
            have = rocm if found[1] == "rocm" else cuda
            if have is None or (found[2] and not have.replace(".", "").startswith(found[2])):
                return None
            best = 3 if found[2] else 2
        elif re.match(r"(?:xpu|metal|cann|neuron|tpu|npu)\d*\Z", word):
            name = "mps" if word == "metal" else re.sub(r"\d+\Z", "", word)
            if not getattr(getattr(torch, name, None), "is_available", lambda: False)():
                return None
            best = 2
    return best


def _fetched(wanted: Wanted, kernel: Kernel, asker: Asker) -> Build:
    with _lock:
        key = (kernel.name, kernel.revision, kernel.digest)
        if key not in _builds:
            with taken_off():
                _builds[key] = fetch(kernel, wanted, asker.access, asker.options, model=asker.reference)
        return _builds[key]


def _give(wanted: Wanted) -> ModuleType:
    """The module of a kernel.

    Raises:
        PolicyDenied: it is not listed.
        VerificationFailed: it is not what is listed.
    """
    key = (wanted.repository.lower(), wanted.asked)
    asker = _asker.get()
    if asker is _NOBODY and (known := _granted.get(key)) is not None:
        return known
    with taken_off():
        kernel = _choose(wanted, asker)
    build = _fetched(wanted, kernel, asker)
    with _lock:
        module = kernel_code.import_kernel(
            build, depend=_give, using=_using(wanted), watching=_watching(build, wanted, asker)
        )
        _granted[key] = module
    return module


def _using(wanted: Wanted) -> kernel_code.Using:
    def using(depends: Mapping[str, ModuleType]) -> AbstractContextManager[object]:
        use: Any = getattr(sys.modules.get("kernels.deps"), "use_kernel_deps", None)
        if use is None:
            raise UsageError(
                f"the kernel {wanted} was not run",
                why="it depends on other kernels, and this version of `kernels` does not say how it gets them",
                remedy="pip install 'kernels>=0.17'",
            )
        found: AbstractContextManager[object] = use(dict(depends))
        return found

    return using


def _watching(build: Build, wanted: Wanted, asker: Asker) -> AbstractContextManager[object]:
    allowed = capabilities(asker.options)
    if allowed is None:
        return nullcontext()
    return Tripwire(str(wanted), {kernel_code.package_of(build.digest): allowed}, readable=[build.folder])


# --- the library's functions ----------------------------------------------------------------------------------------


def is_installed() -> bool:
    """Whether transformers has `kernels`, and asks here."""
    return getattr(getattr(sys.modules.get(_HUB), "get_kernel_hub", None), _MARK, False) is True


def install() -> None:
    """Stand before the functions of `kernels`, wherever they are bound by now."""
    if "kernels" not in sys.modules:
        return
    with _lock:
        for holder, name, instead in _GATES:
            original = getattr(sys.modules.get(holder), name, None)
            if callable(original) and not hasattr(original, _MARK):
                _replace(original, _gate(original, instead, name))


def stand_before(origins: Iterable[object]) -> None:
    """For libraries that import `kernels` when they first want one: import it now, and stand before its functions."""
    if "kernels" not in sys.modules and importlib.util.find_spec("kernels") is not None:
        _import("kernels", origins)
    install()


def _import(module: str, origins: Iterable[object]) -> None:
    """Import a library's module, which imports whatever packages it finds: no code comes from these origins."""
    from safeload.transformers._traps import forbidden

    roots = [root for origin in origins for root in forbidden(origin)]
    run(_asker.get().reference, lambda: importlib.import_module(module), admitted={}, forbidden=roots, traps=())


def _replace(original: Any, gate: Any) -> None:
    for name, module in [*sys.modules.items()]:
        if name.partition(".")[0] in ("kernels", "transformers") and isinstance(module, ModuleType):
            for attribute, value in [*vars(module).items()]:
                if value is original:
                    setattr(module, attribute, gate)


def _gate(original: Any, instead: Callable[..., Any], name: str) -> Any:
    @functools.wraps(original)
    def gate(*args: Any, **kwargs: Any) -> Any:
        if _own.get() or (worn() is None and not _asked_by_library(sys._getframe(1))):
            token = _own.set(True)
            try:
                return original(*args, **kwargs)
            finally:
                _own.reset(token)
        return instead(original, name, args, kwargs)

    setattr(gate, _MARK, True)
    return gate


def _asked_by_library(frame: FrameType | None) -> bool:
    """Whether a library of models, or code of a model, is who calls; and not the user's own code."""
    while frame is not None:
        name = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if name not in _BETWEEN:
            return name in _ASKERS
        frame = frame.f_back
    return True


def _get_kernel(original: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ModuleType:
    repository = args[0] if args else kwargs.get("repo_id")
    revision, version = kwargs.get("revision"), kwargs.get("version")
    asked = str(revision) if revision is not None else f"v{version}" if version is not None else "main"
    if not isinstance(repository, str) or not REPOSITORY.fullmatch(repository):
        _absent(f"{escape(str(repository))} is no repository of kernels, org/name")
    wanted = Wanted(repository, asked)
    if (trying := _trying.get()) is not None:
        trying.append(wanted)
        _absent("nothing is given yet")
    try:
        return _give(wanted)
    except PolicyDenied as denial:
        _absent("; ".join(f"{reason.message}: {reason.remedy}" for reason in denial.verdict.denials()), denial)
    except SafeloadError as error:
        # A library may swallow it. A listed kernel that is not what is listed must not pass for one that is not there.
        if (belt := worn()) is not None:
            belt.remember(denied(str(wanted), [Reason(str(error), wanted.command)], _asker.get().reference))
        raise


def _refuse(original: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> NoReturn:
    _absent(f"{name} takes kernels from where no policy lists any")


def _select(original: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """The revision of a layer's repository, for which the library would ask the hub: versions are branches."""
    revision, version = kwargs.get("revision"), kwargs.get("version")
    return str(revision) if revision is not None else f"v{version}"


def _absent(why: str, cause: BaseException | None = None) -> NoReturn:
    """What a library takes for a kernel that does not exist."""
    raise FileNotFoundError(f"safeload gives no such kernel: {why}") from cause


def _kernelize(original: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Exchange layers for kernels, if all kernels are listed that the library would use.

    Raises:
        PolicyDenied: some are not; every one of them is a reason, and no layer was exchanged.
    """
    if _trying.get() is not None:
        return original(*args, **kwargs)
    wanted: list[Wanted] = []
    token = _trying.set(wanted)
    try:
        original(*args, **kwargs)
    except FileNotFoundError:
        pass  # it gave up at the first one that was not there
    finally:
        _trying.reset(token)
    asker, reasons = _asker.get(), dict[Reason, None]()
    for one in dict.fromkeys(wanted):
        if asker is _NOBODY and (one.repository.lower(), one.asked) in _granted:
            continue
        try:
            with taken_off():
                _fetched(one, _choose(one, asker), asker)
        except PolicyDenied as denial:
            reasons |= dict.fromkeys(denial.verdict.denials())
    if reasons:
        refusal = denied(", ".join(map(str, dict.fromkeys(wanted))), reasons, asker.reference)
        if (belt := worn()) is not None:
            belt.remember(refusal)
        raise refusal
    return original(*args, **kwargs)


_GATES: tuple[tuple[str, str, Callable[..., Any]], ...] = (
    *((holder, "get_kernel", _get_kernel) for holder in ("kernels", "kernels.load", "kernels.layer.layer")),
    (_HUB, "get_kernel_hub", _get_kernel),
    *((holder, "kernelize", _kernelize) for holder in ("kernels", "kernels.layer.kernelize")),
    (_HUB, "_kernels_kernelize", _kernelize),
    ("kernels._versions", "select_revision_or_version", _select),
    *(("kernels.load", name, _refuse) for name in ("get_local_kernel", "get_locked_kernel", "load_kernel")),
    ("kernels.load", "get_kernel_with_resolver", _refuse),
    # What all ways in lead to, whichever was missed.
    ("kernels.importer", "_import_from_path", _refuse),
)
"""What stands where, and what is done instead. Somebody else may have wrapped one of several that are the same."""
