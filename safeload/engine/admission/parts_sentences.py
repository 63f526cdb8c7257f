"""What a sentence-transformers model is made of, from its `modules.json`.

`type` names a class by its import path, and the library imports and instantiates whatever stands there within its own
namespace. So only its module classes are taken for its own, by their exact names; anything else is code.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Any

from safeload.core.errors import MalformedInput
from safeload.core.names import Location
from safeload.engine.admission import select
from safeload.engine.admission.parts import Layout, Read

HOLDER = select.PARTS_HOLDERS[0]

_CLASSES = (
    "Asym|BoW|CLIPModel|CNN|CSRSparsity|Dense|Dropout|HierarchicalTokenPooling|IDF|LambdaTokenPooling|LSTM|LayerNorm|"
    "LogitScore|MLMTransformer|MultiVectorMask|Normalize|Pooling|Router|SparseAutoEncoder|SparseStaticEmbedding|"
    "SpladePooling|StaticEmbedding|Transformer|WeightedLayerPooling|WordEmbeddings|WordWeights"
)
_FAMILIES = "base|sentence_transformer|sparse_encoder|cross_encoder|multi_vector_encoder"
_OWN = re.compile(
    rf"sentence_transformers\.(?:(?:{_FAMILIES})\.)?(?:models|modules)(?:\.[A-Za-z][A-Za-z_]*)?\.(?:{_CLASSES})"
    r"|pylate\.models\.Dense\.Dense"  # which the library reads as its own
)
_OWN_TOKENIZER = re.compile(
    r"sentence_transformers\.(?:sentence_transformer\.)?(?:models|modules)\.tokenizer(?:\.[A-Za-z_]+)?"
    r"\.(?:WhitespaceTokenizer|PhraseTokenizer|TransformersTokenizerWrapper)"
)
_IN_MODEL = re.compile(r"(?:([^/]+/[^/]+)--)?([^./]+)\.[^./]+")
"""`file.Class`, the file at the top of the model or of another repository. Anything longer is looked up among what is
installed, also where the model has such a file."""
_LIBRARIES = ("sentence_transformers.", "pylate.")
"""What so begins the library never looks for in a model, whatever files it has."""
_ROUTERS = ("Router", "Asym")


def layout(names: Mapping[str, str], read: Read) -> Layout:
    """Raises `MalformedInput` if a list of modules cannot be used."""
    found = Layout(HOLDER)
    pending = list(reversed(_modules(read(HOLDER))))
    while pending:
        holder, path, kind, folder = pending.pop()
        found.holder = holder
        folder = found.add(folder, path)
        if _OWN.fullmatch(kind) is None:
            _ask(found, kind, names, f"{holder} » {path}")
            continue
        name = kind.rpartition(".")[2]
        if name in _ROUTERS:
            pending.extend(_routes(folder, read))
        elif name == "WordEmbeddings":
            _check_tokenizer(found, folder, names, read)
        elif name == "SparseStaticEmbedding":
            _refuse_path(folder, read)
    found.holder = HOLDER
    return found


def _ask(found: Layout, kind: str, names: Mapping[str, str], why: str) -> None:
    inside = _IN_MODEL.fullmatch(kind)
    file = f"{inside[2]}.py" if inside else ""
    there = bool(inside and (inside[1] or file in names) and not kind.startswith(_LIBRARIES))
    found.ask(kind, file if there else None, why, (inside[1] or "") if inside else "")


_Module = tuple[str, str, str, str]
"""Where it is named: the file, and the place in it; its class; its folder."""


def _modules(document: Any) -> list[_Module]:
    items = document if isinstance(document, list) else [None]
    found = []
    for number, item in enumerate(items):
        kind, folder = (item.get("type"), item.get("path")) if isinstance(item, dict) else (None, None)
        if not isinstance(kind, str) or not isinstance(folder, str):
            raise MalformedInput(
                "the list of modules cannot be used",
                where=Location(HOLDER, path=f"[{number}]"),
                why="each module is an object with a type and a path, both texts",
            )
        found.append((HOLDER, f"[{number}].type", kind, folder))
    return found


def _routes(folder: str, read: Read) -> list[_Module]:
    """The modules that a router chooses from, which lie in folders of its own."""
    official, legacy = (posixpath.join(folder, name) for name in ("router_config.json", "config.json"))
    holder = official if read(official) else legacy
    document = read(holder)
    types = document.get("types") if isinstance(document, dict) else None
    if not isinstance(types, dict) or not all(isinstance(kind, str) for kind in types.values()):
        raise MalformedInput(
            "a router cannot be used",
            where=Location(holder, path="types"),
            why="it has no table of modules and their classes",
        )
    return [(holder, f"types.{name}", kind, posixpath.join(folder, name)) for name, kind in types.items()]


def _check_tokenizer(found: Layout, folder: str, names: Mapping[str, str], read: Read) -> None:
    holder = posixpath.join(folder, "wordembedding_config.json")
    document = read(holder)
    kind = document.get("tokenizer_class") if isinstance(document, dict) else None
    if isinstance(kind, str) and _OWN_TOKENIZER.fullmatch(kind) is None:
        _ask(found, kind, names, f"{holder} » tokenizer_class")


def _refuse_path(folder: str, read: Read) -> None:
    """Weights that the config names by a path or a repository, which the library reads from wherever it leads."""
    holder = posixpath.join(folder, "config.json")
    document = read(holder)
    if isinstance(document, dict) and document.get("path"):
        raise MalformedInput(
            "a part takes its weights from elsewhere",
            where=Location(holder, path="path"),
            why="only weights that lie in the model are admitted",
            remedy="save the model again with the library: it then writes them as safetensors",
        )
