"""A configuration names an installed module, class or function."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.core.names import GlobalName, escape
from safeload.formats.base import Part, Reference
from safeload.later import Later
from safeload.rules import samples
from safeload.rules.base import Context, Rule
from safeload.rules.catalogue import (
    CODE,
    COMMAND,
    IMPORT,
    MAKE,
    NATIVE,
    PROCESS,
    RESOLVE,
    UNPICKLE,
    ability,
    is_stdlib,
)

_HOMES = ("sentence_transformers.", "transformers.", "diffusers.", "torch.nn.modules.", "onnxruntime.", "mlflow.")
"""Packages whose classes a library of models looks up by name; importing those runs nobody else's code."""


_LAYER = Later(r"torch\.(?:nn(?:\.modules\.[a-z_]+)?\.[A-Z]\w*|optim(?:\.[a-z_]+)*\.[A-Z]\w*)")
"""Layers, losses, optimisers and schedules: making one runs torch's own code, on numbers."""
_FLAVOURS = "mlflow."
"""MLflow's own loaders, which every model of its names; some of them unpickle what lies beside."""


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    if isinstance(part, Reference) and part.kind == "mention":
        yield from _mentioned(rule, part)
    if isinstance(part, Reference) and part.kind == "component":
        yield rule.finding(part.location, f"names {escape(part.target, 120)}, which by its name is or runs code")
    if isinstance(part, Reference) and part.kind == "plugin" and not part.target.startswith(_HOMES):
        yield rule.finding(part.location, f"names {escape(part.target, 120)}, which a program could import and call")
    if not isinstance(part, Reference) or part.kind not in ("module", "callable", "import"):
        return
    target = part.target
    if _is_plain(target) and "." not in target and part.kind != "import":
        return  # the name of a class within the library itself
    module, _, name = target.rpartition(".")
    pair = GlobalName(module, name)
    able = is_stdlib(target) or (ability(pair) and not (part.kind == "import" and target.startswith(_FLAVOURS)))
    if context.allowlist.get(pair) is None and able:
        yield rule.finding(
            part.location,
            f"names {escape(target, 120)}, which is no part of a model",
            status=Status.DANGEROUS,
            severity=Severity.HIGH,
        )
    elif ability(pair) or not (
        _LAYER.fullmatch(target)
        or (_is_plain(target) and target.startswith(_HOMES) and not (part.kind == "callable" and name.islower()))
    ):
        yield rule.finding(part.location, f"names {escape(target, 120)}, which a library would import and may call")


def _mentioned(rule: Rule, part: Reference) -> Iterator[Finding]:
    """A value of any setting that names what runs code, or is code: whatever reads it may use it so."""
    module, _, name = part.target.rpartition(".")
    if part.target.endswith(_NATIVE):
        yield rule.finding(part.location, f"names native code that a program could load: {escape(part.target, 120)}")
    elif not _is_plain(part.target):
        yield rule.finding(part.location, f"holds code that a program could evaluate: {escape(part.target, 120)}")
    elif ability(GlobalName(module, name)) in _LOUD:
        yield rule.finding(part.location, f"a setting names {escape(part.target, 120)}, which no model needs")


_NATIVE = (".so", ".dll", ".dylib", ".pyd")
_LOUD = frozenset({CODE, COMMAND, IMPORT, MAKE, NATIVE, PROCESS, RESOLVE, UNPICKLE})


def _is_plain(target: str) -> bool:
    return all(part.isidentifier() and not part.startswith("__") for part in target.split("."))


def _bad() -> Iterable[Part]:
    yield samples.reference("module", "my_package.models.Layer", "modules.json", "[0].type")
    yield samples.reference("callable", "torch.get_num_threads", path="sentence_transformers.activation_fn")
    yield samples.reference("import", "subprocess", path="auto_mapping")
    yield samples.reference("callable", "subprocess.run", "config.yaml", "_target_")
    yield samples.reference("module", "subprocess.Popen", "model_index.json", "unet")
    yield samples.reference("mention", "os.system", "config.yaml", "")
    yield samples.reference("plugin", "my_package.rewards.reward", "train.yaml", "reward_funcs")
    yield samples.reference("component", "PythonREPLTool", "agent.json", "tools[0].type")
    yield samples.reference("mention", "nn.SiLU() if __import__('x') else 0", "config.yaml", "")
    yield samples.reference("mention", "lib/plugin.so", "config.yaml", "")


def _good() -> Iterable[Part]:
    yield samples.reference("module", "sentence_transformers.models.Pooling", "modules.json", "[1].type")
    yield samples.reference("callable", "torch.nn.modules.linear.Identity", path="activation_fn")
    yield samples.reference("module", "diffusers.UNet2DConditionModel", "model_index.json", "unet")
    yield samples.reference("callable", "torch.nn.Linear", "config.yaml", "_target_")
    yield samples.reference("callable", "torch.optim.lr_scheduler.OneCycleLR", "config.yaml", "class_path")
    yield samples.reference("mention", "os.path.join", "config.yaml", "")


RULE = Rule(
    id="config-module-reference",
    title="a configuration names a module to import",
    why=(
        "`modules.json`, `model_index.json`, `auto_mapping`, `_target_`, `loader_module` and activation functions name "
        "what to import. Names within the usual libraries are theirs to check; any other installed module can be "
        "imported this way, and what `_target_`, `class_path` or an activation names is called, with arguments that "
        "stand beside it. Nobody knows every setting, so values of any other that name what runs code (`os.system`), "
        "are code (`__import__(…)`) or name native code are reported as well."
    ),
    status=Status.UNVERIFIED,
    severity=Severity.LOW,
    confidence=Confidence.LIKELY,
    remedy="safeload admits only names it knows; correct {file}, or ask its author what the name is for",
    taxonomy=("CWE-470", "CWE-829"),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Reference,),
)
