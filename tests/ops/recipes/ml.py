"""ai.onnx.ml: features, linear models, trees, maps."""
import numpy as np
from onnx import TensorProto, helper

from ops.recipe import recipe
from ops.values import DTYPES, F, Maker, N, V

ML = {"domain": "ml"}
recipe("ArrayFeatureExtractor", [V(2, 4), F(np.array([1, 3]))], expect=lambda i, a, t: [i[0][:, [1, 3]]], **ML)
recipe("Binarizer", [V(2, 4)], threshold=0.5, expect=lambda i, a, t: [(i[0] > 0.5)], **ML)


def mapping(text):
    """{1: ..., 3: ...} of a map's type."""
    key, value = text[4:-1].split(",")
    keys = [1, 3] if key.strip() == "int64" else ["a", "c"]
    values = ["x", "y"] if value.strip() == "string" else [int(v) if value.strip() == "int64" else v for v in (2.0, 5.0)]
    return dict(zip(keys, values))


class MapMaker(Maker):
    def __call__(self, text):
        return mapping(text)



def cast_map(m, t):
    values = [m[k] for k in sorted(m)]
    to = t.element("T2")
    if to == "string":
        return np.array([[v if isinstance(v, str) else f"{v:g}" for v in values]], object)
    return np.array([[float(v) for v in values]])


# Text that is not a number cannot be cast: these maps hold numbers as text.
class NumberMap(Maker):
    def __call__(self, text):
        return {k: ("2" if i == 0 else "5") if isinstance(v, str) else v for i, (k, v) in enumerate(mapping(text).items())}


recipe("CastMap", [NumberMap(None)], cast_to=lambda t: {"string": "TO_STRING", "float": "TO_FLOAT", "int64": "TO_INT64"}[t.element("T2")],
       expect=lambda i, a, t: [cast_map(i[0], t)], **ML)
recipe("CategoryMapper", [Maker(lambda t: np.array(["a", "z"], object) if t == "string" else np.array([5, 9], np.int64))], cats_strings=["a", "b"], cats_int64s=[5, 6],
       default_int64=-1, default_string="no", types={"T2": lambda t: "tensor(int64)" if t.element("T1") == "string" else "tensor(string)",
                                                     "T1": lambda t: "tensor(string)" if t.element("T2") == "int64" else "tensor(int64)"},
       expect=lambda i, a, t: [np.array([5, -1]) if i[0].dtype == object else np.array(["a", "no"], object)], **ML)


def vectorized(i, a, t):
    words = a.get("string_vocabulary") or a["int64_vocabulary"]
    value = t.element("T2")
    return [np.array([[i[0].get(w, "" if value == "string" else 0) for w in words]], object if value == "string" else DTYPES[value])]


def same_value(t):
    return f"tensor({t['T1'][4:-1].split(',')[1].strip()})"


VALUE = {"T2": same_value, "T1": lambda t: {"int64": "map(string, int64)", "float": "map(string, float)", "double": "map(string, double)",
                                             "string": "map(int64, string)"}[t.element("T2")]}
recipe("DictVectorizer", [MapMaker(None)], string_vocabulary=lambda t: ["c", "b", "a"] if t["T1"].startswith("map(string") else None,
       int64_vocabulary=lambda t: [3, 2, 1] if t["T1"].startswith("map(int64") else None, types=VALUE, expect=vectorized, **ML)
recipe("FeatureVectorizer", [V(2, 2), V(2, 1)], inputdimensions=[2, 1], expect=lambda i, a, t: [np.concatenate([v.astype(np.float32) for v in i], 1)], **ML)
recipe("Imputer", [V(2, 4)], imputed_value_floats=[7.0], replaced_value_float=-1.0, only=lambda t: t.element("T") in ("float", "double"),
       expect=lambda i, a, t: [np.where(i[0] == -1, 7, i[0])], **ML)
recipe("Imputer", [V(2, 4)], imputed_value_int64s=[7], replaced_value_int64=-1, only=lambda t: t.element("T") not in ("float", "double"),
       expect=lambda i, a, t: [np.where(i[0] == -1, 7, i[0])], **ML)

KIND = {"string": "strings", "int64": "int64s", "float": "floats"}


