"""How much memory the allowlisted makers of a pickle would take in an ordinary reader, by the sizes they are given.

A few bytes can ask for a terabyte: `bytearray(10**12)`, a tensor or array of a size, a list of a `range`, the fraction
of `1e999999999`. None of it runs code, and each ends the process that loads it, or keeps it busy for days. Picklers
write such makers with their contents, so the sum of the sizes of one stream says enough.

What is handed on again and again, and taken over whole each time, is counted as well (`taken_over`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from safeload.core.graph import Call, Dict, FrozenSet, Global, List, Set, Span, Tuple, Value
from safeload.core.names import GlobalName
from safeload.rules.called_names import Account

_MOST = 1 << 30
"""Bytes that one stream may have made of sizes alone."""
_EACH = 64
"""… and for each byte of the stream."""
_COPIES = 4
"""How often the bytes of a stream may be taken over into something else: once is what picklers need."""
_COPYING = frozenset({"builtins", "collections", "_codecs"})
_DIGITS = 1_000_000
"""Exponents of decimal numbers above this are taken for more than any reader could compute with."""
_ENDLESS = 1 << 62
_WORD = 8
_LONG = 1_000
_HOLDING = frozenset({"builtins", "collections"})
"""Modules whose containers hold what is in their argument, and do not look into it."""
_RANGE = GlobalName("builtins", "range")
_INDEX = GlobalName("pandas.core.indexes.base", "_new_Index")
_Args = tuple[Value, ...]


class Amounts:
    """Adds up what the calls of one stream would make."""

    def __init__(self, size: int) -> None:
        self.copied = Account(_COPIES * size)
        self.allowed = _MOST + _EACH * size
        self.total = 0
        self.rows = False  # whether there are any that could be handed on

    def excess(self, name: GlobalName, call: Call) -> str:
        """What this call of a name would take, if by now that is more than a stream may have; else empty.

        Raises:
            Enough: the same values are taken over again and again.
        """
        if name.module in _COPYING:
            self.copied.look(taken_over(call))
        judge = _SIZED.get(name)
        if judge is None and not self.rows:  # as with most
            self.rows = name in (_RANGE, _INDEX)
            return ""
        args = call.args.items if isinstance(call.args, Tuple) else ()
        wanted = (judge(args) if judge is not None and args else 0) + _rows(name, args)
        self.total += min(wanted, _ENDLESS)
        if self.total <= self.allowed or not wanted:
            return ""
        return f"would make {f'{wanted:,}' if wanted < _ENDLESS else 'endless'} bytes of a few"

    def state(self, state: Tuple) -> None:
        """Account for the parts of a state: an array copies its bytes where they are in another order or place."""
        self.copied.look(_lengths(state.items))


def taken_over(call: Call) -> int:
    """How many items, characters and bytes a container or text is made of, where that is more than a few."""
    return _lengths(call.args.items if isinstance(call.args, Tuple) else ())


def _lengths(values: _Args) -> int:
    return sum(length for one in values if (length := _length(one)) > _LONG)


def _length(value: Value) -> int:
    if isinstance(value, (str, bytes)):
        return len(value)
    if isinstance(value, (List, Tuple, Set, FrozenSet)):
        return len(value.items)
    if isinstance(value, Dict):
        return len(value.pairs)
    return value.length if isinstance(value, Span) else 0


_Judge = Callable[[_Args], int]


def _ints(values: Iterable[Value]) -> list[int]:
    return [value for value in values if type(value) is int]


def _whole(args: _Args) -> int:
    """A number of bytes."""
    return max(0, args[0]) if len(args) == 1 and type(args[0]) is int else 0


def _elements(args: _Args) -> int:
    """As many numbers as the product of sizes, which are arguments of their own or in one tuple or list."""
    first = args[0]
    sizes = _ints(first.items if isinstance(first, (Tuple, List)) else args)
    return _WORD * _product(sizes) if sizes else 0


def _product(sizes: Iterable[int]) -> int:
    """As far as it matters: thousands of long numbers would take seconds to multiply."""
    found = 1
    for size in sizes:
        found = min(found * max(0, size), _ENDLESS)
    return found


def _shaped(args: _Args) -> int:
    """`ndarray(shape, dtype, buffer, …)`: over a buffer it takes nothing."""
    return 0 if len(args) > 2 and args[2] is not None else _elements(args[:1])


def _reconstructed(args: _Args) -> int:
    """`_reconstruct(class, shape, dtype)`."""
    return _elements(args[1:2]) if len(args) > 1 else 0


def _masked(args: _Args) -> int:
    """`_mareconstruct(class, base, shape, dtype)`: the numbers and the mask."""
    return 2 * _elements(args[2:3]) if len(args) > 2 else 0


def _rows(name: GlobalName, args: _Args) -> int:
    """Rows of numbers that are handed on: they take nothing until something is made of them."""
    wanted = 0
    for one in args:
        if isinstance(one, Call):
            wanted += _row(one)
        elif isinstance(one, (List, Tuple, Dict)) and name.module not in _HOLDING:
            inner = [value for _, value in one.pairs] if isinstance(one, Dict) else one.items
            wanted += sum(_row(part) for part in inner if isinstance(part, Call))
    return wanted


def _row(call: Call) -> int:
    """The bytes of a `range`, or of an index of pandas that is one."""
    args = call.args.items if isinstance(call.args, Tuple) else ()
    if not isinstance(call.callee, Global):
        return 0
    if call.callee.name == _INDEX and len(args) == 2 and isinstance(args[1], Dict):
        parts = {key: value for key, value in args[1].pairs if isinstance(key, str)}
        args = tuple(parts[key] for key in ("start", "stop", "step") if key in parts)
    elif call.callee.name != _RANGE:
        return 0
    bounds = _ints(args)
    if len(bounds) != len(args) or not 1 <= len(bounds) <= 3 or bounds[2:] == [0]:
        return 0
    one = range(*bounds)
    return _WORD * max(0, (one.stop - one.start) // one.step)


def _exponent(args: _Args) -> int:
    """A number in text, as wide as its exponent where it is written out; that takes the square of its digits."""
    text = args[0]
    if not isinstance(text, str):
        return 0
    digits = text.strip().lower().replace("_", "").partition("e")[2].lstrip("+-")
    if not digits.isdecimal():
        return 0
    return _ENDLESS if len(digits) > 18 or int(digits) > _DIGITS else int(digits)


def _one_number(args: _Args) -> int:
    """`scalar(dtype)` without bytes: as many zeros as its type is wide."""
    kind = args[0]
    if len(args) > 1 or not isinstance(kind, Call) or not isinstance(kind.args, Tuple) or not kind.args.items:
        return 0
    text = kind.args.items[0]
    code = text.lstrip("<>|=") if isinstance(text, str) else ""
    width = code[1:]
    if code[:1] not in ("V", "S", "U", "a") or not width.isdecimal():
        return 0
    return _ENDLESS if len(width) > 18 else int(width) * (4 if code[0] == "U" else 1)


_TYPES = "BFloat16 Bool Byte Char ComplexDouble ComplexFloat Double Float Half Int Long Short"


def _sized() -> dict[GlobalName, _Judge]:
    found: dict[GlobalName, _Judge] = {
        GlobalName("builtins", "bytearray"): _whole,
        GlobalName("builtins", "bytes"): _whole,
        GlobalName("decimal", "Decimal"): _exponent,
        GlobalName("fractions", "Fraction"): _exponent,
        GlobalName("numpy", "ndarray"): _shaped,
        GlobalName("numpy", "void"): _whole,
        GlobalName("numpy.ma.core", "_mareconstruct"): _masked,
        GlobalName("torch", "Tensor"): _elements,
        GlobalName("torch.nn.parameter", "Buffer"): _elements,
        GlobalName("torch.storage", "TypedStorage"): _elements,
        GlobalName("torch.storage", "UntypedStorage"): _whole,
    }
    for home in ("numpy.core", "numpy._core"):
        found[GlobalName(f"{home}.multiarray", "_reconstruct")] = _reconstructed
        found[GlobalName(f"{home}.multiarray", "scalar")] = _one_number
    found[GlobalName("numpy.core._internal", "_reconstruct")] = _reconstructed
    for home in ("torch", "torch.cuda"):
        for name in _TYPES.split():
            found[GlobalName(home, f"{name}Tensor")] = found[GlobalName(home, f"{name}Storage")] = _elements
    return found


_SIZED: Mapping[GlobalName, _Judge] = _sized()
"""The makers that take sizes, each with what it would make of its arguments."""
