"""What other runtimes are known to get wrong, crash on or refuse: each is right here, against numpy or onnx's reference evaluator."""
import numpy as np
import onnx
import pytest
import tenonrt as rt
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

RNG = np.random.default_rng(7)


def model_of(nodes, feeds, outputs, opset=28, constants=None):
    infos = [helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype) if v.dtype != object else TensorProto.STRING, v.shape) for k, v in feeds.items()]
    graph = helper.make_graph(nodes, "case", infos, [helper.make_empty_tensor_value_info(o) for o in outputs],
                              [numpy_helper.from_array(v, k) for k, v in (constants or {}).items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10 if opset < 24 else 14)


def ours(model, feeds, **options):
    return rt.InferenceSession(model.SerializeToString(), providers=["cpu"], **options).run(None, feeds)


def run(op, feeds, outputs=1, opset=28, constants=None, inputs=None, **attributes):
    names = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op, inputs or [*feeds, *(constants or {})], names, **attributes)
    return ours(model_of([node], feeds, names, opset, constants), feeds)


def reference(op, feeds, outputs=1, opset=28, inputs=None, **attributes):
    names = [f"y{i}" for i in range(outputs)]
    return ReferenceEvaluator(model_of([helper.make_node(op, inputs or list(feeds), names, **attributes)], feeds, names, opset)).run(None, feeds)


def real(*shape, dtype=np.float32):
    return RNG.standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("opset", [17, 28])
