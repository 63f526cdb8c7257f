"""How many people stand behind an approval: names that can be told apart, each with a proof of its own.

A proof is the key of a signature that was verified; without one, the name itself, as it looks to a reader.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

Who = tuple[str, str]
"""An auditor's name, and what proves it: the identity of a signature, or no more than the name."""
_LOOKALIKES = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u0501\u051b\u051d\u04bb\u0491\u043c\u043d\u043a\u0442\u0432"
    "\u03bf\u03b1\u03b5\u03c1\u03bd\u03b9\u03ba\u03c4\u03c5\u03c7\u03b3\u03b7\u0131\u0237"
    "\u0585\u0578\u057d\u0581\u0566\u0570\u03f3\u0251\u0261\u026f\uab32\u13b3\u13cf\ua731\u1d0f\u1d1c\u1d20\u1d21\u1d22"
    "01|",
    "aeopcyxijsdqwhrmhktboaepviktuxynijonugqhjagmewbsouvwzoll",
)
"""Cyrillic, Greek, Armenian, Cherokee, small capital and dotless letters, and digits, that look like Latin letters."""


_FILLERS = frozenset("\u115f\u1160\u3164\uffa0")
"""Letters that are not shown: places that a Korean syllable leaves empty."""


IMPORTED = "import:"
"""How the proof of whoever stands in another organisation's records begins."""


def likeness(name: str) -> str:
    """What a reader sees of a name: two people whose names look the same cannot be told apart by them.

    Capitals, accents, spaces, punctuation, invisible characters and look-alike letters of other alphabets are no
    difference.
    """
    plain = unicodedata.normalize("NFKC", name).casefold().translate(_LOOKALIKES)
    letters = (letter for letter in unicodedata.normalize("NFKD", plain) if letter.isalnum())
    return "".join(letter for letter in letters if letter not in _FILLERS)


def proof_of(name: str) -> str:
    """The proof of somebody who proved nothing."""
    return f"name:{likeness(name)}"


def distinct(who: Iterable[Who]) -> int:
    """How many auditors these are, at most: each with a name and a proof that no other one of them has.

    Another pair never makes them fewer.
    """
    proofs: dict[str, list[str]] = {}
    for name, proof in sorted(set(who)):
        proofs.setdefault(name, []).append(proof)
    owner: dict[str, str] = {}
    given: dict[str, str] = {}
    return sum(_give(name, proofs, owner, given) for name in proofs)


def people(who: Iterable[Who]) -> int:
    """How many people these are, at most, if nobody signed: one name here and in an import is one person."""
    return distinct((likeness(_person(name, proof)), proof) for name, proof in who)


def _person(name: str, proof: str) -> str:
    """The name of a person, without that of the organisation whose records name them."""
    return name.removeprefix(f"{proof.removeprefix(IMPORTED)}/") if proof.startswith(IMPORTED) else name


def _give(name: str, proofs: dict[str, list[str]], owner: dict[str, str], given: dict[str, str]) -> bool:
    """Give a name a proof of its own, if others can do with other ones (an augmenting path, found breadth first)."""
    came: dict[str, str] = {}
    """By proof, the name that asked for it."""
    pending = [name]
    for asking in pending:
        for proof in proofs[asking]:
            if proof in came:
                continue
            came[proof] = asking
            if proof in owner:
                pending.append(owner[proof])
                continue
            while True:
                taker = came[proof]
                before = given.get(taker)
                owner[proof], given[taker] = taker, proof
                if before is None:
                    return True
                proof = before
    return False
