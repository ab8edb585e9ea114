"""Small networks written at many opsets: a CNN, a transformer block and control flow, in the forms that each opset has."""
import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

OPSETS = [7, 9, 11, 13, 15, 18, 21, 24, 28]
F = TensorProto.FLOAT


class Builder:
    """Nodes and weights of one graph, with the attributes or inputs that the opset wants."""

    def __init__(self, opset):
        self.opset, self.nodes, self.weights, self.rng = opset, [], [], np.random.default_rng(3)
        self.count = 0

    def name(self, base):
        self.count += 1
        return f"{base}_{self.count}"

    def op(self, kind, *inputs, outputs=1, **attributes):
        names = [self.name(kind.lower()) for _ in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=self.name("node"), **attributes))
        return names[0] if outputs == 1 else names

    def weight(self, *shape, scale=None):
        fan = np.prod(shape[1:]) if len(shape) > 1 else 1
        return self.constant((self.rng.standard_normal(shape) * (scale or 1 / np.sqrt(fan))).astype(np.float32))

    def constant(self, array):
        name = self.name("w")
        self.weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def ints(self, *values):
        return self.constant(np.array(values, np.int64))

    # ---- operators whose form changed ----

    def with_axes(self, kind, since, x, axes, **attributes):
        if self.opset < since:
            return self.op(kind, x, axes=axes, **attributes)
        return self.op(kind, x, self.ints(*axes), **attributes)

    def squeeze(self, x, *axes):
        return self.with_axes("Squeeze", 13, x, list(axes))

    def unsqueeze(self, x, *axes):
        return self.with_axes("Unsqueeze", 13, x, list(axes))

    def reduce_mean(self, x, *axes):
        return self.with_axes("ReduceMean", 18, x, list(axes), keepdims=1)

    def reduce_sum(self, x, *axes):
        return self.with_axes("ReduceSum", 13, x, list(axes), keepdims=1)

    def clip(self, x, low, high):
        if self.opset < 11:
            return self.op("Clip", x, min=low, max=high)
        return self.op("Clip", x, self.constant(np.float32(low)), self.constant(np.float32(high)))

    def slice(self, x, starts, ends, axes):
        if self.opset < 10:
            return self.op("Slice", x, starts=starts, ends=ends, axes=axes)
        return self.op("Slice", x, self.ints(*starts), self.ints(*ends), self.ints(*axes))

    def pad(self, x, pads):
        if self.opset < 11:
            return self.op("Pad", x, pads=pads, mode="reflect")
        return self.op("Pad", x, self.ints(*pads), mode="reflect")

    def split(self, x, sizes, axis):
        if self.opset < 13:
            return self.op("Split", x, outputs=len(sizes), split=sizes, axis=axis)
        return self.op("Split", x, self.ints(*sizes), outputs=len(sizes), axis=axis)

    def upsample(self, x):
        scales = np.array([1, 1, 2, 2], np.float32)
        if self.opset < 9:
            return self.op("Upsample", x, scales=scales.tolist(), mode="nearest")
        if self.opset < 10:
            return self.op("Upsample", x, self.constant(scales), mode="nearest")
        if self.opset < 11:
            return self.op("Resize", x, self.constant(scales), mode="nearest")
        roi = "" if self.opset >= 13 else self.constant(np.zeros(0, np.float32))
        return self.op("Resize", x, roi, self.constant(scales), mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")

    def dropout(self, x):
        return self.op("Dropout", x)

    def batch_norm(self, x, channels):
        mean, var = self.constant(self.rng.random(channels).astype(np.float32)), self.constant((self.rng.random(channels) + 0.5).astype(np.float32))
        return self.op("BatchNormalization", x, self.weight(channels), self.weight(channels), mean, var, epsilon=1e-5)

    def layer_norm(self, x, size):
        scale, bias = self.weight(size), self.weight(size)
        if self.opset >= 17:
            return self.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=1e-5)
        d = self.op("Sub", x, self.reduce_mean(x, -1))
        var = self.reduce_mean(self.op("Mul", d, d), -1)
        y = self.op("Div", d, self.op("Sqrt", self.op("Add", var, self.constant(np.float32(1e-5)))))
        return self.op("Add", self.op("Mul", y, scale), bias)

    def gelu(self, x):
        if self.opset >= 20:
            return self.op("Gelu", x)
        if self.opset < 9:
            return self.op("Mul", x, self.op("Sigmoid", self.op("Mul", x, self.constant(np.float32(1.702)))))
        e = self.op("Erf", self.op("Div", x, self.constant(np.float32(np.sqrt(2)))))
        return self.op("Mul", self.op("Mul", x, self.op("Add", e, self.constant(np.float32(1)))), self.constant(np.float32(0.5)))

    def softmax_last(self, x, rank):
        return self.op("Softmax", x, axis=rank - 1)

    def model(self, inputs, outputs):
        graph = helper.make_graph(self.nodes, "g", inputs, outputs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=4 if self.opset < 10 else 8 if self.opset < 19 else 10)
        checker.check_model(model)
        return model.SerializeToString()


