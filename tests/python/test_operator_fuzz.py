"""A small run of tests/fuzz/operators, and what longer runs have found, each with the answer that it gets now."""
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tenonrt as rt
from conftest import model
from onnx import TensorProto, helper

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def test_three_hundred_cases():
    # A process of its own: a crash is a failure of this test, not of all others.
    paths = os.pathsep.join(p for p in [*sys.path, os.environ.get("PYTHONPATH", "")] if p)
    command = [sys.executable, str(ROOT / "tests/fuzz/operators"), "--cases", "300", "--first", "100000"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths})
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "300 cases: 0 deaths, 0 hangs" in done.stdout


def one_node(kind, inputs, outputs=("y",), opset=22, domain="", declared=(), **attributes):
    """A model of one node; inputs: name to (element type, shape or None), declared: name to the same for outputs."""
    node = helper.make_node(kind, list(inputs), list(outputs), name="one", domain=domain, **attributes)
    types = dict(declared)
    infos = [helper.make_tensor_value_info(n, *types[n]) if n in types else helper.make_empty_tensor_value_info(n) for n in outputs if n]
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info(n, *t) for n, t in inputs.items()], infos)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(domain, opset)], ir_version=10).SerializeToString()


def answer(data, feeds, **options):
    """The outputs, or the text of the error."""
    chosen = rt.SessionOptions()
    for key, value in options.items():
        chosen.add_session_config_entry("/session/" + key, value)
    try:
        return rt.InferenceSession(data, chosen, providers=["cpu"]).run(None, feeds)
    except rt.Error as e:
        assert e.code != "INTERNAL", e
        return str(e)


FLOAT, INT64, UINT8 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.UINT8


@pytest.mark.parametrize("kind", ["Transpose", "Relu", "Softmax", "Identity"])
def test_sizes_that_the_model_declares_and_the_run_contradicts(kind):
    data = one_node(kind, {"x": (FLOAT, None)}, declared={"y": (FLOAT, [2, 2, 2])})
    assert 'declared with shape [2, 2, 2], this run gives it [16,16,16]' in answer(data, {"x": np.ones((16, 16, 16), np.float32)})
    assert answer(data, {"x": np.ones((2, 2, 2), np.float32)})[0].shape == (2, 2, 2)


def test_a_size_that_only_large_inputs_fix():
    data = model("""g (float[n, 3] x) => (float[m, k] y) {
      zero = Constant<value = int64[1] {0}>()
      four = Constant<value = int64[1] {4}>()
      first = Slice(x, zero, four)
      y = Relu(first)
    }""")
    session = rt.InferenceSession(data, providers=["cpu"])
    for rows in (6, 2, 4, 1):
        assert session.run(None, {"x": np.ones((rows, 3), np.float32)})[0].shape == (min(rows, 4), 3)


def test_a_reshape_without_a_step():
    data = model("""g (float[] x, int64[3] s) => (float[a, b, c] y) {
      flat = Flatten(x)
      wide = Reshape(flat, s)
      y = Abs(wide)
    }""")
    assert answer(data, {"x": np.ones((2, 3), np.float32), "s": np.array([1, 2, 3])})[0].shape == (1, 2, 3)
    assert isinstance(answer(data, {"x": np.ones((1, 1), np.float32), "s": np.array([16, 9, 8])}), str)


def test_fixed_sizes_over_the_limit():
    chosen = rt.SessionOptions()
    chosen.add_session_config_entry("/limits/memory", "64MiB")
    data = one_node("RandomNormal", {}, shape=[2**28, 1])
    with pytest.raises(rt.Error, match="limits.memory"):
        rt.InferenceSession(data, chosen, providers=["cpu"]).run(None, {})


@pytest.mark.parametrize("kind", ["Shape", "Size", "Relu"])
def test_an_output_that_is_left_out(kind):
    data = one_node(kind, {"x": (FLOAT, [2, 3])}, outputs=[""])
    assert answer(data, {"x": np.ones((2, 3), np.float32)}) == []


