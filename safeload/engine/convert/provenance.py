"""`conversion.intoto.json`: which inputs became which outputs, with what options, by which version."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote

from safeload import __version__
from safeload.core.errors import SafeloadError
from safeload.engine.convert.conversion import ConvertedFile
from safeload.sources.base import Snapshot
from safeload.sources.hfcache import find_place
from safeload.sources.pinned import pin
from safeload.trust.statement import PROVENANCE, Resource, Statement

NAME = "conversion.intoto.json"
BUILD_TYPE = "urn:safeload:convert:v1"
BUILDER = f"pkg:pypi/safeload@{__version__}"
_LARGEST = 1 << 24
"""Bytes of a file that is already there, and may be one of ours."""


def statement(
    origin: str,
    inputs: Mapping[str, str],
    outputs: Iterable[ConvertedFile],
    parameters: Mapping[str, Any],
) -> Statement:
    """The provenance of a conversion. `inputs` are digests by path in the model that `origin` names.

    It says nothing about when and where: equal conversions have equal statements.
    """
    made_from = [
        Resource(name=path, sha256=digest, uri=f"{origin}#{quote(path)}" if origin else "")
        for path, digest in inputs.items()
    ]
    definition = {
        "buildType": BUILD_TYPE,
        "externalParameters": dict(parameters),
        "resolvedDependencies": [resource.data() for resource in made_from],
    }
    made_by = {"builder": {"id": BUILDER, "version": {"safeload": __version__}}}
    return Statement(
        subjects=tuple(Resource(name=file.path, sha256=file.sha256) for file in outputs),
        predicate_type=PROVENANCE,
        predicate={"buildDefinition": definition, "runDetails": made_by},
    )


def inputs_of(data: bytes) -> tuple[str, ...]:
    """Where the inputs of a conversion came from: package URLs, else digests. Nothing for what is no such statement."""
    try:
        document = json.loads(data)
        definition = document["predicate"]["buildDefinition"]
        if definition["buildType"] != BUILD_TYPE:
            return ()
        rows = definition["resolvedDependencies"]
        found = {str(row.get("uri") or f"sha256:{row['digest']['sha256']}") for row in rows}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ()
    return tuple(sorted(one for one in found if one.isascii() and one.isprintable()))[:1000]


def origin_of(snapshot: Snapshot) -> str:
    """The package URL of a model on the hub; nothing for local files, whose paths are nobody's business."""
    if not snapshot.revision:
        return ""
    name = snapshot.root
    if snapshot.kind == "file":  # in the hub's cache
        folder, file = os.path.split(snapshot.root)
        place = find_place(os.path.join(os.path.realpath(folder), file))
        if place is None or place[1] != file:
            return ""
        name = place[0].repository
    return "" if os.path.isabs(name) else f"pkg:huggingface/{quote(name)}@{snapshot.revision}"


def name_beside(folder: str, plain: str, stem: str, ours: Callable[[Any], bool]) -> str:
    """What a file beside the output is called: `plain`, or `<stem>.<plain>` where that stands beside another output."""
    path = os.path.join(folder, plain)
    return plain if not os.path.lexists(path) or _holds(path, ours) else f"{stem}.{plain}"


def _holds(path: str, ours: Callable[[Any], bool]) -> bool:
    """Whether a regular file there is one of ours. Whoever made the model may have put anything beside it."""
    try:
        folder = os.path.realpath(os.path.dirname(path))
        with pin(folder, os.path.basename(path), name=path, allowed=lambda _: True) as file:
            return ours(json.loads(file.read_at(0, min(file.size, _LARGEST))))
    except (SafeloadError, ValueError, KeyError, TypeError, RecursionError):
        return False
