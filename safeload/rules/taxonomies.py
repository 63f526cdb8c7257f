"""The public catalogues that rules point into: CWE, MITRE ATLAS, and OWASP's lists for machine learning and for LLMs.

A rule names its CWE, and what else it knows. What it leaves out follows from its CWE: each rule thus has an entry in
all three, and a new rule needs to say nothing but what is special about it.
"""

from __future__ import annotations

import functools
import re

TITLES = {
    "AML.T0010": "AI Supply Chain Compromise",
    "AML.T0010.001": "AI Supply Chain Compromise: AI Software",
    "AML.T0010.003": "AI Supply Chain Compromise: Model",
    "AML.T0011": "User Execution",
    "AML.T0011.000": "User Execution: Unsafe AI Artifacts",
    "AML.T0018": "Manipulate AI Model",
    "AML.T0029": "Denial of AI Service",
    "AML.T0051": "LLM Prompt Injection",
    "AML.T0055": "Unsecured Credentials",
    "AML.T0074": "Masquerading",
    "AML.T0076": "Corrupt AI Model",
    "LLM01:2025": "Prompt Injection",
    "LLM02:2025": "Sensitive Information Disclosure",
    "LLM03:2025": "Supply Chain",
    "LLM04:2025": "Data and Model Poisoning",
    "LLM10:2025": "Unbounded Consumption",
    "ML06:2023": "AI Supply Chain Attacks",
    "ML10:2023": "Model Poisoning",
}
"""The entries of ATLAS and OWASP that rules name, with the titles they have there."""

_SUPPLY_CHAIN = ("LLM03:2025", "ML06:2023")
_SECRETS = frozenset({"CWE-200", "CWE-312", "CWE-522", "CWE-540", "CWE-798"})
_EXHAUSTION = frozenset({"CWE-400", "CWE-409", "CWE-674", "CWE-770", "CWE-834", "CWE-1333"})
_DISGUISE = frozenset({"CWE-436", "CWE-646", "CWE-354", "CWE-451"})
_UNREADABLE = frozenset({"CWE-703"})

_ID = r"CWE-[1-9][0-9]*|AML\.T[0-9]{4}(\.[0-9]{3})?|(LLM(0[1-9]|10)|ML(0[1-9]|10)):20[0-9]{2}"


def is_entry(text: str) -> bool:
    """Whether a text has the form of an entry: `CWE-502`, `AML.T0011.000`, `LLM03:2025`, `ML06:2023`."""
    return re.fullmatch(_ID, text) is not None


@functools.cache
def complete(own: tuple[str, ...], owasp: tuple[str, ...] = ()) -> tuple[str, ...]:
    """All entries of a rule: its own, then for each catalogue that it says nothing about what follows from its CWE.

    Args:
        own: what the rule names itself, of any catalogue.
        owasp: what it names instead of the default of its family.
    """
    entries = [*own, *owasp]
    families = set(own)
    if not any(entry.startswith("AML.") for entry in entries):
        entries += _atlas(families)
    if not any(entry.startswith(("LLM", "ML")) for entry in entries):
        entries += _owasp(families)
    return tuple(dict.fromkeys(entries))


def _atlas(families: set[str]) -> tuple[str, ...]:
    if families & _SECRETS:
        return ("AML.T0055",)
    if families & _EXHAUSTION:
        return ("AML.T0029",)
    if families & _DISGUISE:
        return ("AML.T0074",)
    if families & _UNREADABLE:
        return ("AML.T0076",)
    return ("AML.T0010.003",)


def _owasp(families: set[str]) -> tuple[str, ...]:
    if families & _SECRETS:
        return ("LLM02:2025", *_SUPPLY_CHAIN)
    if families & _EXHAUSTION:
        return ("LLM10:2025", *_SUPPLY_CHAIN)
    return _SUPPLY_CHAIN


def link(entry: str) -> str:
    """The page of an entry in its catalogue; "" for what is in none of them."""
    if entry.startswith("CWE-"):
        return f"https://cwe.mitre.org/data/definitions/{entry.removeprefix('CWE-')}.html"
    if entry.startswith("AML."):
        return f"https://atlas.mitre.org/techniques/{entry}"
    if entry.startswith("LLM"):
        return "https://genai.owasp.org/llm-top-10/"
    if entry.startswith("ML"):
        return "https://owasp.org/www-project-machine-learning-security-top-10/"
    return ""