def test_a_shape_that_only_the_run_knows():
    sizes = ["a", "b", "c", "d"]
    data = one_node("MaxUnpool", {"x": (FLOAT, sizes), "i": (INT64, sizes), "s": (INT64, [4])}, kernel_shape=[2, 2], strides=[2, 2])
    feeds = {"x": np.ones((1, 1, 2, 2), np.float32), "i": np.array([[[[0, 2], [8, 10]]]])}
    assert answer(data, feeds | {"s": np.array([1, 1, 5, 5])})[0].shape == (1, 1, 5, 5)
    assert "negative size" in answer(data, feeds | {"s": np.array([1, 1, -5, 5])})


def test_outputs_for_training():
    inputs = {n: (FLOAT, [2, 3, 4] if n == "x" else [3]) for n in "xsbmv"}
    data = one_node("BatchNormalization", inputs, outputs=["y", "mean", "var"], opset=7)
    text = answer(data, {n: np.ones(t[1], np.float32) for n, t in inputs.items()})
    assert '"mean" is one that its operator makes in training only' in text


@pytest.mark.parametrize("stash", [0, 2, 7, 2**40])
def test_stash_type(stash):
    data = one_node("LayerNormalization", {"x": (FLOAT, [33, 5]), "s": (FLOAT, [5])}, outputs=["y", "m", "v"], stash_type=stash)
    assert isinstance(answer(data, {"x": np.ones((33, 5), np.float32), "s": np.ones(5, np.float32)}), str)


@pytest.mark.parametrize("shape", [(0,), (2, 0)])
def test_no_labels(shape):
    data = one_node("ZipMap", {"x": (FLOAT, shape)}, opset=1, domain="ai.onnx.ml")
    assert answer(data, {"x": np.ones(shape, np.float32)})[0] == [{}] * (shape[0] or 1)


@pytest.mark.parametrize("axis", [-(2**63) + 1, 2**63 - 1, 3])
def test_axis_of_old_broadcasting(axis):
    data = one_node("Add", {"x": (FLOAT, [2, 3, 4]), "z": (FLOAT, [3])}, opset=6, broadcast=1, axis=axis)
    assert f"broadcast along axis {axis}" in answer(data, {"x": np.ones((2, 3, 4), np.float32), "z": np.ones(3, np.float32)})


def test_a_sequence_as_scan_output():
    text = answer(model("""g (float[2] x) => (seq(float[n]) y) {
      trips = Constant<value = int64 {2}>()
      y = Loop(trips, ) <body = step (int64 i, bool go) => (bool stay, seq(float[n]) s) {
        stay = Identity(go)
        s = SequenceConstruct(x, x)
      }>
    }"""), {"x": np.ones(2, np.float32)})
    assert "collected and must be a tensor" in text


def test_branches_of_two_types():
    text = answer(model("""g (bool c, float[2] x) => (float[n] y) {
      y = If(c) <then_branch = yes () => (float[2] a) { a = Identity(x) }, else_branch = no () => (double[2] b) { b = Cast<to = 11>(x) }>
    }"""), {"c": np.array(False), "x": np.ones(2, np.float32)})
    assert "its branches make output 0" in text


def test_more_optimised_tensors_than_outputs():
    names = ("r", "t", "x", "g", "v")
    data = one_node("Momentum", {n: (INT64 if n == "t" else FLOAT, [] if n in "rt" else [2]) for n in names},
                    opset=1, domain="ai.onnx.preview.training", alpha=0.1, beta=0.1, norm_coefficient=0.1, mode="standard")
    feeds = {n: np.ones(() if n in "rt" else 2, np.int64 if n == "t" else np.float32) for n in names}
    assert "outputs" in answer(data, feeds)


@pytest.mark.parametrize("axis", [2**63 - 1, -(2**63), 2])
def test_axis_of_layer_normalization(axis):
    data = one_node("LayerNormalization", {"x": (FLOAT, [2, 3]), "s": (FLOAT, [3])}, axis=axis)
    assert f"axis {axis} is outside [-2, 1]" in answer(data, {"x": np.ones((2, 3), np.float32), "s": np.ones(3, np.float32)})


@pytest.mark.parametrize("count", [-(2**31), -1, 2, 2**62])
def test_batch_dims_of_gather_nd(count):
    data = one_node("GatherND", {"x": (FLOAT, [2, 2]), "i": (INT64, [2, 1])}, batch_dims=count)
    assert "batch_dims" in answer(data, {"x": np.ones((2, 2), np.float32), "i": np.zeros((2, 1), np.int64)})


