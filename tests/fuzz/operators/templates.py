"""Templates: cases that run, to be changed. One-node cases of the ONNX corpus (Apache-2.0), and rows of our own for operators that
the corpus has no such case of."""
import copy
import warnings

import numpy as np
import onnx
import onnx.parser
from onnx import TensorProto, helper, numpy_helper

from case import Case, Floats, Ints, Texts, Value, plain

ML = "ai.onnx.ml"
X = np.arange(6, dtype=np.float32).reshape(2, 3)
IMAGE = np.arange(64, dtype=np.float32).reshape(1, 1, 8, 8)
SEQUENCE = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
TREE = dict(nodes_treeids=Ints([0, 0, 0]), nodes_nodeids=Ints([0, 1, 2]), nodes_featureids=Ints([0, 0, 0]),
            nodes_values=Floats([1.5, 0, 0]), nodes_modes=Texts(["BRANCH_LEQ", "LEAF", "LEAF"]), nodes_truenodeids=Ints([1, 0, 0]), nodes_falsenodeids=Ints([2, 0, 0]))
SVM = dict(coefficients=Floats([0.5, -0.5]), kernel_params=Floats([0.1, 0, 3]), kernel_type="RBF",
           support_vectors=Floats([0, 1, 2, 3, 4, 5]))
# Ends by its own condition after five rounds, whatever the trip count.
COUNTING = """body (int64 i, bool go, float[n] a) => (bool stay, float[m] b, float[k] c) {
  last = Constant<value = int64 {4}>()
  stay = Less(i, last)
  b = Sin(a)
  c = Identity(b)
}"""


def maps(key, value, *dicts):
    """A sequence of maps, or the one map."""
    of = helper.make_map_type_proto(key, helper.make_tensor_type_proto(value, None))
    return Value(dicts[0], of) if len(dicts) == 1 else Value(list(dicts), helper.make_sequence_type_proto(of))


def rows():
    """(domain, op, attributes, inputs, number of outputs)."""
    number, string = TensorProto.INT64, TensorProto.STRING
    text, pieces = np.array(["a", "b", "zz"], object), Value([X, X], SEQUENCE)
    for trips in (2**63 - 1, 7, -1):
        yield "", "Loop", dict(body=onnx.parser.parse_graph(COUNTING)), [np.array(trips), np.array(True), X[0]], 2
    yield "", "GlobalLpPool", dict(p=2), [IMAGE], 1
    yield "", "MaxRoiPool", dict(pooled_shape=Ints([2, 2]), spatial_scale=1.0), [IMAGE, np.array([[0, 1, 1, 5, 6]], np.float32)], 1
    yield "", "Multinomial", dict(sample_size=5, seed=1.0), [np.log(X + 1)], 1
    for op in ("RandomNormal", "RandomUniform"):
        yield "", op, dict(shape=Ints([2, 3]), seed=1.0), [], 1
        yield "", op + "Like", dict(seed=1.0), [X], 1
    yield "", "ConcatFromSequence", dict(axis=0, new_axis=0), [pieces], 1
    yield "", "SequenceAt", {}, [pieces, np.array(-1)], 1
    yield "", "SequenceErase", {}, [pieces, np.array(0)], 1
    yield "", "SequenceInsert", {}, [pieces, X, np.array(1)], 1
    yield "", "SequenceLength", {}, [pieces], 1
    yield "", "SequenceConstruct", {}, [X, X], 1
    yield "", "SequenceEmpty", dict(dtype=1), [], 1
    yield "", "SplitToSequence", dict(axis=1, keepdims=1), [X, np.array([1, 2])], 1
    yield "", "Optional", {}, [X], 1
    yield "", "OptionalGetElement", {}, [pieces], 1
    yield ML, "CastMap", dict(cast_to="TO_FLOAT", map_form="SPARSE", max_map=4), [maps(number, TensorProto.FLOAT, {0: 1.0, 2: 3.0})], 1
    yield ML, "CategoryMapper", dict(cats_strings=Texts(["a", "b"]), cats_int64s=Ints([1, 2]), default_int64=-1), [text], 1
    yield ML, "DictVectorizer", dict(string_vocabulary=Texts(["a", "b"])), [maps(string, number, {"a": 1, "c": 2})], 1
    yield ML, "FeatureVectorizer", dict(inputdimensions=Ints([3, 2])), [X, X[:, :2]], 1
    yield ML, "Imputer", dict(imputed_value_floats=Floats([0.5]), replaced_value_float=1.0), [X], 1
    yield ML, "LinearClassifier", dict(coefficients=Floats([1, 2, 3, -1, 0, 1]), intercepts=Floats([0, 1]), classlabels_ints=Ints([0, 1]),
                                       post_transform="SOFTMAX", multi_class=1), [X], 2
    yield ML, "LinearRegressor", dict(coefficients=Floats([1, 2, 3]), intercepts=Floats([1]), targets=1), [X], 1
    yield ML, "Normalizer", dict(norm="L2"), [X], 1
    yield ML, "OneHotEncoder", dict(cats_strings=Texts(["a", "b"]), zeros=1), [text], 1
    yield ML, "OneHotEncoder", dict(cats_int64s=Ints([0, 2]), zeros=1), [X.astype(np.int64)], 1
    yield ML, "Scaler", dict(offset=Floats([0, 1, 2]), scale=Floats([2])), [X], 1
    yield ML, "ZipMap", dict(classlabels_strings=Texts(["a", "b", "c"])), [X], 1
    yield ML, "ZipMap", dict(classlabels_int64s=Ints([1, 2, 3])), [X], 1
    yield ML, "SVMRegressor", dict(SVM, rho=Floats([0.2]), n_supports=2, one_class=0), [X], 1
    yield ML, "SVMClassifier", dict(SVM, rho=Floats([0.2]), vectors_per_class=Ints([1, 1]), classlabels_ints=Ints([0, 1])), [X], 2
    yield ML, "SVMClassifier", dict(coefficients=Floats([1, 0, 1, 0, 1, 1]), kernel_type="LINEAR", rho=Floats([0.0]),
                                    classlabels_strings=Texts(["a", "b"])), [X], 2
    yield ML, "TreeEnsembleRegressor", dict(TREE, target_ids=Ints([0, 0]), target_treeids=Ints([0, 0]), target_nodeids=Ints([1, 2]),
                                            target_weights=Floats([1, 2]), n_targets=1, aggregate_function="SUM"), [X], 1
    yield ML, "TreeEnsembleClassifier", dict(TREE, class_ids=Ints([0, 1]), class_treeids=Ints([0, 0]), class_nodeids=Ints([1, 2]),
                                             class_weights=Floats([1, 2]), classlabels_strings=Texts(["a", "b"])), [X], 2


