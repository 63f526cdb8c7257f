"""Random generators of numpy: each gets a state whose places are within it, and what it was seeded from.

numpy's own setters take numbers on trust, so each is looked at first. A seed is computed again from its entropy.
"""

from __future__ import annotations

from typing import Any

import numpy

from safeload.adapt_sklearn._checks import table, whole
from safeload.core.construct import Named
from safeload.core.errors import MalformedInput
from safeload.core.names import GlobalName
from safeload.engine.live import Made, Maker

_KEY = 624
_BITS = 4096
"""Bits of entropy: numpy cuts a number into words one by one."""
_POOL = 1 << 12
_WORDS = 64
_STATES = {"Philox": ("counter", "key"), "SFC64": ("state",)}
_LENGTHS = {"counter": 4, "key": 2, "state": 4}
_KINDS = {
    GlobalName("numpy.random._mt19937", "MT19937"),
    GlobalName("numpy.random._pcg64", "PCG64"),
    GlobalName("numpy.random._pcg64", "PCG64DXSM"),
    GlobalName("numpy.random._philox", "Philox"),
    GlobalName("numpy.random._sfc64", "SFC64"),
}
_NAMES = {one.name for one in _KINDS}
_SOURCE = GlobalName("numpy.random._pickle", "__bit_generator_ctor")


def _bad(what: str = "its state is another one") -> MalformedInput:
    return MalformedInput("a random generator is not what numpy writes", why=what)


def _within(value: object, most: int) -> bool:
    return whole(value) and 0 <= value < most  # type: ignore[operator]


def _bits(made: Made) -> object:
    """A source of random bits."""
    seed: object = None
    match made.args, made.states:
        case (Named() | str() as named,), (dict() as state,):
            pass
        case (Named() | str() as named,), ((dict() as state, seed),):
            pass
        case _:
            return made.record()
    if isinstance(named, Named) and named.name not in _KINDS:
        return made.record()
    kind = named if isinstance(named, str) else named.name.name
    if kind not in _NAMES or state.get("bit_generator") != kind:
        return made.record()
    found: Any = getattr(numpy.random, kind)(seed if isinstance(seed, numpy.random.SeedSequence) else 0)
    found.state = {"bit_generator": kind, **_checked(kind, state)}
    return found


def _checked(kind: str, state: dict[Any, Any]) -> dict[str, Any]:
    """The parts of a state, each looked at."""
    inner: Any = state.get("state")
    if not isinstance(inner, dict):
        raise _bad()
    if kind == "MT19937":
        return {"state": _twister(inner)}
    has, last = state.get("has_uint32", 0), state.get("uinteger", 0)
    if has not in (0, 1) or not _within(last, 1 << 32):
        raise _bad()
    common = {"has_uint32": int(has), "uinteger": int(last)}
    if kind.startswith("PCG64"):
        if not _within(inner.get("state"), 1 << 128) or not _within(inner.get("inc"), 1 << 128):
            raise _bad("its state is too large")
        return {"state": {"state": int(inner["state"]), "inc": int(inner["inc"])}, **common}
    names = _STATES[kind]
    if not all(_words(inner.get(name), _LENGTHS[name]) for name in names):
        raise _bad()
    found: dict[str, Any] = {"state": {name: inner[name] for name in names}, **common}
    if kind == "Philox":
        if not _words(state.get("buffer"), 4) or not _within(state.get("buffer_pos"), 5):
            raise _bad("its place is outside of it")
        found |= {"buffer": state["buffer"], "buffer_pos": int(state["buffer_pos"])}
    return found


def _words(value: Any, count: int) -> bool:
    return table(value, count, kinds="u") and bool(value.dtype == numpy.uint64)


def _twister(inner: dict[Any, Any]) -> dict[str, Any]:
    key: Any = inner.get("key")
    place: Any = inner.get("pos")
    if not table(key, _KEY, kinds="u") or key.dtype != numpy.uint32 or not _within(place, _KEY + 1):
        raise _bad("its place is outside of it")
    return {"key": key, "pos": int(place)}


def _source(made: Made) -> numpy.random.BitGenerator | None:
    """What a generator is made around. numpy before 2 names its kind, and since 1.24 also what makes it."""
    match made.args:
        case (numpy.random.BitGenerator() as bits,):
            return bits
        case (str() as kind, *rest) if kind in _NAMES and (not rest or _is_source(*rest)):
            found: numpy.random.BitGenerator = getattr(numpy.random, kind)(0)
            return found
    return None


def _is_source(*args: object) -> bool:
    return len(args) == 1 and isinstance(args[0], Named) and args[0].name == _SOURCE


def _random_state(made: Made) -> object:
    bits = _source(made)
    if not isinstance(bits, numpy.random.MT19937):
        return made.record()
    match made.states:
        case () | (None,):
            return numpy.random.RandomState(bits)
        case ({"has_gauss": has, "gauss": float() as gauss, "state": state, **_rest},):
            if has not in (0, 1) or not isinstance(state, dict):
                raise _bad()
            key: Any = state.get("key")
            place: Any = state.get("pos")
            if not table(key, _KEY, kinds="u") or not _within(place, _KEY + 1):
                raise _bad("its place is outside of it")
            found = numpy.random.RandomState(bits)
            found.set_state(("MT19937", key.astype(numpy.uint32), int(place), int(has), gauss))
            return found
    return made.record()


def _generator(made: Made) -> object:
    bits = _source(made)
    match made.states:
        case () | (None,) if bits is not None and isinstance(made.args[0], numpy.random.BitGenerator):
            return numpy.random.Generator(bits)
        case (dict() as state,) if bits is not None and state.get("bit_generator") == type(bits).__name__:
            bits.state = {"bit_generator": type(bits).__name__, **_checked(type(bits).__name__, state)}
            return numpy.random.Generator(bits)
    return made.record()


def _seeds(made: Made) -> object:
    """What a generator was seeded from."""
    match made.args, made.states:
        case (Named(), int(), None), (tuple() as state,):
            pass
        case (Named(), int(), tuple() as state), ():
            pass
        case _:
            return made.record()
    match state:
        case (entropy, spawned, pool, size, tuple() as key):
            pass
        case _:
            return made.record()
    fits = _within(spawned, 1 << 31) and _within(size, _POOL) and int(size) >= 4
    if not fits or not _entropy(entropy) or len(key) > _WORDS or not all(_within(one, 1 << 32) for one in key):
        raise _bad("what it was seeded from is no seed")
    found = numpy.random.SeedSequence(
        entropy, spawn_key=tuple(map(int, key)), pool_size=int(size), n_children_spawned=int(spawned)
    )
    if type(pool) is not numpy.ndarray or not numpy.array_equal(found.pool, pool):
        raise _bad("what it was seeded from is no seed")
    return found


def _entropy(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return len(value) <= _WORDS and all(_within(one, 1 << _BITS) for one in value)
    if type(value) is numpy.ndarray:
        return value.ndim == 1 and value.dtype.kind == "u" and len(value) <= _WORDS
    return _within(value, 1 << _BITS)


RANDOM_MAKERS: dict[GlobalName, Maker] = {
    _SOURCE: _bits,
    GlobalName("numpy.random._pickle", "__randomstate_ctor"): _random_state,
    GlobalName("numpy.random._pickle", "__generator_ctor"): _generator,
    GlobalName("numpy.random.bit_generator", "__pyx_unpickle_SeedSequence"): _seeds,
}
RANDOM_NAMED = frozenset({*_KINDS, GlobalName("numpy.random.bit_generator", "SeedSequence")})
