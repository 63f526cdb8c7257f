"""Live scikit-learn estimators out of a reading.

1. A class is imported because it is in a list of ours and a file names it: never because a file names it.
2. An estimator is made empty. Its attributes are set as `BaseEstimator.__setstate__` would set them; an attribute that
   would hide a method is refused.
3. What compiled code reads without looking is checked first: see `_checks` and `_compiled`. The checks run when every
   object is there, so that nothing can be added behind them.
4. What cannot be checked stays inert, or is refused.

Estimators that are nothing but attributes are in `allowlists/sklearn.toml`; those that need a check are in `_checks`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, partial
from importlib import import_module
from inspect import signature
from types import MemberDescriptorType
from typing import Any

from safeload.core.allowlist import Effect, Use
from safeload.core.errors import MalformedInput
from safeload.core.graph import How
from safeload.core.names import GlobalName, escape
from safeload.engine.allowlists import default_allowlist
from safeload.engine.live import Made, Maker, Setter, Table
from safeload.engine.live.classes import namespace, set_attributes

_VERSION = "_sklearn_version"
_CHECK = GlobalName("sklearn.utils.validation", "check_array")
_PARTIAL = GlobalName("functools", "partial")
_ODD = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, MemoryError)


def sklearn_table(names: Iterable[GlobalName]) -> Table:
    """Makers for those of these names that are known; none if scikit-learn is not installed."""
    wanted = {name for name in names if name.module.partition(".")[0] in ("sklearn", "scipy", "numpy", "_loss")}
    if not wanted:
        return Table()
    from safeload.adapt_sklearn._categories import partial_check
    from safeload.adapt_sklearn._checks import CHECKS, UNCHECKED
    from safeload.adapt_sklearn._compiled import MAKERS, NAMED, TRIPLET
    from safeload.adapt_sklearn._constants import constants
    from safeload.adapt_sklearn._scipy import scipy_table

    makers: dict[GlobalName, Maker] = {}
    setters: dict[GlobalName, Setter] = {}
    known = default_allowlist()
    for name in wanted:
        check = CHECKS.get(name)
        entry = known.get(name)
        listed = entry is not None and entry.effect is Effect.REBUILD and entry.use is Use.NEW
        if check is None and name not in UNCHECKED and not (listed and name.module.startswith("sklearn.")):
            continue
        kind = _imported(name)
        if kind is not None:
            makers[name] = partial(_empty, kind, check)
            setters[name] = partial(_set_state, kind, namespace(kind))
    makers |= {name: _guarded(maker) for name, maker in MAKERS.items() if name in wanted and _installed(name)}
    if _CHECK in wanted and _installed(_CHECK):
        makers[_PARTIAL] = _guarded(partial_check)
    scipy = scipy_table(wanted)
    return Table(
        makers=makers | {name: _guarded(maker) for name, maker in scipy.makers.items()},
        setters=setters,
        constants=constants(wanted),
        named=frozenset(NAMED & wanted),
        based={**scipy.based, TRIPLET: GlobalName("builtins", "tuple")},
    )


def _imported(name: GlobalName) -> type | None:
    """A class that is in a list of ours; `None` if it is not installed, or no longer there."""
    try:
        found = getattr(import_module(name.module), name.name, None)
    except ModuleNotFoundError:
        return None
    return found if isinstance(found, type) else None


def _installed(name: GlobalName) -> bool:
    from safeload.adapt_sklearn._compiled import home_of

    try:
        return hasattr(import_module(home_of(name)), name.name)
    except ModuleNotFoundError:
        return False


def _empty(kind: type, check: Callable[[Any], None] | None, made: Made) -> object:
    if made.args or made.kwargs or made.items or made.call.how is How.REDUCE:
        raise MalformedInput("an estimator is made in a way that scikit-learn does not write", why=kind.__name__)
    value: object = object.__new__(kind)
    from safeload.adapt_sklearn._checks import everywhere

    for one in (everywhere, check):
        if one is not None:
            made.rest.afterwards(partial(_look, one, value))
    return value


def _look(check: Callable[[Any], None], value: Any) -> None:
    """Check an estimator. What Python or numpy cannot even compare or count is nothing that scikit-learn writes."""
    from safeload.adapt_sklearn._checks import wrong

    try:
        check(value)
    except _ODD as error:
        raise wrong(value, f"its parts are of other types ({type(error).__name__})") from None


def _guarded(maker: Maker) -> Maker:
    def make(made: Made) -> object:
        try:
            return maker(made)
        except _ODD as error:
            raise MalformedInput(
                f"{made.name} is made from parts that do not fit", why=f"{type(error).__name__} in its own checks"
            ) from None

    return make


def _set_state(kind: type, space: Mapping[str, object], target: Any, states: tuple[object, ...]) -> None:
    """Set attributes, and warn of another version as scikit-learn does."""
    for state in states:
        if isinstance(state, dict) and _VERSION in state:
            state = dict(state)
            _compare(kind, state.pop(_VERSION))
        _refuse_hidden(kind, space, state)
        set_attributes(target, (state,), kind, space)


def _refuse_hidden(kind: type, space: Mapping[str, object], state: object) -> None:
    """Constants of a class steer its code: a state may only set those that are parameters of its constructor."""
    parameters = _parameters(kind.__init__)  # type: ignore[misc]
    for name in state if isinstance(state, dict) else ():
        own = space.get(name)
        if own is None or isinstance(own, MemberDescriptorType) or name in parameters:
            continue
        raise MalformedInput(
            "an estimator is made in a way that scikit-learn does not write",
            why=f"{kind.__name__}: an attribute hides one of its class",
        )


@lru_cache(maxsize=500)
def _parameters(constructor: Callable[..., None]) -> frozenset[str]:
    """Asked once for each class: a forest has hundreds of trees of one."""
    return frozenset(signature(constructor).parameters)


def _compare(kind: type, written: object) -> None:
    import sklearn
    from sklearn.exceptions import InconsistentVersionWarning

    if isinstance(written, str) and written != sklearn.__version__:
        warnings.warn(
            InconsistentVersionWarning(
                estimator_name=kind.__name__,
                current_sklearn_version=sklearn.__version__,
                original_sklearn_version=escape(written, 40),
            ),
            stacklevel=2,
        )
