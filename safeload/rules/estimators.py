"""Estimators of scikit-learn whose numbers compiled code would follow: looked at, so that a scan can vouch for them.

`sklearn.tree`, boosting by histograms, libsvm and k-means believe what `fit` wrote: a child's place, a feature's, a
count. A file can hold anything, so these are safe only where each such number was looked at, as `safeload.joblib.load`
looks at them before it makes one (`adapt_sklearn/_checks.py`; the two are compared by tests). What is not looked at
here, or is written in another way than by protocol 2 and later, stays outside the allowlist.

Parts that mean nothing by themselves (a tree without its estimator) are harmless only where their estimator holds
them: `strays`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import prod

from safeload.core.blob import Blob
from safeload.core.graph import Build, Call, Dict, Global, How, List, Node, Persistent, Reading, Tuple, Value
from safeload.core.machine import read_pickle
from safeload.core.names import GlobalName, Location
from safeload.rules.graph_arrays import Array, array_of, attributes, is_number, number, numbers, words
from safeload.rules.sparse_rows import Odd, State, columns, labels, vocabulary
from safeload.rules.values import inside

_THREADS = 1024
TREE = GlobalName("sklearn.tree._tree", "Tree")
PREDICTOR = GlobalName("sklearn.ensemble._hist_gradient_boosting.predictor", "TreePredictor")
BINS = GlobalName("sklearn.ensemble._hist_gradient_boosting.binning", "_BinMapper")
PARTS: Mapping[GlobalName, frozenset[str]] = {
    TREE: frozenset({"tree_"}),
    PREDICTOR: frozenset({"_predictors"}),
    BINS: frozenset({"_bin_mapper"}),
}
"""What is harmless only within a checked estimator, and the attributes that hold it there."""
_HELD = frozenset(name for names in PARTS.values() for name in names)

_KEPT = frozenset(
    {
        GlobalName("sklearn.preprocessing._label", "LabelEncoder"),
        GlobalName("sklearn.feature_extraction.text", "TfidfTransformer"),
    }
)
_KEPT_OF = frozenset({"sklearn._loss.loss", "numpy.random._pickle"})
"""What estimators keep in attributes of their own: classes, and modules of which any will do. None can be called."""


class Estimators:
    """The estimators of one reading. Each is looked at once; `look` is told of every number, and may raise."""

    def __init__(self, reading: Reading, look: Callable[[int], None]) -> None:
        self.reading = reading
        self.look = look
        self.calls: list[Call] = []
        self.counts: dict[int, int] = {}
        self.trees: dict[Value, tuple[int, int, int]] = {}  # features, outputs, values of each
        self.held: dict[Value, int] = {}  # estimators that are sound: their features
        self.parts: set[Call] = set()

    def add(self, call: Call) -> None:
        """Remember the call of one of these. Its states come later in the stream."""
        self.calls.append(call)

    def wrong(self) -> Iterator[tuple[Call, str]]:
        """Every one that nobody can vouch for, and why: once the reading is complete."""
        if self.calls:
            self.counts = self.counted()
        for call in sorted(self.calls, key=_rank):
            try:
                self.one(call)
            except Odd as odd:
                yield call, str(odd)
        for call in self.strays():
            yield call, "it stands where no estimator holds it"

    def counted(self) -> dict[int, int]:
        """How many attributes each had when they were set, by the place of its call: read once more, to that moment.

        An object takes over what its state holds then; what the stream adds to that dictionary later is only in the
        finished graph.
        """
        found: dict[int, int] = {}
        between = {act.offset: act.inline for act in self.reading.trace if isinstance(act, Call) and act.inline}

        def set_here(call: Call, blob: Blob, at: int) -> int:
            state = [*call.states][-1]
            if _name(call) in LOOKED_AT and isinstance(state, Dict):
                found[call.offset] = len(state.pairs)
            span = between.get(call.offset)
            return span.length if span is not None else 0

        read_pickle(self.reading.blob, self.reading.start, location=Location("again"), inline=set_here)
        return found

    def attributes(self, call: Value) -> State | None:
        """What an object is made of; `None` if it is made in another way than by its attributes."""
        state = attributes(call)
        if state is not None and isinstance(call, Call) and self.counts.get(call.offset) != len(state):
            raise Odd("its attributes change after they were set")
        return state

    def one(self, call: Call) -> None:
        name = _name(call)
        if name not in PARTS:
            self.held[call] = self.features_of(call)
            return
        self.parts.add(call)
        if name == TREE:
            self.tree(call)

    def features_of(self, call: Call) -> int:
        """Check an estimator, and say how many features it takes; 0 where it was not fitted."""
        self.look(sum(len(state.pairs) for state in call.states if isinstance(state, Dict)))
        state = self.attributes(call)
        if state is None:
            if call.states or call.items or call.pairs:
                raise Odd("its state is none that scikit-learn writes")
            return 0
        self.everywhere(state)
        count = number(state.get("n_features_in_"))
        fitted = CHECKS[_name(call)](self, state, count or 0)
        if fitted and (count is None or count <= 0):
            raise Odd("the number of features is missing")
        return count or 0

    def everywhere(self, state: State) -> None:
        for key, value in state.items():
            if (isinstance(value, Global) and key != "dtype") or (key.startswith("__") and key.endswith("__")):
                raise Odd(f"its {key[:40]!r} is a function or a class")
            if key.startswith("_") and isinstance(value, Call) and not self.is_data(value):
                raise Odd(f"its {key[:40]!r} is an object that might stand in the place of a method")
        for key in ("n_jobs", "_n_threads", "n_threads"):
            count = state.get(key)
            if count is not None and not (type(count) is int and abs(count) <= _THREADS):
                raise Odd(f"its {key} is no number of threads")

    def is_data(self, value: Call) -> bool:
        """Whether an object is one that cannot be called: numbers, and what estimators are known to keep inside."""
        known = _name(value) in PARTS or _name(value) in _KEPT or _name(value).module in _KEPT_OF
        return known or is_number(value) or array_of(value, self.reading) is not None

    def array(self, value: Value, *shape: int | None, kinds: str = "f") -> Array:
        found = array_of(value, self.reading)
        if found is None or not found.fits(*shape, kinds=kinds):
            raise Odd("an array has another shape or type")
        return found

    def numbers(self, array: Array, field: str = "") -> list[int]:
        self.look(prod(array.shape))
        found = numbers(array, self.reading, field)
        if found is None:
            raise Odd("its numbers are of another type")
        return found

    def indexes(self, array: Array, most: int) -> None:
        found = self.numbers(array)
        if found and not 0 <= min(found) <= max(found) < most:
            raise Odd("a place leads out of what it is a place in")

    # ── trees ───────────────────────────────────────────────────────────────────────────────────────────────

    def tree(self, call: Call) -> None:
        """The nodes of one decision tree: a tree, no deeper than it says, that asks for features it was made for."""
        args = call.args.items if isinstance(call.args, Tuple) else ()
        state = words(call.states[0]) if len(call.states) == 1 else None
        if state is None or len(args) != 3 or call.how is not How.REDUCE or call.kwargs or call.items or call.pairs:
            raise Odd("its state is none that scikit-learn writes")
        features, outputs, depth, count = map(
            number, (args[0], args[2], state.get("max_depth"), state.get("node_count"))
        )
        if features is None or outputs is None or depth is None or count is None:
            raise Odd("its sizes are none")
        if not (0 < features < 1 << 31 and 0 < outputs < 1 << 20 and 0 <= depth < 1 << 31 and count > 0):
            raise Odd("its sizes are none")
        classes = self.numbers(self.array(args[1], outputs, kinds="i"))
        nodes = array_of(state.get("nodes"), self.reading)
        if nodes is None or nodes.shape != (count,) or min(classes) < 1:
            raise Odd("it has not as many nodes or classes as it says")
        self.array(state.get("values"), count, outputs, max(classes))
        left, right, feature = (self.numbers(nodes, name) for name in ("left_child", "right_child", "feature"))
        levels = [-1] * count
        levels[0] = 0
        for place, (one, other, asked) in enumerate(zip(left, right, feature, strict=True)):
            if one == -1 == other:
                continue
            if levels[place] < 0 or not 0 <= asked < features or one == other:
                raise Odd("a node asks for a feature that is not there, or belongs to no other")
            for child in (one, other):
                if not place < child < count or levels[child] >= 0:
                    raise Odd("a node leads out of it, or back")
                levels[child] = levels[place] + 1
        if min(levels) < 0 or max(levels) > depth:
            raise Odd("its nodes make no tree, or a deeper one than it says")
        self.trees[call] = features, outputs, max(classes)

    def own_tree(self, state: State, features: int) -> bool:
        """Of an estimator that is one tree."""
        found = state.get("tree_")
        if found is None:
            return False
        known = self.trees.get(found)
        if known is None or known[:2] != (features, number(state.get("n_outputs_", 1))):
            raise Odd("its tree is none, or asks for other features")
        return True

    def forest(self, state: State, features: int) -> bool:
        found = state.get("estimators_")
        if found is None:
            return False
        self.all_trees(found, features)
        return True

    def isolation(self, state: State, features: int) -> bool:
        """As a forest, but each tree may look at some of the features only."""
        found, chosen = state.get("estimators_"), state.get("estimators_features_")
        if found is None:
            return False
        if number(state.get("_max_features")) == features:
            self.all_trees(found, features)
            return True
        if not isinstance(found, List) or not isinstance(chosen, List) or len(found.items) != len(chosen.items):
            raise Odd("its trees have no features")
        for one, some in zip(found.items, chosen.items, strict=True):
            places = self.array(some, None, kinds="iu")
            self.indexes(places, features)
            self.all_trees(List([one], 2), places.shape[0])
        return True

    def all_trees(self, value: Value, features: int) -> None:
        if not isinstance(value, List):
            raise Odd("its trees are no list")
        self.look(len(value.items))
        for one in value.items:
            if _name(one) not in _SINGLE or self.held.get(one) != features or not features:
                raise Odd("it holds something else than trees, or trees that ask for other features")

    # ── boosting by histograms ──────────────────────────────────────────────────────────────────────────────

    def histograms(self, state: State, features: int) -> bool:
        found = state.get("_predictors")
        if found is None:
            return False
        if state.get("is_categorical_") is not None or state.get("_preprocessor") is not None:
            raise Odd("it has categorical features, which are not looked at")
        if number(state.get("_n_features", features)) != features or not isinstance(found, List):
            raise Odd("it has other features, or its trees are no list")
        mapper = state.get("_bin_mapper")
        if mapper is not None:
            known = self.attributes(mapper) if _name(mapper) == BINS else None
            if known is None or any(self.numbers(self.array(known.get("is_categorical_"), features, kinds="biu"))):
                raise Odd("it has categorical features, which are not looked at")
        for row in found.items:
            trees = row.items if isinstance(row, List) else [None]
            self.look(1 + len(trees))
            for one in trees:
                known = self.attributes(one) if _name(one) == PREDICTOR else None
                if known is None:
                    raise Odd("it holds something else than trees")
                self.nodes(array_of(known.get("nodes"), self.reading), features)
        return True

    def nodes(self, nodes: Array | None, features: int) -> None:
        if nodes is None or len(nodes.shape) != 1 or not nodes.shape[0]:
            raise Odd("a tree has no nodes")
        leaf, left, right, asked, categorical = (
            self.numbers(nodes, name) for name in ("is_leaf", "left", "right", "feature_idx", "is_categorical")
        )
        if any(categorical):
            raise Odd("a node is categorical, which is not looked at")
        for place, (ends, one, other, feature) in enumerate(zip(leaf, left, right, asked, strict=True)):
            if not ends and not (place < one < len(leaf) and place < other < len(leaf) and 0 <= feature < features):
                raise Odd("a node leads out of its tree or back, or asks for a feature that is not there")

    # ── support vectors, centres, components ────────────────────────────────────────────────────────────────

    def classes_of_vectors(self, state: State, features: int) -> bool:
        return self.vectors(state, features, several=True)

    def values_of_vectors(self, state: State, features: int) -> bool:
        return self.vectors(state, features, several=False)

    def vectors(self, state: State, features: int, *, several: bool) -> bool:
        """libsvm copies as many numbers as the counts say."""
        if "support_vectors_" not in state:
            return False
        if state.get("kernel") not in ("linear", "poly", "rbf", "sigmoid") or state.get("_sparse") is not False:
            raise Odd("its kernel is no known one, or its vectors are sparse, which is not looked at")
        if "_impl" in state:
            raise Odd("it says what kind of machine it is")
        rows = self.array(state["support_vectors_"], None, features).shape[0]
        counts = self.numbers(self.array(state.get("_n_support"), None, kinds="i"))
        classes = len(counts)
        pairs = classes * (classes - 1) // 2 if several else 1
        if classes < 2 or (classes > 2 and not several) or (several and (min(counts) < 0 or sum(counts) != rows)):
            raise Odd("it counts its vectors wrongly")
        if several:
            self.array(state.get("classes_"), classes, kinds="biufSUO")
        self.array(state.get("support_"), rows, kinds="i")
        for key in ("dual_coef_", "_dual_coef_"):
            self.array(state.get(key), classes - 1 if several else 1, rows)
        for key in ("intercept_", "_intercept_"):
            self.array(state.get(key), pairs)
        for key in ("_probA", "_probB"):
            found = array_of(state.get(key), self.reading)
            if found is None or not (found.fits(0) or (several and found.fits(pairs))):
                raise Odd(f"its {key} has another shape")
        return True

    def centres(self, state: State, features: int) -> bool:
        if "cluster_centers_" not in state:
            return False
        count = self.array(state["cluster_centers_"], None, features).shape[0]
        if not count or number(state.get("n_clusters")) != count:
            raise Odd("it counts its clusters wrongly")
        if "_counts" in state:
            self.array(state["_counts"], count)
        return True

    def components(self, state: State, features: int) -> bool:
        if state.get("components_") is None:
            return False
        count = self.array(state["components_"], None, features).shape[0]
        for key in ("_n_components", "n_components_"):
            if number(state.get(key, count)) != count:
                raise Odd("it counts its components wrongly")
        if state.get("exp_dirichlet_component_") is not None:
            self.array(state["exp_dirichlet_component_"], count, features)
        return True

    def hashing(self, state: State, features: int) -> bool:
        count = number(state.get("n_features", 2))
        if count is None or not 0 < count < 1 << 31 or state.get("input", "content") != "content":
            raise Odd("n_features is no number of features, or it reads files")
        return False

    def points(self, state: State, features: int) -> bool:
        """Isotonic regression makes its function from its points."""
        one, other = state.get("X_thresholds_"), state.get("y_thresholds_")
        if "f_" in state or state.get("out_of_bounds") not in ("nan", "clip", "raise"):
            raise Odd("it brings its function along, or its bounds are none")
        if one is not None or other is not None:
            count = self.array(one, None).shape[0]
            self.array(other, count)
            if not count:
                raise Odd("it has no points")
        return False

    def linkage(self, state: State, features: int) -> bool:
        """`HDBSCAN.dbscan_clustering` joins clusters by their numbers."""
        if state.get("_single_linkage_tree_") is None:
            return False
        found = array_of(state["_single_linkage_tree_"], self.reading)
        if found is None or len(found.shape) != 1:
            raise Odd("its tree is none")
        for side in ("left_node", "right_node"):
            nodes = self.numbers(found, side)
            if any(not 0 <= node < place + len(nodes) + 1 for place, node in enumerate(nodes)):
                raise Odd("a cluster is made of one that is not there yet")
        return True

    # ── what stands elsewhere ───────────────────────────────────────────────────────────────────────────────

    def strays(self) -> list[Call]:
        """Parts that stand anywhere but in the place that a checked estimator has for them."""
        if not self.parts:
            return []
        found: list[Call] = []
        seen: set[Node] = set()
        waiting: list[Value] = [self.reading.value]
        for act in self.reading.trace:
            if isinstance(act, Build):
                if act.target not in self.parts:
                    waiting.append(act.target)
                if act.target not in self.held:
                    waiting.append(act.state)
            elif isinstance(act, Persistent):
                waiting.append(act.id)
            elif isinstance(act, Call) and act in self.parts:
                waiting.extend(inside(act))
            elif isinstance(act, Call):
                waiting.append(act)
        while waiting:
            node = waiting.pop()
            if not isinstance(node, Node) or node in seen:
                continue
            seen.add(node)
            if isinstance(node, Call) and node in self.parts:
                found.append(node)
            waiting.extend(self.within(node))
        return found

    def within(self, node: Node) -> Iterator[Value]:
        if node not in self.held or not isinstance(node, Call):
            yield from inside(node)
            return
        for state in node.states:
            for key, value in state.pairs if isinstance(state, Dict) else ():
                if key not in _HELD:
                    yield value


_NOBODY = GlobalName("", "")


def _name(value: Value) -> GlobalName:
    return value.callee.name if isinstance(value, Call) and isinstance(value.callee, Global) else _NOBODY


def _rank(call: Call) -> int:
    """Parts before what holds them, and single trees before forests."""
    name = _name(call)
    return 0 if name in PARTS else 1 if name in _SINGLE else 2


def _named(module: str, names: str, check: Callable[[Estimators, State, int], bool]) -> dict[GlobalName, Check]:
    return {GlobalName(f"sklearn.{module}", name): check for name in names.split()}


Check = Callable[[Estimators, State, int], bool]
_SINGLE = _named(
    "tree._classes",
    "DecisionTreeClassifier DecisionTreeRegressor ExtraTreeClassifier ExtraTreeRegressor",
    Estimators.own_tree,
)
_FOREST = "RandomForestClassifier RandomForestRegressor ExtraTreesClassifier ExtraTreesRegressor RandomTreesEmbedding"
CHECKS: Mapping[GlobalName, Check] = {
    **_SINGLE,
    **_named("ensemble._forest", _FOREST, Estimators.forest),
    **_named("ensemble._iforest", "IsolationForest", Estimators.isolation),
    **_named(
        "ensemble._hist_gradient_boosting.gradient_boosting",
        "HistGradientBoostingClassifier HistGradientBoostingRegressor",
        Estimators.histograms,
    ),
    **_named("svm._classes", "SVC NuSVC", Estimators.classes_of_vectors),
    **_named("svm._classes", "SVR NuSVR OneClassSVM", Estimators.values_of_vectors),
    **_named("isotonic", "IsotonicRegression", Estimators.points),
    **_named("cluster._hdbscan.hdbscan", "HDBSCAN", Estimators.linkage),
    **_named("cluster._kmeans", "KMeans MiniBatchKMeans", Estimators.centres),
    **_named("decomposition._nmf", "NMF MiniBatchNMF", Estimators.components),
    **_named("decomposition._lda", "LatentDirichletAllocation", Estimators.components),
    **_named("feature_extraction._hash", "FeatureHasher", Estimators.hashing),
    **_named("feature_extraction.text", "HashingVectorizer", Estimators.hashing),
    **_named("feature_extraction.text", "CountVectorizer TfidfVectorizer", vocabulary),
    **_named("feature_extraction._dict_vectorizer", "DictVectorizer", vocabulary),
    **_named("preprocessing._encoders", "OneHotEncoder", columns),
    **_named("preprocessing._label", "MultiLabelBinarizer", labels),
}
"""Estimators that are looked at, each by its check, which says whether it was fitted."""
LOOKED_AT = frozenset({*CHECKS, *PARTS})
