"""`guard`: from here on, this process refuses unsafe loads."""

from __future__ import annotations

import os

from safeload.guarding import children as inheritance
from safeload.guarding import hook, state
from safeload.guarding.install import Installed
from safeload.guarding.state import LOCK, Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from types import TracebackType

    from safeload.core.errors import PolicyDenied
    from safeload.core.policy import Policy
    from safeload.engine.options import Options

_active: list[Guarded] = []
_installed: Installed | None = None


def guard(
    *,
    policy: Policy | str | os.PathLike[str] | None = None,
    options: Options | None = None,
    strict: bool = False,
    unsafe_pickles_of: Collection[str] = (),
    children: bool = False,
) -> Guarded:
    """Put this process under guard: from here on, the loaders of the libraries it uses are safeload's.

        import safeload

        safeload.guard()                      # for good
        with safeload.guard(policy="safeload.toml"): ...      # or for a while

    Promised, for torch, transformers, pickle, joblib, numpy and the others that docs/guard.md lists, whether they are
    imported already or later, and however their loaders were bound: `from_pretrained` and `pipeline` go through
    admission; files that would be unpickled are read by safeload, and come back as data or are refused; what has no
    safe form is refused. Code that was downloaded with a model is not run. A refusal is remembered (`Guarded.refused`).
    What only talks to itself goes on: processes of this program, and libraries' own caches.

    Not promised. A guard lives in the process that it guards, and code that already runs there can take it off. It does
    not see what compiled code does without Python, loaders of libraries that it does not know, other ways to run code
    (`exec` of a file that was read, a module on the path), or what running functions keep in local variables. It is
    for programs whose authors mean no harm and whose models may.

    Args:
        policy: decides what loads; a policy file, or a policy. By default that of the project, as ever.
        options: all of safeload's options; then leave `policy` out.
        strict: nobody unpickles anything but plain data and what the allowlists name: not messages between processes,
            not caches. And no Python is started that would not be under guard.
        unsafe_pickles_of: modules that may go on unpickling whatever they like. Who can write to what they read can
            run code here.
        children: also guard the Python processes that this one starts, through its environment.

    Returns:
        What takes the guard off: `undo()`, or the end of a `with` block. Guards nest. An inner one may be stricter, and
        nothing else.

    Raises:
        UsageError: another guard is on with other options; or a value is not one of those documented.
    """
    from safeload.core.errors import UsageError
    from safeload.engine.options import Options

    if policy is not None and options is not None:
        raise UsageError("policy= and options= say the same twice", remedy="guard(options=Options(policy=…))")
    if isinstance(unsafe_pickles_of, str):
        raise UsageError("unsafe_pickles_of= is no list", why="it is a text", remedy="unsafe_pickles_of=['a.module']")
    for name, value in (("strict", strict), ("children", children)):
        if not isinstance(value, bool):
            raise UsageError(
                f"{name}={value!r} is neither True nor False", why="a text such as 'false' would count as true"
            )
    if options is None:
        options = Options() if policy is None else Options(policy=policy)
    elif not isinstance(options, Options):
        raise UsageError("options are not Options", why=f"they are a {type(options).__name__}", remedy="Options(…)")
    settings = Settings(options=options, strict=strict, unsafe_pickles_of=frozenset(unsafe_pickles_of))
    return enter(settings, children=children)


class Guarded:
    """A guard that is on. A context manager."""

    def __init__(self, settings: Settings, *, children: bool) -> None:
        self.settings = settings
        self._children = children
        self._before: dict[str, str | None] = {}
        self._since = state.count()

    @property
    def refused(self) -> tuple[PolicyDenied, ...]:
        """What was refused since this guard came on, the last hundred: what the program caught as well."""
        return state.since(self._since)

    @property
    def unreached(self) -> tuple[str, ...]:
        """Kinds of objects that keep a genuine loader from before the guard, and that could not be told of it."""
        return tuple(_installed.missed) if _installed is not None else ()

    def undo(self) -> None:
        """Take this guard off. The last one to go leaves everything as it was. Twice is harmless."""
        with LOCK:
            if self not in _active:
                return
            _active.remove(self)
            self._restore_environment()
            _renew()

    def __enter__(self) -> Guarded:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.undo()

    def _set_environment(self) -> None:
        changed = inheritance.environment(inheritance.to_text(self.settings), os.environ)
        for name in (inheritance.VARIABLE, "PYTHONPATH"):
            self._before[name] = os.environ.get(name)
            os.environ[name] = changed[name]

    def _restore_environment(self) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._before.clear()


def enter(settings: Settings, *, children: bool = False) -> Guarded:
    """Put settings in force. Raises as `guard` does."""
    with LOCK:
        settings = _within(settings)
        made = Guarded(settings, children=children)
        if children:
            made._set_environment()
        _active.append(made)
        try:
            _renew()
        except BaseException:
            made.undo()
            raise
        return made


def _within(settings: Settings) -> Settings:
    """Settings as they may be inside of what is in force: the same, or stricter."""
    outer = state.current()
    if outer is None:
        return settings
    from safeload.core.errors import UsageError
    from safeload.engine.options import Options

    other_options = settings.options not in (Options(), outer.options)
    if other_options or not settings.unsafe_pickles_of <= outer.unsafe_pickles_of:
        raise UsageError(
            "this process is under another guard already",
            why="an inner guard may be stricter, and change nothing else",
            remedy="guard(strict=True), guard(), or undo the other one first",
        )
    return outer.stricter(settings.strict)


def _renew() -> None:
    """Bring the process to what the guards that are on ask for."""
    global _installed
    if not _active:
        from safeload.guarding import written

        state.put(None)
        written.forget()
        if _installed is not None:
            _installed.take_out()
            _installed = None
        return
    state.put(_active[0].settings.stricter(any(one.settings.strict for one in _active)))
    hook.install()
    if _installed is None:
        _installed = Installed()
        _installed.put_in()
