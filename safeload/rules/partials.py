"""`functools.partial` in the one form in which scikit-learn writes it: a check of arrays with its options.

Boosting by histograms keeps one where features are categories (sklearn/ensemble/_hist_gradient_boosting:
`partial(check_array, dtype=[float64], ensure_all_finite=False)`). Harmless is only this function, without positional
arguments, with these options as constants, and without attributes of its own. Any other partial reaches any function.
"""

from __future__ import annotations

from safeload.core.graph import Call, Dict, Global, How, List, Tuple, Value
from safeload.core.names import GlobalName

PARTIAL = GlobalName("functools", "partial")
CHECK = GlobalName("sklearn.utils.validation", "check_array")
_OPTIONS = frozenset({"dtype", "ensure_all_finite", "force_all_finite"})
_TYPES = frozenset(GlobalName("numpy", name) for name in ("float32", "float64"))


def checks_arrays(call: Call) -> bool:
    """Whether a call makes a partial of exactly this form."""
    if not (isinstance(call.callee, Global) and call.callee.name == PARTIAL) or call.how is not How.REDUCE:
        return False
    args = call.args.items if isinstance(call.args, Tuple) else ()
    if call.kwargs is not None or call.items or call.pairs or len(args) != 1 or len(call.states) != 1:
        return False
    state = call.states[0].items if isinstance(call.states[0], Tuple) else ()
    if len(state) != 4 or not _is_check(args[0]) or not _is_check(state[0]):
        return False
    none = isinstance(state[3], Dict) and not state[3].pairs
    return isinstance(state[1], Tuple) and not state[1].items and _options(state[2]) and (state[3] is None or none)


def _is_check(value: Value) -> bool:
    return isinstance(value, Global) and value.name == CHECK


def _options(value: Value) -> bool:
    if not isinstance(value, Dict) or len(value.pairs) > len(_OPTIONS):
        return False
    for key, item in value.pairs:
        types = item.items if isinstance(item, (List, Tuple)) and len(item.items) < 4 else ()
        of_type = (
            key == "dtype" and all(isinstance(one, Global) and one.name in _TYPES for one in types) and bool(types)
        )
        if key not in _OPTIONS or not (of_type or (key != "dtype" and isinstance(item, (bool, str)))):
            return False
    return True
