"""The code names files that programs run, or that hold secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.core.names import escape
from safeload.formats.base import Part
from safeload.formats.python.facts import Facts
from safeload.rules.base import Context, Rule
from safeload.rules.code_use import at_line, example

_PLACES = re.compile(
    r"""
    \.(?:bashrc|bash_profile|bash_login|profile|zshrc|zprofile|xinitrc|xprofile|pythonrc)\b | (?:^|[/\\])crontab\b
    | /etc/(?:cron|init\.d|rc\.|profile|ld\.so|passwd|shadow|sudoers|systemd|hosts\b) | autostart[/\\] | LaunchAgents
    | systemd/user | authorized_keys | \.ssh\b | (?:site|user)customize | site-packages | CurrentVersion\\+Run
    | Start\ Menu | \.git/hooks | \.aws/ | \.netrc\b | \.kube/ | \.docker/config | \.gnupg | id_(?:rsa|ed25519|ecdsa)
    | huggingface/token | \.pypirc | \.npmrc | \.config/gcloud | Cookies\b | Login\ Data | wallet\.dat
    | /proc/self | /dev/tcp
    """,
    re.VERBOSE,
)


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if not isinstance(part, Facts):
        return
    for line, value in dict.fromkeys((*part.strings, *part.texts)):
        if isinstance(value, int):
            continue
        text = value if isinstance(value, str) else value.decode("latin-1")
        if match := _PLACES.search(text):
            yield at_line(rule, part, line, f"names {escape(match[0], 60)!r} in {escape(text, 80)!r}")


def _bad() -> Iterable[Part]:
    yield example('name = "/.bash" + "rc"\n')
    yield example('open("/root/.ssh/id_rsa").read()\n')


def _good() -> Iterable[Part]:
    yield example('weights = "model.pth"\n')


RULE = Rule(
    id="code-persistence",
    title="the code names files that programs run, or that hold secrets",
    why=(
        "Start-up files, scheduled jobs, hooks and `site-packages` run again after the model is gone; key files and "
        "tokens are what code steals first. The check looks at every text of the source, also at those put together "
        "from pieces or decoded."
    ),
    status=Status.UNVERIFIED,
    severity=Severity.HIGH,
    confidence=Confidence.LIKELY,
    remedy="do not approve the code before you know what it wants there",
    taxonomy=("CWE-506", "AML.T0055"),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Facts,),
)
