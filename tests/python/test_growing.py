"""Sizes that grow from run to run: every operator gives what it gives a session that has seen no other sizes."""
import numpy as np
import pytest
import tenonrt as rt

from conftest import model

# expression over float x[N,6], float y[N,6], int64 i[N]: one output r.
EXPRESSIONS = {
    "add": "r = Add(x, y)",
    "broadcast": "t = Slice(y, zero, one, zero) r = Mul(x, t)",
    "chain": "a = Sub(x, y) b = Relu(a) c = Add(b, x) r = Sigmoid(c)",
    "softmax": "r = Softmax<axis = 0>(x)",
    "layer_norm": "r = LayerNormalization(x, six)",
    "matmul_inner": "t = Transpose<perm = [1, 0]>(x) r = MatMul(t, y)",
    "matmul_outer": "t = Transpose<perm = [1, 0]>(x) r = MatMul(y, t)",
    "gemm": "r = Gemm<transA = 1>(x, y)",
    "concat": "r = Concat<axis = 0>(x, y, x)",
    "concat_inner": "r = Concat<axis = 1>(x, y)",
    "concat_shapes": "s = Shape(x) t = Concat<axis = 0>(s, one) u = Expand(x, s) q = Reshape(u, t) r = Squeeze(q, two)",
    "slice": "r = Slice(x, one, last, zero)",
    "slice_steps": "r = Slice(x, zero, last, zero, two)",
    "backwards": "r = Slice(x, minus, least, zero, minus)",
    "gather": "r = Gather(x, i)",
    "gather_elements": "t = Unsqueeze(i, one) r = GatherElements(x, t)",
    "gather_nd": "t = Unsqueeze(i, one) r = GatherND(x, t)",
    "scatter_nd": "t = Unsqueeze(i, one) r = ScatterND(x, t, y)",
    "scatter_elements": "s = Shape(x) t = Unsqueeze(i, one) e = Expand(t, s) r = ScatterElements<reduction = \"add\">(x, e, y)",
    "expand": "s = Shape(x) t = Concat<axis = 0>(three, s) r = Expand(x, t)",
    "tile": "t = Constant<value_ints = [2, 1]>() r = Tile(x, t)",
    "where": "c = Greater(x, y) r = Where(c, x, y)",
    "mask": "c = IsNaN(x) z = CastLike(six, x) t = Slice(z, zero, one) r = Where(c, t, x)",
    "cast": "t = Cast<to = 7>(x) r = Cast<to = 1>(t)",
    "range": "n = Shape<start = 0, end = 1>(x) k = Squeeze(n) s = Range(scalar0, k, scalar1) f = Cast<to = 1>(s) u = Unsqueeze(f, one) r = Add(x, u)",
    "range_float": "n = Shape<start = 0, end = 1>(x) f = Cast<to = 1>(n) u = Unsqueeze(f, one) r = Mul(x, u)",
    "constant_of_shape": "s = Shape(x) z = ConstantOfShape<value = float[1] {2.0}>(s) r = Add(z, x)",
    "causal": "n = Shape<start = 0, end = 1>(x) k = Squeeze(n) s = Range(scalar0, k, scalar1) a = Unsqueeze(s, zero) b = Unsqueeze(s, one)"
              " c = LessOrEqual(a, b) d = Cast<to = 1>(c) r = MatMul(d, x)",
    "reduce_sum": "r = ReduceSum<keepdims = 0>(x, zero)",
    "reduce_mean": "r = ReduceMean(x, one)",
    "reduce_max": "r = ReduceMax(x, zero)",
    "argmax": "t = ArgMax<axis = 0>(x) r = Cast<to = 1>(t)",
    "cumsum": "r = CumSum(x, scalar0)",
    "topk": "t, k = TopK<axis = 0>(x, three) r = Identity(t)",
    "pad": "p = Constant<value_ints = [1, 0, 2, 1]>() r = Pad(x, p)",
    "split": "p, q = Split<axis = 1, num_outputs = 2>(x) r = Mul(p, q)",
    "split_rows": "n = Shape<start = 0, end = 1>(x) m = Sub(n, one) s = Concat<axis = 0>(one, m) p, q = Split<axis = 0>(x, s) r = Add(q, p)",
    "trilu": "t = Transpose<perm = [1, 0]>(x) m = MatMul(x, t) r = Trilu<upper = 0>(m)",
    "einsum": "r = Einsum<equation = \"ni,mi->nm\">(x, y)",
    "conv1d": "a = Transpose<perm = [1, 0]>(x) b = Unsqueeze(a, zero) r = Conv<pads = [1, 1]>(b, kernel)",
    "pool": "a = Transpose<perm = [1, 0]>(x) b = Unsqueeze(a, zero) r = MaxPool<kernel_shape = [3], pads = [1, 1]>(b)",
    "global_pool": "a = Transpose<perm = [1, 0]>(x) b = Unsqueeze(a, zero) r = GlobalAveragePool(b)",
    "instance_norm": "a = Transpose<perm = [1, 0]>(x) b = Unsqueeze(a, zero) r = InstanceNormalization(b, six, six)",
    "resize": "a = Transpose<perm = [1, 0]>(x) b = Unsqueeze(a, zero) s = Constant<value_floats = [1.0, 1.0, 2.0]>() r = Resize<mode = \"linear\">(b, , s)",
    "lstm": "a = Unsqueeze(x, one) w = ConstantOfShape<value = float[1] {0.1}>(lstm_w) u = ConstantOfShape<value = float[1] {0.2}>(lstm_r)"
            " r = LSTM<hidden_size = 2>(a, w, u)",
    "attention": "a = Unsqueeze(x, zero) b = Unsqueeze(y, zero) r = Attention<q_num_heads = 2, kv_num_heads = 2>(a, b, b)",
    "quantized": "s = Constant<value_float = 0.1>() z = Constant<value = uint8 {128}>() a = QuantizeLinear(x, s, z) r = DequantizeLinear(a, s, z)",
    "dynamic_quantize": "a, s, z = DynamicQuantizeLinear(x) r = DequantizeLinear(a, s, z)",
    "one_hot": "v = Constant<value_floats = [0.0, 1.0]>() d = Constant<value = int64 {7}>() r = OneHot(i, d, v)",
    "depends_on_data": "t = NonZero(i) u = Transpose<perm = [1, 0]>(t) r = Cast<to = 1>(u)",
    "conditional": "n = Size(x) c = Greater(n, big) r = If(c) <then_branch = a () => (float[A, 6] p) { p = Neg(x) }, else_branch = b () => (float[B, 6] q) { q = Abs(x) }>",
}
CONSTANTS = """<int64[1] zero = {0}, int64[1] one = {1}, int64[1] two = {2}, int64[1] three = {3}, int64[1] minus = {-1}, int64[1] last = {100000},
  int64[1] least = {-100000}, int64 scalar0 = {0}, int64 scalar1 = {1}, int64 big = {50}, int64[3] lstm_w = {1, 8, 6}, int64[3] lstm_r = {1, 8, 2},
  float[6] six = {1, 2, 3, 4, 5, 6}, float[2,6,3] kernel = {KERNEL}>""".replace("KERNEL", ", ".join(str(k / 8) for k in range(36)))


def graph(expression):
    return model(f"g (float[N,6] x, float[N,6] y, int64[N] i) => (r) {CONSTANTS} {{ {expression} }}", 24)


def feeds(rows):
    rng = np.random.default_rng(rows)
    x, y = (rng.standard_normal((rows, 6)).astype(np.float32) for _ in range(2))
    return {"x": x, "y": y, "i": rng.permutation(rows).astype(np.int64)}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_operator_whose_input_grows(name):
    data = graph(EXPRESSIONS[name])
    session = rt.InferenceSession(data)
    for rows in [4, 5, 6, 7, 8, 9, 10, 30, 7, 64, 65, 66, 3, 100, 2000, 2001, 2002, 2003, 2004, 5]:
        got = session.run(None, feeds(rows))
        expected = rt.InferenceSession(data).run(None, feeds(rows))
        for a, b in zip(got, expected):
            assert a.shape == b.shape and np.array_equal(a, b, equal_nan=True), f"{name}, {rows} rows"
