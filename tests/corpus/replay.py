"""Checkpoints that name what real ones name, each global in the role that it plays there.

`real-imports.json` says which globals 3,119 real files name, and no more. For each of its sets, `build` makes an object
with parts that pickle to exactly those globals: tensors and parameters of torch itself, layers in the tree of a model,
arguments with their enumerations, classes as the keys of callbacks, states of random generators. `torch.save` writes
it. Classes of libraries that are not installed are stand-ins of the same name, made as picklers make the real ones.

What the trace does not tell is chosen here: values, shapes, which object holds which, and names of `builtins`.
"""

from __future__ import annotations

import argparse
import collections
import io
import pickle
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy
import torch
from torch import nn

Bits = tuple[str, tuple[int, ...], bytes]
"""The element type, shape and bytes of a tensor or storage."""

_ENUMERATIONS = frozenset(
    {
        *("SchedulerType", "IntervalStrategy", "HubStrategy", "EvaluationStrategy", "FSDPOption", "OptimizerNames"),
        *("DistributedType", "Problem", "Resolution"),
    }
)
_VALUES = frozenset(
    {"ModelCheckpoint", "EarlyStopping", "AnnealOnPlateau", "LinearSchedulerWithWarmup", "SGD", "AdamW"}
)
"""Classes that are only named: keys of callbacks, settings of a training run."""
_HOLDERS = ("Arguments", "Args", "Config")
"""What the name of an object ends with that holds the others."""
_REAL_LAYERS: dict[str, Callable[[], nn.Module]] = {
    "SiLU": nn.SiLU,
    "BatchNorm2d": lambda: nn.BatchNorm2d(2),
    "Conv2d": lambda: nn.Conv2d(2, 3, 1),
    "ConvTranspose2d": lambda: nn.ConvTranspose2d(2, 3, 1),
    "MaxPool2d": lambda: nn.MaxPool2d(2),
    "AdaptiveMaxPool2d": lambda: nn.AdaptiveMaxPool2d(1),
    "Upsample": lambda: nn.Upsample(scale_factor=2),
    "Identity": nn.Identity,
    "Linear": lambda: nn.Linear(3, 2),
    "LayerNorm": lambda: nn.LayerNorm(2),
    "BCEWithLogitsLoss": nn.BCEWithLogitsLoss,
    "Sequential": nn.Sequential,
    "ModuleList": nn.ModuleList,
}
_STORAGES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


@dataclass(frozen=True, slots=True)
class Built:
    """A checkpoint, and what must come out of it."""

    data: bytes
    tensors: tuple[Bits, ...]
    """Every tensor and bare storage that was written, sorted."""
    globals: frozenset[str]
    """What was really named, without `builtins`."""


def build(names: frozenset[str], *, variant: int = 0, zipped: bool = True) -> Built:
    """The checkpoint for one set of globals. Variants differ in values, views and how enumerations are spelled."""
    if any(name.startswith("__torch__.") for name in names):
        return _script(names)
    stage = Stage(names, variant)
    data = stage.saved(stage.value(), zipped=zipped)
    return Built(data, tuple(sorted(map(bits, stage.written))), frozenset(stage.named))


def bits(value: Any) -> Bits:
    """What a tensor or a storage holds."""
    if isinstance(value, torch.Tensor):
        flat = value.detach().contiguous().view(-1) if value.numel() else value.detach().reshape(-1)
        return str(value.dtype), tuple(value.shape), bytes(flat.clone().untyped_storage())
    untyped = getattr(value, "_untyped_storage", value)
    return "storage", (untyped.nbytes(),), bytes(untyped)


def found(value: object) -> tuple[Bits, ...]:
    """Every tensor and bare storage that can be reached in what was loaded, each object once, sorted."""
    seen: set[int] = set()
    waiting, tensors = [value], []
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, torch.Tensor | torch.TypedStorage | torch.UntypedStorage):
            tensors.append(bits(item))
        waiting.extend(_parts(item))
    return tuple(sorted(tensors))