@pytest.mark.parametrize("constant", [False, True])
def test_layer_norm_with_an_omitted_bias(opset, constant):
    x, scale = real(2, 3, 4), real(4)
    feeds, constants = ({"x": x}, {"s": scale}) if constant else ({"x": x, "s": scale}, {})
    got = run("LayerNormalization", feeds, outputs=2, opset=opset, constants=constants, inputs=["x", "s", ""])
    mean = x.mean(-1, keepdims=True)
    np.testing.assert_allclose(got[0], (x - mean) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * scale, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(got[1], mean, rtol=1e-5, atol=1e-6)


def test_gather_of_rows_of_text():
    x = np.array([["a", "b", "c"], ["d", "e", "f"]], object)
    assert run("Gather", {"x": x, "i": np.array([1, 0])})[0].tolist() == [["d", "e", "f"], ["a", "b", "c"]]


def test_layer_norm_spelled_out_behind_a_cast():
    x = real(2, 8, dtype=np.float64)
    nodes = [helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT), helper.make_node("ReduceMean", ["f"], ["m"], axes=[-1]),
             helper.make_node("Sub", ["f", "m"], ["d"]), helper.make_node("Pow", ["d", "two"], ["p"]), helper.make_node("ReduceMean", ["p"], ["v"], axes=[-1]),
             helper.make_node("Add", ["v", "eps"], ["e"]), helper.make_node("Sqrt", ["e"], ["r"]), helper.make_node("Div", ["d", "r"], ["n"]),
             helper.make_node("Mul", ["n", "w"], ["s"]), helper.make_node("Add", ["s", "b"], ["y"])]
    w, b = real(8), real(8)
    m = model_of(nodes, {"x": x}, ["y"], 13, {"two": np.float32(2), "eps": np.float32(1e-5), "w": w, "b": b})
    f = x.astype(np.float32)
    expected = (f - f.mean(-1, keepdims=True)) / np.sqrt(f.var(-1, keepdims=True) + 1e-5) * w + b
    np.testing.assert_allclose(ours(m, {"x": x})[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
def test_causal_attention_with_a_past_and_one_query(mode):
    q, k, v, pk, pv = real(1, 2, 1, 4), real(1, 2, 3, 4), real(1, 2, 3, 4), real(1, 2, 2, 4), real(1, 2, 2, 4)
    feeds = dict(q=q, k=k, v=v, pk=pk, pv=pv)
    kw = dict(outputs=4, inputs=["q", "k", "v", "", "pk", "pv"], is_causal=1, qk_matmul_output_mode=mode)
    for a, b in zip(run("Attention", feeds, **kw), reference("Attention", feeds, **kw), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("ends", [2**31 - 1, 2**63 - 1])
def test_slice_backwards_to_an_end_beyond(ends):
    assert run("Slice", {"x": np.arange(5, dtype=np.float32)}, constants={"s": np.array([3]), "e": np.array([ends]), "a": np.array([0]), "t": np.array([-1])})[0].shape == (0,)


def test_expand_of_a_scalar_to_one_element():
    assert run("Expand", {"x": np.float32(3).reshape(())}, constants={"s": np.array([1])})[0].shape == (1,)


def test_crop_and_resize_crops_an_axis_that_is_not_scaled():
    x, roi = real(1, 1, 4, 4), np.array([0, 0, 0.25, 0, 1, 1, 0.75, 1], np.float32)
    feeds = {"x": x, "roi": roi, "scales": np.array([1, 1, 1, 2], np.float32)}
    kw = dict(mode="linear", coordinate_transformation_mode="tf_crop_and_resize", opset=19)
    np.testing.assert_allclose(run("Resize", feeds, **kw)[0], reference("Resize", feeds, **kw)[0], rtol=1e-5, atol=1e-6)


def test_cubic_samples_clamp_each_neighbour():
    x = real(1, 1, 4, 5)
    grid = RNG.uniform(-1.3, 1.3, (1, 3, 3, 2)).astype(np.float32)
    kw = dict(mode="cubic", padding_mode="border", opset=20)
    np.testing.assert_allclose(run("GridSample", {"x": x, "g": grid}, **kw)[0], reference("GridSample", {"x": x, "g": grid}, **kw)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool", "LpPool", "Conv"])
@pytest.mark.parametrize("pad", ["SAME_UPPER", "SAME_LOWER"])
def test_same_padding_with_dilation(op, pad):
    x = np.abs(real(1, 2, 9, 8))
    feeds = {"x": x} if op != "Conv" else {"x": x, "w": real(2, 2, 3, 2)}
    extra = {} if op == "Conv" else {"kernel_shape": [3, 2]}
    got = run(op, feeds, auto_pad=pad, dilations=[2, 3], strides=[2, 1], opset=22, **extra)[0]
    assert got.shape == (1, 2, 5, 8)
    total = [max((5 - 1) * 2 + 2 * 2 + 1 - 9, 0), max((8 - 1) + 3 + 1 - 8, 0)]
    before = [t - t // 2 if pad == "SAME_LOWER" else t // 2 for t in total]
    pads = [before[0], before[1], total[0] - before[0], total[1] - before[1]]
    np.testing.assert_allclose(got, run(op, feeds, pads=pads, dilations=[2, 3], strides=[2, 1], opset=22, **extra)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 5), (2, 5, 3), (1, 5, 2, 2, 3)])
def test_lrn_of_every_rank(shape):
    x = real(*shape)
    square = np.stack([(x[:, max(0, c - 1):c + 2] ** 2).sum(1) for c in range(5)], 1)
    np.testing.assert_allclose(run("LRN", {"x": x}, size=3, alpha=0.5, beta=0.5, bias=2.0)[0], x / np.sqrt(2 + 0.5 / 3 * square), rtol=1e-5)


def test_product_without_a_common_dimension():
    got = run("MatMul", {"a": np.zeros((2, 0), np.uint32), "b": np.zeros((0, 3), np.uint32)})[0]
    assert got.dtype == np.uint32 and got.tolist() == [[0, 0, 0], [0, 0, 0]]


def test_one_block_of_quantized_numbers():
    x, scale = np.array([[1, 2, 3, 4]], np.int8), np.array([[0.5]], np.float32)
    assert run("DequantizeLinear", {"x": x, "s": scale}, axis=1, block_size=4, opset=21)[0].tolist() == [[0.5, 1, 1.5, 2]]


@pytest.mark.parametrize("opset", [24, 25, 28])
def test_new_opsets_change_nothing_for_float32(opset):
    x = real(1, 2, 6, 6)
    np.testing.assert_allclose(run("Swish", {"x": x}, opset=opset)[0], x / (1 + np.exp(-x)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(run("GlobalLpPool", {"x": x}, opset=opset)[0], np.sqrt((x * x).sum((2, 3), keepdims=True)), rtol=1e-5)
    rois = {"x": x, "r": np.array([[0.5, 0.5, 4, 4]], np.float32), "b": np.array([0])}
    kw = dict(output_height=2, output_width=2, sampling_ratio=2)
    np.testing.assert_allclose(run("RoiAlign", rois, opset=opset, **kw)[0], reference("RoiAlign", rois, opset=16, **kw)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize("op,gates", [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_recurrent_layouts_and_types(op, gates, layout, dtype):
    feeds = {"x": real(3, 3, 4, dtype=dtype), "w": real(1, gates * 5, 4, dtype=dtype), "r": real(1, gates * 5, 5, dtype=dtype)}
    kw = dict(outputs=2, hidden_size=5, opset=22)
    got = run(op, feeds, layout=layout, **kw)
    turned = {**feeds, "x": feeds["x"].swapaxes(0, 1)} if layout else feeds
    want = reference(op, {k: v.astype(np.float32) for k, v in turned.items()}, **kw)
    assert got[0].dtype == dtype
    y = got[0].transpose(1, 2, 0, 3) if layout else got[0]
    h = got[1].swapaxes(0, 1) if layout else got[1]
    np.testing.assert_allclose(y, want[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(h, want[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("reduction", ["add", "mul", "max", "min"])
def test_scatter_reductions_of_half_types(dtype, reduction):
    dt = helper.tensor_dtype_to_np_dtype(TensorProto.FLOAT16 if dtype == "float16" else TensorProto.BFLOAT16)
    x, u = np.array([1, 2, 3], dt), np.array([4, 0.5], dt)
    combine = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}[reduction]
    want = x.copy()
    want[1] = combine(combine(x[1], u[0]), u[1])
    assert run("ScatterElements", {"x": x, "i": np.array([1, 1]), "u": u}, reduction=reduction, axis=0)[0].tolist() == want.tolist()
    assert run("ScatterND", {"x": x, "i": np.array([[1], [1]]), "u": u}, reduction=reduction)[0].tolist() == want.tolist()


def test_repeated_indices_add_up_with_several_threads():
    nodes, edges, width = 500, 4000, 16
    x, u, i = np.zeros((nodes, width), np.float32), RNG.integers(-4, 5, (edges, width)).astype(np.float32), RNG.integers(0, nodes, (edges, 1))
    want = x.copy()
    np.add.at(want, i[:, 0], u)
    options = rt.SessionOptions()
    options.intra_op_num_threads = 4
    m = model_of([helper.make_node("ScatterND", ["x", "i", "u"], ["y"], reduction="add")], {"x": x, "i": i, "u": u}, ["y"], 18)
    session = rt.InferenceSession(m.SerializeToString(), options, providers=["cpu"])
    for _ in range(5):
        np.testing.assert_array_equal(session.run(None, {"x": x, "i": i, "u": u})[0], want)


def test_integer_division_by_minus_one_of_the_least_number():
    least, minus = np.array([-2**31], np.int32), np.array([-1], np.int32)
    assert run("Div", {"a": least, "b": minus})[0].tolist() == [-2**31]
    assert run("Mod", {"a": least, "b": minus})[0].tolist() == [0]
    assert onnx.__version__