def keys(name, values):
    def made(t):
        kind = t.element(name)
        pool = {"strings": ["a", "b"], "int64s": [1, 2], "floats": [1.0, 2.0]} if name == "T1" else {"strings": ["x", "y"], "int64s": [10, 20], "floats": [0.5, 1.5]}
        return pool[values] if KIND.get(kind) == values else None
    return made


LABELS = {"keys_strings": keys("T1", "strings"), "keys_int64s": keys("T1", "int64s"), "keys_floats": keys("T1", "floats"),
          "values_strings": keys("T2", "strings"), "values_int64s": keys("T2", "int64s"), "values_floats": keys("T2", "floats")}
LABEL_INPUT = Maker(lambda t: np.array(["b", "a", "q"], object) if t == "string" else np.array([2, 1, 9]).astype(DTYPES[t]))


def labels(i, a, t):
    values = {"string": ["x", "y", "_Unused"], "int64": [10, 20, -1], "float": [0.5, 1.5, -0.0]}[t.element("T2")]
    return [np.array([values[1], values[0], values[2]], object if t.element("T2") == "string" else None)]


recipe("LabelEncoder", [LABEL_INPUT], since=2, only=lambda t: t.element("T1") in KIND and t.element("T2") in KIND, expect=labels, **LABELS, **ML)
recipe("LabelEncoder", [LABEL_INPUT], until=1, classes_strings=["b", "q", "a"], types={"T1": lambda t: "tensor(string)" if t.element("T2") == "int64" else "tensor(int64)",
                                                                                     "T2": lambda t: "tensor(int64)" if t.element("T1") == "string" else "tensor(string)"},
       expect=lambda i, a, t: [np.array([0, 2, 1]) if i[0].dtype == object else np.array(["a", "q", "_Unused"], object)], **ML)


def of_type(values, name):
    def made(t):
        kind = t.element(name)
        return helper.make_tensor("v", {"string": TensorProto.STRING, "int64": TensorProto.INT64, "int32": TensorProto.INT32, "int16": TensorProto.INT16,
                                        "float": TensorProto.FLOAT, "double": TensorProto.DOUBLE}[kind], [len(values[0])], values[1] if kind == "string" else values[0])
    return made


recipe("LabelEncoder", [LABEL_INPUT], since=4, keys_tensor=of_type(([1, 2], ["a", "b"]), "T1"), values_tensor=of_type(([10, 20], ["x", "y"]), "T2"),
       default_tensor=of_type(([7], ["z"]), "T2"),
       expect=lambda i, a, t: [np.array(["y", "x", "z"], object) if t.element("T2") == "string" else np.array([20, 10, 7])], **ML)

X = N([[1, 2], [-1, 3]])
COEFFICIENTS = [1.0, -1.0, 0.5, 2.0]


def scores(x):
    return x.astype(np.float64) @ np.array([[1, 0.5], [-1, 2]]) + [0.5, -0.5]


def classified(i, a, t):
    s = scores(i[0])
    best = s.argmax(1)
    names = [[4, 7][k] for k in best] if t.element("T2") == "int64" else [["no", "yes"][k] for k in best]
    return [np.array(names, None if t.element("T2") == "int64" else object), s]


recipe("LinearClassifier", [X], outputs=2, coefficients=COEFFICIENTS, intercepts=[0.5, -0.5], classlabels_ints=lambda t: [4, 7] if t.element("T2") == "int64" else None,
       classlabels_strings=lambda t: ["no", "yes"] if t.element("T2") == "string" else None, expect=classified, **ML)
recipe("LinearRegressor", [X], coefficients=COEFFICIENTS, intercepts=[0.5, -0.5], targets=2, expect=lambda i, a, t: [scores(i[0])], **ML)
recipe("Normalizer", [N([[1, 2], [-1, 3]])], norm="L1", expect=lambda i, a, t: [i[0] / np.abs(i[0].astype(np.float64)).sum(1, keepdims=True)], **ML)
recipe("OneHotEncoder", [Maker(lambda t: np.array(["b", "q"], object) if t == "string" else np.array([2, 9]).astype(DTYPES[t]))],
       cats_strings=lambda t: ["a", "b"] if t.element("T") == "string" else None, cats_int64s=lambda t: [1, 2] if t.element("T") != "string" else None,
       expect=lambda i, a, t: [np.array([[0, 1], [0, 0]])], **ML)