def value(name, dtype, shape):
    return helper.make_tensor_value_info(name, dtype, shape)


def rename_last(b, name):
    old = b.nodes[-1].output[0]
    b.nodes[-1].output[0] = name
    return old


def cnn(opset):
    b = Builder(opset)
    x = b.pad("image", [0, 0, 1, 1, 0, 0, 1, 1])
    x = b.op("Conv", x, b.weight(16, 3, 3, 3), b.weight(16), kernel_shape=[3, 3], strides=[2, 2])
    x = b.clip(b.batch_norm(x, 16), 0.0, 6.0)
    depthwise = b.op("Conv", x, b.weight(16, 1, 3, 3), kernel_shape=[3, 3], pads=[1, 1, 1, 1], group=16)
    x = b.op("Add", x, b.op("LeakyRelu", depthwise, alpha=0.1))
    pooled = b.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    left, right = b.split(pooled, [8, 8], 1)
    x = b.op("Concat", right, b.op("Sigmoid", left), axis=1)
    x = b.upsample(x)
    x = b.slice(x, [1, 1], [9, 9], [2, 3])
    x = b.op("AveragePool", b.dropout(x), kernel_shape=[2, 2], strides=[2, 2])
    x = b.op("Flatten", x, axis=1)
    x = b.op("Gemm", x, b.weight(10, 16 * 16), b.weight(10), transB=1)
    b.op("Softmax", x, axis=1)
    rename_last(b, "scores")
    return b.model([value("image", F, ["n", 3, 32, 32])], [value("scores", F, ["n", 10])]), {"image": np.random.default_rng(0).standard_normal((2, 3, 32, 32), np.float32)}


