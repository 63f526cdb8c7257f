"""The code makes or loads other code while it runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeload.core.finding import Confidence, Finding, Severity, Status
from safeload.core.frozen import replace
from safeload.formats.base import Part
from safeload.formats.python.facts import Facts, Kind, Use
from safeload.rules.base import Context, Rule
from safeload.rules.catalogue import CODE, IMPORT, LOADER, MAKE, RESOLVE
from safeload.rules.code_use import by_line, catalogued, checking, example, rarely_used, reaches, words

_NAMES = words(
    """
    builtins.exec builtins.eval builtins.compile builtins.__import__ builtins.breakpoint builtins.globals
    builtins.__build_class__ importlib.import_module importlib.__import__ importlib.reload importlib.machinery
    importlib.util.spec_from_file_location importlib.util.module_from_spec importlib.util.spec_from_loader
    importlib.abc imp runpy code codeop types.FunctionType types.CodeType types.ModuleType marshal zipimport
    pkgutil.resolve_name pydoc.locate sys.path sys.path_hooks sys.meta_path sys.modules sys.settrace sys.setprofile
    sys.addaudithook sys._getframe inspect.currentframe inspect.stack gc.get_objects gc.get_referrers ast.parse
    transformers.dynamic_module_utils transformers.utils.import_utils._LazyModule IPython cffi.FFI jinja2.Template
    jinja2.Environment torch.jit.CompilationUnit numexpr.evaluate pandas.eval sympy.sympify
    typing.ForwardRef typing._eval_type typing.get_type_hints inspect.get_annotations annotationlib
    string.Formatter logging.config codecs.register threading.setprofile threading.settrace sys.monitoring
    sys.path_importer_cache builtins.__path__ builtins.__loader__ pkgutil.extend_path
    hydra.utils omegaconf.OmegaConf.register_new_resolver sympy.S sympy.parse_expr evaluate.load
    """
)
_METHODS = words(
    """
    exec_module load_module eval exec run_line_magic
    """
)


_CHOOSING = words("trust_remote_code custom_pipeline custom_generate")
"""Arguments with which loaders run the code of others, unless they are off."""
_COMPILERS = ("torch.jit.", "torch.onnx.", "triton.")
"""They compile what stands in the source, where it can be read."""
_ASKS = (".query", ".eval")
"""Methods of pandas' tables that evaluate a text, in which `@` reaches the variables of the program."""
_INSPECTED = "eval"  # a method of every torch module: `model.eval()`


def _chosen(use: Use) -> bool:
    if use.name != "builtins.eval" and use.name.rpartition(".")[2] == _INSPECTED:
        return bool(use.arguments)
    if _code_chosen(use):
        return True
    if (
        use.kind is Kind.CALL
        and use.name.endswith(_ASKS)
        and any(isinstance(a, str) and "@" in a for a in use.arguments)
    ):
        return True
    named = reaches(use, _NAMES, _METHODS) or _tricks(use) or catalogued(use, IMPORT, LOADER, RESOLVE, MAKE)
    return named or (catalogued(use, CODE) and not use.name.startswith(_COMPILERS))


def _code_chosen(use: Use) -> bool:
    """Whether a call lets a loader run the code of others, or may, or makes a function out of code."""
    said = {key: value for key, value in use.keywords.items() if key in _CHOOSING or key.startswith("co_")}
    if use.kind is not Kind.CALL or not said:
        return False
    made = use.name in ("builtins.dict", "?.pop", "?.get")  # arguments that are put together: only what is switched on
    return any(value != 0 and (value is not None or not made) for value in said.values())


def _tricks(use: Use) -> bool:
    """Ways from any object to the interpreter's own."""
    return use.kind is not Kind.IMPORT and not _INSIDES.isdisjoint(use.name.split("."))


_INSIDES = words(
    """
    __subclasses__ __globals__ __builtins__ __loader__ __closure__ f_globals f_locals f_builtins f_back gi_frame
    cr_frame ag_frame tb_frame co_code co_consts __path__
    """
)


def _bad() -> Iterable[Part]:
    yield example('exec("x = 1")\n')
    yield example('b = __builtins__\nb["ev" + "al"]("1")\n')
    yield example('import sys\nsys.modules["os"].getpid()\n')


def _good() -> Iterable[Part]:
    yield example('import importlib.metadata\nversion = importlib.metadata.version("torch")\n')


_loud = checking(_chosen, "runs code that is made while it runs")


def _check(rule: Rule, part: Part, context: Context) -> Iterator[Finding]:
    yield from _loud(rule, part, context)
    if isinstance(part, Facts):
        quiet = replace(rule, severity=Severity.LOW)
        what = "uses a part of the standard library that models have no need of, and that no rule looks at,"
        yield from by_line(quiet, part, (use for use in part.uses if rarely_used(use)), what)


RULE = Rule(
    id="code-dynamic",
    title="the code makes or loads other code while it runs",
    why=(
        "What `exec`, `eval`, `importlib` and code objects run is not in the files that were read, or is "
        "hidden in them as text. Text that is written out is read as code, and its own findings are reported "
        "at the same line."
    ),
    status=Status.UNVERIFIED,
    severity=Severity.HIGH,
    confidence=Confidence.LIKELY,
    remedy="read the line; approve the code only if you know why it does that",
    taxonomy=(
        "CWE-95",
        "CWE-470",
        "AML.T0011.000",
    ),
    check=_check,
    bad=_bad,
    good=_good,
    looks_at=(Facts,),
)
