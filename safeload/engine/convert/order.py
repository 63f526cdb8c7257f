"""What a conversion was asked to do, and where its output goes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from safeload.core.errors import UsageError
from safeload.core.names import Location, escape
from safeload.engine.convert.inputs import Inputs
from safeload.engine.convert.selection import Selection
from safeload.engine.convert.shards import check_stem, output_stem
from safeload.engine.options import Options
from safeload.engine.request import Request

SAFETENSORS = ".safetensors"

Progress = Callable[[int, int], None]
"""Told how many bytes are done, of how many; from several threads, one at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The arguments of `convert`, checked."""

    reference: str
    into: str | None
    selection: Selection
    most: int
    keep_data: bool
    dry_run: bool
    force: bool
    digest_tensors: bool
    request: Request
    options: Options
    progress: Progress | None

    @property
    def to_file(self) -> bool:
        return self.into is not None and self.into.endswith(SAFETENSORS)

    @property
    def asks_for_more(self) -> bool:
        """Whether anything was asked for that concerns single tensors or the output's files."""
        return self.selection.asks or self.keep_data or self.dry_run or self.force

    def parameters(self) -> dict[str, Any]:
        """What shaped the output, for the provenance and to know an unfinished conversion again."""
        return {
            "format": "safetensors",
            "keys": self.selection.keys,
            "strip": self.selection.strip,
            "rename": dict(self.selection.rename),
            "views": dict(self.selection.views),
            "shared": self.selection.shared,
            "maxShardSize": self.most,
            "keepData": self.keep_data,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the output goes, and what its files are called without `.safetensors`."""

    folder: str
    stem: str


def target_of(order: Order, inputs: Inputs) -> Target:
    """Where the output goes.

    Raises `UsageError` if nobody said so and there is no place beside the source, or the name is none.
    """
    if order.into is None:
        if not inputs.folder:
            raise UsageError(
                "nothing was converted",
                where=Location(order.reference),
                why="a model on the hub has no place beside it to write to",
                remedy=f"safeload convert {escape(order.reference)} --into DIR",
            )
        return Target(folder=inputs.folder, stem=check_stem(output_stem(inputs.name)))
    whole = os.path.abspath(order.into)
    if order.to_file:
        folder, name = os.path.split(whole)
        return Target(folder=folder, stem=check_stem(name.removesuffix(SAFETENSORS)))
    return Target(folder=whole, stem=check_stem(output_stem(inputs.name)))
