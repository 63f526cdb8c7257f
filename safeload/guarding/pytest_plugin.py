"""pytest under guard: `pytest --safeload-guard`, or `safeload_guard = true` in its configuration. Off by default.

From before the first test module is imported to the end of the session, the process is under `safeload.guard()`; so are
the workers of pytest-xdist, which get the same options. Refusals that tests caught are listed at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

    from safeload.guarding.guard import Guarded

_guarded: Guarded | None = None


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, on the command line and in the configuration."""
    group = parser.getgroup("safeload", "loads of models, guarded")
    group.addoption(
        "--safeload-guard", action="store_true", default=None, help="put the session under safeload.guard()"
    )
    group.addoption("--safeload-policy", metavar="FILE", default=None, help="with this policy; implies the guard")
    group.addoption("--safeload-strict", action="store_true", default=None, help="strictly; implies the guard")
    parser.addini("safeload_guard", "put the session under safeload.guard()", type="bool", default=False)
    parser.addini("safeload_policy", "with this policy file, seen from the project's root", default="")
    parser.addini("safeload_strict", "strictly", type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Put the guard on, if it was asked for."""
    global _guarded
    given, strict = config.getoption("--safeload-policy"), config.getoption("--safeload-strict")
    asked = config.getoption("--safeload-guard") or given is not None or strict or config.getini("safeload_guard")
    if not asked:
        return
    from safeload.guarding.guard import guard

    policy = given or (str(config.rootpath / name) if (name := config.getini("safeload_policy")) else None)
    _guarded = guard(policy=policy, strict=bool(strict or config.getini("safeload_strict")))


def pytest_report_header() -> list[str]:
    """Say so at the top."""
    if _guarded is None:
        return []
    return [f"safeload: loads are guarded{', strictly' if _guarded.settings.strict else ''}"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List what was refused, whether or not a test noticed."""
    refused = () if _guarded is None else _guarded.refused
    if refused:
        from safeload.core.names import escape

        terminalreporter.section("safeload: refused")
        for error in refused:
            terminalreporter.write_line(escape(error.what, 400))


def pytest_unconfigure() -> None:
    """Take the guard off."""
    global _guarded
    if _guarded is not None:
        _guarded.undo()
        _guarded = None
