"""Results are the same to the last bit for any number of threads: one model of each kind, large enough that work is shared."""
import numpy as np
import pytest
import tenonrt as rt
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(0)
F = TensorProto.FLOAT


class Chain:
    """Nodes one after the other; weights drawn at random."""

    def __init__(self):
        self.nodes, self.weights, self.feeds = [], [], {}

    def feed(self, name, *shape):
        self.feeds[name] = RNG.standard_normal(shape, np.float32)
        return name

    def constant(self, array):
        name = f"c{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def weight(self, *shape):
        return self.constant((RNG.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32))

    def op(self, kind, *inputs, outputs=1, domain="", **attributes):
        made = [f"v{len(self.nodes)}_{o}" for o in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), made, domain=domain, **attributes))
        return made[0] if outputs == 1 else made

    def model(self, *outputs):
        graph = helper.make_graph(self.nodes, "chain", [helper.make_tensor_value_info(n, F, a.shape) for n, a in self.feeds.items()],
                                  [helper.make_empty_tensor_value_info(o) for o in outputs], self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10).SerializeToString(), self.feeds


def convolutions():
    c = Chain()
    x = c.op("Relu", c.op("Conv", c.feed("x", 1, 3, 64, 64), c.weight(32, 3, 3, 3), strides=[2, 2], pads=[1, 1, 1, 1]))
    y = c.op("Conv", x, c.weight(32, 32, 3, 3), c.weight(32), pads=[1, 1, 1, 1])
    y = c.op("Relu", c.op("Add", x, y))
    y = c.op("Conv", y, c.weight(32, 1, 3, 3), group=32, pads=[1, 1, 1, 1])
    y = c.op("Clip", c.op("Conv", y, c.weight(64, 32, 1, 1)), c.constant(np.float32(0)), c.constant(np.float32(6)))
    y = c.op("ConvTranspose", y, c.weight(64, 16, 2, 2), strides=[2, 2])
    y = c.op("MaxPool", y, kernel_shape=[3, 3], strides=[2, 2])
    return c.model(c.op("GlobalAveragePool", y), c.op("Resize", y, "", c.constant(np.array([1, 1, 2, 2], np.float32)), mode="linear"))


def attention():
    c, d, heads, s = Chain(), 128, 4, 96
    x = c.feed("x", 2, s, d)

    def project():
        y = c.op("Add", c.op("MatMul", x, c.weight(d, d)), c.weight(d))
        return c.op("Transpose", c.op("Reshape", y, c.constant(np.array([2, s, heads, d // heads]))), perm=[0, 2, 1, 3])
    q, k, v = project(), project(), project()
    scores = c.op("Mul", c.op("MatMul", q, c.op("Transpose", k, perm=[0, 1, 3, 2])), c.constant(np.float32(0.17)))
    y = c.op("MatMul", c.op("Softmax", scores, axis=-1), v)
    y = c.op("Reshape", c.op("Transpose", y, perm=[0, 2, 1, 3]), c.constant(np.array([2, s, d])))
    y = c.op("LayerNormalization", c.op("Add", x, c.op("MatMul", y, c.weight(d, d))), c.weight(d), c.weight(d))
    y = c.op("MatMul", c.op("Gelu", c.op("MatMul", y, c.weight(d, 4 * d))), c.weight(4 * d, d))
    return c.model(y, c.op("Attention", x, x, x, q_num_heads=heads, kv_num_heads=heads))


def recurrent():
    c, s, h = Chain(), 24, 96
    x = c.feed("x", s, 2, 64)
    y = c.op("LSTM", x, c.weight(2, 4 * h, 64), c.weight(2, 4 * h, h), c.weight(2, 8 * h), hidden_size=h, direction="bidirectional")
    z = c.op("GRU", x, c.weight(1, 3 * h, 64), c.weight(1, 3 * h, h), c.weight(1, 6 * h), hidden_size=h)
    return c.model(y, z)


def reductions():
    c = Chain()
    x = c.feed("x", 64, 4096)
    return c.model(*(c.op(kind, x, c.constant(np.array([1])), keepdims=0) for kind in ("ReduceSum", "ReduceMean", "ReduceL2", "ReduceLogSumExp", "ReduceMax")),
                   c.op("ReduceSum", x, c.constant(np.array([0, 1]))), c.op("ReduceMean", x, c.constant(np.array([0]))), c.op("Softmax", x, axis=0),
                   c.op("CumSum", x, c.constant(np.int64(1))), c.op("Einsum", x, x, equation="ij,kj->ik"), c.op("TopK", x, c.constant(np.array([5])), outputs=2)[0])


def quantized():
    c = Chain()
    half, zero = c.constant(np.float32(0.02)), c.constant(np.uint8(128))
    w_scale, w_zero = c.constant(np.float32(0.01)), c.constant(np.int8(0))

    def weights(*shape):
        return c.op("DequantizeLinear", c.constant(RNG.integers(-127, 127, shape).astype(np.int8)), w_scale, w_zero)

    def requantized(x):
        return c.op("DequantizeLinear", c.op("QuantizeLinear", x, half, zero), half, zero)
    x = requantized(c.feed("x", 1, 32, 28, 28))
    y = requantized(c.op("Relu", c.op("Conv", x, weights(32, 32, 3, 3), pads=[1, 1, 1, 1])))
    y = requantized(c.op("Add", x, y))
    y = requantized(c.op("Conv", y, weights(64, 32, 1, 1)))
    flat = c.op("Reshape", y, c.constant(np.array([784, 64])))
    bytes_, scale, point = c.op("DynamicQuantizeLinear", flat, outputs=3)
    product = c.op("MatMulInteger", bytes_, c.constant(RNG.integers(-127, 127, (64, 200)).astype(np.int8)), point)
    return c.model(y, c.op("Mul", c.op("Cast", product, to=F), scale))


@pytest.mark.parametrize("kind", [convolutions, attention, recurrent, reductions, quantized], ids=lambda f: f.__name__)
def test_bits_do_not_depend_on_threads(kind):
    model, feeds = kind()
    expected = None
    for threads in (1, 2, 3, 4):
        options = rt.SessionOptions()
        options.intra_op_num_threads = threads
        session = rt.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        for _ in range(2):  # a gang takes the workers that are idle: runs differ
            results = session.run(None, feeds)
            expected = expected or results
            for a, b in zip(expected, results):
                np.testing.assert_array_equal(a.view(np.uint8), b.view(np.uint8))
