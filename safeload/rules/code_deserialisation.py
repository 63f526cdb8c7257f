"""The code unpickles or loads what can run code."""

from __future__ import annotations

from collections.abc import Iterable

from safeload.core.finding import Confidence, Severity, Status
from safeload.formats.base import Part
from safeload.formats.python.facts import Facts, Kind, Use
from safeload.rules.base import Rule
from safeload.rules.catalogue import UNPICKLE
from safeload.rules.code_use import catalogued, checking, example, reaches, words

_NAMES = words(
    """
    pickle.load pickle.loads pickle.Unpickler _pickle cPickle dill cloudpickle joblib.load shelve yaml.load
    yaml.unsafe_load yaml.full_load marshal.load marshal.loads pandas.read_pickle torch.jit.load torch.package
    torch.export.load torch.hub torch.distributed.checkpoint keras.models.load_model
    tensorflow.keras.models.load_model tensorflow.saved_model.load sklearn.externals.joblib jsonpickle
    yaml.Loader yaml.UnsafeLoader yaml.FullLoader yaml.CLoader yaml.constructor ruamel.yaml.YAML
    numpy.lib.npyio.NpzFile torch.storage._load_from_bytes torch.serialization ray.cloudpickle skops.io.load
    """
)


def _chosen(use: Use) -> bool:
    if use.name == "torch.load":
        return not (use.kind is Kind.CALL and use.keywords.get("weights_only") == 1) or "pickle_module" in use.keywords
    if use.name == "numpy.load":
        given = {*use.keywords} & {"allow_pickle", "**"} or len(use.arguments) > 2
        return use.kind is not Kind.CALL or (bool(given) and use.keywords.get("allow_pickle") != 0)
    return reaches(use, _NAMES) or catalogued(use, UNPICKLE)


def _bad() -> Iterable[Part]:
    yield example('import pickle\nx = pickle.load(open("x", "rb"))\n')
    yield example('import torch\nx = torch.load("x.pt")\n')


def _good() -> Iterable[Part]:
    yield example('import torch\nx = torch.load("x.pt", weights_only=True)\n')


RULE = Rule(
    id="code-deserialisation",
    title="the code unpickles or loads what can run code",
    why=(
        "A pickle that approved code loads runs whatever it says, past safeload. `torch.load` counts unless "
        "it says `weights_only=True`."
    ),
    status=Status.UNVERIFIED,
    severity=Severity.HIGH,
    confidence=Confidence.LIKELY,
    remedy="read the line; approve the code only if you know why it does that",
    taxonomy=(
        "CWE-502",
        "AML.T0011.000",
    ),
    check=checking(_chosen, "loads what can run code"),
    bad=_bad,
    good=_good,
    looks_at=(Facts,),
)