recipe("Scaler", [X], offset=[1.0, 2.0], scale=[0.5, 2.0], expect=lambda i, a, t: [(i[0] - np.array([1.0, 2.0])) * [0.5, 2.0]], **ML)
recipe("SVMRegressor", [X], kernel_type="LINEAR", coefficients=[1.0, -1.0], support_vectors=[1.0, 2.0, 0.0, 1.0], n_supports=2, rho=[0.5], kernel_params=[0.0, 0.0, 0.0],
       expect=lambda i, a, t: [(i[0] @ np.array([1.0, 2.0]) - i[0] @ np.array([0.0, 1.0]) + 0.5).reshape(-1, 1)], **ML)


def svm(i, a, t):
    x = i[0].astype(np.float64)
    score = x @ np.array([1.0, 2.0]) * 1 - x @ np.array([0.0, 1.0]) + 0.5
    first = score > 0
    names = np.where(first, 4, 7) if t.element("T2") == "int64" else np.where(first, "no", "yes").astype(object)
    return [names, np.stack([-score, score], 1)]


recipe("SVMClassifier", [X], outputs=2, kernel_type="LINEAR", coefficients=[1.0, -1.0], support_vectors=[1.0, 2.0, 0.0, 1.0], vectors_per_class=[1, 1], rho=[0.5],
       kernel_params=[0.0, 0.0, 0.0], classlabels_ints=lambda t: [4, 7] if t.element("T2") == "int64" else None,
       classlabels_strings=lambda t: ["no", "yes"] if t.element("T2") == "string" else None, expect=svm, **ML)
recipe("ZipMap", [F(np.array([[0.25, 0.75]], np.float32))], classlabels_int64s=lambda t: [4, 7] if "int64" in t["T"] else None,
       classlabels_strings=lambda t: ["no", "yes"] if "string" in t["T"] else None,
       expect=lambda i, a, t: [[{4: 0.25, 7: 0.75}] if "int64" in t["T"] else [{"no": 0.25, "yes": 0.75}]], **ML)


def tensor_of(values, name="T"):
    return lambda t: helper.make_tensor("v", {"float": TensorProto.FLOAT, "double": TensorProto.DOUBLE, "float16": TensorProto.FLOAT16}[t.element(name)], [len(values)], values)


recipe("TreeEnsemble", [X], nodes_featureids=[0], nodes_splits=tensor_of([0.0]), nodes_modes=lambda t: helper.make_tensor("m", TensorProto.UINT8, [1], [0]),
       nodes_truenodeids=[0], nodes_trueleafs=[1], nodes_falsenodeids=[1], nodes_falseleafs=[1], leaf_targetids=[0, 0], leaf_weights=tensor_of([1.5, -2.0]), tree_roots=[0],
       n_targets=1, expect=lambda i, a, t: [np.where(i[0][:, :1] <= 0, 1.5, -2.0)], **ML)
TREE = {"nodes_treeids": [0, 0, 0], "nodes_nodeids": [0, 1, 2], "nodes_featureids": [0, 0, 0], "nodes_values": [0.0, 0.0, 0.0], "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_truenodeids": [1, 0, 0], "nodes_falsenodeids": [2, 0, 0]}
recipe("TreeEnsembleRegressor", [X], n_targets=1, target_treeids=[0, 0], target_nodeids=[1, 2], target_ids=[0, 0], target_weights=[1.5, -2.0],
       expect=lambda i, a, t: [np.where(i[0][:, :1] <= 0, 1.5, -2.0)], **TREE, **ML)
recipe("TreeEnsembleClassifier", [X], outputs=2, class_treeids=[0, 0, 0, 0], class_nodeids=[1, 1, 2, 2], class_ids=[0, 1, 0, 1], class_weights=[0.75, 0.25, 0.0, 1.0],
       classlabels_int64s=lambda t: [4, 7] if t.element("T2") == "int64" else None, classlabels_strings=lambda t: ["no", "yes"] if t.element("T2") == "string" else None,
       expect=lambda i, a, t: [np.where(i[0][:, 0] <= 0, 4, 7) if t.element("T2") == "int64" else np.where(i[0][:, 0] <= 0, "no", "yes").astype(object),
                               np.where(i[0][:, :1] <= 0, [0.75, 0.25], [0.0, 1.0])], **TREE, **ML)
