"""Imported by every Python that starts with this folder on its path: see `safeload.guarding.children`.

Whatever goes wrong here ends the process: a program that is to be guarded does not run without.
"""

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))


def _step_off() -> None:
    """The folder has done its work in this process. Those that it starts find it in the environment."""
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or os.curdir) != _HERE]


def _guard() -> None:
    path = list(sys.path)
    # For this one import: the program may have started in an environment without safeload.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(_HERE))))
    try:
        from safeload.guarding.children import start

        start()
    finally:
        sys.path[:] = path


def _guard_or_end() -> None:
    guarded = False
    try:
        _guard()
        guarded = True
    finally:
        if not guarded:
            kind, error, _ = sys.exc_info()
            sys.stderr.write("safeload: this Python was not started, because it would not be under guard\n")
            sys.stderr.write("  why:   %s: %s\n" % (getattr(kind, "__name__", ""), error))  # noqa: UP031
            sys.stderr.write("  next:  start it without SAFELOAD_GUARD in its environment, if it loads no models\n")
            sys.stderr.flush()
            os._exit(2)


def _chain() -> None:
    """Let the user's own `sitecustomize` run, if there is one."""
    own = sys.modules.pop("sitecustomize")
    try:
        import sitecustomize  # type: ignore[import-not-found]  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "sitecustomize":
            raise
    finally:
        sys.modules.setdefault("sitecustomize", own)


if __name__ == "sitecustomize":
    _step_off()
    if "SAFELOAD_GUARD" in os.environ:
        _guard_or_end()
    _chain()