def _parts(item: Any) -> Iterator[Any]:
    if isinstance(item, dict):
        yield from item.keys()
        yield from item.values()
    elif isinstance(item, list | tuple | set | frozenset):
        yield from item
    elif isinstance(item, argparse.Namespace):
        yield vars(item)
    elif type(item).__name__ == "Record":
        yield from (item.callee, item.args, item.kwargs, *item.states, *item.items, *item.pairs)


# ── stand-ins ───────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Reduced:
    """An object that pickles as one call."""

    callee: Any
    args: tuple[Any, ...]
    state: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        return (self.callee, self.args) if self.state is None else (self.callee, self.args, self.state)


@dataclass(slots=True)
class Stage:
    """Everything that is made for one checkpoint, under names of libraries that need not be there."""

    names: frozenset[str]
    variant: int
    written: list[Any] = field(default_factory=list)
    named: set[str] = field(default_factory=set)
    spelled: dict[int, tuple[str, str]] = field(default_factory=dict)
    kept: list[Any] = field(default_factory=list)

    def stand_in(self, name: str, base: type = object) -> type:
        """A class that pickles under the name of a real one."""
        module, _, last = name.rpartition(".")
        made = type(last, (base,), {"__module__": module})
        self.spelled[id(made)] = module, last
        self.kept.append(made)
        return made

    def instance(self, name: str, /, **state: Any) -> object:
        """An object as picklers make them: without arguments, its state set afterwards."""
        made = self.stand_in(name)()
        vars(made).update(state)
        return made

    def saved(self, value: object, *, zipped: bool = True) -> bytes:
        """A value as `torch.save` writes it."""
        buffer = io.BytesIO()
        module = types.ModuleType("replay")
        module.Pickler, module.dump = self.pickler(), pickle.dump  # type: ignore[attr-defined]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the legacy format looks for the source of our stand-ins
            torch.save(value, buffer, pickle_module=module, pickle_protocol=2, _use_new_zipfile_serialization=zipped)
        return buffer.getvalue()

    def pickler(self) -> type:
        stage = self
        if "numpy.core.multiarray._reconstruct" in self.names or "numpy.core.multiarray.scalar" in self.names:
            from numpy._core import multiarray

            for one in (multiarray._reconstruct, multiarray.scalar):
                self.spelled[id(one)] = "numpy.core.multiarray", one.__name__

        class Pickler(pickle._Pickler):  # type: ignore[name-defined,misc]
            dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

            def save_global(self, obj: Any, name: str | None = None) -> None:
                module, last = stage.spelled.get(id(obj)) or (pickle.whichmodule(obj, name), name or obj.__qualname__)
                if module != "builtins":
                    stage.named.add(f"{module}.{last}")
                if id(obj) in stage.spelled:
                    self.write(pickle.GLOBAL + f"{module}\n{last}\n".encode())
                    self.memoize(obj)
                else:
                    super().save_global(obj, name)

            dispatch[types.FunctionType] = save_global

            def reducer_override(self, obj: Any) -> Any:
                if not isinstance(obj, torch.Tensor):
                    return NotImplemented
                if id(obj) not in map(id, stage.kept):
                    stage.written.append(obj)
                reduced = obj.__reduce_ex__(2)
                stage.kept.extend(part for part in reduced[1] if isinstance(part, torch.Tensor))
                return _without_hooks(reduced) if "collections.OrderedDict" not in stage.names else reduced

        return Pickler

    # ── values ──────────────────────────────────────────────────────────────────────────────────────────────

    def has(self, *names: str) -> bool:
        return any(name in self.names for name in names)

    def value(self) -> object:
        if self.has("torch.nn.modules.container.Sequential"):
            return {"epoch": self.variant, "model": self.model(), "train_args": {"imgsz": 640}}
        others = {f"part{number}": made for number, made in enumerate(self.others())}
        weights = self.weights()
        holder = next((name for name in sorted(self.objects()) if name.endswith(_HOLDERS)), None)
        if holder is not None:
            main = self.instance(holder, learning_rate=0.1, output_dir="out", **others)
            return main if not weights else {"config": main, "model": weights}
        if not others:
            return weights if weights else {"step": self.variant, "_last_lr": [0.1]}
        return {**others, "state_dict": weights} if weights else others

    def objects(self) -> list[str]:
        """Names of classes whose instances are pickled by their state."""
        known = ("torch.", "numpy.", "collections.", "_codecs.", "typing.", "argparse.", "_io.", "dill.")
        return [
            name
            for name in sorted(self.names)
            if not name.startswith(known) and name.rpartition(".")[2] not in _ENUMERATIONS | _VALUES
        ]

    def weights(self) -> Any:
        """A state dictionary with tensors of every storage type that is named."""
        tensors: dict[str, Any] = collections.OrderedDict() if self.has("collections.OrderedDict") else {}
        for name, dtype in _STORAGES.items():
            if not self.has(f"torch.{name}"):
                continue
            made = self.numbers(12, dtype)
            if not self.has("torch._utils._rebuild_tensor_v2"):
                tensors[f"{name}.bare"] = made.storage()
                self.written.append(tensors[f"{name}.bare"])
                continue
            tensors[f"{name}.weight"] = made.view(3, 4)
            tensors[f"{name}.turned"] = made.view(3, 4).t()
            tensors[f"{name}.part"] = made[self.variant % 5 : 9]
            tensors[f"{name}.none"] = made[:0]
        if self.has("torch._utils._rebuild_parameter"):
            tensors["parameter"] = nn.Parameter(self.numbers(4, self.floating()))
        if self.has("torch._tensor._rebuild_from_type_v2"):
            tensors["marked"] = self.numbers(2, self.floating())
            tensors["marked"].note = "an attribute"
        if self.has("torch.float8_e4m3fn"):
            tensors["small"] = self.numbers(3, torch.float32).to(torch.float8_e4m3fn)
        return tensors

    def numbers(self, count: int, dtype: torch.dtype) -> torch.Tensor:
        made = torch.arange(self.variant, self.variant + count + self.variant % 7)[:count] % 100
        return made.to(dtype).clone()

    def floating(self) -> torch.dtype:
        kinds = ("FloatStorage", "HalfStorage", "BFloat16Storage")
        return next(_STORAGES[kind] for kind in kinds if self.has(f"torch.{kind}"))

    def others(self) -> Iterator[object]:
        """One object for each other name, in its role."""
        for name in sorted(self.names):
            last = name.rpartition(".")[2]
            if last in _ENUMERATIONS:
                yield self.member(name)
            elif name in ("torch.optim.sgd.SGD", "torch.optim.adamw.AdamW"):
                yield {"optimizer": getattr(torch.optim, last)}
            elif last in _VALUES:
                yield {self.stand_in(name): {"best": 0.5}}
        if self.has("torch.device"):
            yield torch.device("cuda", self.variant % 2)
        for kind in ("bfloat16", "float32"):
            if self.has(f"torch.{kind}"):
                yield getattr(torch, kind)
        if self.has("torch.Size"):
            yield torch.Size([1, self.variant])
        if self.has("torch.torch_version.TorchVersion"):
            yield torch.torch_version.TorchVersion("2.0.1+cu117")
        yield from self.plain()
        holders = [name for name in self.objects() if name.endswith(_HOLDERS)]
        for name in self.objects():
            if name not in holders[:1]:
                yield self.configuration(name) if name.startswith("omegaconf.") else self.instance(name, size=3)

    def plain(self) -> Iterator[object]:
        """numpy's and the standard library's."""
        if self.has("numpy.core.multiarray._reconstruct"):
            state = numpy.random.RandomState(self.variant).get_state()
            yield {"python": (3, (1, 2), None), "numpy": state}
        if self.has("numpy.core.multiarray.scalar"):
            yield {"best_fitness": numpy.float64(self.variant)}
        if self.has("argparse.Namespace"):
            yield argparse.Namespace(lr=0.1, seed=self.variant)
        if self.has("collections.defaultdict"):
            yield collections.defaultdict(list, a=[self.variant])
        if self.has("_io.BytesIO"):
            yield io.BytesIO(b"")
        if self.has("typing.Any") and not self.has("omegaconf.base.Metadata"):
            from typing import Any as anything

            yield anything
        if self.has("dill._dill._load_type"):
            yield Reduced(self.stand_in("dill._dill._load_type"), ("NoneType",))

    def member(self, name: str) -> object:
        """A member of an enumeration: by its value, or as some versions of Python write it, by its name."""
        kind = self.stand_in(name)
        return Reduced(getattr, (kind, "LINEAR")) if self.variant % 3 == 2 else Reduced(kind, ("linear",))

    def configuration(self, name: str) -> object:
        """A node of omegaconf: its metadata names types, and children refer to their parent."""
        if name.rpartition(".")[2] in ("Metadata", "ContainerMetadata"):
            from typing import Any as anything

            return self.instance(name, ref_type=anything, object_type=dict, optional=True, key=None, flags={})
        made = self.instance(name)
        child = {"_metadata": None, "_parent": made, "_val": 3}
        vars(made).update(_metadata=None, _parent=None, _content=[child], _flags_cache=None)
        return made

    def model(self) -> nn.Module:
        """A tree of layers: stand-ins in a Sequential, each with layers of torch itself."""
        layers = [name.rpartition(".")[2] for name in sorted(self.names) if name.startswith("torch.nn.modules.")]
        own = [name for name in self.objects() if name.startswith(("ultralytics.", "yolov5."))]
        whole = next(name for name in own if name.endswith("Model"))
        modules, helpers = [], []
        for name in own:
            last = name.rpartition(".")[2]
            if name == whole:
                continue
            if last == "IterableSimpleNamespace":
                helpers.append(Reduced(self.stand_in(name), (), {"task": "detect"}))
            elif ".loss" in name and last.startswith("v8"):
                helpers.append(self.instance(name, device=torch.device("cpu"), hyp=None, nc=self.variant))
            else:
                modules.append(self.stand_in(name, nn.Module)())
        for number, layer in enumerate(layers):
            modules[number % len(modules)].add_module(layer.lower(), _REAL_LAYERS[layer]())
        model: Any = self.stand_in(whole, nn.Module)()
        model.model = nn.Sequential(*modules)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(self.numbers(parameter.numel(), torch.float32).view(parameter.shape))
        if self.has("torch.HalfStorage"):
            model.half()
        model.helpers, model.names = helpers, {0: "person"}
        model.stride = self.numbers(3, torch.float32) if self.has("torch.FloatStorage") else 8
        model.rest = list(self.others_of_model())
        return model

    def others_of_model(self) -> Iterator[object]:
        if self.has("torch.Size"):
            yield torch.Size([1, self.variant])
        if self.has("torch.device"):
            yield torch.device("cpu")
        yield from self.plain()
        for name, dtype in _STORAGES.items():
            if self.has(f"torch.{name}") and name not in ("FloatStorage", "HalfStorage"):
                yield self.numbers(2, dtype)


