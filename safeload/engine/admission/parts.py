"""Models made of parts: sentence-transformers' modules and diffusers' components, each in a folder of its own.

A file at the top says which folders there are and which class reads each: `modules.json`, `model_index.json`. From it
follows what a load reads. A class that does not belong to the library is code, which somebody has to approve; a folder
outside the model is refused. Weights are planned folder by folder as those of a whole model are.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from safeload.core.errors import MalformedInput
from safeload.core.evidence import CodeNeed
from safeload.core.names import Location, escape
from safeload.core.paths import safe_relative
from safeload.engine.admission import select
from safeload.formats.base import Config

if TYPE_CHECKING:
    from safeload.engine.admission.plan import Plan
    from safeload.engine.held import Held
    from safeload.engine.request import Request

_MOST = 256
"""Folders that one model may be made of."""

_NESTED = tuple(f"/{name}" for name in select.PARTS_HOLDERS)

Read = Callable[[str], Any]
"""The parsed JSON of that name; `None` if there is no such file."""


@dataclass(frozen=True, slots=True)
class Named:
    """A class in a file of the model, or of another repository, that a part asks for."""

    why: str
    target: str
    """By the path of its file, dotted: `custom_st.CustomModule`, `unet.my_unet.MyUNet`, `org/other--modeling.X`."""
    repository: str
    """Empty for the model itself."""
    file: str


@dataclass(slots=True)
class Layout:
    """What a file at the top says the model is made of."""

    holder: str
    folders: dict[str, None] = field(default_factory=dict)
    """Relative to the model; the empty name is the model's own folder."""
    needs: list[CodeNeed] = field(default_factory=list)
    code: list[Named] = field(default_factory=list)
    """What of the needs can be read, and so approved."""
    named: int = 0
    """How often a folder was named; routers may name one again and again."""
    falls_back: bool = False
    """Whether a part without weights of the variant that was asked for is loaded without it."""

    def add(self, folder: str, path: str) -> str:
        """Note one more folder, in its normal form.

        Raises:
            MalformedInput: it lies outside the model, or there are too many.
        """
        where = Location(self.holder, path=path)
        if ".." not in folder.split("/"):
            folder = posixpath.normpath(folder) if folder else ""
        folder = "" if folder in ("", ".") else safe_relative(folder, location=where)
        self.folders[folder] = None
        self.named += 1
        if self.named > _MOST:
            raise MalformedInput("a model has too many parts", where=where, why=f"more than {_MOST}")
        return folder

    def ask(self, reference: str, file: str | None, why: str, repository: str = "") -> None:
        """Note the need for a class that does not belong to the library, and the file it is in.

        Where no file is known, some installed package would be imported. No approval covers that: the need names what
        can be no file of any closure, since those end in .py, and stays refused.
        """
        if file is None:
            mark = " (no file)" if reference.endswith(".py") else ""
            self.needs.append(CodeNeed(files=(reference + mark,), why=why))
            return
        path = f"{repository}--{file}" if repository else file
        module = file.removesuffix(".py").replace("/", ".")
        target = reference if repository else f"{module}.{reference.rpartition('.')[2]}"
        self.needs.append(CodeNeed(files=(path,), why=why))
        self.code.append(Named(why, target, repository, file))


def layout_of(names: Mapping[str, str], read: Read) -> Layout | None:
    """What the model is made of; `None` if it is not made of parts.

    Raises:
        MalformedInput: the file that should say so cannot be used.
    """
    from safeload.engine.admission import parts_diffusers, parts_sentences

    if parts_sentences.HOLDER in names:
        return parts_sentences.layout(names, read)
    if parts_diffusers.HOLDER in names:
        return parts_diffusers.layout(names, read)
    return None


def code_of_parts(held: Held) -> Iterator[Named]:
    """Which code the parts of a model ask for: what its closure begins with.

    A list that cannot be used asks for none: a load of the parts is refused before it comes to code.
    """
    names = {path: path for path in held.snapshot.listing}
    try:
        layout = layout_of(names, lambda name: _parsed(held, names, name))
    except MalformedInput:
        return
    if layout is not None:
        yield from layout.code


def plan_parts(plan: Plan, held: Held, names: Mapping[str, str], request: Request) -> None:
    """Add to a plan what the parts of the model are read from, and the code that they need."""

    def read(name: str) -> Any:
        return _parsed(held, names, name)

    layout = layout_of(names, read)
    if layout is None:
        return
    for folder in layout.folders:
        if folder in request.without:
            continue
        prefix = f"{folder}/" if folder else ""
        own = {name[len(prefix) :]: path for name, path in names.items() if name.startswith(prefix)}
        plan.small |= {prefix + name: own[name] for name in select.part_files(own)}
        if prefix and request.wants_weights:
            for entry in select.part_weights(own, request, falls_back=layout.falls_back):
                place(plan, held, own, entry, prefix)
    for name in [name for name in plan.small if name.endswith(_NESTED)]:
        del plan.small[name]  # a part is not made of parts: no loader gets a list that nobody read
    if layout.folders:
        plan.small |= {name: names[name] for name in (layout.holder, select.CARD) if name in names}
    held.snapshot.fetch([*plan.small.values(), *plan.side.values()])
    plan.needs.extend(layout.needs)


def place(plan: Plan, held: Held, names: Mapping[str, str], entry: str, prefix: str = "") -> None:
    """Add weights to a plan under their own name, that of safetensors: those of one file, or those that an index lists.

    Raises:
        MalformedInput: the index cannot be used, or names files that do not exist.
    """
    stem = select.admitted_stem(entry)
    if not select.is_index(entry):
        plan.side[f"{prefix}{stem}.safetensors"] = names[entry]
        return
    plan.lists.add(names[entry])
    shards = select.shards(_parsed(held, names, entry), Location(names[entry]))
    require_shards(shards, names, names[entry])
    count = len(shards)
    listed = [f"{prefix}{stem}-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1)]
    plan.side |= {name: names[shard] for name, shard in zip(listed, shards, strict=True)}
    plan.indexes[f"{prefix}{stem}.safetensors.index.json"] = tuple(listed)


def require_shards(shards: Iterable[str], names: Mapping[str, str], index: str) -> None:
    """Raise `MalformedInput` unless every file that an index lists exists."""
    missing = [name for name in shards if name not in names]
    if missing:
        raise MalformedInput(
            "a shard index names files that do not exist",
            where=Location(index, path="weight_map"),
            why=", ".join(escape(name) for name in missing[:20]),
            remedy="fetch the missing files, or ask the author for a complete checkpoint",
        )


def _parsed(held: Held, names: Mapping[str, str], name: str) -> Any:
    if name not in names:
        return None
    held.snapshot.fetch([names[name]])
    return next((part.data for part in held.inspect(names[name]).parts if isinstance(part, Config)), None)
