"""Where libraries keep what they downloaded: the folders whose code the tripwire stops."""

from __future__ import annotations

import os

_NAMES = (
    "HOME", "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_MODULES_CACHE", "HF_XET_CACHE",
    "TORCH_HOME", "KERNELS_CACHE",
)  # fmt: skip
_SEEN = 50_000
"""Folders that are remembered, at most."""


class Folders:
    """The folders where libraries keep downloads, each as it is written and as it is, with a separator at its end."""

    def __init__(self) -> None:
        self._roots: tuple[str, ...] = ()
        self._said: tuple[str | None, ...] = ()
        """What the environment said when they were worked out."""
        self._seen: dict[str, bool] = {}
        """Whether a folder of code is or lies in one of them: thousands of modules come from few folders."""
        self._environ: object = None
        """The environment, if this process has changed nothing of it that counts since: then nobody looks again."""
        self._changes = False

    def _look(self) -> tuple[str, ...]:
        if self._environ is os.environ:
            return self._roots
        said = tuple(map(os.environ.get, _NAMES))
        if self._said != said:
            self._roots, self._said, self._seen = _worked_out(said), said, {}
        if not self._changes:
            self._environ = os.environ
        return self._roots

    def forget(self) -> None:
        """Look at the environment anew."""
        self._environ = None

    def will_change(self, name: str) -> None:
        """A variable of the environment is about to change."""
        if name in _NAMES:  # whoever sets one of these gets the slow way, and no gap
            self._changes, self._environ = True, None

    def hold(self, folder: str) -> bool:
        """Whether a folder is one of them, or lies in one, by its name or through links."""
        roots, seen = self._look(), self._seen
        passed = []
        while (found := seen.get(folder)) is None:
            passed.append(folder)
            above = os.path.dirname(folder)
            if (folder + os.sep).startswith(roots) or (
                os.path.islink(folder) and (os.path.realpath(folder) + os.sep).startswith(roots)
            ):
                found = True
                break
            if above == folder:
                found = False
                break
            folder = above
        if len(seen) < _SEEN:
            seen.update(dict.fromkeys(passed, found))
        return found


def _worked_out(said: tuple[str | None, ...]) -> tuple[str, ...]:
    """The folders. Programs set these variables themselves, before they import the libraries that read them."""
    given = dict(zip(_NAMES, said, strict=True))
    cache = given["XDG_CACHE_HOME"] or os.path.join(os.path.expanduser("~"), ".cache")
    home = given["HF_HOME"] or os.path.join(cache, "huggingface")
    hub = given["HF_HUB_CACHE"] or given["HUGGINGFACE_HUB_CACHE"] or os.path.join(home, "hub")
    folders = (
        given["HF_MODULES_CACHE"] or os.path.join(home, "modules"),
        hub,
        given["HF_XET_CACHE"] or os.path.join(home, "xet"),
        os.path.join(given["TORCH_HOME"] or os.path.join(cache, "torch"), "hub"),
        given["KERNELS_CACHE"] or hub,
    )
    whole = {os.path.abspath(os.path.expanduser(folder)) for folder in folders}
    return tuple(sorted({place + os.sep for path in whole for place in (path, os.path.realpath(path))}))
