"""Functions and classes that estimators keep as values: by exact name, and only as values. A file can call none."""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module

from safeload.core.names import GlobalName

_NUMPY = (
    "abs", "absolute", "add", "amax", "amin", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctanh", "around",
    "cbrt", "ceil", "clip", "cos", "cosh", "cumsum", "deg2rad", "degrees", "diff", "divide", "exp", "exp2", "expm1",
    "fabs", "float_power", "floor", "isfinite", "isinf", "isnan", "log", "log10", "log1p", "log2", "logaddexp", "max",
    "maximum", "mean", "median", "min", "minimum", "mod", "multiply", "nan_to_num", "nanmax", "nanmean", "nanmedian",
    "nanmin", "nanstd", "nansum", "nanvar", "negative", "power", "prod", "rad2deg", "radians", "ravel", "reciprocal",
    "rint", "round", "sign", "sin", "sinh", "sqrt", "square", "squeeze", "std", "subtract", "sum", "tan", "tanh",
    "trunc", "var",
)  # fmt: skip
"""Functions of numbers, as people give them to `FunctionTransformer` and its kin."""
_OTHERS = {
    "sklearn.feature_selection._univariate_selection": (
        "chi2",
        "f_classif",
        "f_regression",
        "f_oneway",
        "r_regression",
    ),
    "sklearn.feature_selection._mutual_info": ("mutual_info_classif", "mutual_info_regression"),
    "sklearn.cluster._kmeans": ("_kmeans_single_lloyd", "_kmeans_single_elkan"),
    "sklearn.utils.validation": ("check_array",),
    "sklearn.gaussian_process.kernels": ("RBF",),
    "sklearn.metrics._classification": (
        "accuracy_score",
        "balanced_accuracy_score",
        "f1_score",
        "precision_score",
        "recall_score",
    ),
}


def constants(wanted: Collection[GlobalName]) -> dict[GlobalName, object]:
    """The live values of those of these names that are listed and installed."""
    listed = {GlobalName("numpy", name) for name in _NUMPY}
    listed |= {GlobalName(module, name) for module, names in _OTHERS.items() for name in names}
    found: dict[GlobalName, object] = {}
    for name in listed & set(wanted):
        try:
            found[name] = getattr(import_module(name.module), name.name)
        except (ModuleNotFoundError, AttributeError):
            continue  # not installed, or of another version: then the name stays unknown
    return found