def transformer(opset):
    b, d, heads = Builder(opset), 32, 4
    x = b.op("Gather", b.weight(50, d, scale=1), "ids")
    for _ in range(2):
        def project():
            y = b.op("Add", b.op("MatMul", x, b.weight(d, d)), b.weight(d))
            return b.op("Transpose", b.op("Reshape", y, b.ints(0, -1, heads, d // heads)), perm=[0, 2, 1, 3])
        q, k, v = project(), project(), project()
        scores = b.op("MatMul", q, b.op("Transpose", k, perm=[0, 1, 3, 2]))
        scores = b.op("Mul", scores, b.constant(np.float32(1 / np.sqrt(d // heads))))
        mask = b.op("Mul", b.op("Sub", b.constant(np.float32(1)), b.unsqueeze(b.op("Cast", "mask", to=F), 1, 2)), b.constant(np.float32(-10000)))
        attended = b.op("MatMul", b.softmax_last(b.op("Add", scores, mask), 4), v)
        attended = b.op("Reshape", b.op("Transpose", attended, perm=[0, 2, 1, 3]), b.ints(0, -1, d))
        x = b.layer_norm(b.op("Add", x, b.op("MatMul", attended, b.weight(d, d))), d)
        hidden = b.gelu(b.op("Add", b.op("MatMul", x, b.weight(d, 4 * d)), b.weight(4 * d)))
        x = b.layer_norm(b.op("Add", x, b.op("MatMul", hidden, b.weight(4 * d, d))), d)
    pooled = b.squeeze(b.slice(x, [0], [1], [1]), 1)
    b.op("Tanh", b.op("Div", pooled, b.reduce_sum(b.op("Abs", pooled), 1)))
    rename_last(b, "pooled")
    rng = np.random.default_rng(1)
    feeds = {"ids": rng.integers(0, 50, (2, 7)), "mask": np.array([[1] * 7, [1] * 4 + [0] * 3])}
    return b.model([value("ids", TensorProto.INT64, ["b", "s"]), value("mask", TensorProto.INT64, ["b", "s"])], [value("pooled", F, ["b", d])]), feeds


def control(opset):
    """A Loop that doubles or halves a carried value (If inside), collects every step, then a last If on the sum."""
    b = Builder(opset)
    body = Builder(opset)
    two = helper.make_node("Constant", [], ["two"], value=numpy_helper.from_array(np.float32(2), "two"))
    up = helper.make_graph([two, helper.make_node("Mul", ["state", "two"], ["up"])], "up", [], [value("up", F, ["k"])])
    down = helper.make_graph([two, helper.make_node("Div", ["state", "two"], ["down"])], "down", [], [value("down", F, ["k"])])
    body.nodes.append(helper.make_node("Constant", [], ["limit"], value=numpy_helper.from_array(np.float32(8), "limit")))
    body.op("ReduceMax" if opset < 18 else "ReduceMax", "state", keepdims=0)
    most = body.nodes[-1].output[0]
    body.nodes.append(helper.make_node("Less", [most, "limit"], ["small"]))
    body.nodes.append(helper.make_node("If", ["small"], ["next"], then_branch=up, else_branch=down))
    body.nodes.append(helper.make_node("Identity", ["go"], ["stay"]))
    body.nodes.append(helper.make_node("Add", ["next", "outer"], ["step"]))
    graph = helper.make_graph(body.nodes, "body", [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("state", F, ["k"])],
                              [value("stay", TensorProto.BOOL, []), value("next", F, ["k"]), value("step", F, ["k"])])
    b.nodes.append(helper.make_node("Mul", ["x", "x"], ["outer"]))
    yes = b.constant(np.array(True))
    b.nodes.append(helper.make_node("Loop", ["trips", yes, "x"], ["last", "steps"], body=graph, name="loop"))
    b.nodes.append(helper.make_node("Shape", ["steps"], ["sizes"]))
    return (b.model([value("trips", TensorProto.INT64, []), value("x", F, ["k"])], [value("last", F, ["k"]), value("steps", F, ["t", "k"]), value("sizes", TensorProto.INT64, [2])]),
            {"trips": np.array(6), "x": np.array([1, -2, 3], np.float32)})


NETWORKS = {"cnn": cnn, "transformer": transformer, "control": control}


def wide_network(seed=1):
    """Weights that are worth a file each: convolutions with and without the form of Winograd, products."""
    rng = np.random.default_rng(seed)
    weights, nodes = [], []

    def weight(name, *shape):
        array = (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        weights.append(numpy_helper.from_array(array, name))
        return name

    def op(kind, inputs, output, **attributes):
        nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output
    x = op("Conv", ["x", weight("w0", 64, 32, 3, 3)], "conv", pads=[1, 1, 1, 1])
    x = op("Relu", [x], "relu")
    x = op("Conv", [x, weight("w1", 128, 64, 1, 1)], "point")
    x = op("Conv", [x, weight("w2", 64, 128, 3, 3)], "stride", strides=[2, 2])
    x = op("GlobalAveragePool", [x], "pool")
    x = op("Flatten", [x], "flat")
    x = op("Gemm", [x, weight("w3", 64, 256)], "gemm")
    x = op("MatMul", [x, weight("w4", 256, 200)], "y")
    graph = helper.make_graph(nodes, "wide", [helper.make_tensor_value_info("x", F, [1, 32, 24, 24])],
                              [helper.make_tensor_value_info("y", F, [1, 200])], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()