@pytest.mark.parametrize("equation", ["1e999", "%s%n", "a\0b", "...", "", "->", "ij..", "a-", "i->->i"])
def test_equations(equation):
    data = one_node("Einsum", {"x": (FLOAT, [5]), "z": (FLOAT, [7])}, equation=equation)
    assert isinstance(answer(data, {"x": np.ones(5, np.float32), "z": np.ones(7, np.float32)}), str)


@pytest.mark.parametrize("group,x,w,attributes", [
    (0, (1, 1, 3, 3), (2, 1, 2, 2), {}), (-1, (1, 1, 3, 3), (2, 1, 2, 2), {}), (2**32 + 1, (1, 1, 3, 3), (2, 1, 2, 2), {}),
    (1, (3, 9, 3, 3), (4, 3, 2, 2), {}), (2, (1, 2, 3, 3), (3, 1, 2, 2), {}), (1, (1, 1, 3, 3), (2, 1, 2, 2), {"pads": [2**62] * 4}),
    (1, (1, 1, 3, 3), (2, 1, 2, 2), {"strides": [0, 0]}), (1, (1, 1, 3, 3), (2, 1, 2, 2), {"strides": [1]}),
    (1, (1, 1, 3, 3), (2, 1, 2, 2), {"dilations": [2**62, 1]})])
def test_integer_convolutions(group, x, w, attributes):
    data = one_node("ConvInteger", {"x": (UINT8, None), "w": (UINT8, w)}, group=group, **attributes)
    assert isinstance(answer(data, {"x": np.ones(x, np.uint8), "w": np.ones(w, np.uint8)}), str)


def test_zero_points_of_another_length():
    data = one_node("ConvInteger", {"x": (UINT8, [1, 1, 3, 3]), "w": (UINT8, [2, 1, 2, 2]), "a": (UINT8, []), "b": (UINT8, [None])})
    feeds = {"x": np.ones((1, 1, 3, 3), np.uint8), "w": np.ones((2, 1, 2, 2), np.uint8), "a": np.uint8(0)}
    assert answer(data, feeds | {"b": np.zeros(2, np.uint8)})[0].shape == (1, 2, 2, 2)
    assert "the zero point of the second operand has 3 elements, expected 1 or 2" in answer(data, feeds | {"b": np.zeros(3, np.uint8)})


@pytest.mark.parametrize("hidden", [0, 1, 4, -2, 2**40])
@pytest.mark.parametrize("kind,gates", [("RNN", 1), ("GRU", 3), ("LSTM", 4)])
def test_hidden_size_that_is_not_that_of_the_weights(kind, gates, hidden):
    inputs = {"x": (3, 1, 2), "w": (1, gates * 3, 2), "r": (1, gates * 3, 3)}
    data = one_node(kind, {n: (FLOAT, s) for n, s in inputs.items()}, hidden_size=hidden)
    assert isinstance(answer(data, {n: np.ones(s, np.float32) for n, s in inputs.items()}), str)


@pytest.mark.parametrize("kind", ["DepthToSpace", "SpaceToDepth"])
@pytest.mark.parametrize("size", [0, -1, 2**32, 2**62])
def test_block_sizes(kind, size):
    assert isinstance(answer(one_node(kind, {"x": (FLOAT, [1, 4, 4, 4])}, blocksize=size), {"x": np.ones((1, 4, 4, 4), np.float32)}), str)


def test_depthwise_convolution_of_unknown_channels():
    node = helper.make_node("Conv", ["x", "w"], ["y"], group=16)
    weights = helper.make_tensor("w", FLOAT, [16, 1, 3], np.ones(48, np.float32))
    x, y = helper.make_tensor_value_info("x", FLOAT, [2, "c", "t"]), helper.make_empty_tensor_value_info("y")
    graph = helper.make_graph([node], "g", [x], [y], [weights])
    data = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10).SerializeToString()
    assert (answer(data, {"x": np.ones((2, 16, 8), np.float32)})[0] == 3).all()
