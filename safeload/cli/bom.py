"""`safeload bom REF`"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from safeload.cli.output import waiting
from safeload.core.errors import UsageError
from safeload.core.names import escape

if TYPE_CHECKING:
    from safeload.engine.bom import Bill


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reference", metavar="REF", help="a model on the hub, or a directory")
    parser.add_argument("--revision", metavar="REV", help="for models on the hub: a commit, branch or tag")
    parser.add_argument("--into", metavar="FILE", help="write it there instead of printing it; FILE must not exist")
    parser.add_argument("--offline", action="store_true", help="use what the hub's cache holds; connect to nothing")
    parser.add_argument("--policy", metavar="FILE", help="signers from this policy instead of the project's")


def run(parsed: argparse.Namespace) -> int:
    """Write the document."""
    from safeload import __version__
    from safeload.engine.bom import bom
    from safeload.engine.options import Options
    from safeload.engine.request import Access
    from safeload.reporters._bill import Item, document

    options = Options(**({"policy": parsed.policy} if parsed.policy else {}))
    with waiting(f"looking at {parsed.reference}"):
        bill = bom(
            parsed.reference,
            revision=parsed.revision,
            access=Access(local_files_only=parsed.offline),
            options=options,
        )
    model = bill.model
    files = [
        Item(
            path=escape(file.path),
            size=file.size,
            digests={"sha256": file.sha256} | ({"blake3": file.blake3} if file.blake3 else {}),
        )
        for file in model.files
    ]
    text = document(
        name=escape(bill.name),
        version=model.revision,
        tree=model.tree,
        purl=bill.purl,
        licence=bill.licence,
        files=files,
        ancestors=[*_ancestors(bill)],
        properties=_properties(bill),
        safeload_version=__version__,
        epoch=_epoch(),
    )
    if parsed.into is None:
        sys.stdout.write(text)
        return 0
    try:
        with open(parsed.into, "x", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise UsageError(
            "the bill of materials was not written",
            where=escape(parsed.into),
            why=error.strerror or "the file cannot be made",
            remedy="--into a file that does not exist",
        ) from error
    print(parsed.into)
    return 0


def _epoch() -> int:
    """What reproducible builds take for the time."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "0")
    if not (text.isascii() and text.isdigit() and len(text) <= 11):
        raise UsageError(
            "SOURCE_DATE_EPOCH is no time", why=f"it is {escape(text)!r}", remedy="unset SOURCE_DATE_EPOCH"
        )
    return int(text)


def _ancestors(bill: Bill) -> Iterator[str]:
    """The models that it was converted from, as its provenance says, and the one that its card says it stands on."""
    found = {one.partition("#")[0] for one in bill.model.converted_from if one.startswith("pkg:")}
    if bill.base:
        found.add(f"pkg:huggingface/{bill.base}")
    yield from sorted(found)


def _properties(bill: Bill) -> Iterator[tuple[str, str]]:
    yield "safeload:tree", bill.model.tree
    for one in bill.model.signatures:
        covers = "all files" if len(one.covers) == len(bill.model.files) else f"{len(one.covers)} files"
        yield "safeload:signed-by", escape(f"{one.signer}: {one.identity}: {covers}: {one.bundle}")
    if not bill.model.signatures:
        yield "safeload:signed-by", "nobody that the policy names"
