"""detect-secrets, a second reader of texts that looks for secrets left in them: the one file that calls it.

Only its detectors are used, those that it comes with, on lines that were cut from what we read ourselves. Its files,
settings, baselines and plugins of others are not; nor are the ways in which it asks a service over the network whether
a secret is real (`analyze_line` may do so, `analyze_string` cannot). Nor does it heed comments such as `pragma:
allowlist secret`: whoever wrote the file does not decide what is told of it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from safeload.core.errors import UsageError

if TYPE_CHECKING:
    from detect_secrets.plugins.base import BasePlugin

WINDOW = 500
"""Characters of a line that it sees at once: its patterns take their time with long ones."""
OVERLAP = 150
MOST_CANDIDATES = 100
"""What its detectors see, and its filters then look at, in one text."""


class Secret(NamedTuple):
    """One thing that it takes for a secret."""

    line: int
    """The number of the line, from 0."""
    kind: str
    """Its own name for what that is, such as `AWS Access Key`."""
    text: str
    """All of the secret; never to be shown."""
    known: bool
    """Whether it has a form of its own. Else it is a word behind `password`, or looks random."""


def require() -> None:
    """Make sure that detect-secrets can be asked.

    Raises:
        UsageError: it is not installed.
    """
    try:
        _plugins()
    except ImportError as error:
        raise UsageError(
            "detect-secrets was asked for, and is not installed",
            why=str(error),
            remedy="pip install 'safeload[secrets]'",
        ) from None


class Failure(NamedTuple):
    """It gave up: everything behind this line has no second opinion."""

    line: int
    why: str


def secrets(lines: Iterable[str], name: str) -> Iterator[Secret | Failure]:
    """What it takes for secrets in lines of a file of that name, each once a line, the surest detector first.

    A `Failure` comes last, if there is one: it stumbled, or there was more than `MOST_CANDIDATES` to look at.

    Raises:
        UsageError: detect-secrets is not installed.
    """
    require()
    at = 0
    try:
        for at, found in _secrets(lines, name):
            if found is None:
                yield Failure(at, f"it saw more than {MOST_CANDIDATES} candidates")
                return
            yield found
    except Exception as error:  # noqa: BLE001 (another's analyser may raise anything; it is told, not swallowed)
        yield Failure(at, type(error).__name__)


def _secrets(lines: Iterable[str], name: str) -> Iterator[tuple[int, Secret | None]]:
    count = 0
    for number, line in enumerate(lines):
        seen: set[str] = set()
        for window in _windows(line):
            for kind, text, known, plugin in _found(window, name):
                count += 1
                if count > MOST_CANDIDATES:
                    yield number, None
                    return
                if text and text not in seen and not any(unlikely(text, window, plugin) for unlikely in _filters()):
                    seen.add(text)
                    yield number, Secret(number, kind, text, known)


def _windows(line: str) -> Iterator[str]:
    for start in range(0, max(1, len(line) - OVERLAP), WINDOW - OVERLAP):
        yield line[start : start + WINDOW]


def _found(line: str, name: str) -> Iterator[tuple[str, str, bool, BasePlugin]]:
    from detect_secrets.plugins.base import RegexBasedDetector
    from detect_secrets.plugins.high_entropy_strings import HighEntropyStringsPlugin
    from detect_secrets.plugins.keyword import REGEX_BY_FILETYPE, KeywordDetector
    from detect_secrets.util.filetype import determine_file_type

    for plugin in _plugins():
        if isinstance(plugin, KeywordDetector):
            found = plugin.analyze_string(line, REGEX_BY_FILETYPE.get(determine_file_type(name)))
        else:
            found = plugin.analyze_string(line)
        for text in found:
            if (
                isinstance(plugin, HighEntropyStringsPlugin)
                and plugin.calculate_shannon_entropy(text) <= plugin.entropy_limit
            ):
                continue
            yield str(plugin.secret_type), text, isinstance(plugin, RegexBasedDetector), plugin


def _kinds(base: type[Any]) -> Iterator[type[Any]]:
    for kind in base.__subclasses__():
        yield kind
        yield from _kinds(kind)


@functools.cache
def _plugins() -> tuple[BasePlugin, ...]:
    """Its own detectors, those of forms that nothing else has first."""
    from detect_secrets.plugins import (  # noqa: F401 (a detector is known when its module is imported)
        artifactory,
        aws,
        azure_storage_key,
        basic_auth,
        cloudant,
        discord,
        github_token,
        gitlab_token,
        high_entropy_strings,
        ibm_cloud_iam,
        ibm_cos_hmac,
        ip_public,
        jwt,
        keyword,
        mailchimp,
        npm,
        openai,
        private_key,
        pypi_token,
        sendgrid,
        slack,
        softlayer,
        square_oauth,
        stripe,
        telegram_token,
        twilio,
    )
    from detect_secrets.plugins.base import BasePlugin, RegexBasedDetector

    found: set[type[BasePlugin]] = {
        kind
        for kind in _kinds(BasePlugin)
        if kind.__module__.startswith("detect_secrets.plugins.") and not inspect.isabstract(kind)
    }
    sure, word = RegexBasedDetector, keyword.KeywordDetector
    ordered = sorted(found, key=lambda kind: (not issubclass(kind, sure), not issubclass(kind, word), kind.__name__))
    return tuple(kind() for kind in ordered)


@functools.cache
def _filters() -> tuple[Callable[[str, str, BasePlugin], bool], ...]:
    """Its own reasons to think that something is no secret after all, but those that a file could give itself."""
    from detect_secrets.filters import heuristic

    return (
        lambda text, line, plugin: heuristic.is_sequential_string(text),
        lambda text, line, plugin: heuristic.is_potential_uuid(text),
        lambda text, line, plugin: heuristic.is_likely_id_string(text, line, plugin),
        lambda text, line, plugin: heuristic.is_templated_secret(text),
        lambda text, line, plugin: heuristic.is_prefixed_with_dollar_sign(text),
        lambda text, line, plugin: heuristic.is_indirect_reference(line),
        lambda text, line, plugin: heuristic.is_not_alphanumeric_string(text),
    )
