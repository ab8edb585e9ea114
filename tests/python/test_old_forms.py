"""Operators in the forms of old opsets, against numpy."""
import numpy as np
import pytest
import tenonrt as rt
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(1)
X = RNG.standard_normal((2, 4, 3, 5)).astype(np.float32)
C = RNG.standard_normal(4).astype(np.float32)
SMALL = X[:, :, 0, 0]


def run(op, opset, feeds, constants=(), outputs=1, domain="", **attributes):
    """One node; what constants names is an initializer."""
    infos = [helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for k, v in feeds.items() if k not in constants]
    names = [f"out{i}" for i in range(outputs)]
    graph = helper.make_graph([helper.make_node(op, list(feeds), names, domain=domain, **attributes)], "old", infos,
                              [helper.make_empty_tensor_value_info(n) for n in names],
                              [numpy_helper.from_array(feeds[k], k) for k in constants])
    opsets = [helper.make_opsetid("", opset)] if not domain else [helper.make_opsetid("", 11), helper.make_opsetid(domain, opset)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=4)
    return rt.InferenceSession(model.SerializeToString(), providers=["cpu"]).run(None, {k: v for k, v in feeds.items() if k not in constants})


def channels(v):
    return v.reshape(-1, 1, 1)


CASES = {
    "slope_of_channels": (lambda: run("PRelu", 6, {"x": X, "slope": C}), lambda: [np.where(X < 0, X * channels(C), X)]),
    "add_along_axis": (lambda: run("Add", 6, {"a": X, "b": C}, broadcast=1, axis=1), lambda: [X + channels(C)]),
    "tile_one_axis": (lambda: run("Tile", 1, {"x": SMALL, "tiles": np.array(3, np.float32), "axis": np.array(1, np.float32)}, ["tiles", "axis"]),
                      lambda: [np.tile(SMALL, (1, 3))]),
    "concat_axis_1": (lambda: run("Concat", 1, {"a": X, "b": X}), lambda: [np.concatenate([X, X], 1)]),
    "split_by_attribute": (lambda: run("Split", 2, {"x": X}, outputs=2, axis=1, split=[1, 3]), lambda: [X[:, :1], X[:, 1:]]),
    "split_by_input": (lambda: run("Split", 1, {"x": X, "split": np.array([3, 1], np.float32)}, ["split"], outputs=2, axis=1), lambda: [X[:, :3], X[:, 3:]]),
    "real_norm": (lambda: run("GlobalLpPool", 1, {"x": X}, p=2.0), lambda: [np.sqrt((X.astype(np.float64) ** 2).sum((2, 3), keepdims=True))]),
    "selu_constants": (lambda: run("Selu", 1, {"x": X}), lambda: [1.0507 * np.where(X > 0, X, 1.6732 * (np.exp(X) - 1))]),
    "upsample_scales": (lambda: run("Upsample", 1, {"x": X}, height_scale=2.0, width_scale=3.0, mode="nearest"), lambda: [X.repeat(2, 2).repeat(3, 3)]),
    "softmax_flattens": (lambda: run("Softmax", 11, {"x": X}, axis=1),
                         lambda: [np.exp(X) / np.exp(X).reshape(2, -1).sum(1).reshape(2, 1, 1, 1)]),
    "clip_attributes": (lambda: run("Clip", 6, {"x": X}, min=-0.5, max=0.25), lambda: [np.clip(X, -0.5, 0.25)]),
    "pad_attributes": (lambda: run("Pad", 2, {"x": SMALL}, pads=[0, 1, 1, 0], value=2.0),
                       lambda: [np.pad(SMALL, ((0, 1), (1, 0)), constant_values=2)]),
    "cast_by_name": (lambda: run("Cast", 1, {"x": X}, to="INT32"), lambda: [X.astype(np.int32)]),
    "classes_of_positions": (lambda: run("LabelEncoder", 1, {"x": np.array([2, 0, 7])}, domain="ai.onnx.ml", classes_strings=["a", "b", "c"]),
                             lambda: [np.array(["c", "a", "_Unused"])]),
    "positions_of_classes": (lambda: run("LabelEncoder", 1, {"x": np.array(["b", "z"], object)}, domain="ai.onnx.ml", classes_strings=["a", "b"]),
                             lambda: [np.array([1, -1])]),
}


@pytest.mark.parametrize("name", CASES)
def test_old_form(name):
    ours, expected = CASES[name]
    for a, b in zip(ours(), expected(), strict=True):
        assert a.shape == b.shape
        if b.dtype.kind == "f":
            np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-6)
        else:
            assert a.tolist() == b.tolist()


def test_norm_of_every_element():
    shape = X.shape[1:]
    scale, bias, mean, var = (RNG.random(shape, np.float32) + 0.5 for _ in range(4))
    got = run("BatchNormalization", 7, {"x": X, "s": scale, "b": bias, "m": mean, "v": var}, spatial=0)[0]
    np.testing.assert_allclose(got, (X - mean) / np.sqrt(var + 1e-5) * scale + bias, rtol=1e-5, atol=1e-5)


def test_group_norm_with_a_scale_a_group():
    scale, bias = np.array([2, -1], np.float32), np.array([0.5, 3], np.float32)
    got = run("GroupNormalization", 18, {"x": X, "s": scale, "b": bias}, num_groups=2)[0]
    g = X.reshape(2, 2, -1)
    normal = ((g - g.mean(2, keepdims=True)) / np.sqrt(g.var(2, keepdims=True) + 1e-5)).reshape(X.shape)
    np.testing.assert_allclose(got, normal * channels(scale.repeat(2)) + channels(bias.repeat(2)), rtol=1e-4, atol=1e-5)


def test_scan_with_a_batch():
    body = helper.make_graph([helper.make_node("Add", ["sum", "x"], ["next"]), helper.make_node("Mul", ["next", "outside"], ["y"])], "body",
                             [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2]) for n in ("sum", "x")],
                             [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2]) for n in ("next", "y")])
    node = helper.make_node("Scan", ["", "start", "xs"], ["last", "ys"], num_scan_inputs=1, body=body)
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("start", [3, 2]), ("xs", [3, 4, 2]), ("outside", [2]))]
    graph = helper.make_graph([node], "scan", infos, [helper.make_tensor_value_info("last", TensorProto.FLOAT, [3, 2]),
                                                      helper.make_tensor_value_info("ys", TensorProto.FLOAT, [3, 4, 2])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 8)], ir_version=4)
    xs, start, outside = RNG.random((3, 4, 2), np.float32), RNG.random((3, 2), np.float32), np.array([2, 3], np.float32)
    last, ys = rt.InferenceSession(model.SerializeToString()).run(None, {"start": start, "xs": xs, "outside": outside})
    sums = start[:, None] + xs.cumsum(1)
    np.testing.assert_allclose(last, sums[:, -1], rtol=1e-5)
    np.testing.assert_allclose(ys, sums * outside, rtol=1e-5)
