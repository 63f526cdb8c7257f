"""CPython's own tests of pickle (`test.pickletester`), with `safeload.pickle` in the place of the unpickler.

What the suite tests of unpickling data must pass. Tests that need foreign code to run, or ask for exactly what safeload
promises not to do, are named below, each with its reason; the list is exact in both directions: a test that is named
and passes fails this file as well as one that is not named and fails, or that fails for another reason.
"""

from __future__ import annotations

import io
import pickle as standard
import re
import sys
import unittest
from dataclasses import dataclass
from typing import Any

import pytest

from safeload import Limits, Options, pickle
from safeload.core.errors import SafeloadError, UsageError
from safeload.engine.live.classes import table_for

suite: Any = pytest.importorskip(
    "test.pickletester", reason="this Python comes without its tests (Debian: libpython3-testsuite): PICKLE NOT PROVEN"
)

pytestmark = pytest.mark.filterwarnings("ignore")
OPTIONS = Options(limits=Limits(number_bytes=1 << 18))
"""test_long writes numbers of 125,000 bytes, which nobody's data has."""


def _plain_classes() -> list[type]:
    """The suite's own classes, as far as they are nothing but their attributes."""
    found = []
    for kind in vars(suite).values():
        if isinstance(kind, type) and kind.__module__ in (suite.__name__, "__main__"):
            try:
                table_for([kind])
            except UsageError:
                continue
            found.append(kind)
    return found


CLASSES = _plain_classes()


class _Suite:
    __test__ = False  # run below, all tests of a class at once


class _Loading(_Suite):
    """Errors are ours; what the suite asks is that there is one."""

    truncated_errors = bad_stack_errors = (SafeloadError, EOFError)

    def check_unpickling_error(self, errors: object, data: bytes) -> None:
        with pytest.raises(SafeloadError):
            self.loads(data)

    def loads(self, data: bytes, **arguments: Any) -> Any:
        return pickle.loads(data, classes=CLASSES, safeload=OPTIONS, **arguments)


class Unpickling(_Loading, suite.AbstractUnpickleTests, unittest.TestCase):
    unpickler = pickle.Unpickler


class Pickling(_Loading, suite.AbstractPickleTests, unittest.TestCase):
    pickler = standard.Pickler

    def dumps(self, value: object, protocol: int | None = None, **arguments: Any) -> bytes:
        return standard.dumps(value, protocol, **arguments)


class Module(_Suite, suite.AbstractPickleModuleTests, unittest.TestCase):
    dump = staticmethod(pickle.dump)
    dumps = staticmethod(pickle.dumps)
    load = staticmethod(pickle.load)
    loads = staticmethod(pickle.loads)
    Pickler = pickle.Pickler
    Unpickler = pickle.Unpickler


class _Persistent(_Suite):
    def dumps(self, value: object, protocol: int | None = None) -> bytes:
        class Pickler(standard.Pickler):
            def persistent_id(inner, value: object) -> Any:
                return self.persistent_id(value)

        file = io.BytesIO()
        Pickler(file, protocol).dump(value)
        return file.getvalue()

    def loads(self, data: bytes, **arguments: Any) -> Any:
        class Unpickler(pickle.Unpickler):
            def persistent_load(inner, id: object) -> Any:
                return self.persistent_load(id)

        return Unpickler(io.BytesIO(data), **arguments).load()


class Persistent(_Persistent, suite.AbstractPersistentPicklerTests, unittest.TestCase):
    pass


class PersistentIdentity(_Persistent, suite.AbstractIdentityPersistentPicklerTests, unittest.TestCase):
    pass


class Reuse(_Suite, suite.AbstractPicklerUnpicklerObjectTests, unittest.TestCase):
    pickler_class = standard.Pickler
    unpickler_class = pickle.Unpickler


@dataclass(frozen=True)
class Why:
    """A reason for which a test cannot pass, and what its failure says, so that the reason is checked."""

    text: str
    says: str


FOREIGN = Why(
    "calls a class or function of the program that nobody vouched for: refused, with its name",
    "would call test.pickletester.create_dynamic_class",
)
METHOD = Why(
    "needs a method of a class to run (`__new__`, `__init__`, `__setstate__`, `append`): no method ever does",
    "arguments, which are for its methods|(REX_state|Bad) .* is not on the allowlist",
)
OWN = Why(
    "an instance of a class with an `__eq__` of its own, on a builtin type: it would run where two keys are compared",
    "NewObj.* is not on the allowlist",
)
KEY = Why(
    "an argument, whose class would get it by a method, refers back to the object that is made of it",
    "contains itself before it exists",
)
FUNCTION = Why(
    "names functions of the standard library, such as `len` or `map`: they are not data, and are refused",
    r"builtins\.(len|min|map|__build_class__)",
)
GETATTR = Why(
    "looks an attribute up by a name in the file (`builtins.getattr`): refused as dangerous",
    r"would call builtins\.getattr|pickletester.Recursive .* is not on the allowlist",
)
MESSAGE = Why(
    "asks for pickle's own exception; ours is none of them, so that no program falls back on it",
    r"^safeload\.core\.errors\.(MalformedInput|UsageError)",
)
REGISTRY = Why(
    "uses the process's registry of extension codes: what they mean depends on the program",
    "entry [0-9]+ of the process's extension registry",
)
MEMO = Why("one pickle refers to what another one remembered: each is read by itself", "no attribute 'memo'")

