"""What a bill of materials says of a model: its files and digests, its licence, what it was made from, who signed."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import quote

from safeload.core.digest import sha256
from safeload.engine.identity import locked_revision
from safeload.engine.lockentry import describe
from safeload.engine.options import Options
from safeload.engine.reach import reach
from safeload.engine.request import Access
from safeload.sources.base import Snapshot
from safeload.trust.lockfile import LockedModel

CARD = "README.md"
_LARGEST_CARD = 4 << 20
_LICENSE = re.compile(r"^license[ \t]*:[ \t]*['\"]?([A-Za-z0-9.+-]{1,100})['\"]?[ \t]*$", re.MULTILINE)
_BASE = re.compile(r"^base_model[ \t]*:[ \t]*['\"]?([A-Za-z0-9._-]+/[A-Za-z0-9._-]+)['\"]?[ \t]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """A model's bill of materials. What its card says is what its publisher says; nobody checked it."""

    name: str
    model: LockedModel
    purl: str = ""
    licence: str = ""
    """As the model's card names it, in the hub's words: `apache-2.0`."""
    base: str = ""
    """The model that its card says it was made from."""


def bom(
    reference: str | os.PathLike[str],
    *,
    revision: str | None = None,
    access: Access | None = None,
    options: Options | None = None,
) -> Bill:
    """Collect what a bill of materials says. Of a model on the hub, no weights are fetched.

    Promised: every file with its sha256, and signatures that were verified, by the policy's signers. Not promised:
    that card and provenance, which are quoted, are true.

    Raises what `lock` raises, except that nothing is refused for want of a signer.
    """
    options, access, text = options or Options(), access or Access(), os.fspath(reference)
    snapshot = reach(text, access, revision=locked_revision(text, revision, options) or revision, limits=options.limits)
    on_hub = snapshot.kind in ("hub", "cache")
    name = (snapshot.answered or snapshot.root) if on_hub else os.path.basename(snapshot.root)
    model, _ = describe(snapshot, options, id=name, requested=revision or "", entering=False)
    card = _card(snapshot, model)
    licence, base = _LICENSE.search(card), _BASE.search(card)
    return Bill(
        name=name,
        model=model,
        purl=f"pkg:huggingface/{quote(name)}@{snapshot.revision}" if on_hub else "",
        licence=licence[1] if licence else "",
        base=base[1] if base else "",
    )


def _card(snapshot: Snapshot, model: LockedModel) -> str:
    """The top of the card, if its bytes are those of the bill. It is looked through, and never parsed as YAML."""
    file = next((one for one in model.files if one.path == CARD and one.size <= _LARGEST_CARD), None)
    if file is None:
        return ""
    with snapshot.open(CARD) as card:
        data = card.read_at(0, file.size)
    if sha256(data) != file.sha256 or not data.startswith(b"---\n"):
        return ""
    return data[4:].decode("utf-8", "replace").partition("\n---")[0]