def own():
    for domain, op, attributes, inputs, outputs in rows():
        newest = onnx.defs.get_schema(op, domain=domain).since_version
        values = [v if isinstance(v, Value) else Value(v) for v in inputs]
        yield Case(op, domain, newest, attributes, values, [f"o{i}" for i in range(outputs)], origin="own row")


def array_of(x):
    if isinstance(x, TensorProto):
        return numpy_helper.to_array(x)
    return np.asarray(x) if isinstance(x, np.generic) else x


def of_corpus():
    warnings.simplefilter("ignore")
    from onnx.backend.test.case.node import collect_testcases
    for made in sorted(collect_testcases(), key=lambda c: c.name):
        graph = made.model.graph
        if len(graph.node) != 1 or not made.data_sets:
            continue
        node, given = graph.node[0], made.data_sets[0][0]
        given = given if isinstance(given, dict) else dict(zip([i.name for i in graph.input], given))
        kinds = {i.name: i.type for i in graph.input}
        values = {}
        for name, x in given.items():
            x = array_of(x)
            x = [array_of(v) for v in x] if isinstance(x, list) else x
            values[name] = Value(x) if isinstance(x, np.ndarray) else Value(x, kinds[name])
        opsets = {o.domain: o.version for o in made.model.opset_import}
        if any(name and name not in values for name in node.input) or node.domain not in opsets:
            continue
        types = {o.name: o.type for o in graph.output}
        yield Case(node.op_type, node.domain, opsets.pop(node.domain), {a.name: plain(a) for a in node.attribute},
                   [values[name] if name else None for name in node.input], list(node.output), [types.get(name) for name in node.output],
                   other_opsets=opsets, origin=made.name)


def collect():
    """(domain, op) to its templates, in an order that only the onnx package decides."""
    out = {}
    for case in [*of_corpus(), *own()]:
        out.setdefault((case.domain, case.op), []).append(case)
    return out


def copied(case):
    """A copy to change. Arrays are replaced, never written to, so they are shared."""
    values = {id(v): copy.copy(v) for v in case.inputs if v is not None}
    made = copy.copy(case)
    made.attributes = dict(case.attributes)
    made.inputs = [values[id(v)] if v is not None else None for v in case.inputs]
    made.outputs, made.output_types, made.other_opsets = list(case.outputs), list(case.output_types), dict(case.other_opsets)
    made.before, made.after, made.options = [], [], {}
    return made