def _without_hooks(reduced: tuple[Any, ...]) -> tuple[Any, ...]:
    """Some programs write tensors with another empty dictionary of hooks than torch's."""
    callee, args, *rest = reduced
    plain = tuple({} if isinstance(part, collections.OrderedDict) else part for part in args)
    return (callee, plain, *rest)


# ── programs ────────────────────────────────────────────────────────────────────────────────────────────────────


def _script(names: frozenset[str]) -> Built:
    """A TorchScript program whose modules are called as these names say, but for what torch adds to tell them apart."""
    stage = Stage(names, 0)

    class Root(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + x

    root = Root()
    for name in sorted({_unmangled(name) for name in names if name.startswith("__torch__.")}):
        module, _, last = name.rpartition(".")
        if module.startswith("torch.nn.modules."):
            continue
        child = stage.stand_in(name, nn.Module)()
        child.inner = nn.Linear(2, 2)
        root.add_module(last, child)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(root, torch.ones(1)), buffer)  # type: ignore[no-untyped-call]
    tensors = tuple(sorted(bits(one) for one in root.state_dict().values()))
    return Built(buffer.getvalue(), tensors, names)


def _unmangled(name: str) -> str:
    parts = name.split(".")[1:]
    return ".".join(part for part in parts if not part.startswith("___torch_mangle_"))
