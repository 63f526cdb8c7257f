"""Calling what any Python's standard library has outside the allowlist is dangerous: by rule, not by list."""

from __future__ import annotations

import _compat_pickle
import sys

import pytest

from safeload.core.finding import Status
from safeload.core.names import GlobalName
from safeload.engine.allowlists import default_allowlist
from safeload.rules.catalogue import is_stdlib
from safeload.rules.stdlib_names import STDLIB
from tests.generator.callables import stdlib_callables
from tests.generator.written import Called, Name, pickled
from tests.rules.streams import CALLS, status

REMOVED = """
asynchat asyncore distutils imp smtpd aifc audioop cgi cgitb chunk crypt imghdr lib2to3 mailcap msilib nis nntplib
ossaudiodev pipes sndhdr spwd sunau telnetlib uu xdrlib binhex formatter dummy_threading _bootlocale
"""
ADDED = "_interpreters _interpchannels _interpqueues _pyrepl _colorize _sysconfig annotationlib compression _zstd _hmac"
PRIVATE = "_posixsubprocess posix nt _pickle _io _thread _imp _ctypes _socket _ssl _winapi _operator _functools _signal"
PYTHON_2 = "__builtin__ cPickle commands popen2 urllib2 httplib thread copy_reg rexec ihooks compiler exceptions"


def test_this_interpreter_has_no_other_modules() -> None:
    """What `sys.stdlib_module_names` says is in our table; if not, the table is older than this Python."""
    assert set(sys.stdlib_module_names) - STDLIB == set()


@pytest.mark.parametrize("module", (REMOVED + ADDED + " " + PRIVATE + " " + PYTHON_2).split())
def test_modules_of_other_pythons_count(module: str) -> None:
    """Also of those that this interpreter no longer has, does not have yet, or hides; and what is below them."""
    for name in (module, f"{module}.anything.below"):
        assert is_stdlib(name)
        assert status(pickled(Called(Name(name, "anything"), "x"))) is Status.DANGEROUS
        assert status(pickled(Called(Name(name, "Anything")))) is Status.DANGEROUS


def test_names_that_python_3_translates_count() -> None:
    """Each module that protocols 0 to 2 translate from Python 2 is dangerous under both names."""
    for module in _compat_pickle.IMPORT_MAPPING:
        data = f"c{module}\nnobody_knows\n)R.".encode()
        assert status(data) is Status.DANGEROUS, module
        if module not in ("repr", "test.test_support"):  # which users call their own modules
            assert is_stdlib(module), module


def test_every_callable_of_the_standard_library_is_dangerous_to_call() -> None:
    """Functions, classes and methods of every module in this Python's library; nobody chose any of them."""
    allowlist, seen = default_allowlist(), 0
    for module, name in stdlib_callables():
        if GlobalName(module, name) in allowlist:
            continue
        seen += 1
        how = list(CALLS)[seen % (len(CALLS) - 1)]
        assert status(CALLS[how](module, name, b"", (0, 2, 4, 5)[seen % 4])) is Status.DANGEROUS, (module, name, how)
    assert seen > 20_000
