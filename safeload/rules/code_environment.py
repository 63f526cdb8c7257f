"""The code looks at or changes the environment."""

from __future__ import annotations

from collections.abc import Iterable

from safeload.core.finding import Confidence, Severity, Status
from safeload.formats.base import Part
from safeload.formats.python.facts import Facts, Use
from safeload.rules.base import Rule
from safeload.rules.code_use import checking, example, reaches, words

_NAMES = words(
    """
    os.environ os.environb os.getenv os.getenvb os.putenv os.unsetenv os.getlogin os.uname getpass pwd grp spwd keyring
    netrc dotenv platform.node socket.gethostname huggingface_hub.get_token huggingface_hub.HfFolder
    huggingface_hub.login huggingface_hub.utils.get_token huggingface_hub.constants.HF_TOKEN_PATH secretstorage
    browser_cookie3 winreg
    """
)


def _chosen(use: Use) -> bool:
    return reaches(use, _NAMES, _METHODS)


_METHODS = frozenset({"get_token", "HF_TOKEN_PATH", "get_token_to_send"})


def _bad() -> Iterable[Part]:
    yield example('import os\ntoken = os.environ["HF_TOKEN"]\n')


def _good() -> Iterable[Part]:
    yield example("import os\nsize = os.path.getsize\n")


RULE = Rule(
    id="code-environment",
    title="the code looks at or changes the environment",
    why=(
        "Environment variables hold tokens and passwords, and steer the libraries around the model. Names of "
        "users, hosts and key stores count as well."
    ),
    status=Status.UNVERIFIED,
    severity=Severity.MEDIUM,
    confidence=Confidence.LIKELY,
    remedy="read the line; approve the code only if you know why it does that",
    taxonomy=(
        "CWE-526",
        "AML.T0055",
    ),
    check=checking(_chosen, "uses the environment or secrets"),
    bad=_bad,
    good=_good,
    looks_at=(Facts,),
)
