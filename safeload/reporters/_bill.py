"""A bill of materials as a CycloneDX 1.6 document, through `cyclonedx-python-lib`.

Equal models give equal bytes: the serial number follows from the model, and the time from `SOURCE_DATE_EPOCH`, else
it is 1970, because what is written says nothing about when.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from safeload.core.errors import UsageError

if TYPE_CHECKING:
    from cyclonedx.model.component import Component
    from cyclonedx.model.license import DisjunctiveLicense

_NAMESPACE = uuid.UUID("6f1c2c26-6d6f-5a4e-9a43-5af7b6f1f0a1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A file: its path and digests by algorithm (`sha256`, `blake3`)."""

    path: str
    size: int
    digests: Mapping[str, str]


def document(
    *,
    name: str,
    version: str,
    tree: str,
    purl: str,
    licence: str,
    files: Sequence[Item],
    ancestors: Sequence[str],
    properties: Iterable[tuple[str, str]],
    safeload_version: str,
    epoch: int = 0,
) -> str:
    """The document, as JSON.

    Raises:
        UsageError: `cyclonedx-python-lib` is not installed.
    """
    try:
        from cyclonedx.model import Property
        from cyclonedx.model.bom import Bom, BomMetaData
        from cyclonedx.model.component import Component, ComponentType, Pedigree
        from cyclonedx.model.tool import ToolRepository
        from cyclonedx.output import make_outputter
        from cyclonedx.schema import OutputFormat, SchemaVersion
        from packageurl import PackageURL
    except ImportError as error:
        raise UsageError(
            "no bill of materials was written",
            why="cyclonedx-python-lib is not installed",
            remedy="pip install 'safeload[bom]'",
        ) from error
    group, _, short = name.rpartition("/")
    model = Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=short,
        group=group or None,
        version=version or None,
        bom_ref="model",
        purl=PackageURL.from_string(purl) if purl else None,
        licenses=_licence(licence),
        components=[_file(item) for item in files],
        pedigree=Pedigree(ancestors=[_ancestor(one) for one in ancestors]) if ancestors else None,
        properties=[Property(name=key, value=value) for key, value in properties],
    )
    maker = Component(type=ComponentType.APPLICATION, name="safeload", version=safeload_version)
    bom = Bom(
        serial_number=uuid.uuid5(_NAMESPACE, f"{name} {version} {tree}"),
        metadata=BomMetaData(
            component=model,
            timestamp=datetime.fromtimestamp(epoch, UTC),
            tools=ToolRepository(components=[maker]),
        ),
    )
    return make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2) + "\n"


def _licence(name: str) -> list[DisjunctiveLicense]:
    """By its SPDX identifier where the hub's word for it is one, else by that word."""
    from cyclonedx.model.license import DisjunctiveLicense
    from cyclonedx.spdx import fixup_id

    if not name:
        return []
    spdx = fixup_id(name)
    return [DisjunctiveLicense(id=spdx) if spdx else DisjunctiveLicense(name=name)]


def _file(item: Item) -> Component:
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.component import Component, ComponentType

    algorithms = {"sha256": HashAlgorithm.SHA_256, "blake3": HashAlgorithm.BLAKE3}
    return Component(
        type=ComponentType.FILE,
        name=item.path,
        bom_ref=f"file:{item.path}",
        hashes=[HashType(alg=algorithms[key], content=value) for key, value in sorted(item.digests.items())],
        properties=[Property(name="safeload:size", value=str(item.size))],
    )


def _ancestor(name: str) -> Component:
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    if not name.startswith("pkg:"):
        return Component(type=ComponentType.MACHINE_LEARNING_MODEL, name=name)
    try:
        purl = PackageURL.from_string(name)
    except ValueError:
        return Component(type=ComponentType.MACHINE_LEARNING_MODEL, name=name)
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=purl.name,
        group=purl.namespace,
        version=purl.version,
        purl=purl,
        bom_ref=f"ancestor:{name}",
    )