EXCLUDED: dict[str, dict[str, Why]] = {
    "Unpickling": {
        "test_compat_unpickle": Why(
            "names `functools.reduce` and others that call what they are given: judged dangerous",
            r"would import functools\.reduce",
        ),
        "test_unpickle_from_2x": Why(
            "holds a cookie, which is made by a class of `http.cookies` that nobody vouched for",
            r"would call http\.cookies\.SimpleCookie",
        ),
    },
    "Pickling": {
        "test_appends_on_non_lists": METHOD,
        "test_buffers_error": MESSAGE,
        "test_builtin_functions": FUNCTION,
        "test_builtin_types": Why(
            "names every builtin type, among them the importers: judged dangerous",
            "BuiltinImporter: it imports modules",
        ),
        "test_c_methods": GETATTR,
        "test_compat_pickle": Why(
            "calls `map` and `iter`, which call what they are given: judged dangerous", r"would call builtins\.map"
        ),
        "test_complex_newobj": OWN,
        "test_complex_newobj_ex": OWN,
        "test_dynamic_class": FOREIGN,
        "test_evil_class_mutating_dict": METHOD,
        "test_global_ext1": REGISTRY,
        "test_global_ext2": REGISTRY,
        "test_global_ext4": REGISTRY,
        "test_in_band_buffers": GETATTR,
        "test_large_pickles": FUNCTION,
        "test_nested_names": GETATTR,
        "test_newobj_not_class": OWN,
        "test_oob_buffers": GETATTR,
        "test_oob_buffers_writable_to_readonly": GETATTR,
        "test_proto": MESSAGE,
        "test_py_methods": GETATTR,
        "test_recursive_dict_key": METHOD,
        "test_recursive_dict_like": METHOD,
        "test_recursive_dict_like_key": METHOD,
        "test_recursive_dict_subclass_key": METHOD,
        "test_recursive_inst_state": METHOD,
        "test_recursive_list_like": METHOD,
        "test_recursive_nested_names": GETATTR,
        "test_recursive_set": METHOD,
        "test_recursive_tuple_and_dict_key": KEY,
        "test_recursive_tuple_and_dict_like": METHOD,
        "test_recursive_tuple_and_dict_like_key": METHOD,
        "test_recursive_tuple_and_dict_subclass_key": KEY,
        "test_recursive_tuple_and_inst_state": METHOD,
        "test_recursive_tuple_and_list_like": METHOD,
        "test_reduce_ex_called": METHOD,
        "test_reduce_ex_overrides_reduce": METHOD,
        "test_reduce_overrides_default_reduce_ex": METHOD,
        "test_setitems_on_non_dicts": METHOD,
        "test_simple_newobj": OWN,
    },
    "Module": {
        "test_bad_init": MESSAGE,
        "test_dump_load_oob_buffers": GETATTR,
        "test_dumps_loads_oob_buffers": GETATTR,
        "test_incomplete_input": MESSAGE,
    },
    "Persistent": {},
    "PersistentIdentity": {
        "test_protocol0_is_ascii_only": MESSAGE,
        "test_return_correct_type": Why(
            "has a persistent id for a call's arguments: C and Python read that differently", "arguments-not-a-tuple"
        ),
    },
    "Reuse": {
        "test_multiple_unpicklings_minimal": FUNCTION,
        "test_multiple_unpicklings_seekable": FUNCTION,
        "test_multiple_unpicklings_unseekable": FUNCTION,
        "test_priming_unpickler_memo": MEMO,
    },
}
SUITES = (Unpickling, Pickling, Module, Persistent, PersistentIdentity, Reuse)


@pytest.mark.parametrize("kind", SUITES, ids=lambda kind: kind.__name__)
def test_pickletester_passes_but_for_what_is_named(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly the tests that are named with a reason fail; all others of CPython's suite pass."""
    main = sys.modules["__main__"]
    for name in ("C", "D", "E"):
        monkeypatch.setattr(main, name, getattr(suite, name), raising=False)
    tests = unittest.defaultTestLoader.loadTestsFromTestCase(kind)
    result = unittest.TestResult()
    tests.run(result)
    failed = {}
    for test, trace in [*result.errors, *result.failures]:
        failed.setdefault(getattr(test, "test_case", test)._testMethodName, trace)
    named = {name for name in EXCLUDED[kind.__name__] if hasattr(kind, name)}
    unexpected = "\n\n".join(failed[name] for name in sorted(set(failed) - named))
    assert not unexpected, unexpected
    assert named == set(failed), f"named although they pass: {sorted(named - set(failed))}"
    for name, trace in failed.items():
        why = EXCLUDED[kind.__name__][name]
        assert re.search(why.says, trace, re.MULTILINE), f"{name} does not fail because it {why.text}:\n{trace}"


def test_most_of_the_suite_is_not_left_out() -> None:
    """Left out is less than a third of the suite."""
    tests = {(kind.__name__, name) for kind in SUITES for name in dir(kind) if name.startswith("test_")}
    left_out = [(kind, name) for kind, names in EXCLUDED.items() for name in names if (kind, name) in tests]
    assert len(left_out) * 3 < len(tests)
